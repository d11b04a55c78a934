"""A server that ends, has no room, or asks for certificates: nothing is lost, or counts twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from support.clickhouse_server import DISK_IS_FULL, ClickHouseServer

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord, Span
from orq_otel.viewer.store import clickhouse as store_of_clickhouse
from orq_otel.viewer.store import clickhouse_spans, open_store
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND
from orq_otel.viewer.store.clickhouse import ClickHouseStore
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.pages import create_pages

from .clickhouse_tables import LOGS, TABLE, TIMES, Database
from .sample_spans import MINUTE, NOON, call, messages, span

#: How long a step may take on a machine that does much else, in seconds.
PATIENCE = 60


def kept(*spans: object) -> list[KeptSpan]:
    return [KeptSpan(one, read(one)) for one in spans]  # type: ignore[arg-type]


@contextlib.contextmanager
def started(folder: Path, port: int = 0) -> Iterator[Database]:
    """A server of a test's own."""
    with ClickHouseServer(folder, port) as server:
        database = Database(server, "default")
        for statement in (TABLE, *TIMES, LOGS):
            database.command(statement)
        yield database


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_held(database: Database, words: str) -> bool:
    """Whether a query with some words waits."""
    return any(words in one["sql"] and "seconds" not in one for one in database.log())


def killed_while(
    database: Database,
    words: str,
    do: Callable[[], object],
    is_ready: Callable[[], object] = lambda: True,
) -> StoreError:
    """Kills the server as soon as a query waits that has some words. Returns the error."""
    found: list[StoreError] = []

    def run() -> None:
        try:
            do()
        except StoreError as error:
            found.append(error)

    running = threading.Thread(target=run)
    running.start()
    wait_for(lambda: is_ready() and is_held(database, words))
    database.server.kill()
    running.join(PATIENCE)
    return found[0]


@pytest.mark.parametrize("is_summed", [True, False])
def test_a_server_that_ends_in_the_middle_of_a_page(tmp_path: Path, is_summed: bool) -> None:
    with started(tmp_path) as database:
        port = database.server.port
        database.insert(kept(call("a", says="Where is it?")))
        store = ClickHouseStore.connect(database.url())
        if is_summed:
            store.create_rollup()
        words = "SpanAttributes"
        database.server.hold(words)
        error = killed_while(database, words, lambda: store.spans("a"))
        assert error.is_temporary
        assert "the server does not answer. Does it run?" in str(error)
    with started(tmp_path, port) as database:
        database.insert(kept(call("b", start=NOON + MINUTE)))
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["b", "a"]
        assert [one.span.trace_id for one in store.spans("a")]
        store.close()


