"""Writes spans to a SQLite file, with the rollups in the same transaction."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.texts import texts_of, tool_use
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.facts import MODEL_CALLS, Usage
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.store import (
    deciding,
    sqlite_feedback,
    sqlite_groups,
    sqlite_logs,
    sqlite_search,
    sqlite_sums,
)
from orq_otel.viewer.store.deciding import Change, Undecided
from orq_otel.viewer.store.sqlite_rows import (
    ADD_CALLS,
    INSERT,
    ROW_COLUMNS,
    Resources,
    SpanRow,
    counted,
    encoded,
    insert_many,
    row_of,
    text,
    values_of,
)
from orq_otel.viewer.store.tally import Row, Tally

#: SQLite before version 3.32 accepts no more than 999 parameters.
_PARAMETERS: Final = 900


class Batch:
    """Spans and log records in the form of the tables, prepared before a transaction begins.

    Args:
        spans: The spans.
        logs: The log records.
        wait: Called for each span, to wait a little if something else is to come first.
    """

    def __init__(
        self,
        spans: Sequence[KeptSpan],
        logs: Sequence[LogRecord] = (),
        wait: Callable[[], object] | None = None,
    ) -> None:
        def each() -> Iterator[KeptSpan]:
            for kept in spans:
                if wait is not None:
                    wait()
                yield kept

        self.logs = sqlite_logs.Batch(logs)
        self.spans = spans
        self.plain = deciding.plain(spans)
        self.resources = Resources()
        tools = [tool_use(kept.span, kept.facts) for kept in spans]
        self.rows = list(map(encoded, each(), tools))
        self.digests = [self.resources.digest(kept.span) for kept in spans]
        self.threads = [
            None if kept.facts.thread_id is None else text(kept.facts.thread_id) for kept in spans
        ]
        self.tags = [tuple([text(tag) for tag in kept.facts.tags]) for kept in spans]
        self.responses = [sqlite_logs.response_of(kept.span.attributes) for kept in spans]
        self.texts = [
            texts_of(kept.span, kept.facts, tool) for kept, tool in zip(each(), tools, strict=True)
        ]


def insert(connection: sqlite3.Connection, batch: Batch, arrived: int) -> None:
    """Insert what does not exist yet, and arrived at a time. The caller has begun a transaction."""
    counts: Counter[int] = Counter()
    if batch.logs.rows:
        of_logs = _resource_keys(connection, batch.logs.resources)
        counts.update(sqlite_logs.insert(connection, batch.logs, of_logs))
    logged = sqlite_logs.keys_of(connection, batch.logs, _may_have_records(batch))
    own = _usage(batch) if logged else {}
    recorded = sqlite_logs.recorded(connection, logged, own)
    spans = _with_records(connection, batch, recorded)
    decided, changes, undecided = deciding.decide(connection, spans, batch.plain, recorded)
    if spans is not batch.spans:
        both = enumerate(zip(spans, batch.spans, strict=True))
        decided = {place: one for place, (one, alone) in both if one is not alone} | decided
    for place, kept in decided.items():
        batch.rows[place].count(kept.facts)
        batch.threads[place] = None if kept.facts.thread_id is None else text(kept.facts.thread_id)
    threads = _Threads(connection, batch.threads, changes)
    resources = _resource_keys(connection, batch.resources)
    found = _insert_spans(connection, batch, threads.keys, resources)
    tally = found.tally
    counts.update(found.counts)
    insert_many(connection, "INSERT INTO calls VALUES", found.calls)
    sqlite_groups.add_calls(connection, found.calls)
    sqlite_logs.add_responses(connection, found.responses)
    sqlite_sums.count_resources(connection, counts)
    sqlite_sums.add(connection, tally, 1)
    masks = sqlite_groups.add(connection, tally.threads, threads.masks)
    threads.add(masks)
    sqlite_sums.add_threads(connection, tally.threads, threads.ids, arrived, masks)
    if found.texts and sqlite_search.is_possible(connection):
        sqlite_search.add(connection, found.texts)
    if changes:
        _change(connection, changes, threads)
    _add_titles(connection, logged)
    traces = [bytes.fromhex(one.kept.span.trace_id) for one in changes]
    traces += [row.trace_id for row in batch.rows]
    sqlite_feedback.join(connection, batch.logs.evaluations, traces, threads.new)
    sqlite_groups.choose(connection)
    if undecided:
        connection.executemany(_UNDECIDED, [(one,) for one in undecided])
    connection.execute("UPDATE changes SET count = count + 1")


_UNDECIDED: Final = (
    "INSERT INTO undecided VALUES (?, 1) ON CONFLICT DO UPDATE SET notes = notes + 1"
)


def change(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Change what counts of spans in the file, unless that was changed meanwhile."""
    changes = [one for one in changes if _is_as_before(connection, one)]
    if not changes:
        return
    threads = _Threads(connection, (), changes)
    _change(connection, changes, threads)
    traces = [bytes.fromhex(one.kept.span.trace_id) for one in changes]
    sqlite_feedback.join(connection, (), traces, threads.new)
    sqlite_groups.choose(connection)
    connection.execute("UPDATE changes SET count = count + 1")


