"""Reads threads from a ClickHouse table that the OpenTelemetry Collector writes.

`create_rollup()` creates materialised views with sums. With them, an overview reads the sums
instead of all spans. Costs use today's prices, those for short prompts.

Text from users is always a query parameter, never part of the SQL.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from orq_otel.viewer.conversation import facts, pricing
from orq_otel.viewer.model import (
    LABELS,
    LONG_ID,
    PAGE,
    Ability,
    Bucket,
    KeptSpan,
    Kind,
    LogRecord,
    Numbers,
    Overview,
    Position,
    Sort,
    Span,
    Spans,
    StoreError,
    Stray,
    Thread,
    ThreadPage,
    ThreadQuery,
    digest_of,
    short_id,
)
from orq_otel.viewer.store import abilities, cursors
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import clickhouse_sql as sql
from orq_otel.viewer.store.buckets import LATENCIES, MINUTE
from orq_otel.viewer.store.tally import COST_UNITS

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLE: Final = "otel_traces"
_ABILITIES: Final[frozenset[Ability]] = frozenset()
_PORTS: Final = {"clickhouse": 8123, "clickhouses": 8443}
#: Up to this number of spans, plots are computed from the spans themselves.
_COUNTABLE: Final = 20_000
_TAGS: Final = 200

_COST: Final = """
    round((sum(reported_cost)
        + sum(plain_input * transform(price, {priced:Array(String)}, {input:Array(Float64)}, 0.)
            + cache_read * transform(price, {priced:Array(String)}, {read:Array(Float64)}, 0.)
            + cache_written * transform(price, {priced:Array(String)}, {written:Array(Float64)}, 0.)
            + other_output * transform(price, {priced:Array(String)}, {output:Array(Float64)}, 0.))
    ) * 1e12) AS cost,
    sum(reported_calls) + sumIf(other_calls, has({priced:Array(String)}, price)) AS with_price,
    sumIf(other_calls, NOT has({priced:Array(String)}, price)) AS unpriced"""
#: The table does not record when spans arrived. A time up to a day in the future counts as now; a
#: later one counts as 0, since the sender's clock must be wrong.
_AHEAD: Final = (
    "multiIf({0} <= {{now:Int64}}, {0}, {0} <= {{now:Int64}} + "
    f"{pieces.DAY}"
    ", {{now:Int64}}, toInt64(0))"
)
_ACTIVE: Final = _AHEAD.format("last_active")
_STARTED: Final = _AHEAD.format("started")
_ORDERS: Final[dict[Sort, str]] = {
    "last_active": _ACTIVE,
    "started": _STARTED,
    "duration": "last_active - started",
    "spans": "spans",
    "tokens": "input_tokens + output_tokens",
    "cost": "if(with_price > 0, toInt64(cost), -1)",
    "errors": "errors",
}


class Answer(Protocol):
    """The result of a query."""

    @property
    def result_rows(self) -> Sequence[Sequence[Any]]:
        """Rows of values."""
        ...


class Client(Protocol):
    """The methods that are used of a `clickhouse-connect` client. They are safe in OS threads."""

    def query(self, query: str, parameters: dict[str, Any] | None = None) -> Answer:
        """Run a query."""
        ...

    def command(self, cmd: str) -> Any:
        """Run a command."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class ClickHouseStore:
    """A store in a table of ClickHouse.

    Args:
        client: Connects to the server. `close` closes it.
        table: The table that the Collector's exporter writes.
        place: What error messages call the server.

    Raises:
        StoreError: There is no such table, or no server.
    """

    def __init__(self, client: Client, table: str = _TABLE, place: str = "ClickHouse") -> None:
        if not _NAME.fullmatch(table):
            raise StoreError(
                f"{table!r} is not the name of a table: letters, digits and underscores are.",
                is_temporary=False,
            )
        self._client = client
        self._table = table
        self._place = place
        self._ask(f"SELECT 1 FROM {self._name()} LIMIT 0")
        self._has_rollup = self._is_rolled_up()

    @classmethod
    def connect(cls, url: str) -> ClickHouseStore:
        """Connect to a server.

        Args:
            url: "clickhouse://user:password@host:8123/database?table=otel_traces". Only the host
                is required. "clickhouses://..." uses TLS.

        Raises:
            StoreError: `clickhouse-connect` is not installed, or the server does not answer.
        """
        try:
            # It comes with an extra of its own, which few users need.
            import clickhouse_connect  # noqa: PLC0415
        except ImportError as error:
            raise StoreError(
                'ClickHouse needs another package: pip install "orq-otel[clickhouse]"',
                is_temporary=False,
            ) from error
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except ValueError:
            raise StoreError(
                "This is no address of a ClickHouse server. One looks like"
                " clickhouse://user:password@host:8123/database",
                is_temporary=False,
            ) from None
        place = f"ClickHouse at {parts.hostname}:{port}"
        with _errors(place):
            client = clickhouse_connect.get_client(
                host=parts.hostname or "localhost",
                port=port,
                username=unquote(parts.username or "default"),
                password=unquote(parts.password or ""),
                database=unquote(parts.path.strip("/")) or "default",
                secure=parts.scheme == "clickhouses",
                # Several OS threads run queries at the same time.
                autogenerate_session_id=False,
            )
        (table,) = parse_qs(parts.query).get("table", [_TABLE])[:1]
        return cls(client, table, place)

    def write(
        self,
        spans: Sequence[KeptSpan],  # noqa: ARG002 - as every store has it
        logs: Sequence[LogRecord] = (),  # noqa: ARG002
    ) -> None:
        """Refuse to write: the Collector writes the spans.

        Raises:
            StoreError: Always.
        """
        raise StoreError(
            f"{self._place} is filled by the OpenTelemetry Collector: send spans there.",
            is_temporary=False,
        )

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns the threads that match a query.

        Raises:
            InvalidCursorError: The cursor is invalid.
            StoreError: The query failed.
        """
        after = cursors.decode(query)
        # All pages of a listing use the order that threads had when it began.
        now = time.time_ns() if after is None or after.now is None else after.now
        where, values = _conditions(query, now)
        order = _ORDERS[query.sort]
        direction, beyond = ("ASC", ">") if query.ascending else ("DESC", "<")
        if after is not None:
            last = after.thread_id
            if after.digest is not None:
                last = self._id_of(after.digest)
            # If the thread is gone, only its sort value is left: others with the same value repeat.
            equal = "1" if last is None else f"thread_id {beyond} {{last:String}}"
            where += (
                f" AND (order {beyond} {{value:Int64}} OR (order = {{value:Int64}} AND {equal}))"
            )
            values |= {"value": after.value, "last": last or ""}
        costs = ""
        if query.sort == "cost":
            costs = f"LEFT JOIN ({self._costs()}) AS costs USING thread_id"
            values |= self._prices()
        by = f"ORDER BY order {direction}, thread_id {direction}"
        told = _told("thread_id", is_brief=query.is_brief)
        found = self._ask(
            f"SELECT order, found, {_SHORT_ID}, told, {_THREAD} FROM ("
            f"SELECT *, {told} AS told, {_within('told', by)} FROM ("
            f"SELECT {order} AS order, * FROM ({self._sums()}) AS sums {costs}"
            f" WHERE {self._with_labels(where)} {by} LIMIT {{most:UInt32}}))"
            f" WHERE number <= {{limit:UInt32}} AND {_FITS} {by}",
            {**values, "most": query.limit + 1, "limit": query.limit, "size": PAGE},
        )
        page = self._threads([row[2:] for row in found], is_brief=query.is_brief)
        cursor = None
        if page and found[-1][1] > len(page):
            cursor = cursors.encode(query, found[-1][0], page[-1], now)
        return ThreadPage(page, cursor)

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None.

        Raises:
            StoreError: The query failed.
        """
        ids = _Ids.of(short_id(thread_id))
        found = self._ask(
            f"SELECT {_SHORT_ID}, thread_id AS told, {_THREAD}"
            f" FROM ({self._sums(ids.where, ids.hint)}) ORDER BY length(thread_id) DESC LIMIT 1",
            ids.values,
        )
        threads = self._threads(found)
        return threads[0] if threads else None

    def _id_of(self, digest: str) -> str | None:
        """Returns the long id with a digest, or None."""
        ids = _Ids((), (digest,))
        found = self._ask(
            f"SELECT thread_id FROM {self._source('threads')} WHERE {ids.where} LIMIT 1", ids.values
        )
        return str(found[0][0]) if found else None

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """Returns the spans of a thread and all others of its traces, sorted by start.

        Raises:
            StoreError: The query failed.
        """
        ids = _Ids.of(short_id(thread_id))
        traces = self._source("threads", hint=ids.hint)
        by = "ORDER BY Timestamp, SpanId, TraceId"
        where = ""
        values: dict[str, Any] = {}
        if after is not None:
            where = (
                " AND (toUnixTimestamp64Nano(Timestamp), SpanId, TraceId)"
                " > ({start:Int64}, {span:String}, {trace:String})"
            )
            values = dict(zip(("start", "span", "trace"), after, strict=True))
        found = self._ask(
            f"SELECT found, {_SPAN} FROM (SELECT *, {_within(_SPAN_SIZE, by)} FROM ("
            f"SELECT * FROM {self._name()} WHERE TraceId IN ("
            f"SELECT arrayJoin(traces) FROM {traces} WHERE {ids.where}){where}"
            f" {by} LIMIT 1 BY TraceId, SpanId LIMIT {{most:UInt32}}))"
            f" WHERE number <= {{limit:UInt32}} AND {_FITS} {by}",
            {**ids.values, **values, "most": limit + 1, "limit": limit, "size": size},
        )
        some = Spans(self._with_logs([_kept(row[1:]) for row in found]))
        some.has_more = bool(found) and found[0][0] > len(found)
        return some

    def logs(
        self, thread_id: str, limit: int = 5000, name: str | None = None, size: int = PAGE
    ) -> list[LogRecord]:
        """Returns log records of a thread and of its traces, sorted by time.

        Raises:
            StoreError: The query failed.
        """
        ids = _Ids.of(short_id(thread_id))
        traces = self._source("threads", hint=ids.hint)
        own = " OR ".join(f"LogAttributes['{one}'] = {{own:String}}" for one in facts.THREAD_IDS)
        found = self._records(
            f"(TraceId IN (SELECT arrayJoin(traces) FROM {traces} WHERE {ids.where}) OR {own})"
            + ("" if name is None else f" AND {_EVENT_NAME} = {{name:String}}"),
            {**ids.values, "own": thread_id, "name": name or "", "most": limit},
        )
        records: list[LogRecord] = []
        for record in found:
            size -= _LOG_REST + len(record.body) + sum(map(len, record.attributes.values()))
            if size < 0 and records:
                break
            records.append(record)
        return records

    def _with_logs(self, spans: list[KeptSpan]) -> list[KeptSpan]:
        """Adds log records to the events of their spans."""
        if not spans:
            return spans
        names = [(one.span.trace_id, one.span.span_id) for one in spans]
        found = self._records(
            "TraceId IN {traces:Array(String)} AND SpanId IN {spans:Array(String)}",
            {
                "traces": list({trace for trace, _ in names}),
                "spans": [span for _, span in names],
                "most": _LOGS_OF_SPANS,
            },
        )
        events: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
        for record in found:
            events.setdefault((record.trace_id, record.span_id), []).append(record.as_event())
        return [
            KeptSpan(span, facts.read(span))
            if (more := events.get(key))
            and (span := replace(one.span, events=(*one.span.events, *more)))
            else one
            for key, one in zip(names, spans, strict=True)
        ]

    def _records(self, where: str, values: dict[str, Any]) -> list[LogRecord]:
        """Returns log records of the Collector, or none where it writes no table of them."""
        columns = self._ask(
            "SELECT name FROM system.columns WHERE database = currentDatabase()"
            f" AND table = '{_LOGS}'"
        )
        if not columns:
            return []
        # Earlier releases of the Collector's exporter have no column for it.
        name = "EventName" if ("EventName",) in {tuple(one) for one in columns} else "''"
        found = self._ask(
            f"SELECT TraceId, SpanId, {_EVENT_NAME}, toUnixTimestamp64Nano(Timestamp),"
            " SeverityText, Body, ServiceName, ScopeName, LogAttributes, ResourceAttributes"
            f" FROM (SELECT *, {name} AS event FROM `{_LOGS}`)"
            f" WHERE {where} ORDER BY Timestamp LIMIT {{most:UInt32}}",
            values,
        )
        return [
            LogRecord(
                *(trace_id or None, span_id or None, event, time, severity, body, service, scope),
                dict(attributes),
                dict(resource),
            )
            for (
                *(trace_id, span_id, event, time, severity, body, service, scope, attributes),
                resource,
            ) in found
        ]

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this store can do, of what not every store can: nothing yet."""
        return _ABILITIES

    def labels(self, kind: Kind, text: str = "", limit: int = 200) -> tuple[tuple[str, int], ...]:
        """Returns the most frequent tags with their numbers of threads, and no other labels yet.

        Raises:
            StoreError: The store cannot be read.
        """
        if kind != "tag":
            return ()
        tags = self.overview(ThreadQuery()).tags
        return tuple(one for one in tags if text.lower() in one[0].lower())[:limit]

    def numbers(
        self,
        query: ThreadQuery,  # noqa: ARG002
        by: Kind,  # noqa: ARG002
        names: Sequence[str] = (),  # noqa: ARG002
        limit: int = 20,  # noqa: ARG002
    ) -> Numbers:
        """Sum up nothing.

        Raises:
            StoreError: Always: that cannot be asked yet.
        """
        raise abilities.lacking("numbers", "ClickHouse")

    def strays(self, limit: int = 20) -> tuple[Stray, ...]:  # noqa: ARG002
        """Returns nothing: all spans would have to be read for it."""
        return ()

    def trace(self, trace_id: str) -> Spans:  # noqa: ARG002
        """Returns nothing, as `strays` does."""
        return Spans()

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """Sums up all threads that match a query.

        Raises:
            StoreError: The query failed.
        """
        where, values = _conditions(query, time.time_ns())
        condition = self._with_labels(where)
        ((count, first, last, *sums),) = self._ask(
            "SELECT count(), min(started), max(last_active), sum(spans), sum(errors),"
            f" sum(input_tokens), sum(output_tokens) FROM ({self._sums()}) WHERE {condition}",
            values,
        )
        some = f"SELECT thread_id FROM ({self._sums()}) WHERE {condition}"
        among = "1" if where == "1" else f"thread_id IN ({some})"
        prices = self._prices()
        ((cost, with_price, unpriced),) = self._ask(
            f"SELECT {_COST} FROM {self._source('calls')} WHERE {among}",
            {**values, **prices},
        )
        made: tuple[Bucket, ...] = ()
        if count:
            start = first if query.since is None else max(first, pieces.bounded(query.since))
            end = last + 1 if query.until is None else min(last + 1, pieces.bounded(query.until))
            made = self._buckets(
                start, max(end, start + 1), buckets, among, {**values, **prices}, sums[0]
            )
        tags = self._ask(
            f"SELECT label, uniqExact(thread_id) AS threads FROM {self._source('labels')}"
            f" WHERE kind = 'tag' AND lengthUTF8(label) <= {LONG_ID}"
            f" GROUP BY label ORDER BY threads DESC, label LIMIT {_TAGS}"
        )
        return Overview(
            threads=count,
            spans=sums[0],
            errors=sums[1],
            input_tokens=sums[2],
            output_tokens=sums[3],
            cost=cost / COST_UNITS if with_price else None,
            unpriced=unpriced,
            buckets=made,
            latencies=self._latencies(among, values),
            tags=tuple((tag, threads) for tag, threads in tags),
        )

    def change(self) -> int:
        """Returns a number that changes whenever spans are written.

        Raises:
            StoreError: The query failed.
        """
        ((count,),) = self._ask(f"SELECT count() FROM {self._name()}")
        return int(count)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def create_rollup(self) -> None:
        """Create the tables and views with sums, and add up the spans that exist.

        Spans may arrive meanwhile. If the Collector retries and writes a span twice, the sums count
        it twice. The remains of an earlier attempt that failed are replaced.

        Raises:
            StoreError: The server does not allow it.
        """
        self.drop_rollup()
        begun, seen, source = (self._name(part) for part in ("facts", "seen", "source"))
        # All rows pass through this table, so that one view starts all sums at the same moment.
        self._do(f"CREATE TABLE {begun} ({sql.FACTS}) ENGINE = Null")
        for name, table in sql.SOURCES.items():
            self._do(
                f"CREATE TABLE {self._name(name)} ({table.columns})"
                f" ENGINE = AggregatingMergeTree ORDER BY ({table.order})"
            )
            query = sql.rows(name, begun, is_exact=False)
            self._do(
                f"CREATE MATERIALIZED VIEW {self._name(f'{name}_view')} TO {self._name(name)}"
                f" AS {query}"
            )
        self._do(
            f"CREATE MATERIALIZED VIEW {seen} ENGINE = MergeTree ORDER BY (trace_id, span_id)"
            f" AS SELECT trace_id, span_id FROM {begun}"
        )
        self._do(f"CREATE MATERIALIZED VIEW {source} TO {begun} AS {sql.facts_of(self._name())}")
        older = f"(TraceId, SpanId) NOT IN (SELECT trace_id, span_id FROM {seen})"
        columns = ", ".join(column.split()[0] for column in sql.FACTS.split(","))
        older_facts = sql.facts_of(self._name(), older)
        self._do(f"INSERT INTO {begun} ({columns}) SELECT {columns} FROM ({older_facts})")
        self._do(f"DROP TABLE {seen}")
        self._has_rollup = self._is_rolled_up()

    def drop_rollup(self) -> None:
        """Drop the tables and views with sums.

        Raises:
            StoreError: The server does not allow it.
        """
        self._has_rollup = False
        views = [f"{name}_view" for name in sql.SOURCES]
        for part in ("source", "seen", *views, *sql.SOURCES, "facts"):
            self._do(f"DROP TABLE IF EXISTS {self._name(part)}")

    def _is_rolled_up(self) -> bool:
        """Whether there is a rollup, and whole."""
        found = self._ask(
            "SELECT name FROM system.tables WHERE database = currentDatabase()"
            " AND startsWith(name, {prefix:String})",
            {"prefix": f"{self._table}_orq_"},
        )
        names = {name for (name,) in found}
        return f"{self._table}_orq_source" in names and f"{self._table}_orq_seen" not in names

    def _name(self, part: str | None = None) -> str:
        return f"`{self._table}`" if part is None else f"`{self._table}_orq_{part}`"

    def _source(self, name: str, window: str | None = None, hint: str = "1") -> str:
        """A table of sums, or a query that gives its rows; always that of spans in a window.

        A hint says of which spans no others than those that are asked for have to be read.
        """
        if self._has_rollup and window is None:
            return self._name(name)
        span_facts = sql.facts_of(self._name(), window or hint, sql.SOURCES[name].groups)
        return f"({sql.rows(name, f'({span_facts})', is_exact=True)})"

    def _sums(self, where: str = "1", hint: str = "1") -> str:
        return (
            "SELECT thread_id, min(started) AS started, max(last_active) AS last_active,"
            " length(groupUniqArrayArray(traces)) AS traces, min(titled).3 AS title,"
            " sum(spans) AS spans, sum(errors) AS errors, sum(input_tokens) AS input_tokens,"
            " sum(output_tokens) AS output_tokens"
            f" FROM {self._source('threads', hint=hint)} WHERE {where} GROUP BY thread_id"
        )

    def _costs(self, where: str = "1", hint: str = "1") -> str:
        return (
            f"SELECT thread_id, {_SHORT_ID}, {_COST} FROM {self._source('calls', hint=hint)}"
            f" WHERE {where} GROUP BY thread_id"
        )

    def _prices(
        self, hint: str = "1", values: dict[str, Any] | None = None
    ) -> dict[str, list[Any]]:
        """Returns the prices of all models, or of those that a hint selects, as parameters."""
        now = time.time_ns() // pieces.DAY * pieces.DAY
        found = self._ask(f"SELECT DISTINCT price FROM {self._source('prices', hint=hint)}", values)
        # The lists must not be empty, so they begin with a name that no model has.
        prices: dict[str, pricing.Price] = {"\t": pricing.Price(0, 0, 0, 0, is_all=True)}
        for (name,) in found:
            provider, _, model = name.partition("\n")
            price = pricing.unit_price(provider or None, model, now)
            if price is not None:
                prices[name] = price
        return {
            "priced": list(prices),
            "input": [float(price.input) for price in prices.values()],
            "output": [float(price.output) for price in prices.values()],
            "read": [float(price.cache_read) for price in prices.values()],
            "written": [float(price.cache_write) for price in prices.values()],
        }

    def _with_labels(self, where: str) -> str:
        return where.replace("LABELS", self._source("labels"))

    def _threads(
        self, rows: Sequence[Sequence[Any]], *, is_brief: bool = False
    ) -> tuple[Thread, ...]:
        if not rows:
            return ()
        ids = _Ids.of(*(row[0] for row in rows))
        costs = {
            found: sums
            for _, found, *sums in self._ask(
                self._costs(ids.where, ids.hint),
                {**ids.values, **self._prices(ids.hint, ids.values)},
            )
        }
        of_one = "PARTITION BY short_id, kind"
        by = f"{of_one} ORDER BY first, label"
        some = f" AND number <= {_AT_A_GLANCE}" if is_brief else ""
        labels: dict[tuple[str, str], list[str]] = {}
        counts: dict[tuple[str, str], int] = {}
        for found, kind, count, label in self._ask(
            "SELECT short_id, kind, found, told FROM ("
            f"SELECT *, {_told('label', is_brief=is_brief)} AS told, {_within('told', by, of_one)}"
            f" FROM (SELECT {_SHORT_ID} AS short_id, kind, label, min(told) AS first"
            f" FROM {self._source('labels', hint=ids.hint)} WHERE {ids.where}"
            f" GROUP BY short_id, kind, label)) WHERE {_FITS}{some}"
            " ORDER BY short_id, kind, number",
            {**ids.values, "size": max(LABELS // len(rows), _LEAST_LABELS)},
        ):
            labels.setdefault((found, kind), []).append(label)
            counts[found, kind] = count

        def labelled(found: str, kind: str) -> tuple[tuple[str, ...], int]:
            return tuple(labels.get((found, kind), ())), counts.get((found, kind), 0)

        return tuple(
            _thread(
                row,
                costs.get(found, (0, 0, 0)),
                labelled(found, "tag"),
                labelled(found, "model"),
                digest_of(found) if found != row[0] else None,
            )
            for found, *row in rows
        )

    def _buckets(  # noqa: PLR0913, PLR0917 - what plots depend on
        self,
        start: int,
        end: int,
        most: int,
        among: str,
        values: dict[str, Any],
        spans: int,
    ) -> tuple[Bucket, ...]:
        finest = sql.SLOT
        window = None
        if spans <= _COUNTABLE or pieces.width(start, end, most) < sql.SLOT:
            finest = pieces.SECOND if spans <= _COUNTABLE else MINUTE
            window = (
                "Timestamp >= fromUnixTimestamp64Nano({start:Int64})"
                " AND Timestamp < fromUnixTimestamp64Nano({end:Int64})"
            )
        width = pieces.width(start, end, most, finest)
        start, end = start - start % width, end + -end % width
        found = self._ask(
            f"SELECT intDiv(slot, {width}) * {width} AS began, sum(spans), sum(errors),"
            f" sum(input_tokens), sum(output_tokens), {_COST}"
            f" FROM {self._source('calls', window)}"
            f" WHERE slot >= {{start:Int64}} AND slot < {{end:Int64}} AND {among} GROUP BY began",
            {**values, "start": start, "end": end},
        )
        sums = {began: values for began, *values in found}
        return tuple(
            Bucket(
                start=began,
                end=began + width,
                spans=row[0],
                errors=row[1],
                input_tokens=row[2],
                output_tokens=row[3],
                cost=row[4] / COST_UNITS,
            )
            for began in range(start, end, width)
            for row in [sums.get(began, [0] * 7)]
        )

    def _latencies(self, among: str, values: dict[str, Any]) -> tuple[tuple[int, int], ...]:
        found = dict(
            self._ask(
                f"SELECT bucket, sum(calls) FROM {self._source('latencies')}"
                f" WHERE {among} GROUP BY bucket",
                values,
            )
        )
        if not found:
            return ()
        return tuple(
            (LATENCIES[bucket], found.get(bucket, 0))
            for bucket in range(min(found), max(found) + 1)
        )

    def _ask(self, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with _errors(self._place):
            answer = self._client.query(query, parameters=values or None)
            return [tuple(row) for row in answer.result_rows]

    def _do(self, command: str) -> None:
        with _errors(self._place):
            self._client.command(command)


#: The digest of a thread's id, which stands for a long id.
_DIGEST: Final = "lower(hex(SHA256(thread_id)))"
_IS_LONG: Final = f"lengthUTF8(thread_id) > {LONG_ID}"
_SHORT_ID: Final = f"if({_IS_LONG}, concat('sha256:', {_DIGEST}), thread_id)"
#: How many labels of a kind a list of threads shows.
_AT_A_GLANCE: Final = 8
#: Each thread's labels get at least this many bytes, however many threads there are.
_LEAST_LABELS: Final = 8192


class _Ids(NamedTuple):
    """A condition for some threads, by their ids and, for long ones, digests."""

    ids: tuple[str, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, *short_ids: str) -> _Ids:
        """Creates one from short ids."""
        digests = [found for one in short_ids if (found := digest_of(one)) is not None]
        return cls(short_ids, tuple(digests))

    @property
    def where(self) -> str:
        among = "thread_id IN {ids:Array(String)}"
        if not self.digests:
            return among
        return f"({among} OR ({_IS_LONG} AND {_DIGEST} IN {{digests:Array(String)}}))"

    @property
    def hint(self) -> str:
        """A condition that narrows down spans by the index of the Collector's table."""
        return "1" if self.digests else "hasAny(mapValues(SpanAttributes), {ids:Array(String)})"

    @property
    def values(self) -> dict[str, Any]:
        values = {"ids": list(self.ids)}
        return values | {"digests": list(self.digests)} if self.digests else values


