"""Tables as the Collector's exporter makes them, and rows as it writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from support.clickhouse_server import ClickHouseServer

from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.store.clickhouse import ClickHouseStore

#: As the Collector's exporter makes it (contrib 0.1xx, `traces_table.sql`, map variant).
TABLE = """
CREATE TABLE IF NOT EXISTS otel_traces (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp), Timestamp)
"""


#: When each trace began and ended, as the exporter has it noted.
TIMES = (
    """
CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts (
    TraceId String CODEC(ZSTD(1)),
    Start DateTime CODEC(Delta, ZSTD(1)),
    End DateTime CODEC(Delta, ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Start)
ORDER BY (TraceId, Start)
""",
    """
CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End FROM otel_traces
WHERE TraceId != '' GROUP BY TraceId
""",
)
#: As it makes the table of log records. Earlier releases have no `EventName`.
LOGS = """
CREATE TABLE IF NOT EXISTS otel_logs (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TimestampTime DateTime DEFAULT toDateTime(Timestamp),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName String CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(TimestampTime)
ORDER BY (ServiceName, TimestampTime, Timestamp)
"""


#: As HyperDX makes them: the exporter's, with flat columns of events, items of attributes that a
#: text index has, columns of its own, and no table of when traces began.
HYPERDX = (
    TABLE.replace(
        """    Events Nested (
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
""",
        """    `Events.Timestamp` Array(DateTime64(9)) CODEC(ZSTD(1)),
    `Events.Name` Array(LowCardinality(String)) CODEC(ZSTD(1)),
    `Events.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Links.TraceId` Array(String) CODEC(ZSTD(1)),
    `Links.SpanId` Array(String) CODEC(ZSTD(1)),
    `Links.TraceState` Array(String) CODEC(ZSTD(1)),
    `Links.Attributes` Array(Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `__hdx_materialized_rum.sessionId` String MATERIALIZED ResourceAttributes['rum.sessionId'],
    SampleRate UInt64 MATERIALIZED greatest(toUInt64OrZero(SpanAttributes['SampleRate']), 1),
    SpanAttributeItems Array(String)
        ALIAS arrayMap(x -> concat(x.1, '=', x.2), SpanAttributes::Array(Tuple(String, String))),
""",
    )
    .replace(
        "mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1",
        "SpanAttributeItems TYPE text(tokenizer = 'array')",
    )
    .replace(
        "ORDER BY (ServiceName, SpanName, toDateTime(Timestamp), Timestamp)",
        "ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))"
        " TTL toDate(Timestamp) + toIntervalDay(30) SETTINGS ttl_only_drop_parts = 1",
    ),
    LOGS.replace(
        "PARTITION BY toDate(TimestampTime)\nORDER BY (ServiceName, TimestampTime, Timestamp)",
        "PARTITION BY toDate(Timestamp) ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName)"
        " TTL Timestamp + INTERVAL 30 DAY DELETE SETTINGS ttl_only_drop_parts = 1",
    ),
)


class FilledStore(ClickHouseStore):
    """A store that writes as the Collector does, and sums up what it has written."""

    database: Database

    def write(self, spans: Sequence[KeptSpan], logs: Sequence[LogRecord] = ()) -> None:
        self.database.insert(spans, logs)
        self.follow()


class Database:
    """A database of a server, and what the Collector does with it."""

    def __init__(self, server: ClickHouseServer, name: str) -> None:
        self.server = server
        self.name = name
        self._since = server.logged()

    def command(self, sql: str) -> str:
        return self.server.command(sql, self.name)

    def rows(self, sql: str) -> list[list[Any]]:
        return self.server.rows(sql, self.name)

    def url(self, user: str = "viewer:secret", **options: str) -> str:
        return self.server.url(self.name, user, **options)

    @contextmanager
    def store(self, user: str = "viewer:secret", **options: str) -> Iterator[ClickHouseStore]:
        """A store over it, for as long as the block takes."""
        store = ClickHouseStore.connect(self.url(user, **options))
        try:
            yield store
        finally:
            store.close()

    def filled(self) -> FilledStore:
        """A store with sums, which can be written to."""
        store = FilledStore.connect(self.url())
        assert isinstance(store, FilledStore)
        store.database = self
        store.create_rollup()
        return store

    def insert(
        self, spans: Iterable[KeptSpan], logs: Iterable[LogRecord] = (), table: str = "otel_traces"
    ) -> None:
        """Write spans and log records as the Collector does: each attribute is text."""
        self.insert_rows(table, [row(kept.span) for kept in spans])
        records = [log_row(one) for one in logs]
        if records and not self.rows(
            "SELECT 1 FROM system.columns WHERE database = currentDatabase()"
            " AND table = 'otel_logs' AND name = 'EventName'"
        ):
            records = [
                {name: value for name, value in one.items() if name != "EventName"}
                for one in records
            ]
        self.insert_rows("otel_logs", records)

    def insert_rows(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Write rows to a table."""
        if rows:
            lines = "\n".join(map(json.dumps, rows))
            self.command(f"INSERT INTO {table} FORMAT JSONEachRow {lines}")

    def log(self) -> list[dict[str, Any]]:
        """What the server was asked since there is this database."""
        return self.server.log(self._since)

    def queries(self) -> list[dict[str, Any]]:
        """What the store has asked so far, but for what the client asks by itself."""
        return [
            one
            for one in self.log()
            if one["how"].get("database") == self.name and one["user"] != "default"
        ]


def log_row(record: LogRecord) -> dict[str, Any]:
    body = record.body
    return {
        "Timestamp": f"{record.time // 10**9}.{record.time % 10**9:09d}",
        "TraceId": record.trace_id or "",
        "SpanId": record.span_id or "",
        "SeverityText": record.severity,
        "ServiceName": record.service,
        "Body": body if isinstance(body, str) else "" if body is None else json.dumps(body),
        "ResourceAttributes": _texts(record.resource),
        "ScopeName": record.scope,
        "LogAttributes": _texts(record.attributes),
        "EventName": record.name,
    }


def row(span: Span) -> dict[str, Any]:
    return {
        "Timestamp": f"{span.start // 10**9}.{span.start % 10**9:09d}",
        "TraceId": span.trace_id,
        "SpanId": span.span_id,
        "ParentSpanId": span.parent_id or "",
        "SpanName": span.name,
        "SpanKind": span.kind.title(),
        "ServiceName": span.service,
        "ResourceAttributes": _texts(span.resource),
        "ScopeName": span.scope,
        "SpanAttributes": _texts(span.attributes),
        # The exporter subtracts without a sign.
        "Duration": (span.end - span.start) % 2**64,
        "StatusCode": span.status.title(),
        "StatusMessage": span.status_message,
        "Events.Timestamp": [
            f"{event['time'] // 10**9}.{event['time'] % 10**9:09d}" for event in span.events
        ],
        "Events.Name": [event["name"] for event in span.events],
        "Events.Attributes": [_texts(event["attributes"]) for event in span.events],
        "Links.TraceId": [link["trace_id"] for link in span.links],
        "Links.SpanId": [link["span_id"] for link in span.links],
        "Links.TraceState": ["" for _ in span.links],
        "Links.Attributes": [_texts(link["attributes"]) for link in span.links],
    }


def _texts(attributes: Any) -> dict[str, str]:
    return {
        name: value
        if isinstance(value, str)
        else ""
        if value is None
        else json.dumps(value, separators=(",", ":"))
        for name, value in attributes.items()
    }
