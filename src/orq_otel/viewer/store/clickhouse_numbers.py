"""Sums over the threads that match a query: the overview of all, and the numbers of groups.

Numbers have exact percentiles, and times as exact as a second. Threads have the labels of the days
that are asked for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.sums import Bucket, Group, Numbers, Overview, Slice
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store.buckets import DAY, LATENCIES, MINUTE, SECOND
from orq_otel.viewer.store.clickhouse_activity import IS_CALL, IS_ERROR, IS_ESTIMATED, IS_PRICED
from orq_otel.viewer.store.clickhouse_conditions import Condition, hours_of
from orq_otel.viewer.store.clickhouse_days import (
    CALL_AT,
    CALL_BUCKET,
    JOINED_CALLS,
    JOINED_SLOTS,
    OF_SLOTS,
    SLOT,
    SLOT_AT,
    bucket_of,
)
from orq_otel.viewer.store.clickhouse_reading import Reading
from orq_otel.viewer.store.clickhouse_server import fitting
from orq_otel.viewer.store.tally import COST_UNITS, PLOTTED, SUMS

#: How many spans numbers are counted of at most, those of the latest days, unless one has more.
BUDGET: Final = 5_000_000
#: How many intervals of time the slices of a group have at most.
_SLICES: Final = 30
#: Up to this number of spans, percentiles are exact, and plots are as fine as a second.
_COUNTABLE: Final = 20_000
#: Up to so many threads are looked up by their ids, if these fit into a parameter.
_FEW: Final = 2_000
#: Up to so many are looked up by the hashes of their ids, which always fit. More of them are found
#: again by what is asked of them.
_MANY: Final = 5_000
#: When something of a row happened, as exactly as a second.
_AT: Final = f"(toInt64(toUnixTimestamp(a.hour)) + second) * {SECOND}"
#: Threads by the hashes of their ids, which are compared faster.
_THREAD: Final = "cityHash64(a.thread_id) AS thread"
_AMONG: Final = "label IN {groups:Array(String)}"
_IS_CALL: Final = f"bitTest(kind, {IS_CALL.bit_length() - 1})"
_IS_ERROR: Final = f"bitTest(kind, {IS_ERROR.bit_length() - 1})"
_IS_PRICED: Final = f"bitTest(kind, {IS_PRICED.bit_length() - 1})"
_IS_ESTIMATED: Final = f"bitTest(kind, {IS_ESTIMATED.bit_length() - 1})"


def _exact(condition: str = "1") -> str:
    """Returns SQL for the exact median and 95th percentile of latencies: those of nearest ranks.

    Latencies are turned around, since an exact quantile of ClickHouse is the value above a rank.
    """
    return f"arrayMap(x -> -x, quantilesExactIf(0.5, 0.05)(-latency, {condition}))"


class _Sums(NamedTuple):
    """The sums over the calls of a group, its cost in units."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    priced: int = 0
    unpriced: int = 0
    estimated: int = 0
    percentiles: Sequence[int] = (0, 0)


#: The columns of `_Sums`. Of a model, those of its calls that failed count as calls, too.
_COLUMNS: Final = (
    f"countIf(COUNTS), countIf({_IS_ERROR}), sum(sums.1), sum(sums.2), sum(sums.3),"
    f" countIf({_IS_PRICED}), countIf({_IS_CALL} AND NOT {_IS_PRICED}),"
    f" sumIf(sums.3, {_IS_ESTIMATED}),"
    f" {_exact(_IS_CALL)}"
)


