"""Sums over groups by time, which numbers and plots of many threads are read from.

Groups are the calls of each model, and the threads with a label that many have. Labels of few
threads are summed up when they are asked for. Each label with sums has a bit, and a thread has the
bits of its labels in `threads.kept`, so that those of a new span need not be looked up.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, Final, NamedTuple

from orq_otel.viewer.store.buckets import latency_step
from orq_otel.viewer.store.sqlite_rows import insert_many
from orq_otel.viewer.store.tally import THREAD_WIDTHS, Sums, ThreadTally, facets_of

#: The sums of a label are kept when so many threads have it, and until half of them do.
MANY: Final = 1_000
#: Of so many labels at most: SQLite's integers have 64 bits, one of them for the sign.
_MOST: Final = 62


class Part(NamedTuple):
    """The sums of a group over an interval of time, its cost in units."""

    start: int
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: int
    priced: int
    unpriced: int
    estimated: int


_COLUMNS: Final = (*Part._fields[1:-1], "spans", "estimated")
_TO_SUMS: Final = (
    "ON CONFLICT (kind, value, width, start) DO UPDATE SET"
    f" {', '.join(f'{name} = {name} + excluded.{name}' for name in _COLUMNS)}"
)
#: Sums over rows of `thread_activity`, in the order of the columns. What is not priced is a call.
_OF_THREADS: Final = (
    "?1 * SUM(priced + unpriced), ?1 * SUM(errors), ?1 * SUM(input_tokens),"
    " ?1 * SUM(output_tokens), ?1 * SUM(cost), ?1 * SUM(priced), ?1 * SUM(unpriced),"
    " ?1 * SUM(spans), ?1 * SUM(estimated)"
)
_TO_LATENCIES: Final = (
    "ON CONFLICT (kind, value, bucket) DO UPDATE SET calls = calls + excluded.calls"
)
#: Each table of what threads sum up to, with what is added of it to which sums of their labels.
_TABLES: Final = (
    ("thread_activity", "group_sums", "width, start", _OF_THREADS, _TO_SUMS),
    ("thread_latencies", "group_latencies", "bucket", "?1 * SUM(calls)", _TO_LATENCIES),
)
#: The labels of a thread whose key is `key`.
_LABELS: Final = (
    "(SELECT 'tag' AS kind, tag AS value FROM thread_tags WHERE thread = key"
    " UNION ALL SELECT kind, value FROM thread_facets WHERE thread = key)"
)
#: Those that many threads have. A model is none of them: its calls are summed up, not its threads.
_FREQUENT: Final = (
    "SELECT 'tag', tag FROM tags WHERE threads >= ?1 UNION ALL SELECT kind, value FROM facets"
    " WHERE kind IN ('user', 'agent', 'tool', 'service') AND threads >= ?1"
)
#: The order of the columns of `calls`.
Call = Sequence[Any]


def add(
    connection: sqlite3.Connection, threads: Mapping[int, ThreadTally], before: Mapping[int, int]
) -> dict[int, int]:
    """Add new spans to the sums of labels, before they are added to the sums of their threads.

    Args:
        connection: In a transaction.
        threads: What the spans sum up to, by the keys of their threads.
        before: The bits of those threads that were there before.

    Returns:
        The bits of each thread's new spans.
    """
    bits = kept(connection)
    if not bits:
        return {}
    found = _Bits(bits)
    new = {key: found.of(one) for key, one in threads.items()}
    for key, mask in new.items():
        if joined := mask & ~before.get(key, mask):
            for table, into, by, sums, conflict in _TABLES:
                connection.execute(
                    f"INSERT INTO {into} SELECT kind, value, {by}, {sums} FROM {table}"
                    " JOIN kept_labels ON mask & ?2 WHERE thread = ?3"
                    f" GROUP BY kind, value, {by} {conflict}",
                    (1, joined, key),
                )
    masks = {key: mask | before.get(key, 0) for key, mask in new.items()}
    _add(connection, threads, masks, bits, 1)
    return new


def correct(
    connection: sqlite3.Connection,
    old: Mapping[int, ThreadTally],
    new: Mapping[int, ThreadTally],
    masks: Mapping[int, int],
) -> None:
    """Replace what spans of the same threads with the same labels sum up to.

    Args:
        connection: In a transaction.
        old: What is taken out.
        new: What is put in.
        masks: The bits of the threads.
    """
    if bits := kept(connection):
        _add(connection, old, masks, bits, -1)
        _add(connection, new, masks, bits, 1)


@contextmanager
def summed_anew(connection: sqlite3.Connection, threads: Iterable[int]) -> Iterator[None]:
    """Take threads out of the sums of their labels, and put them in as they are afterwards.

    Args:
        connection: In a transaction.
        threads: The keys of all threads that change meanwhile.
    """
    threads = list(threads)
    if not (threads and kept(connection)):
        yield
        return
    keys = json.dumps(threads)
    _put(connection, keys, -1)
    yield
    connection.execute(
        "UPDATE threads SET kept = coalesce((SELECT SUM(mask) FROM"
        f" {_LABELS} JOIN kept_labels USING (kind, value)), 0)"
        " WHERE key IN (SELECT value FROM json_each(?))",
        (keys,),
    )
    _put(connection, keys, 1)


def add_calls(connection: sqlite3.Connection, calls: Iterable[Call], sign: int = 1) -> None:
    """Add rows of `calls` to the sums of their models and to the steps, or subtract them."""
    finest, *wider = THREAD_WIDTHS
    sums: dict[tuple[str, int], list[int]] = {}
    steps: Counter[int] = Counter()
    for _, _, model, start, end, is_error, is_call, *rest in calls:
        input_tokens, output_tokens, cost, estimated = rest
        if is_call:
            steps[latency_step(max(end - start, 0))] += sign
        key = (model or "", start - start % finest)
        one = sums.get(key)
        if one is None:
            one = sums[key] = [0] * len(_COLUMNS)
        one[0] += 1
        one[1] += is_error
        one[2] += input_tokens or 0
        one[3] += output_tokens or 0
        if cost is not None:
            one[4] += cost
            one[5] += 1
            one[8] += estimated
        elif is_call:
            one[6] += 1
        one[7] += 1
    insert_many(
        connection,
        "INSERT INTO group_sums VALUES",
        [
            ("model", model, width, start - start % width, *(sign * value for value in values))
            for width in (finest, *wider)
            for (model, start), values in sums.items()
        ],
        _TO_SUMS,
    )
    insert_many(
        connection,
        "INSERT INTO latency_steps VALUES",
        list(steps.items()),
        "ON CONFLICT (step) DO UPDATE SET calls = calls + excluded.calls",
    )


def calls_of(connection: sqlite3.Connection, spans: Iterable[int]) -> list[Call]:
    """Returns the rows of `calls` of some spans, by their keys."""
    return connection.execute(
        "SELECT calls.* FROM json_each(?) CROSS JOIN spans ON seq = value"
        " CROSS JOIN calls ON calls.thread = spans.thread AND calls.span = seq",
        (json.dumps(list(spans)),),
    ).fetchall()


def choose(connection: sqlite3.Connection) -> None:
    """Begin to keep the sums of labels that many threads have by now. In a transaction."""
    frequent = connection.execute(_FREQUENT, (MANY,)).fetchall()
    if not frequent:
        return
    bits = kept(connection)
    for kind, value in frequent:
        if (kind, value) not in bits and len(bits) < _MOST:
            taken = sum(bits.values())
            bits[kind, value] = mask = ~taken & (taken + 1)  # the lowest that is free
            connection.execute("INSERT INTO kept_labels VALUES (?, ?, ?)", (mask, kind, value))
            threads = f"(SELECT thread FROM {_threads_of(kind)})"
            connection.execute(
                f"UPDATE threads SET kept = kept | ?3 WHERE key IN {threads}", (kind, value, mask)
            )
            threads = f"(SELECT thread FROM {_threads_of(kind, 2)})"
            for table, into, by, sums, _ in _TABLES:
                connection.execute(
                    f"INSERT INTO {into} SELECT ?2, ?3, {by}, {sums} FROM {table}"
                    f" WHERE thread IN {threads} GROUP BY {by}",
                    (1, kind, value),
                )


def delete_empty(connection: sqlite3.Connection) -> None:
    """Delete the sums in which nothing is counted any more, and those of labels of few threads."""
    connection.execute("DELETE FROM group_sums WHERE spans = 0")
    connection.execute("DELETE FROM group_latencies WHERE calls = 0")
    connection.execute("DELETE FROM latency_steps WHERE calls = 0")
    for (kind, value), mask in kept(connection).items():
        table, label = ("tags", "? = 'tag' AND tag = ?")
        if kind != "tag":
            table, label = "facets", "kind = ? AND value = ?"
        found = connection.execute(f"SELECT threads FROM {table} WHERE {label}", (kind, value))
        if (found.fetchone() or (0,))[0] >= MANY / 2:
            continue
        connection.execute("DELETE FROM kept_labels WHERE mask = ?", (mask,))
        for _, into, *_ in _TABLES:
            connection.execute(f"DELETE FROM {into} WHERE kind = ? AND value = ?", (kind, value))
        connection.execute(
            "UPDATE threads SET kept = kept & ~?3 WHERE key IN"
            f" (SELECT thread FROM {_threads_of(kind)})",
            (kind, value, mask),
        )


def is_kept(connection: sqlite3.Connection, kind: str, value: str) -> bool:
    """Whether the sums of a label are kept."""
    query = "SELECT 1 FROM kept_labels WHERE kind = ? AND value = ?"
    return connection.execute(query, (kind, value)).fetchone() is not None


def _threads_of(kind: str, first: int = 1) -> str:
    """Returns the rows of threads with a label: parameters are its kind and then its value."""
    if kind == "tag":
        return f"thread_tags WHERE ?{first} = 'tag' AND tag = ?{first + 1}"
    return f"thread_facets WHERE kind = ?{first} AND value = ?{first + 1}"


def kept(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """Returns the labels whose sums are kept, with the bit of each."""
    found = connection.execute("SELECT kind, value, mask FROM kept_labels")
    return {(kind, value): mask for kind, value, mask in found}


class _Bits:
    """Finds the bits of threads. Most have the same labels as others."""

    def __init__(self, bits: Mapping[tuple[str, str], int]) -> None:
        self._bits = bits
        self._of_tags: dict[tuple[str, ...], int] = {}
        self._of_facets: dict[tuple[str | None, ...], int] = {}

    def of(self, one: ThreadTally) -> int:
        """Returns the bits of a thread's spans."""
        mask = 0
        for tags in one.tag_lists:
            known = self._of_tags.get(tags)
            if known is None:
                known = self._sum({("tag", tag) for tag in tags})
                self._of_tags[tags] = known
            mask |= known
        for facets in one.facet_lists:
            known = self._of_facets.get(facets)
            if known is None:
                known = self._of_facets[facets] = self._sum(facets_of(facets))
            mask |= known
        return mask

    def _sum(self, labels: Iterable[tuple[str, str]]) -> int:
        return sum(self._bits.get(label, 0) for label in labels)


