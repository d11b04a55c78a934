"""Ways in which a consumer leaves a stream, whatever client it is of."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest


class Mistake(Exception):
    """What a consumer raises."""


@contextmanager
def without_collector() -> Iterator[None]:
    """What ends at once does not wait for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def break_off(stream: Any) -> None:
    for _ in stream:
        break


def return_within(stream: Any) -> None:
    for _ in stream:
        return


def raise_within(stream: Any) -> None:
    with pytest.raises(Mistake):
        for _ in stream:
            raise Mistake


def close(stream: Any) -> None:
    next(iter(stream))
    stream.close()


def leave_its_block(stream: Any) -> None:
    with stream:
        next(stream)


def raise_in_its_block(stream: Any) -> None:
    with pytest.raises(Mistake), stream:
        next(stream)
        raise Mistake


def close_the_iterator(stream: Any) -> None:
    with closing(iter(stream)) as items:
        next(items)


def throw_into_the_iterator(stream: Any) -> None:
    items = iter(stream)
    next(items)
    with pytest.raises(Mistake):
        items.throw(Mistake())
    assert list(items) == []
