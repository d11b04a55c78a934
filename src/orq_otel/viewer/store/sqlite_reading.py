"""Queries for threads and spans in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model import (
    LABELS,
    LONG_ID,
    PAGE,
    Bucket,
    Feedback,
    Hit,
    Kind,
    Overview,
    Position,
    Sort,
    Spans,
    Stray,
    Thread,
    ThreadPage,
    ThreadQuery,
    digest_of,
)
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import cursors, sqlite_logs, sqlite_search, words
from orq_otel.viewer.store.buckets import DAY, HOUR, LATENCIES, MINUTE, PERCENTILES
from orq_otel.viewer.store.sqlite_indexing import unindexed
from orq_otel.viewer.store.sqlite_rows import SPAN_COLUMNS, body_of, span_of, text
from orq_otel.viewer.store.sqlite_search import Searches
from orq_otel.viewer.store.tally import COST_UNITS, THREAD_WIDTHS

#: The sort keys of threads. Each has an index.
_ORDERS: Final[dict[Sort, str]] = {
    "last_active": "active",
    "started": "min(started, active)",
    "duration": "last_active - started",
    "spans": "spans",
    "tokens": "input_tokens + output_tokens",
    "cost": "CASE WHEN priced THEN cost ELSE -1 END",
    "errors": "errors",
}
#: Up to so many threads with a tag are looked up by it, and sorted. More of them are found sooner
#: by going through threads in the order that is asked for.
_FEW: Final = 2000
#: Up to this number of spans, plots are computed from the spans themselves, as fine as possible.
_COUNTABLE: Final = 20_000
#: In a longer time some threads are shown day by day: each has few of them.
_LONG: Final = 7 * DAY
#: How many tags an overview returns, the most frequent.
_TAGS: Final = 200

#: How many spans of a trace without a thread are returned, and among how many it is looked for.
_OF_A_TRACE: Final = 500
_STRAY_SPANS: Final = 2_000
#: How many tags, or models, of a thread a brief list returns.
_AT_A_GLANCE: Final = 8
#: The approximate size in JSON of a thread or span without its long texts, in bytes.
_REST: Final = 500

_THREAD: Final = (
    "title, started, last_active, traces, spans, errors, input_tokens, output_tokens,"
    " cost, priced, unpriced, digest"
)
_SUMS: Final = (
    "TOTAL(spans), TOTAL(errors), TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost),"
    " TOTAL(priced), TOTAL(unpriced)"
)
#: The same of spans.
_SPAN_SUMS: Final = (
    "COUNT(*), TOTAL(is_error), TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost),"
    " COUNT(cost), TOTAL(is_model_call AND cost IS NULL)"
)


class _Condition(NamedTuple):
    """A condition on threads, and its parameters."""

    sql: str
    values: tuple[Any, ...]


def threads(connection: sqlite3.Connection, query: ThreadQuery, searches: Searches) -> ThreadPage:
    """Returns a page of threads."""
    after = cursors.decode(query)
    found_text = searches.find(connection, query.text) if query.text else None
    conditions = _conditions(query, found_text)
    order = f"({_ORDERS[query.sort]})"
    is_few = found_text is not None
    tags = _frequencies(connection, query)
    if tags:
        few = _at_most(query, tags) <= _FEW
        conditions.append(_with_tags(query, tags, few=few))
        is_few = is_few or few
    for kind, wanted in _by_kind(query).items():
        few = _most_with(connection, kind, wanted) <= _FEW
        conditions.append(_with_labels(kind, wanted, few=few))
        is_few = is_few or few
    if is_few:
        order = f"+{order}"  # keeps SQLite from using the index
    direction, beyond = ("ASC", ">") if query.ascending else ("DESC", "<")
    if after is not None:
        last = after.thread_id
        if after.digest is not None:
            last = _id_of(connection, after.digest)
        conditions.append(
            # If the thread is gone, only its sort value is left: others with the same value repeat.
            _Condition(f"{order} {beyond}= ?", (after.value,))
            if last is None
            else _Condition(
                f"{order} {beyond}= ? AND ({order} {beyond} ? OR id {beyond} ?)",
                (after.value, after.value, last),
            )
        )
    where, values = where_of(conditions)
    found = connection.execute(
        f"SELECT {order}, key FROM threads {where}"
        f" ORDER BY {order} {direction}, id {direction} LIMIT ?",
        (*values, query.limit + 1),
    ).fetchall()
    page: list[Thread] = []
    hits: dict[str, Hit] = {}
    pattern = words.pattern_of(query.text)
    left = PAGE
    for _, key in found[: query.limit]:
        one, size = _thread(connection, key, is_brief=query.is_brief)
        left -= size
        if left < 0 and page:
            break
        page.append(one)
        document = found_text.documents.get(key) if found_text else None
        if document is not None:
            hits[one.id] = sqlite_search.hit(connection, document, pattern)
    cursor = None
    if len(found) > len(page) and page:
        cursor = cursors.encode(query, found[len(page) - 1][0], page[-1])
    is_partial = found_text is not None and found_text.is_partial
    return ThreadPage(tuple(page), cursor, hits, is_partial)


def thread(connection: sqlite3.Connection, thread_id: str) -> Thread | None:
    """Returns a thread, or None."""
    key = None
    if (digest := digest_of(thread_id)) is not None:
        key = _first(connection, "SELECT key FROM threads WHERE digest = ?", digest)
    if key is None:
        key = _first(connection, "SELECT key FROM threads WHERE id = ?", text(thread_id))
    return None if key is None else _thread(connection, key)[0]


def _id_of(connection: sqlite3.Connection, digest: str) -> str | None:
    found = _first(connection, "SELECT id FROM threads WHERE digest = ?", digest)
    return None if found is None else str(found)


def _first(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    """Returns the first value of the first row, or None."""
    found = connection.execute(query, values).fetchone()
    return None if found is None else found[0]


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


def trace(connection: sqlite3.Connection, trace_id: str) -> Spans:
    """Returns the first spans of a trace."""
    found = connection.execute(
        "SELECT seq FROM spans WHERE trace_id = ? ORDER BY start, span_id LIMIT ?",
        (bytes.fromhex(trace_id), _OF_A_TRACE),
    ).fetchall()
    return _spans(connection, [seq for (seq,) in found], PAGE)


def strays(connection: sqlite3.Connection, limit: int) -> tuple[Stray, ...]:
    """Returns traces without a thread, among the latest such spans."""
    found = connection.execute(
        "SELECT trace_id, COUNT(*), MIN(start), MAX(start), resource FROM ("
        "SELECT trace_id, start, resource FROM spans"
        " WHERE thread IS NULL AND operation IS NOT NULL ORDER BY start DESC LIMIT ?"
        ") GROUP BY trace_id ORDER BY 4 DESC LIMIT ?",
        (_STRAY_SPANS, limit),
    ).fetchall()
    return tuple(
        Stray(
            trace_id.hex(),
            str(_first(connection, "SELECT service FROM resources WHERE key = ?", resource) or ""),
            count,
            started,
        )
        for trace_id, count, started, _, resource in found
    )


def _spans(connection: sqlite3.Connection, keys: Iterable[int], size: int) -> Spans:
    """Returns spans by their keys, as long as they fit into a size."""
    has_logs = _first(connection, "SELECT 1 FROM logs LIMIT 1") is not None
    some = Spans()
    ids: dict[int | None, str | None] = {None: None}
    resources: dict[int, tuple[str, str, Any]] = {}
    for seq in keys:
        *row, body, thread, resource = connection.execute(
            f"SELECT {SPAN_COLUMNS}, body, thread, resource FROM spans WHERE seq = ?", (seq,)
        ).fetchone()
        decoded_body = body_of(body)
        if has_logs:
            events = sqlite_logs.events_of(connection, (row[1], row[2]))
            decoded_body = sqlite_logs.with_events(decoded_body, events)
        if thread not in ids:
            ids[thread] = _first(connection, "SELECT id FROM threads WHERE key = ?", thread)
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


def overview(
    connection: sqlite3.Connection, query: ThreadQuery, most: int, searches: Searches
) -> Overview:
    """Sums up all threads that match a query."""
    found_text = searches.find(connection, query.text) if query.text else None
    conditions = matching(connection, query, found_text)
    where, values = where_of(conditions)
    count, first, last, *sums = connection.execute(
        f"SELECT COUNT(*), MIN(started), MAX(last_active), {_SUMS} FROM threads {where}",
        values,
    ).fetchone()
    some: _Condition | None = None
    (all_threads,) = connection.execute("SELECT COUNT(*) FROM threads").fetchone()
    if len(conditions) > _times(query) and count < all_threads:
        # Found once: sums and plots ask for them several times.
        keys = connection.execute(f"SELECT key FROM threads {where}", values).fetchall()
        among = sqlite_search.as_list(key for (key,) in keys)
        some = _Condition("SELECT value FROM json_each(?)", (among,))
    total_spans, errors, input_tokens, output_tokens, cost, priced, unpriced = map(int, sums)
    buckets: tuple[Bucket, ...] = ()
    latencies: tuple[tuple[int, int], ...] = ()
    percentiles = None
    if count:
        start = first if query.since is None else max(first, pieces.bounded(query.since))
        end = last + 1 if query.until is None else min(last + 1, pieces.bounded(query.until))
        is_countable = total_spans <= _COUNTABLE
        time = _time(start, max(end, start + 1), most, is_countable=is_countable, some=some)
        is_whole = query.since is None and query.until is None
        if is_countable:
            plots, percentiles = _of_spans(connection, some, time)
        elif some is None:
            plots = _of_all(connection, time)
            percentiles = _of_all_calls(connection, plots.latencies) if is_whole else None
        elif is_whole and count * 2 > all_threads:
            others = _Condition(
                f"SELECT key FROM threads WHERE key NOT IN ({some.sql})",
                some.values,
            )
            plots = _without(_of_all(connection, time), _of_threads(connection, others, time))
        else:
            plots = _of_threads(connection, some, time)
        buckets, latencies = _buckets(plots, time), _latencies(plots)
    return Overview(
        threads=count,
        spans=total_spans,
        errors=errors,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost / COST_UNITS if priced else None,
        unpriced=unpriced,
        buckets=buckets,
        latencies=latencies,
        tags=labels(connection, "tag", "", _TAGS),
        percentiles=percentiles,
        is_partial=found_text is not None and found_text.is_partial,
        unindexed=unindexed(connection),
    )


def labels(
    connection: sqlite3.Connection, kind: Kind, wanted: str, limit: int
) -> tuple[tuple[str, int], ...]:
    """Returns labels of a kind with their numbers of threads, the most frequent first."""
    name, source = ("value", "facets") if kind != "tag" else ("tag", "tags")
    of_kind = f"kind = '{kind}'" if kind != "tag" else "1"
    lower = text(wanted.lower())
    found = connection.execute(
        f"SELECT {name}, threads FROM {source} WHERE {of_kind} AND length({name}) <= ?"
        f" AND (? = '' OR instr(lower({name}), ?)) ORDER BY threads DESC, {name} DESC LIMIT ?",
        (LONG_ID, lower, lower, limit),
    ).fetchall()
    return tuple(sorted(found, key=lambda one: (-one[1], one[0])))


class _Time(NamedTuple):
    """The time that plots show, the width of their buckets, and that of the rollups to read."""

    start: int
    end: int
    width: int
    rolled: int


class _Plots(NamedTuple):
    """The sums of each non-empty bucket by its start, and the calls of each latency bucket."""

    activity: dict[int, list[int]]
    latencies: dict[int, int]


def _time(start: int, end: int, most: int, *, is_countable: bool, some: _Condition | None) -> _Time:
    if is_countable:
        rolled = pieces.SECOND
    elif some is None:
        rolled = MINUTE
    else:
        rolled = THREAD_WIDTHS[end - start > _LONG]
    width = pieces.width(start, end, most, rolled)
    return _Time(start - start % width, end + -end % width, width, rolled)


def _without(plots: _Plots, others: _Plots) -> _Plots:
    for start, sums in others.activity.items():
        left = [a - b for a, b in zip(plots.activity[start], sums, strict=True)]
        plots.activity[start] = left
    for bucket, calls in others.latencies.items():
        plots.latencies[bucket] -= calls
    return plots


def _of_spans(
    connection: sqlite3.Connection, some: _Condition | None, time: _Time
) -> tuple[_Plots, tuple[int, int] | None]:
    """Computes plots and exact percentiles from the spans themselves, if there are few."""
    among = f"IN ({some.sql})" if some else "IS NOT NULL"
    values = (*(some.values if some else ()), time.start, time.end)
    where = f"WHERE thread {among} AND start >= ? AND start < ?"
    activity = connection.execute(
        f"SELECT start / {time.width} * {time.width}, {_SPAN_SUMS} FROM spans {where} GROUP BY 1",
        values,
    )
    plots = _Plots(_sums(activity), defaultdict(int))
    latencies = sorted(
        latency
        for (latency,) in connection.execute(
            f"SELECT max(end - start, 0) FROM spans {where} AND is_model_call",
            values,
        )
    )
    for latency in latencies:
        plots.latencies[pieces.latency_bucket(latency)] += 1
    if not latencies:
        return plots, None
    half, most = (latencies[pieces.rank(len(latencies), share)] for share in PERCENTILES)
    return plots, (half, most)


def _of_all_calls(
    connection: sqlite3.Connection, latencies: Mapping[int, int]
) -> tuple[int, int] | None:
    """Returns the exact percentiles of all model calls' latencies.

    Args:
        connection: Where.
        latencies: The calls of each latency bucket, which say where to look.
    """
    if _first(connection, "SELECT 1 FROM unindexed WHERE source <> 'logs'"):
        return None
    calls = sum(latencies.values())
    half, most = (
        _of_rank(connection, latencies, pieces.rank(calls, percent)) for percent in PERCENTILES
    )
    return None if half is None or most is None else (half, most)


def _of_rank(connection: sqlite3.Connection, latencies: Mapping[int, int], rank: int) -> int | None:
    """Returns the latency with a place among all, counted from the nearer end of its bucket."""
    for bucket, calls in sorted(latencies.items()):
        if rank >= calls:
            rank -= calls
            continue
        low = -1 if bucket == 0 else LATENCIES[bucket - 1]
        high = pieces.LATEST if bucket == len(LATENCIES) - 1 else LATENCIES[bucket]
        order, offset = ("ASC", rank) if rank * 2 < calls else ("DESC", calls - 1 - rank)
        latency = "max(end - start, 0)"
        found = _first(
            connection,
            f"SELECT {latency} FROM calls WHERE is_model_call AND {latency} > ? AND {latency} <= ?"
            f" ORDER BY {latency} {order} LIMIT 1 OFFSET ?",
            *(low, high, offset),
        )
        return None if found is None else int(found)
    return None


def _of_threads(connection: sqlite3.Connection, some: _Condition, time: _Time) -> _Plots:
    """Computes plots of some threads from their rollups. Latencies cover their complete time."""
    activity = connection.execute(
        f"SELECT start / {time.width} * {time.width}, {_SUMS} FROM thread_activity"
        f" WHERE thread IN ({some.sql}) AND width = ? AND start >= ? AND start < ? GROUP BY 1",
        (*some.values, time.rolled, time.start, time.end),
    )
    latencies = connection.execute(
        f"SELECT bucket, SUM(calls) FROM thread_latencies WHERE thread IN ({some.sql}) GROUP BY 1",
        some.values,
    )
    return _Plots(_sums(activity), dict(latencies))


def _of_all(connection: sqlite3.Connection, time: _Time) -> _Plots:
    """Computes plots of all threads from the common rollups."""
    values = (HOUR if time.width % HOUR == 0 else MINUTE, time.start, time.end)
    where = "WHERE width = ? AND start >= ? AND start < ?"
    activity = connection.execute(
        f"SELECT start / {time.width} * {time.width}, {_SUMS} FROM activity {where} GROUP BY 1",
        values,
    )
    latencies = connection.execute(
        f"SELECT bucket, SUM(calls) FROM latencies {where} GROUP BY 1",
        values,
    )
    return _Plots(_sums(activity), dict(latencies))


def _sums(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[int]]:
    return {start: list(map(int, sums)) for start, *sums in rows}


def _buckets(plots: _Plots, time: _Time) -> tuple[Bucket, ...]:
    """Returns all buckets from the first to the last, including empty ones."""
    made = []
    for start in range(time.start, time.end, time.width):
        sums = plots.activity.get(start, [0] * 7)
        spans, errors, input_tokens, output_tokens, cost, *_ = sums
        made.append(
            Bucket(
                start=start,
                end=start + time.width,
                spans=spans,
                errors=errors,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cost=cost / COST_UNITS,
            )
        )
    return tuple(made)


def _latencies(plots: _Plots) -> tuple[tuple[int, int], ...]:
    """Returns all buckets from the first with calls to the last."""
    found = {bucket: calls for bucket, calls in plots.latencies.items() if calls}
    if not found:
        return ()
    return tuple(
        (LATENCIES[bucket], found.get(bucket, 0)) for bucket in range(min(found), max(found) + 1)
    )


def matching(
    connection: sqlite3.Connection, query: ThreadQuery, found: sqlite_search.Found | None
) -> list[_Condition]:
    """Returns all conditions of a query, for sums over all threads that match it."""
    conditions = _conditions(query, found)
    if query.tags:
        conditions.append(_with_tags(query, _frequencies(connection, query), few=True))
    conditions += [_with_labels(kind, values, few=True) for kind, values in _by_kind(query).items()]
    return conditions


def _times(query: ThreadQuery) -> int:
    """Returns how many conditions are on times alone."""
    return (query.since is not None) + (query.until is not None)


def _conditions(query: ThreadQuery, found: sqlite_search.Found | None) -> list[_Condition]:
    """Returns all conditions except those on tags and other labels."""
    conditions = []
    if query.since is not None:
        conditions.append(_Condition("active >= ?", (pieces.bounded(query.since),)))
    if query.until is not None:
        conditions.append(_Condition("min(started, active) < ?", (pieces.bounded(query.until),)))
    if query.errors:
        conditions.append(_Condition("errors > 0", ()))
    if found is not None:
        keys = sqlite_search.as_list(found.keys)
        conditions.append(_Condition("key IN (SELECT value FROM json_each(?))", (keys,)))
    for least, compared, order in (
        (query.least_cost, ">=", "cost"),
        (query.most_cost, "<=", "cost"),
        (query.least_duration, ">=", "duration"),
        (query.most_duration, "<=", "duration"),
    ):
        if least is not None:
            is_cost = order == "cost"
            amount = round(least * COST_UNITS) if is_cost else int(least)
            priced = "priced AND " if is_cost else ""
            column = f"({_ORDERS['cost' if is_cost else 'duration']})"
            conditions.append(
                _Condition(f"({priced}{column} {compared} ?)", (pieces.bounded(amount),))
            )
    if query.feedback is not None:
        conditions.append(_Condition(_FEEDBACK[query.feedback], ()))
    return conditions


#: The conditions on evaluations.
_FEEDBACK: Final[dict[Feedback, str]] = {
    "good": "key IN (SELECT thread FROM thread_feedback WHERE good > 0)",
    "bad": "key IN (SELECT thread FROM thread_feedback WHERE bad > 0)",
    "any": "key IN (SELECT thread FROM thread_feedback)",
    "none": "key NOT IN (SELECT thread FROM thread_feedback)",
}


def _by_kind(query: ThreadQuery) -> dict[Kind, list[str]]:
    """Returns the labels in the query, but tags, of each kind."""
    found: dict[Kind, list[str]] = {}
    for kind, value in query.labels:
        found.setdefault(kind, []).append(text(value))
    return found


def _most_with(connection: sqlite3.Connection, kind: Kind, values: Sequence[str]) -> int:
    """Returns an upper bound of how many threads have one of some labels."""
    count = "SELECT threads FROM facets WHERE kind = ? AND value = ?"
    if kind == "tag":
        count = "SELECT threads FROM tags WHERE ? = 'tag' AND tag = ?"
    return sum(_first(connection, count, kind, value) or 0 for value in values)


def _with_labels(kind: Kind, values: Sequence[str], *, few: bool) -> _Condition:
    """Returns the condition that a thread has one of some labels, as `_with_tags` does."""
    among = f"IN ({', '.join('?' * len(values))})"
    table, label = ("thread_tags", "? = 'tag' AND tag")
    if kind != "tag":
        table, label = "thread_facets", "kind = ? AND value"
    if few:
        sql = f"key IN (SELECT thread FROM {table} WHERE {label} {among})"
    else:
        sql = f"EXISTS (SELECT 1 FROM {table} WHERE thread = key AND {label} {among})"
    return _Condition(sql, (kind, *values))


def _frequencies(connection: sqlite3.Connection, query: ThreadQuery) -> dict[str, int]:
    """Returns the number of threads of each tag in the query, the rarest first."""
    counts = {}
    for tag in map(text, query.tags):
        found = connection.execute("SELECT threads FROM tags WHERE tag = ?", (tag,)).fetchone()
        counts[tag] = int(found[0]) if found else 0
    return dict(sorted(counts.items(), key=lambda count: count[1]))


def _at_most(query: ThreadQuery, tags: dict[str, int]) -> int:
    """Returns an upper bound of how many threads have the tags."""
    return min(tags.values()) if query.match == "all" else sum(tags.values())


def _with_tags(query: ThreadQuery, tags: dict[str, int], *, few: bool) -> _Condition:
    """Returns the condition on tags, looking up threads by the rarest tag, or tags by thread."""
    has = "EXISTS (SELECT 1 FROM thread_tags WHERE thread = key AND tag {})"
    among = "key IN (SELECT thread FROM thread_tags WHERE tag {})" if few else has
    if query.match == "any":
        return _Condition(among.format(f"IN ({', '.join('?' * len(tags))})"), tuple(tags))
    conditions = [among.format("= ?")] + [has.format("= ?")] * (len(tags) - 1)
    return _Condition(" AND ".join(conditions), tuple(tags))


def where_of(conditions: Sequence[_Condition]) -> tuple[str, tuple[Any, ...]]:
    """Returns the clause that all conditions make together, and its parameters."""
    if not conditions:
        return "", ()
    sql = " AND ".join(condition.sql for condition in conditions)
    return f"WHERE {sql}", tuple(value for condition in conditions for value in condition.values)


def _thread(
    connection: sqlite3.Connection, key: int, *, is_brief: bool = False
) -> tuple[Thread, int]:
    """Returns a thread, and its approximate size in bytes of JSON."""
    # One character more than a short id may have shows that it is long.
    cut = f"substr({{}}, 1, {LONG_ID + 1})" if is_brief else "{}"
    row = connection.execute(
        f"SELECT {cut.format('id')}, {_THREAD} FROM threads WHERE key = ?", (key,)
    ).fetchone()
    thread_id, title, started, last_active, traces, spans, errors, *rest = row
    input_tokens, output_tokens, cost, priced, unpriced, digest = rest
    tags, more_tags, tags_size = _labels(
        connection, cut.format("tag"), "thread_tags", "start, place, tag", key, is_brief=is_brief
    )
    models, more_models, models_size = _labels(
        connection, cut.format("model"), "thread_models", "start, model", key, is_brief=is_brief
    )
    good, bad, evaluations = connection.execute(
        "SELECT good, bad, evaluations FROM thread_feedback WHERE thread = ?", (key,)
    ).fetchone() or (0, 0, 0)
    thread = Thread(
        id=thread_id,
        title=title,
        tags=tags,
        started=started,
        last_active=last_active,
        traces=traces,
        spans=spans,
        errors=errors,
        models=models,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost / COST_UNITS if priced else None,
        unpriced=unpriced,
        digest=digest,
        more_tags=more_tags,
        more_models=more_models,
        good=good,
        bad=bad,
        evaluations=evaluations,
    )
    return thread, _REST + len(json.dumps(thread_id)) + tags_size + models_size


def _labels(  # noqa: PLR0913 - what a query is made of
    connection: sqlite3.Connection, column: str, table: str, order: str, key: int, *, is_brief: bool
) -> tuple[tuple[str, ...], int, int]:
    """Returns labels of a thread, how many are left out, and the size of the others in bytes."""
    labels: list[str] = []
    size = 0
    rows = connection.execute(
        f"SELECT {column} FROM {table} WHERE thread = ? ORDER BY {order}", (key,)
    )
    for (label,) in rows:
        taken = len(json.dumps(label)) + 2
        if labels and (size + taken > LABELS or (is_brief and len(labels) == _AT_A_GLANCE)):
            rows.close()
            count = _first(connection, f"SELECT COUNT(*) FROM {table} WHERE thread = ?", key)
            return tuple(labels), count - len(labels), size
        labels.append(label)
        size += taken
    return tuple(labels), 0, size
