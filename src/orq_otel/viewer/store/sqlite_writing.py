"""Write spans to a SQLite file, and delete the oldest, with the rollups in the same transaction."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer import model
from orq_otel.viewer.conversation.facts import MODEL_CALLS, read
from orq_otel.viewer.conversation.texts import texts_of
from orq_otel.viewer.model import KeptSpan, LogRecord
from orq_otel.viewer.store import deciding, sqlite_feedback, sqlite_logs, sqlite_search
from orq_otel.viewer.store.deciding import Change
from orq_otel.viewer.store.sqlite_indexing import ADD_CALLS, ADD_FACET
from orq_otel.viewer.store.sqlite_rows import (
    INSERT,
    ROW_COLUMNS,
    Resources,
    counted,
    encoded,
    row_of,
    text,
)
from orq_otel.viewer.store.tally import Row, Tally, ThreadTally

#: SQLite before version 3.32 accepts no more than 999 parameters.
_PARAMETERS: Final = 900
#: Where these stand in a row of `spans`.
_THREAD, _RESOURCE, _TITLE = 3, 11, 20
#: Where those stand that `counted` returns.
_COUNTED: Final = slice(6, 11)

_SUMS: Final = ("spans", "errors", "input_tokens", "output_tokens", "cost", "priced", "unpriced")


def _add_sums(table: str, *keys: str) -> str:
    """Returns a statement that adds sums to a row, or inserts the row."""
    columns = ", ".join((*keys, *_SUMS))
    marks = ", ".join("?" * (len(keys) + len(_SUMS)))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}"
    )


_ADD_ACTIVITY: Final = _add_sums("activity", "width", "start")
_ADD_THREAD_ACTIVITY: Final = _add_sums("thread_activity", "thread", "width", "start")
_ADD_LATENCIES: Final = (
    "INSERT INTO latencies VALUES (?, ?, ?, ?)"
    " ON CONFLICT (width, start, bucket) DO UPDATE SET calls = calls + excluded.calls"
)
_ADD_THREAD_LATENCIES: Final = (
    "INSERT INTO thread_latencies VALUES (?, ?, ?)"
    " ON CONFLICT (thread, bucket) DO UPDATE SET calls = calls + excluded.calls"
)
_ADD_THREAD: Final = (
    "UPDATE threads SET started = CASE WHEN spans THEN min(started, ?) ELSE ? END,"
    " last_active = max(last_active, ?), active = max(active, ?),"
    f" {', '.join(f'{name} = {name} + ?' for name in _SUMS)}"
    " WHERE key = ?"
)
_SET_TITLE: Final = (
    "UPDATE threads SET title_start = ?1, title_span = ?2, title = ?3, title_folded = ?4"
    " WHERE key = ?5"
    " AND (title IS NULL OR (?1, ?2, ?3) < (title_start, title_span, title))"
)
_ADD_TAG: Final = (
    "INSERT INTO thread_tags VALUES (?, ?, ?, ?) ON CONFLICT (thread, tag) DO UPDATE"
    " SET start = excluded.start, place = excluded.place"
    " WHERE (excluded.start, excluded.place) < (start, place)"
)
_ADD_MODEL: Final = (
    "INSERT INTO thread_models VALUES (?, ?, ?) ON CONFLICT (thread, model) DO UPDATE"
    " SET start = excluded.start WHERE excluded.start < start"
)
_RESET_THREAD: Final = (
    "UPDATE threads SET started = 0, last_active = 0, traces = 0, title = NULL,"
    " title_folded = NULL, title_start = NULL, title_span = NULL,"
    f" {', '.join(f'{name} = 0' for name in _SUMS)} WHERE key = ?"
)
_ANY_SIZE: Final = 2**62
#: The approximate size of a span: its texts, and an estimate for its numbers and indexes. SQLite
#: knows the length of a blob without reading it.
_BYTES: Final = (
    "300 + length(CAST(name || status_message || scope || coalesce(title, '') || coalesce(tags, '')"
    " AS BLOB)) + CASE typeof(body) WHEN 'blob' THEN length(body)"
    " ELSE length(CAST(body AS BLOB)) END"
)
_OF_THREADS: Final = (
    "thread_traces",
    "thread_tags",
    "thread_models",
    "thread_activity",
    "thread_latencies",
    "thread_facets",
)
_ADD_CALL: Final = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Batch:
    """Spans and log records in the form of the tables, prepared before a transaction begins."""

    def __init__(self, spans: Sequence[KeptSpan], logs: Sequence[LogRecord] = ()) -> None:
        self.logs = sqlite_logs.Batch(logs)
        self.spans = spans
        self.plain = deciding.plain(spans)
        self.resources = Resources()
        self.rows = [list(encoded(kept)) for kept in spans]
        self.digests = [self.resources.digest(kept.span) for kept in spans]
        self.threads = [
            None if kept.facts.thread_id is None else text(kept.facts.thread_id) for kept in spans
        ]
        self.tags = [tuple([text(tag) for tag in kept.facts.tags]) for kept in spans]
        self.responses = [sqlite_logs.response_of(kept.span.attributes) for kept in spans]
        self.texts = [texts_of(kept.span, kept.facts) for kept in spans]


def insert(connection: sqlite3.Connection, batch: Batch, arrived: int) -> None:
    """Insert what does not exist yet, and arrived at a time. The caller has begun a transaction."""
    counts: Counter[int] = Counter()
    if batch.logs.rows:
        of_logs = _resource_keys(connection, batch.logs.resources)
        counts.update(sqlite_logs.insert(connection, batch.logs, of_logs))
    logged = sqlite_logs.keys_of(connection, batch.logs, _may_have_records(batch))
    recorded = sqlite_logs.recorded(connection, logged)
    spans = _with_records(connection, batch.spans, recorded)
    told_later = {trace_id.hex() for trace_id, _ in recorded}
    decided, changes = deciding.decide(connection, spans, batch.plain, told_later)
    for place, kept in decided.items():
        batch.rows[place][_COUNTED] = counted(kept.facts)
        batch.threads[place] = None if kept.facts.thread_id is None else text(kept.facts.thread_id)
    keys, added = _thread_keys(connection, batch, changes)
    resources = _resource_keys(connection, batch.resources)
    found = _insert_spans(connection, batch, keys, resources)
    tally = found.tally
    counts.update(found.counts)
    connection.executemany(_ADD_CALL, found.calls)
    sqlite_logs.add_responses(connection, found.responses)
    _count_resources(connection, counts)
    _add(connection, tally, 1)
    _add_threads(connection, tally.threads, arrived)
    if found.texts and sqlite_search.is_possible(connection):
        sqlite_search.add(connection, found.texts)
    changed = _change(connection, changes, keys) if changes else set()
    _add_titles(connection, logged)
    traces = [bytes.fromhex(one.kept.span.trace_id) for one in changes]
    traces += [row[0] for row in batch.rows]
    new = set(added)
    ids = [thread for thread, key in keys.items() if key in new]
    sqlite_feedback.join(connection, batch.logs.evaluations, traces, ids)
    # All spans of such a thread existed already, in another thread.
    without = [(key,) for key in added if key not in tally.threads and key not in changed]
    connection.executemany("DELETE FROM threads WHERE key = ?", without)
    connection.execute("UPDATE changes SET count = count + 1")


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
    for row, digest, thread, tags, response, texts in zip(
        batch.rows,
        batch.digests,
        batch.threads,
        batch.tags,
        batch.responses,
        batch.texts,
        strict=True,
    ):
        row[_RESOURCE] = resources[digest]
        if thread is not None:
            row[_THREAD] = keys[thread]
        inserted = connection.execute(INSERT, row)
        if inserted.rowcount != 1:
            continue
        found.counts[row[_RESOURCE]] += 1
        seq = int(inserted.lastrowid or 0)
        if response is not None:
            found.responses[seq] = response
        if thread is not None:
            one = _row(row, tags, batch.resources.rows[digest][0])
            found.tally.add(one)
            if texts:
                found.texts.append((one.thread, seq, texts))
            if one.is_model_call or (one.is_error and row[17] in MODEL_CALLS):
                found.calls.append(_call(seq, row))
    return found


def _may_have_records(batch: Batch) -> Iterator[sqlite_logs.Key]:
    """Yields the spans whose log records may say more than they do."""
    for kept, row in zip(batch.spans, batch.rows, strict=True):
        said = kept.facts.said
        if row[_TITLE] is None or said is None or said.is_genai:
            yield row[0], row[1]


def _with_records(
    connection: sqlite3.Connection, spans: Sequence[KeptSpan], recorded: Container[sqlite_logs.Key]
) -> Sequence[KeptSpan]:
    """Returns spans with what their log records tell of their calls."""
    if not recorded:
        return spans
    found = list(spans)
    for place, kept in enumerate(spans):
        key = (bytes.fromhex(kept.span.trace_id), bytes.fromhex(kept.span.span_id))
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
            connection.execute(_SET_TITLE, (start, span_id, title, title.lower(), thread))


def _call(seq: int, row: list[Any]) -> tuple[Any, ...]:
    """Returns the row of a model call, from that of its span."""
    return row[_THREAD], seq, row[18], *row[4:11]


def _row(row: list[Any], tags: tuple[str, ...], service: str) -> Row:
    start = row[4]
    return Row(
        thread=row[_THREAD],
        trace_id=row[0],
        span_id=row[1],
        start=start,
        end=max(start, row[5]),
        is_error=row[6],
        is_model_call=row[7],
        input_tokens=row[8] or 0,
        output_tokens=row[9] or 0,
        cost=row[10],
        title=row[20],
        tags=tags,
        model=row[18],
        user=row[23],
        agent=row[24],
        tool=row[25],
        service=service,
    )


def _change(
    connection: sqlite3.Connection, changes: Iterable[Change], keys: dict[str, int]
) -> set[int]:
    """Change what counts of spans that are there, and the rollups with them.

    Returns:
        The threads that they belong to now.
    """
    old, new = Tally(), Tally()
    left: set[int] = set()
    is_searchable = sqlite_search.is_possible(connection)
    for seq, kept in changes:
        values = connection.execute(
            f"SELECT {ROW_COLUMNS} FROM spans WHERE seq = ?", (seq,)
        ).fetchone()
        thread = None if kept.facts.thread_id is None else keys[text(kept.facts.thread_id)]
        is_error, is_model_call, input_tokens, output_tokens, cost = counted(kept.facts)
        connection.execute(
            "UPDATE spans SET thread = ?, is_error = ?, is_model_call = ?, input_tokens = ?,"
            " output_tokens = ?, cost = ? WHERE seq = ?",
            (thread, is_error, is_model_call, input_tokens, output_tokens, cost, seq),
        )
        connection.execute("DELETE FROM calls WHERE thread = ? AND span = ?", (values[0], seq))
        connection.execute(f"{ADD_CALLS} AND seq = ?", (seq,))
        if values[0] != thread:
            sqlite_feedback.part(connection, [(values[1], values[2])])
            if is_searchable:
                sqlite_search.forget(connection, [seq])
                if thread is not None:
                    texts = texts_of(kept.span, read(kept.span, is_brief=True))
                    sqlite_search.add(connection, [(thread, seq, texts)])
        if values[0] is not None:
            old.add(row_of(values))
            if values[0] != thread:
                left.add(values[0])
        if thread is not None:
            changed = (is_error, is_model_call, input_tokens, output_tokens, cost)
            new.add(row_of((thread, *values[1:5], *changed, *values[10:])))
    _add(connection, old, -1)
    _add(connection, new, 1)
    _add_threads(connection, new.threads, time.time_ns())
    _subtract_threads(connection, {key: one for key, one in old.threads.items() if key not in left})
    for key in left:
        _sum_up_anew(connection, key)
    _delete_empty(connection, old)
    return set(new.threads)


def _thread_keys(
    connection: sqlite3.Connection, batch: Batch, changes: Iterable[Change]
) -> tuple[dict[str, int], list[int]]:
    """Returns the key of each thread of a batch, and which threads are new."""
    changed = [
        None if one.facts.thread_id is None else text(one.facts.thread_id) for _, one in changes
    ]
    wanted = list(dict.fromkeys(one for one in (*batch.threads, *changed) if one is not None))
    keys: dict[str, int] = {}
    for some in _pieces(wanted):
        marks = ",".join("?" * len(some))
        found = connection.execute(f"SELECT id, key FROM threads WHERE id IN ({marks})", some)
        keys.update(found.fetchall())
    added: list[int] = []
    for thread in wanted:
        if thread not in keys:
            inserted = connection.execute(
                "INSERT INTO threads (id, folded, digest) VALUES (?, ?, ?)",
                (thread, thread.lower(), model.digest(thread)),
            )
            keys[thread] = int(inserted.lastrowid or 0)
            added.append(keys[thread])
    return keys, added


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


def _count_resources(connection: sqlite3.Connection, counts: Counter[int]) -> None:
    connection.executemany(
        "UPDATE resources SET spans = spans + ? WHERE key = ?",
        [(count, key) for key, count in counts.items()],
    )


def _add(connection: sqlite3.Connection, tally: Tally, sign: int) -> None:
    """Add to the sums over all threads, or subtract from them."""
    connection.executemany(
        _ADD_ACTIVITY,
        [
            (*key, *(sign * value for value in sums.values()))
            for key, sums in tally.activity.items()
        ],
    )
    connection.executemany(
        _ADD_LATENCIES, [(*key, sign * calls) for key, calls in tally.latencies.items()]
    )


def _add_threads(
    connection: sqlite3.Connection, threads: dict[int, ThreadTally], arrived: int
) -> None:
    """Add to the sums over each thread, for spans that arrived at a time."""
    items = threads.items()
    many = connection.executemany
    many(
        _ADD_THREAD,
        [
            (
                one.started,
                one.started,
                one.last_active,
                min(one.last_active, arrived),
                *one.values(),
                key,
            )
            for key, one in items
        ],
    )
    many(
        _SET_TITLE,
        [(*one.title, one.title[2].lower(), key) for key, one in items if one.title is not None],
    )
    many(
        "INSERT OR IGNORE INTO thread_traces VALUES (?, ?)",
        [(key, trace_id) for key, one in items for trace_id in one.traces],
    )
    many(_ADD_TAG, [(key, tag, *first) for key, one in items for tag, first in one.tags.items()])
    many(ADD_FACET, [(key, *facet) for key, one in items for facet in one.facets])
    many(_ADD_MODEL, [(key, *model) for key, one in items for model in one.models.items()])
    many(
        _ADD_THREAD_ACTIVITY,
        [
            (key, *piece, *sums.values())
            for key, one in items
            for piece, sums in one.activity.items()
        ],
    )
    many(
        _ADD_THREAD_LATENCIES,
        [(key, *bucket) for key, one in items for bucket in one.latencies.items()],
    )


def _delete_empty(connection: sqlite3.Connection, tally: Tally) -> None:
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


def _subtract_threads(connection: sqlite3.Connection, threads: dict[int, ThreadTally]) -> None:
    """Subtract from the sums over each thread. Its first and last spans stay what they are."""
    items = threads.items()
    connection.executemany(
        f"UPDATE threads SET {', '.join(f'{name} = {name} - ?' for name in _SUMS)} WHERE key = ?",
        [(*one.values(), key) for key, one in items],
    )
    connection.executemany(
        _ADD_THREAD_ACTIVITY,
        [
            (key, *piece, *(-value for value in sums.values()))
            for key, one in items
            for piece, sums in one.activity.items()
        ],
    )
    connection.executemany(
        _ADD_THREAD_LATENCIES,
        [(key, bucket, -calls) for key, one in items for bucket, calls in one.latencies.items()],
    )


def delete_oldest(connection: sqlite3.Connection, before: int | None, most: int, size: int) -> int:
    """Delete the oldest spans, by their start, with their log records and what summed them up.

    Log records of the same time go, too, whether or not they belong to a span. In a transaction.

    Args:
        connection: Where.
        before: Only spans that began before, or None.
        most: At most so many.
        size: No more once they take up so many bytes together.

    Returns:
        How many spans and log records there were.
    """
    limit = 2**63 - 1 if before is None else before
    found = connection.execute(
        f"SELECT {_BYTES}, seq, resource, {ROW_COLUMNS} FROM spans WHERE start < ?"
        " ORDER BY start LIMIT ?",
        (limit, most),
    )
    oldest = []
    for taken, *row in found:
        oldest.append(row)
        # Where the trace's and the span's id stand in `ROW_COLUMNS`, behind two other columns.
        size -= taken + sqlite_logs.size_of(connection, (row[3], row[4]))
        if size <= 0:
            break
    found.close()
    if not oldest:
        orphans = sqlite_logs.delete_before(connection, limit, most, size)
        _forget_resources(connection, orphans)
        return len(orphans)
    # Rows are sorted by their start.
    logs = sqlite_logs.delete_before(connection, oldest[-1][5], most, _ANY_SIZE)
    return _delete(connection, oldest, logs)


def delete_thread(connection: sqlite3.Connection, thread_id: str) -> int:
    """Delete a thread, with its log records and what summed them up. In a transaction.

    Spans of no thread go with it if their trace has no other thread.

    Args:
        connection: Where.
        thread_id: Its id.

    Returns:
        How many spans and log records there were.
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
    return _delete(connection, found, sqlite_logs.delete_of_thread(connection, thread_id))


