"""Reads the spans of a file again that an earlier release has written.

What they say is read by the dialects of this release, so that threads gain ids, texts and tokens
that were not known as such when the spans arrived.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from orq_otel.viewer import model
from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model import KeptSpan
from orq_otel.viewer.store import sqlite_sums
from orq_otel.viewer.store.deciding import span_at
from orq_otel.viewer.store.sqlite_logs import add_responses, response_of
from orq_otel.viewer.store.sqlite_rows import FACTS, facts_row, text

_log = logging.getLogger(__name__)

#: So many traces are read at a time.
_TRACES: Final = 200


def read_again(connection: sqlite3.Connection) -> None:
    """Read all spans again, and sum them up anew. In a transaction."""
    (count,) = connection.execute("SELECT COUNT(*) FROM spans").fetchone()
    if not count:
        return
    _log.warning("The file is of an earlier release. Its %s spans are read again.", f"{count:,}")
    keys: dict[str, int] = dict(connection.execute("SELECT id, key FROM threads").fetchall())
    for traces in _traces(connection):
        spans = [(seq, _again(span_at(connection, seq))) for seq in traces]
        nodes = calls.of_spans(kept for _, kept in spans)
        for seq, kept in spans:
            decided = calls.decided(kept, nodes[kept.span.trace_id, kept.span.span_id])
            thread = decided.facts.thread_id
            key = None if thread is None else _key(connection, keys, text(thread))
            connection.execute(
                f"UPDATE spans SET thread = ?, {FACTS} WHERE seq = ?",
                (key, *facts_row(decided.facts), seq),
            )
        found = {seq: response_of(kept.span.attributes) for seq, kept in spans}
        responses = {seq: response for seq, response in found.items() if response is not None}
        add_responses(connection, responses)
    sqlite_sums.sum_up_all(connection, time.time_ns())


def _again(kept: KeptSpan) -> KeptSpan:
    facts = read(kept.span)
    if facts.cost is not None and kept.facts.cost is not None:
        facts = replace(facts, cost=kept.facts.cost)  # the price of its day
    return KeptSpan(kept.span, facts)


def _traces(connection: sqlite3.Connection) -> Iterator[list[int]]:
    """Yields the keys of spans, those of some traces at a time."""
    last = b""
    while True:
        found = connection.execute(
            "SELECT DISTINCT trace_id FROM spans WHERE trace_id > ? ORDER BY trace_id LIMIT ?",
            (last, _TRACES),
        ).fetchall()
        if not found:
            return
        first, last = found[0][0], found[-1][0]
        rows = connection.execute(
            "SELECT seq FROM spans WHERE trace_id BETWEEN ? AND ?", (first, last)
        )
        yield [seq for (seq,) in rows.fetchall()]


def _key(connection: sqlite3.Connection, keys: dict[str, int], thread: str) -> int:
    if thread not in keys:
        inserted = connection.execute(
            "INSERT INTO threads (id, folded, digest) VALUES (?, ?, ?)",
            (thread, thread.lower(), model.digest(thread)),
        )
        keys[thread] = int(inserted.lastrowid or 0)
    return keys[thread]
