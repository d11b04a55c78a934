"""The threads before and after one, in each order of a list."""

from __future__ import annotations

import itertools
import time

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import SORTS, Sort, ThreadQuery
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.neighbours import neighbour

from .conftest import Place
from .sample_spans import NOON, SECOND, call


@pytest.fixture
def store(sqlite: SQLiteStore) -> SQLiteStore:
    """Threads that differ in everything, two alike, and one with a long id."""
    for number, name in enumerate(("d", "a", "c", "b", "b2", "x" * 300)):
        size = min(number, 3)
        spans = [
            call(
                name,
                start=NOON + (7 * size + 3 * each) * SECOND,
                seconds=1 + (3 - size) * 2,
                tokens=(100 * ((size * 3) % 4), 1),
                status="ERROR" if each == 0 and size % 2 else "UNSET",
                tags=("even",) if number % 2 == 0 else (),
            )
            for each in range(1 + (size * 5) % 4)
        ]
        sqlite.write([KeptSpan(one, read(one)) for one in spans])
    return sqlite


@pytest.mark.parametrize("tags", [(), ("even",)])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_in_the_order_of_the_list(
    store: SQLiteStore, sort: Sort, ascending: bool, tags: tuple[str, ...]
) -> None:
    query = ThreadQuery(tags=tags, sort=sort, ascending=ascending)
    threads = store.threads(query).threads
    assert len(threads) == (3 if tags else 6)
    for above, below in itertools.pairwise(threads):
        after = neighbour(store, above, query, is_next=True)
        before = neighbour(store, below, query, is_next=False)
        assert after is not None
        assert before is not None
        assert (before.short_id, after.short_id) == (above.short_id, below.short_id)
    assert neighbour(store, threads[-1], query, is_next=True) is None
    assert neighbour(store, threads[0], query, is_next=False) is None


@pytest.mark.parametrize(
    "sort",
    [
        "last_active",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("started", "duration")),
    ],
)
def test_a_clock_that_is_ahead_stops_nobody(place: Place, sort: Sort) -> None:
    now = time.time_ns()
    starts = {"ahead": now + 20 * SECOND, "now": now - 60 * SECOND, "before": now - 120 * SECOND}
    for name, start in starts.items():
        span = call(name, start=start, seconds=1, tags=("a",))
        place.add(span)
    query = ThreadQuery(sort=sort, tags=("a",))
    names = [one.id for one in place.store.threads(query).threads]
    thread = place.store.thread(names[0])
    found = []
    while thread is not None and len(found) < len(names):
        found.append(thread.id)
        thread = neighbour(place.store, thread, query, is_next=True)
    assert found == names
    assert thread is None