def overview(reading: Reading, query: ThreadQuery, buckets: int) -> Overview:
    """Sums up all threads that match a query."""
    condition = reading.condition(query, time.time_ns())
    names = ("started", "last_active", *SUMS)
    ((count, first, last, ids, hashes, *sums),) = reading.ask(
        f"SELECT count(), min(started), max(last_active), groupArray({_FEW})(thread_id),"
        f" groupArray({1 if condition.is_of_time else _MANY})(cityHash64(thread_id)),"
        f" {', '.join(f'sum({one})' for one in SUMS)}"
        f" FROM ({reading.of_threads(condition, *names)}) WHERE {condition.sql}",
        **condition.values,
    )
    spans, errors, input_tokens, output_tokens, cost, priced, unpriced, estimated = sums
    if count == len(fitting(ids)) and condition.sql != "1":
        condition = condition.among(ids)
    elif count <= len(hashes) and not condition.is_of_time:
        condition = condition.among_hashes(hashes)
    made: tuple[Bucket, ...] = ()
    latencies: tuple[tuple[int, int], ...] = ()
    percentiles = None
    if count:
        start = first if query.since is None else max(first, pieces.bounded(query.since))
        end = last + 1 if query.until is None else min(last + 1, pieces.bounded(query.until))
        finest = SECOND if spans <= _COUNTABLE else MINUTE
        width = pieces.width(start, max(end, start + 1), buckets, finest)
        times = range(start - start % width, end + -end % width, width)
        plots = _Plots(reading, condition, times)
        made = plots.buckets()
        latencies = plots.latencies()
        if spans <= _COUNTABLE:
            percentiles = plots.percentiles()
    return Overview(
        threads=count,
        spans=spans,
        errors=errors,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=cost / COST_UNITS if priced else None,
        unpriced=unpriced,
        buckets=made,
        latencies=latencies,
        tags=tuple(reading.frequent("tag", condition.hours).get("tag", ())),
        percentiles=percentiles,
        is_partial=condition.found is not None and condition.found.is_partial,
        estimated=estimated / COST_UNITS,
    )


class _Plots:
    """What an overview shows of the threads that match a condition, over some times.

    Sums of days have what is coarser than their slots, and rows of activity all that is finer.
    """

    def __init__(self, reading: Reading, condition: Condition, times: range) -> None:
        self._reading = reading
        self._condition = condition
        self._times = times

    def buckets(self) -> tuple[Bucket, ...]:
        """Returns the sums of each time."""
        width = self._times.step
        if width % SLOT == 0:
            columns = f"{SLOT_AT} AS at, {OF_SLOTS}"
            rows = self._rows(JOINED_SLOTS, of_days=True)
        else:
            sums = ", ".join(f"sums.{number} AS {one}" for number, one in enumerate(PLOTTED, 1))
            columns = f"{_AT} AS at, {sums}"
            rows = self._rows("a.seconds AS second, a.of_seconds AS sums")
        found = self._ask(
            f"SELECT intDiv(at, {width}) * {width} AS began,"
            f" {', '.join(f'sum({one})' for one in PLOTTED)}"
            f" FROM (SELECT {columns} {rows})"
            " WHERE at >= {start:Int64} AND at < {end:Int64} GROUP BY began",
        )
        sums_of = {began: values for began, *values in found}
        return tuple(
            Bucket(
                start=began,
                end=began + width,
                spans=row[0],
                errors=row[1],
                input_tokens=row[2],
                output_tokens=row[3],
                cost=row[4] / COST_UNITS,
            )
            for began in self._times
            for row in [sums_of.get(began, [0] * 5)]
        )

    def latencies(self) -> tuple[tuple[int, int], ...]:
        """Returns the buckets of latencies of model calls, each with its number of calls."""
        if self._times.step % SLOT == 0:
            rows = self._rows(JOINED_CALLS, of_days=True)
            counted = (
                f"{CALL_BUCKET} AS bucket, toInt64(sum(number)) AS many {rows} AND number > 0"
                f" AND {CALL_AT} >= {{start:Int64}} AND {CALL_AT} < {{end:Int64}}"
            )
        else:
            bucket = bucket_of("latency")
            counted = f"toInt64({bucket}) AS bucket, count() {self._calls()}"
        found = dict(
            self._ask(
                f"SELECT {counted} GROUP BY bucket",
            )
        )
        if not found:
            return ()
        return tuple(
            (LATENCIES[bucket], found.get(bucket, 0))
            for bucket in range(min(found), max(found) + 1)
        )

    def _rows(self, arrays: str, *, of_days: bool = False) -> str:
        return self._reading.rows(self._condition, arrays, of_days=of_days)

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        times = self._times
        return self._reading.ask(query, **self._condition.values, start=times.start, end=times.stop)

    def _calls(self) -> str:
        """Returns SQL for the model calls of threads that began in a time."""
        calls = "a.call_seconds AS second, a.call_latencies AS latency, a.call_kinds AS kind"
        return (
            f"{self._rows(calls)} AND bitAnd(kind, {IS_CALL}) > 0"
            f" AND {_AT} >= {{start:Int64}} AND {_AT} < {{end:Int64}}"
        )

    def percentiles(self) -> tuple[int, int] | None:
        """Returns the exact median and 95th percentile of the latencies of model calls."""
        ((count, found),) = self._ask(
            f"SELECT count(), {_exact()} {self._calls()}",
        )
        return (found[0], found[1]) if count else None


