"""A copy of some spans of ClickHouse in a SQLite file, for as long as the viewer runs.

SQLite's store decides which thread each span belongs to and what of it counts, and answers for the
copy as it does for spans that it received itself. The copy has the traces that were asked for, or
the latest ones. What is deleted in ClickHouse is deleted here as soon as anybody asks for it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.store.buckets import DAY, HOUR, bounded
from orq_otel.viewer.store.clickhouse_spans import ALWAYS, Place, RawSpans, Window
from orq_otel.viewer.store.copy_folders import CopyFolder
from orq_otel.viewer.store.sqlite import SQLiteStore

#: The copy has at most about so many spans.
MOST: Final = 50_000
#: A copy of more spans than this is brought up to date for a share of the time at most: one of so
#: many.
_FEW: Final = 20_000
_PATIENCE: Final = 5
#: Log records may come so much later than others of the same time, in nanoseconds.
_LATE: Final = HOUR


class Copy:
    """The copy.

    Args:
        raw: Where the spans come from.
        most: The highest number of spans.
    """

    _store: SQLiteStore
    _counts: tuple[int, int] | None
    _has_agents: bool

    def __init__(self, raw: RawSpans, most: int = MOST) -> None:
        self._raw = raw
        self._most = most
        self._lock = threading.Lock()
        self._folder = CopyFolder()
        self._number = 0
        #: How many log records there were in all.
        self._records = 0
        self._before: SQLiteStore | None = None
        self._next = 0.0
        self._logs_until = 0
        self._since = 0
        self._empty()

    @property
    def since(self) -> int:
        """From when on it has all spans."""
        return self._since

    def latest(self) -> SQLiteStore:
        """Returns the copy with the latest spans, after it was brought up to date.

        Raises:
            StoreError: ClickHouse cannot be read.
        """
        with self._lock:
            began = time.monotonic()
            if began >= self._next:
                counts = self._raw.counts()
                if counts != self._counts:
                    self._forget_agents(counts[1])
                    self._follow()
                    self._counts = counts
                    ended = time.monotonic()
                    if sum(map(len, self._spans.values())) > _FEW:
                        self._next = ended + (ended - began) * (_PATIENCE - 1)
            return self._store

    def change(self) -> int:
        """Returns a number that changes whenever the copy does.

        Raises:
            StoreError: ClickHouse cannot be read.
        """
        self.latest()
        return sum(self._counts or ())

    def with_traces(
        self,
        trace_ids: Iterable[str],
        window: Window = ALWAYS,
        records: Sequence[LogRecord] = (),
        of_agents: Sequence[KeptSpan] = (),
    ) -> SQLiteStore:
        """Returns the copy with all spans of some traces, and some log records.

        Args:
            trace_ids: The traces.
            window: When their spans began.
            records: The log records.
            of_agents: Spans of the traces that log records of coding agents stand for.

        Raises:
            StoreError: ClickHouse cannot be read.
        """
        with self._lock:
            wanted = set(trace_ids)
            _, count = self._raw.counts()
            self._forget_agents(count)
            self._match(self._raw.of_traces(wanted, window), wanted, window)
            stale = {one for one in wanted & self._spans.keys() if self._logs.get(one) != count}
            self._has_agents = self._has_agents or bool(of_agents)
            found = [*self._raw.records(stale, window), *records]
            if found or of_agents:
                self._store.write(of_agents, found)
            self._logs.update(dict.fromkeys(stale, count))
            self._store.decide()
            return self._store

    def empty(self) -> SQLiteStore:
        """Returns the copy without any spans."""
        with self._lock:
            self._empty()
            return self._store

    def close(self) -> None:
        """Delete the copy."""
        with self._lock:
            self._store.close()
            if self._before is not None:
                self._before.close()
            self._folder.cleanup()

    def _forget_agents(self, records: int) -> None:
        """Start again if log records were deleted, and some of them may stand for spans."""
        if self._has_agents and records < self._records:
            self._empty()
        self._records = records

    def _follow(self) -> None:
        self._since = self._raw.latest(self._most, time.time_ns())
        window = Window(self._since, ALWAYS.until)
        places = self._raw.about_genai(window, self._most)
        known = {trace_id for trace_id, begin in self._begins.items() if begin >= self._since}
        self._match(places, known | {place[0] for place in places}, window.around())
        # Those of spans come with them, and these a second time, or for the first time.
        since = max(self._since, self._logs_until - _LATE)
        records = self._raw.records_of_threads(Window(bounded(since), ALWAYS.until))
        if self._spans:
            records += self._raw.records(list(self._spans), Window(bounded(since), ALWAYS.until))
        spans, others = self._raw.of_agents(Window(bounded(since), ALWAYS.until))
        self._has_agents = self._has_agents or bool(spans)
        records += others
        times = [*(one.time for one in records), *(one.span.end for one in spans)]
        if times:
            self._logs_until = max(times)
            self._store.write(spans, records)
        self._store.decide()

    def _match(self, places: Iterable[Place], asked: set[str], window: Window) -> None:
        """Add what is new in some traces, and start again if something is gone from them."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        begins: dict[str, int] = {}
        for trace_id, span_id, start in places:
            found[trace_id].add(span_id)
            begins[trace_id] = min(start, begins.get(trace_id, start))
        is_gone = any(self._spans.get(one, set()) - found.get(one, set()) for one in asked)
        is_full = sum(map(len, self._spans.values())) > 2 * self._most
        if is_gone or is_full:
            self._empty()
        known = {one: self._spans.get(one, set()) for one in found}
        new = [
            one
            for one, spans in found.items()
            if spans - known[one] and not (known[one] and one in self._raw.cut)
        ]
        pieces = (self._raw.read(some, window) for some, _ in self._raw.few(new, window))
        for spans in itertools.chain.from_iterable(pieces):
            records = self._raw.records({one.span.trace_id for one in spans}, window)
            # The raw table does not say when spans arrived. If a clock is a day ahead, the sender's
            # must be wrong, and its threads are not to stay on top.
            latest = time.time_ns() + DAY
            ahead = [one for one in spans if one.span.end > latest]
            if ahead:
                self._store.write(ahead, arrived=0)
            self._store.write([one for one in spans if one.span.end <= latest], records)
            for one in spans:
                self._spans.setdefault(one.span.trace_id, set()).add(one.span.span_id)
                begins[one.span.trace_id] = min(
                    one.span.start, begins.get(one.span.trace_id, one.span.start)
                )
        self._begins.update(begins)

    def _empty(self) -> None:
        if self._before is not None:
            self._before.close()
        # Others may still read from it.
        self._before = self._store if self._number else None
        self._number += 1
        self._store = SQLiteStore(Path(self._folder.name) / f"{self._number}.db")
        self._spans: dict[str, set[str]] = {}
        self._begins: dict[str, int] = {}
        #: How many log records there were in all when those of a trace were read.
        self._logs: dict[str, int] = {}
        self._logs_until = 0
        self._counts = None
        #: Whether it has spans that log records of coding agents stand for.
        self._has_agents = False
