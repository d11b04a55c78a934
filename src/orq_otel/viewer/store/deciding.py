"""Decides which thread each new span belongs to, and what of it counts, with the spans before it.

`conversation/calls.py` decides for whole traces. Most traces need none of it: their spans have the
thread's id, and report one call each. They are seen without reading anything from the file.

Of a long trace, only those spans are read that have to do with new ones: what is above and below
them, and what arrived shortly before. When it gets its first thread, and its second, the thread of
any span may change: until the second, one is lent to all of it. Then, and where thousands of
spans are below new ones, it is noted in `undecided`, and decided on as a whole in the background, a
few changes in a transaction.
"""

from __future__ import annotations

import functools
import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.as_told import is_as_told, threads_of
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.nodes import FETCHES
from orq_otel.viewer.model.facts import MODEL_CALLS, SUMMARIES, Facts
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store import sqlite_logs
from orq_otel.viewer.store.sqlite_rows import SPAN_COLUMNS, body_of, span_of, text

_log = logging.getLogger(__name__)

#: A trace is long if it has more spans than this in the file.
SHORT: Final = 2_000
#: Of a long trace, so many of the spans that arrived last are read for new ones.
_LATEST: Final = 1_000
#: As a whole, no more spans than this are read of a trace: the latest.
_MOST: Final = 50_000
#: Of so many calls of a thread at the same time, none is compared with new ones.
_CROWD: Final = 100
#: How much earlier than a call another span may have begun that reports it, in nanoseconds.
_EARLIER: Final = 3600 * 10**9
#: How long before or after a call a span may be that tells its result.
_BEFORE: Final = 600 * 10**9
_T = TypeVar("_T")

#: SQLite before version 3.32 accepts no more than 999 parameters.
_PARAMETERS: Final = 900


class Change(NamedTuple):
    """A span in the file of which something else counts now.

    Attributes:
        seq: Its key.
        kept: The span, with what counts now.
        before: What has counted.
    """

    seq: int
    kept: KeptSpan
    before: Facts


class Undecided(NamedTuple):
    """A long trace that is decided on as a whole.

    Attributes:
        trace_id: Its id.
        notes: How often that was noted.
        changes: What changes for its spans.
    """

    trace_id: bytes
    notes: int
    changes: list[Change]


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
    bare: set[str] = set()
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
            (involved if said.is_genai or said.session_id is not None else bare).add(trace_id)
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
    for trace_id in bare - involved:  # the thread of one span is that of those below it
        if any(spans[place].facts.thread_id is not None for place in traces[trace_id]):
            involved.add(trace_id)
    return Plain(dict(traces), involved, times)


def decide(
    connection: sqlite3.Connection,
    spans: Sequence[KeptSpan],
    known: Plain,
    recorded: Collection[sqlite_logs.Key] = (),
) -> tuple[dict[int, KeptSpan], list[Change], list[bytes]]:
    """Decides on new spans.

    Args:
        connection: Where the spans before them are, in a transaction.
        spans: The new spans, by their facts alone.
        known: What `plain` has found.
        recorded: The spans of which new log records tell usage.

    Returns:
        The new spans of which something else counts than they say, by their places, what changes
        for spans in the file, and the traces that are to be decided on as a whole.
    """
    touched = {trace_id: [spans[at].span for at in of] for trace_id, of in known.traces.items()}
    told: defaultdict[str, list[bytes]] = defaultdict(list)
    for trace_id, span_id in recorded:
        told[trace_id.hex()].append(span_id)
    there, counts = _there(connection, (*known.traces, *told))
    long = {
        trace_id: _Long(
            connection, trace_id, count, touched.get(trace_id, ()), told.get(trace_id, ())
        )
        for trace_id, count in counts.items()
    }
    there.update({trace_id: bool(one.threads) for trace_id, one in long.items()})
    involved = _involved(connection, spans, known, there)
    involved.update(told)
    if not involved:
        return {}, [], []
    long = {trace_id: one for trace_id, one in long.items() if trace_id in involved}
    decision = _Decision(connection, spans, known, involved, there, long, told)
    undecided = [
        bytes.fromhex(trace_id)
        for trace_id, one in long.items()
        if one.is_left or one.is_other(decision.threads(trace_id))
    ]
    return decision.new_spans(), decision.changes(), undecided


