"""Sums over the model calls of groups of threads in a SQLite file, with exact percentiles."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model import Group, Kind, Numbers, Slice, ThreadQuery
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import sqlite_search
from orq_otel.viewer.store.sqlite_reading import matching, where_of
from orq_otel.viewer.store.sqlite_rows import text
from orq_otel.viewer.store.tally import COST_UNITS

#: How many intervals of time the slices of a group have at most.
_SLICES: Final = 30


class _Source(NamedTuple):
    """Where the rows of groups are, with the name of the group in `label`.

    `calls` has the model's name. The spans of a thread are in an index that has all of the rest.

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


def numbers(
    connection: sqlite3.Connection, query: ThreadQuery, by: Kind, names: Sequence[str], limit: int
) -> Numbers:
    """Sums up the model calls of all threads that match a query, group by group."""
    found_text = sqlite_search.find(connection, query.text) if query.text else None
    where, values = where_of(matching(connection, query, found_text))
    source = _source(by, f"IN (SELECT key FROM threads {where})" if where else "IS NOT NULL", query)
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
    slices = _slices(connection, source, width)
    percentiles = _percentiles(connection, source, "0")
    counts = _threads(connection, source)
    made = [
        _group(name, slices.get(name, []), percentiles.get((name, 0)), counts.get(name))
        for name in groups
        if names or slices.get(name)  # of times without a call, there is nothing to say
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


def _slices(
    connection: sqlite3.Connection, source: _Source, width: int
) -> dict[str | None, list[tuple[Slice, list[int]]]]:
    """Returns the slices of each group, each with the sums that it does not have."""
    at = f"start / {width} * {width}"
    latencies = _percentiles(connection, source, at)
    found: dict[str | None, list[tuple[Slice, list[int]]]] = defaultdict(list)
    for name, start, *sums in connection.execute(
        f"SELECT label, {at}, TOTAL({source.is_call}), TOTAL(is_error),"
        " TOTAL(CASE WHEN is_model_call THEN input_tokens END),"
        " TOTAL(CASE WHEN is_model_call THEN output_tokens END), TOTAL(cost), COUNT(cost),"
        f" TOTAL(is_model_call AND cost IS NULL) {source.sql} GROUP BY 1, 2 ORDER BY 2",
        source.values,
    ):
        calls, errors, input_tokens, output_tokens, cost, priced, unpriced = map(int, sums)
        half, most = latencies.get((name, start), (0, 0))
        part = Slice(start, calls, input_tokens + output_tokens, cost / COST_UNITS, half, most)
        more = [errors, input_tokens, output_tokens, cost, priced, unpriced]
        found[name].append((part, more))
    return found


def _percentiles(
    connection: sqlite3.Connection, source: _Source, at: str
) -> dict[tuple[str | None, int], tuple[int, int]]:
    """Returns the exact percentiles of the calls of each group, and of each value of `at`."""
    parts = f"PARTITION BY label, {at}"
    ranks = [f"(calls * {percent} + 99) / 100" for percent in pieces.PERCENTILES]
    found: dict[tuple[str | None, int], tuple[int, int]] = {}
    for name, start, half, most in connection.execute(
        f"SELECT name, at, MAX(CASE place WHEN {ranks[0]} THEN latency END),"
        f" MAX(CASE place WHEN {ranks[1]} THEN latency END) FROM (SELECT label AS name,"
        f" {at} AS at, max(end - start, 0) AS latency,"
        f" row_number() OVER ({parts} ORDER BY max(end - start, 0)) AS place,"
        f" COUNT(*) OVER ({parts}) AS calls {source.sql} AND is_model_call) GROUP BY 1, 2",
        source.values,
    ):
        found[name, start] = half, most
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
    parts: Sequence[tuple[Slice, Sequence[int]]],
    percentiles: tuple[int, int] | None,
    counts: tuple[int, int, int] | None,
) -> Group:
    sums = [sum(values) for values in zip(*(more for _, more in parts), strict=True)] or [0] * 6
    errors, input_tokens, output_tokens, cost, priced, unpriced = sums
    half, most = percentiles or (0, 0)
    threads, good, bad = counts or (0, 0, 0)
    return Group(
        name=name,
        threads=threads,
        calls=sum(one.calls for one, _ in parts),
        errors=errors,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost / COST_UNITS if priced else None,
        unpriced=unpriced,
        p50=half,
        p95=most,
        good=good,
        bad=bad,
        slices=tuple(one for one, _ in parts if one.calls),
    )
