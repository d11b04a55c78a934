"""Sums and plots over all threads of a SQLite file that match a query."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.sums import Bucket, Overview
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import sqlite_groups
from orq_otel.viewer.store.buckets import DAY, HOUR, LATENCIES, MINUTE, PERCENTILES
from orq_otel.viewer.store.sqlite_conditions import (
    Condition,
    first,
    matching,
    most_with,
    rows,
    times,
    where_of,
)
from orq_otel.viewer.store.sqlite_reading import labels
from orq_otel.viewer.store.sqlite_rows import text
from orq_otel.viewer.store.sqlite_search import Searches
from orq_otel.viewer.store.tally import COST_UNITS, PLOTTED, SUMS, THREAD_WIDTHS

#: Up to this number of spans, plots are computed from the spans themselves, as fine as possible.
_COUNTABLE: Final = 20_000
#: In a longer time some threads are shown day by day: each has few of them.
_LONG: Final = 7 * DAY
#: How many tags an overview returns, the most frequent.
_TAGS: Final = 200

_IN_ALL: Final = ", ".join(f"TOTAL({name})" for name in SUMS)
#: Those of plots as integers, which JSON keeps as they are.
_WHOLE_SUMS: Final = ", ".join(f"CAST(TOTAL({name}) AS INTEGER)" for name in PLOTTED)
#: The same of spans.
_SPAN_SUMS: Final = (
    "COUNT(*), TOTAL(is_error), TOTAL(input_tokens), TOTAL(output_tokens), TOTAL(cost)"
)


def overview(
    connection: sqlite3.Connection, query: ThreadQuery, most: int, searches: Searches
) -> Overview:
    """Sums up all threads that match a query."""
    found_text = searches.find(connection, query.text) if query.text else None
    found = _found(connection, query, matching(connection, query, found_text))
    total_spans, errors, *rest = found.sums
    input_tokens, output_tokens, cost, priced, unpriced, estimated = rest
    buckets: tuple[Bucket, ...] = ()
    latencies: tuple[tuple[int, int], ...] = ()
    percentiles = None
    if found.threads:
        time = _time(query, found, most)
        plots, percentiles = _plots(connection, query, found, time)
        buckets, latencies = _buckets(plots, time), _latencies(plots)
    return Overview(
        threads=found.threads,
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
        unindexed=_unindexed(connection),
        estimated=estimated / COST_UNITS,
    )


def _unindexed(connection: sqlite3.Connection) -> int:
    """Returns how many spans may still have to be read by `sqlite_indexing`."""
    found = connection.execute("SELECT until FROM unindexed WHERE source <> 'logs'").fetchone()
    return int(found[0]) if found else 0


class _Label(NamedTuple):
    """A label whose sums are kept."""

    kind: Kind
    value: str


class _Found(NamedTuple):
    """The threads that match.

    Attributes:
        threads: How many there are.
        start: When the first of their spans began.
        end: When the last one ended.
        sums: Of `SUMS`.
        some: Their keys, or None where all that match have one label, or are all there are.
        label: That label.
    """

    threads: int
    start: int
    end: int
    sums: list[int]
    some: Condition | None
    label: _Label | None

    @property
    def is_countable(self) -> bool:
        """Whether their spans are few."""
        return self.sums[0] <= _COUNTABLE


def _found(
    connection: sqlite3.Connection, query: ThreadQuery, conditions: Sequence[Condition]
) -> _Found:
    label = _label(connection, query) if len(conditions) == 1 else None
    if (label or not conditions) and (kept := _kept(connection, label)):
        return kept
    # Their keys come along, since plots ask for them several times.
    keys = "json_group_array(key)" if len(conditions) > times(query) else "NULL"
    where, values = where_of(conditions)
    count, among, start, end, *sums = connection.execute(
        f"SELECT COUNT(*), {keys}, MIN(started), MAX(last_active), {_IN_ALL} FROM threads {where}",
        values,
    ).fetchone()
    some = None
    if among is not None and count < _threads(connection):
        some = Condition("SELECT value FROM json_each(?)", (among,))
    return _Found(count, start, end, list(map(int, sums)), some, None)


def _kept(connection: sqlite3.Connection, label: _Label | None) -> _Found | None:
    """Returns what is kept of all threads, or of those with a label. None for few spans."""
    count = _threads(connection)
    if label is not None:
        labelled = most_with(connection, label.kind, [label.value])
        if labelled == count:
            label = None
        count = labelled
    known = _whole(connection) if label is None else _of_label(connection, label)
    if known is None:
        return None
    start, end, *sums = known
    return _Found(count, start, end, list(map(int, sums)), None, label)


def _threads(connection: sqlite3.Connection) -> int:
    """Returns how many threads there are."""
    return int(first(connection, "SELECT threads FROM counted"))


def _whole(connection: sqlite3.Connection) -> tuple[Any, ...] | None:
    """Returns what all threads have together, from the common rollups: start, end and sums.

    The start is that of its minute, since plots of so many spans are no finer. None for few spans.
    """
    sums = connection.execute(f"SELECT {_IN_ALL} FROM activity WHERE width = {HOUR}").fetchone()
    if sums[0] <= _COUNTABLE:
        return None
    # Alone, each is looked up at an end of an index. Together, all of it is gone through.
    begun, last = (
        first(connection, f"SELECT {end}(start) FROM activity WHERE width = {MINUTE}")
        for end in ("MIN", "MAX")
    )
    # Where a clock was ahead, threads were active until later.
    active = first(connection, "SELECT MAX(active) FROM threads")
    return begun, max(last + MINUTE - 1, active), *sums


def _label(connection: sqlite3.Connection, query: ThreadQuery) -> _Label | None:
    """Returns the label in a query with one condition, if it is one, and its sums are kept."""
    labels: list[tuple[Kind, str]] = [("tag", tag) for tag in query.tags]
    labels += query.labels
    if len(labels) != 1:
        return None
    label = _Label(labels[0][0], text(labels[0][1]))
    return label if sqlite_groups.is_kept(connection, *label) else None


def _of_label(connection: sqlite3.Connection, label: _Label) -> tuple[Any, ...] | None:
    """Returns what the threads with a label have together, as `_whole` does."""
    finest, widest = THREAD_WIDTHS
    where = "FROM group_sums WHERE kind = ? AND value = ? AND width ="
    sums = connection.execute(f"SELECT {_IN_ALL} {where} {widest}", label).fetchone()
    if sums[0] <= _COUNTABLE:
        return None
    begun, ended = connection.execute(
        f"SELECT MIN(start), MAX(start) {where} {finest}", label
    ).fetchone()
    return begun, ended + finest - 1, *sums


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


def _time(query: ThreadQuery, found: _Found, most: int) -> _Time:
    start, end = found.start, found.end + 1
    if query.since is not None:
        start = max(start, pieces.bounded(query.since))
    if query.until is not None:
        end = min(end, pieces.bounded(query.until))
    end = max(end, start + 1)
    rolled = MINUTE
    if found.is_countable:
        rolled = pieces.SECOND
    elif found.some is not None:
        rolled = THREAD_WIDTHS[end - start > _LONG]
    elif found.label is not None:
        rolled = THREAD_WIDTHS[0]
    width = pieces.width(start, end, most, rolled)
    return _Time(start - start % width, end + -end % width, width, rolled)


def _plots(
    connection: sqlite3.Connection, query: ThreadQuery, found: _Found, time: _Time
) -> tuple[_Plots, tuple[int, int] | None]:
    """Computes plots, and exact percentiles where these are known."""
    is_whole = query.since is None and query.until is None
    if found.is_countable:
        return _of_spans(connection, found.some, time)
    if found.label is not None:
        return _plots_of_label(connection, found.label, time), None
    if found.some is None:
        return _of_all(connection, time), _of_all_calls(connection) if is_whole else None
    if is_whole and 2 * found.threads > _threads(connection):
        # Those that do not match are fewer.
        others = Condition(
            f"SELECT key FROM threads WHERE key NOT IN ({found.some.sql})",
            found.some.values,
        )
        return _without(_of_all(connection, time), _of_threads(connection, others, time)), None
    return _of_threads(connection, found.some, time), None


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
    found = connection.execute(
        f"SELECT start / {time.width} * {time.width}, {_SPAN_SUMS},"
        " group_concat(CASE WHEN is_model_call THEN max(end - start, 0) END)"
        f" FROM spans {where} GROUP BY 1",
        values,
    ).fetchall()
    plots = _Plots(_sums(row[:-1] for row in found), defaultdict(int))
    latencies = sorted(int(one) for *_, listed in found if listed for one in listed.split(","))
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
        ends = pieces.step_range(step)
        # Many calls take as long as each other, where clocks are coarse or answers come from a
        # cache. A step of one latency has it at both ends, and nothing between is gone through.
        least, most = (_from_end(connection, ends, end, 0) for end in ("ASC", "DESC"))
        if least == most:
            return least
        if rank * 2 < calls:
            return _from_end(connection, ends, "ASC", rank)
        return _from_end(connection, ends, "DESC", calls - 1 - rank)
    return None


def _from_end(
    connection: sqlite3.Connection, ends: tuple[int, int], order: str, passed: int
) -> int | None:
    """Returns the latency at a place in a step, counted from one of its ends."""
    latency = "max(end - start, 0)"
    found = first(
        connection,
        f"SELECT {latency} FROM calls WHERE is_model_call AND {latency} >= ? AND {latency} < ?"
        f" ORDER BY {latency} {order} LIMIT 1 OFFSET ?",
        *(*ends, passed),
    )
    return None if found is None else int(found)


def _of_threads(connection: sqlite3.Connection, some: Condition, time: _Time) -> _Plots:
    """Computes plots of some threads from their rollups. Latencies cover their complete time."""
    return _Plots(
        _activity(
            connection,
            f"thread_activity WHERE thread IN ({some.sql})",
            some.values,
            time,
            time.rolled,
        ),
        _latency_buckets(connection, f"thread_latencies WHERE thread IN ({some.sql})", some.values),
    )


def _plots_of_label(connection: sqlite3.Connection, label: _Label, time: _Time) -> _Plots:
    """Computes the same plots of all threads with a label, from its sums."""
    where = "WHERE kind = ? AND value = ?"
    rolled = THREAD_WIDTHS[time.width % DAY == 0]
    return _Plots(
        _activity(connection, f"group_sums {where}", label, time, rolled),
        _latency_buckets(connection, f"group_latencies {where}", label),
    )


def _of_all(connection: sqlite3.Connection, time: _Time) -> _Plots:
    """Computes plots of all threads from the common rollups."""
    rolled = HOUR if time.width % HOUR == 0 else MINUTE
    during = "width = ? AND start >= ? AND start < ?"
    return _Plots(
        _activity(connection, "activity WHERE true", (), time, rolled),
        _latency_buckets(connection, f"latencies WHERE {during}", (rolled, time.start, time.end)),
    )


def _activity(
    connection: sqlite3.Connection, table: str, values: Sequence[Any], time: _Time, rolled: int
) -> dict[int, list[int]]:
    """Returns the sums of each non-empty bucket, of the rows of a rollup with a width."""
    return _sums(
        rows(
            connection,
            1 + len(PLOTTED),
            f"SELECT start / {time.width} * {time.width}, {_WHOLE_SUMS} FROM {table}"
            " AND width = ? AND start >= ? AND start < ? GROUP BY 1",
            *(*values, rolled, time.start, time.end),
        )
    )


def _latency_buckets(
    connection: sqlite3.Connection, table: str, values: Sequence[Any]
) -> dict[int, int]:
    """Returns the calls of each latency bucket, of some rows of a rollup."""
    query = f"SELECT bucket, SUM(calls) FROM {table} GROUP BY 1"
    return {int(bucket): int(calls) for bucket, calls in rows(connection, 2, query, *values)}


def _sums(found: Iterable[Sequence[Any]]) -> dict[int, list[int]]:
    return {start: list(map(int, sums)) for start, *sums in found}


def _buckets(plots: _Plots, time: _Time) -> tuple[Bucket, ...]:
    """Returns all buckets from the first to the last, including empty ones."""
    made = []
    for start in range(time.start, time.end, time.width):
        sums = plots.activity.get(start, [0] * len(PLOTTED))
        spans, errors, input_tokens, output_tokens, cost = sums
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
