"""An instrumented client, all of whose signals are kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.signals import Signals


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Signals]]:
    """Switches on an instrumentation of OpenAI's client with all signals."""
    made: list[Signals] = []

    def switch(sampler: Any = None, **more: Any) -> Signals:
        made.append(Signals(sampler).instrument(**more))
        return made[-1]

    yield switch
    for signals in made:
        signals.close()
