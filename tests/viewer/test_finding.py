"""Threads are found by what is said in them, by their labels and by what people think of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import Feedback, Sort, ThreadQuery
from orq_otel.viewer.model.store import InvalidCursorError
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.store import schema, sqlite_reading, sqlite_search, visits
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import MINUTE, NOON, SECOND, call, new_trace, span
from .sqlite_checks import forget_finding, rollup_errors


def add(store: SQLiteStore, *spans: Span) -> None:
    store.write([KeptSpan(one, read(one)) for one in spans])


def ids(store: SQLiteStore, **query: object) -> list[str]:
    return [one.id for one in store.threads(ThreadQuery(**query)).threads]  # type: ignore[arg-type]


def found(store: SQLiteStore, text: str) -> list[str]:
    names = ids(store, text=text)
    assert store.overview(ThreadQuery(text=text)).threads == len(names)
    return names


@pytest.fixture
def store(sqlite: SQLiteStore) -> Iterator[SQLiteStore]:
    yield sqlite
    assert rollup_errors(sqlite) == []
    assert index_errors(sqlite) == []


def index_errors(store: SQLiteStore) -> list[str]:
    """What the index of words has wrong, which it finds out itself."""

    def checked(connection: sqlite3.Connection) -> list[str]:
        documents = connection.execute("SELECT COUNT(*) FROM documents").fetchone()
        texts = connection.execute("SELECT COUNT(*) FROM texts").fetchone()
        indexed = connection.execute("SELECT COUNT(*) FROM words_docsize").fetchone()
        without = connection.execute(
            "SELECT COUNT(*) FROM documents WHERE span NOT IN (SELECT seq FROM spans"
            " WHERE spans.thread = documents.thread)"
        ).fetchone()
        counts = {"documents": documents, "texts": texts, "indexed": indexed}
        errors = [f"{counts}"] if len({*counts.values()}) > 1 else []
        return errors + ([f"{without} documents without a span"] if without != (0,) else [])

    return store._file.read(checked)


def answered(thread: str, says: str, answer: str, **options: object) -> Span:
    return call(
        thread,
        says=says,
        gen_ai__output__messages=f'[{{"role": "assistant", "parts": [{{"type": "text",'
        f' "content": "{answer}"}}]}}]',
        **options,
    )


def test_words_of_questions_answers_and_tools_are_found(store: SQLiteStore) -> None:
    trace = new_trace()
    add(
        store,
        answered("a", "Where is my parcel?", "It left Rotterdam on Monday.", trace=trace),
        span(
            "a",
            trace=trace,
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="track_parcel",
            gen_ai__tool__call__arguments='{"number": "3SABC"}',
            gen_ai__tool__call__result='{"depot": "Zwolle"}',
        ),
        answered("b", "Cancel my order", "Done.", start=NOON - MINUTE),
    )
    for text in (
        "parcel",
        "ROTTERDAM",
        "rotter",  # the beginning of a word
        "monday rotterdam",  # words of one message, in any order
        '"left Rotterdam"',
        "3sabc",
        "zwolle",
        "track_parcel",
    ):
        assert found(store, text) == ["a"], text
    for text in ("otterdam", "rotterdam cancel", '"Rotterdam left"', "nowhere"):
        assert found(store, text) == [], text
    assert found(store, "?!") == []


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("我想申请退款", "退款"),
        ("返金をお願いします", "返金"),
        ("환불이 언제 되나요", "환불"),
        ("ขอเงินคืน", "เงินคืน"),
        ("Ein Café in Zürich", "cafe zurich"),
        ("Где мой заказ", "ЗАКАЗ"),  # noqa: RUF001 - Russian
    ],
)
def test_scripts_of_all_kinds_are_found(store: SQLiteStore, said: str, text: str) -> None:
    # The title alone would be found by its letters.
    add(store, answered("a", "Hello", said), answered("b", "Hello", "Something else"))
    assert found(store, text) == ["a"]
    (hit,) = store.threads(ThreadQuery(text=text)).hits.values()
    assert hit.text == said
    assert hit.marks


def test_what_looks_like_a_query_is_text(store: SQLiteStore) -> None:
    add(store, answered("a", "Hello", "AND then NOT this, OR (that): x* NEAR y"))
    for text in ("AND then", "NOT this", "(that)", "NEAR", 'x* "', "'); DROP TABLE spans", "\0"):
        store.threads(ThreadQuery(text=text))
    assert found(store, "NEAR (that)") == ["a"]


def test_a_hit_is_the_latest_message_and_names_its_span(store: SQLiteStore) -> None:
    long = "word " * 100 + "the invoice 4711 was paid twice " + "and more " * 50
    first, second = (
        answered("a", "About an invoice", "Which?", start=NOON),
        answered("a", "The second one", long, start=NOON + MINUTE),
    )
    add(store, first, second)
    page = store.threads(ThreadQuery(text="invoice"))
    hit = page.hits["a"]
    assert (hit.trace_id, hit.span_id) == (second.trace_id, second.span_id)
    assert hit.text.startswith("…word")
    assert hit.text.endswith("…")
    assert len(hit.text) <= 182
    assert [hit.text[begin:end] for begin, end in hit.marks] == ["invoice"]
    assert not page.is_partial


def test_ids_titles_tags_and_models_are_found(store: SQLiteStore) -> None:
    add(
        store,
        call("ticket-1", says="Hello", tags=("plan:gold",), model="mistral-large"),
        call("ticket-2", says="Goodbye", start=NOON - MINUTE),
    )
    assert found(store, "ticket-") == ["ticket-1", "ticket-2"]
    assert found(store, "oodby") == ["ticket-2"]
    assert found(store, "GOLD") == ["ticket-1"]
    assert found(store, "mistral") == ["ticket-1"]


def test_a_history_is_indexed_once(store: SQLiteStore) -> None:
    add(store, call("a", says="My umbrella"), call("a", says="My umbrella", start=NOON + SECOND))
    count = store._file.read(lambda one: one.execute("SELECT COUNT(*) FROM documents").fetchone())
    assert count == (1,)  # and none of the instructions
    assert found(store, "umbrella") == ["a"]


@pytest.fixture(scope="module")
def many_threads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path_factory.mktemp("many") / "spans.db")
    add(
        store,
        *(
            call(
                f"{number}-{'asks' if number % 5 else 'sleeps'}",
                says="Where is my parcel?" if number % 5 else "Good night",
                tags=("asks",) if number % 5 else (),
                user__id="ada" if number % 5 else "bob",
                start=NOON + number * 7919 % 300 * SECOND,
                seconds=number % 17,
                status="ERROR" if number % 3 else "UNSET",
                tokens=(number % 23, 1),
            )
            for number in range(300)
        ),
    )
    yield store
    store.close()


@pytest.mark.parametrize("sort", ["last_active", "started", "duration", "tokens", "errors"])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("few", [1, 2_000])
def test_what_many_threads_have_is_sorted_as_any_list(
    many_threads: SQLiteStore,
    sort: Sort,
    ascending: bool,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite_reading, "FEW", few)

    def walk(**query: object) -> list[str]:
        told: list[str] = []
        cursor = None
        while True:
            asked = ThreadQuery(  # type: ignore[arg-type]
                sort=sort, ascending=ascending, limit=70, cursor=cursor, **query
            )
            page = many_threads.threads(asked)
            told += [one.id for one in page.threads]
            cursor = page.next_cursor
            if cursor is None:
                return told

    asks = [one for one in walk() if one.endswith("asks")]
    assert len(asks) == 240
    assert walk(text="parcel") == asks
    assert walk(tags=("asks",)) == asks
    assert walk(labels=(("user", "ada"),)) == asks


def test_deleted_messages_are_not_found(store: SQLiteStore) -> None:
    add(
        store,
        call("a", says="My umbrella"),
        call("b", says="Their umbrella"),
        call("a", says="My umbrella", start=NOON + MINUTE),
    )
    store.delete_oldest(NOON + SECOND)
    assert found(store, "umbrella") == ["a"]  # a later call repeats it
    assert list(store.threads(ThreadQuery(text="umbrella")).hits) == ["a"]
    store.delete_oldest()
    assert found(store, "umbrella") == []
    tables = ("documents", "texts", "words_docsize", "calls", "facets", "thread_facets")
    counts = ", ".join(f"(SELECT COUNT(*) FROM {table})" for table in tables)
    left = store._file.read(lambda one: one.execute(f"SELECT {counts}").fetchone())
    assert left == (0,) * len(tables)


def test_a_deleted_thread_is_not_found(store: SQLiteStore) -> None:
    add(store, call("a", says="My umbrella", user__id="ada"), call("b", says="Their umbrella"))
    store.write([], [evaluation("down", **{"thread.id": "a"})])
    store.delete_thread("a")
    assert found(store, "umbrella") == ["b"]
    assert store.labels("user") == ()
    assert ids(store, feedback="any") == []
    (group,) = store.numbers(ThreadQuery(), "model").groups
    assert group.threads == 1


def test_filters_by_labels(store: SQLiteStore) -> None:
    add(
        store,
        call("a", model="gpt-4o", user__id="ada", gen_ai__agent__name="triage"),
        call("b", start=NOON - SECOND, user__id="bob"),
        span(
            "c",
            start=NOON - MINUTE,
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="look_up",
        ),
    )
    assert ids(store, labels=(("user", "ada"),)) == ["a"]
    assert ids(store, labels=(("user", "ada"), ("user", "bob"))) == ["a", "b"]
    assert ids(store, labels=(("user", "bob"), ("model", "gpt-4o"))) == []
    assert ids(store, labels=(("agent", "triage"),)) == ["a"]
    assert ids(store, labels=(("tool", "look_up"),)) == ["c"]
    assert ids(store, labels=(("service", "shop"),)) == ["a", "b", "c"]
    assert store.labels("service") == (("shop", 3),)
    assert store.labels("user") == (("ada", 1), ("bob", 1))
    assert store.labels("user", "BO") == (("bob", 1),)
    overview = store.overview(ThreadQuery(labels=(("user", "ada"),)))
    assert (overview.threads, overview.spans) == (1, 1)


def test_filters_by_cost_and_duration(store: SQLiteStore) -> None:
    add(
        store,
        call("cheap", cost=0.01, seconds=1),
        call("dear", cost=0.5, seconds=60, start=NOON - SECOND),
        span("free", start=NOON - MINUTE * 3),
    )
    assert ids(store, least_cost=0.1) == ["dear"]
    assert ids(store, most_cost=0.01) == ["cheap"]
    assert ids(store, least_duration=10 * SECOND) == ["dear"]
    assert ids(store, most_duration=SECOND) == ["cheap", "free"]
    assert store.overview(ThreadQuery(least_cost=0.1)).threads == 1


def evaluation(verdict: float | str, at: int = NOON, **about: str | None) -> LogRecord:
    kind = "label" if isinstance(verdict, str) else "value"
    attributes = {
        "gen_ai.evaluation.name": "user_feedback",
        f"gen_ai.evaluation.score.{kind}": verdict,
        **{name: value for name, value in about.items() if "." in name},
    }
    return LogRecord(
        trace_id=about.get("trace_id"),
        span_id=about.get("span_id"),
        name="gen_ai.evaluation.result",
        time=at,
        severity="",
        body=None,
        service="shop",
        scope="tests",
        attributes=attributes,
    )


def counted(store: SQLiteStore, thread_id: str) -> tuple[int, int, int]:
    thread = store.thread(thread_id)
    assert thread is not None
    return thread.good, thread.bad, thread.evaluations


@pytest.mark.parametrize("is_late", [True, False])
def test_feedback_is_counted_whether_it_comes_before_or_after_its_spans(
    store: SQLiteStore, *, is_late: bool
) -> None:
    first = call("a", gen_ai__response__id="response-1")
    logs = [
        evaluation("thumbs_up", trace_id=first.trace_id, span_id=first.span_id),
        evaluation(0.0, **{"thread.id": "a"}),
        evaluation(4.5, NOON + 1, **{"gen_ai.response.id": "response-1"}),
        evaluation("fail", NOON + 2, trace_id=first.trace_id),
    ]
    for part in (logs, None) if not is_late else (None, logs):
        if part is None:
            add(store, first, call("b", start=NOON - MINUTE))
        else:
            store.write([], part)
    assert counted(store, "a") == (1, 2, 4)
    assert counted(store, "b") == (0, 0, 0)
    by: dict[Feedback, list[str]] = {"good": ["a"], "bad": ["a"], "any": ["a"], "none": ["b"]}
    for feedback, names in by.items():
        assert ids(store, feedback=feedback) == names


def test_feedback_goes_with_its_thread(store: SQLiteStore) -> None:
    one = call("a")
    add(store, one, call("b", start=NOON + MINUTE))
    store.write([], [evaluation(1.0, trace_id=one.trace_id, span_id=one.span_id)])
    assert ids(store, feedback="any") == ["a"]
    store.delete_oldest(NOON + SECOND)
    assert ids(store, feedback="any") == []


def test_words_with_one_beginning(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of them are looked for one by one, and otherwise where any of them is."""
    says = (
        "order",
        "Orders",
        "ordering",
        "Ördern 7",
        "orde",
        "ordf",
        "or der",
        "orderé 0",
        "0rder",
    )
    add(store, *(call(f"t{n}", says=text, start=NOON + n) for n, text in enumerate(says)))
    for text in (
        "order",
        "ORDER",
        "orders",
        "orde",
        "ord",
        "or",
        "ord 7",
        '"order"',
        "ordep",
        "ör",
    ):
        found = []
        for most in (32, 0):
            monkeypatch.setattr(sqlite_search, "_LONGER", most)
            store._searches._found.clear()
            found.append(ids(store, text=text))
        assert found[0] == found[1], text
    assert ids(store, text="order") == ["t7", "t3", "t2", "t1", "t0"]
    assert ids(store, text="ordep") == []


