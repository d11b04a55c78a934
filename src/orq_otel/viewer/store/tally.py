"""Sums over spans, as in the rollups. Plain Python, without a store.

Costs are integers here, in units of 10^-12 US dollars, so that sums do not depend on the order of
spans, and spans can be subtracted exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from orq_otel.viewer.store.buckets import DAY, HOUR, MINUTE, latency_bucket

#: The units of costs in one US dollar.
COST_UNITS: Final = 10**12
#: The widths of the time buckets for sums over all threads.
WIDTHS: Final = (MINUTE, HOUR)
#: The widths of the time buckets for sums over each thread.
THREAD_WIDTHS: Final = (10 * MINUTE, DAY)
#: The kinds of facets, in the order of the last fields of a row.
FACETS: Final = ("model", "user", "agent", "tool", "service")


class Row(NamedTuple):
    """The values of a span that go into sums.

    Attributes:
        thread: The key of its thread.
        trace_id: 16 bytes.
        span_id: 8 bytes.
        start: In nanoseconds since the epoch.
        end: In nanoseconds since the epoch, not before `start`.
        is_error: Whether it failed.
        is_model_call: Whether it is a model call.
        input_tokens: The number of input tokens, 0 if unknown.
        output_tokens: The number of output tokens, 0 if unknown.
        cost: In `COST_UNITS`, or None if unknown.
        title: The user's first message, or None.
        tags: The tags of its thread.
        model: The model, or None.
        user: The user's id, or None.
        agent: The agent's name, or None.
        tool: The name of the tool that it executes, or None.
        service: The name of its service, or "".
    """

    thread: int
    trace_id: bytes
    span_id: bytes
    start: int
    end: int
    is_error: bool
    is_model_call: bool
    input_tokens: int
    output_tokens: int
    cost: int | None
    title: str | None
    tags: tuple[str, ...]
    model: str | None
    user: str | None = None
    agent: str | None = None
    tool: str | None = None
    service: str | None = None

    def facets(self) -> Iterator[tuple[str, str]]:
        """Yields what its thread is found by, each with its kind."""
        for kind, value in zip(FACETS, self[-len(FACETS) :], strict=True):
            if value:
                yield kind, str(value)


class Sums:
    """The sums over some spans."""

    __slots__ = ("cost", "errors", "input_tokens", "output_tokens", "priced", "spans", "unpriced")

    def __init__(self) -> None:
        self.spans = self.errors = self.input_tokens = self.output_tokens = 0
        self.cost = self.priced = self.unpriced = 0

    def add(self, row: Row) -> None:
        """Count a span."""
        self.spans += 1
        self.errors += row.is_error
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        if row.cost is not None:
            self.cost += row.cost
            self.priced += 1
        elif row.is_model_call:
            self.unpriced += 1

    def values(self) -> tuple[int, int, int, int, int, int, int]:
        """Returns all sums, in the order of the rollups' columns."""
        return (
            self.spans,
            self.errors,
            self.input_tokens,
            self.output_tokens,
            self.cost,
            self.priced,
            self.unpriced,
        )


class ThreadTally(Sums):
    """The rollup of a thread.

    Attributes:
        started: When its first span began.
        last_active: When its last span ended.
        title: The earliest title: its span's start, its span's id, and the text.
        traces: The ids of its traces.
        tags: Each tag with its first occurrence: the start of the span, and its place in the list.
        models: Each model with the start of its first span.
        activity: The sums of each time bucket, by width and start.
        latencies: The number of model calls in each latency bucket.
        facets: What it is found by: kinds and values.
    """

    __slots__ = (
        "activity",
        "facets",
        "last_active",
        "latencies",
        "models",
        "started",
        "tags",
        "title",
        "traces",
    )

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.started, self.last_active = row.start, row.end
        self.title: tuple[int, bytes, str] | None = None
        self.traces: set[bytes] = set()
        self.tags: dict[str, tuple[int, int]] = {}
        self.models: dict[str, int] = {}
        self.activity: defaultdict[tuple[int, int], Sums] = defaultdict(Sums)
        self.latencies: defaultdict[int, int] = defaultdict(int)
        self.facets: set[tuple[str, str]] = set()

    def add(self, row: Row) -> None:
        """Count a span."""
        super().add(row)
        self.facets.update(row.facets())
        start = row.start
        self.started = min(self.started, start)
        self.last_active = max(self.last_active, row.end)
        self.traces.add(row.trace_id)
        if row.title is not None:
            title = (start, row.span_id, row.title)
            self.title = title if self.title is None else min(self.title, title)
        for place, tag in enumerate(row.tags):
            occurrence = (start, place)
            self.tags[tag] = min(self.tags.get(tag, occurrence), occurrence)
        if row.model is not None:
            self.models[row.model] = min(self.models.get(row.model, start), start)
        for width in THREAD_WIDTHS:
            self.activity[width, start - start % width].add(row)
        if row.is_model_call:
            self.latencies[latency_bucket(row.end - start)] += 1


class Tally:
    """The rollups of some spans.

    Attributes:
        threads: The rollup of each thread, by its key.
        activity: The sums of each time bucket over all threads, by width and start.
        latencies: The model calls of all threads, by width and start of the time bucket, and
            latency bucket.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.threads: dict[int, ThreadTally] = {}
        self.activity: defaultdict[tuple[int, int], Sums] = defaultdict(Sums)
        self.latencies: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Count a span."""
        thread = self.threads.get(row.thread)
        if thread is None:
            thread = self.threads[row.thread] = ThreadTally(row)
        thread.add(row)
        for width in WIDTHS:
            slot = row.start - row.start % width
            self.activity[width, slot].add(row)
            if row.is_model_call:
                self.latencies[width, slot, latency_bucket(row.end - row.start)] += 1