def undecided(connection: sqlite3.Connection) -> Undecided | None:
    """Decides on a trace that was noted, as a whole. Returns None if none was.

    It takes seconds, and writes nothing: nobody has to wait for it. What comes meanwhile is decided
    on with what is above it, and needs none of it.
    """
    row = connection.execute("SELECT trace_id, notes FROM undecided LIMIT 1").fetchone()
    if row is None:
        return None
    name = row[0].hex()
    _, counts = _there(connection, [name])
    long = {name: _Long(connection, name, count, latest=_MOST) for name, count in counts.items()}
    decision = _Decision(connection, (), Plain({}, set(), {}), {name}, {name}, long)
    return Undecided(row[0], row[1], decision.changes())


class _Decision:
    """What is decided on new spans of some traces, and on those in the file.

    Args:
        connection: Where the spans before them are.
        spans: The new spans.
        known: What `plain` has found.
        involved: The traces whose spans need to be seen together.
        there: The traces that have spans in the file.
        long: Those of them that are long, with what is read of them.
        told: The traces of which new log records tell usage.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a decision depends on
        self,
        connection: sqlite3.Connection,
        spans: Sequence[KeptSpan],
        known: Plain,
        involved: Collection[str],
        there: Collection[str],
        long: Mapping[str, _Long],
        told: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._spans = spans
        self._stored: dict[calls.Key, tuple[int, KeptSpan]] = {}
        self._nodes: dict[calls.Key, calls.Node] = {}
        self._new: dict[calls.Key, int] = {}
        self._others: dict[calls.Key, tuple[int, KeptSpan, calls.Node]] = {}
        as_told = _as_told(connection, spans, known, set(involved).difference(there, told))
        apart = {trace_id for traces in as_told.values() for trace_id in traces}
        for trace_id in involved:
            if trace_id not in apart:
                if trace_id in there:
                    self._read(trace_id, long.get(trace_id))
                self._add(known, trace_id)
        # Calls of a thread are compared with each other.
        for thread in {one for node in self._nodes.values() for one in threads_of(node)}:
            for trace_id in as_told.get(thread, ()):
                self._add(known, trace_id)
        threads = {trace_id: one.threads for trace_id, one in long.items() if one.is_partial}
        calls.decide(list(self._nodes.values()), self._find_others, threads)

    def _add(self, known: Plain, trace_id: str) -> None:
        for place in known.traces.get(trace_id, ()):
            one = self._spans[place]
            key = (trace_id, one.span.span_id)
            if key not in self._nodes:
                self._nodes[key] = calls.node_of(one.span, one.facts)
                self._new[key] = place

    def _read(self, trace_id: str, long: _Long | None) -> None:
        seqs = _of_trace(self._connection, trace_id) if long is None else long.seqs()
        for seq in seqs:
            kept = span_at(self._connection, seq)
            key = (trace_id, kept.span.span_id)
            self._stored[key] = seq, kept
            is_partial = long is not None and long.is_partial and not long.is_told(key)
            self._nodes[key] = _node(kept, is_partial=is_partial)

    def _find_others(self, told: list[calls.Node]) -> list[calls.Node]:
        for seq, key in _others(self._connection, told):
            if key not in self._nodes and key not in self._others:
                kept = span_at(self._connection, seq)
                node = _node(kept, is_partial=True)
                node.thread, node.counts, node.is_failure = node.before or (None, False, False)
                self._others[key] = seq, kept, node
        return [node for *_, node in self._others.values()]

    def threads(self, trace_id: str) -> set[str]:
        """Returns the threads of the spans of a trace."""
        found = (one.thread for one in self._nodes.values() if one.key[0] == trace_id)
        return {thread for thread in found if thread is not None}

    def new_spans(self) -> dict[int, KeptSpan]:
        """Returns the new spans of which something else counts than they say, by their places."""
        spans, nodes = self._spans, self._nodes
        return {
            place: changed
            for key, place in self._new.items()
            if (changed := calls.decided(spans[place], nodes[key])) is not spans[place]
        }

    def changes(self) -> list[Change]:
        """Returns what changes for spans in the file."""
        decided = [(seq, kept, self._nodes[key]) for key, (seq, kept) in self._stored.items()]
        return [
            Change(seq, changed, kept.facts)
            for seq, kept, node in (*decided, *self._others.values())
            if not _is_unchanged(kept.facts, node)
            and (changed := calls.decided(_raw(kept), node)).facts != kept.facts
        ]


class _Long:
    """What is read of a long trace for new spans of it.

    Attributes:
        threads: The threads that it belongs to in the file.
        is_left: Whether too many spans are below new ones to read them now.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is new of a trace
        self,
        connection: sqlite3.Connection,
        trace_id: str,
        count: int,
        new: Sequence[Span] = (),
        told: Collection[bytes] = (),
        latest: int = _LATEST,
    ) -> None:
        self._connection = connection
        self._trace = bytes.fromhex(trace_id)
        self._count = count
        self._told = told
        self._ids = {bytes.fromhex(one.span_id) for one in new}
        parents = {bytes.fromhex(one.parent_id) for one in new if one.parent_id is not None}
        self._wanted = (parents | set(told)) - self._ids
        self._latest = self._last(latest)
        if latest == _MOST < count:
            _log.warning(
                "Trace %s has %s spans. It is decided on with no more than %s of them, the latest:"
                " others may stay without their thread, or count twice.",
                *(trace_id, f"{count:,}", f"{_MOST:,}"),
            )
        self.threads: set[str] = set()
        is_parent = False
        ids = list(self._ids)
        for some in _pieces(ids) if ids else [[]]:
            rows = connection.execute(
                "SELECT DISTINCT (SELECT id FROM threads WHERE key = thread), waits FROM ("
                f"SELECT DISTINCT thread, parent_id IN ({','.join('?' * len(some))}) AND seq < ?"
                " AS waits FROM spans WHERE trace_id = ?)",
                (*some, self._latest[-1], self._trace),
            ).fetchall()
            self.threads.update(thread for thread, _ in rows if thread is not None)
            is_parent = is_parent or any(waits for _, waits in rows)
        # Earlier ones may have waited for new ones.
        below = self._find_below() if is_parent else []
        self.is_left = len(below) > SHORT
        self._below = [] if self.is_left else below

    @property
    def is_partial(self) -> bool:
        """Whether spans of it are not read."""
        return len(self._latest) < self._count

    def is_told(self, key: calls.Key) -> bool:
        """Whether new log records tell more of a span than was known before."""
        return bytes.fromhex(key[1]) in self._told

    def is_other(self, threads: Collection[str]) -> bool:
        """Whether it gets its first or second thread, so that the thread of any span may change."""
        return len(self.threads) < 2 and not self.threads.issuperset(threads)  # noqa: PLR2004

    def seqs(self) -> list[int]:
        """Returns the keys of the spans that are read."""
        found = list(dict.fromkeys((*self._latest, *self._below)))
        return found + above(self._connection, self._trace, found, self._wanted, self._ids)

    def _last(self, count: int) -> list[int]:
        rows = self._connection.execute(
            "SELECT seq FROM spans WHERE trace_id = ? ORDER BY seq DESC LIMIT ?",
            (self._trace, count),
        )
        return [seq for (seq,) in rows]

    def _find_below(self) -> list[int]:
        """Returns the earlier spans below new ones."""
        children: defaultdict[bytes | None, list[tuple[int, bytes]]] = defaultdict(list)
        for seq, span_id, parent_id in self._connection.execute(
            "SELECT seq, span_id, parent_id FROM spans WHERE trace_id = ?", (self._trace,)
        ):
            children[parent_id].append((seq, span_id))
        found: list[int] = []
        waiting: list[bytes] = list(self._ids)
        while waiting:
            below = children.pop(waiting.pop(), ())
            found += [seq for seq, _ in below]
            waiting += [span_id for _, span_id in below]
        return sorted(found, reverse=True)


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