def test_a_page_lists_the_threads_that_it_counts(store: SQLiteStore) -> None:
    """Whatever arrives, or is deleted, between its queries."""
    add(store, call("a", says="Where is my parcel?"), call("b", says="A parcel, please"))
    before = store.change()
    with visits.one():
        assert store.overview(ThreadQuery(text="parcel")).threads == 2
        add(store, call("c", says="Another parcel"))
        store.delete_thread("b")
        page = store.threads(ThreadQuery(text="parcel"))
        assert [one.id for one in page.threads] == ["b", "a"]
        assert page.hits.keys() == {"a", "b"}
        assert store.thread("c") is None
        # A page that tells of a later change than it shows would not look for that one.
        assert store.change() == before
    assert ids(store, text="parcel") == ["c", "a"]
    assert store.change() == before + 2


def test_a_page_may_go_on_after_an_error(store: SQLiteStore) -> None:
    add(store, call("a"))
    with visits.one():
        with pytest.raises(InvalidCursorError):
            store.threads(ThreadQuery(cursor="none"))
        assert ids(store) == ["a"]
    with pytest.raises(LookupError), visits.one():
        assert ids(store) == ["a"]
        raise LookupError
    add(store, call("b"))
    assert sorted(ids(store)) == ["a", "b"]


def test_percentiles_are_exact(store: SQLiteStore) -> None:
    add(store, *(call("a", start=NOON + n * SECOND, seconds=n) for n in range(1, 101)))
    add(store, *(call("b", start=NOON + n * SECOND, seconds=1000) for n in range(5)))
    overview = store.overview(ThreadQuery(tags=()))
    assert overview.percentiles == (53 * SECOND, 100 * SECOND)
    only = store.overview(ThreadQuery(text="a", until=NOON + 200 * SECOND))
    assert only.percentiles is not None


