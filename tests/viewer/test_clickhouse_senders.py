"""What other senders send, as the Collector writes it, is read as SQLite's store reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clickhouse_server import ClickHouseServer

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord
from orq_otel.viewer.receive.otlp import from_json
from orq_otel.viewer.store.buckets import DAY
from orq_otel.viewer.store.clickhouse import ClickHouseStore
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conftest import fresh_database
from .dialect_writers import WRITERS, spans_of
from .test_dialect_kinds import SUPPORT
from .test_dialects import SENDERS, SENT, _told, expected_tokens, is_whole


def everything() -> tuple[list[KeptSpan], list[LogRecord]]:
    spans: list[KeptSpan] = []
    logs: list[LogRecord] = []
    for sender in SENDERS:
        for file in ("traces.json", "logs.json"):
            path = SENT / sender / file
            if path.exists():
                received = from_json(path.read_bytes())
                spans += [KeptSpan(one, read(one)) for one in received.spans]
                logs += received.logs
    return spans, logs


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("spans", marks=pytest.mark.slow),
        pytest.param("sums", marks=pytest.mark.slow),
        "sums of what arrives",
    ],
)
def clickhouse_store(
    request: pytest.FixtureRequest, clickhouse: ClickHouseServer
) -> Iterator[ClickHouseStore]:
    """All of them, as they are, summed up, or summed up as they arrive: log records first."""
    spans, logs = everything()
    with fresh_database(clickhouse) as database:
        if request.param != "sums of what arrives":
            database.insert(spans, logs)
        with database.store() as store:
            if request.param != "spans":
                store.create_rollup()
            if request.param == "sums of what arrives":
                database.insert([], logs)
                for start in range(0, len(spans), 97):
                    database.insert(spans[start : start + 97])
                    store.follow()
            yield store


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteStore]:
    store = SQLiteStore(Path(tmp_path_factory.mktemp("sqlite")) / "spans.db")
    store.write(*everything())
    yield store
    store.close()


def told_of(thread_id: str) -> list[str]:
    """The senders with a thread of this id: a later release may tell of the same."""
    return [
        one
        for one in SENDERS
        if json.loads((SENT / one / "expected.json").read_text())["thread_id"] == thread_id
    ]


@pytest.mark.one_in(5)
@pytest.mark.parametrize("sender", SENDERS)
def test_a_sender(
    sender: str, clickhouse_store: ClickHouseStore, sqlite_store: SQLiteStore
) -> None:
    expected = json.loads((SENT / sender / "expected.json").read_text())
    thread_id = expected["thread_id"]
    thread = clickhouse_store.thread(thread_id)
    assert thread is not None
    assert thread == sqlite_store.thread(thread_id)
    if told_of(thread_id) == [sender]:
        assert (thread.input_tokens, thread.output_tokens) == expected_tokens(expected)
        if is_whole(sender, expected):
            assert thread.cost == pytest.approx(expected["cost_usd"], rel=0.02)

    def told(store: Store) -> list[object]:
        entries = conversation(thread_id, store.spans(thread_id)).entries
        return [(_told(one), one.kept.facts) for one in entries]

    assert told(clickhouse_store) == told(sqlite_store)

    def judged(store: Store) -> list[object]:
        return [one.name for one in store.logs(thread_id, name=EVALUATION)]

    assert judged(clickhouse_store) == judged(sqlite_store)


def test_all_together(clickhouse_store: ClickHouseStore, sqlite_store: SQLiteStore) -> None:
    query = ThreadQuery(limit=500)
    assert clickhouse_store.threads(query) == sqlite_store.threads(query)
    assert clickhouse_store.strays() == sqlite_store.strays()
    assert clickhouse_store.overview(query) == sqlite_store.overview(query)


@pytest.mark.parametrize("way", ["spans", "sums"])
def test_conventions_that_nobody_knows(
    way: str, clickhouse: ClickHouseServer, sqlite: SQLiteStore
) -> None:
    """They are found by how names end, and a failed call by its own name."""
    kept: list[KeptSpan] = []
    for number, sender in enumerate(WRITERS):
        spans = [
            replace(
                one,
                trace_id=f"{number:02x}{one.trace_id[2:]}",
                start=one.start + 20_000 * DAY,
                end=one.end + 20_000 * DAY,
                attributes={**one.attributes, "acme.conversation.id": sender},
            )
            for one in spans_of(sender, SUPPORT, None)
        ]
        spans[-1] = replace(spans[-1], attributes={"session.id": sender})
        kept += [KeptSpan(one, read(one)) for one in spans]
    sqlite.write(kept)
    with fresh_database(clickhouse) as database:
        database.insert(kept)
        with database.store() as store:
            if way == "sums":
                store.create_rollup()
            query = ThreadQuery(limit=100)
            found = store.threads(query)
            assert {one.id: one.errors for one in found.threads} == dict.fromkeys(WRITERS, 1)
            assert found == sqlite.threads(query)


def test_a_neighbour_of_a_new_trace_has_neighbours_of_its_own(
    clickhouse: ClickHouseServer,
) -> None:
    """A graph in one trace, and each call in a trace of the client's, of which one comes late."""
    sender = "conflict-langgraph-openinference"
    path = SENT / sender / "traces.json"
    expected = json.loads((SENT / sender / "expected.json").read_text())
    spans = [KeptSpan(one, read(one)) for one in from_json(path.read_bytes()).spans]
    late = next(one for one in spans if one.span.scope == "orq_otel.openai")
    with fresh_database(clickhouse) as database, database.store() as store:
        store.create_rollup()
        for some in ([one for one in spans if one is not late], [late]):
            database.insert(some)
            store.follow()
        thread = store.thread(expected["thread_id"])
        assert thread is not None
        assert (thread.input_tokens, thread.output_tokens) == expected_tokens(expected)


