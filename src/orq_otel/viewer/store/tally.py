"""Sums over spans, as the rollups have them. Plain Python, without a store.

Costs are whole numbers here, of 10^-12 US dollars: sums of these do not depend on their order, and
what was added can be taken away again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from orq_otel.viewer.store.buckets import DAY, HOUR, MINUTE, latency_bucket

#: US dollars to what costs are kept in.
COST_UNITS: Final = 10**12
#: How wide the pieces of time are in which all threads are summed up,
WIDTHS: Final = (MINUTE, HOUR)
#: and those in which each thread is.
THREAD_WIDTHS: Final = (10 * MINUTE, DAY)


class Row(NamedTuple):
    """What of a span goes into sums.

    Attributes:
        thread: The key of its thread.
        trace_id: 16 bytes.
        span_id: 8 bytes.
        start: In nanoseconds, as all times.
        end: Not before `start`.
        is_error: Whether it failed.
        is_model_call: Whether it called a model.
        input_tokens: How many; 0 where that is unknown.
        output_tokens: The same.
        cost: In `COST_UNITS`, or None.
        title: The first message of the user, or None.
        tags: Of its thread.
        model: That answered, or None.
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


class Sums:
    """What adds up, of some spans."""

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
        """All of them, in the order of the rollups' columns."""
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
    """What is kept of a thread.

    Attributes:
        started: When its first span began.
        last_active: When its last span ended.
        title: The earliest title: when its span began, that span's id, and the title.
        traces: All of its traces.
        tags: Each tag, and where it was told first: when its span began, and its place there.
        models: Each model, and when the first span of it began.
        activity: Sums for each width and start of a piece of time.
        latencies: How many calls of models each bucket of latency has.
    """

    __slots__ = (
        "activity",
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

    def add(self, row: Row) -> None:
        """Count a span."""
        super().add(row)
        start = row.start
        self.started = min(self.started, start)
        self.last_active = max(self.last_active, row.end)
        self.traces.add(row.trace_id)
        if row.title is not None:
            title = (start, row.span_id, row.title)
            self.title = title if self.title is None else min(self.title, title)
        for place, tag in enumerate(row.tags):
            told = (start, place)
            self.tags[tag] = min(self.tags.get(tag, told), told)
        if row.model is not None:
            self.models[row.model] = min(self.models.get(row.model, start), start)
        for width in THREAD_WIDTHS:
            self.activity[width, start - start % width].add(row)
        if row.is_model_call:
            self.latencies[latency_bucket(row.end - start)] += 1


class Tally:
    """What is kept of some spans of threads.

    Attributes:
        threads: For each thread's key.
        activity: Sums of all threads, for each width and start of a piece of time.
        latencies: Calls of models in all threads, for each width, start and bucket of latency.
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
