"""Writes what each thread did: decides on whole traces as SQLite's store does, and sums them up.

Traces are taken from the day they happened on, one day after the other, and afterwards as they
arrive. What was made of a trace is made anew whenever more of it arrives, or a part of it is gone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.texts import tool_of
from orq_otel.viewer.model import KeptSpan
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND, bounded
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_server import Server
from orq_otel.viewer.store.clickhouse_spans import RawSpans, Window, with_records
from orq_otel.viewer.store.tally import COST_UNITS

_log = logging.getLogger(__name__)

#: How many traces are decided on together.
_TRACES: Final = 400
#: Days of more spans than this are summed up hour by hour.
_FEW: Final = 200_000
#: A trace that arrives takes so long to be seen, at most, in microseconds.
_UNSEEN: Final = 30_000_000
#: Another trace of a thread may tell of a call that began so much earlier, or ended so much before.
_EARLIER: Final = HOUR
_NEAR: Final = 10 * 60 * SECOND
#: Of more traces of a thread at the same time, none is compared with new ones.
_CROWD: Final = 100
#: The latest hour that a column has, in the year 2106.
_LATEST_HOUR: Final = 4_293_900_000
_NEVER: Final = 2**32 - 1

#: A day, by its number since the epoch, is done: (day, days done, days in all).
Progress = Callable[[int, int, int], None]


class Index:
    """What is written of a table.

    Args:
        server: Where it is.
        raw: The Collector's tables.
        tables: Ours.
    """

    def __init__(self, server: Server, raw: RawSpans, tables: Tables) -> None:
        self._server = server
        self._raw = raw
        self._tables = tables
        self._lock = threading.Lock()
        self._cursor: int | None = None
        self._seen: dict[str, int] = {}
        self._rows = -1

    def follow(self, seconds: float) -> bool:
        """Sum up what has arrived. Returns whether that is all.

        Args:
            seconds: No further traces are begun after so long.

        Raises:
            StoreError: ClickHouse cannot be read or written.
        """
        end = time.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            return False
        try:
            if self._cursor is None:
                self._cursor = self._tables.state("cursor") or 0
            arrived = self._server.ask(
                "SELECT trace_id, toInt64(max(toUnixTimestamp64Micro(arrived))) AS latest,"
                " min(toUnixTimestamp64Nano(first)), max(toUnixTimestamp64Nano(last))"
                f" FROM {self._tables.name('arrivals')}"
                " WHERE arrived > fromUnixTimestamp64Micro({cursor:Int64}) GROUP BY trace_id"
                " ORDER BY latest",
                {"cursor": max(self._cursor - _UNSEEN, 0)},
            )
            new = [one for one in arrived if self._seen.get(one[0], -1) < one[1]]
            for start in range(0, len(new), _TRACES):
                if start and time.monotonic() > end:
                    return False
                self._take(new[start : start + _TRACES])
            self._seen = {
                trace: last for trace, last in self._seen.items() if last > self._cursor - _UNSEEN
            }
            self._sweep_if_fewer()
            return True
        finally:
            self._lock.release()

    def _take(self, arrived: Sequence[tuple[Any, ...]]) -> None:
        window = Window(
            bounded(min(first for *_, first, _ in arrived)),
            bounded(max(last for *_, last in arrived)) + 1,
        )
        self._write([trace_id for trace_id, *_ in arrived], window, self._tables.now())
        self._seen.update((trace_id, last) for trace_id, last, *_ in arrived)
        self._cursor = max(self._cursor or 0, arrived[-1][1])
        self._tables.note("cursor", self._cursor)

    def backfill(self, report: Progress, *, anew: bool = False) -> None:
        """Sum up all spans that are there, the latest day first.

        What was done before is not done again, unless all of it was.

        Args:
            report: Is called after each day.
            anew: Whether nothing of it counts.

        Raises:
            StoreError: ClickHouse cannot be read or written. The days before are done.
        """
        if self._tables.state("cursor") is None:
            self._tables.note("cursor", self._tables.now())
        counts = self._raw.days()
        days = list(counts)
        done = self._tables.days_done()
        begun = self._tables.state("round") or 0
        if anew or all(done.get(day) == begun for day in days):
            begun = self._tables.now()
            self._tables.note("round", begun)
        left = [day for day in days if done.get(day) != begun]
        for day in left:
            self._sum_up(day, counts[day])
            self._tables.note(f"day {day}", begun)
            number = len(days) - len(left) + left.index(day) + 1
            report(day, number, len(days))
        for day in done.keys() - set(days):
            self._forget(day, self._tables.now())

    def _sum_up(self, day: int, spans: int) -> None:
        """Sum up all traces with spans of a day, and forget what is gone from it."""
        version = self._tables.now()
        width = DAY if spans <= _FEW else HOUR
        for begin in range(day * DAY, (day + 1) * DAY, width):
            window = Window(begin, begin + width)
            traces = self._raw.traces_about_genai(window)
            for start in range(0, len(traces), _TRACES):
                self._write(traces[start : start + _TRACES], window, version)
        self._forget(day, version)

    def sweep(self) -> None:
        """Sum up anew what has changed, and forget what is gone from the Collector's table.

        Of the last two days, what has been missed is summed up as well.
        """
        activity = self._tables.name("activity")
        days = self._server.ask(
            f"SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(hour)), 86400) FROM {activity}"
        )
        for (day,) in days:
            window = Window(bounded(day * DAY), bounded((day + 1) * DAY))
            changed = self._raw.traces_unlike(
                f"SELECT trace_id, max(of_trace) AS spans FROM {activity} FINAL"
                f" WHERE {_of_day(day)} GROUP BY trace_id",
                window.around(),
            )
            version = self._tables.now()
            if version // 1_000_000 - day * DAY // SECOND < 2 * DAY // SECOND:
                known = f"SELECT trace_id FROM {activity} WHERE {_of_day(day)}"
                changed += self._raw.traces_about_genai(window, known)
            for start in range(0, len(changed), _TRACES):
                self._write(changed[start : start + _TRACES], window, version)

    def _sweep_if_fewer(self) -> None:
        """Sweep if spans were deleted: the table has fewer rows than it had."""
        rows, _ = self._raw.counts()
        if 0 <= rows < self._rows:
            self.sweep()
        self._rows = rows

    def _forget(self, day: int, version: int) -> None:
        """Forget rows of a day that are older than a version."""
        activity = self._tables.name("activity")
        self._server.do(
            f"INSERT INTO {activity} (thread_id, hour, trace_id, service, version, is_deleted)"
            f" SELECT thread_id, hour, trace_id, service, {self._tables.now()}, 1"
            f" FROM {activity} FINAL"
            f" WHERE {_of_day(day)} AND version < {version}"
        )

    def _write(self, trace_ids: Iterable[str], window: Window, version: int) -> None:
        """Decide on traces, with others that tell of the same calls, and write their rows.

        Args:
            trace_ids: The traces.
            window: When some of their spans began.
            version: A time before they are read: of several decisions, that of the latest counts.
        """
        wanted = list(dict.fromkeys(trace_ids))
        if not wanted:
            return
        within = self._raw.bounds(wanted, window)
        spans = list(self._read(wanted, within))
        context = self._neighbours(_nodes(spans).values(), set(wanted))
        others = [trace_id for trace_id, *_ in context]
        if others:
            begin = min(first for _, first, _, _ in context)
            end = max(last for _, _, last, _ in context)
            of_others = Window(bounded(begin), bounded(end) + 1)
            spans += self._read(others, self._raw.bounds(others, of_others))
            within = Window(min(within.since, begin), max(within.until, end + 1))
            wanted += [trace_id for trace_id, _, _, is_near in context if is_near]
        nodes = _nodes(spans)
        rows: dict[_Key, _Row] = {}
        counts: defaultdict[str, int] = defaultdict(int)
        emitted = set(wanted)
        for one in spans:
            if one.span.trace_id in emitted:
                counts[one.span.trace_id] += 1
                node = nodes[one.span.trace_id, one.span.span_id]
                _add(rows, calls.decided(one, node), node)
        self._server.insert(
            self._tables.name("activity"),
            [
                *(row.values(key, counts[key.trace_id], version) for key, row in rows.items()),
                *(
                    _gone(key, version)
                    for key in self._keys(wanted)
                    if key not in rows and within.since < (key.hour + 3600) * SECOND
                    if key.hour * SECOND < within.until
                ),
            ],
        )

    def _read(self, trace_ids: Sequence[str], window: Window) -> Iterator[KeptSpan]:
        for spans in self._raw.read(trace_ids, window):
            yield from with_records(spans, self._raw.records(trace_ids, window.around()))

    def _keys(self, trace_ids: Sequence[str]) -> list[_Key]:
        found = self._server.ask(
            "SELECT thread_id, toInt64(toUnixTimestamp(hour)), trace_id, service"
            f" FROM {self._tables.name('activity')} FINAL WHERE trace_id IN {{ids:Array(String)}}",
            {"ids": list(trace_ids)},
        )
        return [_Key(*key) for key in found]

    def _neighbours(
        self, nodes: Iterable[calls.Node], known: set[str]
    ) -> list[tuple[str, int, int, bool]]:
        """Returns other traces that may tell of the same calls: their ids and times.

        Each with whether it is so near that it is decided on anew.
        """
        times: dict[str, tuple[int, int]] = {}
        scopes: defaultdict[str, set[str]] = defaultdict(set)
        for one in nodes:
            if one.thread is not None and (scope := _scope(one)) is not None:
                begin, end = times.get(one.thread, (one.start, one.end))
                times[one.thread] = min(begin, one.start), max(end, one.end)
                scopes[one.thread].add(scope)
        if not times:
            return []
        found = self._server.ask(
            "SELECT thread_id, trace_id, min(started), max(last_active),"
            " groupUniqArrayArray(scopes)"
            f" FROM {self._tables.name('activity')} FINAL"
            " WHERE thread_id IN {threads:Array(String)} AND notEmpty(scopes)"
            " AND hour >= fromUnixTimestamp({begin:Int64})"
            " AND hour <= fromUnixTimestamp({end:Int64})"
            " GROUP BY thread_id, trace_id",
            {
                "threads": list(times),
                "begin": max((min(one for one, _ in times.values()) - 2 * HOUR) // SECOND, 0),
                "end": min((max(one for _, one in times.values()) + HOUR) // SECOND, _LATEST_HOUR),
            },
        )
        near: defaultdict[str, list[tuple[str, int, int, bool]]] = defaultdict(list)
        for thread_id, trace_id, started, last_active, others in found:
            begin, end = times[thread_id]
            if (
                trace_id not in known
                and started <= end + _NEAR
                and last_active >= begin - _EARLIER
                and _may_tell_the_same(scopes[thread_id].union(others))
            ):
                is_near = last_active >= begin - _NEAR
                near[thread_id].append((trace_id, started, last_active, is_near))
        return [one for some in near.values() if len(some) < _CROWD for one in some]


def _of_day(day: int) -> str:
    """Returns SQL for whether a row is of a day, by which parts of the table are left out."""
    begin, end = (min(max(one, 0) * DAY // SECOND, _NEVER) for one in (day, day + 1))
    return f"hour >= toDateTime({begin}, 'UTC') AND hour < toDateTime({end}, 'UTC')"


class _Key(NamedTuple):
    """What a row is about. The hour is in seconds since the epoch."""

    thread_id: str
    hour: int
    trace_id: str
    service: str


def _nodes(spans: Iterable[KeptSpan]) -> dict[calls.Key, calls.Node]:
    """Returns what is decided on spans, by their own facts and each other's."""
    nodes = {
        (one.span.trace_id, one.span.span_id): calls.node_of(one.span, one.facts)
        for one in sorted(spans, key=lambda one: one.span.start)
    }
    calls.decide(list(nodes.values()))
    return nodes