def numbers(
    reading: Reading, query: ThreadQuery, by: Kind, names: Sequence[str], limit: int
) -> Numbers:
    """Sums up the model calls of all threads that match a query, group by group.

    Without a filter, it goes back no further than to as many spans as it may count.
    """
    since = _since(reading, query)
    if since is not None:
        query = replace(query, since=since)
    source = _Source(reading, query, by)
    counts, every = source.counts(names, limit)
    groups = list(names) or fitting(counts)
    start, end, width, sums = _sums(source, groups, counts)
    made = [
        _group(name, sums.get(name, {}), counts.get(name, _Counts()), source.is_of_calls)
        for name in groups
    ]
    return Numbers(
        tuple(sorted(made, key=lambda one: (-one.calls, one.name or ""))),
        start,
        end,
        width,
        0 if names else every - len(groups),
        is_partial=since is not None,
    )


def _since(reading: Reading, query: ThreadQuery) -> int | None:
    """Returns from when on there are not too many spans to count, or None if there never are."""
    condition = reading.condition(query, time.time_ns())
    if not condition.is_of_time:
        return None
    left = BUDGET
    since: int | None = None
    for day, spans in reading.spans_of_days(condition):
        left -= spans
        if left < 0 and since is not None:
            return since
        since = int(day) * DAY
    return None


class _Counts(NamedTuple):
    """What is counted of the threads of a group: calls that count, when these began, and so on."""

    threads: int = 0
    errors: int = 0
    good: int = 0
    bad: int = 0
    calls: int = 0
    first: int = 0
    last: int = 0


class _Source:
    """SQL for the rows of groups, with the name of the group in `label`.

    Attributes:
        is_of_calls: Whether groups are made of calls, and not of all that their threads did.
        is_call: SQL for whether a row is a call that counts.
    """

    def __init__(self, reading: Reading, query: ThreadQuery, by: Kind) -> None:
        self._reading = reading
        condition = reading.condition(query, time.time_ns())
        since = 0 if query.since is None else pieces.bounded(query.since)
        self._values: dict[str, Any] = {
            **condition.values,
            "begin": since - since % SECOND,
            "end": pieces.bounded(pieces.LATEST if query.until is None else query.until),
        }
        self.is_of_calls = by == "model"
        self.is_call = "1" if self.is_of_calls else _IS_CALL
        told = reading.feedback(hours_of(query.since))
        self._told = f"SELECT cityHash64(thread_id) AS thread, good, bad FROM ({told})"
        # What is joined is read, whether or not it is asked for.
        times = "a.call_seconds AS second"
        if self.is_of_calls:
            times += ", a.call_models AS model"
        calls = f"{times}, a.call_kinds AS kind, a.call_latencies AS latency, a.call_sums AS sums"
        is_in = f"{_AT} >= {{begin:Int64}} AND {_AT} < {{end:Int64}}"
        label = "model AS label, " if self.is_of_calls else ""
        self._calls = (
            f"SELECT {label}{_THREAD}, {_AT} AS at, latency, kind, sums"
            f" {reading.rows(condition, calls)} AND {is_in}"
        )
        if self.is_of_calls:
            self._counted = (
                f"SELECT {label}{_THREAD}, {_AT} AS at {reading.rows(condition, times)} AND {is_in}"
            )
            return
        column, name, of_kind = "facets", "one.2", f" AND one.1 = '{by}'"
        if by == "tag":
            column, name, of_kind = "labels", "one", ""
        self._labels = (
            f"SELECT DISTINCT {_THREAD}, {name} AS label"
            f" {reading.rows(condition, f'a.{column} AS one', of_days=True)}{of_kind}"
        )
        of_calls = (
            f"arrayMap(second -> {_AT}, arrayFilter((second, kind) -> {_IS_CALL} AND {is_in},"
            " a.call_seconds, a.call_kinds))"
        )
        self._counted = (
            f"SELECT {_THREAD}, sum(arrayCount(second -> {is_in}, a.seconds)) AS began,"
            f" sum(arraySum((second, failed) -> if({is_in}, failed, 0), a.seconds,"
            " a.of_seconds.`2`)) AS failed,"
            f" sum(length({of_calls} AS times)) AS number, minArray(times) AS earliest,"
            f" maxArray(times) AS latest {reading.rows(condition)} GROUP BY thread HAVING began > 0"
        )

    def ask(self, query: str, groups: Sequence[str] = (), **values: Any) -> list[tuple[Any, ...]]:
        """Returns the rows of a query about some groups."""
        return self._reading.ask(query, **self._values, groups=list(groups), **values)

    def calls(self) -> str:
        """Returns SQL for the calls of the groups in question."""
        return self._labelled(self._calls, _AMONG)

    def counts(self, groups: Sequence[str], limit: int) -> tuple[dict[str, _Counts], int]:
        """Counts some groups, or those that have the most, and says how many there are in all."""
        among = _AMONG if groups else "1"
        columns = "count() AS many, sum(failed), sum(good), sum(bad), sum(number),"
        columns += " minIf(earliest, number > 0), maxIf(latest, number > 0)"
        if self.is_of_calls:
            judged = "groupUniqArrayIf((some.thread, good, bad), good + bad > 0)"
            columns = f"uniqExact(some.thread), 0, arraySum(x -> x.2, {judged} AS judged),"
            columns += " arraySum(x -> x.3, judged), count() AS many, min(at), max(at)"
        found = self.ask(
            f"SELECT count() OVER (), label, {columns}"
            f" FROM ({self._labelled(self._counted, among)}) AS some"
            f" LEFT JOIN ({self._told}) AS told ON some.thread = told.thread"
            " GROUP BY label ORDER BY many DESC, label LIMIT {most:UInt64}",
            groups,
            most=max(limit, len(groups)),
        )
        counts = {label: _Counts(*map(int, row)) for _, label, *row in found}
        return counts, found[0][0] if found else 0

    def _labelled(self, rows: str, among: str) -> str:
        if self.is_of_calls:
            return f"SELECT * FROM ({rows}) WHERE {among}"
        return (
            f"SELECT some.*, label FROM ({rows}) AS some"
            f" INNER JOIN (SELECT * FROM ({self._labels}) WHERE {among}) AS named"
            " ON some.thread = named.thread"
        )


