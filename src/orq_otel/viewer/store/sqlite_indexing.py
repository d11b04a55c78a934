"""Reads what a file of an earlier release has for the tables that threads are found by.

Newer rows first, a few in a transaction, so that nobody who writes or reads waits for it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from orq_otel.viewer.conversation.evaluations import verdict
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.texts import texts_of, tool_of
from orq_otel.viewer.model.telemetry import EVALUATION
from orq_otel.viewer.store import (
    rereading,
    sqlite_feedback,
    sqlite_groups,
    sqlite_logs,
    sqlite_search,
)
from orq_otel.viewer.store.deciding import span_at
from orq_otel.viewer.store.sqlite_rows import (
    ADD_CALLS,
    ADD_FACET,
    ROW_COLUMNS,
    optional,
    row_of,
    who,
)

#: So many spans are read in one transaction, and so many keys of log records.
_SPANS: Final = 100
_LOGS: Final = 2_000


def is_left(connection: sqlite3.Connection) -> bool:
    """Whether rows are left to be read."""
    return connection.execute("SELECT 1 FROM unindexed LIMIT 1").fetchone() is not None


def step(connection: sqlite3.Connection) -> bool:
    """Read some rows. Returns whether there were any. In a transaction."""
    for source, read_some in (
        ("logs", _logs),
        ("again", rereading.read_some),
        ("spans", _spans),
    ):
        found = connection.execute("SELECT until FROM unindexed WHERE source = ?", (source,))
        row = found.fetchone()
        if row is None:
            continue
        until = read_some(connection, row[0])
        connection.execute(
            "DELETE FROM unindexed WHERE source = ?1"
            if until is None
            else "UPDATE unindexed SET until = ?2 WHERE source = ?1",
            (source, until) if until is not None else (source,),
        )
        connection.execute("UPDATE changes SET count = count + 1")
        return True
    return False


def _spans(connection: sqlite3.Connection, until: int) -> int | None:
    """Reads the latest spans up to a key. Returns the key of the next, or None if none is left."""
    keys = [
        seq
        for (seq,) in connection.execute(
            "SELECT seq FROM spans WHERE seq <= ? ORDER BY seq DESC LIMIT ?", (until, _SPANS)
        )
    ]
    threads = _threads_of(connection, keys)
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, keys), -1)
    with sqlite_groups.summed_anew(connection, threads):
        for seq in keys:
            span = span_at(connection, seq).span
            facts = read(span, is_brief=True)
            connection.execute(
                "UPDATE spans SET user = ?, agent = ?, tool = ? WHERE seq = ?",
                (
                    *who(facts),
                    optional(tool_of(span, facts)),
                    seq,
                ),
            )
            row = row_of(
                connection.execute(
                    f"SELECT {ROW_COLUMNS} FROM spans WHERE seq = ?", (seq,)
                ).fetchone()
            )
            if row.thread is None:
                continue
            connection.executemany(ADD_FACET, [(row.thread, *one) for one in row.facets()])
            connection.execute(f"{ADD_CALLS} AND seq = ?", (seq,))
            if sqlite_search.is_possible(connection):
                key = (row.trace_id, row.span_id)
                sqlite_search.add(connection, [(row.thread, seq, texts_of(span, facts))])
                if sqlite_logs.events_of(connection, key):
                    sqlite_search.add_with_logs(connection, [key])
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, keys))
    sqlite_groups.choose(connection)
    return keys[-1] - 1 if len(keys) == _SPANS else None


def _threads_of(connection: sqlite3.Connection, spans: Iterable[int]) -> list[int]:
    found = connection.execute(
        "SELECT DISTINCT thread FROM spans WHERE thread IS NOT NULL"
        " AND seq IN (SELECT value FROM json_each(?))",
        (json.dumps(list(spans)),),
    )
    return [thread for (thread,) in found]


def _logs(connection: sqlite3.Connection, until: int) -> int | None:
    """Finds evaluations among log records, likewise."""
    found = connection.execute(
        "SELECT key FROM logs WHERE key <= ? ORDER BY key DESC LIMIT ?", (until, _LOGS)
    ).fetchall()
    if not found:
        return None
    least = found[-1][0]
    evaluations = [
        (key, told)
        for key, name, body in connection.execute(
            "SELECT key, name, body FROM logs WHERE key BETWEEN ? AND ? AND name = ?",
            (least, until, EVALUATION),
        ).fetchall()
        if (told := verdict(sqlite_logs.record_of(name, 0, body))) is not None
    ]
    sqlite_feedback.add(connection, evaluations)
    sqlite_feedback.join(connection, [key for key, _ in evaluations], (), ())
    return int(least) - 1 if len(found) == _LOGS else None
