"""Sums over the model calls of groups of threads in a SQLite file, with exact percentiles."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.sums import Group, Numbers, Slice
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import sqlite_search
from orq_otel.viewer.store.sqlite_conditions import matching, where_of
from orq_otel.viewer.store.sqlite_rows import text
from orq_otel.viewer.store.tally import COST_UNITS

#: How many intervals of time the slices of a group have at most.
_SLICES: Final = 30


class _Source(NamedTuple):
    """Where the rows of groups are, with the name of the group in `label`.

    `calls` has the model's name, in the order of threads. The spans of a thread are in an index
    that has all of the rest.

    Attributes:
        sql: From `FROM` on.
        values: Its parameters.
        names: A query for the names of all groups, those of the most threads or calls first.
        is_call: Whether a row is a call that counts: all of those in `calls`, which has those that
            failed. Others fail, too, so elsewhere it is a call that was answered.
    """

    sql: str
    values: tuple[Any, ...]
    names: str
    is_call: str = "is_model_call"


#: Written so that the index of latencies, which lacks the rest of a call, is not taken for it.
_COUNTED: Final = "is_model_call > 0"


class _Part(NamedTuple):
    """The sums of a group over an interval of time, its cost in units."""

    start: int
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: int
    priced: int
    unpriced: int


def numbers(  # noqa: PLR0913, PLR0917 - what is asked, and of whom
    connection: sqlite3.Connection,
    query: ThreadQuery,
    by: Kind,
    names: Sequence[str],
    limit: int,
    searches: sqlite_search.Searches,
) -> Numbers:
    """Sums up the model calls of all threads that match a query, group by group."""
    found_text = searches.find(connection, query.text) if query.text else None
    where, values = where_of(matching(connection, query, found_text))
    # Found once: each sum needs them.
    among = "IS NOT NULL"
    if where:
        keys = connection.execute(f"SELECT key FROM threads {where}", values).fetchall()
        among = "IN (SELECT value FROM json_each(?))"
        values = (sqlite_search.as_list(key for (key,) in keys),)
    source = _source(by, among, query)
    groups: list[str | None] = [text(name) for name in names]
    more = 0
    if not names:
        found = connection.execute(source.names, values).fetchall()
        groups = [name for (name,) in found[:limit]]
        more = len(found) - len(groups)
    marks = ", ".join("?" * len(groups))
    is_null = " OR label IS NULL" if None in groups else ""
    source = source._replace(
        sql=f"{source.sql} AND (label IN ({marks}){is_null})", values=(*values, *groups)
    )
    start, end = _times(connection, source)
    width = pieces.width(start, end, _SLICES)
    at = f"start / {width} * {width}"
    latencies = _latencies(connection, source, at)
    parts = _parts(connection, source, at)
    counts = _threads(connection, source)
    made = [
        _group(name, parts.get(name, []), latencies.get(name, {}), counts.get(name))
        for name in groups
        if names or parts.get(name)  # of times without a call, there is nothing to say
    ]
    return Numbers(
        tuple(sorted(made, key=lambda one: (-one.calls, one.name or ""))),
        start - start % width,
        end + -end % width,
        width,
        more,
    )


def _source(by: Kind, among: str, query: ThreadQuery) -> _Source:
    times = ""
    for compared, time in ((">=", query.since), ("<", query.until)):
        if time is not None:
            times += f" AND start {compared} {pieces.bounded(time)}"
    if by == "model":
        labels = "(SELECT *, model AS label FROM calls) AS labels"
        calls = labels
    else:
        labels = f"(SELECT thread, value AS label FROM thread_facets WHERE kind = '{by}') AS labels"
        if by == "tag":
            labels = "(SELECT thread, tag AS label FROM thread_tags) AS labels"
        calls = f"{labels} CROSS JOIN spans USING (thread)"
    return _Source(
        f"FROM {calls} WHERE thread {among}{times}",
        (),
        f"SELECT label FROM {labels} WHERE thread {among} GROUP BY 1 ORDER BY COUNT(*) DESC, 1",
        "1" if by == "model" else "is_model_call",
    )


def _times(connection: sqlite3.Connection, source: _Source) -> tuple[int, int]:
    start, end = connection.execute(
        f"SELECT MIN(start), MAX(start) {source.sql} AND {source.is_call}", source.values
    ).fetchone()
    return (0, 1) if start is None else (start, end + 1)


def _parts(
    connection: sqlite3.Connection, source: _Source, at: str
) -> dict[str | None, list[_Part]]:
    """Returns the sums of each group over each interval of time."""
    found: dict[str | None, list[_Part]] = defaultdict(list)
    for name, *values in connection.execute(
        f"SELECT label, {at}, TOTAL({source.is_call}), TOTAL(is_error),"
        " TOTAL(CASE WHEN is_model_call THEN input_tokens END),"
        " TOTAL(CASE WHEN is_model_call THEN output_tokens END), TOTAL(cost), COUNT(cost),"
        f" TOTAL(is_model_call AND cost IS NULL) {source.sql} GROUP BY 1, 2 ORDER BY 2",
        source.values,
    ):
        found[name].append(_Part(*map(int, values)))
    return found


def _latencies(
    connection: sqlite3.Connection, source: _Source, at: str
) -> dict[str | None, dict[int, list[int]]]:
    """Returns the sorted latencies of the calls of each group, by intervals of time.

    SQLite's window functions would rank them, in ten times the time.
    """
    found: dict[str | None, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, start, latency in connection.execute(
        f"SELECT label, {at}, max(end - start, 0) {source.sql} AND {_COUNTED} ORDER BY 3",
        source.values,
    ):
        found[name][start].append(latency)
    return found


def _threads(
    connection: sqlite3.Connection, source: _Source
) -> dict[str | None, tuple[int, int, int]]:
    """Returns the number of threads of each group, and of good and bad evaluations of these."""
    return {
        name: (int(threads), int(good), int(bad))
        for name, threads, good, bad in connection.execute(
            "SELECT name, COUNT(*), TOTAL(good), TOTAL(bad) FROM (SELECT DISTINCT"
            f" label AS name, thread {source.sql})"
            " LEFT JOIN thread_feedback USING (thread) GROUP BY 1",
            source.values,
        )
    }


def _group(
    name: str | None,
    parts: Sequence[_Part],
    latencies: Mapping[int, Sequence[int]],
    counts: tuple[int, int, int] | None,
) -> Group:
    sums = _Part(*map(sum, zip(*parts, strict=True))) if parts else _Part(*[0] * 8)
    half, most = _percentiles(sorted(one for some in latencies.values() for one in some))
    threads, good, bad = counts or (0, 0, 0)
    return Group(
        name=name,
        threads=threads,
        calls=sums.calls,
        errors=sums.errors,
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        cost=sums.cost / COST_UNITS if sums.priced else None,
        unpriced=sums.unpriced,
        p50=half,
        p95=most,
        good=good,
        bad=bad,
        slices=tuple(
            Slice(
                one.start,
                one.calls,
                one.input_tokens + one.output_tokens,
                one.cost / COST_UNITS,
                *_percentiles(latencies.get(one.start, ())),
            )
            for one in parts
            if one.calls
        ),
    )


def _percentiles(latencies: Sequence[int]) -> tuple[int, int]:
    """Returns the percentiles of sorted latencies, or 0 where there are none."""
    if not latencies:
        return 0, 0
    half, most = (latencies[pieces.rank(len(latencies), one)] for one in pieces.PERCENTILES)
    return half, most
