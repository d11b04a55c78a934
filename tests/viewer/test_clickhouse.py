"""What only ClickHouse has: a Collector that fills it, a rollup, a server that may be gone."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from e2e.ports import free_port

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model import KeptSpan, Span, StoreError, ThreadQuery
from orq_otel.viewer.store import open_store
from orq_otel.viewer.store.clickhouse import ClickHouseStore

from .clickhouse_engine import Engine, insert
from .sample_spans import MINUTE, NOON, call, messages, span


def kept(*spans: Span) -> list[KeptSpan]:
    return [KeptSpan(one, read(one)) for one in spans]


def test_the_collector_writes_and_nobody_else(database: Engine) -> None:
    with pytest.raises(StoreError, match="filled by the OpenTelemetry Collector") as caught:
        ClickHouseStore(database).write(kept(span("a")))
    assert not caught.value.is_temporary


def test_a_rollup_holds_what_came_before_and_after(database: Engine) -> None:
    store = ClickHouseStore(database)
    insert(database, kept(call("a", tags=("x",), says="Hello"), call("b", start=NOON + MINUTE)))
    before = store.threads(ThreadQuery()), store.overview(ThreadQuery())
    store.create_rollup()
    assert (store.threads(ThreadQuery()), store.overview(ThreadQuery())) == before
    insert(database, kept(call("a", start=NOON + 2 * MINUTE, tags=("y",))))
    with_rollup = store.threads(ThreadQuery()), store.overview(ThreadQuery())
    # Another one finds it. Made anew, or not there, it is the same.
    assert ClickHouseStore(database)._has_rollup
    store.create_rollup()
    assert (store.threads(ThreadQuery()), store.overview(ThreadQuery())) == with_rollup
    store.drop_rollup()
    assert not ClickHouseStore(database)._has_rollup
    assert (store.threads(ThreadQuery()), store.overview(ThreadQuery())) == with_rollup
    thread = store.thread("a")
    assert thread is not None
    assert (thread.spans, thread.tags) == (2, ("x", "y"))


def test_a_rollup_is_asked_and_not_all_spans(database: Engine) -> None:
    store = ClickHouseStore(database)
    store.create_rollup()
    insert(database, kept(call("a", tags=("x",), says="Hello")))
    before = store.threads(ThreadQuery(sort="cost", tags=("x",), text="hello"))
    database.command("TRUNCATE TABLE otel_traces")
    assert store.threads(ThreadQuery(sort="cost", tags=("x",), text="hello")) == before
    assert store.thread("a") == before.threads[0]


def test_plots_of_a_rollup_are_those_of_the_spans(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ClickHouseStore(database)
    insert(database, kept(*(call(f"t{n % 5}", start=NOON + n * 37 * MINUTE) for n in range(100))))
    few = store.overview(ThreadQuery(), 50)
    store.create_rollup()
    monkeypatch.setattr("orq_otel.viewer.store.clickhouse._COUNTABLE", 0)
    assert store.overview(ThreadQuery(), 50) == few
    assert sum(bucket.spans for bucket in few.buckets) == 100


def test_an_older_collector(database: Engine) -> None:
    """It wrote kinds and states as OTLP names them."""
    insert(database, kept(call("a", status="ERROR", operation="invoke_agent")))
    store = ClickHouseStore(database)
    database.command(
        "ALTER TABLE otel_traces UPDATE SpanKind = 'SPAN_KIND_CLIENT',"
        " StatusCode = 'STATUS_CODE_ERROR' WHERE 1 SETTINGS mutations_sync = 1"
    )
    (found,) = store.spans("a")
    assert (found.span.kind, found.span.status) == ("CLIENT", "ERROR")
    thread = store.thread("a")
    assert thread is not None
    assert (thread.errors, thread.input_tokens) == (1, 1000)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("nothing", "no such table"),
        ("x; DROP TABLE otel_traces", "not the name of a table"),
        ("`", "not the name of a table"),
        ("", "not the name of a table"),
    ],
)
def test_a_table_that_is_not_there(database: Engine, table: str, error: str) -> None:
    with pytest.raises(StoreError, match=error) as caught:
        ClickHouseStore(database, table)
    assert not caught.value.is_temporary


def test_a_server_that_is_not_there() -> None:
    url = f"clickhouse://user:secret@127.0.0.1:{free_port()}/otel"
    with pytest.raises(StoreError, match="does not answer") as caught:
        open_store(url)
    assert caught.value.is_temporary
    assert "secret" not in str(caught.value)


def test_what_is_no_address() -> None:
    with pytest.raises(StoreError, match="no address") as caught:
        open_store("clickhouse://secret@host:port/")
    assert "secret" not in str(caught.value)


def test_a_failure_in_between(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ClickHouseStore(database)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED)")

    monkeypatch.setattr(database, "query", fail)
    with pytest.raises(StoreError, match="rollup would help") as caught:
        store.threads(ThreadQuery())
    assert caught.value.is_temporary


#: As the Collector's exporter makes it. Earlier releases have no `EventName`.
_LOGS = """
CREATE TABLE otel_logs (
    Timestamp DateTime64(9),
    TraceId String,
    SpanId String,
    TraceFlags UInt8,
    SeverityText LowCardinality(String),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String),
    Body String,
    ResourceAttributes Map(LowCardinality(String), String),
    ScopeName String,
    LogAttributes Map(LowCardinality(String), String){event_name}
) ENGINE = MergeTree ORDER BY (ServiceName, Timestamp)
"""


@pytest.mark.parametrize("has_name", [True, False])
def test_log_records_of_the_collector(database: Engine, has_name: bool) -> None:
    store = ClickHouseStore(database)
    one = call("t")
    insert(database, kept(one, call("u")))
    assert store.logs("t") == []
    database.command(_LOGS.format(event_name=", EventName String" if has_name else ""))

    nanoseconds = itertools.count(1)

    def add(name: str, of: Span | None = None, **more: Any) -> None:
        row = {
            "Timestamp": f"{NOON // 10**9}.00000000{next(nanoseconds)}",
            "TraceId": of.trace_id if of else "",
            "SpanId": of.span_id if of else "",
            "ServiceName": "shop",
            **({"EventName": name} if has_name else {}),
            **more,
            "LogAttributes": {
                **({} if has_name else {"event.name": name}),
                **more.get("LogAttributes", {}),
            },
        }
        database.command(f"INSERT INTO otel_logs FORMAT JSONEachRow {json.dumps(row)}")

    asked = {"gen_ai.input.messages": messages("Where is it?")}
    add("gen_ai.client.inference.operation.details", one, LogAttributes=asked)
    add("gen_ai.evaluation.result", LogAttributes={"gen_ai.conversation.id": "t"})
    add("gen_ai.choice", one, Body='{"message": {"content": "Here"}}')
    add("gen_ai.evaluation.result", LogAttributes={"thread.id": "u"})
    (found,) = store.spans("t")
    assert found.facts.title == "Where is it?"
    assert [(event["name"], event["time"]) for event in found.span.events] == [
        ("gen_ai.client.inference.operation.details", NOON + 1),
        ("gen_ai.choice", NOON + 3),
    ]
    assert found.span.events[1]["body"] == '{"message": {"content": "Here"}}'
    assert len(store.logs("t")) == 3
    (judged,) = store.logs("t", name="gen_ai.evaluation.result")
    assert (judged.trace_id, judged.service) == (None, "shop")


def test_an_end_before_its_start(database: Engine) -> None:
    store = ClickHouseStore(database)
    insert(database, kept(call("t", seconds=-0.003)))
    (found,) = store.spans("t")
    assert found.span.end == found.span.start - 3_000_000
    thread = store.thread("t")
    assert thread is not None
    assert thread.last_active == thread.started == found.span.start
