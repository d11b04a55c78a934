"""Spans and log records of the Collector's tables, read as they were sent.

All attributes are texts in the usual tables, and values of JSON in the newest. `dialects/` reads
numbers and lists from texts as well.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from orq_otel.viewer.conversation import facts
from orq_otel.viewer.conversation.evaluations import RESPONSE_IDS
from orq_otel.viewer.dialects import logged
from orq_otel.viewer.dialects.table import SESSIONS, THREAD_IDS
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.store.buckets import DAY, SECOND, bounded
from orq_otel.viewer.store.clickhouse_rows import NEVER
from orq_otel.viewer.store.clickhouse_server import Server, parts
from orq_otel.viewer.store.clickhouse_tables import Table, quoted

_log = logging.getLogger(__name__)

#: How many traces are found at most by an id of theirs.
_IDS: Final = 2_000
_HEXADECIMAL: Final = re.compile("[0-9a-f]{32} [0-9a-f]{16}")
#: How many log records, and spans, one query returns at most. Where all of them count, it is asked
#: again for the others.
_LOG_SIZE: Final = 20_000
#: So many evaluations are looked at together.
_EVALUATIONS: Final = 2_000
_MOST: Final = 200_000
#: Log records that belong to a thread and to no span name it by one of these.
_LOG_IDS: Final = tuple(name for name in THREAD_IDS if name not in {"thread.id", *SESSIONS})
_SCORE: Final = "gen_ai.evaluation.score.value"
#: How many bytes are held in memory at a time, unless one trace has more: texts, and what a span or
#: a log record takes beside them.
_HELD: Final = 32 * 2**20
_EACH: Final = 4096
#: How far from one span of a trace others are looked for.
_AROUND: Final = DAY

#: What a query returns.
Row = tuple[Any, ...]
#: The ids of a trace and a span, and when it began.
Place = tuple[str, str, int]


class Window(NamedTuple):
    """A time in which spans began: from its first nanosecond up to but without its last."""

    since: int
    until: int

    def around(self) -> Window:
        """Returns the time in which other spans of the same traces began."""
        return Window(bounded(self.since - _AROUND), bounded(self.until + _AROUND))


ALWAYS: Final = Window(0, 2**63 - 1)


def few(sizes: Mapping[str, int], most: int = _MOST) -> Iterator[list[str]]:
    """Yields ids, so many at a time that memory holds what they stand for.

    Args:
        sizes: How many bytes that takes for each.
        most: How many ids come at a time at most.
    """
    some: list[str] = []
    held = 0
    for one, size in sizes.items():
        if some and (held + size > _HELD or len(some) == most):
            yield some
            some, held = [], 0
        some.append(one)
        held += size
    if some:
        yield some


class RawSpans:
    """The Collector's tables.

    Args:
        server: Where they are.

    Raises:
        StoreError: They cannot be read.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.table = Table.of_spans(server)
        self.logs_table = Table.of_logs(server)
        self._times = Table.of_times(server, self.table)
        self._where = server.address.scope("ServiceName")
        self._values = server.address.scope_values
        #: Traces with too many spans, of which only the first are read.
        self.cut: set[str] = set()

    def counts(self) -> tuple[int, int]:
        """Returns how many rows the tables of spans and of log records have."""
        if self.logs_table is None:
            self.logs_table = Table.of_logs(self._server)
        count = f"(SELECT count() FROM {self.table.sql})"
        logs = "0" if self.logs_table is None else f"(SELECT count() FROM {self.logs_table.sql})"
        ((spans, records),) = self._server.ask(f"SELECT {count}, {logs}")
        return int(spans), int(records)

    def latest(self, most: int, until: int) -> int:
        """Returns from when on there are not many more spans than a number, in nanoseconds.

        That is the latest hour with spans at the latest, however many it has.
        """
        days = 1
        while True:
            since = until - days * DAY if days < _MOST_DAYS else 0
            found = self._ask(
                "SELECT toInt64(toUnixTimestamp(toStartOfHour(Timestamp))), count()"
                f" FROM {self.table.sql} WHERE {_IN} AND {self._where}"
                " GROUP BY 1 ORDER BY 1 DESC",
                Window(since, ALWAYS.until),
            )
            total = sum(count for _, count in found)
            if since == 0 and total <= most:
                return 0
            if since == 0 or total >= most:
                break
            days *= 8
        begin = 0
        for hour, count in found:
            most -= count
            if most < 0 and begin:
                break
            begin = hour * 10**9
        return max(begin, 0)

    def about_genai(self, window: Window, most: int) -> list[Place]:
        """Returns all spans of traces that say something about threads, the latest first."""
        found = self._ask(
            f"SELECT TraceId, SpanId, toUnixTimestamp64Nano(Timestamp) FROM {self.table.sql}"
            f" WHERE {_IN} AND {self._where} AND TraceId IN ("
            f"SELECT TraceId FROM {self.table.sql} WHERE {_IN} AND {self._where}"
            f" AND {self.table.is_about_genai()})"
            " ORDER BY Timestamp DESC LIMIT 1 BY TraceId, SpanId LIMIT {most:UInt64}",
            window,
            most=most,
        )
        return [place for place in found if _is_valid(place)]

    def traces_about_genai(
        self, window: Window, but: str = "", among: Sequence[str] = ()
    ) -> list[str]:
        """Returns the traces that say something about threads in a time, by their first such span.

        Args:
            window: The time.
            but: SQL for the ids of traces that are left out, or "".
            among: The traces in question, or none for all.
        """
        others = f" AND TraceId NOT IN ({but})" if but else ""
        others += " AND TraceId IN {ids:Array(String)}" if among else ""
        query = (
            f"SELECT TraceId FROM {self.table.sql}"
            f" WHERE {_IN} AND {self._where} AND {self.table.is_about_genai()}{others}"
            " GROUP BY TraceId ORDER BY min(Timestamp)"
        )
        found = self._ask_of(among, query, window) if among else self._ask(query, window)
        return [trace_id for (trace_id,) in found]

    def bounds(self, trace_ids: Sequence[str], window: Window) -> Window:
        """Returns the time in which all spans of some traces began.

        The exporter notes it, up to the year 2106, and maybe a moment after they have arrived.
        Where it does not, they are looked for around some of them.

        Args:
            trace_ids: The traces.
            window: When some of their spans began.
        """
        if self._times is not None and window.until < NEVER * SECOND:
            found = self._ask_of(
                wanted := set(trace_ids),
                "SELECT uniqExact(TraceId) AS found, toInt64(toUnixTimestamp(min(Start))),"
                f" toInt64(toUnixTimestamp(max(End))) FROM {self._times.sql}"
                " WHERE TraceId IN {ids:Array(String)} HAVING found > 0",
                window,
            )
            if found and sum(count for count, _, _ in found) == len(wanted):
                begin, end = min(one for _, one, _ in found), max(one for *_, one in found)
                begin, end = bounded(begin * SECOND), bounded((end + 1) * SECOND)
                return Window(min(window.since, begin), max(window.until, end))
        return window.around()

    def few(
        self, trace_ids: Iterable[str], window: Window, most: int = _MOST
    ) -> Iterator[tuple[list[str], Window]]:
        """Yields traces, so many at a time that memory holds them, and when all their spans began.

        Args:
            trace_ids: The traces.
            window: When some of their spans began.
            most: How many traces come at a time at most.
        """
        for some in parts(trace_ids):
            within = self.bounds(some, window)
            sizes = dict.fromkeys(some, 0)
            for trace_id, size in self._ask(
                f"SELECT TraceId, sum(size) FROM ({self._sized()}) GROUP BY TraceId",
                within,
                ids=some,
            ):
                sizes[trace_id] = int(size)
            for one in few(sizes, most):
                yield one, within

    def _sized(self) -> str:
        """Returns SQL for what each span of some traces takes, and each of their log records."""
        where = f"WHERE {_IN} AND {self._where} AND {_OF_TRACES}"
        told = f"byteSize(SpanAttributes, Events.Attributes) + {_EACH} AS size"
        sized = f"SELECT TraceId, {told} FROM {self.table.sql} {where}"
        logs = self.logs_table
        if logs is not None:
            told = f"byteSize(Body, LogAttributes) + {_EACH} AS size"
            sized += f" UNION ALL SELECT TraceId, {told} FROM {logs.sql} {where} AND {_tells(logs)}"
        return sized

    def days(self) -> dict[int, int]:
        """Returns the days on which spans began, the latest first, and how many each has.

        Days are numbers since the epoch.
        """
        found = self._ask(
            "SELECT intDiv(toUnixTimestamp64Milli(Timestamp), 86400000) AS day, count()"
            f" FROM {self.table.sql} WHERE {self._where} GROUP BY day ORDER BY day DESC",
            ALWAYS,
        )
        return {int(day): int(count) for day, count in found}

    def traces_unlike(self, known: str, window: Window, *, has_records: bool) -> list[str]:
        """Returns traces that have other numbers than are known.

        Args:
            known: SQL for their ids, `trace_id`, and how many spans and `told` records they have
                together, `number`.
            window: The time in which they began.
            has_records: Whether any of them may have such log records: those of all programs take
                long to look through.
        """
        among = f"{_IN} AND {self._where} AND TraceId IN (SELECT trace_id FROM ({known}))"
        theirs = (
            f"SELECT TraceId, uniqExact(SpanId) AS one FROM {self.table.sql} WHERE {among}"
            " GROUP BY TraceId"
        )
        logs = self.logs_table
        if has_records and logs is not None:
            record = f"SpanId, Timestamp, {logs.event_name()}, Body"
            theirs += (
                f" UNION ALL SELECT TraceId, uniqExact({record}) FROM {logs.sql} WHERE {among}"
                f" AND {_tells(logs)} AND NOT {logs.is_evaluation()} GROUP BY TraceId"
            )
        found = self._ask(
            f"SELECT ours.trace_id FROM ({known}) AS ours LEFT JOIN (SELECT TraceId AS trace_id,"
            f" sum(one) AS number FROM ({theirs}) GROUP BY TraceId) AS theirs"
            " ON ours.trace_id = theirs.trace_id WHERE ours.number != theirs.number",
            window,
        )
        return [trace_id for (trace_id,) in found]

    def of_traces(self, trace_ids: Iterable[str], window: Window = ALWAYS) -> list[Place]:
        """Returns all spans of some traces."""
        found = self._ask_of(
            trace_ids,
            f"SELECT TraceId, SpanId, toUnixTimestamp64Nano(Timestamp) FROM {self.table.sql}"
            f" WHERE {_IN} AND {self._where} AND TraceId IN {{ids:Array(String)}}"
            " LIMIT 1 BY TraceId, SpanId",
            window,
        )
        return [place for place in found if _is_valid(place)]

    def of_thread(self, thread_id: str) -> list[str]:
        """Returns the traces that have a thread's id on a span."""
        found = self._ask(
            f"SELECT DISTINCT TraceId FROM {self.table.sql}"
            f" WHERE {_IN} AND {self._where} AND {self.table.has_id('{ids:Array(String)}')}"
            f" LIMIT {_IDS}",
            ALWAYS,
            ids=[thread_id],
        )
        return [trace_id for (trace_id,) in found]

    def read(self, trace_ids: Iterable[str], window: Window = ALWAYS) -> Iterator[list[KeptSpan]]:
        """Yields the spans of some traces, each with its own facts, in pieces of whole traces.

        A span that was written twice comes once. Of a trace with too many spans, the first come.
        """
        for some in parts(trace_ids):
            yield from self._read(some, window)

    def _read(self, trace_ids: list[str], window: Window) -> Iterator[list[KeptSpan]]:
        first = " ORDER BY Timestamp" if len(trace_ids) == 1 else ""
        found = self._ask(
            f"SELECT {_columns(self.table)} FROM {self.table.sql} WHERE {_IN} AND {self._where}"
            f" AND TraceId IN {{ids:Array(String)}}{first} LIMIT 1 BY TraceId, SpanId"
            f" LIMIT {_MOST}",
            window,
            ids=trace_ids,
        )
        if len(found) == _MOST and first and trace_ids[0] not in self.cut:
            self.cut.add(trace_ids[0])
            _log.warning(
                "The trace %s has more than %s spans: only the first of them are counted and"
                " shown. Let its program begin a new trace for each request.",
                trace_ids[0],
                f"{_MOST:,}",
            )
        if len(found) < _MOST or first:
            yield [_kept(row) for row in found if _is_valid(row)]
            return
        half = len(trace_ids) // 2
        yield from self._read(trace_ids[:half], window)
        yield from self._read(trace_ids[half:], window)

    def of_responses(self, responses: Sequence[str], window: Window) -> list[str]:
        """Returns the traces with calls that were answered with some responses."""
        has = " OR ".join(
            f"{self.table.attribute(name)} IN {{ids:Array(String)}}" for name in RESPONSE_IDS
        )
        hint = ""
        if not self.table.is_json():
            hint = " AND hasAny(mapValues(SpanAttributes), {ids:Array(String)})"
        found = self._ask_of(
            responses,
            f"SELECT DISTINCT TraceId FROM {self.table.sql}"
            f" WHERE {_IN} AND {self._where}{hint} AND ({has}) LIMIT {_IDS}",
            window,
        )
        return [trace_id for (trace_id,) in found]

    def evaluations(self, window: Window) -> Iterator[list[LogRecord]]:
        """Yields the evaluations of a time, sorted by it, so many at a time."""
        if self.logs_table is not None:
            for rows in self._log_rows(self.logs_table.is_evaluation(), window):
                found = _records(rows)
                for start in range(0, len(found), _EVALUATIONS):
                    yield found[start : start + _EVALUATIONS]

    def evaluations_of(self, trace_ids: Iterable[str], window: Window) -> list[LogRecord]:
        """Returns the evaluations of some traces in a time."""
        if self.logs_table is None:
            return []
        where = f"{_OF_TRACES} AND {self.logs_table.is_evaluation()}"
        found = (self._records(where, window, ids=some) for some in parts(trace_ids))
        return [*itertools.chain.from_iterable(found)]

    def evaluations_of_responses(
        self, trace_ids: Iterable[str], window: Window, evaluated: Window
    ) -> list[LogRecord]:
        """Returns the evaluations that name nothing but a response of some traces.

        Args:
            trace_ids: The traces.
            window: When their spans began.
            evaluated: The time of the evaluations.
        """
        table = self.logs_table
        if table is None:
            return []
        of_spans = ", ".join(map(self.table.attribute, RESPONSE_IDS))
        found = self._ask_of(
            trace_ids,
            f"SELECT DISTINCT arrayJoin([{of_spans}]) AS response FROM {self.table.sql}"
            f" WHERE {_IN} AND {self._where} AND TraceId IN {{ids:Array(String)}}"
            " AND response != ''",
            window,
        )
        of_logs = (table.attribute(name, "LogAttributes") for name in RESPONSE_IDS)
        has = " OR ".join(f"{one} IN {{ids:Array(String)}}" for one in of_logs)
        where = f"TraceId = '' AND {table.is_evaluation()} AND ({has})"
        told = (
            self._records(where, evaluated, ids=some)
            for some in parts(response for (response,) in found)
        )
        return [*itertools.chain.from_iterable(told)]

    def days_with_evaluations(self) -> list[int]:
        """Returns the days that have evaluations, as numbers since the epoch."""
        if self.logs_table is None:
            return []
        found = self._ask(
            "SELECT DISTINCT intDiv(toUnixTimestamp64Milli(Timestamp), 86400000)"
            f" FROM {self.logs_table.sql} WHERE {self.logs_table.is_evaluation()}",
            ALWAYS,
        )
        return [int(day) for (day,) in found]

    def records(self, trace_ids: Collection[str], window: Window = ALWAYS) -> list[LogRecord]:
        """Returns the log records of some traces, sorted by time.

        Of those that say nothing of conversations, the first come if there are many.
        """
        found: list[LogRecord] = []
        for some in parts(trace_ids):
            rows = self._first_log_rows(_OF_TRACES, window, _LOG_SIZE, ids=some)
            if len(rows) == _LOG_SIZE:
                rows += self._told_rows(some, Window(rows[-1][_TIME], window.until))
            found += _records(rows)
        return found

    def told(self, trace_ids: Iterable[str], window: Window) -> list[LogRecord]:
        """Returns those log records of some traces that may say something of conversations."""
        return [
            record
            for some in parts(trace_ids)
            for record in _records(self._told_rows(some, window))
        ]

    def _told_rows(self, trace_ids: list[str], window: Window) -> list[Row]:
        table = self.logs_table
        if table is None:
            return []
        where = f"{_OF_TRACES} AND {_tells(table)}"
        return [row for rows in self._log_rows(where, window, ids=trace_ids) for row in rows]

    def records_of_threads(self, window: Window = ALWAYS) -> list[LogRecord]:
        """Returns log records that belong to threads and to no span, sorted by time."""
        if self.logs_table is None:
            return []
        keys = self.logs_table.keys("LogAttributes")
        names = ", ".join(f"'{name}'" for name in _LOG_IDS)
        rows = self._first_log_rows(
            f"TraceId = '' AND (hasAny({keys}, [{names}])"
            f" OR {self.logs_table.has_thread_id('LogAttributes')}"
            f" OR {self.logs_table.event_name()} LIKE 'gen_ai.%')",
            window,
            _MOST,
        )
        return _records(rows)

    def of_agents(self, window: Window = ALWAYS) -> tuple[list[KeptSpan], list[LogRecord]]:
        """Returns what the latest log records of coding agents stand for, sorted by time.

        Those of Claude Code, Codex and others who send no spans: `dialects.logged` has them.
        """
        table = self.logs_table
        if table is None:
            return [], []
        ((first,),) = self._ask(
            f"SELECT toUnixTimestamp64Nano(min(Timestamp)) FROM (SELECT Timestamp FROM {table.sql}"
            f" WHERE {_IN} AND {self._where} AND {table.is_of_agent()}"
            f" ORDER BY Timestamp DESC LIMIT {_LOG_SIZE})",
            window,
        )
        latest = Window(max(int(first), window.since), window.until)
        return _told(self._records(table.is_of_agent(), latest))

    def of_agents_in(
        self, threads: Sequence[str], window: Window
    ) -> tuple[list[KeptSpan], list[LogRecord]]:
        """Returns what the log records of coding agents in some threads stand for."""
        table = self.logs_table
        if table is None:
            return [], []
        where = f"{table.is_of_agent()} AND {table.conversation()} IN {{ids:Array(String)}}"
        found = (self._records(where, window, ids=some) for some in parts(threads))
        return _told(itertools.chain.from_iterable(found))

    def threads_of_agents(self, window: Window) -> dict[str, int]:
        """Returns the threads of coding agents in a time, and how many bytes it takes to hold each.

        Those are of their log records.
        """
        table = self.logs_table
        if table is None:
            return {}
        found = self._ask(
            f"SELECT {table.conversation()} AS thread, sum(byteSize(Body, LogAttributes) + {_EACH})"
            f" FROM {table.sql}"
            f" WHERE {_IN} AND {self._where} AND {table.is_of_agent()} AND thread != ''"
            " GROUP BY thread ORDER BY thread",
            window,
        )
        return {thread: int(size) for thread, size in found}

    def days_of_agents(self) -> dict[int, int]:
        """Returns how many log records of coding agents each day has."""
        table = self.logs_table
        if table is None:
            return {}
        found = self._ask(
            "SELECT intDiv(toUnixTimestamp64Milli(Timestamp), 86400000) AS day, count()"
            f" FROM {table.sql} WHERE {self._where} AND {table.is_of_agent()} GROUP BY day",
            ALWAYS,
        )
        return {int(day): int(count) for day, count in found}

    def records_of_thread(self, thread_id: str) -> list[LogRecord]:
        """Returns log records that have a thread's id and belong to no span, sorted by time."""
        if self.logs_table is None:
            return []
        table = self.logs_table
        texts = ", ".join(table.attribute(name, "LogAttributes") for name in THREAD_IDS)
        hint = ""
        if not table.is_json("LogAttributes"):
            hint = " AND hasAny(mapValues(LogAttributes), [{id:String}])"
        rows = self._first_log_rows(
            f"TraceId = ''{hint} AND has([{texts}], {{id:String}}) AND NOT {table.is_of_agent()}",
            ALWAYS,
            _LOG_SIZE,
            id=thread_id,
        )
        return _records(rows)

    def _records(self, where: str, window: Window, **values: Any) -> Iterator[LogRecord]:
        for rows in self._log_rows(where, window, **values):
            yield from _records(rows)

    def _log_rows(self, where: str, window: Window, **values: Any) -> Iterator[list[Row]]:
        """Yields all log records of a condition, sorted by time, those of one time together."""
        most = _LOG_SIZE
        while True:
            rows = self._first_log_rows(where, window, most, **values)
            if len(rows) < most:
                yield rows
                return
            last = rows[-1][_TIME]
            if some := [row for row in rows if row[_TIME] < last]:
                yield some
                window = Window(last, window.until)
            else:
                most *= 2

    def _first_log_rows(self, where: str, window: Window, most: int, **values: Any) -> list[Row]:
        table = self.logs_table
        if table is None:
            return []
        return self._ask(
            f"SELECT TraceId, SpanId, {table.event_name()}, toUnixTimestamp64Nano(Timestamp),"
            f" SeverityText, Body, ServiceName, ScopeName, {_text(table, 'LogAttributes')},"
            f" {_text(table, 'ResourceAttributes')} FROM {table.sql}"
            f" WHERE {_IN} AND {self._where} AND {where}"
            # Records of one time keep the order in which they were written.
            f" ORDER BY Timestamp, rowNumberInAllBlocks() LIMIT {most}",
            window,
            **values,
        )

    def _ask(self, query: str, window: Window, **values: Any) -> list[Row]:
        return self._server.ask(query, {**window._asdict(), **self._values, **values})

    def _ask_of(self, ids: Iterable[str], query: str, window: Window) -> list[Row]:
        return self._server.ask_of(ids, query, {**window._asdict(), **self._values})