def _told(text: str, *, is_brief: bool) -> str:
    # One character more than a short text may have shows that it is long.
    return f"substringUTF8({text}, 1, {LONG_ID + 1})" if is_brief else text


def _within(text: str, by: str, of_one: str = "") -> str:
    """Returns columns that number rows, count them, and add up their bytes.

    With these the server returns no more rows than fit into an answer.

    Args:
        text: A column with text, or an expression for a number of bytes.
        by: The order of the rows.
        of_one: Partitions the rows.
    """
    size = text if "(" in text else f"length({text})"
    return (
        f"row_number() OVER ({by}) AS number, count() OVER ({of_one}) AS found,"
        f" sum({size}) OVER ({by} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS taken"
    )


_FITS: Final = "(number = 1 OR taken <= {size:UInt64})"

#: The columns of `_thread`.
_THREAD: Final = "started, last_active, traces, title, spans, errors, input_tokens, output_tokens"


def _thread(
    row: Sequence[Any],
    costs: Sequence[Any],
    tags: tuple[tuple[str, ...], int],
    models: tuple[tuple[str, ...], int],
    digest: str | None,
) -> Thread:
    """Builds a thread. Tags and models come with their total number."""
    thread_id, started, last_active, traces, title, spans, errors, *tokens = row
    cost, with_price, unpriced = costs
    return Thread(
        id=thread_id,
        title=title or None,
        tags=tags[0],
        started=started,
        last_active=last_active,
        traces=traces,
        spans=spans,
        errors=errors,
        models=models[0],
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cost=cost / COST_UNITS if with_price else None,
        unpriced=unpriced,
        digest=digest,
        more_tags=tags[1] - len(tags[0]),
        more_models=models[1] - len(models[0]),
    )