def _as_told(
    connection: sqlite3.Connection,
    spans: Sequence[KeptSpan],
    known: Plain,
    new: Iterable[str],
) -> dict[str, list[str]]:
    """Returns those of some new traces that count as they say, by their threads.

    Nothing else of a thread reports their calls: neither the file, nor another scope beside them.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    of_calls: dict[str, tuple[int, int, str]] = {}
    several: set[str] = set()
    for trace_id in new:
        trace = [spans[place] for place in known.traces.get(trace_id, ())]
        if not trace or not is_as_told(trace):
            continue
        thread = str(trace[0].facts.thread_id)
        found[thread].append(trace_id)
        for one in trace:
            if one.facts.is_model_call:
                span = one.span
                start, end, scope = of_calls.get(thread, (span.start, span.end, span.scope))
                if scope != span.scope:
                    several.add(thread)
                of_calls[thread] = min(start, span.start), max(end, span.start, span.end), scope
    for thread, (begin, end, scope) in of_calls.items():
        count, is_any = connection.execute(
            f"SELECT count(*), max({_MAY_TELL}) FROM ({_CALLS_AROUND} LIMIT {_CROWD})",
            (text(scope), text(thread), begin - _EARLIER, end + _BEFORE, begin - _BEFORE),
        ).fetchone()
        if thread in several or (is_any and count < _CROWD):
            del found[thread]
    return found


def _matters(kept: KeptSpan) -> bool:
    facts, said = kept.facts, kept.facts.said
    if facts.thread_id is not None or said is None:
        return True
    return said.is_genai or said.session_id is not None


def _is_unchanged(facts: Facts, node: calls.Node) -> bool:
    """Whether the same counts as before, as of most spans: their prices need not be looked up."""
    told = (node.input, node.output) if node.counts else (None, None)
    return (
        (node.thread, node.counts, node.is_failure) == node.before
        and told == (facts.input_tokens, facts.output_tokens)
        and node.cost is None
        and (facts.cost is not None or not node.counts)
    )


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


def _node(kept: KeptSpan, *, is_partial: bool) -> calls.Node:
    node = calls.node_of(kept.span, read(kept.span, is_brief=True))
    facts = kept.facts
    node.before = calls.Before(facts.thread_id, facts.is_model_call, facts.is_error)
    node.is_partial = is_partial
    return node


def _there(
    connection: sqlite3.Connection, traces: Iterable[str]
) -> tuple[dict[str, bool], dict[str, int]]:
    """Returns the traces that have spans in the file, and whether any may belong to a thread.

    A call without one may be below a session, by a span that has yet to come. Of long ones, the
    second has the number of their spans instead.
    """
    short: list[bytes] = []
    long: dict[str, int] = {}
    for some in _pieces([bytes.fromhex(one) for one in dict.fromkeys(traces)]):
        marks = ",".join("?" * len(some))
        for trace_id, spans in connection.execute(
            f"SELECT trace_id, COUNT(*) FROM spans WHERE trace_id IN ({marks}) GROUP BY trace_id",
            some,
        ):
            if spans > SHORT:
                long[trace_id.hex()] = spans
            else:
                short.append(trace_id)
    there: dict[str, bool] = {}
    for some in _pieces(short):
        marks = ",".join("?" * len(some))
        rows = connection.execute(
            "SELECT trace_id, COUNT(thread) + COUNT(operation) + COUNT(model) FROM spans"
            f" WHERE trace_id IN ({marks}) GROUP BY trace_id",
            some,
        )
        there.update({trace_id.hex(): found > 0 for trace_id, found in rows})
    return there, long


def _shared(connection: sqlite3.Connection, spans: Sequence[KeptSpan], known: Plain) -> set[str]:
    """Returns the threads in which another instrumentation may report calls of plain traces.

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