@pytest.mark.parametrize(
    "words",
    [pytest.param("GROUP BY TraceId ORDER BY", marks=pytest.mark.slow), "AND version < "],
)
def test_a_server_that_ends_in_the_middle_of_a_backfill(tmp_path: Path, words: str) -> None:
    days = [NOON // DAY - number for number in range(3)]
    spans = kept(*(call("a", start=day * DAY + MINUTE, cost=0.5) for day in days))
    with started(tmp_path) as database:
        port = database.server.port
        database.insert(spans)
        store = ClickHouseStore.connect(database.url())
        done: list[int] = []

        def report(day: int, *_: int) -> None:
            database.server.hold(words)
            done.append(day)

        error = killed_while(database, words, lambda: store.create_rollup(report), lambda: done)
        assert error.is_temporary
        assert done == days[:1]
    with started(tmp_path, port) as database:
        database.insert(spans)  # the Collector was not told that they had arrived
        store.create_rollup(lambda day, *_: done.append(day))
        assert done == days
        (thread,) = store.threads(ThreadQuery()).threads
        assert (thread.spans, thread.cost) == (3, 1.5)
        assert store.overview(ThreadQuery()).spans == 3
        store.close()


@pytest.mark.slow
def test_following_goes_on_when_the_server_is_there_again(tmp_path: Path) -> None:
    with started(tmp_path) as database, contextlib.ExitStack() as stack:
        port = database.server.port
        command = [sys.executable, "-m", "orq_otel", "clickhouse-rollup", "--follow"]
        environment = {**os.environ, "ORQ_OTEL_VIEWER_STORE": database.url()}
        running = stack.enter_context(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        stack.callback(running.kill)
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "The sums are made.\n"
        database.server.kill()
        told = "What arrives is not summed up for now: ClickHouse at"
        assert any(line.startswith(told) for line in running.stderr)
        assert running.poll() is None
        with started(tmp_path, port) as again:
            again.insert(kept(call("a")))
            wait_for(lambda: bool(again.rows("SELECT thread_id FROM otel_traces_orq_days FINAL")))
            running.send_signal(signal.SIGINT)
            assert running.wait(PATIENCE) == 1
            assert "Stopped." in running.stderr.read()


@pytest.mark.parametrize(
    "table",
    [
        *("activity", "state"),
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("days", "dates", "messages", "feedback")
        ),
    ],
)
def test_a_disk_that_is_full(database: Database, table: str) -> None:
    with database.store() as store:
        store.create_rollup()
        one = call("a", says="Where is it?", cost=0.5)
        database.insert(kept(one), [judged(one.trace_id, one.span_id)])
        database.server.fail(f"_orq_{table}` (", DISK_IS_FULL)
        try:
            with pytest.raises(StoreError, match="its disk is full") as raised:
                store.threads(ThreadQuery())
            assert raised.value.is_temporary
        finally:
            database.server.fail()
        database.insert(kept(one), [judged(one.trace_id, one.span_id)])
        for _ in range(2):
            (thread,) = store.threads(ThreadQuery(text="where")).threads
            assert (thread.spans, thread.cost) == (1, 0.5)
            assert (thread.good, thread.bad, thread.evaluations) == (1, 0, 1)
            assert store.numbers(ThreadQuery(), "model").groups[0].calls == 1


@pytest.mark.parametrize(
    "table",
    ["days", "messages", *(pytest.param(x, marks=pytest.mark.slow) for x in ("activity", "dates"))],
)
def test_what_moves_or_goes_while_a_disk_is_full(database: Database, table: str) -> None:
    """It is in its new place alone as soon as there is room again."""
    first = call("a", says="Hello")
    parent = span("b", trace=first.trace_id)
    moves = call(None, trace=first.trace_id, says="It is 4711", start=NOON + DAY - MINUTE)
    goes = call("c", says="My secret is 4711", start=NOON + DAY)

    def fail(do: Callable[[], object]) -> None:
        database.server.fail(f"_orq_{table}` (", DISK_IS_FULL)
        try:
            with pytest.raises(StoreError, match="its disk is full"):
                do()
        finally:
            database.server.fail()

    def found() -> tuple[int, list[tuple[str, str | None, int]], list[str]]:
        store.follow()
        sums = store.overview(ThreadQuery())
        rows = "SELECT title FROM otel_traces_orq_days FINAL WHERE title != '' ORDER BY title"
        titles = database.rows(rows)
        threads = store.threads(ThreadQuery(text="4711")).threads
        return sums.spans, [(one.id, one.title, one.spans) for one in threads], titles

    with database.store() as store:
        store.create_rollup()
        database.insert(kept(first, replace(moves, parent_id=parent.span_id), goes))
        of_c = ("c", "My secret is 4711", 1)
        titles = [["Hello"], ["It is 4711"], [of_c[1]]]
        assert found() == (3, [of_c, ("a", "Hello", 2)], titles)
        database.insert(kept(parent))
        fail(store.follow)
        of_b = ("b", "It is 4711", 2)
        assert found() == (4, [of_c, of_b], titles)
        database.command(
            f"ALTER TABLE otel_traces DELETE WHERE SpanId = '{goes.span_id}'"
            " SETTINGS mutations_sync = 1"
        )
        fail(store.follow)
        assert found() == (3, [of_b], titles[:2])


def judged(trace_id: str | None, span_id: str | None, **attributes: object) -> LogRecord:
    told = {name.replace("__", "."): value for name, value in attributes.items()}
    return LogRecord(
        *(trace_id, span_id, EVALUATION, NOON + HOUR, "INFO", None, "shop", "orq_otel"),
        {"gen_ai.evaluation.score.label": "thumbs_up", **told},
    )


def test_a_date_is_forgotten_when_that_was_interrupted(database: Database) -> None:
    gone = call("gone")
    database.insert(kept(gone, call("left")))
    with database.store() as store:
        store.create_rollup()
        store.follow()
        database.command(f"DELETE FROM otel_traces WHERE SpanId = '{gone.span_id}'")
        database.server.fail(
            "_dates` (thread_id, hour, service, version, is_deleted) SELECT thread_id, hour"
        )
        try:
            with pytest.raises(StoreError, match="too much memory"):
                store.follow()
        finally:
            database.server.fail()
    with database.store() as store:
        store._index.sweep()
        store._index._days.sum_up(NOON // DAY, 0)  # as another viewer does at the same time
    assert database.rows("SELECT thread_id FROM otel_traces_orq_dates FINAL") == [["left"]]


def test_a_right_that_is_lost_for_a_time(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_of_clickhouse, "_REFUSED", 0)
    right = "it's necessary to have the grant INSERT(thread_id) ON otel.otel_traces_orq_days"
    lost = f"Code: 497. DB::Exception: viewer: Not enough privileges. {right}. (ACCESS_DENIED)"
    with database.store() as store:
        store.create_rollup()
        database.insert(kept(call("a")))
        database.server.fail("_orq_days` (", lost)
        try:
            for _ in range(3):
                store.follow()
        finally:
            database.server.fail()
        (told,) = caplog.messages
        assert "It needs GRANT INSERT(thread_id) ON otel.otel_traces_orq_days TO viewer" in told
        store.follow()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
        assert store.overview(ThreadQuery()).spans == 1


def test_an_evaluation_before_its_span(database: Database) -> None:
    one = call("a", gen_ai__response__id="r-1")
    with database.store() as store:
        store.create_rollup()
        database.insert([], [judged(one.trace_id, one.span_id)])
        assert store.threads(ThreadQuery(feedback="good")).threads == ()
        database.insert(kept(one))
        assert store.threads(ThreadQuery(feedback="good")).threads[0].good == 1
        database.insert([], [judged(None, None, gen_ai__response__id=f"r-{n}") for n in (1, 2)])
        assert store.threads(ThreadQuery(feedback="good")).threads[0].good == 2
        # A page has them both.
        assert [log.span_id for log in store.logs("a", name=EVALUATION)] == [one.span_id] * 2
        database.insert([], [judged(None, None, langwatch__thread__id="a")])
        assert store.threads(ThreadQuery(feedback="good")).threads[0].good == 3


def test_an_evaluation_of_a_response_outside_of_the_thread(
    database: Database, tmp_path: Path
) -> None:
    one = call("a")
    other = call(None, trace=one.trace_id, start=NOON + MINUTE, gen_ai__response__id="resp-1")
    told = {"gen_ai.response.id": "resp-1", "gen_ai.evaluation.score.value": 1.0}
    judged = LogRecord(None, None, EVALUATION, NOON, "INFO", None, "shop", "", told)
    file = SQLiteStore(tmp_path / "spans.db")
    file.write(kept(one, other), [judged])
    with contextlib.closing(file), database.store() as store:
        store.create_rollup()
        database.insert(kept(one, other), [judged])
        threads = store.threads(ThreadQuery()).threads
        assert threads == file.threads(ThreadQuery()).threads
        assert [(found.id, found.spans, found.good) for found in threads] == [("a", 1, 1)]
        assert len(store.logs("a", name=EVALUATION)) == 1


def test_no_page_waits_for_what_was_deleted(database: Database) -> None:
    gone, left = call("gone", says="My secret is 4711"), call("left", start=NOON + MINUTE)
    database.insert(kept(gone, left))
    with database.store() as store:
        store.create_rollup()
        store.follow()
        database.command(
            f"ALTER TABLE otel_traces DELETE WHERE SpanId = '{gone.span_id}'"
            " SETTINGS mutations_sync = 1"
        )
        database.server.fail("!= theirs.number", "Code: 159. DB::Exception: (TIMEOUT_EXCEEDED)")
        try:
            assert [one.id for one in store.threads(ThreadQuery()).threads] == ["left", "gone"]
            with pytest.raises(StoreError, match="max_execution_time= in the address allows more"):
                store.follow()
        finally:
            database.server.fail()
        store.follow()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["left"]


def test_spans_that_are_there_before_their_arrival_is_noted(database: Database) -> None:
    arriving, arrivals = "otel_traces_orq_arriving", "otel_traces_orq_arrivals"
    with database.store() as store:
        store.create_rollup()
        database.command(f"DETACH TABLE {arriving}")
        one = call("a")
        database.insert(kept(one))
        assert store.threads(ThreadQuery()).threads == ()
        database.command(
            f"INSERT INTO {arrivals} SELECT TraceId, Timestamp, Timestamp, now64(6), 0, 0"
            " FROM otel_traces"
        )
        assert [one.spans for one in store.threads(ThreadQuery()).threads] == [1]


def test_spans_that_are_there_before_their_time_is_noted(database: Database) -> None:
    one = call("a")
    later = call(None, trace=one.trace_id, start=NOON + HOUR)
    database.insert(kept(one))
    with database.store() as store:
        store.create_rollup()
        database.command("DETACH TABLE otel_traces_trace_id_ts_mv")
        database.insert(kept(replace(later, parent_id=one.span_id)))
        assert [one.spans for one in store.threads(ThreadQuery()).threads] == [2]


@pytest.mark.parametrize("is_late", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_clock_that_is_in_the_next_century(database: Database, is_late: bool) -> None:
    odd = call("odd", start=NOON + 84 * 365 * DAY, says="Is it later already?")
    with database.store() as store:
        if is_late:
            store.create_rollup()
        database.insert(kept(odd, call("even")))
        store.create_rollup()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["even", "odd"]
        assert [one.id for one in store.threads(ThreadQuery(text="later")).threads] == ["odd"]
        store._index.sweep()
        assert [one.span for one in store.spans("odd")] == [
            replace(odd, attributes=store.spans("odd")[0].span.attributes)
        ]


def test_what_is_said_again_is_found_when_it_was_deleted_where_it_was_said_first(
    database: Database,
) -> None:
    first, again = (call("a", says="My secret is 4711", start=NOON + n * MINUTE) for n in (0, 1))
    with database.store() as store:
        store.create_rollup()
        database.insert(kept(first, again))
        query = ThreadQuery(text="secret")
        assert store.threads(query).hits["a"].span_id == first.span_id
        store.follow()
        for deleted, hits in ((first, [again.span_id]), (again, [])):
            database.command(
                f"ALTER TABLE otel_traces DELETE WHERE SpanId = '{deleted.span_id}'"
                " SETTINGS mutations_sync = 1"
            )
            store.follow()
            assert [one.span_id for one in store.threads(query).hits.values()] == hits
        assert database.rows("SELECT text FROM otel_traces_orq_messages FINAL") == []


def test_half_an_emoji_is_replaced(database: Database) -> None:
    cut = r'[{"role":"user","parts":[{"type":"text","content":"My cut \ud83d"}]}]'
    spans = kept(
        call("a", thread__tags=r'["\ud83d"]', gen_ai__input__messages=cut),
        call(None, gen_ai__conversation__id=r'"b-\ud83d"', start=NOON + MINUTE),
    )
    named = {"gen_ai.conversation.id": r'"b-\ud83d"', "gen_ai.response.id": r'"\ud83d"'}
    record = LogRecord(None, None, EVALUATION, NOON, "", None, "shop", "tests", named)
    with database.store() as store:
        store.create_rollup()
        database.insert(spans, [record])
        for _ in range(2):
            b, a = store.threads(ThreadQuery()).threads
            assert (a.id, a.title, a.tags, a.spans) == ("a", "My cut ?", ("?",), 1)
            assert (b.id, b.spans, b.evaluations) == ("b-?", 1, 1)
            for asked in ({"text": "cut ?"}, {"text": "cut \ud83d"}, {"tags": ("\ud83d",)}):
                query = ThreadQuery(**asked)
                assert [one.id for one in store.threads(query).threads] == ["a"]
            assert store.threads(ThreadQuery(text="cut ?")).hits["a"].text == "My cut ?"
            assert store.thread("b-\ud83d") == b
            database.insert(spans)
        store.create_rollup()
        assert store.threads(ThreadQuery()).threads == (b, a)


def test_a_row_that_is_refused_keeps_no_others_out(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    says = {"a": "Where is it?", "b": "poison", "c": "There."}
    database.insert(
        kept(*(call(one, says=text, start=NOON + n) for n, (one, text) in enumerate(says.items())))
    )
    with database.store() as store:
        told = "Code: 117. DB::Exception: before: 'poison? READONLY' (INCORRECT_DATA)"
        database.server.fail("poison", told)
        try:
            store.create_rollup()
            database.server.fail("poison", "Code: 25. DB::Exception: (CANNOT_PARSE_NUMBER)")
            store.follow()
        finally:
            database.server.fail()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["c", "a"]
        warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert [("_orq_activity" in one, "1 of them is left out" in one) for one in warnings] == [
            (False, True),
            (True, True),
        ]
        store.create_rollup()
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["c", "b", "a"]


@pytest.mark.parametrize("has_times", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_trace_across_midnight_is_whole(database: Database, has_times: bool) -> None:
    if not has_times:
        for name in ("otel_traces_trace_id_ts_mv", "otel_traces_trace_id_ts"):
            database.command(f"DROP TABLE {name}")
    midnight = NOON // DAY * DAY
    root = span(None, start=midnight - 10 * SECOND, seconds=60, name="POST /chat", status="ERROR")
    one = call("night", trace=root.trace_id, start=midnight + 5 * SECOND)
    database.insert(kept(root, replace(one, parent_id=root.span_id)))
    with database.store() as store:
        for _ in range(2):
            store.create_rollup()
            (thread,) = store.threads(ThreadQuery()).threads
            assert (thread.spans, thread.errors, thread.started) == (2, 1, root.start)
        database.command("ALTER TABLE otel_traces DELETE WHERE 1 SETTINGS mutations_sync = 1")
        store.create_rollup()
        assert store.threads(ThreadQuery()).threads == ()


@pytest.mark.slow
def test_all_log_records_count_however_many_there_are(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse_spans, "_LOG_SIZE", 20)
    monkeypatch.setattr(clickhouse_spans, "_EVALUATIONS", 7)
    monkeypatch.setattr(clickhouse_spans, "_MOST", 9)
    spans, records = [], []
    for number in range(12):
        one = call(f"t{number}", start=NOON + number * SECOND)
        tools = (span(None, trace=one.trace_id, start=one.start, name="tool") for _ in range(2))
        spans += [one, *(replace(tool, parent_id=one.span_id) for tool in tools)]
        lines = [said(one, "", 1, body=f"line {line}") for line in range(30)]
        asked = {"gen_ai.input.messages": messages(f"Where is {number}?")}
        records += [*lines, said(one, "gen_ai.client.inference.operation.details", 1, **asked)]
        records += [judged(one.trace_id, one.span_id, number=k) for k in range(3)]

    def found() -> list[tuple[str | None, int, int]]:
        threads = store.threads(ThreadQuery(sort="started", ascending=True)).threads
        return [(one.title, one.spans, one.evaluations) for one in threads]

    expected = [(f"Where is {number}?", 3, 3) for number in range(12)]
    with database.store() as store:
        database.insert(kept(*spans), records)
        assert found() == expected
        store.create_rollup()
        assert found() == expected
        for one in spans:
            database.insert(kept(one))
        assert found() == expected


def test_no_more_is_held_at_a_time_than_fits_into_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse_spans, "_HELD", 130_000)
    small = [call(f"small {n}", start=NOON + n, says="Hi") for n in range(12)]
    large = [call(f"large {n}", start=NOON + HOUR + n, says="x" * 60_000) for n in range(4)]
    of_log = [call(f"of log {n}", start=NOON + 2 * HOUR + n) for n in range(4)]
    asked = {"gen_ai.input.messages": messages("x" * 60_000)}
    records = [
        *(said(one, "gen_ai.client.inference.operation.details", 1, **asked) for one in of_log),
        *(judged(one.trace_id, one.span_id) for one in (*small, *large, *of_log)),
    ]

    def check() -> None:
        """Check that large traces were asked for one after the other, and small ones together."""
        asked = [one for one in database.server.log(before) if "SpanId, ParentSpanId" in one["sql"]]
        ids = {one["how"]["param_ids"] for one in asked}
        assert all(sum(one.trace_id in some for one in (*large, *of_log)) <= 1 for some in ids)
        assert max(some.count(",") for some in ids) > 1

    with database.store() as store:
        before = database.server.logged()
        database.insert(kept(*small, *large, *of_log), records)
        assert len(store.threads(ThreadQuery()).threads) == 20
        check()
        before = database.server.logged()
        store.create_rollup()
        check()
        before = database.server.logged()
        database.insert(kept(*small, *large, *of_log), records)
        assert len(store.threads(ThreadQuery(feedback="good")).threads) == 20
        check()


@pytest.mark.parametrize("words", ["CREATE TABLE", "AS a FINAL WHERE", ", cityHash64(thread_id) "])
def test_an_error_at_the_end_of_an_answer(database: Database, words: str) -> None:
    database.insert(kept(call("a")))
    with database.store() as store:
        database.server.fail(words, is_late=True)
        try:
            with pytest.raises(StoreError, match="that takes too much memory") as raised:
                store.create_rollup()
                store.threads(ThreadQuery())
            assert raised.value.is_temporary
        finally:
            database.server.fail()
        store.create_rollup()
        assert [one.spans for one in store.threads(ThreadQuery()).threads] == [1]


def test_a_trace_with_too_many_spans_is_said_to_be_cut(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clickhouse_spans, "_MOST", 5)
    first = call("long")
    rest = (call(None, trace=first.trace_id, start=NOON + n * SECOND) for n in range(1, 9))
    long = [first, *(replace(one, parent_id=first.span_id) for one in rest)]
    database.insert(kept(*long, call("short", start=NOON + MINUTE)))
    told = f"The trace {first.trace_id} has more than 5 spans: only the first of them are counted"
    with database.store() as store, TestClient(Starlette(routes=create_pages(store))) as pages:
        for make in (lambda: None, store.create_rollup):
            make()
            assert [(one.id, one.spans) for one in store.threads(ThreadQuery()).threads] == [
                ("short", 1),
                ("long", 5),
            ]
            for _ in range(2):
                before = database.server.logged()
                assert "more spans than can be read" in pages.get("/threads/long").text
            assert not any(
                "SpanId, ParentSpanId" in one["sql"] for one in database.server.log(before)
            )
            assert "more spans than can be read" not in pages.get("/threads/short").text
    assert [told in one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [
        True
    ]


def said(of: Span, name: str, after: int, body: str | None = None, **attributes: Any) -> LogRecord:
    place = (of.trace_id, of.span_id, name, of.start + after, "INFO", body, "shop", "app")
    return LogRecord(*place, attributes)


@pytest.mark.slow
def test_parameters_are_no_longer_than_a_server_takes(database: Database) -> None:
    names = [*(f"{n}-{'x' * 400}" for n in range(400)), "\\" * 65_000, "'" * 130_000]
    spans = [call(one, start=NOON + n, says="Hi") for n, one in enumerate(names)]
    of_spans = [judged(one.trace_id, one.span_id, number=n) for n in range(10) for one in spans]
    of_threads = [judged(None, None, thread__id=one) for one in names[:400]]
    of_nobody = [judged(None, None, gen_ai__response__id=one) for one in names]
    with database.store() as store:
        store.create_rollup()
        database.insert(kept(*spans), [*of_spans, *of_threads, *of_nobody])
        for again in (store.follow, store.create_rollup):
            again()
            assert store.overview(ThreadQuery()).spans == len(spans)
            rows = database.rows("SELECT count() FROM otel_traces_orq_feedback FINAL")
            assert rows == [[len(of_spans) + len(of_threads)]]


@pytest.mark.parametrize("is_late", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_evaluation_days_after_its_span(database: Database, is_late: bool) -> None:
    days = (0, 1, 2, 3, 7)
    spans = [call(f"after {day}", gen_ai__response__id="r") for day in days]
    records = [
        replace(judged(one.trace_id, one.span_id), time=NOON + day * DAY)
        for one, day in zip(spans, days, strict=True)
    ]
    database.insert(kept(*spans), [] if is_late else records)
    with database.store() as store:
        store.create_rollup()
        if is_late:
            database.insert([], records)
        for _ in range(2):
            threads = store.threads(ThreadQuery(feedback="good")).threads
            assert sorted(one.id for one in threads) == [
                one.attributes["thread.id"] for one in spans
            ]
            assert [len(store.logs(one.id, name=EVALUATION)) for one in threads] == [1] * 5
            store.create_rollup()


def test_what_a_log_record_said_goes_with_it(database: Database) -> None:
    one, other = call("a"), call("b", says="My card is 4711", start=NOON + MINUTE)
    asked = {"gen_ai.input.messages": messages("My card is 4711")}
    lines = [said(other, "", 1, body=f"line {line}") for line in range(3)]
    record = said(one, "gen_ai.client.inference.operation.details", 1, **asked)
    with database.store() as store:
        store.create_rollup()
        database.insert(kept(one, other), [record, *lines])
        query = ThreadQuery(text="4711")
        assert [one.id for one in store.threads(query).threads] == ["b", "a"]
        store.follow()
        database.command(
            "ALTER TABLE otel_logs DELETE WHERE EventName != '' SETTINGS mutations_sync = 1"
        )
        store.follow()
        assert [one.id for one in store.threads(query).threads] == ["b"]
        assert [one.title for one in store.threads(ThreadQuery()).threads] == [
            "My card is 4711",
            None,
        ]
        # What says nothing of conversations is no reason to look at a trace again.
        before = database.server.logged()
        database.command("ALTER TABLE otel_logs DELETE WHERE 1 SETTINGS mutations_sync = 1")
        store.follow()
        written = [one["sql"] for one in database.server.log(before) if "INSERT" in one["sql"]]
        assert [one for one in written if "_orq_state" not in one] == []


@pytest.mark.slow
def test_traces_that_say_a_text_again_are_decided_on_as_a_whole(database: Database) -> None:
    for name in ("otel_traces_trace_id_ts_mv", "otel_traces_trace_id_ts"):
        database.command(f"DROP TABLE {name}")
    day = NOON // DAY * DAY
    first = call("a", start=day - 2 * DAY + HOUR, says="My secret is 4711")
    again = call("a", start=day + 20 * HOUR, says="My secret is 4711")
    more = replace(call("a", trace=again.trace_id, start=day + 27 * HOUR), parent_id=again.span_id)
    with database.store() as store:
        database.insert(kept(first, again, more))
        store.create_rollup()
        store.follow()
        database.command(
            f"ALTER TABLE otel_traces DELETE WHERE SpanId = '{first.span_id}'"
            " SETTINGS mutations_sync = 1"
        )
        store.follow()
        assert database.rows("SELECT spans, of_trace FROM otel_traces_orq_activity FINAL") == [
            [1, 2],
            [1, 2],
        ]


@contextlib.contextmanager
def tls_in_front(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """A port with TLS, and the server behind it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw:
            raw.settimeout(PATIENCE)
            with (
                context.wrap_socket(raw, server_side=True) as inside,
                socket.create_connection(("127.0.0.1", port)) as behind,
            ):
                back = threading.Thread(target=carry, args=(behind, inside))
                back.start()
                carry(inside, behind)
                back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def test_certificates_of_the_server_and_of_the_client(database: Database, tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    paths = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "other", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    stranger.cert_pem.write_to_path(paths["other"])
    client = authority.issue_cert("viewer@example.org")
    client.private_key_pem.write_to_path(paths["key"])
    client.cert_chain_pems[0].write_to_path(paths["cert"])
    database.insert(kept(call("a")))
    with tls_in_front(database.server.port, context) as port:
        address = f"clickhouses://viewer:secret@127.0.0.1:{port}/{database.name}?ca_cert="
        of_client = f"&client_cert={paths['cert']}&client_cert_key={paths['key']}"
        store = open_store(f"{address}{paths['ca']}{of_client}")
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
        store.close()
        for refused in (paths["ca"], paths["other"] + of_client):
            with pytest.raises(StoreError, match="the server does not answer") as raised:
                open_store(address + refused)
            assert "secret" not in str(raised.value)