def _add(
    connection: sqlite3.Connection,
    threads: Mapping[int, ThreadTally],
    masks: Mapping[int, int],
    bits: Mapping[tuple[str, str], int],
    sign: int,
) -> None:
    """Adds to the sums of the labels that threads have by their bits."""
    alike: defaultdict[int, tuple[defaultdict[int, Sums], Counter[int]]]
    alike = defaultdict(lambda: (defaultdict(Sums), Counter()))
    finest = THREAD_WIDTHS[0]
    for key, one in threads.items():
        if mask := masks.get(key):
            found, buckets = alike[mask]
            for start, sums in one.minutes.items():
                found[start - start % finest].merge(sums)
            for (_, bucket), calls in one.calls.items():
                buckets[bucket] += calls
    totals: defaultdict[tuple[str, str, int, int], Sums] = defaultdict(Sums)
    latencies: Counter[tuple[str, str, int]] = Counter()
    for mask, (pieces, buckets) in alike.items():
        labels = [label for label, bit in bits.items() if mask & bit]
        for (start, sums), width in product(pieces.items(), THREAD_WIDTHS):
            for kind, value in labels:
                totals[kind, value, width, start - start % width].merge(sums)
        for (bucket, calls), (kind, value) in product(buckets.items(), labels):
            latencies[kind, value, bucket] += calls
    rows = []
    for group, sums in totals.items():
        spans, *values, estimated = sums.values()
        counts = (sums.priced + sums.unpriced, *values, spans, estimated)
        rows.append((*group, *(sign * value for value in counts)))
    insert_many(connection, "INSERT INTO group_sums VALUES", rows, _TO_SUMS)
    insert_many(
        connection,
        "INSERT INTO group_latencies VALUES",
        [(*group, sign * calls) for group, calls in latencies.items()],
        _TO_LATENCIES,
    )


def _put(connection: sqlite3.Connection, keys: str, sign: int) -> None:
    """Adds threads to the sums of their labels, or takes them out, by what they sum up to now."""
    for table, into, by, sums, conflict in _TABLES:
        connection.execute(
            f"INSERT INTO {into} SELECT kind, value, {by}, {sums} FROM (SELECT key, kept"
            " FROM threads WHERE kept AND key IN (SELECT value FROM json_each(?2)))"
            f" CROSS JOIN {table} ON thread = key JOIN kept_labels ON kept & mask"
            f" WHERE true GROUP BY kind, value, {by} {conflict}",
            (sign, keys),
        )