#: The same that report their calls.
_CALLS_AROUND: Final = f"{_CALLS} AND (operation IS NOT NULL OR model IS NOT NULL)"
#: Whether one of them may report a call of a scope, as `calls.may_be_told_by` has it.
_MAY_TELL: Final = (
    "scope <> ? OR operation IS NULL OR operation IN"
    f" ({', '.join(repr(one) for one in sorted(FETCHES))})"
)


def _others(
    connection: sqlite3.Connection, told: Iterable[calls.Node]
) -> Iterator[tuple[int, calls.Key]]:
    """Yields the calls of the same threads at the same time.

    None where there is a crowd of them, in which nobody can tell which two are the same, and none
    where nobody else reports calls: then they need not be read.
    """
    threads: defaultdict[str, list[calls.Node]] = defaultdict(list)
    for one in told:
        if one.thread is not None:
            threads[one.thread].append(one)
    for thread, nodes in threads.items():
        begin, end = min(one.start for one in nodes), max(one.end for one in nodes)
        rows = connection.execute(
            f"{_CALLS_AROUND} LIMIT {_CROWD}",
            (text(thread), begin - _EARLIER, end + _BEFORE, begin - _BEFORE),
        ).fetchall()
        if len(rows) < _CROWD and calls.may_be_told_by(nodes, {one[3:] for one in rows}):
            for seq, trace_id, span_id, *_ in rows:
                yield seq, (trace_id.hex(), span_id.hex())


