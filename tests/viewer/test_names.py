"""Threads are found by any part of their ids and titles, by an index or without."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store import schema, sqlite_names, sqlite_search
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import MINUTE, NOON, call
from .sqlite_checks import rollup_errors

_NAMES = st.text("aAbB \"%_\\*'-é退款🙂", min_size=1, max_size=8).filter(str.strip)
_IDS = st.sampled_from(["abc", "ABC ab", "ba", '"a"', "a%b_", "退款bé"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(_IDS, _NAMES, st.integers(0, 9)),  # an id, a title, and when it was said
        _IDS,  # of the thread that is deleted
    ),
    max_size=25,
)


def write(store: SQLiteStore, thread: str, says: str, minute: int) -> None:
    spans = [call(thread, says=says, model="m", start=NOON + minute * MINUTE)]
    store.write([KeptSpan(one, read(one)) for one in spans])


def found(store: SQLiteStore, text: str) -> set[str]:
    return {one.id for one in store.threads(ThreadQuery(text=text)).threads}


def named(store: SQLiteStore, text: str) -> set[str]:
    """What is to be found: looked at one by one."""
    lower = text.lower()
    return {
        one.id
        for one in store.threads(ThreadQuery()).threads
        if lower in one.id.lower() or lower in (one.title or "").lower()
    }


@pytest.mark.slow
@given(_STEPS, st.lists(_NAMES, max_size=5))
def test_whatever_threads_are_called(
    steps: list[tuple[str, str, int] | str], texts: list[str]
) -> None:
    """Titles change, threads go, and others are given their keys."""
    with (
        tempfile.TemporaryDirectory() as directory,
        # Messages are not searched, whose words are other ones.
        mock.patch.object(schema, "_WORDS", "SELECT 1"),
    ):
        store = SQLiteStore(Path(directory) / "spans.db")
        for step in steps:
            if isinstance(step, str):
                store.delete_thread(step)
            else:
                write(store, *step)
        assert rollup_errors(store) == []
        for one in store.threads(ThreadQuery()).threads:
            texts += [one.id[-3:], (one.title or "")[1:5], one.id.upper()]
        for text in filter(str.strip, texts):
            assert found(store, text) == named(store, text), text
        store.close()


@pytest.mark.parametrize(
    "text", ["rder-00", "ORDER", "st q", '"quo', "100%", "a_b", "\\", "退款", "é", "x" * 300]
)
def test_an_older_release_of_sqlite_finds_the_same(
    sqlite: SQLiteStore, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ['a "quoted" one', "100% é", "a_b", "a\\b", "我想申请退款", "x" * 300, "Last question"]
    for number, name in enumerate(names):
        write(sqlite, f"Order-{number:05}", name, number)
    with_index = found(sqlite, text)
    assert with_index
    monkeypatch.setattr(sqlite_names, "has_trigrams", lambda: False)
    write(sqlite, "another", "Nothing", 1)  # what was found before is remembered until then
    assert found(sqlite, text) == with_index


def test_what_it_has_renamed_is_found_and_comes_into_the_index_later(
    sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write(sqlite, f"t{number}", f"Question number{number}", 5)
    with monkeypatch.context() as older:
        older.setattr(sqlite_names, "has_trigrams", lambda: False)
        write(sqlite, "t0", "An earlier question", 1)
        sqlite.delete_thread("t1")
    assert (found(sqlite, "rlier"), found(sqlite, "estion number0")) == ({"t0"}, set())
    write(sqlite, "t4", "Another", 1)
    assert rollup_errors(sqlite) == []
    assert (found(sqlite, "rlier"), found(sqlite, "umber0")) == ({"t0"}, set())


@pytest.mark.parametrize("has_index", [True, False])
def test_of_very_many_threads_the_latest_are_looked_at_and_the_id_itself(
    sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch, has_index: bool
) -> None:
    monkeypatch.setattr(sqlite_names, "has_trigrams", lambda: has_index)
    monkeypatch.setattr(sqlite_search, "MOST", 4)
    write(sqlite, "ticket", "The first", 0)
    for number in range(12):
        write(sqlite, f"ticket{number:02}", "Another", number)
    page = sqlite.threads(ThreadQuery(text="ticket"))
    latest = [one.id for one in page.threads]
    assert latest == ["ticket11", "ticket10", "ticket09", "ticket08", "ticket"]
    assert page.is_partial
    assert sqlite.overview(ThreadQuery(text="ticket")).threads == 5
    few = sqlite.threads(ThreadQuery(text="ticket1"))
    assert ({one.id for one in few.threads}, few.is_partial) == ({"ticket10", "ticket11"}, False)


def test_a_file_of_the_version_before_is_indexed_by_and_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spans.db"
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "STEPS", schema.STEPS[: schema.STEPS.index(schema._names)])
        earlier.setattr(sqlite_names, "settle", lambda _: 0)
        store = SQLiteStore(path)
        for number in range(10):
            write(store, f"t{number}", f"Question number{number}", 5)
        store.close()
    store = SQLiteStore(path)
    for number in range(10, 14):
        assert found(store, "stion num") == {f"t{one}" for one in range(number)}
        write(store, f"t{number}", f"Question number{number}", 5)
    assert rollup_errors(store) == []
    assert store._file.read(lambda one: one.execute("SELECT until FROM named").fetchone()) == (12,)
    store.close()
