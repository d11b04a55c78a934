"""Reads the spans again that an earlier release has written to a file, in the background.

What they say is read by the dialects of this release, so that threads gain ids, texts and tokens
that were not known as such when the spans arrived. Until then, they count as they did.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.texts import texts_of, tool_of
from orq_otel.viewer.model.facts import Estimate
from orq_otel.viewer.model.ids import digest
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.store import (
    sqlite_feedback,
    sqlite_groups,
    sqlite_logs,
    sqlite_search,
    sqlite_sums,
)
from orq_otel.viewer.store.deciding import SHORT, above, span_at
from orq_otel.viewer.store.sqlite_rows import (
    ADD_CALLS,
    FACTS,
    ROW_COLUMNS,
    facts_row,
    optional,
    row_of,
    text,
)
from orq_otel.viewer.store.tally import Row, Tally

#: So many spans are read at a time, each with all others of its trace.
_SPANS: Final = 50


def read_some(connection: sqlite3.Connection, until: int) -> int | None:
    """Read the latest spans up to a key again. In a transaction.

    Returns:
        The key of the next, or None if none is left.
    """
    window = connection.execute(
        "SELECT seq, trace_id FROM spans WHERE seq <= ? ORDER BY seq DESC LIMIT ?", (until, _SPANS)
    ).fetchall()
    if not window:
        return None
    keys = {seq for seq, _ in window}
    long: dict[str, set[str]] = {}
    traces = list(dict.fromkeys(trace_id for _, trace_id in window))
    for trace_id in traces:
        found = connection.execute(
            "SELECT seq FROM spans WHERE trace_id = ? LIMIT ?", (trace_id, SHORT + 1)
        ).fetchall()
        if len(found) <= SHORT:
            keys.update(seq for (seq,) in found)
        else:  # they are read with those above them, and what others decide stays as it was
            keys.update(above(connection, trace_id, [seq for seq, of in window if of == trace_id]))
            threads = connection.execute(
                "SELECT DISTINCT threads.id FROM spans JOIN threads ON threads.key = spans.thread"
                " WHERE trace_id = ?",
                (trace_id,),
            )
            long[trace_id.hex()] = {thread for (thread,) in threads}
    _read_again(connection, sorted(keys), long)
    sqlite_feedback.join(connection, (), traces, ())
    return int(window[-1][0]) - 1 if len(window) == _SPANS else None


def _read_again(
    connection: sqlite3.Connection, keys: Iterable[int], long: Mapping[str, Collection[str]]
) -> None:
    """Read some spans again.

    Args:
        connection: Where they are.
        keys: Their keys.
        long: The threads of long traces, of which not all spans are read.
    """
    spans: dict[int, KeptSpan] = {}
    nodes: dict[calls.Key, calls.Node] = {}
    for seq in keys:
        stored = span_at(connection, seq)
        spans[seq] = kept = _again(stored)
        node = calls.node_of(kept.span, kept.facts)
        if node.key[0] in long and kept.facts.operation == stored.facts.operation:
            facts = stored.facts
            node.before = calls.Before(facts.thread_id, facts.is_model_call, facts.is_error)
            node.is_partial = True
        nodes[node.key] = node
    calls.decide(list(nodes.values()), threads=long)
    old, new = Tally(), Tally()
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, spans), -1)
    for seq, kept in spans.items():
        decided = calls.decided(kept, nodes[kept.span.trace_id, kept.span.span_id])
        before, after = _set(connection, seq, decided)
        old.add(before)
        new.add(after)
        if before.thread != after.thread:
            sqlite_feedback.part(connection, [(before.trace_id, before.span_id)])
        if sqlite_search.is_possible(connection):
            if before.thread not in {None, after.thread}:
                sqlite_search.forget(connection, [seq])
            if after.thread is not None:
                texts = texts_of(kept.span, kept.facts)
                sqlite_search.add(connection, [(after.thread, seq, texts)])
                sqlite_search.add_with_logs(connection, [(after.trace_id, after.span_id)])
    found = {seq: sqlite_logs.response_of(kept.span.attributes) for seq, kept in spans.items()}
    responses = {seq: response for seq, response in found.items() if response is not None}
    sqlite_logs.add_responses(connection, responses)
    sqlite_sums.add(connection, old, -1)
    sqlite_sums.add(connection, new, 1)
    sqlite_sums.delete_empty(connection, old)
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, spans))
    threads = {**old.threads, **new.threads}
    with sqlite_groups.summed_anew(connection, threads):
        for key in threads:
            sqlite_sums.sum_up_anew(connection, key, time.time_ns())
    sqlite_groups.choose(connection)


def _again(kept: KeptSpan) -> KeptSpan:
    facts = read(kept.span)
    if facts.cost is not None and kept.facts.cost is not None:
        cost = kept.facts.cost  # the price of its day
        is_estimate = isinstance(facts.cost, Estimate)
        facts = replace(facts, cost=Estimate(cost) if is_estimate else cost)
    return KeptSpan(kept.span, facts)


def _set(connection: sqlite3.Connection, seq: int, kept: KeptSpan) -> tuple[Row, Row]:
    """Set what is read again. Returns what of the span went into sums, and what does now."""
    row = f"SELECT {ROW_COLUMNS} FROM spans WHERE seq = ?"
    before = row_of(connection.execute(row, (seq,)).fetchone())
    facts = kept.facts
    thread = None if facts.thread_id is None else _key(connection, text(facts.thread_id))
    title = before.title if facts.title is None else facts.title  # it may stand in a log record
    connection.execute(
        f"UPDATE spans SET thread = ?, tool = ?, {FACTS} WHERE seq = ?",
        (
            thread,
            optional(tool_of(kept.span, facts)),
            *facts_row(replace(facts, title=title)),
            seq,
        ),
    )
    connection.execute("DELETE FROM calls WHERE thread = ? AND span = ?", (before.thread, seq))
    connection.execute(f"{ADD_CALLS} AND seq = ?", (seq,))
    return before, row_of(connection.execute(row, (seq,)).fetchone())


def _key(connection: sqlite3.Connection, thread: str) -> int:
    """Returns the key of a thread, which is made if it is not there."""
    connection.execute(
        "INSERT OR IGNORE INTO threads (id, folded, digest) VALUES (?, ?, ?)",
        (thread, thread.lower(), digest(thread)),
    )
    (key,) = connection.execute("SELECT key FROM threads WHERE id = ?", (thread,)).fetchone()
    return int(key)
