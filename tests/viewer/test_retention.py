"""How long spans are kept, and that rollups stay right when some go."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from pathlib import Path

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.store import sqlite as module
from orq_otel.viewer.store.retention import Retention
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import MINUTE, NOON, SECOND, call, new_trace, span
from .sqlite_checks import rollup_errors

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
    assert rollup_errors(sqlite) == []
    assert [thread.id for thread in sqlite.threads(ThreadQuery()).threads] == ["new", "both"]
    thread = sqlite.thread("both")
    assert thread is not None
    assert (thread.title, thread.tags, thread.models) == ("Second", ("z",), ("gpt-4o",))
    assert (thread.started, thread.spans, thread.errors, thread.traces) == (NOON - HOUR, 1, 0, 1)
    assert thread.cost == 2
    assert sqlite.overview(ThreadQuery()).tags == (("z", 1),)
    assert Retention(seconds=90 * 60).apply(sqlite, NOON) == 0
    assert sqlite.change() == before + 1


def test_everything_may_go(sqlite: SQLiteStore) -> None:
    keep(sqlite, call("a", tags=("x",)), span())
    assert Retention(seconds=1).apply(sqlite, NOON + HOUR) == 2
    assert rollup_errors(sqlite) == []
    assert sqlite.overview(ThreadQuery()).threads == 0
    keep(sqlite, call("a"))
    assert rollup_errors(sqlite) == []


def test_a_limit_to_size_drops_the_oldest(sqlite: SQLiteStore, tmp_path: object) -> None:
    content = "".join(chr(33 + n * n % 90) for n in range(2000))
    for n in range(40):
        keep(sqlite, *(call(f"t{n}", start=NOON + n * MINUTE, says=content) for _ in range(100)))
    whole = sqlite.size()
    limit = whole // 2
    deleted = Retention(size=limit).apply(sqlite)
    assert 0 < deleted < 4000
    assert sqlite.size() <= limit
    assert rollup_errors(sqlite) == []
    left = sqlite.overview(ThreadQuery())
    assert left.spans == 4000 - deleted
    # The newest are left.
    assert sqlite.thread("t39") is not None
    assert sqlite.thread("t0") is None
    assert Retention(size=limit).apply(sqlite) == 0


@pytest.mark.parametrize("has_span", [True, False])
def test_a_limit_to_size_counts_log_records(sqlite: SQLiteStore, has_span: bool) -> None:
    body = random.Random(0).randbytes(5_000).hex()
    for hour in range(20):
        spans = [call(f"t{hour}-{n}", start=NOON + hour * HOUR + n * SECOND) for n in range(50)]
        records = [
            LogRecord(
                *((one.trace_id, one.span_id) if has_span else (None, None)),
                *("app.note", one.start + 1, "INFO", body[n * 2 :], "shop", "tests", {}, {}),
            )
            for n, one in enumerate(spans)
        ]
        sqlite.write([KeptSpan(one, read(one)) for one in spans], records)
    Retention(size=sqlite.size() * 8 // 10).apply(sqlite)
    left = sqlite.overview(ThreadQuery()).spans
    assert 700 < left < 800
    assert sqlite.thread("t19-49") is not None
    assert rollup_errors(sqlite) == []


def on_disk(path: Path) -> int:
    """The bytes of a file and its log."""
    return path.stat().st_size + Path(f"{path}-wal").stat().st_size


def bytes_of(path: Path) -> int:
    """The bytes of a file once what is in the log has been moved there."""
    other = sqlite3.connect(path)
    pages, each = (
        other.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    other.close()
    return int(pages * each)


@pytest.mark.parametrize("part", [0.9, 0.5, 0.1])
@pytest.mark.parametrize(
    "sizes", [(0,), (0, 3_000, 90_000), (40_000,)], ids=["small", "mixed", "large"]
)
def test_what_fits_is_kept_and_the_disk_gets_the_rest(
    sqlite: SQLiteStore, tmp_path: Path, sizes: tuple[int, ...], part: float
) -> None:
    path = tmp_path / "spans.db"
    spans = [
        call(
            f"t{n // 20}",
            start=NOON + n * SECOND,
            text=os.urandom(sizes[n % len(sizes)] // 2).hex(),
        )
        for n in range(6_000 if sizes == (0,) else 300)
    ]
    for n in range(0, len(spans), 500):
        keep(sqlite, *spans[n : n + 500])
    limit = int(bytes_of(path) * part)
    empty = SQLiteStore(tmp_path / "empty.db")
    room = (limit - empty.size()) / (bytes_of(path) - empty.size())
    empty.close()
    deleted = Retention(size=limit).apply(sqlite)
    assert on_disk(path) <= limit
    left = sqlite.overview(ThreadQuery())
    # Of spans of several sizes, the room has as many only about.
    assert left.spans == len(spans) - deleted >= len(spans) * room * 0.9 - len(sizes)
    # The oldest have gone, and no other.
    first = sqlite.threads(ThreadQuery(sort="started", ascending=True)).threads[0]
    assert first.started == NOON + deleted * SECOND
    assert rollup_errors(sqlite) == []
    assert Retention(size=limit).apply(sqlite) == 0


@pytest.mark.parametrize(
    "part",
    [pytest.param(0.9, marks=pytest.mark.slow), 0.33, pytest.param(0.1, marks=pytest.mark.slow)],
)
def test_words_leave_the_index_with_their_messages(
    sqlite: SQLiteStore, tmp_path: Path, part: float
) -> None:
    said = [os.urandom(10_000).hex() for _ in range(400)]
    for n, one in enumerate(said):
        keep(sqlite, call(f"t{n // 20}", start=NOON + n * SECOND, says=one))
    path = tmp_path / "spans.db"
    limit = int(bytes_of(path) * part)
    deleted = Retention(size=limit).apply(sqlite)
    assert on_disk(path) <= limit
    assert 400 - deleted >= 400 * part * 0.8
    assert sqlite.threads(ThreadQuery(text=said[0])).threads == ()
    assert sqlite.threads(ThreadQuery(text=said[-1])).threads[0].id == "t19"
    assert rollup_errors(sqlite) == []


def test_words_leave_the_index_with_age(sqlite: SQLiteStore, tmp_path: Path) -> None:
    empty = bytes_of(tmp_path / "spans.db")
    for _ in range(50):
        keep(sqlite, call("old", says=os.urandom(10_000).hex()))
    keep(sqlite, call("new", start=NOON + HOUR, says="the words that stay"))
    assert Retention(seconds=90 * 60).apply(sqlite, NOON + 2 * HOUR) == 50
    assert sqlite.threads(ThreadQuery(text="words that stay")).threads[0].id == "new"
    assert bytes_of(tmp_path / "spans.db") < empty + 50_000


def test_a_file_just_above_its_limit_loses_little(sqlite: SQLiteStore, tmp_path: Path) -> None:
    for n in range(300):
        keep(sqlite, call(f"t{n}", start=NOON + n, text=os.urandom(10_000).hex()))
    limit = bytes_of(tmp_path / "spans.db") - 10_000
    assert 0 < Retention(size=limit).apply(sqlite) <= 20
    assert on_disk(tmp_path / "spans.db") <= limit


def test_a_span_larger_than_the_limit_goes(sqlite: SQLiteStore, tmp_path: Path) -> None:
    keep(sqlite, call("t", text=os.urandom(400_000).hex()))
    keep(sqlite, call("new", start=NOON + MINUTE))
    assert Retention(size=500_000).apply(sqlite) == 1
    assert sqlite.thread("new") is not None
    assert on_disk(tmp_path / "spans.db") <= 500_000


def test_a_limit_below_an_empty_file_says_so(sqlite: SQLiteStore) -> None:
    keep(sqlite, call("t"))
    with pytest.raises(StoreError, match="Set a larger limit"):
        Retention(size=1_000).apply(sqlite)
    assert sqlite.overview(ThreadQuery()).spans == 0


def test_a_file_that_is_filled_meanwhile_is_no_complaint(sqlite: SQLiteStore) -> None:
    for n in range(100):
        keep(sqlite, call(f"t{n}", start=NOON + n, text=os.urandom(10_000).hex()))
    steps = Retention(size=900_000).steps(sqlite)
    assert 0 in steps
    keep(sqlite, call("new", start=NOON + MINUTE, text=os.urandom(400_000).hex()))
    assert not any(steps)
    assert sqlite.thread("new") is not None


def test_a_lower_limit_later_goes_on(sqlite: SQLiteStore, tmp_path: Path) -> None:
    for n in range(300):
        keep(sqlite, call(f"t{n}", start=NOON + n, text=os.urandom(10_000).hex()))
    for limit in (2_500_000, 900_000, 600_000):
        Retention(size=limit).apply(sqlite)
        assert on_disk(tmp_path / "spans.db") <= limit


def test_what_a_killed_viewer_left_is_given_back(sqlite: SQLiteStore, tmp_path: Path) -> None:
    """It had deleted, and given nothing back yet."""
    for n in range(300):
        keep(sqlite, call(f"t{n}", start=NOON + n, text=os.urandom(10_000).hex()))
    while sqlite.size() > 1_000_000:
        sqlite.delete_oldest(most=10)
    spans = sqlite.overview(ThreadQuery()).spans
    assert Retention(size=1_100_000).apply(sqlite) == 0
    assert on_disk(tmp_path / "spans.db") <= 1_100_000
    assert sqlite.overview(ThreadQuery()).spans == spans


def test_an_age_frees_the_disk_too(sqlite: SQLiteStore, tmp_path: Path) -> None:
    for n in range(300):
        keep(sqlite, call(f"t{n}", start=NOON + n * MINUTE, text=os.urandom(20_000).hex()))
    assert Retention(seconds=30 * 60).apply(sqlite, NOON + 300 * MINUTE) == 270
    assert on_disk(tmp_path / "spans.db") < 1_200_000


def test_a_file_that_cannot_shrink_keeps_what_fits(tmp_path: Path) -> None:
    path = tmp_path / "spans.db"
    other = sqlite3.connect(path)
    other.execute("PRAGMA auto_vacuum = NONE")
    other.execute("VACUUM")
    other.close()
    store = SQLiteStore(path)
    for n in range(300):
        keep(store, call(f"t{n}", start=NOON + n, text=os.urandom(10_000).hex()))
    for _ in range(2):
        with pytest.raises(StoreError, match="PRAGMA auto_vacuum = INCREMENTAL; VACUUM"):
            Retention(seconds=3600, size=2_000_000).apply(store, NOON)
        assert 120 <= store.overview(ThreadQuery()).spans <= 195
    store.close()


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
    assert rollup_errors(sqlite) == []
    assert sqlite.overview(ThreadQuery()).spans == 150