def _conditions(query: ThreadQuery, now: int) -> tuple[str, dict[str, Any]]:
    """Returns a condition for threads and its parameters. LABELS stands for the labels' source."""
    abilities.check(query, _ABILITIES, "ClickHouse")
    conditions = []
    values: dict[str, Any] = {"now": now}
    for compared, duration in ((">=", query.least_duration), ("<=", query.most_duration)):
        if duration is not None:
            conditions.append(f"last_active - started {compared} {int(duration)}")
    if query.since is not None:
        conditions.append(f"{_ACTIVE} >= {{since:Int64}}")
        values["since"] = pieces.bounded(query.since)
    if query.until is not None:
        conditions.append(f"{_STARTED} < {{until:Int64}}")
        values["until"] = pieces.bounded(query.until)
    if query.errors:
        conditions.append("errors > 0")
    if query.text:
        conditions.append(
            "(positionCaseInsensitiveUTF8(thread_id, {text:String}) > 0"
            " OR positionCaseInsensitiveUTF8(title, {text:String}) > 0)"
        )
        values["text"] = query.text
    if query.tags:
        tags = list(dict.fromkeys(query.tags))
        conditions.append(
            "thread_id IN (SELECT thread_id FROM LABELS WHERE kind = 'tag'"
            " AND label IN {tags:Array(String)}"
            " GROUP BY thread_id HAVING uniqExact(label) >= {needed:UInt32})"
        )
        values |= {"tags": tags, "needed": len(tags) if query.match == "all" else 1}
    return " AND ".join(conditions) or "1", values


