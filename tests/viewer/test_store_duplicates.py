"""Senders try again: a span that arrives twice counts once."""

from __future__ import annotations

from dataclasses import replace

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conftest import Place
from .sample_spans import call, span
from .sqlite_checks import rollup_errors


def test_a_second_arrival_changes_nothing(place: Place) -> None:
    first = call("a", says="Hello", tags=("x",))
    place.add(first, first, span("b"))
    before = place.store.threads(ThreadQuery())
    overview = place.store.overview(ThreadQuery())
    place.add(first)
    assert place.store.threads(ThreadQuery()) == before
    assert place.store.overview(ThreadQuery()) == overview
    assert before.threads[1].spans == 1


def test_another_thread_in_a_second_arrival_makes_none(sqlite: SQLiteStore) -> None:
    first = span("a")
    second = replace(first, attributes={"thread.id": "b"})
    sqlite.write([KeptSpan(one, read(one)) for one in (first, second)])
    assert [thread.id for thread in sqlite.threads(ThreadQuery()).threads] == ["a"]
    assert rollup_errors(sqlite) == []
