"""Sums over spans, as in the rollups. Plain Python, without a store.

Costs are integers here, in units of 10^-12 US dollars, so that sums do not depend on the order of
spans, and spans can be subtracted exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from orq_otel.viewer.store.buckets import DAY, HOUR, LATEST, MINUTE, latency_bucket

#: The units of costs in one US dollar.
COST_UNITS: Final = 10**12
#: The widths of the time buckets for sums over all threads.
WIDTHS: Final = (MINUTE, HOUR)
#: The widths of the time buckets for sums over each thread.
THREAD_WIDTHS: Final = (10 * MINUTE, DAY)
#: What spans sum up to, in the order of the rollups' columns.
SUMS: Final = (
    *("spans", "errors", "input_tokens", "output_tokens", "cost", "priced", "unpriced"),
    "estimated",
)
#: Those that plots show.
PLOTTED: Final = SUMS[:5]
#: The kinds of facets, in the order of the last fields of a row.
FACETS: Final = ("model", "user", "agent", "tool", "service")


#: Later than any span begins.
_NEVER: Final = LATEST + 1


class Row(NamedTuple):
    """The values of a span that go into sums.

    Attributes:
        thread: The key of its thread, or None.
        trace_id: 16 bytes.
        span_id: 8 bytes.
        start: In nanoseconds since the epoch.
        end: In nanoseconds since the epoch, not before `start`.
        is_error: 1 if it failed, or else 0.
        is_model_call: 1 if it is a model call, or else 0.
        input_tokens: The number of input tokens, 0 if unknown.
        output_tokens: The number of output tokens, 0 if unknown.
        cost: In `COST_UNITS`, or None if unknown.
        estimated: The same if it is an estimate, or else 0.
        title: The user's first message, or None.
        tags: The tags of its thread.
        model: The model, or None.
        user: The user's id, or None.
        agent: The agent's name, or None.
        tool: The name of the tool that it executes, or None.
        service: The name of its service, or "".
    """

    thread: int | None
    trace_id: bytes
    span_id: bytes
    start: int
    end: int
    is_error: int
    is_model_call: int
    input_tokens: int
    output_tokens: int
    cost: int | None
    estimated: int
    title: str | None
    tags: tuple[str, ...]
    model: str | None
    user: str | None = None
    agent: str | None = None
    tool: str | None = None
    service: str | None = None

    def facets(self) -> list[tuple[str, str]]:
        """Returns what its thread is found by, each with its kind."""
        return facets_of((self.model, self.user, self.agent, self.tool, self.service))


def facets_of(whose: Iterable[str | None]) -> list[tuple[str, str]]:
    """Returns those of `FACETS` that are there, each with its kind."""
    return [(kind, value) for kind, value in zip(FACETS, whose, strict=True) if value]


class Sums:
    """The sums over some spans."""

    __slots__ = SUMS

    def __init__(self) -> None:
        self.spans = self.errors = self.input_tokens = self.output_tokens = 0
        self.cost = self.priced = self.unpriced = self.estimated = 0

    def add(self, row: Row) -> None:
        """Count a span."""
        self.spans += 1
        self.errors += row.is_error
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        if row.cost is not None:
            self.cost += row.cost
            self.priced += 1
            self.estimated += row.estimated
        elif row.is_model_call:
            self.unpriced += 1

    def merge(self, other: Sums) -> None:
        """Count the spans of other sums."""
        self.spans += other.spans
        self.errors += other.errors
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost
        self.priced += other.priced
        self.unpriced += other.unpriced
        self.estimated += other.estimated

    def values(self) -> tuple[int, int, int, int, int, int, int, int]:
        """Returns all sums, in the order of the rollups' columns."""
        return (
            self.spans,
            self.errors,
            self.input_tokens,
            self.output_tokens,
            self.cost,
            self.priced,
            self.unpriced,
            self.estimated,
        )