def test_numbers_by_model_tag_and_user(store: SQLiteStore) -> None:
    add(
        store,
        *(
            call("a", start=NOON + n * SECOND, seconds=n, model="fast", tags=("x", "y"), cost=0.5)
            for n in range(1, 21)
        ),
        call("b", start=NOON + 30 * MINUTE, seconds=7, model="slow", tags=("y",), user__id="ada"),
        call("b", start=NOON, model="fast", tokens=None, status="ERROR"),
        span("b", start=NOON, status="ERROR"),
    )
    store.write([], [evaluation("down", **{"thread.id": "a"})])
    by_model = store.numbers(ThreadQuery(), "model")
    fast, slow = by_model.groups
    assert (fast.name, fast.threads, fast.calls, fast.errors) == ("fast", 2, 21, 1)
    assert (fast.input_tokens, fast.output_tokens, fast.unpriced) == (20_000, 2_000, 0)
    assert fast.cost == pytest.approx(10)
    assert (fast.p50, fast.p95) == (10 * SECOND, 19 * SECOND)
    assert (slow.name, slow.calls, slow.p50, slow.cost, slow.unpriced) == (
        "slow",
        1,
        7 * SECOND,
        None,
        1,
    )
    assert sum(part.calls for part in fast.slices) == 21
    assert [part.p50 for part in slow.slices] == [7 * SECOND]
    by_tag = store.numbers(ThreadQuery(), "tag")
    assert [(one.name, one.threads, one.calls, one.errors, one.bad) for one in by_tag.groups] == [
        ("y", 2, 21, 2, 1),
        ("x", 1, 20, 0, 1),
    ]
    assert [one.name for one in store.numbers(ThreadQuery(), "user").groups] == ["ada"]
    (only,) = store.numbers(ThreadQuery(tags=("x",)), "tag", names=("y",)).groups
    assert (only.name, only.threads, only.calls) == ("y", 1, 20)
    (late,) = store.numbers(ThreadQuery(since=NOON + 20 * MINUTE), "model").groups
    assert (late.name, late.calls) == ("slow", 1)
    assert store.numbers(ThreadQuery(text="nowhere"), "model").groups == ()


