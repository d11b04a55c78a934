"""Sums over the model calls of groups of threads in a SQLite file.

Those of some thousand calls are read one by one. Of more, sums are read from those that
`sqlite_groups` keeps, or from those of threads, and percentiles from a sample, unless somebody
wants those of all calls, and waits for them.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.sums import Group, Numbers, Slice
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import sqlite_search
from orq_otel.viewer.store.buckets import HOUR
from orq_otel.viewer.store.sqlite_conditions import matching, times, where_of
from orq_otel.viewer.store.sqlite_groups import Part
from orq_otel.viewer.store.sqlite_many import (
    Found,
    Latencies,
    Many,
    Parts,
    Samples,
    Threads,
    labels_of,
)
from orq_otel.viewer.store.sqlite_rows import listed, text
from orq_otel.viewer.store.tally import COST_UNITS

#: How many intervals of time the slices of a group have at most.
_SLICES: Final = 30
#: Up to this number of spans, all is computed from the spans themselves, as fine as possible.
_COUNTABLE: Final = 20_000
#: Written so that the index of latencies, which lacks the rest of a call, is not taken for it.
_COUNTED: Final = "is_model_call > 0"


def numbers(  # noqa: PLR0913, PLR0917 - what is asked, and of whom
    connection: sqlite3.Connection,
    query: ThreadQuery,
    by: Kind,
    names: Sequence[str],
    limit: int,
    searches: sqlite_search.Searches,
    samples: Samples,
) -> Numbers:
    """Sums up the model calls of all threads that match a query, group by group."""
    found_text = searches.find(connection, query.text) if query.text else None
    conditions = matching(connection, query, found_text)
    where, values = where_of(conditions)
    is_filtered = len(conditions) > times(query)
    spans, *ends = _extent(connection, query, where if is_filtered else "", values)
    wanted = [text(name) for name in names]
    if spans <= _COUNTABLE or query.is_exact:
        found = _Few(connection, query, by, where, values).find(wanted, limit)
    else:
        many = Many(connection, query, by, where, values, samples, is_filtered=is_filtered)
        found = many.find(wanted, limit, pieces.bounded(ends[0]), ends[1], _SLICES)
    made = [
        _group(name, found.parts.get(name, []), found, found.threads.get(name))
        for name in found.names
        if names or any(map(any, found.parts.get(name, [])))  # without calls, nothing is to say
    ]
    return Numbers(
        tuple(sorted(made, key=lambda one: (-one.calls, one.name or ""))),
        found.start - found.start % found.width,
        found.end + -found.end % found.width,
        found.width,
        found.more,
    )


def _extent(
    connection: sqlite3.Connection, query: ThreadQuery, where: str, values: Sequence[Any]
) -> tuple[int, int, int]:
    """Returns about how many spans are asked for, the first start, and the last end."""
    if where:
        table = f"(SELECT spans, started AS start, last_active AS end FROM threads {where})"
        found = connection.execute(
            f"SELECT TOTAL(spans), MIN(start), MAX(end) FROM {table}", values
        )
    else:
        found = connection.execute(
            f"SELECT TOTAL(spans), MIN(start), MAX(start) + {HOUR} FROM activity"
            f" WHERE width = {HOUR} AND start > ? AND start < ?",
            (
                -1 if query.since is None else pieces.bounded(query.since) - HOUR,
                pieces.bounded(pieces.LATEST if query.until is None else query.until),
            ),
        )
    spans, start, end = found.fetchone()
    return int(spans), start or 0, end or 1


class _Few:
    """Reads groups from spans and calls, one by one.

    Args:
        connection: Where they are.
        query: Which threads.
        by: What the groups are made by.
        where: The condition on threads.
        values: Its parameters.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: ThreadQuery,
        by: Kind,
        where: str,
        values: Sequence[Any],
    ) -> None:
        self._connection = connection
        among = "IS NOT NULL"
        self._values: tuple[Any, ...] = ()
        if where:
            # Found once: each sum needs them.
            among = "IN (SELECT value FROM json_each(?))"
            self._values = (listed(connection, f"threads {where}", values),)
        during = ""
        for compared, time in ((">=", query.since), ("<", query.until)):
            if time is not None:
                during += f" AND start {compared} {pieces.bounded(time)}"
        if by == "model":
            labels = calls = "(SELECT *, model AS label FROM calls) AS labels"
        else:
            labels = labels_of(by)
            calls = f"{labels} CROSS JOIN spans USING (thread)"
        # All of `calls` count, which has those that failed. Others fail, too.
        self._is_call = "1" if by == "model" else "is_model_call"
        self._names = (
            f"SELECT label FROM {labels} WHERE thread {among} GROUP BY 1 ORDER BY COUNT(*) DESC, 1"
        )
        self._from = f"FROM {calls} WHERE thread {among}{during}"

    def find(self, names: Sequence[str], limit: int) -> Found:
        """Returns the groups with some names, or those of the most threads or calls."""
        groups: list[str | None] = list(names)
        more = 0
        if not names:
            found = self._connection.execute(self._names, self._values).fetchall()
            groups = [name for (name,) in found[:limit]]
            more = len(found) - len(groups)
        marks = ", ".join("?" * len(groups))
        is_null = " OR label IS NULL" if None in groups else ""
        self._from += f" AND (label IN ({marks}){is_null})"
        self._values += tuple(groups)
        start, end = self._times()
        width = pieces.width(start, end, _SLICES)
        at = f"start / {width} * {width}"
        return Found(
            groups, more, start, end, width, self._parts(at), self._latencies(at), self._threads()
        )

    def _times(self) -> tuple[int, int]:
        start, end = self._connection.execute(
            f"SELECT MIN(start), MAX(start) {self._from} AND {self._is_call}", self._values
        ).fetchone()
        return (0, 1) if start is None else (start, end + 1)

    def _parts(self, at: str) -> Parts:
        """Returns the sums of each group over each interval of time."""
        found: Parts = defaultdict(list)
        for name, *values in self._connection.execute(
            f"SELECT label, {at}, TOTAL({self._is_call}), TOTAL(is_error),"
            " TOTAL(CASE WHEN is_model_call THEN input_tokens END),"
            " TOTAL(CASE WHEN is_model_call THEN output_tokens END), TOTAL(cost), COUNT(cost),"
            " TOTAL(is_model_call AND cost IS NULL), TOTAL(estimated)"
            f" {self._from} GROUP BY 1, 2 ORDER BY 2",
            self._values,
        ):
            found[name].append(Part(*map(int, values)))
        return found

    def _latencies(self, at: str) -> Latencies:
        """Returns the sorted latencies of the calls of each group, by intervals of time.

        SQLite's window functions would rank them, in ten times the time.
        """
        found: defaultdict[str | None, defaultdict[int, list[int]]]
        found = defaultdict(lambda: defaultdict(list))
        for name, start, latency in self._connection.execute(
            f"SELECT label, {at}, max(end - start, 0) {self._from} AND {_COUNTED} ORDER BY 3",
            self._values,
        ):
            found[name][start].append(latency)
        return found

    def _threads(self) -> Threads:
        """Returns the number of threads of each group, and of good and bad evaluations of these."""
        return {
            name: (int(threads), int(good), int(bad))
            for name, threads, good, bad in self._connection.execute(
                "SELECT name, COUNT(*), TOTAL(good), TOTAL(bad) FROM (SELECT DISTINCT"
                f" label AS name, thread {self._from})"
                " LEFT JOIN thread_feedback USING (thread) GROUP BY 1",
                self._values,
            )
        }


def _group(
    name: str | None,
    parts: Sequence[Part],
    found: Found,
    counts: tuple[int, int, int] | None,
) -> Group:
    latencies: Mapping[int, Sequence[int]] = found.latencies.get(name, {})
    sums = Part(*map(sum, zip(*parts, strict=True))) if parts else Part(*[0] * len(Part._fields))
    all_latencies = sorted(chain.from_iterable(latencies.values()))
    half, most = _percentiles(all_latencies)
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
        sampled=len(all_latencies) if name in found.sampled else 0,
        estimated=sums.estimated / COST_UNITS,
    )


def _percentiles(latencies: Sequence[int]) -> tuple[int, int]:
    """Returns the percentiles of sorted latencies, or 0 where there are none."""
    if not latencies:
        return 0, 0
    half, most = (latencies[pieces.rank(len(latencies), one)] for one in pieces.PERCENTILES)
    return half, most