def raw_records(sender: str) -> list[LogRecord]:
    """The log records of a sender before any of them is taken for a span."""

    def values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
        return {one["key"]: next(iter(one["value"].values()), "") for one in pairs}

    sent = json.loads((SENT / sender / "logs.json").read_text())
    return [
        LogRecord(
            one.get("traceId") or None,
            one.get("spanId") or None,
            one.get("eventName", ""),
            int(one.get("timeUnixNano", 0)) or int(one["observedTimeUnixNano"]),
            one.get("severityText", ""),
            (one.get("body") or {}).get("stringValue"),
            values(of_resource["resource"]["attributes"])["service.name"],
            of_scope["scope"]["name"],
            values(one["attributes"]),
            values(of_resource["resource"]["attributes"]),
        )
        for of_resource in sent["resourceLogs"]
        for of_scope in of_resource["scopeLogs"]
        for one in of_scope["logRecords"]
    ]


@pytest.mark.parametrize(
    "way", ["spans", pytest.param("sums", marks=pytest.mark.slow), "sums of what arrives"]
)
def test_coding_agents_that_send_log_records_alone(
    way: str, clickhouse: ClickHouseServer, sqlite_store: SQLiteStore
) -> None:
    sent = {
        json.loads((SENT / one / "expected.json").read_text())["thread_id"]: raw_records(one)
        for one in ("claude-code-logs", "codex-logs")
    }
    with fresh_database(clickhouse) as database, database.store() as store:
        if way == "sums of what arrives":
            store.create_rollup()
        for records in sent.values():
            for half in (records[len(records) // 2 :], records[: len(records) // 2]):
                database.insert([], half)
                store.follow()
        if way == "sums":
            store.create_rollup()
            store.follow()
        for thread_id in sent:
            thread = store.thread(thread_id)
            assert thread is not None
            assert thread == sqlite_store.thread(thread_id)
            entries = conversation(thread_id, store.spans(thread_id)).entries
            expected = conversation(thread_id, sqlite_store.spans(thread_id)).entries
            assert list(map(_told, entries)) == list(map(_told, expected))
            names = [one.name for one in sqlite_store.logs(thread_id)]
            assert [one.name for one in store.logs(thread_id)] == names
        assert {one.id for one in store.threads(ThreadQuery()).threads} == sent.keys()
        assert store.overview(ThreadQuery()).threads == len(sent)
        codex = "ScopeName LIKE 'codex%'"
        database.command(f"DELETE FROM otel_logs WHERE {codex}")
        assert database.rows(f"SELECT count() FROM otel_logs WHERE {codex}") == [[0]]
        store.follow()
        (left,) = store.threads(ThreadQuery()).threads
        assert left.id == next(iter(sent))
        assert store.thread(next(reversed(sent))) is None
        database.command("TRUNCATE TABLE otel_logs")
        store.follow()
        assert store.threads(ThreadQuery()).threads == ()
        assert list(store.spans(left.id)) == []
