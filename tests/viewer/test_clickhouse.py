"""What only ClickHouse has: a Collector that fills it, sums, a server that may be gone."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from e2e.ports import free_port
from starlette.applications import Starlette
from starlette.testclient import TestClient

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord, Span
from orq_otel.viewer.model.threads import ThreadPage
from orq_otel.viewer.store import open_store
from orq_otel.viewer.store.buckets import DAY, HOUR
from orq_otel.viewer.store.clickhouse import ClickHouseStore
from orq_otel.viewer.store.clickhouse_address import Address
from orq_otel.viewer.store.clickhouse_spans import RawSpans
from orq_otel.viewer.web.pages import create_pages

from .clickhouse_tables import HYPERDX, LOGS, TABLE, Database, FilledStore, row
from .sample_spans import MINUTE, NOON, call, messages, span


def kept(*spans: Span) -> list[KeptSpan]:
    return [KeptSpan(one, read(one)) for one in spans]


def test_the_collector_writes_and_nobody_else(database: Database) -> None:
    with (
        database.store() as store,
        pytest.raises(StoreError, match="filled by the OpenTelemetry Collector") as caught,
    ):
        store.write(kept(span("a")))
    assert not caught.value.is_temporary


def test_a_rollup_holds_what_came_before_and_after(database: Database) -> None:
    database.insert(kept(call("a", tags=("x",), says="Hello"), call("b", start=NOON + MINUTE)))
    with database.store() as store, database.store() as other:
        before = store.threads(ThreadQuery()), store.overview(ThreadQuery())
        days: list[tuple[int, int, int]] = []
        store.create_rollup(lambda *day: days.append(day))
        assert days == [(NOON // DAY, 1, 1)]
        assert (store.threads(ThreadQuery()), store.overview(ThreadQuery())) == before
        database.insert(kept(call("a", start=NOON + 2 * MINUTE, tags=("y",))))
        summed = store.threads(ThreadQuery()), store.overview(ThreadQuery())
        thread = store.thread("a")
        assert thread is not None
        assert (thread.spans, thread.tags) == (2, ("x", "y"))
        # Another viewer reads them. Made anew, they are the same.
        assert (other.threads(ThreadQuery()), other.overview(ThreadQuery())) == summed
        store.create_rollup()
        assert (other.threads(ThreadQuery()), other.overview(ThreadQuery())) == summed
        # It goes on without them when they are gone.
        store.drop_rollup()
        assert (other.threads(ThreadQuery()), other.overview(ThreadQuery())) == summed
    assert (
        database.rows(
            "SELECT name FROM system.tables WHERE database = currentDatabase()"
            " AND name LIKE '%_orq_%'"
        )
        == []
    )


@pytest.mark.parametrize("is_summed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_what_arrives_again_counts_once(database: Database, is_summed: bool) -> None:
    batch = kept(call("a", tags=("x",), cost=0.5), call("a", start=NOON + MINUTE), span("b"))
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        database.insert(batch)
        once = store.threads(ThreadQuery()), store.overview(ThreadQuery())
        database.insert(batch)
        assert (store.threads(ThreadQuery()), store.overview(ThreadQuery())) == once
        database.command("OPTIMIZE TABLE otel_traces FINAL")
        assert (store.threads(ThreadQuery()), store.overview(ThreadQuery())) == once
    assert once[1].spans == 3


@pytest.mark.parametrize("is_summed", [False, True])
def test_a_late_parent_moves_what_is_below(database: Database, is_summed: bool) -> None:
    root = span("a", trace="ab" * 16, span_id="1" * 16)
    below = call(trace="ab" * 16, span_id="2" * 16)
    attributes = {**below.attributes}
    late = Span(**{**_fields(below), "parent_id": "1" * 16, "attributes": attributes})
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        database.insert(kept(late))
        assert store.threads(ThreadQuery()).threads == ()
        assert [one.trace_id for one in store.strays()] == ["ab" * 16]
        database.insert(kept(root))
        (thread,) = store.threads(ThreadQuery()).threads
        assert (thread.id, thread.spans, thread.input_tokens) == ("a", 2, 1000)
        assert store.strays() == ()


def _fields(one: Span) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Span.__dataclass_fields__}


@pytest.mark.parametrize("is_summed", [False, True])
def test_what_is_deleted_is_forgotten(database: Database, is_summed: bool) -> None:
    gone = call("a", says="My secret is 4711", tags=("private",))
    database.insert(kept(gone, call("b", start=NOON + MINUTE)))
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["b", "a"]
        assert len(store.spans("a")) == 1
        store.follow()
        database.command(
            f"ALTER TABLE otel_traces DELETE WHERE TraceId = '{gone.trace_id}'"
            " SETTINGS mutations_sync = 1"
        )
        store.follow()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["b"]
        assert store.thread("a") is None
        assert store.spans("a") == []
        assert store.overview(ThreadQuery()).tags == ()


def change_of(page: httpx.Response) -> str:
    """What a page that is followed compares with `/changes`."""
    return re.findall('data-change="([0-9]+)"', page.text)[0]


@pytest.mark.parametrize("path", ["/?since=any", "/threads/a"])
def test_who_follows_a_page_sees_what_others_sum_up_later(database: Database, path: str) -> None:
    database.insert(kept(call("a")))
    with database.store() as writer, database.store(user="reader:secret") as reader:
        writer.create_rollup()
        writer.follow()
        with TestClient(Starlette(routes=create_pages(reader))) as client:

            def is_new() -> bool:
                return str(client.get("/changes").json()["change"]) != change_of(page)

            page = client.get(path)
            assert not is_new()
            database.insert(kept(call("a", start=NOON + MINUTE)))
            page = client.get(path)
            assert not is_new()  # nothing of it can be seen yet
            writer.follow()
            assert is_new()
            page = client.get(path)
            assert not is_new()


class Busy(FilledStore):
    """A store to which somebody writes whenever a list is read."""

    def threads(self, query: ThreadQuery) -> ThreadPage:
        found = super().threads(query)
        self.write(kept(call("late")))
        return found


def test_who_follows_a_page_sees_what_comes_while_it_is_made(database: Database) -> None:
    store = Busy.connect(database.url())
    assert isinstance(store, Busy)
    store.database = database
    store.create_rollup()
    with (
        contextlib.closing(store),
        TestClient(Starlette(routes=create_pages(store))) as client,
    ):
        page = client.get("/?since=any")
        assert str(client.get("/changes").json()["change"]) != change_of(page)


@pytest.mark.parametrize("is_followed", [False, True])
def test_sums_that_are_made_anew_have_nothing_that_was_deleted(
    database: Database, is_followed: bool
) -> None:
    gone = call("a", says="My secret is 4711", tags=("private",))
    spans = kept(gone, call("b", start=NOON + DAY))
    with database.store() as store:
        if is_followed:
            store.create_rollup()
        database.insert(spans)
        store.create_rollup()
        store.follow()
    database.command(f"DELETE FROM otel_traces WHERE SpanId = '{gone.span_id}'")
    with database.store() as store:
        store.create_rollup()
    assert database.rows("SELECT thread_id FROM otel_traces_orq_days FINAL") == [["b"]]
    with database.store() as store:
        assert (found := store.overview(ThreadQuery())).threads == 1
        assert found.tags == ()


def test_what_is_deleted_while_no_viewer_runs(database: Database) -> None:
    gone = call("a", says="My secret is 4711")
    database.insert(kept(gone))
    with database.store() as store:
        store.create_rollup()
        store.follow()
    database.command(f"DELETE FROM otel_traces WHERE SpanId = '{gone.span_id}'")
    for hours, left in ((0, ["a"]), (2, [])):  # since somebody looked for what is deleted
        database.command(
            "INSERT INTO otel_traces_orq_state VALUES ('swept',"
            f" toUnixTimestamp64Micro(now64(6) - INTERVAL {hours} HOUR),"
            " toUnixTimestamp64Micro(now64(6)))"
        )
        with database.store() as store:
            store.follow()
        found = database.rows("SELECT DISTINCT thread_id FROM otel_traces_orq_messages FINAL")
        assert [thread for (thread,) in found] == left


def test_what_is_deleted_leaves_the_disk(database: Database) -> None:
    gone = call("a", says="My secret is 4711", tags=("secret",))
    database.insert(kept(gone, call("b", start=NOON + MINUTE)))
    with database.store() as store:
        store.create_rollup()
        store.follow()
        database.command(f"DELETE FROM otel_traces WHERE SpanId = '{gone.span_id}'")
        store.follow()
    left = {}
    for part in ("activity", "days", "messages"):
        table = f"otel_traces_orq_{part}"
        ((made,),) = database.rows(
            "SELECT engine_full FROM system.tables WHERE database = currentDatabase()"
            f" AND name = '{table}'"
        )
        assert "min_age_to_force_merge_seconds = 3600" in made  # nobody waits here for so long
        database.command(f"ALTER TABLE {table} MODIFY SETTING min_age_to_force_merge_seconds = 1")
        # Whoever reads without FINAL sees what was replaced.
        left[table] = f"SELECT count() FROM {table} WHERE toString(tuple(*)) LIKE '%secret%'"
    deadline = time.monotonic() + 60
    while any(database.rows(query) != [[0]] for query in left.values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_sums_of_the_release_before_are_made_anew(database: Database) -> None:
    database.insert(
        kept(
            call("a", says="Where is my parcel?", server__address="10.0.0.5"),
            call("a", start=NOON + DAY, says="And now?", status="ERROR"),
            call("b", start=NOON + DAY, tags=("y",)),
        )
    )

    def answers(store: ClickHouseStore) -> list[object]:
        asked = ThreadQuery(), ThreadQuery(text="parcel"), ThreadQuery(tags=("y",), since=NOON)
        return [(store.threads(one), store.overview(one)) for one in asked]

    with database.store() as store:
        store.create_rollup()
        before = answers(store)
    for statement in (
        "ALTER TABLE otel_traces_orq_activity DROP COLUMN estimated",
        "ALTER TABLE otel_traces_orq_days DROP COLUMN estimated",
        "INSERT INTO otel_traces_orq_state VALUES ('form', 3, toUnixTimestamp64Micro(now64(6)))",
    ):
        database.command(statement)
    with database.store() as store:
        reads = len(database.queries())
        assert store.thread("b") is not None  # from the spans themselves
        assert not any("_orq_days" in one["sql"] for one in database.queries()[reads:])
        store.create_rollup()
        assert answers(store) == before


DAYS = "toDateTime(Timestamp) + toIntervalDay"


def test_sums_are_kept_as_long_as_spans(database: Database) -> None:
    database.command("ALTER TABLE otel_traces MODIFY TTL toDateTime(Timestamp) + toIntervalDay(30)")
    with database.store() as store:
        store.create_rollup()
    tables = dict(
        database.rows(
            "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
        )
    )
    for part in ("activity", "days", "dates", "messages", "feedback"):  # what users say, and do
        assert "TTL toDateTime(hour) + toIntervalDay(30)" in tables[f"otel_traces_orq_{part}"]
        by = "toYYYYMM" if part == "dates" else "toDate"
        assert f"PARTITION BY {by}(hour)" in tables[f"otel_traces_orq_{part}"]
    assert "TTL toDateTime(arrived) + toIntervalDay(3)" in tables["otel_traces_orq_arrivals"]


@pytest.mark.parametrize(
    ("change", "ttl"),
    [
        (f"MODIFY TTL {DAYS}(90)", "TTL toDateTime(hour) + toIntervalDay(90) "),
        pytest.param("REMOVE TTL", None, marks=pytest.mark.slow),
    ],
)
def test_sums_are_made_anew_after_spans_are_kept_for_another_time(
    database: Database, caplog: pytest.LogCaptureFixture, change: str, ttl: str | None
) -> None:
    now = time.time_ns()
    database.command(f"ALTER TABLE otel_traces MODIFY TTL {DAYS}(30)")
    with database.store() as store:
        store.create_rollup()
    database.insert(kept(call("a", start=now - HOUR)))
    for altered, warnings in (("", 0), (change, 1), ("", 1)):
        if altered:
            database.command(f"ALTER TABLE otel_traces {altered}")
        with database.store() as store:
            for _ in range(2):
                assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
        assert sum("TTL of otel_traces was changed" in one.message for one in caplog.records) == (
            warnings
        )
        if altered:
            with database.store() as store:
                store.create_rollup()
            ((engine,),) = database.rows(
                "SELECT engine_full FROM system.tables WHERE database = currentDatabase()"
                " AND name = 'otel_traces_orq_activity'"
            )
            assert ttl in engine if ttl else " TTL " not in engine


@pytest.mark.parametrize(
    ("ttl", "kept"),
    [
        (f"{DAYS}(7) TO DISK 'default', {DAYS}(90) DELETE", "toDateTime(hour) + toIntervalDay(90)"),
        (
            f"{DAYS}(7) RECOMPRESS CODEC(ZSTD(9)), {DAYS}(30)",
            "toDateTime(hour) + toIntervalDay(30)",
        ),
        (
            f"{DAYS}(1) DELETE WHERE SpanName = 'a, (b', {DAYS}(30)",
            "toDateTime(hour) + toIntervalDay(30)",
        ),
        (f"{DAYS}(1) DELETE WHERE ServiceName = 'noise'", None),
        (
            "toDateTime(Timestamp, 'UTC') + INTERVAL 3 DAY",
            "toDateTime(hour, 'UTC') + toIntervalDay(3)",
        ),
        ("addDays(toDate(Timestamp), 30)", "addDays(toDate(hour), 30)"),
    ],
)
@pytest.mark.one_in(3)
def test_sums_are_deleted_when_every_span_of_their_time_is(
    database: Database, caplog: pytest.LogCaptureFixture, ttl: str, kept: str | None
) -> None:
    database.command(f"ALTER TABLE otel_traces MODIFY TTL {ttl}")
    with database.store() as store:
        store.create_rollup()
    ((made,),) = database.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase()"
        " AND name = 'otel_traces_orq_messages'"
    )
    assert f"digest){'' if kept is None else f' TTL {kept}'} SETTINGS index_granularity" in made
    with database.store() as store:
        store.threads(ThreadQuery())
    assert caplog.records == []


def test_sums_are_made_after_dropping_them_was_interrupted(database: Database) -> None:
    database.insert(kept(call("a")))
    with database.store() as store:
        store.create_rollup()
        database.server.fail("DROP TABLE IF EXISTS `" + database.name + "`.`otel_traces_orq_days`")
        try:
            with pytest.raises(StoreError):
                store.drop_rollup()
        finally:
            database.server.fail()
        store.create_rollup()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
        assert database.rows("SELECT spans FROM otel_traces_orq_days FINAL") == [[1]]


def test_sums_that_cannot_be_deleted_with_their_spans_are_not_made(database: Database) -> None:
    ttl = f"{DAYS}(multiIf(ServiceName = 'shop', 7, 30))"
    database.command(f"ALTER TABLE otel_traces MODIFY TTL {ttl}")
    with database.store() as store, pytest.raises(StoreError, match=re.escape(f"TTL {ttl}:")):
        store.create_rollup()


def test_making_sums_is_resumed_where_it_ended(
    database: Database,
) -> None:
    days = [NOON // DAY - number for number in range(3)]
    database.insert(kept(*(call("a", start=day * DAY + MINUTE) for day in days)))
    with database.store() as store:
        done: list[int] = []

        def report(day: int, *_: int) -> None:
            done.append(day)
            if len(done) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.create_rollup(report)
        assert done == days[:2]
        # Until all is there, threads are read as before.
        assert store.threads(ThreadQuery()).threads[0].spans == 3
        store.create_rollup(lambda day, *_: done.append(day))
        assert done == days
        assert store.threads(ThreadQuery()).threads[0].spans == 3
        store.create_rollup(lambda day, *_: done.append(day))
        assert done == days + days


def test_an_older_collector(database: Database) -> None:
    """It wrote kinds and states as OTLP names them."""
    one = row(call("a", status="ERROR", operation="invoke_agent"))
    one |= {"SpanKind": "SPAN_KIND_CLIENT", "StatusCode": "STATUS_CODE_ERROR"}
    database.insert_rows("otel_traces", [one])
    with database.store() as store:
        (found,) = store.spans("a")
        assert (found.span.kind, found.span.status) == ("CLIENT", "ERROR")
        thread = store.thread("a")
    assert thread is not None
    assert (thread.errors, thread.input_tokens) == (1, 1000)


def test_a_user_who_may_only_read(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    database.insert(kept(call("a")))
    with database.store(user="reader:secret") as reader, database.store() as writer:
        assert len(reader.threads(ThreadQuery()).threads) == 1
        with pytest.raises(StoreError, match="the user may only read"):
            reader.create_rollup()
        writer.create_rollup()
        database.insert(kept(call("b", start=NOON + MINUTE)))
        with database.store(user="reader:secret") as reader_of_sums:
            # It sees what others have summed up, and says so.
            assert [one.id for one in reader_of_sums.threads(ThreadQuery()).threads] == ["a"]
            assert "What arrives is summed up by a viewer whose user may write" in caplog.text
            database.insert(kept(call("a", start=NOON + DAY)))
            writer.follow()
            assert [one.spans for one in reader_of_sums.threads(ThreadQuery()).threads] == [2, 1]
            # Its queries come without the settings that others have.
            assert reader_of_sums.overview(ThreadQuery()) == writer.overview(ThreadQuery())


def test_a_scope_by_service(database: Database) -> None:
    other = Span(**{**_fields(call("b", start=NOON + MINUTE)), "service": "bank"})
    database.insert(kept(call("a"), other))
    with database.store() as store:
        store.create_rollup()
        assert len(store.threads(ThreadQuery()).threads) == 2
    for services in ("shop", "bank"):
        with database.store(service=services) as store:
            (thread,) = store.threads(ThreadQuery()).threads
            assert thread.id == {"shop": "a", "bank": "b"}[services]
            assert store.overview(ThreadQuery()).spans == 1
            assert store.spans("a" if services == "bank" else "b") == []
            with pytest.raises(StoreError, match="leave service= out"):
                store.create_rollup()


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("nothing", "no such table"),
        ("x; DROP TABLE otel_traces", "not the name of a table"),
        ("`", "not the name of a table"),
        ("a.b.c", "not the name of a table"),
        ("otel_logs", "not a table of the Collector's ClickHouse exporter: it has no Duration"),
    ],
)
def test_a_table_that_cannot_be_read(database: Database, table: str, error: str) -> None:
    with pytest.raises(StoreError, match=error) as caught:
        open_store(database.url(table=table))
    assert not caught.value.is_temporary


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("otel_logz", r"Log records \(otel_logz\): .* no such table"),
        ("otel_traces", r"Log records \(otel_traces\): .* it has no Body, LogAttributes"),
    ],
)
def test_log_records_that_cannot_be_read(database: Database, table: str, error: str) -> None:
    with pytest.raises(StoreError, match=error) as caught:
        open_store(database.url(logs=table))
    assert not caught.value.is_temporary


def test_columns_that_may_be_null_are_not_read(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.command("ALTER TABLE otel_logs MODIFY COLUMN Body Nullable(String)")
    with database.store() as store:
        assert store.logs("a") == []
    (warned,) = caplog.messages
    assert "Log records are not read: otel_logs cannot be read: its Body may be NULL." in warned
    for column in ("StatusCode LowCardinality(Nullable(String))", "Duration Nullable(UInt64)"):
        database.command(f"ALTER TABLE otel_traces MODIFY COLUMN {column}")
    error = "otel_traces cannot be read: its Duration, StatusCode may be NULL. A view"
    with pytest.raises(StoreError, match=error), database.store():
        pass
    columns = "ifNull(StatusCode, '') AS StatusCode, ifNull(Duration, 0) AS Duration"
    database.command(f"CREATE VIEW seen AS SELECT * REPLACE ({columns}) FROM otel_traces")
    database.insert_rows("otel_traces", [{**row(call("a")), "StatusCode": None, "Duration": None}])
    with database.store(table="seen") as store:
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]


def test_columns_that_are_no_texts_are_not_read(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.command("ALTER TABLE otel_logs MODIFY COLUMN SeverityText Enum8('' = 0, 'INFO' = 9)")
    with database.store() as store:
        assert store.logs("a") == []
    (warned,) = caplog.messages
    assert "otel_logs cannot be read: its SeverityText must be String." in warned
    for column in ("SpanKind Enum8('Client' = 3)", "SpanId FixedString(16)"):
        database.command(f"ALTER TABLE otel_traces MODIFY COLUMN {column}")
    error = "otel_traces cannot be read: its SpanId, SpanKind must be String. A view"
    with pytest.raises(StoreError, match=error), database.store():
        pass
    columns = "toString(SpanId) AS SpanId, toString(SpanKind) AS SpanKind"
    database.command(f"CREATE VIEW seen AS SELECT * REPLACE ({columns}) FROM otel_traces")
    database.insert(kept(call("a")))
    with database.store(table="seen") as store:
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]


@pytest.mark.parametrize("is_summed", [True, False])
def test_columns_of_few_texts(database: Database, is_summed: bool) -> None:
    database.command("ALTER TABLE otel_traces DROP INDEX idx_span_attr_value")
    for column in (
        "SpanAttributes Map(LowCardinality(String), LowCardinality(String))",
        "ScopeName LowCardinality(String)",
        "SpanName String",
    ):
        database.command(f"ALTER TABLE otel_traces MODIFY COLUMN {column}")
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        database.insert(kept(call("a", says="Where is it?", tags=("x",))))
        (thread,) = store.threads(ThreadQuery(text="where", tags=("x",))).threads
        assert (thread.id, thread.input_tokens, len(store.spans("a"))) == ("a", 1000, 1)


def test_log_records_are_left_out_where_none_are_written(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.insert(kept(call("a")))
    database.command("DROP TABLE otel_logs")
    with database.store() as store:
        assert store.logs("a") == []
    assert caplog.records == []
    database.command("CREATE TABLE otel_logs AS otel_traces")
    with database.store() as store:
        assert store.logs("a") == store.logs("a") == []
    (warned,) = caplog.messages
    assert warned.startswith("Log records are not read: otel_logs is not a table of")


def test_log_records_that_come_after_the_sums(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.insert(kept(one := call("a")))
    database.command("DROP TABLE otel_logs")
    with database.store() as store:
        store.create_rollup()
        store.follow()
    assert caplog.records == []
    database.command(LOGS)
    with database.store() as store:
        store.follow()
        store.follow()
        (warned,) = caplog.messages
        assert warned.endswith("Call `orq-otel clickhouse-rollup` again.")
        store.create_rollup()
    caplog.clear()
    told = {"gen_ai.evaluation.score.value": 1.0}
    ids = (one.trace_id, one.span_id)
    with database.store() as store:
        store.follow()
        database.insert([], [LogRecord(*ids, EVALUATION, NOON, "INFO", None, "shop", "", told)])
        (thread,) = store.threads(ThreadQuery()).threads
        assert thread.evaluations == 1
    assert caplog.records == []


def test_a_table_that_is_made_anew_below_the_sums(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with database.store() as store:
        store.create_rollup()
        store.follow()
        assert caplog.messages == []
        # The view that notes what arrives stays with the table that it was made for.
        database.command("RENAME TABLE otel_traces TO before")
        database.command(TABLE)
        database.insert(kept(call("b")))
        store.follow()
        store.follow()
        (warned,) = caplog.messages
        assert "nothing notes what arrives in it. Call `orq-otel clickhouse-rollup`" in warned
        store.create_rollup()
        database.insert(kept(call("c", start=NOON + MINUTE)))
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["c", "b"]


@pytest.mark.parametrize("style", ["{}.otel_traces", "`{}`.`otel_traces`", '"{}"."otel_traces"'])
def test_a_table_of_another_database(database: Database, style: str) -> None:
    database.insert(kept(call("a")))
    url = database.server.url("default", table=style.format(database.name))
    store = open_store(url)
    try:
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
    finally:
        store.close()


@pytest.mark.parametrize("name", ["`my-traces`", "`a%b`", r"`a\`b`", r'"a\"b"', r"`a\\b`", "`a.b`"])
@pytest.mark.one_in(3)
def test_a_table_with_a_name_to_quote(database: Database, name: str) -> None:
    database.command(f"CREATE TABLE {name} AS otel_traces")
    database.insert(kept(call("a")), table=name)
    with database.store(table=name) as store:
        store.create_rollup()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]


@pytest.mark.parametrize("is_summed", [True, False])
def test_ids_of_threads_without_a_letter(database: Database, is_summed: bool) -> None:
    ids = ("2026-11-30", "2026.11", "1e3", "0031-20", "007", "+31 20", "12", "-4")
    database.insert(kept(*(span(one, start=NOON + n) for n, one in enumerate(ids))))
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        # The Collector writes all attributes as texts: numbers are those of OS threads.
        found = [one.id for one in store.threads(ThreadQuery(ascending=True)).threads]
        assert found == ["2026-11-30", "2026.11", "1e3", "0031-20", "007", "+31 20"]


def test_a_view_is_read_and_not_summed_up(database: Database) -> None:
    database.insert(kept(call("a")))
    database.command("CREATE VIEW seen AS SELECT * FROM otel_traces")
    with database.store(table="seen") as store:
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
        with pytest.raises(StoreError, match="Name the table that the Collector writes to"):
            store.create_rollup()


@pytest.mark.parametrize("is_summed", [False, True])
def test_tables_of_hyperdx(database: Database, is_summed: bool) -> None:
    for table in ("otel_traces_trace_id_ts_mv", "otel_traces_trace_id_ts", "otel_traces"):
        database.command(f"DROP TABLE {table}")
    database.command("DROP TABLE otel_logs")
    for statement in HYPERDX:
        database.command(statement)
    now = time.time_ns() - MINUTE  # they are kept for 30 days
    one = call("a", start=now, says="Where is it?", tags=("x",), cost=0.5)
    told = {"gen_ai.evaluation.score.value": 1.0}
    ids = (one.trace_id, one.span_id)
    log = LogRecord(*ids, EVALUATION, now, "INFO", None, "shop", "", told)
    event = {"name": "cut", "time": now, "attributes": {"at": "noon"}}
    database.insert(kept(replace(one, events=(event,))), [log])
    with database.store() as store:
        if is_summed:
            store.create_rollup()
            table, *_ = database.rows(
                "SELECT engine_full FROM system.tables WHERE database = currentDatabase()"
                " AND name = 'otel_traces_orq_messages'"
            )
            assert "TTL toDate(hour) + toIntervalDay(30)" in table[0]
        (thread,) = store.threads(ThreadQuery(text="where")).threads
        assert (thread.title, thread.tags, thread.cost) == ("Where is it?", ("x",), 0.5)
        assert (thread.good, thread.evaluations) == (1, 1)
        (found,) = store.spans("a")
        assert [one["name"] for one in found.span.events] == ["cut", EVALUATION]
        assert store._raw.of_thread("a") == [one.trace_id]


@pytest.mark.parametrize("is_summed", [False, True])
def test_attributes_in_json(database: Database, is_summed: bool) -> None:
    database.command("DROP TABLE otel_traces")
    database.command(
        "CREATE TABLE otel_traces (Timestamp DateTime64(9), TraceId String, SpanId String,"
        " ParentSpanId String, SpanName String, SpanKind String, ServiceName String,"
        " ResourceAttributes JSON, ScopeName String, SpanAttributes JSON, Duration UInt64,"
        " StatusCode String, StatusMessage String, Events Nested (Timestamp DateTime64(9),"
        " Name String, Attributes JSON), Links Nested (TraceId String, SpanId String,"
        " TraceState String, Attributes JSON)) ENGINE = MergeTree ORDER BY Timestamp"
    )
    one = call("a", says="Hello", tags=("x", "y"), gen_ai__usage__input_tokens__cached=500)
    told = {**row(one), "SpanAttributes": one.attributes, "ResourceAttributes": one.resource}
    names = {"acme.span_kind": "LLM", "acme.session_id": "b"}
    unknown = {**row(replace(one, trace_id="b" * 32)), "SpanAttributes": names}
    database.insert_rows("otel_traces", [told, {**unknown, "ResourceAttributes": {}}])
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        thread = store.thread("a")
        (found,) = store.spans("a")
        assert store.thread("b") is not None
    assert thread is not None
    assert (thread.title, thread.tags, thread.input_tokens) == ("Hello", ("x", "y"), 1000)
    assert found.span.attributes["gen_ai.usage.input_tokens"] in {1000, "1000"}
    assert found.span.attributes["gen_ai.usage.input_tokens.cached"] in {500, "500"}


@pytest.mark.parametrize(
    "index",
    ["mapValues(SpanAttributes) TYPE bloom_filter(0.01)", "none"],
)
def test_a_thread_beyond_the_copy_is_found_by_its_id(database: Database, index: str) -> None:
    database.insert(kept(*(call(f"t{n}", start=NOON + n * 60 * MINUTE) for n in range(6))))
    told = call(None, start=NOON)  # by a name that nobody lists
    told = replace(told, attributes={**told.attributes, "acme.conversationId": "own"})
    database.insert(kept(told))
    with database.store() as store:
        raw: RawSpans = store._raw
        assert raw.of_thread("t0") == raw.of_thread("t0")
        store._copy._most = 2
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["t5", "t4"]
        thread = store.thread("t0")
        assert thread is not None
        assert (thread.id, thread.spans) == ("t0", 1)
        assert len(store.spans("t0")) == 1
        assert store.thread("nobody") is None
        own = store.thread("own")
        assert own is not None
        assert own.spans == 1


def test_a_thread_beyond_the_copy_of_one_hour_is_found_by_its_id(database: Database) -> None:
    database.insert(kept(*(call(f"t{n}", start=NOON + n * MINUTE) for n in range(6))))
    with database.store() as store:
        store._copy._most = 2
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["t5", "t4"]
        thread = store.thread("t0")
        assert thread is not None
        assert (thread.id, thread.spans, len(store.spans("t0"))) == ("t0", 1, 1)


def test_a_server_that_is_not_there() -> None:
    url = f"clickhouse://user:secret@127.0.0.1:{free_port()}/otel"
    with pytest.raises(StoreError, match="does not answer") as caught:
        open_store(url)
    assert caught.value.is_temporary
    assert "secret" not in str(caught.value)


def test_the_next_host_is_asked(database: Database) -> None:
    gone = f"clickhouse://viewer:secret@127.0.0.1:{free_port()},127.0.0.1:{database.server.port}"
    store = open_store(f"{gone}/{database.name}")
    try:
        assert store.threads(ThreadQuery()).threads == ()
    finally:
        store.close()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("clickhouse://secret@host:port/", "no address"),
        ("clickhouse://u:secret@host/?tables=x", "'tables' is no option.*table, logs, role"),
        ("clickhouse://u:secret@host/?max_execution_time=soon", "needs a number"),
        ("clickhouse://u:secret@host/?role=", "needs a value"),
        ("clickhouse://viewer:?secret@host:8123/otel", "/ [?] # .* as %2F %3F %23 "),
        ("clickhouse://viewer:12?secret@host/otel", "/ [?] # .* as %2F %3F %23 "),
        ("clickhouse://viewer:77/secret@host/otel", "/ [?] # .* as %2F %3F %23 "),
        ("clickhouse://viewer:77#secret@host/otel", "/ [?] # .* as %2F %3F %23 "),
        ("clickhouse://viewer:a@b/secret@host/otel", "/ [?] # .* as %2F %3F %23 "),
        ("clickhouse://viewer:a[secret@host/otel", "/ [?] # .* as %2F %3F %23 "),
    ],
)
def test_what_is_no_address(url: str, error: str) -> None:
    with pytest.raises(StoreError, match=error) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_an_address_may_have_any_password() -> None:
    url = "clickhouse://me%40corp:%2F%3F%23%25%40%5B%5D+@host/otel?service=a%40b"
    found = Address.parse(url)
    assert (found.user, found.password, found.services) == ("me@corp", "/?#%@[]+", ("a@b",))
    assert found.hosts == (("host", 8123),)


def test_every_query_has_limits_and_may_only_read(database: Database) -> None:
    database.insert(kept(call("a")))
    with database.store(max_execution_time="7", max_rows_to_read="5000", role="seer") as store:
        begin = len(database.queries())
        store.threads(ThreadQuery(text="a", sort="cost"))
        store.overview(ThreadQuery(tags=("x",)))
        store.spans("a")
        asked = database.queries()[begin:]
        assert len(asked) >= 3
        for one in asked:
            how = one["how"]
            assert (how["readonly"], how["max_execution_time"]) == ("1", "7")
            assert (how["max_rows_to_read"], how["role"]) == ("5000", "seer")
            assert how["max_memory_usage"] == str(4 * 2**30)
            assert how["log_comment"] == "orq-otel viewer"
        assert len({one["how"]["query_id"] for one in asked}) == len(asked)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("210. DB::NetException: Connection refused (NETWORK_ERROR)", "another server of its"),
        ("218. DB::Exception: It is dropped (TABLE_IS_DROPPED)", "a table was just dropped"),
        ("512. DB::Exception: Role is not granted (SET_NON_GRANTED_ROLE)", "lacks the role that"),
        ("745. DB::Exception: CPU (SERVER_OVERLOADED)", "the server is busy"),
    ],
)
def test_what_a_server_cannot_do_is_said(database: Database, error: str, told: str) -> None:
    with database.store() as store:
        database.server.fail("SELECT", f"Code: {error}")
        try:
            with pytest.raises(StoreError, match=told):
                store.threads(ThreadQuery())
        finally:
            database.server.fail()
        assert store.threads(ThreadQuery()).threads == ()


def test_a_failure_says_what_to_do_and_no_sql(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with database.store() as store:
        database.server.fail("SELECT")
        try:
            with (
                caplog.at_level(logging.INFO),
                pytest.raises(StoreError, match=r"too much memory.+\. Ask for a shorter") as caught,
            ):
                store.threads(ThreadQuery())
        finally:
            database.server.fail()
        assert caught.value.is_temporary
        assert "MEMORY_LIMIT_EXCEEDED" in str(caught.value)
        assert "DB::Exception" in caplog.text
        database.insert(kept(call("a")))
        database.command("ALTER TABLE otel_traces DROP COLUMN StatusMessage")
        with pytest.raises(StoreError, match="not one of the Collector's exporter") as caught:
            store.threads(ThreadQuery())
        assert "SELECT" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "told", "is_temporary"),
    [
        ("158. (TOO_MANY_ROWS)", "that reads too much", False),
        ("396. (TOO_MANY_ROWS_OR_BYTES)", "more than the user's profile allows", False),
        ("307. (TOO_MANY_BYTES)", "more than the user's profile allows", False),
        ("161. (TOO_MANY_COLUMNS)", "more than the user's profile allows", False),
        ("191. (SET_SIZE_LIMIT_EXCEEDED)", "more than the user's profile allows", False),
        ("452. (SETTING_CONSTRAINT_VIOLATION)", "Options of the address lower it", False),
        ("201. (QUOTA_EXCEEDED)", "quota is used up for now", True),
        ("202. (TOO_MANY_SIMULTANEOUS_QUERIES)", "the server is busy", True),
        ("242. (TABLE_IS_READ_ONLY)", "cannot be written to for now", True),
        ("210. Connection (ALL_CONNECTION_TRIES_FAILED)", "another server of its cluster", True),
    ],
)
def test_what_is_not_of_the_address(
    database: Database, error: str, told: str, is_temporary: bool
) -> None:
    with database.store() as store:
        database.server.fail("SELECT", f"Code: {error.replace(' ', ' DB::Exception: reached ')}")
        try:
            with pytest.raises(StoreError, match=told) as caught:
                store.threads(ThreadQuery())
        finally:
            database.server.fail()
    assert caught.value.is_temporary is is_temporary


@pytest.mark.parametrize("has_name", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("is_summed", [True, False])
def test_log_records_of_the_collector(database: Database, has_name: bool, is_summed: bool) -> None:
    one = call("t")
    if not has_name:
        database.command("ALTER TABLE otel_logs DROP COLUMN EventName")
    moments = itertools.count(NOON + 1)

    def record(name: str, of: Span | None = None, body: Any = None, **more: Any) -> LogRecord:
        attributes = {} if has_name else {"event.name": name}
        attributes |= {key.replace("__", "."): value for key, value in more.items()}
        trace_id, span_id = (of.trace_id, of.span_id) if of else (None, None)
        return LogRecord(
            trace_id, span_id, name, next(moments), "", body, "shop", "tests", attributes
        )

    with database.store() as store:
        if is_summed:
            store.create_rollup()
        database.insert(kept(one, call("u")))
        assert store.logs("t") == []
        thread = store.thread("t")
        assert thread is not None
        assert thread.title is None
        details = "gen_ai.client.inference.operation.details"
        database.insert(
            [],
            [
                record(details, one, gen_ai__input__messages=messages("Where is it?")),
                record("gen_ai.evaluation.result", gen_ai__conversation__id="t"),
                record("gen_ai.choice", one, '{"message": {"content": "Here"}}'),
                record("gen_ai.evaluation.result", thread__id="u"),
            ],
        )
        (found,) = store.spans("t")
        assert found.facts.title == "Where is it?"
        thread = store.thread("t")
        assert thread is not None
        assert thread.title == "Where is it?"
        assert [(event["name"], event["time"]) for event in found.span.events] == [
            (details, NOON + 1),
            ("gen_ai.choice", NOON + 3),
        ]
        assert found.span.events[1]["body"] == '{"message": {"content": "Here"}}'
        assert len(store.logs("t")) == 3
        (judged,) = store.logs("t", name="gen_ai.evaluation.result")
        assert (judged.trace_id, judged.service) == (None, "shop")


@pytest.mark.parametrize("is_summed", [True, False])
def test_an_end_before_its_start(database: Database, is_summed: bool) -> None:
    database.insert(kept(call("t", seconds=-0.003)))
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        (found,) = store.spans("t")
        thread = store.thread("t")
    assert found.span.end == found.span.start - 3_000_000
    assert thread is not None
    assert thread.last_active == thread.started == found.span.start
