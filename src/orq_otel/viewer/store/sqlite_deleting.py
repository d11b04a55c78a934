"""Deletes spans from a SQLite file, with their log records and what summed them up."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.store import sqlite_groups, sqlite_logs, sqlite_search, sqlite_sums
from orq_otel.viewer.store.sqlite_rows import ROW_COLUMNS, row_of, text
from orq_otel.viewer.store.tally import Row, Tally

_ANY_SIZE: Final = 2**62
#: The approximate size of a span's row: its texts, and an estimate for its numbers and indexes.
#: SQLite knows the length of a blob without reading it.
_BYTES: Final = (
    "300 + length(CAST(name || status_message || scope || coalesce(title, '') || coalesce(tags, '')"
    " AS BLOB)) + CASE typeof(body) WHEN 'blob' THEN length(body)"
    " ELSE length(CAST(body AS BLOB)) END"
)


class Deleted(NamedTuple):
    """What was deleted.

    Attributes:
        things: How many spans and log records there were.
        waste: About how many bytes they leave in the index of messages, until it is merged.
    """

    things: int
    waste: int


def delete_oldest(
    connection: sqlite3.Connection, before: int | None, most: int, size: int
) -> Deleted:
    """Delete the oldest spans, by their start, with their log records and what summed them up.

    Log records of the same time go, too, whether or not they belong to a span. In a transaction.

    Args:
        connection: Where.
        before: Only spans that began before, or None.
        most: At most so many.
        size: No more once they take up so many bytes together.
    """
    limit = 2**63 - 1 if before is None else before
    found = connection.execute(
        f"SELECT {_BYTES}, seq, resource, {ROW_COLUMNS} FROM spans WHERE start < ?"
        " ORDER BY start LIMIT ?",
        (limit, most),
    )
    has_index = sqlite_search.is_possible(connection)
    oldest: list[_Span] = []
    others = sqlite_logs.sizes(connection, limit)
    log, left = others.fetchone(), size
    for taken, *values in found:
        one = _span(values)
        while log is not None and log[0] < one.row.start:
            left -= log[1]
            log = others.fetchone()
        if left <= 0:
            break
        oldest.append(one)
        left -= taken + sqlite_logs.size_of(connection, (one.row.trace_id, one.row.span_id))
        if has_index:
            left -= sqlite_search.size_of(connection, one.seq)
    found.close()
    others.close()
    if not oldest:
        orphans = sqlite_logs.delete_before(connection, limit, most, size)
        _forget_resources(connection, orphans)
        return Deleted(len(orphans), 0)
    # Rows are sorted by their start.
    logs = sqlite_logs.delete_before(connection, oldest[-1].row.start, most, _ANY_SIZE)
    return _delete(connection, oldest, logs)


def delete_thread(connection: sqlite3.Connection, thread_id: str) -> Deleted:
    """Delete a thread, with its log records and what summed them up. In a transaction.

    Spans of no thread go with it if their trace has no other thread.

    Args:
        connection: Where.
        thread_id: Its id.
    """
    found = connection.execute(
        "WITH its AS (SELECT key FROM threads WHERE id = ?),"
        " traces AS (SELECT DISTINCT trace_id FROM spans WHERE thread IN its)"
        f" SELECT seq, resource, {ROW_COLUMNS} FROM spans WHERE thread IN its OR ("
        "thread IS NULL AND trace_id IN traces AND NOT EXISTS (SELECT 1 FROM spans AS other"
        " WHERE other.trace_id = spans.trace_id AND other.thread IS NOT NULL"
        " AND other.thread NOT IN its))",
        (text(thread_id),),
    ).fetchall()
    spans = [_span(values) for values in found]
    return _delete(connection, spans, sqlite_logs.delete_of_thread(connection, thread_id))


class _Span(NamedTuple):
    """A span that is deleted: its key, the key of its resource, and what goes into sums."""

    seq: int
    resource: int
    row: Row


def _span(values: Sequence[Any]) -> _Span:
    seq, resource, *row = values
    return _Span(seq, resource, row_of(tuple(row)))


def _delete(connection: sqlite3.Connection, spans: Sequence[_Span], logs: list[int]) -> Deleted:
    """Delete spans with their log records, and what summed them up.

    Args:
        connection: Where.
        spans: The spans.
        logs: The resources of log records that are deleted already.
    """
    deleted = [one.seq for one in spans]
    sqlite_groups.add_calls(connection, sqlite_groups.calls_of(connection, deleted), -1)
    connection.executemany("DELETE FROM spans WHERE seq = ?", [(seq,) for seq in deleted])
    waste = 0
    if sqlite_search.is_possible(connection):
        waste = sqlite_search.forget(connection, deleted)
    keys = [(one.row.trace_id, one.row.span_id) for one in spans]
    logs = logs + sqlite_logs.delete_of(connection, keys)
    _forget_resources(connection, [*(one.resource for one in spans), *logs])
    tally = Tally(one.row for one in spans)
    sqlite_sums.add(connection, tally, -1)
    sqlite_sums.delete_empty(connection, tally)
    with sqlite_groups.summed_anew(connection, tally.threads):
        for key in tally.threads:
            sqlite_sums.sum_up_anew(connection, key)
    sqlite_groups.delete_empty(connection)
    connection.execute("UPDATE changes SET count = count + 1")
    return Deleted(len(spans) + len(logs), waste)


def _forget_resources(connection: sqlite3.Connection, deleted: Iterable[int]) -> None:
    sqlite_sums.count_resources(connection, _negative(deleted))
    connection.execute("DELETE FROM resources WHERE spans = 0")


def _negative(keys: Iterable[int]) -> Counter[int]:
    counts = Counter(keys)
    return Counter({key: -count for key, count in counts.items()})
