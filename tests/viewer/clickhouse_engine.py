"""ClickHouse in this process, asked in the way that `clickhouse-connect` asks a server."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chdb.session import Session
from clickhouse_connect.driver.binding import bind_query

from orq_otel.viewer.model import KeptSpan, Span

_INSERT = re.compile(
    r"INSERT INTO \S*otel_traces\S*\s*\((?P<columns>.*)\)\s*(?:SETTINGS .*)?FORMAT (?P<format>\w+)",
    re.DOTALL,
)
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


class Rows:
    def __init__(self, result_rows: Sequence[Sequence[Any]]) -> None:
        self.result_rows = result_rows


class Engine:
    """ClickHouse on a directory. There is one in a process, for its whole life."""

    def __init__(self, directory: Path) -> None:
        self._session = Session(str(directory))
        self._lock = threading.Lock()

    def query(self, query: str, parameters: dict[str, Any] | None = None) -> Rows:
        query, bound = bind_query(query, parameters, None)
        values = {name.removeprefix("param_"): value for name, value in bound.items()}
        with self._lock:
            told = self._session.query(
                query, "JSONCompactEachRow", **({"params": values} if values else {})
            )
        return Rows([json.loads(line) for line in str(told).splitlines()])

    def command(self, cmd: str) -> None:
        self.query(cmd)

    def insert(self, query: str, rows: Path) -> None:
        """An INSERT whose rows come apart from it, in any format."""
        told = _INSERT.fullmatch(query.strip())
        assert told is not None, query
        names = [name.strip('`" \n') for name in told["columns"].split(",")]
        types = dict(
            self.query(
                "SELECT name, type FROM system.columns WHERE database ="
                " currentDatabase() AND table = 'otel_traces'"
            ).result_rows
        )
        structure = ", ".join(f"`{name}` {types[name]}" for name in names)
        self.command(
            f"INSERT INTO otel_traces ({', '.join(f'`{name}`' for name in names)})"
            f" SELECT * FROM file('{rows}', '{told['format']}', '{structure}')"
        )

    def close(self) -> None:
        """It goes on: the next test has a database of its own."""

    def end(self) -> None:
        self._session.close()


def insert(engine: Engine, spans: Iterable[KeptSpan]) -> None:
    """Write spans as the Collector does: each attribute is text."""
    rows = "\n".join(json.dumps(_row(kept.span)) for kept in spans)
    if rows:
        engine.command(f"INSERT INTO otel_traces FORMAT JSONEachRow {rows}")


def _row(span: Span) -> dict[str, Any]:
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
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in attributes.items()
    }
