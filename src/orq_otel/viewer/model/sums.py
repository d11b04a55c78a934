"""Sums over many threads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums over an interval of time, for all threads that match a query."""

    start: int
    end: int
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Overview:
    """Sums over all threads that match a query.

    Attributes:
        threads: The number of threads.
        spans: The number of their spans.
        errors: The number of spans that failed.
        input_tokens: The sum of input tokens.
        output_tokens: The sum of output tokens.
        cost: In US dollars, or None if no price is known.
        unpriced: How many model calls have no known price.
        estimated: How much of the cost is an estimate, in US dollars.
        buckets: Sums over time, without gaps, the oldest first.
        latencies: Of model calls: the upper end of each bucket in nanoseconds, and its calls.
        tags: The most frequent tags of the store with their numbers of threads.
        percentiles: The exact median and 95th percentile of the latencies of model calls in
            nanoseconds, or None where that would take too long.
        is_partial: As in `ThreadPage`.
        unindexed: How many spans of an earlier release may still have to be read for searches.
    """

    threads: int
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int
    buckets: tuple[Bucket, ...]
    latencies: tuple[tuple[int, int], ...]
    tags: tuple[tuple[str, int], ...]
    percentiles: tuple[int, int] | None = None
    is_partial: bool = False
    unindexed: int = 0
    estimated: float = 0.0


@dataclass(frozen=True, slots=True)
class Slice:
    """The model calls of a group in an interval of time."""

    start: int
    calls: int
    tokens: int
    cost: float
    p50: int
    p95: int


@dataclass(frozen=True, slots=True)
class Group:
    """Sums over the model calls of a model, or of the threads with a label.

    Attributes:
        name: The model or label, or None for calls without one.
        threads: The number of threads with such calls.
        calls: The number of model calls.
        errors: The number of spans that failed, in its threads; of a model, its calls.
        input_tokens: The sum of input tokens.
        output_tokens: The sum of output tokens.
        cost: In US dollars, or None if no price is known.
        unpriced: How many calls have no known price.
        estimated: How much of the cost is an estimate, in US dollars.
        p50: The median of the calls' latencies in nanoseconds.
        p95: Their 95th percentile.
        good: How many evaluations of its threads are good.
        bad: How many are bad.
        slices: The same over time, without intervals that have no calls.
        sampled: How many calls p50 and p95 are of, where there are too many to look at all of them.
            They are exact where it is 0.
    """

    name: str | None
    threads: int
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int
    p50: int
    p95: int
    good: int
    bad: int
    slices: tuple[Slice, ...]
    sampled: int = 0
    estimated: float = 0.0


@dataclass(frozen=True, slots=True)
class Numbers:
    """Groups, those with the most calls first.

    Attributes:
        groups: The groups.
        start: When the first interval of `slices` begins.
        end: When the last one ends.
        width: How long each is.
        more: How many groups are left out.
        is_partial: Whether there are too many calls to count any but those of the latest days.
    """

    groups: tuple[Group, ...]
    start: int
    end: int
    width: int
    more: int
    is_partial: bool = False
