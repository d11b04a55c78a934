"""Queries for threads and spans in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from orq_otel.viewer.model.ids import LONG_ID, digest_of
from orq_otel.viewer.model.kept_spans import Position, Spans
from orq_otel.viewer.model.queries import Kind, Sort, ThreadQuery
from orq_otel.viewer.model.store import LABELS, PAGE
from orq_otel.viewer.model.threads import Hit, Stray, Thread, ThreadPage
from orq_otel.viewer.store import cursors, sqlite_logs, sqlite_search, words
from orq_otel.viewer.store.sqlite_conditions import (
    FEW,
    ORDERS,
    Condition,
    at_most,
    by_kind,
    conditions_of,
    first,
    frequencies,
    most_with,
    rows,
    where_of,
    with_labels,
    with_tags,
)
from orq_otel.viewer.store.sqlite_rows import SPAN_COLUMNS, body_of, has_text, span_of, text
from orq_otel.viewer.store.sqlite_search import Searches
from orq_otel.viewer.store.tally import COST_UNITS

#: How many spans of a trace without a thread are returned, and among how many it is looked for.
_OF_A_TRACE: Final = 500
_STRAY_SPANS: Final = 2_000
#: More threads than this are many. Twice as many are looked at to find the latest of them.
_MANY: Final = 1_000
#: How many tags, or models, of a thread a brief list returns.
_AT_A_GLANCE: Final = 8
#: The approximate size in JSON of a thread or span without its long texts, in bytes.
_REST: Final = 500

_THREAD: Final = (
    *("title", "started", "last_active", "traces", "spans", "errors"),
    *("input_tokens", "output_tokens", "cost", "priced", "unpriced", "estimated", "digest"),
    *(f"coalesce({name}, 0)" for name in ("good", "bad", "evaluations")),
)
_EVALUATED: Final = "LEFT JOIN thread_feedback ON thread_feedback.thread = threads.key"
#: Labels of a thread, how many are left out, and their size in bytes.
_Labels: TypeAlias = tuple[tuple[str, ...], int, int]


def threads(connection: sqlite3.Connection, query: ThreadQuery, searches: Searches) -> ThreadPage:
    """Returns a page of threads."""
    after = cursors.decode(query)
    found_text = searches.find(connection, query.text) if query.text else None
    is_few = found_text is not None
    conditions = conditions_of(query, found_text)
    order = f"({ORDERS[query.sort]})"
    tags = frequencies(connection, query)
    if tags:
        few = at_most(query, tags) <= FEW
        conditions.append(with_tags(query, tags, few=few))
        is_few = is_few or few
    for kind, wanted in by_kind(query).items():
        few = most_with(connection, kind, wanted) <= FEW
        conditions.append(with_labels(kind, wanted, few=few))
        is_few = is_few or few
    if is_few:
        order = f"+{order}"  # keeps SQLite from using the index
    beyond = ">" if query.ascending else "<"
    if after is not None:
        last = after.thread_id
        if after.digest is not None:
            last = _id_of(connection, after.digest)
        conditions.append(
            # If the thread is gone, only its sort value is left: others with the same value repeat.
            Condition(f"{order} {beyond}= ?", (after.value,))
            if last is None
            else Condition(
                f"{order} {beyond}= ? AND ({order} {beyond} ? OR id {beyond} ?)",
                (after.value, after.value, last),
            )
        )
    found = _sorted(connection, query, order, conditions)
    page: list[Thread] = []
    hits: dict[str, Hit] = {}
    left = PAGE
    keys = [key for _, key in found[: query.limit]]
    brief = _brief(connection, keys) if query.is_brief else {}
    for key in keys:
        one, size = brief.get(key) or _thread(connection, key)
        left -= size
        if left < 0 and page:
            break
        page.append(one)
    if found_text is not None:
        ids = {key: one.id for key, one in zip(keys, page, strict=False)}
        documents = {key: found_text.documents[key] for key in ids.keys() & found_text.documents}
        pattern = words.pattern_of(query.text)
        hits = {ids[key]: hit for key, hit in sqlite_search.hits(connection, documents, pattern)}
    cursor = None
    if len(found) > len(page) and page:
        cursor = cursors.encode(query, found[len(page) - 1][0], page[-1])
    is_partial = found_text is not None and found_text.is_partial
    return ThreadPage(tuple(page), cursor, hits, is_partial)


def _sorted(
    connection: sqlite3.Connection, query: ThreadQuery, order: str, conditions: Sequence[Condition]
) -> list[tuple[int, int]]:
    """Returns the keys of a page's threads and of one more, with what they are sorted by."""
    where, values = where_of(conditions)
    direction = "ASC" if query.ascending else "DESC"
    latest = f"{direction}, id {direction} LIMIT ?"
    most = query.limit + 1
    is_text = query.text and len(conditions) == 1 and query.sort == "last_active"
    if is_text and values[0].count(",") > _MANY:
        # So many are among the latest of all, which an index tells. When each was active takes a
        # page of the file for each.
        among = f"(SELECT active, key, id FROM threads ORDER BY active {latest})"
        found = connection.execute(
            f"SELECT active, key FROM {among} {where} ORDER BY active {latest}",
            (2 * _MANY, *values, most),
        ).fetchall()
        if len(found) == most:
            return found
    return connection.execute(
        f"SELECT {order}, key FROM threads {where} ORDER BY {order} {latest}", (*values, most)
    ).fetchall()