def test_a_file_of_the_version_before_is_read_bit_by_bit(tmp_path: Path) -> None:
    """What needs the new tables is found as soon as that part has been read."""
    path = tmp_path / "spans.db"
    store = SQLiteStore(path)
    about = [
        answered(f"t{n}", f"Question {n}", f"Answer number{n:03}", start=NOON + n * MINUTE)
        for n in range(150)
    ]
    add(store, *about)
    log = evaluation("up", trace_id=about[0].trace_id, span_id=about[0].span_id)
    store.write([], [log])
    store.close()
    forget_finding(path)
    with closing(sqlite3.connect(path)) as older:
        older.execute("PRAGMA user_version = 5")
    with closing(sqlite3.connect(path)) as older:
        assert older.execute("PRAGMA user_version").fetchone() == (5,)
    store = SQLiteStore(path)
    assert store.overview(ThreadQuery()).unindexed == 150
    assert ids(store, text="number149") == []
    assert ids(store, text="t149") == ["t149"]
    assert store.work_off()
    assert ids(store, feedback="good") == ["t0"]
    assert store.work_off()
    assert ids(store, text="number149") == ["t149"]
    assert ids(store, text="number007") == []
    add(store, answered("new", "Question", "Answer while reading"))
    while store.work_off():
        pass
    assert ids(store, text="number007 answer") == ["t7"]
    assert ids(store, text="while reading") == ["new"]
    assert store.overview(ThreadQuery()).unindexed == 0
    assert store.labels("model") == (("gpt-4o-mini", 151),)
    (group,) = store.numbers(ThreadQuery(), "model").groups
    assert group.calls == 151
    assert rollup_errors(store) == []
    assert index_errors(store) == []
    store.close()


