"""What only a file can have: locks, damage, a full disk, versions, readers of its own."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.ids import short_id
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.receive.received import MAX_TIME
from orq_otel.viewer.store import open_store, schema, sqlite_groups, sqlite_overview, sqlite_search
from orq_otel.viewer.store import sqlite_file as module
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import NOON, SECOND, call, span
from .sqlite_checks import forget_estimates, forget_finding, rollup_errors


def kept(*spans: Span) -> list[KeptSpan]:
    return [KeptSpan(one, read(one)) for one in spans]


def ids(store: SQLiteStore) -> list[str]:
    return [thread.id for thread in store.threads(ThreadQuery()).threads]


def test_spans_are_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "directory" / "spans.db"
    store = open_store(path)
    store.write(kept(call("a", says="Hello")))
    before = store.thread("a"), store.spans("a"), store.change()
    store.close()
    assert not list(path.parent.glob("*-wal"))  # the log is in the file
    again = open_store(str(path))
    assert (again.thread("a"), again.spans("a"), again.change()) == before
    again.close()


def test_the_latest_time_that_is_received_can_be_written(sqlite: SQLiteStore) -> None:
    sqlite.write(kept(call("a", start=MAX_TIME, seconds=0), call("a", start=1, seconds=0)))
    first, last = sqlite.spans("a")
    assert first.span.start == 1
    assert last.span.start > NOON


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    SQLiteStore(tmp_path / "spans.db").close()
    assert stat.S_IMODE((tmp_path / "spans.db").stat().st_mode) == 0o600


def test_rollups_agree_and_a_wrong_one_is_seen(sqlite: SQLiteStore, tmp_path: Path) -> None:
    sqlite.write(kept(call("a", tags=("x",), says="Hello"), span("a"), span("b"), span()))
    assert rollup_errors(sqlite) == []
    other = sqlite3.connect(tmp_path / "spans.db")
    for table in ("threads", "thread_activity", "activity", "resources"):
        with other:
            other.execute(f"UPDATE {table} SET spans = spans + 1")
        assert any(line.startswith(table) for line in rollup_errors(sqlite))
        with other:
            other.execute(f"UPDATE {table} SET spans = spans - 1")
        assert rollup_errors(sqlite) == []
    for table in ("thread_tags", "thread_models", "thread_traces", "thread_latencies", "latencies"):
        with other:
            rows = other.execute(f"SELECT * FROM {table}").fetchall()
            other.execute(f"DELETE FROM {table}")
        assert any(table in line for line in rollup_errors(sqlite))
        with other:
            marks = ", ".join("?" * len(rows[0]))
            other.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            other.execute(
                "UPDATE threads SET traces = (SELECT COUNT(*) FROM thread_traces"
                " WHERE thread = key)"
            )
        assert rollup_errors(sqlite) == []
    other.close()


def test_odd_values_are_kept(sqlite: SQLiteStore) -> None:
    half = "half a pair: \ud83d"
    odd = span(half, tags=(half,), name=half, text=half, number=float("inf"), deep=[{"a": [None]}])
    sqlite.write(kept(odd))
    assert ids(sqlite) == ["half a pair: ?"]
    (found,) = sqlite.spans(half)
    assert found.span.name == "half a pair: ?"
    assert found.span.attributes["text"] == half
    assert found.span.attributes["deep"] == [{"a": [None]}]
    late = span("late", start=2**64 - 1)
    sqlite.write(kept(late))
    thread = sqlite.thread("late")
    assert thread is not None
    assert thread.started == 2**62
    assert sqlite.overview(ThreadQuery()).threads == 2
    assert rollup_errors(sqlite) == []


def test_long_content_is_compressed(sqlite: SQLiteStore) -> None:
    says = "All work and no play. " * 50_000
    sqlite.write(kept(call("a", says=says)))
    assert says in sqlite.spans("a")[0].span.attributes["gen_ai.input.messages"]
    assert sqlite.size() < len(says) // 2


@pytest.mark.parametrize("many", [sqlite_groups.MANY, 5])
def test_plots_of_many_spans_are_those_of_few(
    sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Rollups give the same plots as the spans, for each way of asking."""
    monkeypatch.setattr(sqlite_groups, "MANY", many)  # threads with a label whose sums are kept
    day = 24 * 3600 * SECOND
    start = NOON - NOON % day
    sqlite.write(
        kept(
            *(
                call(
                    f"t{n % 40}",
                    start=start + n * day // 10 + n * SECOND,
                    seconds=n % 7,
                    cost=n / 8,
                    tags=("all", *(["most"] if n % 40 else []), f"t{n % 4}"),
                    status="ERROR" if n % 40 == 7 else "UNSET",
                )
                for n in range(400)
            )
        )
    )
    queries = [
        ThreadQuery(),
        ThreadQuery(tags=("all",)),
        ThreadQuery(tags=("most",)),
        ThreadQuery(tags=("t1",)),
        ThreadQuery(tags=("most", "t1")),
        ThreadQuery(tags=("most", "t1"), match="any"),
        ThreadQuery(labels=(("service", "shop"),)),
        ThreadQuery(errors=True),
        ThreadQuery(since=start + 3 * day, until=start + 5 * day),
        ThreadQuery(since=start + 3 * day, tags=("t1",)),
    ]
    few = [sqlite.overview(query, 50) for query in queries]
    monkeypatch.setattr("orq_otel.viewer.store.sqlite_overview._COUNTABLE", 0)
    for query, expected in zip(queries, few, strict=True):
        found = sqlite.overview(query, 50)
        assert found.threads == expected.threads > 0
        assert (found.spans, found.errors) == (expected.spans, expected.errors)
        assert (found.cost, found.input_tokens) == (expected.cost, expected.input_tokens)
        if query.since is None:
            assert found.latencies == expected.latencies
        assert [b for b in found.buckets if b.spans] == [b for b in expected.buckets if b.spans]