#: The Collector's table of log records. Its bodies are texts: JSON, if they were maps or lists.
_LOGS: Final = "otel_logs"
_EVENT_NAME: Final = "if(event != '', event, LogAttributes['event.name'])"
#: How many log records are returned with some spans.
_LOGS_OF_SPANS: Final = 20_000
_LOG_REST: Final = 300

#: The columns of `_kept`.
_SPAN: Final = (
    "TraceId, SpanId, ParentSpanId, SpanName, SpanKind, toUnixTimestamp64Nano(Timestamp),"
    # The exporter subtracts the start from the end, without a sign.
    " toInt64(Duration),"
    " StatusCode, StatusMessage, ServiceName, ScopeName, SpanAttributes, ResourceAttributes,"
    " Events.Name, arrayMap(x -> toUnixTimestamp64Nano(x), Events.Timestamp), Events.Attributes,"
    " Links.TraceId, Links.SpanId, Links.Attributes"
)


#: The approximate size of a span in bytes.
_SPAN_SIZE: Final = (
    "500 + length(StatusMessage) + arraySum(m -> arraySum(x -> length(x), mapValues(m)),"
    " arrayConcat([SpanAttributes, ResourceAttributes], Events.Attributes, Links.Attributes))"
)


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
        attributes=_restored(attributes),
        resource=dict(resource),
        events=tuple(
            {"name": name, "time": time, "attributes": dict(attributes)}
            for name, time, attributes in zip(names, times, event_attributes, strict=True)
        ),
        links=tuple(
            {"trace_id": trace, "span_id": span, "attributes": dict(attributes)}
            for trace, span, attributes in zip(
                link_traces, link_spans, link_attributes, strict=True
            )
        ),
    )
    return KeptSpan(span, facts.read(span))


