"""Pieces of time and of latency that spans are counted in. Plain numbers, in nanoseconds."""

from __future__ import annotations

import bisect
from typing import Final

MILLISECOND: Final = 10**6
SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: Upper ends of the buckets of latency: three in each power of ten, from a millisecond on.
LATENCIES: Final = (
    *(step * 10**power * MILLISECOND for power in range(6) for step in (1, 2, 5)),
    1000 * SECOND,
)

#: Widths of plots' buckets that people can read off an axis.
_WIDTHS: Final = (
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12, 24)),
)


#: Times later than this, in the year 2116, are mistakes, and sums with them fit into no integer.
LATEST: Final = 2**62


def bounded(time: int) -> int:
    """A time that can be reckoned with."""
    return max(0, min(time, LATEST))


def latency_bucket(latency: int) -> int:
    """The index in `LATENCIES` of a latency's bucket. The last one takes all that is longer."""
    return min(bisect.bisect_left(LATENCIES, latency), len(LATENCIES) - 1)


def width(start: int, end: int, most: int, finest: int = SECOND) -> int:
    """How wide buckets have to be.

    Args:
        start: Of the time to show.
        end: Of the same, and later.
        most: How many buckets there may be, counting those that begin before or end after.
        finest: A width of which it has to be a multiple.
    """
    for candidate in _WIDTHS:
        if candidate % finest == 0 and count(start, end, candidate) <= most:
            return candidate
    days = 1
    while count(start, end, days * DAY) > most and days * DAY < end:
        days *= 2
    return days * DAY


def count(start: int, end: int, wide: int) -> int:
    """How many buckets of a width there are from `start` up to `end`, not counting that."""
    return max(-(-end // wide) - start // wide, 1)