class ThreadTally:
    """The rollup of a thread. Each span is counted once, in its minute; all else follows from that.

    Attributes:
        started: When its first span began.
        last_active: When its last span ended.
        title: The earliest title: its span's start, its span's id, and the text.
        traces: The ids of its traces.
        minutes: The sums of each minute, by its start.
        calls: The number of model calls, by the minute's start and latency bucket.
        tag_lists: The first start of the spans with the same tags.
        facet_lists: The first start of those with the same values of `FACETS`.
    """

    __slots__ = (
        "calls",
        "facet_lists",
        "last_active",
        "minutes",
        "started",
        "tag_lists",
        "title",
        "traces",
    )

    def __init__(self, row: Row) -> None:
        self.started, self.last_active = row.start, row.end
        self.title: tuple[int, bytes, str] | None = None
        self.traces: set[bytes] = set()
        self.minutes: defaultdict[int, Sums] = defaultdict(Sums)
        self.calls: defaultdict[tuple[int, int], int] = defaultdict(int)
        # Most spans of a thread have the same as others: of each the first start.
        self.tag_lists: dict[tuple[str, ...], int] = {}
        self.facet_lists: dict[tuple[str | None, ...], int] = {}

    def add(self, row: Row) -> None:
        """Count a span."""
        start, end = row.start, row.end
        self.started = min(self.started, start)
        self.last_active = max(self.last_active, end)
        self.traces.add(row.trace_id)
        if row.title is not None:
            title = (start, row.span_id, row.title)
            self.title = title if self.title is None else min(self.title, title)
        if start < self.tag_lists.get(row.tags, _NEVER):
            self.tag_lists[row.tags] = start
        whose = (row.model, row.user, row.agent, row.tool, row.service)
        if start < self.facet_lists.get(whose, _NEVER):
            self.facet_lists[whose] = start
        minute = start - start % MINUTE
        self.minutes[minute].add(row)
        if row.is_model_call:
            self.calls[minute, latency_bucket(end - start)] += 1

    def values(self) -> tuple[int, int, int, int, int, int, int, int]:
        """Returns the sums over all of its spans, in the order of the rollups' columns."""
        found = Sums()
        for sums in self.minutes.values():
            found.merge(sums)
        return found.values()

    @property
    def activity(self) -> dict[tuple[int, int], Sums]:
        """The sums of each time bucket, by width and start."""
        return _wider(self.minutes, THREAD_WIDTHS)

    @property
    def latencies(self) -> dict[int, int]:
        """The number of model calls in each latency bucket."""
        found: defaultdict[int, int] = defaultdict(int)
        for (_, bucket), calls in self.calls.items():
            found[bucket] += calls
        return found

    @property
    def tags(self) -> dict[str, tuple[int, int]]:
        """Each tag with its first occurrence: the start of the span, and its place in the list."""
        found: dict[str, tuple[int, int]] = {}
        for tags, start in self.tag_lists.items():
            for place, tag in enumerate(tags):
                found[tag] = min(found.get(tag, (start, place)), (start, place))
        return found

    @property
    def models(self) -> dict[str, int]:
        """Each model with the start of its first span."""
        found: dict[str, int] = {}
        for (model, *_), start in self.facet_lists.items():
            if model is not None:
                found[model] = min(found.get(model, start), start)
        return found

    @property
    def facets(self) -> set[tuple[str, str]]:
        """What it is found by: kinds and values."""
        return {facet for whose in self.facet_lists for facet in facets_of(whose)}


class Tally:
    """The rollups of some spans.

    Attributes:
        threads: The rollup of each thread, by its key.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.threads: dict[int, ThreadTally] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Count a span. One of no thread is in no sums."""
        if row.thread is None:
            return
        thread = self.threads.get(row.thread)
        if thread is None:
            thread = self.threads[row.thread] = ThreadTally(row)
        thread.add(row)

    @property
    def activity(self) -> dict[tuple[int, int], Sums]:
        """The sums of each time bucket over all threads, by width and start."""
        minutes: defaultdict[int, Sums] = defaultdict(Sums)
        for thread in self.threads.values():
            for start, sums in thread.minutes.items():
                minutes[start].merge(sums)
        return _wider(minutes, WIDTHS)

    @property
    def latencies(self) -> dict[tuple[int, int, int], int]:
        """The model calls of all threads.

        By width and start of the time bucket, and latency bucket.
        """
        found: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        for thread in self.threads.values():
            for (start, bucket), calls in thread.calls.items():
                for width in WIDTHS:
                    found[width, start - start % width, bucket] += calls
        return found


def _wider(minutes: Mapping[int, Sums], widths: Iterable[int]) -> dict[tuple[int, int], Sums]:
    """Returns the sums of wider buckets, by width and start."""
    found: defaultdict[tuple[int, int], Sums] = defaultdict(Sums)
    for start, sums in minutes.items():
        for width in widths:
            found[width, start - start % width].merge(sums)
    return found