#: Parts of the table are left out by it.
_IN: Final = (
    "Timestamp >= fromUnixTimestamp64Nano({since:Int64})"
    " AND Timestamp < fromUnixTimestamp64Nano({until:Int64})"
)
_OF_TRACES: Final = "TraceId IN {ids:Array(String)}"
_MOST_DAYS: Final = 500
#: Where a row of a log record has its time.
_TIME: Final = 3


def _tells(table: Table) -> str:
    """Returns SQL for whether a log record may be an event of a conversation.

    Events have a name, or content. Programs write many other lines.
    """
    return (
        f"({table.event_name()} != ''"
        f" OR arrayExists(k -> match(k, {quoted(_CONTENT)}), {table.keys('LogAttributes')})"
        f" OR match(Body, {quoted(_IN_BODY)}))"
    )


_CONTENT: Final = r"^(?:gen_ai|orq_otel)\.|^system_prompt$"
_IN_BODY: Final = r'"(?:(?:gen_ai|orq_otel)\.|system_prompt"|event\.name")'


def _records(rows: Iterable[Row]) -> list[LogRecord]:
    # The Collector may have sent a record again.
    once = {repr(row): row for row in rows}.values()
    return [
        LogRecord(
            *(trace_id or None, span_id or None, event, time, severity, body, service, scope),
            _scored(_attributes(attributes)),
            _attributes(resource),
        )
        for (
            *(trace_id, span_id, event, time, severity, body, service, scope, attributes),
            resource,
        ) in once
    ]