def thread(connection: sqlite3.Connection, thread_id: str) -> Thread | None:
    """Returns a thread, or None."""
    key = None
    if (digest := digest_of(thread_id)) is not None:
        key = first(connection, "SELECT key FROM threads WHERE digest = ?", digest)
    if key is None:
        key = first(connection, "SELECT key FROM threads WHERE id = ?", text(thread_id))
    return None if key is None else _thread(connection, key)[0]


def place(connection: sqlite3.Connection, thread: Thread, sort: Sort) -> int | None:
    """Returns the value by which a thread is sorted, or None if it is gone."""
    column, value = ("id", text(thread.id)) if thread.digest is None else ("digest", thread.digest)
    found = first(connection, f"SELECT {ORDERS[sort]} FROM threads WHERE {column} = ?", value)
    return None if found is None else int(found)


def _id_of(connection: sqlite3.Connection, digest: str) -> str | None:
    found = first(connection, "SELECT id FROM threads WHERE digest = ?", digest)
    return None if found is None else str(found)


def spans(
    connection: sqlite3.Connection, thread_id: str, limit: int, after: Position | None, size: int
) -> Spans:
    """Returns spans of a thread and of its traces."""
    values: list[Any] = [text(thread_id)]
    where = ""
    if after is not None:
        start, span_id, trace_id = after
        where = " AND (start, span_id, spans.trace_id) > (?, ?, ?)"
        values += [start, bytes.fromhex(span_id), bytes.fromhex(trace_id)]
    found = connection.execute(
        "SELECT seq FROM thread_traces JOIN spans USING (trace_id)"
        f" WHERE thread_traces.thread = (SELECT key FROM threads WHERE id = ?){where}"
        " ORDER BY start, span_id, spans.trace_id LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    some = _spans(connection, [seq for (seq,) in found[:limit]], size)
    some.has_more = len(found) > len(some)
    return some


def before_last(connection: sqlite3.Connection, thread_id: str, count: int) -> Position | None:
    """Returns the position of the span before the last `count` of a thread and of its traces."""
    found = connection.execute(
        "SELECT start, span_id, spans.trace_id FROM thread_traces JOIN spans USING (trace_id)"
        " WHERE thread_traces.thread = (SELECT key FROM threads WHERE id = ?)"
        " ORDER BY start DESC, span_id DESC, spans.trace_id DESC LIMIT 1 OFFSET ?",
        (text(thread_id), count),
    ).fetchone()
    return None if found is None else (found[0], found[1].hex(), found[2].hex())


def trace(connection: sqlite3.Connection, trace_id: str) -> Spans:
    """Returns the first spans of a trace."""
    found = connection.execute(
        "SELECT seq FROM spans WHERE trace_id = ? ORDER BY start, span_id LIMIT ?",
        (bytes.fromhex(trace_id), _OF_A_TRACE),
    ).fetchall()
    return _spans(connection, [seq for (seq,) in found], PAGE)


def strays(connection: sqlite3.Connection, limit: int) -> tuple[Stray, ...]:
    """Returns traces without a thread, among the latest spans that have none."""
    found = connection.execute(
        # The resource is that of the first span.
        "SELECT trace_id, COUNT(*), MIN(start), resource FROM ("
        "SELECT trace_id, start, resource FROM spans"
        " WHERE thread IS NULL AND operation IS NOT NULL ORDER BY start DESC LIMIT ?"
        ") AS stray GROUP BY trace_id HAVING NOT EXISTS (SELECT 1 FROM spans"
        " WHERE spans.trace_id = stray.trace_id AND thread IS NOT NULL)"
        " ORDER BY 3 DESC, trace_id LIMIT ?",
        (_STRAY_SPANS, limit),
    ).fetchall()
    return tuple(
        Stray(
            trace_id.hex(),
            str(first(connection, "SELECT service FROM resources WHERE key = ?", resource) or ""),
            count,
            started,
        )
        for trace_id, count, started, resource in found
    )


def _spans(connection: sqlite3.Connection, keys: Sequence[int], size: int) -> Spans:
    """Returns spans by their keys, as long as they fit into a size."""
    has_logs = first(connection, "SELECT 1 FROM logs LIMIT 1") is not None
    some = Spans()
    ids: dict[int | None, str | None] = {None: None}
    resources: dict[int, tuple[str, str, Any]] = {}
    found = connection.execute(
        f"SELECT {SPAN_COLUMNS}, body, thread, resource FROM json_each(?) AS wanted"
        " CROSS JOIN spans ON seq = wanted.value",
        (json.dumps(keys),),
    )
    for *row, body, thread, resource in found:
        decoded_body = body_of(body)
        if has_logs:
            events = sqlite_logs.events_of(connection, (row[1], row[2]))
            decoded_body = sqlite_logs.with_events(decoded_body, events)
        if thread not in ids:
            ids[thread] = first(connection, "SELECT id FROM threads WHERE key = ?", thread)
        if resource not in resources:
            service, attributes = connection.execute(
                "SELECT service, attributes FROM resources WHERE key = ?", (resource,)
            ).fetchone()
            resources[resource] = service, attributes, json.loads(attributes)
        service, attributes, decoded = resources[resource]
        # The database stores these texts once, but an answer repeats them for each span.
        parts = (
            decoded_body,
            attributes,
            ids[thread] or "",
            *(one for one in row if type(one) is str),
        )
        size -= _REST + sum(map(len, parts))
        if size < 0 and some:
            break
        some.append(span_of(tuple(row), decoded_body, ids[thread], service, decoded))
    return some


def labels(
    connection: sqlite3.Connection, kind: Kind, wanted: str, limit: int
) -> tuple[tuple[str, int], ...]:
    """Returns labels of a kind with their numbers of threads, the most frequent first."""
    name, source = ("value", "facets") if kind != "tag" else ("tag", "tags")
    of_kind = f"kind = '{kind}'" if kind != "tag" else "1"
    has, value = has_text(name, text(wanted.lower()))
    found = rows(
        connection,
        2,
        f"SELECT {name}, threads FROM {source} WHERE {of_kind} AND length({name}) <= ?"
        f" AND {has} ORDER BY threads DESC, {name} DESC LIMIT ?",
        *(LONG_ID, value, limit),
    )
    return tuple(
        sorted(((label, count) for label, count in found), key=lambda one: (-one[1], one[0]))
    )


def _thread(connection: sqlite3.Connection, key: int) -> tuple[Thread, int]:
    """Returns a thread, and its approximate size in bytes of JSON."""
    row = connection.execute(
        f"SELECT id, {', '.join(_THREAD)} FROM threads {_EVALUATED} WHERE key = ?", (key,)
    ).fetchone()
    tags = _labels(connection, "tag", "thread_tags", "start, place, tag", key)
    models = _labels(connection, "model", "thread_models", "start, model", key)
    return _made(row, tags, models)


def _brief(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, tuple[Thread, int]]:
    """Returns some threads in brief by their keys, with their sizes.

    They are one query: after each row, this waits for OS threads that write.
    """
    # One character more than a short id may have shows that it is long.
    cut = f"substr({{}}, 1, {LONG_ID + 1})"
    few = (
        "(SELECT json_group_array(label) || '' FROM (SELECT {} AS label FROM {}"
        f" WHERE thread = key ORDER BY {{}} LIMIT {_AT_A_GLANCE})),"
        " (SELECT COUNT(*) FROM {} WHERE thread = key)"
    )
    tags = few.format(cut.format("tag"), "thread_tags", "start, place, tag", "thread_tags")
    models = few.format(cut.format("model"), "thread_models", "start, model", "thread_models")
    found = rows(
        connection,
        6 + len(_THREAD),
        f"SELECT key, {tags}, {models}, {cut.format('id')}, {', '.join(_THREAD)} FROM threads"
        f" {_EVALUATED} WHERE key IN (SELECT value FROM json_each(?))",
        json.dumps(keys),
    )
    return {
        key: _made(row, _counted(its_tags, more_tags), _counted(its_models, more_models))
        for key, its_tags, more_tags, its_models, more_models, *row in found
    }


def _counted(listed: str, count: int) -> _Labels:
    labels = json.loads(listed)
    return tuple(labels), count - len(labels), len(listed)


def _made(row: Sequence[Any], tags: _Labels, models: _Labels) -> tuple[Thread, int]:
    thread_id, title, started, last_active, traces, spans, errors, *rest = row
    input_tokens, output_tokens, cost, priced, unpriced, estimated, digest, *evaluated = rest
    thread = Thread(
        id=thread_id,
        title=title,
        tags=tags[0],
        started=started,
        last_active=last_active,
        traces=traces,
        spans=spans,
        errors=errors,
        models=models[0],
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost / COST_UNITS if priced else None,
        unpriced=unpriced,
        estimated=estimated / COST_UNITS,
        digest=digest,
        more_tags=tags[1],
        more_models=models[1],
        good=evaluated[0],
        bad=evaluated[1],
        evaluations=evaluated[2],
    )
    return thread, _REST + len(json.dumps(thread_id)) + tags[2] + models[2]


def _labels(
    connection: sqlite3.Connection, column: str, table: str, order: str, key: int
) -> _Labels:
    """Returns labels of a thread, how many are left out, and the size of the others in bytes."""
    labels: list[str] = []
    size = 0
    rows = connection.execute(
        f"SELECT {column} FROM {table} WHERE thread = ? ORDER BY {order}", (key,)
    )
    for (label,) in rows:
        taken = len(json.dumps(label)) + 2
        if labels and size + taken > LABELS:
            rows.close()
            count = first(connection, f"SELECT COUNT(*) FROM {table} WHERE thread = ?", key)
            return tuple(labels), count - len(labels), size
        labels.append(label)
        size += taken
    return tuple(labels), 0, size