def finish(connection: sqlite3.Connection, undecided: Undecided) -> None:
    """Note that a trace was decided on, unless that is to be done once more by now."""
    connection.execute(
        "DELETE FROM undecided WHERE trace_id = ? AND notes = ?",
        (undecided.trace_id, undecided.notes),
    )


def _is_as_before(connection: sqlite3.Connection, change: Change) -> bool:
    span, facts = change.kept.span, change.before
    thread = None if facts.thread_id is None else text(facts.thread_id)
    found = connection.execute(
        "SELECT trace_id, span_id, (SELECT id FROM threads WHERE key = thread), is_error,"
        " is_model_call, input_tokens, output_tokens FROM spans WHERE seq = ?",
        (change.seq,),
    ).fetchone()
    return bool(
        found
        == (
            *(bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), thread),
            *(facts.is_error, facts.is_model_call, facts.input_tokens, facts.output_tokens),
        )
    )


class _Threads:
    """The threads of new spans, and of changes.

    Attributes:
        keys: Their keys by their ids. Those of new ones are not in the file yet: a thread is made
            when spans are added to its sums.
        ids: Their ids by their keys.
        masks: The bits of their labels, of those that are in the file.
        new: The ids of new ones.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        new: Iterable[str | None],
        changes: Iterable[Change],
    ) -> None:
        changed = [one.kept.facts.thread_id for one in changes]
        ids = (*new, *(None if one is None else text(one) for one in changed))
        wanted = list(dict.fromkeys(one for one in ids if one is not None))
        self.keys: dict[str, int] = {}
        self.masks: dict[int, int] = {}
        for some in _pieces(wanted):
            marks = ",".join("?" * len(some))
            for thread, key, mask in connection.execute(
                f"SELECT id, key, kept FROM threads WHERE id IN ({marks})", some
            ):
                self.keys[thread] = key
                self.masks[key] = mask
        self.new = [thread for thread in wanted if thread not in self.keys]
        if self.new:
            first = _next(connection, "key", "threads")
            self.keys.update(zip(self.new, range(first, first + len(self.new)), strict=True))
        self.ids = {key: thread for thread, key in self.keys.items()}

    def add(self, masks: Mapping[int, int]) -> None:
        """Add bits of labels that threads have got."""
        for key, mask in masks.items():
            self.masks[key] = self.masks.get(key, 0) | mask


def _next(connection: sqlite3.Connection, key: str, table: str) -> int:
    """Returns the key of the next row."""
    (last,) = connection.execute(f"SELECT max({key}) FROM {table}").fetchone()
    return int(last or 0) + 1


class _Inserted:
    """What was new in a batch.

    Attributes:
        counts: How many spans each resource has got.
        tally: What sums them up.
        responses: The ids of responses by the keys of their spans.
        calls: The rows of model calls.
        texts: The texts of spans, as `sqlite_search.add` takes them.
    """

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.tally = Tally()
        self.responses: dict[int, str] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.texts: list[tuple[int, int, Mapping[int, str]]] = []


def _insert_spans(
    connection: sqlite3.Connection,
    batch: Batch,
    keys: Mapping[str, int],
    resources: Mapping[bytes, int],
) -> _Inserted:
    found = _Inserted()
    first = _next(connection, "seq", "spans")
    for seq, (row, digest, thread) in enumerate(
        zip(batch.rows, batch.digests, batch.threads, strict=True), first
    ):
        row.seq = seq
        row.resource = resources[digest]
        row.thread = None if thread is None else keys[thread]
    inserted = insert_many(connection, INSERT, list(map(values_of, batch.rows)))
    there: Container[int] = range(first, first + len(batch.rows))
    if inserted < len(batch.rows):  # some were there before
        there = {
            seq for (seq,) in connection.execute("SELECT seq FROM spans WHERE seq >= ?", (first,))
        }
    for row, digest, tags, response, texts in zip(
        batch.rows, batch.digests, batch.tags, batch.responses, batch.texts, strict=True
    ):
        if row.seq not in there:
            continue
        found.counts[row.resource] += 1
        if response is not None:
            found.responses[row.seq] = response
        if row.thread is not None:
            found.tally.add(_row(row, tags, batch.resources.rows[digest][0]))
            if texts:
                found.texts.append((row.thread, row.seq, texts))
            if row.is_model_call or (row.is_error and row.operation in MODEL_CALLS):
                found.calls.append(_call(row))
    return found


def _may_have_records(batch: Batch) -> Iterator[sqlite_logs.Key]:
    """Yields the spans whose log records may say more than they do."""
    for kept, row in zip(batch.spans, batch.rows, strict=True):
        said = kept.facts.said
        if row.title is None or said is None or said.is_genai:
            yield row.trace_id, row.span_id


def _usage(batch: Batch) -> dict[sqlite_logs.Key, Usage | None]:
    """Returns the usage that each span tells itself."""
    return {
        (row.trace_id, row.span_id): (kept.facts.said or table.read(kept.span)).usage
        for kept, row in zip(batch.spans, batch.rows, strict=True)
    }


def _with_records(
    connection: sqlite3.Connection, batch: Batch, recorded: Container[sqlite_logs.Key]
) -> Sequence[KeptSpan]:
    """Returns spans with what their log records report of their calls."""
    if not recorded:
        return batch.spans
    found = list(batch.spans)
    for place, (kept, row) in enumerate(zip(batch.spans, batch.rows, strict=True)):
        key = (row.trace_id, row.span_id)
        if key in recorded:
            events = (*kept.span.events, *sqlite_logs.details_of(connection, key))
            told = read(replace(kept.span, events=events))
            found[place] = KeptSpan(kept.span, replace(told, title=kept.facts.title))
    return found


def _add_titles(connection: sqlite3.Connection, keys: Sequence[sqlite_logs.Key]) -> None:
    """Set titles, and add texts, that stand in log records: before or after their spans."""
    if keys and sqlite_search.is_possible(connection):
        sqlite_search.add_with_logs(connection, keys)
    for seq, thread, start, span_id, title in list(sqlite_logs.titles(connection, keys)):
        connection.execute("UPDATE spans SET title = ? WHERE seq = ?", (title, seq))
        if thread is not None:
            connection.execute(
                sqlite_sums.SET_TITLE, (start, span_id, title, title.lower(), thread)
            )


def _call(row: SpanRow) -> tuple[Any, ...]:
    """Returns the row of `calls`, from that of its span."""
    return (
        row.thread,
        row.seq,
        row.model,
        row.start,
        row.end,
        row.is_error,
        row.is_model_call,
        row.input_tokens,
        row.output_tokens,
        row.cost,
        row.estimated,
    )


def _row(row: SpanRow, tags: tuple[str, ...], service: str) -> Row:
    """Returns what goes into sums, from a row that is inserted."""
    return Row(
        row.thread,
        row.trace_id,
        row.span_id,
        row.start,
        max(row.start, row.end),
        row.is_error,
        row.is_model_call,
        row.input_tokens or 0,
        row.output_tokens or 0,
        row.cost,
        row.estimated,
        row.title,
        tags,
        row.model,
        row.user,
        row.agent,
        row.tool,
        service,
    )


def _change(connection: sqlite3.Connection, changes: Sequence[Change], threads: _Threads) -> None:
    """Change what counts of spans that are there, and the rollups with them."""
    old, new = Tally(), Tally()
    left: set[int] = set()
    is_searchable = sqlite_search.is_possible(connection)
    keys = [one.seq for one in changes]
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, keys), -1)
    for seq, kept, _ in changes:
        before = row_of(
            connection.execute(f"SELECT {ROW_COLUMNS} FROM spans WHERE seq = ?", (seq,)).fetchone()
        )
        thread = None if kept.facts.thread_id is None else threads.keys[text(kept.facts.thread_id)]
        now = counted(kept.facts)
        is_error, is_model_call, input_tokens, output_tokens, cost, estimated = now
        connection.execute(
            "UPDATE spans SET thread = ?, is_error = ?, is_model_call = ?, input_tokens = ?,"
            " output_tokens = ?, cost = ?, estimated = ? WHERE seq = ?",
            (thread, *now, seq),
        )
        connection.execute("DELETE FROM calls WHERE thread = ? AND span = ?", (before.thread, seq))
        connection.execute(f"{ADD_CALLS} AND seq = ?", (seq,))
        if before.thread != thread:
            sqlite_feedback.part(connection, [(before.trace_id, before.span_id)])
            if is_searchable:
                sqlite_search.forget(connection, [seq])
                if thread is not None:
                    texts = texts_of(kept.span, read(kept.span, is_brief=True))
                    sqlite_search.add(connection, [(thread, seq, texts)])
        old.add(before)
        if before.thread is not None and before.thread != thread:
            left.add(before.thread)
        new.add(
            before._replace(
                thread=thread,
                is_error=is_error,
                is_model_call=is_model_call,
                input_tokens=input_tokens or 0,
                output_tokens=output_tokens or 0,
                cost=cost,
                estimated=estimated,
            )
        )
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, keys))
    sqlite_sums.add(connection, old, -1)
    sqlite_sums.add(connection, new, 1)
    is_moved = old.threads.keys() != new.threads.keys() or left
    involved = old.threads.keys() | new.threads.keys() if is_moved else ()
    with sqlite_groups.summed_anew(connection, involved):
        sqlite_sums.add_threads(connection, new.threads, threads.ids, time.time_ns())
        stay = {key: one for key, one in old.threads.items() if key not in left}
        sqlite_sums.subtract_threads(connection, stay)
        for key in left:
            sqlite_sums.sum_up_anew(connection, key)
    if not is_moved:
        sqlite_groups.correct(connection, old.threads, new.threads, threads.masks)
    sqlite_sums.delete_empty(connection, old)


def _resource_keys(connection: sqlite3.Connection, resources: Resources) -> dict[bytes, int]:
    keys: dict[bytes, int] = {}
    for digest, (service, attributes) in resources.rows.items():
        connection.execute(
            "INSERT INTO resources (digest, service, attributes, spans) VALUES (?, ?, ?, 0)"
            " ON CONFLICT (digest) DO NOTHING",
            (digest, service, attributes),
        )
        found = connection.execute("SELECT key FROM resources WHERE digest = ?", (digest,))
        (keys[digest],) = found.fetchone()
    return keys


def _pieces(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