def _scope(node: calls.Node) -> str | None:
    """Returns the instrumentation that tells of a call, or None if a span tells of none.

    For a record of another call, which any span may tell again, it is `_RECORD`.
    """
    if node.operation is None:
        return _RECORD if node.is_call else None
    if node.is_record or node.operation == "fetch_response":
        return _RECORD
    return node.scope


#: No instrumentation has this name.
_RECORD: Final = "\t"


def _may_tell_the_same(scopes: set[str]) -> bool:
    """Whether spans of a thread may tell of one call: one instrumentation does so once."""
    return len(scopes) > 1 or _RECORD in scopes


class _Row:
    """What a thread did in a trace and an hour."""

    def __init__(self, start: int) -> None:
        self.started = self.last_active = start
        self.sums = [0] * 7
        self.title: tuple[int, str, str] | None = None
        self.tags: dict[str, tuple[int, int]] = {}
        self.models: dict[str, int] = {}
        self.facets: set[tuple[str, str]] = set()
        self.scopes: set[str] = set()
        self.seconds: dict[int, list[int]] = {}
        self.calls: list[tuple[int, int]] = []

    def add(self, kept: KeptSpan, node: calls.Node, hour: int) -> None:
        """Count a span, by what was decided on it."""
        span, facts = kept.span, kept.facts
        start, end = span.start, max(span.start, span.end)
        self.started = min(self.started, start)
        self.last_active = max(self.last_active, end)
        cost = None if facts.cost is None else round(facts.cost * COST_UNITS)
        tokens = (facts.input_tokens or 0, facts.output_tokens or 0)
        counted = (1, int(facts.is_error), *tokens, cost or 0)
        second = min(max(start // SECOND - hour, 0), 2**16 - 1)
        here = self.seconds.setdefault(second, [0] * 5)
        for place, value in enumerate(counted):
            self.sums[place] += value
            here[place] += value
        self.sums[5] += cost is not None
        self.sums[6] += cost is None and facts.is_model_call
        if facts.is_model_call:
            self.calls.append((second, end - start))
        said = facts.said
        found = {
            "model": facts.model,
            "user": said and said.user,
            "agent": said and said.agent,
            "tool": tool_of(span, facts),
            "service": span.service,
        }
        self.facets.update((kind, value) for kind, value in found.items() if value)
        if (scope := _scope(node)) is not None:
            self.scopes.add(scope)
        if facts.title is not None:
            title = (start, span.span_id, facts.title)
            self.title = title if self.title is None else min(self.title, title)
        for place, tag in enumerate(facts.tags):
            self.tags[tag] = min(self.tags.get(tag, (start, place)), (start, place))
        if facts.model is not None:
            self.models[facts.model] = min(self.models.get(facts.model, start), start)

    def values(self, key: _Key, of_trace: int, version: int) -> dict[str, Any]:
        """Returns the row's columns."""
        title_start, title_span, title = self.title or (0, "", "")
        names = (
            *("spans", "errors", "input_tokens", "output_tokens", "cost"),
            *("priced", "unpriced"),
        )
        return {
            **key._asdict(),
            "started": self.started,
            "last_active": self.last_active,
            **dict(zip(names, self.sums, strict=True)),
            "title": title,
            "title_start": title_start,
            "title_span": title_span,
            "tags": [[tag, *first] for tag, first in self.tags.items()],
            "models": list(self.models.items()),
            "facets": sorted(self.facets),
            "scopes": sorted(self.scopes),
            "seconds": list(self.seconds),
            "of_seconds": list(self.seconds.values()),
            "calls": self.calls,
            "of_trace": of_trace,
            "version": version,
            "is_deleted": 0,
        }


def _gone(key: _Key, version: int) -> dict[str, Any]:
    row = _Row(0).values(key, 0, version)
    return {**row, "is_deleted": 1}


def _add(rows: dict[_Key, _Row], kept: KeptSpan, node: calls.Node) -> None:
    """Count a span in its row. Spans of no thread count if they name an operation."""
    span, facts = kept.span, kept.facts
    if facts.thread_id is None and facts.operation is None:
        return
    hour = min(max(span.start - span.start % HOUR, 0) // SECOND, _LATEST_HOUR)
    key = _Key(facts.thread_id or "", hour, span.trace_id, span.service)
    row = rows.get(key)
    if row is None:
        row = rows[key] = _Row(span.start)
    row.add(kept, node, hour)
