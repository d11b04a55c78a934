"""Python looks for no garbage by itself while the viewer runs. What there is goes all the same."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import closing

from orq_otel.viewer.garbage_worker import GarbageWorker


class _Ring:
    """It refers to itself."""

    def __init__(self) -> None:
        self.next = self


def test_cycles_go_without_python_looking_for_them() -> None:
    gone = threading.Event()
    with closing(GarbageWorker()):
        assert not gc.isenabled()
        weakref.finalize(_Ring(), gone.set)
        for _ in range(10_000):
            _Ring()
        assert gone.wait(60)
    assert gc.isenabled()