def _told(records: Iterable[LogRecord]) -> tuple[list[KeptSpan], list[LogRecord]]:
    """Returns the spans that log records of coding agents stand for, and the other records."""
    spans: dict[tuple[str, str], Span] = {}
    others = []
    for record in records:
        told = logged.told(record)
        if isinstance(told, Span):
            spans.setdefault((told.trace_id, told.span_id), told)
        else:
            others.append(told)
    return [KeptSpan(one, facts.read(one)) for one in spans.values()], others


def _is_valid(row: Sequence[Any]) -> bool:
    """Whether the ids of a trace and a span are such: others were not made by OpenTelemetry."""
    return _HEXADECIMAL.fullmatch(f"{row[0]} {row[1]}") is not None


def _text(table: Table, column: str) -> str:
    """Returns SQL for attributes as a map, or as the text of JSON."""
    return f"toString({column})" if table.is_json(column) else column


def _columns(table: Table) -> str:
    """Returns the columns of `_kept`."""

    def texts(column: str) -> str:
        if table.is_json(column):
            return f"arrayMap(x -> toString(x), {column})"
        return column

    return (
        "TraceId, SpanId, ParentSpanId, SpanName, SpanKind, toUnixTimestamp64Nano(Timestamp),"
        # The exporter subtracts the start from the end, without a sign.
        " toInt64(Duration),"
        " StatusCode, StatusMessage, ServiceName, ScopeName,"
        f" {_text(table, 'SpanAttributes')}, {_text(table, 'ResourceAttributes')}, Events.Name,"
        " arrayMap(x -> toUnixTimestamp64Nano(x), Events.Timestamp),"
        f" {texts('Events.Attributes')}, Links.TraceId, Links.SpanId, {texts('Links.Attributes')}"
    )


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return dict(_flat(json.loads(value, object_pairs_hook=_Pairs), ""))
    return dict(value)


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object of JSON. A key may be there twice: for an attribute, and for those below it."""

    __slots__ = ()


def _flat(pairs: _Pairs, before: str) -> Iterator[tuple[str, Any]]:
    """Yields names with dots: a column of JSON nests them."""
    for key, inner in pairs:
        if isinstance(inner, _Pairs) and inner:
            yield from _flat(inner, f"{before}{key}.")
        else:
            yield f"{before}{key}", _plain(inner)


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(inner) for key, inner in value}
    return list(map(_plain, value)) if isinstance(value, list) else value


def _restored(attributes: dict[str, Any]) -> dict[str, Any]:
    """Makes texts numbers again which are such by the conventions.

    A `thread.id` in digits is the id of an OS thread, and "2026.11" is none.
    """
    for name, value in attributes.items():
        if _is_number(name) and isinstance(value, str):
            form = _WHOLE if name == "thread.id" else _NUMBER
            if form.fullmatch(value):
                attributes[name] = json.loads(value)
    return attributes


#: As the Collector writes them.
_WHOLE: Final = re.compile("0|-?[1-9][0-9]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBERS: Final = re.compile(
    r"thread\.id|gen_ai\.usage\..*|gen_ai\.response\.time_to_first_chunk"
    r"|gen_ai\.request\.(?:choice\.count|frequency_penalty|max_tokens|presence_penalty|seed"
    "|temperature|top_k|top_p)"
)


@functools.lru_cache(maxsize=4096)
def _is_number(name: str) -> bool:
    return _NUMBERS.fullmatch(name) is not None


def _scored(attributes: dict[str, Any]) -> dict[str, Any]:
    """Makes an evaluation's score a number again, by which it is good or bad."""
    score = attributes.get(_SCORE)
    if isinstance(score, str):
        with contextlib.suppress(ValueError):
            attributes[_SCORE] = float(score)
    return attributes