def test_without_fts5_ids_and_titles_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.db"
    monkeypatch.setattr(schema, "_WORDS", "SELECT 1")
    store = SQLiteStore(path)
    add(store, answered("a", "Title", "Umbrella"))
    assert "messages" not in store.abilities
    assert ids(store, text="umbrella") == []
    assert ids(store, text="title") == ["a"]
    store.delete_oldest()
    store.close()


def test_a_list_of_very_many_threads_begins_with_the_latest(tmp_path: Path) -> None:
    """Whether they are among the latest of all, or all of these are others."""
    with closing(SQLiteStore(tmp_path / "threads.db")) as store:
        spans = [call(f"t{n:04}", says="umbrella", start=NOON + n * SECOND) for n in range(1_200)]
        add(store, *spans)
        latest = [f"t{n:04}" for n in reversed(range(1_200))]
        assert ids(store, text="umbrella", limit=20) == latest[:20]
        assert ids(store, text="umbrella", limit=20, ascending=True) == latest[:-21:-1]
        page = store.threads(ThreadQuery(text="umbrella", limit=20))
        assert ids(store, text="umbrella", limit=20, cursor=page.next_cursor) == latest[20:40]
        later = NOON + 3600 * SECOND
        add(store, *(call(f"u{n:04}", says="rain", start=later + n) for n in range(2_100)))
        assert ids(store, text="umbrella", limit=20) == latest[:20]