def _of_trace(connection: sqlite3.Connection, trace_id: str) -> list[int]:
    found = connection.execute(
        "SELECT seq FROM spans WHERE trace_id = ?", (bytes.fromhex(trace_id),)
    )
    return [seq for (seq,) in found]


def span_at(connection: sqlite3.Connection, seq: int) -> KeptSpan:
    """Returns a span of the file with records of its calls' usage, without its service."""
    *row, body, thread, resource = connection.execute(
        f"SELECT {SPAN_COLUMNS}, body, (SELECT id FROM threads WHERE key = spans.thread),"
        " (SELECT attributes FROM resources WHERE key = spans.resource) FROM spans WHERE seq = ?",
        (seq,),
    ).fetchone()
    kept = span_of(tuple(row), body_of(body), thread, "", _resource(resource))
    told = sqlite_logs.with_records(connection, (row[1], row[2]), kept.span)
    return kept if told is kept.span else replace(kept, span=told)


@functools.lru_cache(maxsize=64)
def _resource(attributes: str) -> Mapping[str, Any]:
    """Returns the attributes of a resource, which all spans of a process share."""
    found: dict[str, Any] = json.loads(attributes)
    return found


def above(
    connection: sqlite3.Connection,
    trace_id: bytes,
    seqs: Sequence[int],
    wanted: Collection[bytes] = (),
    new: Collection[bytes] = (),
) -> list[int]:
    """Returns the keys of all spans above some, without these.

    Args:
        connection: Where they are.
        trace_id: Their trace.
        seqs: The keys of the spans.
        wanted: The ids of further spans that are returned, with those above them.
        new: The ids of spans that are not in the file.
    """
    there = set(new)
    next_ones = set(wanted)
    for keys in _pieces(seqs):
        marks = ",".join("?" * len(keys))
        for span_id, parent_id in connection.execute(
            f"SELECT span_id, parent_id FROM spans WHERE seq IN ({marks})", keys
        ):
            there.add(span_id)
            next_ones.add(parent_id)
    found: list[int] = []
    while next_ones := next_ones - there - {None}:
        there |= next_ones
        parents: set[bytes] = set()
        for some in _pieces(list(next_ones)):
            marks = ",".join("?" * len(some))
            for seq, parent_id in connection.execute(
                f"SELECT seq, parent_id FROM spans WHERE trace_id = ? AND span_id IN ({marks})",
                (trace_id, *some),
            ):
                found.append(seq)
                parents.add(parent_id)
        next_ones = parents
    return found


def _pieces(values: Sequence[_T]) -> Iterable[Sequence[_T]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