def _restored(attributes: Mapping[str, str]) -> dict[str, Any]:
    """Makes a `thread.id` in digits a number again: it is the id of an OS thread."""
    restored: dict[str, Any] = dict(attributes)
    os_thread = restored.get(facts.THREAD_IDS[0])
    if os_thread and re.fullmatch("-?[0-9]+", os_thread):
        restored[facts.THREAD_IDS[0]] = int(os_thread)
    return restored


#: Part of an error message, advice for the user, and whether trying again may help.
_ADVICE: Final = (
    ("UNKNOWN_TABLE", "there is no such table. Does the Collector write to this database?", False),
    ("UNKNOWN_DATABASE", "there is no such database.", False),
    ("AUTHENTICATION_FAILED", "the user or password is wrong.", False),
    ("ACCESS_DENIED", "the user lacks the right to do this.", False),
    ("NOT_ENOUGH_PRIVILEGES", "the user lacks the right to do this.", False),
    ("READONLY", "the user may only read.", False),
    ("UNKNOWN_IDENTIFIER", "the table is not one of the Collector's exporter.", False),
    ("Connection", "the server does not answer. Does it run?", True),
    ("timed out", "the server takes too long to answer.", True),
    ("TOO_MANY", "the server is busy.", True),
    ("MEMORY_LIMIT_EXCEEDED", "the server is short of memory. A rollup would help.", True),
    ("Max retries", "the server does not answer. Does it run?", True),
)
#: How many characters of the server's message an error repeats.
_MOST_MESSAGE: Final = 300


@contextmanager
def _errors(place: str) -> Iterator[None]:
    """Turn errors into a `StoreError` that tells the user what to do."""
    try:
        yield
    except StoreError:
        raise
    # Clients raise errors of several libraries.
    except Exception as error:
        message = str(error)
        for words, advice, is_temporary in _ADVICE:
            if words in message:
                raise StoreError(
                    f"{place}: {advice} ({message[:_MOST_MESSAGE]})", is_temporary=is_temporary
                ) from error
        raise StoreError(f"{place}: {message[:_MOST_MESSAGE]}", is_temporary=False) from error