def _delete(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]], logs: list[int]) -> int:
    """Delete spans with their log records, and what summed them up.

    Args:
        connection: Where.
        rows: The key and the resource of each span, and `ROW_COLUMNS`.
        logs: The resources of log records that are deleted already.

    Returns:
        How many spans and log records there were.
    """
    deleted = [seq for seq, *_ in rows]
    connection.executemany("DELETE FROM spans WHERE seq = ?", [(seq,) for seq in deleted])
    if sqlite_search.is_possible(connection):
        sqlite_search.forget(connection, deleted)
    logs = logs + sqlite_logs.delete_of(connection, [(row[3], row[4]) for row in rows])
    _forget_resources(connection, [*(resource for _, resource, *_ in rows), *logs])
    tally = Tally(row_of(tuple(values)) for _, _, *values in rows if values[0] is not None)
    _add(connection, tally, -1)
    _delete_empty(connection, tally)
    for key in tally.threads:
        _sum_up_anew(connection, key)
    connection.execute("UPDATE changes SET count = count + 1")
    return len(rows) + len(logs)


def _forget_resources(connection: sqlite3.Connection, deleted: Iterable[int]) -> None:
    _count_resources(connection, _negative(deleted))
    connection.execute("DELETE FROM resources WHERE spans = 0")


