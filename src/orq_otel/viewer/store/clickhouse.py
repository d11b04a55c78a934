"""Threads in ClickHouse, which the OpenTelemetry Collector fills: it is read, and never written.

`create_rollup()` makes tables that materialised views keep: with these an overview reads sums, and
not all spans. Prices are today's, and those of short prompts.

Text that a user gave is always a parameter of a query, never part of it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from orq_otel.viewer import facts, pricing
from orq_otel.viewer.model import (
    Bucket,
    KeptSpan,
    Overview,
    Question,
    Sort,
    Span,
    StoreError,
    Thread,
    ThreadPage,
)
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import clickhouse_sql as sql
from orq_otel.viewer.store import cursors
from orq_otel.viewer.store.buckets import LATENCIES, MINUTE
from orq_otel.viewer.store.tally import COST_UNITS

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLE: Final = "otel_traces"
_PORTS: Final = {"clickhouse": 8123, "clickhouses": 8443}
#: Up to so many spans plots are made of the spans themselves.
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
_ORDERS: Final[dict[Sort, str]] = {
    "last_active": "last_active",
    "started": "started",
    "duration": "last_active - started",
    "spans": "spans",
    "tokens": "input_tokens + output_tokens",
    "cost": "if(with_price > 0, toInt64(cost), -1)",
    "errors": "errors",
}


#: Spans of one thread, and of some: the Collector's table has an index of all values.
_HAS_ID: Final = "has(mapValues(SpanAttributes), {id:String})"
_HAS_IDS: Final = "hasAny(mapValues(SpanAttributes), {ids:Array(String)})"


class Answer(Protocol):
    """What a client answers."""

    @property
    def result_rows(self) -> Sequence[Sequence[Any]]:
        """Rows of values."""
        ...


class Client(Protocol):
    """What is used of a client of `clickhouse-connect`. It can be used by several threads."""

    def query(self, query: str, parameters: dict[str, Any] | None = None) -> Answer:
        """Ask."""
        ...

    def command(self, cmd: str) -> Any:
        """Have something done."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class ClickHouseStore:
    """A store in a table of ClickHouse.

    Args:
        client: Asks the server. It is closed with the store.
        table: Which the Collector's exporter writes.
        place: How the server is called in errors.

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
            url: "clickhouse://user:password@host:8123/database?table=otel_traces", where all but
                the host may be left out; "clickhouses://..." for TLS.

        Raises:
            StoreError: `clickhouse-connect` is not installed, or the server does not answer.
        """
        try:
            # An extra of its own, which few need.
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
                # Several threads ask at the same time.
                autogenerate_session_id=False,
            )
        (table,) = parse_qs(parts.query).get("table", [_TABLE])[:1]
        return cls(client, table, place)

    def write(self, spans: Sequence[KeptSpan]) -> None:  # noqa: ARG002 - as every store has it
        """Refuse: spans come by way of the Collector.

        Raises:
            StoreError: Always.
        """
        raise StoreError(
            f"{self._place} is filled by the OpenTelemetry Collector: send spans there.",
            is_temporary=False,
        )

    def threads(self, question: Question) -> ThreadPage:
        """The threads that a question asks for.

        Raises:
            InvalidCursorError: The cursor is none.
            StoreError: The server cannot be asked.
        """
        after = cursors.decode(question)
        where, values = _conditions(question)
        order = _ORDERS[question.sort]
        direction, beyond = ("ASC", ">") if question.ascending else ("DESC", "<")
        if after is not None:
            where += (
                f" AND (order {beyond} {{value:Int64}}"
                f" OR (order = {{value:Int64}} AND thread_id {beyond} {{last:String}}))"
            )
            values |= {"value": after[0], "last": after[1]}
        costs = ""
        if question.sort == "cost":
            costs = f"LEFT JOIN ({self._costs()}) AS costs USING thread_id"
            values |= self._prices()
        found = self._ask(
            f"SELECT {order} AS order, {_THREAD} FROM ({self._sums()}) AS sums {costs}"
            f" WHERE {self._with_labels(where)}"
            f" ORDER BY order {direction}, thread_id {direction} LIMIT {{most:UInt32}}",
            {**values, "most": question.limit + 1},
        )
        page = found[: question.limit]
        cursor = None
        if len(found) > len(page) and page:
            cursor = cursors.encode(question, page[-1][0], page[-1][1])
        return ThreadPage(self._threads([row[1:] for row in page]), cursor)

    def thread(self, thread_id: str) -> Thread | None:
        """One thread, or None.

        Raises:
            StoreError: The server cannot be asked.
        """
        found = self._ask(
            f"SELECT {_THREAD} FROM ({self._sums('thread_id = {id:String}', _HAS_ID)})",
            {"id": thread_id},
        )
        threads = self._threads(found)
        return threads[0] if threads else None

    def spans(self, thread_id: str, limit: int = 5000) -> list[KeptSpan]:
        """The spans of a thread and all others of its traces, by their start.

        Raises:
            StoreError: The server cannot be asked.
        """
        traces = self._source("threads", hint=_HAS_ID)
        found = self._ask(
            f"SELECT {_SPAN} FROM {self._name()} WHERE TraceId IN ("
            f"SELECT arrayJoin(traces) FROM {traces} WHERE thread_id = {{id:String}})"
            " ORDER BY Timestamp, SpanId LIMIT 1 BY TraceId, SpanId LIMIT {most:UInt32}",
            {"id": thread_id, "most": limit},
        )
        return [_kept(row) for row in found]

    def overview(self, question: Question, buckets: int = 60) -> Overview:
        """All threads that a question asks for, at a glance.

        Raises:
            StoreError: The server cannot be asked.
        """
        where, values = _conditions(question)
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
            start = first if question.since is None else max(first, pieces.bounded(question.since))
            end = (
                last + 1
                if question.until is None
                else min(last + 1, pieces.bounded(question.until))
            )
            made = self._buckets(
                start, max(end, start + 1), buckets, among, {**values, **prices}, sums[0]
            )
        tags = self._ask(
            f"SELECT label, uniqExact(thread_id) AS threads FROM {self._source('labels')}"
            f" WHERE kind = 'tag' GROUP BY label ORDER BY threads DESC, label LIMIT {_TAGS}"
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
        """A number that differs from the one before whenever spans have been written since.

        Raises:
            StoreError: The server cannot be asked.
        """
        ((count,),) = self._ask(f"SELECT count() FROM {self._name()}")
        return int(count)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def create_rollup(self) -> None:
        """Have sums kept from now on, and add up what is there.

        Spans may arrive meanwhile. A span that the Collector writes twice, since it tried again,
        counts twice there. What is half made by an earlier attempt is made anew.

        Raises:
            StoreError: The server does not allow it.
        """
        self.drop_rollup()
        begun, seen, source = (self._name(part) for part in ("facts", "seen", "source"))
        # Rows pass through this one table, so that one view starts all sums at the same moment.
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
        told = sql.facts_of(self._name(), older)
        self._do(f"INSERT INTO {begun} ({columns}) SELECT {columns} FROM ({told})")
        self._do(f"DROP TABLE {seen}")
        self._has_rollup = self._is_rolled_up()

    def drop_rollup(self) -> None:
        """Have no sums kept any more.

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
        told = sql.facts_of(self._name(), window or hint, sql.SOURCES[name].groups)
        return f"({sql.rows(name, f'({told})', is_exact=True)})"

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
            f"SELECT thread_id, {_COST} FROM {self._source('calls', hint=hint)}"
            f" WHERE {where} GROUP BY thread_id"
        )

    def _prices(
        self, hint: str = "1", values: dict[str, Any] | None = None
    ) -> dict[str, list[Any]]:
        """The prices of all models that there are, or that a hint leaves, as parameters."""
        now = time.time_ns() // pieces.DAY * pieces.DAY
        found = self._ask(f"SELECT DISTINCT price FROM {self._source('prices', hint=hint)}", values)
        # A name that no model has keeps the lists from being empty.
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

    def _threads(self, rows: Sequence[Sequence[Any]]) -> tuple[Thread, ...]:
        if not rows:
            return ()
        ids = {"ids": [row[0] for row in rows]}
        among = "thread_id IN {ids:Array(String)}"
        costs = {
            thread_id: told
            for thread_id, *told in self._ask(
                self._costs(among, _HAS_IDS), {**ids, **self._prices(_HAS_IDS, ids)}
            )
        }
        labels: dict[tuple[str, str], list[str]] = {}
        for thread_id, kind, label in self._ask(
            f"SELECT thread_id, kind, label FROM {self._source('labels', hint=_HAS_IDS)}"
            f" WHERE {among} GROUP BY thread_id, kind, label ORDER BY min(told), label",
            ids,
        ):
            labels.setdefault((thread_id, kind), []).append(label)
        return tuple(
            _thread(
                row,
                costs.get(row[0], (0, 0, 0)),
                tuple(labels.get((row[0], "tag"), ())),
                tuple(labels.get((row[0], "model"), ())),
            )
            for row in rows
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
        sums = {began: told for began, *told in found}
        return tuple(
            Bucket(
                start=began,
                end=began + width,
                spans=told[0],
                errors=told[1],
                input_tokens=told[2],
                output_tokens=told[3],
                cost=told[4] / COST_UNITS,
            )
            for began in range(start, end, width)
            for told in [sums.get(began, [0] * 7)]
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


#: The columns of `_thread`.
_THREAD: Final = (
    "thread_id, started, last_active, traces, title, spans, errors, input_tokens, output_tokens"
)


def _thread(
    row: Sequence[Any], costs: Sequence[Any], tags: tuple[str, ...], models: tuple[str, ...]
) -> Thread:
    thread_id, started, last_active, traces, title, spans, errors, *tokens = row
    cost, with_price, unpriced = costs
    return Thread(
        id=thread_id,
        title=title or None,
        tags=tags,
        started=started,
        last_active=last_active,
        traces=traces,
        spans=spans,
        errors=errors,
        models=models,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cost=cost / COST_UNITS if with_price else None,
        unpriced=unpriced,
    )


def _conditions(question: Question) -> tuple[str, dict[str, Any]]:
    """What threads have to be, and the parameters of that. LABELS stands for their source."""
    conditions = []
    values: dict[str, Any] = {}
    if question.since is not None:
        conditions.append("last_active >= {since:Int64}")
        values["since"] = pieces.bounded(question.since)
    if question.until is not None:
        conditions.append("started < {until:Int64}")
        values["until"] = pieces.bounded(question.until)
    if question.errors:
        conditions.append("errors > 0")
    if question.text:
        conditions.append(
            "(positionCaseInsensitiveUTF8(thread_id, {text:String}) > 0"
            " OR positionCaseInsensitiveUTF8(title, {text:String}) > 0)"
        )
        values["text"] = question.text
    if question.tags:
        tags = list(dict.fromkeys(question.tags))
        conditions.append(
            "thread_id IN (SELECT thread_id FROM LABELS WHERE kind = 'tag'"
            " AND label IN {tags:Array(String)}"
            " GROUP BY thread_id HAVING uniqExact(label) >= {needed:UInt32})"
        )
        values |= {"tags": tags, "needed": len(tags) if question.match == "all" else 1}
    return " AND ".join(conditions) or "1", values


#: The columns of `_kept`.
_SPAN: Final = (
    "TraceId, SpanId, ParentSpanId, SpanName, SpanKind, toUnixTimestamp64Nano(Timestamp), Duration,"
    " StatusCode, StatusMessage, ServiceName, ScopeName, SpanAttributes, ResourceAttributes,"
    " Events.Name, arrayMap(x -> toUnixTimestamp64Nano(x), Events.Timestamp), Events.Attributes,"
    " Links.TraceId, Links.SpanId, Links.Attributes"
)


def _kept(row: Sequence[Any]) -> KeptSpan:
    """A span, with facts read anew."""
    trace_id, span_id, parent_id, name, kind, start, duration, status, message, *rest = row
    service, scope, attributes, resource, *lists = rest
    names, times, told, link_traces, link_spans, link_attributes = lists
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
            for name, time, attributes in zip(names, times, told, strict=True)
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
    """Attributes, of which a `thread.id` in digits is the operating system's again."""
    told: dict[str, Any] = dict(attributes)
    own = told.get(facts.THREAD_IDS[0])
    if own and re.fullmatch("-?[0-9]+", own):
        told[facts.THREAD_IDS[0]] = int(own)
    return told


#: What the server or its client says, what a user can do, and whether trying again may help.
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
#: So much of what the server says is repeated.
_SAID: Final = 300


@contextmanager
def _errors(place: str) -> Iterator[None]:
    """Raise what goes wrong as a `StoreError` that says what a user can do."""
    try:
        yield
    except StoreError:
        raise
    # Clients raise errors of several libraries.
    except Exception as error:
        said = str(error)
        for words, advice, is_temporary in _ADVICE:
            if words in said:
                raise StoreError(
                    f"{place}: {advice} ({said[:_SAID]})", is_temporary=is_temporary
                ) from error
        raise StoreError(f"{place}: {said[:_SAID]}", is_temporary=False) from error