@pytest.mark.parametrize(
    "latencies",
    [
        [SECOND] * 40,
        [SECOND, SECOND + 1, *[SECOND + 2] * 30, *[SECOND + 3] * 8],  # one step, several latencies
        [*[SECOND] * 21, SECOND + 1, *[SECOND + 2] * 18],
        [n * SECOND // 7 for n in range(40)],
        [0] * 40,
    ],
)
def test_percentiles_of_many_calls_are_those_of_few(
    sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch, latencies: list[int]
) -> None:
    sqlite.write(kept(*(replace(call("a"), end=NOON + one) for one in latencies)))
    few = sqlite.overview(ThreadQuery()).percentiles
    assert few == (sorted(latencies)[19], sorted(latencies)[37])
    monkeypatch.setattr("orq_otel.viewer.store.sqlite_overview._COUNTABLE", 0)
    assert sqlite.overview(ThreadQuery()).percentiles == few


@pytest.mark.parametrize("tags", [(), ("most",)])
def test_many_calls_and_threads_are_not_gone_through(
    sqlite: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: tuple[str, ...]
) -> None:
    """Neither calls that take equally long, nor threads with a label that many have."""
    monkeypatch.setattr("orq_otel.viewer.store.sqlite_overview._COUNTABLE", 0)
    monkeypatch.setattr(sqlite_groups, "MANY", 5)
    connection = sqlite3.connect(tmp_path / "spans.db")

    def steps() -> int:
        """How many hundreds of steps SQLite takes for the sums."""
        taken = []
        connection.set_progress_handler(lambda: taken.append(1), 100)
        sqlite_overview.overview(connection, ThreadQuery(tags=tags), 60, sqlite_search.Searches())
        connection.set_progress_handler(None, 0)
        return len(taken)

    sqlite.write(kept(call("other"), *(call(f"t{n}", tags=("most",)) for n in range(100))))
    few = steps()
    sqlite.write(kept(*(call(f"t{n}", tags=("most",)) for n in range(3_000))))
    assert steps() <= few + 5
    connection.close()


def test_readers_and_a_writer_in_threads(sqlite: SQLiteStore) -> None:
    """Each sees whole batches: ten spans at a time."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not stop.is_set():
                page = sqlite.threads(ThreadQuery())
                assert all(thread.spans % 10 == 0 for thread in page.threads)
                assert sqlite.overview(ThreadQuery()).spans % 10 == 0
                assert len(sqlite.spans("t0")) % 10 == 0
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    readers = [threading.Thread(target=ask) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(60):
        sqlite.write(kept(*(call(f"t{n % 3}", start=NOON + n) for _ in range(10))))
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert rollup_errors(sqlite) == []


def test_what_is_read_can_come_between_the_steps_of_writing(sqlite: SQLiteStore) -> None:
    sqlite.write(kept(call("a")))
    seen: list[list[str]] = []
    sqlite.write(kept(call("b")), wait=lambda: seen.append(ids(sqlite)))
    assert len(seen) > 10
    assert seen == [["a"]] * len(seen)  # they are committed together
    assert sorted(ids(sqlite)) == ["a", "b"]
    sqlite.write(kept(call("c")))
    sqlite.delete_thread("a")  # whoever waits for this is not to wait for itself
    assert len(seen) == seen.count(["a"])


def test_a_write_that_fails_while_it_waits_is_none(sqlite: SQLiteStore) -> None:
    def wait() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        sqlite.write(kept(call("a")), wait=wait)
    assert not ids(sqlite)
    sqlite.write(kept(call("b")))
    assert ids(sqlite) == ["b"]


def test_a_long_log_is_shortened_though_somebody_reads(
    sqlite: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_LOG", 100_000)
    log = tmp_path / "spans.db-wal"
    lengths = []
    for n in range(20):
        sqlite.write(kept(*(call(f"t{n}", says="x" * 500) for _ in range(50))))
        sqlite.threads(ThreadQuery())
        lengths.append(log.stat().st_size)
    assert 0 in lengths
    assert max(lengths) < 1_000_000
    assert rollup_errors(sqlite) == []


def test_a_locked_file_is_a_matter_of_time(
    sqlite: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.write(kept(span("a")))
    sqlite.close()
    monkeypatch.setattr(module, "_LOCK_TIMEOUT", 0.1)
    store = SQLiteStore(tmp_path / "spans.db")
    other = sqlite3.connect(tmp_path / "spans.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="keeps it locked. Try again in a moment") as caught:
        store.write(kept(span("b")))
    assert caught.value.is_temporary
    assert ids(store) == ["a"]  # readers do not wait
    other.execute("ROLLBACK")
    store.write(kept(span("b")))
    assert sorted(ids(store)) == ["a", "b"]
    assert rollup_errors(store) == []
    other.close()
    store.close()


@pytest.mark.parametrize(
    "content", [b"This is no database. " * 500, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_what_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spans.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"Move it away, or name another") as caught:
        SQLiteStore(path)
    assert not caught.value.is_temporary
    assert path.read_bytes() == content


def test_a_damaged_file(sqlite: SQLiteStore, tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    sqlite.write(kept(*(call(f"t{n}", says="x" * 3000) for n in range(200))))
    sqlite.close()
    pages = bytearray(path.read_bytes())
    pages[4096 * 4 :] = b"\xaa" * (len(pages) - 4096 * 4)
    path.write_bytes(pages)
    with pytest.raises(StoreError, match="damaged") as caught:
        store = SQLiteStore(path)
        try:
            store.spans("t1")
            store.write(kept(span("a")))
        finally:
            store.close()
    assert not caught.value.is_temporary


@pytest.mark.parametrize("name", ["", "a/b/c"])
def test_where_no_file_can_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(StoreError, match=r"(?i)name a file") as caught:
        SQLiteStore(tmp_path / name)
    assert not caught.value.is_temporary


def test_a_closed_store_says_so(sqlite: SQLiteStore) -> None:
    sqlite.close()
    for ask in (lambda: sqlite.write(kept(span("a"))), lambda: sqlite.threads(ThreadQuery())):
        with pytest.raises(StoreError, match="is closed"):
            ask()
    sqlite.close()


def test_a_version_1_file_is_brought_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spans.db"
    old = SQLiteStore(path)
    old.write(kept(call("a", says="Hello")))
    before = old.thread("a")
    old.close()
    make_older(path)
    assert version(path) == 1

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (made)")
        raise sqlite3.OperationalError("no such thing")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, broken))
    with pytest.raises(StoreError, match="no such thing"):
        SQLiteStore(path)
    assert version(path) == 1
    assert tables(path).isdisjoint({"half"})

    script = """
    -- A comment; with a semicolon.
    ALTER TABLE threads ADD COLUMN note TEXT NOT NULL DEFAULT 'old';
    CREATE TABLE notes (text);
    CREATE TRIGGER noted AFTER INSERT ON notes BEGIN
        UPDATE threads SET note = new.text;
    END;
    """

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('new')")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS[:-1], script, fill))
    new = SQLiteStore(path)
    assert new.thread("a") == before
    assert rollup_errors(new) == []
    new.write(kept(span("b")))
    new.close()
    assert version(path) == len(schema.STEPS)
    with sqlite3.connect(path) as connection:
        told = connection.execute("SELECT id, note FROM threads ORDER BY id").fetchall()
    connection.close()
    assert told == [("a", "new"), ("b", "old")]


def test_a_version_2_file_takes_log_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.db"
    connection = sqlite3.connect(path, isolation_level=None)
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "STEPS", schema.STEPS[:2])
        schema.migrate(connection)
    connection.close()
    assert version(path) == 2
    store = SQLiteStore(path)
    one = call("a")
    said = LogRecord(
        trace_id=one.trace_id,
        span_id=one.span_id,
        name="gen_ai.user.message",
        time=NOON,
        severity="",
        body={"content": "Hi"},
        service="",
        scope="",
        attributes={},
    )
    store.write(kept(one), [said])
    assert store.logs("a") == [said]
    store.close()


def test_a_file_without_plots_of_labels_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.db"
    monkeypatch.setattr(sqlite_groups, "MANY", 2)
    store = SQLiteStore(path)
    store.write(kept(*(call(f"t{n}", tags=("all",), seconds=n) for n in range(5))))
    store.write(kept(span("t0", tags=("all",))))
    store.close()
    with sqlite3.connect(path) as connection:
        forget_estimates(connection)
        connection.executescript(
            "ALTER TABLE group_sums DROP COLUMN spans; DROP TABLE group_latencies;"
            "PRAGMA user_version = 7"
        )
    connection.close()
    store = SQLiteStore(path)
    assert rollup_errors(store) == []
    monkeypatch.setattr("orq_otel.viewer.store.sqlite_overview._COUNTABLE", 0)
    found = store.overview(ThreadQuery(tags=("all",)))
    assert (found.threads, found.spans) == (5, 6)
    assert sum(calls for _, calls in found.latencies) == 5
    store.close()


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    SQLiteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer release") as caught:
        SQLiteStore(path)
    assert not caught.value.is_temporary
    assert version(path) == 99


def test_long_ids_and_clocks_of_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    long = "long " * 100
    store = SQLiteStore(path)
    store.write(
        kept(span(long, start=NOON), span("future", start=2**61), span("b", start=NOON + 9))
    )
    store.close()
    make_older(path)
    store = SQLiteStore(path)
    found = store.thread(short_id(long))
    assert found is not None
    assert found.id == long
    assert [one.id for one in store.threads(ThreadQuery()).threads] == ["future", "b", long]
    # The migration is when the clock in the future was heard of.
    store.write(kept(span("new", start=time.time_ns(), seconds=0)))
    assert store.threads(ThreadQuery(limit=1)).threads[0].id == "new"
    assert rollup_errors(store) == []
    store.close()


def test_spans_of_an_older_file_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    sent = {
        "traceloop.association.properties.session_id": "support-42",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Where is it?",
    }
    store = SQLiteStore(path)
    store.write(kept(span(None, **{name.replace(".", "__"): one for name, one in sent.items()})))
    before = store.thread("support-42")
    store.close()
    assert before is not None
    with sqlite3.connect(path) as connection:  # as a release that knows neither id nor text
        forget_estimates(connection)
        connection.executescript(
            """
            UPDATE spans SET thread = NULL, title = NULL;
            DELETE FROM threads; DELETE FROM thread_traces; DELETE FROM thread_models;
            DELETE FROM thread_activity; DELETE FROM thread_latencies;
            DELETE FROM activity; DELETE FROM latencies; DELETE FROM calls;
            DROP TABLE kept_labels; DROP TABLE group_sums; DROP TABLE latency_steps;
            DROP TABLE group_latencies;
        ALTER TABLE threads DROP COLUMN kept;
            DROP INDEX spans_without_thread;
            DROP TRIGGER response_removed; DROP TABLE responses; DROP TABLE logs;
            PRAGMA user_version = 2;
            """
        )
    connection.close()
    store = SQLiteStore(path)
    while store.work_off():
        pass
    assert store.thread("support-42") == before
    assert before.title == "Where is it?"
    assert rollup_errors(store) == []
    store.close()


def test_an_older_file_is_read_again_bit_by_bit_while_it_is_served(tmp_path: Path) -> None:
    """What a stopped viewer has read stays, and nothing is lost or counted twice meanwhile."""
    path = tmp_path / "spans.db"

    def answer(thread: int, number: int) -> Span:
        sent = {
            "gen_ai__operation__name": "chat",
            "gen_ai__request__model": "gpt-4o-mini",
            "gen_ai__usage__input_tokens": 100,
            "gen_ai__prompt__0__role": "user",
            "gen_ai__prompt__0__content": f"Question number{number:03}",
        }
        start = NOON + number
        return span(f"t{thread}", trace_id=f"{number + 1:032x}", start=start, **sent)

    store = SQLiteStore(path)
    spans = [answer(number % 7, number) for number in range(140)]
    store.write(kept(*spans))
    whole = store.threads(ThreadQuery()).threads
    store.close()
    make_older(path)
    with sqlite3.connect(path) as connection:  # as a release that knows neither calls nor texts
        connection.executescript(
            """
            UPDATE spans SET model = NULL, title = NULL, operation = NULL;
            UPDATE threads SET title = NULL, title_folded = NULL, title_start = NULL,
                title_span = NULL;
            DELETE FROM thread_models;
            """
        )
    connection.close()
    forget_finding(path)
    store = SQLiteStore(path)
    assert store.overview(ThreadQuery()).unindexed == 140
    assert [one.spans for one in store.threads(ThreadQuery()).threads] == [20] * 7
    while store.overview(ThreadQuery()).unindexed == 140:
        assert store.work_off()
    found = store.threads(ThreadQuery(text="number139")).threads
    assert [(one.id, one.title, one.models) for one in found] == [
        ("t6", "Question number090", ("gpt-4o-mini",))
    ]
    store.close()  # the viewer is stopped in between

    store = SQLiteStore(path)
    assert 0 < store.overview(ThreadQuery()).unindexed < 140
    store.write(kept(spans[139], answer(7, 140)))  # the first of them is there
    while store.work_off():
        pass
    assert store.overview(ThreadQuery()).unindexed == 0
    after = store.threads(ThreadQuery()).threads
    assert [one for one in after if one.id != "t7"] == list(whole)
    assert rollup_errors(store) == []
    assert len(store.threads(ThreadQuery(text="number")).threads) == 8
    (calls,) = store.numbers(ThreadQuery(), "model").groups
    assert calls.calls == 141
    store.close()


def test_estimates_in_a_file_of_the_version_before_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.db"
    monkeypatch.setattr(sqlite_groups, "MANY", 2)
    store = SQLiteStore(path)
    near = call("a", server__address="10.0.0.5", tags=("all",))
    store.write(kept(near, call("a"), call("b", tags=("all",))))
    before = store.threads(ThreadQuery()).threads
    assert {one.id: one.estimated > 0 for one in before} == {"a": True, "b": False}
    store.close()
    with sqlite3.connect(path) as connection:
        forget_estimates(connection)
        connection.execute("PRAGMA user_version = 8")
    connection.close()
    store = SQLiteStore(path)
    assert sum(one.estimated for one in store.threads(ThreadQuery()).threads) == 0
    while store.work_off():
        pass
    assert store.threads(ThreadQuery()).threads == before
    assert rollup_errors(store) == []
    estimated = pytest.approx(sum(one.estimated for one in before))
    for sums in ("overview", "numbers"):  # from the spans, and from what is summed up
        monkeypatch.setattr(f"orq_otel.viewer.store.sqlite_{sums}._COUNTABLE", 0)
        for query in (ThreadQuery(), ThreadQuery(tags=("all",)), ThreadQuery(text="a")):
            assert store.overview(query).estimated == estimated
            for kind in ("model", "tag"):
                (group,) = store.numbers(query, kind).groups  # type: ignore[arg-type]
                assert group.estimated == estimated
    store.close()


def make_older(path: Path) -> None:
    """Make a file into one of version 1."""
    connection = sqlite3.connect(path)
    forget_estimates(connection)
    connection.commit()
    connection.executescript(
        """
        DROP TABLE kept_labels; DROP TABLE group_sums; DROP TABLE latency_steps;
            DROP TABLE group_latencies;
        ALTER TABLE threads DROP COLUMN kept;
        DROP INDEX IF EXISTS spans_without_thread;
        DROP TRIGGER response_removed;
        DROP TABLE responses;
        DROP TABLE logs;
        DROP INDEX threads_by_digest;
        DROP INDEX threads_by_active;
        DROP INDEX threads_by_started;
        ALTER TABLE threads DROP COLUMN digest;
        ALTER TABLE threads DROP COLUMN active;
        CREATE INDEX threads_by_last_active ON threads (last_active, id);
        CREATE INDEX threads_by_started ON threads (started, id);
        PRAGMA user_version = 1;
        """
    )
    connection.close()


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (told,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(told)


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return names


def writer(path: Path, name: str, before: str = "") -> subprocess.Popen[str]:
    """A process that writes, after mounts of its own."""
    program = Path(__file__).with_name("store_writer.py")
    command = [sys.executable, str(program), str(path), name]
    if before:
        command = ["unshare", "-m", "sh", "-c", before, "sh", *command]
    paths = (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    expected: list[str] = []
    for turn in "abcd":
        process = writer(path, turn)
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        told += rest.splitlines(keepends=True)
        expected += [line.split()[1] for line in told if line.endswith("\n")]
        store = SQLiteStore(path)
        assert rollup_errors(store) == []
        for thread in expected:
            assert len(store.spans(thread)) == 10
        store.close()
    assert len(expected) >= 80


def can_mount() -> bool:
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


needs_mounts = pytest.mark.skipif(
    not can_mount(), reason="this machine has no small disk to mount: that needs root"
)


@needs_mounts
def test_a_full_disk(tmp_path: Path) -> None:
    """The error tells of it, what was acknowledged is there, and nothing is there by half."""
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.mkdir()
    saved.mkdir()
    before = f'mount -t tmpfs -o size=3m none {disk} && "$@"; cp {disk}/* {saved}/'
    told, _ = writer(disk / "spans.db", "a", before).communicate()
    *acknowledged, last = told.splitlines()
    assert last.startswith("error True")
    assert "full" in last
    assert len(acknowledged) > 10
    store = SQLiteStore(saved / "spans.db")
    assert rollup_errors(store) == []
    assert store.overview(ThreadQuery()).spans == 10 * len(acknowledged)
    store.write(kept(span("more")))
    store.close()


@needs_mounts
def test_a_disk_that_may_only_be_read(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "spans.db")
    store.write(kept(span("a")))
    store.close()
    before = f'mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && "$@"'
    told, _ = writer(tmp_path / "spans.db", "a", before).communicate()
    assert told.startswith("error False")
    assert "may not be written to" in told or "you may write to" in told


def test_a_damaged_span(sqlite: SQLiteStore, tmp_path: Path) -> None:
    sqlite.write(kept(span("a")))
    other = sqlite3.connect(tmp_path / "spans.db")
    for body in ("{", b"no zlib"):
        with other:
            other.execute("UPDATE spans SET body = ?", (body,))
        with pytest.raises(StoreError, match="damaged") as caught:
            sqlite.spans("a")
        assert not caught.value.is_temporary
    other.close()
