"""How long spans are kept, and that rollups stay right when some go."""

from __future__ import annotations

import threading

import pytest

from orq_otel.viewer.facts import read
from orq_otel.viewer.model import KeptSpan, Question, Span
from orq_otel.viewer.store import sqlite as module
from orq_otel.viewer.store.retention import Retention
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import MINUTE, NOON, call, new_trace, span

HOUR = 60 * MINUTE


def keep(store: SQLiteStore, *spans: Span) -> None:
    store.write([KeptSpan(one, read(one)) for one in spans])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", Retention(seconds=30 * 86_400)),
        ("12h", Retention(seconds=12 * 3600)),
        ("1.5w", Retention(seconds=1.5 * 7 * 86_400)),
        ("90m", Retention(seconds=5400)),
        ("500MB", Retention(size=500_000_000)),
        ("30d, 2 GB", Retention(seconds=30 * 86_400, size=2_000_000_000)),
        ("none", Retention()),
    ],
)
def test_limits_from_text(text: str, expected: Retention) -> None:
    assert Retention.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["0d", "0GB", "", "d", "30", "30 days", "-1d", "1e3d", "1d,", "1y", "nan d"]
)
def test_what_says_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="30d,2GB"):
        Retention.parse(text)


def test_old_spans_go_and_sums_follow(sqlite: SQLiteStore) -> None:
    trace = new_trace()
    keep(
        sqlite,
        call("old", start=NOON - 3 * HOUR, tags=("x",)),
        call("both", start=NOON - 2 * HOUR, tags=("x", "y"), says="First", cost=1, trace=trace),
        call("both", start=NOON - HOUR, tags=("z",), says="Second", cost=2, model="gpt-4o"),
        span("both", start=NOON - 2 * HOUR, status="ERROR"),
        span(start=NOON - 2 * HOUR, trace=trace),
        call("new", start=NOON),
    )
    before = sqlite.change()
    assert Retention(seconds=90 * 60).apply(sqlite, NOON) == 4
    assert sqlite.change() != before
    assert sqlite.recount() == []
    assert [thread.id for thread in sqlite.threads(Question()).threads] == ["new", "both"]
    thread = sqlite.thread("both")
    assert thread is not None
    assert (thread.title, thread.tags, thread.models) == ("Second", ("z",), ("gpt-4o",))
    assert (thread.started, thread.spans, thread.errors, thread.traces) == (NOON - HOUR, 1, 0, 1)
    assert thread.cost == 2
    assert sqlite.overview(Question()).tags == (("z", 1),)
    assert Retention(seconds=90 * 60).apply(sqlite, NOON) == 0
    assert sqlite.change() == before + 1


def test_everything_may_go(sqlite: SQLiteStore) -> None:
    keep(sqlite, call("a", tags=("x",)), span())
    assert Retention(seconds=1).apply(sqlite, NOON + HOUR) == 2
    assert sqlite.recount() == []
    assert sqlite.overview(Question()).threads == 0
    keep(sqlite, call("a"))
    assert sqlite.recount() == []


def test_a_limit_to_size_drops_the_oldest(sqlite: SQLiteStore, tmp_path: object) -> None:
    content = "".join(chr(33 + n * n % 90) for n in range(2000))
    for n in range(40):
        keep(sqlite, *(call(f"t{n}", start=NOON + n * MINUTE, says=content) for _ in range(100)))
    whole = sqlite.size()
    limit = whole // 2
    deleted = Retention(size=limit).apply(sqlite)
    assert 0 < deleted < 4000
    assert sqlite.size() <= limit
    assert sqlite.recount() == []
    left = sqlite.overview(Question())
    assert left.spans == 4000 - deleted
    # The newest are left, and the file itself gets shorter with the next steps.
    assert sqlite.thread("t39") is not None
    assert sqlite.thread("t0") is None
    assert Retention(size=limit).apply(sqlite) == 0


def test_others_write_between_the_steps(
    sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEP", 10)
    monkeypatch.setattr(SQLiteStore.delete_oldest, "__defaults__", (None, 10))
    keep(sqlite, *(call(f"t{n % 7}", start=NOON + n) for n in range(500)))
    started = threading.Event()

    def write() -> None:
        for n in range(30):
            keep(sqlite, *(call(f"new{n}", start=NOON + HOUR) for _ in range(5)))
            started.set()

    other = threading.Thread(target=write)
    other.start()
    started.wait()
    assert Retention(seconds=1).apply(sqlite, NOON + MINUTE) == 500
    other.join()
    assert sqlite.recount() == []
    assert sqlite.overview(Question()).spans == 150