def _kept(row: Sequence[Any]) -> KeptSpan:
    """Builds a span from a row, and reads its facts."""
    trace_id, span_id, parent_id, name, kind, start, duration, status, message, *rest = row
    service, scope, attributes, resource, *lists = rest
    names, times, event_attributes, link_traces, link_spans, link_attributes = lists
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id or None,
        name=name,
        kind=kind.upper().removeprefix("SPAN_KIND_"),
        start=start,
        end=start + duration,
        status=status.upper().removeprefix("STATUS_CODE_"),
        status_message=message,
        service=service,
        scope=scope,
        attributes=_restored(_attributes(attributes)),
        resource=_attributes(resource),
        events=tuple(
            {"name": name, "time": time, "attributes": _attributes(attributes)}
            for name, time, attributes in zip(names, times, event_attributes, strict=True)
        ),
        links=tuple(
            {"trace_id": trace, "span_id": span, "attributes": _attributes(attributes)}
            for trace, span, attributes in zip(
                link_traces, link_spans, link_attributes, strict=True
            )
        ),
    )
    return KeptSpan(span, facts.read(span))


def with_records(spans: Iterable[KeptSpan], records: Iterable[LogRecord]) -> Iterator[KeptSpan]:
    """Yields spans with their log records among their events, and facts that know of them."""
    events: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for record in records:
        events.setdefault((record.trace_id, record.span_id), []).append(record.as_event())
    for one in spans:
        more = events.get((one.span.trace_id, one.span.span_id))
        if more:
            span = replace(one.span, events=(*one.span.events, *more))
            yield KeptSpan(span, facts.read(span))
        else:
            yield one