def _negative(keys: Iterable[int]) -> Counter[int]:
    counts = Counter(keys)
    return Counter({key: -count for key, count in counts.items()})


def sum_up_all(connection: sqlite3.Connection, arrived: int) -> None:
    """Recompute all rollups, for spans that arrived at a time at the latest."""
    for table in (*_OF_THREADS, "activity", "latencies", "tags", "facets", "calls"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute(ADD_CALLS)
    keys = [key for (key,) in connection.execute("SELECT key FROM threads").fetchall()]
    for key in keys:
        tally = Tally(rows_of_thread(connection, key))
        if tally.threads:
            connection.execute(_RESET_THREAD, (key,))
            _add_threads(connection, tally.threads, arrived)
            _add(connection, tally, 1)
        else:
            connection.execute("DELETE FROM threads WHERE key = ?", (key,))


def _sum_up_anew(connection: sqlite3.Connection, key: int) -> None:
    """Recompute the rollup of a thread from its remaining spans."""
    for table in _OF_THREADS:
        connection.execute(f"DELETE FROM {table} WHERE thread = ?", (key,))
    tally = Tally(rows_of_thread(connection, key))
    if tally.threads:
        connection.execute(_RESET_THREAD, (key,))
        _add_threads(connection, tally.threads, 0)
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


def _pieces(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