def _sums(
    source: _Source, groups: Sequence[str], counts: Mapping[str, _Counts]
) -> tuple[int, int, int, dict[str, dict[int | None, _Sums]]]:
    """Returns a time, the width of its intervals, and the sums of groups over each and in all."""
    counted = [one for name in groups if (one := counts.get(name, _Counts())).calls]
    start = min((one.first for one in counted), default=0)
    end = max((one.last for one in counted), default=0) + 1
    width = pieces.width(start, end, _SLICES)
    sums: dict[str, dict[int | None, _Sums]] = defaultdict(dict)
    for name, is_whole, began, *values in source.ask(
        f"SELECT label, grouping(began), began, {_COLUMNS.replace('COUNTS', source.is_call)} FROM"
        f" (SELECT *, intDiv(at, {width}) * {width} AS began FROM ({source.calls()}))"
        " GROUP BY GROUPING SETS ((label, began), (label)) ORDER BY began",
        groups,
    ):
        sums[name][None if is_whole else began] = _Sums(*values)
    return start - start % width, end + -end % width, width, sums


def _group(
    name: str,
    sums: dict[int | None, _Sums],
    counts: _Counts,
    is_of_calls: bool,  # noqa: FBT001
) -> Group:
    every = sums.get(None, _Sums())
    return Group(
        name=name or None,
        threads=counts.threads,
        calls=every.calls,
        errors=every.errors if is_of_calls else counts.errors,
        input_tokens=every.input_tokens,
        output_tokens=every.output_tokens,
        cost=every.cost / COST_UNITS if every.priced else None,
        unpriced=every.unpriced,
        p50=every.percentiles[0],
        p95=every.percentiles[1],
        good=counts.good,
        bad=counts.bad,
        slices=tuple(
            Slice(
                start,
                one.calls,
                one.input_tokens + one.output_tokens,
                one.cost / COST_UNITS,
                *one.percentiles,
            )
            for start, one in sums.items()
            if start is not None and one.calls
        ),
        estimated=every.estimated / COST_UNITS,
    )
