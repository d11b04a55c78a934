"""Decides which thread each new span belongs to, and what of it counts, with the spans before it.

`conversation/calls.py` decides for whole traces. Most traces need none of it: their spans have the
thread's id, and tell of one call each. They are seen without reading anything from the file.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.facts import MODEL_CALLS, SUMMARIES, read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.store import sqlite_logs
from orq_otel.viewer.store.sqlite_rows import SPAN_COLUMNS, body_of, span_of, text

#: If a trace has more spans than this in the file, new ones are decided on without them.
_LONGEST: Final = 2_000
#: Of so many calls of a thread at the same time, none is compared with new ones.
_CROWD: Final = 100
#: How much earlier than a call another span may have begun that tells of it, in nanoseconds.
_EARLIER: Final = 3600 * 10**9
#: How long before or after a call a span may be that tells its result.
_BEFORE: Final = 600 * 10**9
#: SQLite before version 3.32 accepts no more than 999 parameters.
_PARAMETERS: Final = 900


class Change(NamedTuple):
    """A span in the file of which something else counts now.

    Attributes:
        seq: Its key.
        kept: The span, with what counts now.
    """

    seq: int
    kept: KeptSpan


class Plain(NamedTuple):
    """What is known of some new spans without the file.

    Attributes:
        traces: The places of the spans of each trace.
        involved: The traces whose spans need to be seen together.
        calls: The first start and the last end of the calls of each thread, and the scope of one.
    """

    traces: dict[str, list[int]]
    involved: set[str]
    calls: dict[str, tuple[int, int, str]]


def plain(spans: Sequence[KeptSpan]) -> Plain:  # noqa: C901 - one loop, over every span
    """Looks at new spans one by one."""
    traces: defaultdict[str, list[int]] = defaultdict(list)
    involved: set[str] = set()
    responses: set[str] = set()
    scopes: defaultdict[str, set[str]] = defaultdict(set)
    times: dict[str, tuple[int, int, str]] = {}
    for place, one in enumerate(spans):
        span, facts = one.span, one.facts
        trace_id, thread_id, operation = span.trace_id, facts.thread_id, facts.operation
        traces[trace_id].append(place)
        said = facts.said
        if said is None:  # facts that no span has told
            involved.add(trace_id)
            continue
        if thread_id is None:
            if said.is_genai or said.session_id is not None:
                involved.add(trace_id)
            continue
        if facts.is_error or operation in SUMMARIES or span.parent_id is not None:
            involved.add(trace_id)
        if facts.is_model_call or operation in MODEL_CALLS:
            response = said.response_id
            if response is None or response in responses or said.is_record:
                involved.add(trace_id)
            else:
                responses.add(response)
            scopes[thread_id].add(span.scope)
            start, end = span.start, span.end
            known = times.get(thread_id)
            if known is None:
                times[thread_id] = start, end, span.scope
            elif start < known[0] or end > known[1]:
                times[thread_id] = min(known[0], start), max(known[1], end), span.scope
    several = {thread_id for thread_id, some in scopes.items() if len(some) > 1}
    if several:
        involved.update(one.span.trace_id for one in spans if one.facts.thread_id in several)
    return Plain(dict(traces), involved, times)


def decide(
    connection: sqlite3.Connection,
    spans: Sequence[KeptSpan],
    known: Plain,
    recorded: Collection[str] = (),
) -> tuple[dict[int, KeptSpan], list[Change]]:
    """Decides on new spans.

    Args:
        connection: Where the spans before them are, in a transaction.
        spans: The new spans, by their facts alone.
        known: What `plain` has found.
        recorded: The traces of which new log records tell usage.

    Returns:
        The new spans of which something else counts than they say, by their places, and what
        changes for spans in the file.
    """
    there = _there(connection, (*known.traces, *recorded))
    involved = _involved(connection, spans, known, there)
    involved.update(recorded)
    if not involved:
        return {}, []
    stored: dict[calls.Key, tuple[int, KeptSpan]] = {}
    for trace_id in involved & there.keys():
        for seq, kept in _of_trace(connection, trace_id):
            stored[kept.span.trace_id, kept.span.span_id] = seq, kept
    nodes = {key: _node(kept) for key, (_, kept) in stored.items()}
    new: dict[calls.Key, int] = {}
    for trace_id in involved:
        for place in known.traces.get(trace_id, ()):
            one = spans[place]
            key = (trace_id, one.span.span_id)
            if key not in nodes:
                nodes[key] = calls.node_of(one.span, one.facts)
                new[key] = place
    others: dict[calls.Key, tuple[int, KeptSpan, calls.Node]] = {}

    def find_others(told: list[calls.Node]) -> list[calls.Node]:
        for seq, key, thread in _others(connection, told):
            if key not in nodes and key not in others:
                kept = span_at(connection, seq)
                node = _node(kept)
                node.thread, node.counts = thread, kept.facts.is_model_call
                node.is_failure = kept.facts.is_error
                others[key] = seq, kept, node
        return [node for *_, node in others.values()]

    calls.decide(list(nodes.values()), find_others)
    decided = {
        place: changed
        for key, place in new.items()
        if (changed := calls.decided(spans[place], nodes[key])) is not spans[place]
    }
    changes = [
        Change(seq, changed)
        for key, (seq, kept) in stored.items()
        if (changed := calls.decided(_raw(kept), nodes[key])).facts != kept.facts
    ]
    changes += [
        Change(seq, changed)
        for seq, kept, node in others.values()
        if (changed := calls.decided(_raw(kept), node)).facts != kept.facts
    ]
    return decided, changes


def _involved(
    connection: sqlite3.Connection,
    spans: Sequence[KeptSpan],
    known: Plain,
    there: dict[str, bool],
) -> set[str]:
    """Returns the traces whose spans need to be seen together, with what the file has."""
    involved = set(known.involved)
    for trace_id, has_thread in there.items():
        if has_thread or any(_matters(spans[place]) for place in known.traces.get(trace_id, ())):
            involved.add(trace_id)
    shared = _shared(connection, spans, known)
    if shared:
        involved.update(one.span.trace_id for one in spans if one.facts.thread_id in shared)
    return involved


def _matters(kept: KeptSpan) -> bool:
    facts, said = kept.facts, kept.facts.said
    if facts.thread_id is not None or said is None:
        return True
    return said.is_genai or said.session_id is not None


def _raw(kept: KeptSpan) -> KeptSpan:
    """Returns a span of the file with its own facts, as when it arrived."""
    facts = read(kept.span)
    stored = kept.facts
    usage = facts.said.usage if facts.said else None
    told = None if usage is None else (usage.input_tokens, usage.output_tokens)
    if stored.cost is not None and told in {None, (stored.input_tokens, stored.output_tokens)}:
        # The price was that of the day, and may be rounded. Records of more calls change it.
        facts = replace(facts, cost=stored.cost)
    return KeptSpan(kept.span, replace(facts, title=stored.title, tags=stored.tags))


def _node(kept: KeptSpan) -> calls.Node:
    return calls.node_of(kept.span, read(kept.span, is_brief=True))


def _there(connection: sqlite3.Connection, traces: Iterable[str]) -> dict[str, bool]:
    """Returns the traces that have spans in the file, and whether any belongs to a thread."""
    found: dict[str, bool] = {}
    for some in _pieces(list(dict.fromkeys(traces))):
        marks = ",".join("?" * len(some))
        rows = connection.execute(
            "SELECT trace_id, COUNT(*), COUNT(thread) FROM spans"
            f" WHERE trace_id IN ({marks}) GROUP BY trace_id",
            [bytes.fromhex(one) for one in some],
        )
        for trace_id, spans, threads in rows:
            if spans <= _LONGEST:
                found[trace_id.hex()] = threads > 0
    return found


def _shared(connection: sqlite3.Connection, spans: Sequence[KeptSpan], known: Plain) -> set[str]:
    """Returns the threads in which another instrumentation may tell of calls of plain traces.

    Calls of one instrumentation tell their responses' ids, and are told apart by them.
    """
    involved = {
        spans[place].facts.thread_id for one in known.involved for place in known.traces[one]
    }
    found = set()
    for thread, (begin, end, scope) in known.calls.items():
        if thread not in involved:
            rows = connection.execute(
                f"{_CALLS} AND scope <> ? LIMIT 1",
                (text(thread), begin - _EARLIER, end, begin, text(scope)),
            )
            if rows.fetchone() is not None:
                found.add(thread)
    return found


#: Calls in the file, of a thread, that may be those of other spans.
_CALLS: Final = (
    "SELECT seq, trace_id, span_id, scope, operation FROM spans"
    " WHERE thread = (SELECT key FROM threads WHERE id = ?)"
    " AND start BETWEEN ? AND ? AND end >= ?"
)


def _others(
    connection: sqlite3.Connection, told: Iterable[calls.Node]
) -> Iterator[tuple[int, calls.Key, str]]:
    """Yields the calls of the same threads at the same time, each with its thread.

    None where there is a crowd of them, in which nobody can tell which two are the same, and none
    where nobody else tells of calls: then they need not be read.
    """
    threads: defaultdict[str, list[calls.Node]] = defaultdict(list)
    for one in told:
        if one.thread is not None:
            threads[one.thread].append(one)
    for thread, nodes in threads.items():
        begin, end = min(one.start for one in nodes), max(one.end for one in nodes)
        rows = connection.execute(
            f"{_CALLS} AND operation IS NOT NULL LIMIT {_CROWD}",
            (text(thread), begin - _EARLIER, end + _BEFORE, begin - _BEFORE),
        ).fetchall()
        if len(rows) < _CROWD and calls.may_be_told_by(nodes, {one[3:] for one in rows}):
            for seq, trace_id, span_id, *_ in rows:
                yield seq, (trace_id.hex(), span_id.hex()), thread


def _of_trace(connection: sqlite3.Connection, trace_id: str) -> Iterator[tuple[int, KeptSpan]]:
    found = connection.execute(
        "SELECT seq FROM spans WHERE trace_id = ?", (bytes.fromhex(trace_id),)
    )
    for (seq,) in found.fetchall():
        yield seq, span_at(connection, seq)


def span_at(connection: sqlite3.Connection, seq: int) -> KeptSpan:
    """Returns a span of the file with records of its calls' usage, without its resource."""
    *row, body, thread = connection.execute(
        f"SELECT {SPAN_COLUMNS}, body, (SELECT id FROM threads WHERE key = spans.thread)"
        " FROM spans WHERE seq = ?",
        (seq,),
    ).fetchone()
    key = (row[1], row[2])
    whole = body_of(body)
    if sqlite_logs.recorded(connection, (key,)):
        whole = sqlite_logs.with_events(whole, sqlite_logs.details_of(connection, key))
    return span_of(tuple(row), whole, thread, "", {})


def _pieces(values: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
