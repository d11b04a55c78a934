"""Evaluations and feedback in a SQLite file, and the threads that they belong to.

They come before or after the spans that they are about. Triggers count them for their threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

from orq_otel.viewer.conversation.evaluations import verdict
from orq_otel.viewer.model.telemetry import EVALUATION

#: The thread that a log record names, or that of its span, or the first of its trace.
_THREAD: Final = (
    "coalesce((SELECT key FROM threads WHERE id = logs.thread),"
    " (SELECT thread FROM spans WHERE trace_id = logs.trace_id AND span_id = logs.span_id),"
    " (SELECT thread FROM spans WHERE trace_id = logs.trace_id AND thread IS NOT NULL"
    " ORDER BY start, span_id LIMIT 1))"
)
#: SQLite before version 3.32 accepts no more than 999 parameters.
_PARAMETERS: Final = 900

__all__ = ["add", "join", "part", "verdict"]


def add(connection: sqlite3.Connection, verdicts: Iterable[tuple[int, int]]) -> None:
    """Add evaluations: the keys of their log records, and whether they are good or bad."""
    connection.executemany("INSERT OR IGNORE INTO evaluations VALUES (?, NULL, ?)", verdicts)


def part(connection: sqlite3.Connection, keys: Iterable[tuple[bytes, bytes]]) -> None:
    """Take evaluations from their threads, since their spans belong to other ones now."""
    connection.executemany(
        "UPDATE evaluations SET thread = NULL WHERE log IN"
        f" (SELECT key FROM logs WHERE trace_id = ? AND span_id = ? AND name = '{EVALUATION}')",
        keys,
    )


def join(
    connection: sqlite3.Connection,
    logs: Iterable[int],
    traces: Iterable[bytes],
    threads: Iterable[str],
) -> None:
    """Find the threads of evaluations that have none yet.

    Args:
        connection: In a transaction.
        logs: Their keys, if they have just come.
        traces: Traces with new spans.
        threads: The ids of new threads.
    """
    if not _first(connection, "SELECT 1 FROM evaluations WHERE thread IS NULL LIMIT 1"):
        return
    waiting = set(logs)
    for column, values in (("trace_id", list(dict.fromkeys(traces))), ("thread", list(threads))):
        for some in _pieces(values):
            marks = ",".join("?" * len(some))
            waiting.update(
                key
                for (key,) in connection.execute(
                    f"SELECT key FROM logs WHERE {column} IN ({marks}) AND name = '{EVALUATION}'",
                    some,
                )
            )
    for key in waiting:
        thread = _first(connection, f"SELECT {_THREAD} FROM logs WHERE key = ?", key)
        if thread is not None:
            connection.execute(
                "UPDATE evaluations SET thread = ? WHERE log = ? AND thread IS NULL", (thread, key)
            )


def _first(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    found = connection.execute(query, values).fetchone()
    return None if found is None else found[0]


def _pieces(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
