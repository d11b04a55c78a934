"""Timing a small function: the minimum of repeated batches."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any


def best_ns(function: Callable[[], Any], *, calls: int = 2000, repeats: int = 25) -> float:
    """Return the nanoseconds per call of the fastest batch.

    Noise only ever adds time, so the minimum is the figure that repeats; a mean would report what
    else the machine was doing.
    """
    gc.collect()
    for _ in range(min(calls, 200)):
        function()
    return min(batch_ns(function, calls) for _ in range(repeats))


def batch_ns(function: Callable[[], Any], calls: int) -> float:
    """Return the nanoseconds per call of one batch."""
    turns = range(calls)
    start = perf_counter_ns()
    for _ in turns:
        function()
    return (perf_counter_ns() - start) / calls
