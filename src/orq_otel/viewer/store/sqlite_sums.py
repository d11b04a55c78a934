"""The rollups of a SQLite file: what is added to them, subtracted, and summed up anew."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from orq_otel.viewer.model.ids import digest
from orq_otel.viewer.store.sqlite_rows import ROW_COLUMNS, insert_many, row_of
from orq_otel.viewer.store.tally import SUMS, Row, Tally, ThreadTally

_ADDED: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_TO_ACTIVITY: Final = f"ON CONFLICT (width, start) DO UPDATE SET {_ADDED}"
_TO_THREAD_ACTIVITY: Final = f"ON CONFLICT (thread, width, start) DO UPDATE SET {_ADDED}"
_MORE_CALLS: Final = "DO UPDATE SET calls = calls + excluded.calls"
_TO_LATENCIES: Final = f"ON CONFLICT (width, start, bucket) {_MORE_CALLS}"
_TO_THREAD_LATENCIES: Final = f"ON CONFLICT (thread, bucket) {_MORE_CALLS}"
_TITLE: Final = ("title_start", "title_span", "title", "title_folded")
_IS_FIRST_TITLE: Final = (
    "excluded.title IS NOT NULL AND (title IS NULL OR"
    " (excluded.title_start, excluded.title_span, excluded.title)"
    " < (title_start, title_span, title))"
)
#: Adds to threads that are there, and makes the others.
_ADD_THREADS: Final = (
    "INSERT INTO threads (key, id, folded, digest, started, last_active, active, kept,"
    f" {', '.join((*SUMS, *_TITLE))}) VALUES"
)
_TO_THREADS: Final = (
    "ON CONFLICT (key) DO UPDATE SET"
    " started = CASE WHEN spans THEN min(started, excluded.started) ELSE excluded.started END,"
    " last_active = max(last_active, excluded.last_active), active = max(active, excluded.active),"
    f" kept = kept | excluded.kept, {_ADDED}, "
    + ", ".join(
        f"{name} = CASE WHEN {_IS_FIRST_TITLE} THEN excluded.{name} ELSE {name} END"
        for name in _TITLE
    )
)
#: Sets the title of a thread, unless it has an earlier one.
SET_TITLE: Final = (
    "UPDATE threads SET title_start = ?1, title_span = ?2, title = ?3, title_folded = ?4"
    " WHERE key = ?5"
    " AND (title IS NULL OR (?1, ?2, ?3) < (title_start, title_span, title))"
)
_TO_TAGS: Final = (
    "ON CONFLICT (thread, tag) DO UPDATE SET start = excluded.start, place = excluded.place"
    " WHERE (excluded.start, excluded.place) < (start, place)"
)
_TO_MODELS: Final = (
    "ON CONFLICT (thread, model) DO UPDATE SET start = excluded.start WHERE excluded.start < start"
)
_RESET_THREAD: Final = (
    "UPDATE threads SET started = 0, last_active = 0, traces = 0, title = NULL,"
    " title_folded = NULL, title_start = NULL, title_span = NULL,"
    f" {', '.join(f'{name} = 0' for name in SUMS)} WHERE key = ?"
)
_OF_THREADS: Final = (
    "thread_traces",
    "thread_tags",
    "thread_models",
    "thread_activity",
    "thread_latencies",
    "thread_facets",
)


def add(connection: sqlite3.Connection, tally: Tally, sign: int) -> None:
    """Add to the sums over all threads, or subtract from them."""
    insert_many(
        connection,
        "INSERT INTO activity VALUES",
        [
            (*key, *(sign * value for value in sums.values()))
            for key, sums in tally.activity.items()
        ],
        _TO_ACTIVITY,
    )
    insert_many(
        connection,
        "INSERT INTO latencies VALUES",
        [(*key, sign * calls) for key, calls in tally.latencies.items()],
        _TO_LATENCIES,
    )


def add_threads(
    connection: sqlite3.Connection,
    threads: Mapping[int, ThreadTally],
    ids: Mapping[int, str],
    arrived: int,
    masks: Mapping[int, int] | None = None,
) -> None:
    """Add to the sums over each thread, for spans that arrived at a time.

    Args:
        connection: In a transaction.
        threads: What is added, by the keys of threads.
        ids: The id of each of them.
        arrived: When the spans arrived, in nanoseconds since the epoch.
        masks: The bits of labels that the threads have got, as `sqlite_groups` tells them.
    """
    masks = masks or {}
    items = threads.items()
    insert_many(
        connection,
        _ADD_THREADS,
        [
            (
                key,
                ids[key],
                ids[key].lower(),
                digest(ids[key]),
                one.started,
                one.last_active,
                min(one.last_active, arrived),
                masks.get(key, 0),
                *one.values(),
                *((*one.title, one.title[2].lower()) if one.title else (None,) * 4),
            )
            for key, one in items
        ],
        _TO_THREADS,
    )
    for statement, rows, conflict in (
        (
            "INSERT OR IGNORE INTO thread_traces VALUES",
            [(key, trace_id) for key, one in items for trace_id in one.traces],
            "",
        ),
        (
            "INSERT INTO thread_tags VALUES",
            [(key, tag, *first) for key, one in items for tag, first in one.tags.items()],
            _TO_TAGS,
        ),
        (
            "INSERT OR IGNORE INTO thread_facets VALUES",
            [(key, *facet) for key, one in items for facet in one.facets],
            "",
        ),
        (
            "INSERT INTO thread_models VALUES",
            [(key, *first) for key, one in items for first in one.models.items()],
            _TO_MODELS,
        ),
    ):
        insert_many(connection, statement, rows, conflict)
    _add_plots(connection, threads, 1)


def _add_plots(
    connection: sqlite3.Connection, threads: Mapping[int, ThreadTally], sign: int
) -> None:
    items = threads.items()
    insert_many(
        connection,
        "INSERT INTO thread_activity VALUES",
        [
            (key, *piece, *(sign * value for value in sums.values()))
            for key, one in items
            for piece, sums in one.activity.items()
        ],
        _TO_THREAD_ACTIVITY,
    )
    insert_many(
        connection,
        "INSERT INTO thread_latencies VALUES",
        [
            (key, bucket, sign * calls)
            for key, one in items
            for bucket, calls in one.latencies.items()
        ],
        _TO_THREAD_LATENCIES,
    )


def subtract_threads(connection: sqlite3.Connection, threads: Mapping[int, ThreadTally]) -> None:
    """Subtract from the sums over each thread. Its first and last spans stay what they are."""
    connection.executemany(
        f"UPDATE threads SET {', '.join(f'{name} = {name} - ?' for name in SUMS)} WHERE key = ?",
        [(*one.values(), key) for key, one in threads.items()],
    )
    _add_plots(connection, threads, -1)


def delete_empty(connection: sqlite3.Connection, tally: Tally) -> None:
    """Delete the rows of rollups in which nothing is counted any more."""
    many = connection.executemany
    many("DELETE FROM activity WHERE width = ? AND start = ? AND spans = 0", tally.activity.keys())
    many(
        "DELETE FROM latencies WHERE width = ? AND start = ? AND bucket = ? AND calls = 0",
        tally.latencies.keys(),
    )
    items = tally.threads.items()
    many(
        "DELETE FROM thread_latencies WHERE thread = ? AND bucket = ? AND calls = 0",
        [(key, bucket) for key, one in items for bucket in one.latencies],
    )


def sum_up_anew(connection: sqlite3.Connection, key: int, arrived: int = 0) -> None:
    """Recompute the rollup of a thread from its spans. One without spans is deleted.

    Args:
        connection: In a transaction.
        key: The thread's key.
        arrived: When new ones of them arrived, in nanoseconds since the epoch.
    """
    for table in _OF_THREADS:
        connection.execute(f"DELETE FROM {table} WHERE thread = ?", (key,))
    tally = Tally(rows_of_thread(connection, key))
    if tally.threads:
        connection.execute(_RESET_THREAD, (key,))
        (thread_id,) = connection.execute("SELECT id FROM threads WHERE key = ?", (key,)).fetchone()
        add_threads(connection, tally.threads, {key: thread_id}, arrived)
        # The arrival of the remaining spans is not recorded. It was no later than the latest one's.
        connection.execute(
            "UPDATE threads SET active = min(active, last_active) WHERE key = ?", (key,)
        )
    else:
        connection.execute("DELETE FROM threads WHERE key = ?", (key,))


def rows_of_thread(connection: sqlite3.Connection, key: int) -> Iterator[Row]:
    """Yields the values of a thread's spans that go into sums."""
    found = connection.execute(
        f"SELECT {ROW_COLUMNS} FROM spans WHERE thread = ?",
        (key,),
    )
    return map(row_of, found)


def count_resources(connection: sqlite3.Connection, counts: Counter[int]) -> None:
    """Add to the numbers of spans and log records of resources."""
    connection.executemany(
        "UPDATE resources SET spans = spans + ? WHERE key = ?",
        [(count, key) for key, count in counts.items()],
    )
