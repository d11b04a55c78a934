"""Sums and plots over all threads of a SQLite file that match a query."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.sums import Bucket, Overview
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store.buckets import DAY, HOUR, LATENCIES, MINUTE, PERCENTILES
from orq_otel.viewer.store.sqlite_conditions import (
    Condition,
    first,
    matching,
    times,
    where_of,
)
from orq_otel.viewer.store.sqlite_indexing import unindexed
from orq_otel.viewer.store.sqlite_reading import labels
from orq_otel.viewer.store.sqlite_search import Searches
from orq_otel.viewer.store.tally import COST_UNITS, THREAD_WIDTHS

#: Up to this number of spans, plots are computed from the spans themselves, as fine as possible.
_COUNTABLE: Final = 20_000
#: In a longer time some threads are shown day by day: each has few of them.
_LONG: Final = 7 * DAY
#: How many tags an overview returns, the most frequent.
_TAGS: Final = 200

_SUMS: Final = (
    "TOTAL(spans), TOTAL(errors), TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost),"
    " TOTAL(priced), TOTAL(unpriced)"
)
#: Those of all, which no plot has.
_WHOLE: Final = f"{_SUMS}, TOTAL(estimated)"
#: The same of spans.
_SPAN_SUMS: Final = (
    "COUNT(*), TOTAL(is_error), TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost),"
    " COUNT(cost), TOTAL(is_model_call AND cost IS NULL)"
)


def overview(
    connection: sqlite3.Connection, query: ThreadQuery, most: int, searches: Searches
) -> Overview:
    """Sums up all threads that match a query."""
    found_text = searches.find(connection, query.text) if query.text else None
    conditions = matching(connection, query, found_text)
    where, values = where_of(conditions)
    (all_threads,) = connection.execute("SELECT COUNT(*) FROM threads").fetchone()
    whole = _whole(connection) if all_threads and not conditions else None
    # Their keys come along, since plots ask for them several times.
    is_some = len(conditions) > times(query)
    keys = "json_group_array(key)" if is_some else "NULL"
    count, among, first, last, *sums = (
        (all_threads, None, *whole)
        if whole is not None
        else connection.execute(
            f"SELECT COUNT(*), {keys}, MIN(started), MAX(last_active), {_WHOLE}"
            f" FROM threads {where}",
            values,
        ).fetchone()
    )
    some: Condition | None = None
    if is_some and count < all_threads:
        some = Condition("SELECT value FROM json_each(?)", (among,))
    total_spans, errors, *rest = map(int, sums)
    input_tokens, output_tokens, cost, priced, unpriced, estimated = rest
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
            percentiles = _of_all_calls(connection) if is_whole else None
        elif is_whole and count * 2 > all_threads:
            others = Condition(
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
        estimated=estimated / COST_UNITS,
    )


def _whole(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
    """Returns what all threads have together, from the common rollups: start, end and sums.

    The start is that of its minute, since plots of so many spans are no finer. None for few spans.
    """
    sums = connection.execute(f"SELECT {_WHOLE} FROM activity WHERE width = {HOUR}").fetchone()
    if sums[0] <= _COUNTABLE:
        return None
    first, last = connection.execute(
        f"SELECT MIN(start), MAX(start) FROM activity WHERE width = {MINUTE}"
    ).fetchone()
    # Where a clock was ahead, threads were active until later.
    (active,) = connection.execute("SELECT MAX(active) FROM threads").fetchone()
    return first, max(last + MINUTE - 1, active), *sums


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


def _time(start: int, end: int, most: int, *, is_countable: bool, some: Condition | None) -> _Time:
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
    connection: sqlite3.Connection, some: Condition | None, time: _Time
) -> tuple[_Plots, tuple[int, int] | None]:
    """Computes plots and exact percentiles from the spans themselves, if there are few."""
    among = f"IN ({some.sql})" if some else "IS NOT NULL"
    values = (*(some.values if some else ()), time.start, time.end)
    where = f"WHERE thread {among} AND start >= ? AND start < ?"
    # Latencies are listed in the same go: a second one takes nearly as long as the first.
    rows = connection.execute(
        f"SELECT start / {time.width} * {time.width}, {_SPAN_SUMS},"
        " group_concat(CASE WHEN is_model_call THEN max(end - start, 0) END)"
        f" FROM spans {where} GROUP BY 1",
        values,
    ).fetchall()
    plots = _Plots(_sums(row[:-1] for row in rows), defaultdict(int))
    latencies = sorted(int(one) for *_, listed in rows if listed for one in listed.split(","))
    for latency in latencies:
        plots.latencies[pieces.latency_bucket(latency)] += 1
    if not latencies:
        return plots, None
    half, most = (latencies[pieces.rank(len(latencies), share)] for share in PERCENTILES)
    return plots, (half, most)


def _of_all_calls(connection: sqlite3.Connection) -> tuple[int, int] | None:
    """Returns the exact percentiles of all model calls' latencies."""
    if first(connection, "SELECT 1 FROM unindexed WHERE source <> 'logs'"):
        return None
    counted = first(connection, "SELECT json_group_object(step, calls) FROM latency_steps")
    steps = sorted((int(step), calls) for step, calls in json.loads(counted).items())
    calls = sum(one for _, one in steps)
    half, most = (
        _of_rank(connection, steps, pieces.rank(calls, percent)) for percent in PERCENTILES
    )
    return None if half is None or most is None else (half, most)


def _of_rank(
    connection: sqlite3.Connection, steps: Sequence[tuple[int, int]], rank: int
) -> int | None:
    """Returns the latency with a place among all. The calls of each step say where to look."""
    for step, calls in steps:
        if rank >= calls:
            rank -= calls
            continue
        latency = "max(end - start, 0)"
        found = first(
            connection,
            f"SELECT {latency} FROM calls WHERE is_model_call AND {latency} >= ? AND {latency} < ?"
            f" ORDER BY {latency} LIMIT 1 OFFSET ?",
            *(*pieces.step_range(step), rank),
        )
        return None if found is None else int(found)
    return None


def _of_threads(connection: sqlite3.Connection, some: Condition, time: _Time) -> _Plots:
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
