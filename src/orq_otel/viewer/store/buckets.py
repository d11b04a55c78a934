"""Buckets of time and latency in which spans are counted. Plain numbers, in nanoseconds."""

from __future__ import annotations

import bisect
from typing import Final

MILLISECOND: Final = 10**6
SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: The upper ends of the latency buckets: three for each power of ten, from a millisecond.
LATENCIES: Final = (
    *(step * 10**power * MILLISECOND for power in range(6) for step in (1, 2, 5)),
    1000 * SECOND,
)

#: Widths of time buckets that look familiar on an axis.
_WIDTHS: Final = (
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12, 24)),
)


#: Later times than this, in the year 2116, must be mistakes. Sums with them would overflow.
LATEST: Final = 2**62


#: The percentiles that are computed exactly, in percent.
PERCENTILES: Final = (50, 95)


def rank(count: int, percent: int) -> int:
    """Returns the index of a percentile in so many sorted values: that of the nearest rank."""
    return max(-(-count * percent // 100) - 1, 0)


def bounded(time: int) -> int:
    """Limits a time to the valid range."""
    return max(0, min(time, LATEST))


def latency_step(latency: int) -> int:
    """Returns a latency's place on a scale with steps of a percent: its first seven bits count."""
    exponent = max(latency.bit_length() - 7, 0)
    return exponent * 64 + (latency >> exponent)


def step_range(step: int) -> tuple[int, int]:
    """Returns the first latency of a step, and that of the next one."""
    exponent = max(step // 64 - 1, 0)
    first = step - exponent * 64
    return first << exponent, (first + 1) << exponent


def latency_bucket(latency: int) -> int:
    """Returns the index in `LATENCIES` of a latency's bucket. The last one has no upper end."""
    return min(bisect.bisect_left(LATENCIES, latency), len(LATENCIES) - 1)


def width(start: int, end: int, most: int, finest: int = SECOND) -> int:
    """Returns the smallest suitable width of time buckets.

    Args:
        start: The start of the time to show.
        end: The end of the time to show.
        most: The highest number of buckets, including those at both ends that reach beyond.
        finest: The width is a multiple of this.
    """
    for candidate in _WIDTHS:
        if candidate % finest == 0 and count(start, end, candidate) <= most:
            return candidate
    days = 1
    while count(start, end, days * DAY) > most and days * DAY < end:
        days *= 2
    return days * DAY


def count(start: int, end: int, wide: int) -> int:
    """Returns how many buckets of a width there are from `start` up to but excluding `end`."""
    return max(-(-end // wide) - start // wide, 1)
