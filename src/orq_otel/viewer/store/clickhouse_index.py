"""Writes what each thread did: decides on whole traces as SQLite's store does, and sums them up.

Traces are taken from the day they happened on, one day after the other, and afterwards as they
arrive. What was made of a trace is made anew whenever more of it arrives, or a part of it is gone.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND, bounded
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_days import Days
from orq_otel.viewer.store.clickhouse_feedback import Feedback, Threads
from orq_otel.viewer.store.clickhouse_rows import (
    LATEST_HOUR,
    Key,
    Row,
    add,
    gone,
    may_tell_the_same,
    nodes_of,
    of_day,
    scope_of,
)
from orq_otel.viewer.store.clickhouse_server import Server
from orq_otel.viewer.store.clickhouse_spans import ALWAYS, RawSpans, Window, few, with_records
from orq_otel.viewer.store.clickhouse_texts import Texts

#: How many traces are decided on together.
_TRACES: Final = 400
#: Days of more spans than this are summed up hour by hour.
_FEW: Final = 200_000
#: A trace that arrives takes so long to be seen, at most, in microseconds.
_UNSEEN: Final = 30_000_000
#: Another trace of a thread may report a call that began so much earlier, or ended so much before.
_EARLIER: Final = HOUR
_NEAR: Final = 10 * 60 * SECOND
#: The day of whatever began later than a column can say.
_LATEST: Final = LATEST_HOUR * SECOND // DAY
#: Of more traces of a thread at the same time, none is compared with new ones.
_CROWD: Final = 100

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
        self._texts = Texts(server, tables)
        self._feedback = Feedback(server, tables)
        self._days = Days(server, tables)
        self._lock = threading.Lock()
        self._cursor: int | None = None
        self._seen: dict[str, int] = {}
        self._rows = self._records = -1
        #: Days with rows that are not in their sums yet, and the first version of these.
        self._unsummed: dict[int, int] = {}
        #: Days of which it is noted that they have log records of coding agents.
        self._of_agents: set[int] = set()
        #: And of those that log records of other senders report.
        self._of_records: set[int] = set()

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
                " sum(evaluations), sum(agents), min(toUnixTimestamp64Nano(first)),"
                " max(toUnixTimestamp64Nano(last))"
                f" FROM {self._tables.name('arrivals')}"
                " WHERE arrived > fromUnixTimestamp64Micro({cursor:Int64}) GROUP BY trace_id"
                " ORDER BY latest",
                {"cursor": max(self._cursor - _UNSEEN, 0)},
            )
            new = [one for one in arrived if self._seen.get(one[0], -1) < one[1]]
            is_all = self._take_all(new, end)
            self._seen = {
                trace: last for trace, last in self._seen.items() if last > self._cursor - _UNSEEN
            }
            return is_all
        finally:
            self._lock.release()

    def _take_all(self, new: Sequence[tuple[Any, ...]], end: float) -> bool:
        """Sum up traces that have arrived, until some time. Returns whether that is all."""
        done = 0
        try:
            while done < len(new) and (not done or time.monotonic() < end):
                self._take(new[done : done + _TRACES])
                done += _TRACES
        finally:
            taken = new[:done]
            if taken:
                self._sum_days()
                self._seen.update((trace_id, last) for trace_id, last, *_ in taken)
                self._cursor = max(self._cursor or 0, taken[-1][1])
                self._tables.note("cursor", self._cursor)
        return done >= len(new)

    def _take(self, arrived: Sequence[tuple[Any, ...]]) -> None:
        """Sum up some traces."""
        window = _spanned(one[-2:] for one in arrived)
        version = self._tables.now()
        traces = [trace_id for trace_id, *_ in arrived if trace_id]
        # Of all else that a program does, nothing is read but its names of attributes.
        known = {key.trace_id for key in self._keys(traces, window.around())}
        known.update(self._raw.traces_about_genai(window, among=traces))
        self._write([one for one in traces if one in known], window, version)
        of_agents = [one for one in arrived if one[3]]
        if of_agents:
            theirs = self._take_agents(_spanned(one[-2:] for one in of_agents), version)
            for day in theirs - self._of_agents:
                self._tables.note(f"agents {day}", _SOME)
            self._of_agents |= theirs
        if any(evaluations for _, _, evaluations, *_ in arrived):
            self._evaluate(window, version)

    def _sum_days(self) -> None:
        """Sum up the days of rows that were written."""
        for day in [*self._unsummed]:
            self._days.sum_up(day, self._unsummed[day])
            del self._unsummed[day]

    def backfill(self, report: Progress) -> None:
        """Sum up all spans that are there, the latest day first.

        What was done before is not done again, unless all of it was.

        Args:
            report: Is called after each day.

        Raises:
            StoreError: ClickHouse cannot be read or written. The days before are done.
        """
        if self._tables.state("cursor") is None:
            self._tables.note("cursor", self._tables.now())
        counts = self._raw.days()
        of_agents = self._raw.days_of_agents()
        days = sorted({*counts, *of_agents}, reverse=True)
        done = self._tables.noted("day")
        begun = self._tables.state("round")
        if begun is None or all(done.get(day) == begun for day in days):
            begun = self._tables.now()
            self._tables.note("round", begun)
        left = [day for day in days if done.get(day) != begun]
        for day in left:
            self._sum_up(day, counts.get(day, 0), begun)
            self._tables.note(f"agents {day}", of_agents.get(day, 0))
            self._tables.note(f"day {day}", begun)
            number = len(days) - len(left) + left.index(day) + 1
            report(day, number, len(days))
        for day in {*self._raw.days_with_evaluations(), *self._feedback.days()}:
            self._evaluate_day(day)
        for day in {*self._days_of_rows()} - {min(day, _LATEST) for day in days}:
            self._forget(day, self._tables.now())
        self._sum_days()
        self._tables.note("swept", begun)

    def _sum_up(self, day: int, spans: int, begun: int) -> None:
        """Sum up all traces with spans of a day, and forget what is gone from it.

        What began before midnight was written with the day after, in the same round.
        """
        version = self._tables.now()
        width = DAY if spans <= _FEW else HOUR
        for begin in range(day * DAY, (day + 1) * DAY, width):
            window = Window(begin, begin + width)
            self._write(self._raw.traces_about_genai(window), window, version)
        self._take_agents(_of_agents(day), version)
        self._forget(day, begun)
        self._sum_days()

    def sweep(self) -> None:
        """Sum up anew what has changed, and forget what is gone from the Collector's table.

        Of the last two days, what has been missed is summed up as well.

        Raises:
            StoreError: ClickHouse cannot be read or written.
        """
        begun = self._tables.now()
        of_records = self._tables.noted("records")
        for day in self._days_of_rows():
            self._sweep_day(day, has_records=day in of_records)
            self._days.sum_up(day)  # a viewer may have ended before it did
        for day in {*self._raw.days_with_evaluations(), *self._feedback.days()}:
            self._evaluate_day(day)
        self._sweep_agents()
        self._tables.note("swept", begun)

    def sweep_if_due(self, seconds: float) -> float:
        """Sweep if no viewer has for some time. Returns in how many seconds it is due again.

        Args:
            seconds: The time.

        Raises:
            StoreError: ClickHouse cannot be read or written.
        """
        passed = (self._tables.now() - (self._tables.state("swept") or 0)) / 1_000_000
        if passed < seconds:
            return seconds - passed
        self.sweep()
        return seconds

    def _sweep_day(self, day: int, *, has_records: bool) -> None:
        activity = self._tables.name("activity")
        # The last hour is that of whatever began later.
        after = ALWAYS.until if day == _LATEST else (day + 1) * DAY
        window = Window(bounded(day * DAY), bounded(after))
        changed = self._raw.traces_unlike(
            f"SELECT trace_id, max(of_trace) AS number FROM {activity} FINAL"
            f" WHERE {of_day(day)} AND NOT {_IS_OF_AGENT} GROUP BY trace_id",
            window.around(),
            has_records=has_records,
        )
        version = self._tables.now()
        if version // 1_000_000 - day * DAY // SECOND < 2 * DAY // SECOND:
            known = f"SELECT trace_id FROM {activity} WHERE {of_day(day)}"
            changed += self._raw.traces_about_genai(window, known)
        for start in range(0, len(changed), _TRACES):
            with self._lock:
                self._write(changed[start : start + _TRACES], window, version)
        with self._lock:
            self._sum_days()

    def _sweep_agents(self) -> None:
        """Sum up anew the days that have other numbers of agents' log records than they had."""
        known = self._tables.noted("agents")
        if not any(known.values()):
            return  # as in most tables, which may have many other log records
        counts = self._raw.days_of_agents()
        for day in counts.keys() | known.keys():
            if counts.get(day, 0) != known.get(day, 0):
                version = self._tables.now()
                with self._lock:
                    self._take_agents(_of_agents(day), version)
                    self._forget(day, version, _IS_OF_AGENT)
                    self._sum_days()
                self._tables.note(f"agents {day}", counts.get(day, 0))

    def _evaluate_day(self, day: int) -> None:
        version = self._tables.now()
        self._evaluate(Window(bounded(day * DAY), bounded((day + 1) * DAY)), version)
        self._feedback.forget(day, version)

    def _evaluate(self, window: Window, version: int) -> None:
        """Find the threads of all evaluations of a time, whichever they name."""
        around = window.around()
        for records in self._raw.evaluations(window):
            traces = {one.trace_id for one in records if one.trace_id}
            traces.update(self._raw.of_responses(self._feedback.waiting(records), around))
            threads = Threads()
            self._find(threads, traces, around)
            # A user may look at an answer days after it was given.
            late = traces - threads.of_traces.keys()
            self._find(threads, late, self._times_of(late).around())
            self._feedback.write(records, threads, version)

    def _find(self, threads: Threads, traces: Iterable[str], window: Window) -> None:
        """Add the threads of what some traces did in a time."""
        for some, _ in self._raw.few(traces, window):
            threads.add(nodes_of(self._read(some, window)[0]).values())

    def _times_of(self, traces: Iterable[str]) -> Window:
        """Returns the time in which some traces did something in threads, whenever that was."""
        found = self._server.ask_of(
            traces,
            f"SELECT min(started), max(last_active) FROM {self._tables.name('activity')} FINAL"
            " WHERE trace_id IN {ids:Array(String)} AND thread_id != '' GROUP BY trace_id",
        )
        return _spanned(found)

    def sweep_if_fewer(self) -> None:
        """Sweep if spans or log records were deleted: a table has fewer rows than it had.

        Raises:
            StoreError: ClickHouse cannot be read or written. The next call sweeps again.
        """
        rows, records = self._raw.counts()
        if rows < self._rows:
            self.sweep()
        elif records < self._records:
            for day in self._tables.noted("records").keys() & {*self._days_of_rows()}:
                self._sweep_day(day, has_records=True)
            self._sweep_agents()
            self._tables.note("changed", 1)
        self._rows, self._records = rows, records

    def _forget(self, day: int, version: int, which: str = "1") -> None:
        """Forget rows of a day that are older than a version, and of a condition in SQL."""
        activity = self._tables.name("activity")
        gone = self._tables.now()
        self._unsummed.setdefault(day, gone)
        self._server.do(
            f"INSERT INTO {activity} (thread_id, hour, trace_id, service, version, is_deleted)"
            f" SELECT thread_id, hour, trace_id, service, {gone}, 1 FROM {activity} FINAL"
            f" WHERE {of_day(day)} AND version < {version} AND {which}"
        )
        self._texts.forget(day)

    def _days_of_rows(self) -> list[int]:
        found = self._server.ask(
            "SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(hour)), 86400) AS day"
            f" FROM {self._tables.name('activity')} ORDER BY day DESC"
        )
        return [int(day) for (day,) in found]

    def _write(
        self, trace_ids: Iterable[str], window: Window, version: int, *, is_first: bool = True
    ) -> None:
        """Write the rows of traces, of so many at a time as memory holds.

        Args:
            trace_ids: The traces.
            window: When some of their spans began.
            version: A time before they are read: of several decisions, that of the latest counts.
            is_first: Whether others of their threads are written again if a text is gone.
        """
        for some, within in self._raw.few(trace_ids, window, _TRACES):
            self._write_few(some, within, version, is_first=is_first)

    def _write_few(
        self, wanted: list[str], within: Window, version: int, *, is_first: bool
    ) -> None:
        """Decide on traces, with others that report the same calls, and write their rows."""
        spans, records = self._read(wanted, within)
        nodes = nodes_of(spans)
        context = self._neighbours(nodes.values(), set(wanted))
        if context:
            begin = min(first for _, first, _, _ in context)
            end = max(last for _, _, last, _ in context)
            others = [trace_id for trace_id, *_ in context]
            of_others = Window(bounded(begin), bounded(end) + 1)
            more, of_more = self._read(others, self._raw.bounds(others, of_others))
            spans, records = spans + more, records + of_more
            nodes = nodes_of(spans)
            within = Window(min(within.since, begin), max(within.until, end + 1))
            wanted += [trace_id for trace_id, _, _, is_near in context if is_near]
        # Evaluations may come long afterwards, and are looked after by themselves.
        of_records = {
            (one.trace_id or "", one.span_id, one.time, one.name, one.body)
            for one in records
            if one.name != EVALUATION
        }
        emitted = set(wanted)
        told = [one for one in spans if one.span.trace_id in emitted]
        counts = Counter(one.span.trace_id for one in told)
        counts.update(trace_id for trace_id, *_ in of_records)
        days, lost = self._emit(told, nodes, self._keys(wanted, within), counts, version)
        if of_records:
            for day in days - self._of_records:
                self._tables.note(f"records {day}", _SOME)
            self._of_records |= days
        self._feedback.write(records, Threads(nodes.values()), version)
        if lost and is_first:  # others of the thread may say it again
            others, theirs = self._traces_of(lost, within.around(), emitted)
            self._write(others, theirs, version, is_first=False)

    def _take_agents(self, window: Window, version: int) -> set[int]:
        """Write what log records of coding agents in a time stand for. Returns the days of rows."""
        days: set[int] = set()
        for threads in few(self._raw.threads_of_agents(window)):
            days |= self._write_agents(threads, window, version)
        return days

    def _write_agents(
        self, threads: Sequence[str], window: Window, version: int, *, is_first: bool = True
    ) -> set[int]:
        """Write the rows of what coding agents did in some threads and in a time.

        Nobody else reports it, so that it is decided on apart from other traces.
        """
        around = window.around()
        spans, records = self._raw.of_agents_in(threads, around)
        spans = list(with_records(spans, records))
        touched = {
            one.span.trace_id
            for one in spans
            if one.span.start < window.until and one.span.end >= window.since
        }
        told = [one for one in spans if one.span.trace_id in touched]
        before = self._keys(list(touched), around)
        days, lost = self._emit(told, nodes_of(spans), before, {}, version)
        if lost and is_first:
            days |= self._write_agents(list(lost), around, version, is_first=False)
        return days

    def _emit(
        self,
        told: Sequence[KeptSpan],
        nodes: Mapping[calls.Key, calls.Node],
        before: Sequence[Key],
        counts: Mapping[str, int],
        version: int,
    ) -> tuple[set[int], set[str]]:
        """Write the rows and texts of whole traces.

        Args:
            told: Their spans.
            nodes: What was decided on them.
            before: The rows that they had.
            counts: How many spans each trace has in the Collector's table, if it has any.
            version: As everywhere.

        Returns:
            The days of the rows, and the threads from which a text is gone.
        """
        rows: dict[Key, Row] = {}
        for one in told:
            node = nodes[one.span.trace_id, one.span.span_id]
            add(rows, calls.decided(one, node), node)
        days = {key.hour * SECOND // DAY for key in (*before, *rows)}
        for day in days:
            self._unsummed.setdefault(day, version)
        # Whoever is interrupted finds by their rows which texts and days there are to write.
        lost = self._texts.write(
            [(one, nodes[one.span.trace_id, one.span.span_id].thread) for one in told],
            {*before, *rows},
            version,
        )
        self._server.insert(
            self._tables.name("activity"),
            [
                *(
                    row.values(key, counts.get(key.trace_id, 0), version)
                    for key, row in rows.items()
                ),
                *(gone(key, version) for key in before if key not in rows),
            ],
        )
        return days, lost

    def _read(
        self, trace_ids: Collection[str], window: Window
    ) -> tuple[list[KeptSpan], list[LogRecord]]:
        records = self._raw.told(trace_ids, window.around())
        spans = [one for some in self._raw.read(trace_ids, window) for one in some]
        return list(with_records(spans, records)), records

    def _keys(self, trace_ids: Sequence[str], window: Window) -> list[Key]:
        """Returns the keys of the rows that traces have in a time."""
        found = self._server.ask_of(
            trace_ids,
            "SELECT thread_id, toInt64(toUnixTimestamp(hour)), trace_id, service"
            f" FROM {self._tables.name('activity')} FINAL WHERE trace_id IN {{ids:Array(String)}}"
            f" AND {_IN}",
            _hours(window),
        )
        return [Key(*key) for key in found]

    def _traces_of(
        self, threads: Iterable[str], window: Window, but: set[str]
    ) -> tuple[list[str], Window]:
        """Returns the first traces of some threads in a time, and when these did something."""
        found = self._server.ask_of(
            threads,
            "SELECT trace_id, min(started) AS begin, max(last_active)"
            f" FROM {self._tables.name('activity')} FINAL"
            f" WHERE thread_id IN {{ids:Array(String)}} AND {_IN} AND NOT {_IS_OF_AGENT}"
            " GROUP BY trace_id ORDER BY begin LIMIT {most:UInt64}",
            {"most": _CROWD + len(but), **_hours(window)},
        )
        others = [one for one in found if one[0] not in but]
        return [trace_id for trace_id, *_ in others], _spanned(one[1:] for one in others)

    def _neighbours(
        self, nodes: Iterable[calls.Node], known: set[str]
    ) -> list[tuple[str, int, int, bool]]:
        """Returns other traces that may report the same calls: their ids and times.

        Each with whether it is so near that it is decided on anew.
        """
        times: dict[str, tuple[int, int]] = {}
        scopes: defaultdict[str, set[str]] = defaultdict(set)
        for one in nodes:
            if one.thread is not None and (scope := scope_of(one)) is not None:
                begin, end = times.get(one.thread, (one.start, one.end))
                times[one.thread] = min(begin, one.start), max(end, one.end)
                scopes[one.thread].add(scope)
        if not times:
            return []
        found = self._server.ask_of(
            times,
            "SELECT thread_id, trace_id, min(started), max(last_active),"
            " groupUniqArrayArray(scopes)"
            f" FROM {self._tables.name('activity')} FINAL"
            " WHERE thread_id IN {ids:Array(String)} AND notEmpty(scopes)"
            f" AND {_IN} AND NOT {_IS_OF_AGENT} GROUP BY thread_id, trace_id",
            _hours(
                Window(
                    min(one for one, _ in times.values()) - HOUR,
                    max(one for _, one in times.values()) + HOUR,
                )
            ),
        )
        # What is decided anew for a neighbour depends on its own neighbours, of whatever scope.
        for thread_id, *_, others in found:
            scopes[thread_id].update(others)
        near: defaultdict[str, list[tuple[str, int, int, bool]]] = defaultdict(list)
        for thread_id, trace_id, started, last_active, _ in found:
            begin, end = times[thread_id]
            if (
                trace_id not in known
                and started <= end + _NEAR
                and last_active >= begin - _EARLIER
                and may_tell_the_same(scopes[thread_id])
            ):
                is_near = last_active >= begin - _NEAR
                near[thread_id].append((trace_id, started, last_active, is_near))
        return [one for some in near.values() if len(some) < _CROWD for one in some]


#: Parts of the table are left out by it.
_IN: Final = "hour >= fromUnixTimestamp({begin:Int64}) AND hour <= fromUnixTimestamp({end:Int64})"


#: Stands for an unknown number of log records.
_SOME: Final = -1
#: Whether a row is of what log records of coding agents stand for.
_IS_OF_AGENT: Final = "(of_trace = 0)"


def _spanned(times: Iterable[tuple[Any, ...]]) -> Window:
    """Returns the time from the first beginning to the last end."""
    begins, ends = zip(*times, strict=True) if (times := list(times)) else ((0,), (0,))
    return Window(bounded(min(begins)), bounded(max(ends)) + 1)


def _of_agents(day: int) -> Window:
    """Returns when log records report what began on a day: they come when it ends."""
    return Window(bounded(day * DAY), bounded((day + 1) * DAY + HOUR))


def _hours(window: Window) -> dict[str, int]:
    """Returns the parameters of `_IN`: the hours that a time touches."""
    begin, end = (min(max(one // SECOND, 0), LATEST_HOUR) for one in window)
    return {"begin": begin - begin % 3600, "end": end}
