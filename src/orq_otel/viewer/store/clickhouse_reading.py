"""Queries for threads over what was summed up of them: `clickhouse_activity.py` has the tables.

Over a time, a query reads the days of it and no others: threads are found, sorted and added up by
what they did in these days. A list first finds the ids of its threads, and then reads all of these
threads alone. Without a time, it walks back from today until its page is full.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model import (
    LABELS,
    LONG_ID,
    PAGE,
    Ability,
    Bucket,
    Kind,
    Overview,
    Sort,
    Stray,
    Thread,
    ThreadPage,
    ThreadQuery,
    digest_of,
    short_id,
)
from orq_otel.viewer.store import abilities, cursors
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store.buckets import DAY, HOUR, LATENCIES, MINUTE, PERCENTILES, SECOND
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_server import Server
from orq_otel.viewer.store.clickhouse_spans import Window
from orq_otel.viewer.store.tally import COST_UNITS

ABILITIES: Final[frozenset[Ability]] = frozenset({"labels", "cost"})
"""What can be asked of the sums, of what not every store can do."""

#: Up to this number of spans, percentiles are exact, and plots are as fine as a second.
_COUNTABLE: Final = 20_000
_TAGS: Final = 200
#: How many days a list without a time goes back at first, and then. At last it reads all.
_BACK: Final = (1, 8, 64)
#: The latest hour of a row, in seconds, and one after it.
_NEVER: Final = 2**32 - 1
#: Stands for the start of the title's span if a thread has no title.
_NO_TITLE: Final = 2**63 - 1

#: The table does not record when spans arrived. A time up to a day in the future counts as now; a
#: later one counts as 0, since the sender's clock must be wrong.
_AHEAD: Final = (
    "multiIf({0} <= {{now:Int64}}, {0}, {0} <= {{now:Int64}} + "
    f"{DAY}"
    ", {{now:Int64}}, toInt64(0))"
)
_ACTIVE: Final = _AHEAD.format("last_active")
_STARTED: Final = _AHEAD.format("started")
_ORDERS: Final[dict[Sort, str]] = {
    "last_active": _ACTIVE,
    "started": _STARTED,
    "duration": "last_active - started",
    "spans": "spans",
    "tokens": "input_tokens + output_tokens",
    "cost": "if(priced > 0, cost, -1)",
    "errors": "errors",
}
_SUMS: Final = ("spans", "errors", "input_tokens", "output_tokens", "cost", "priced", "unpriced")
#: What is known of a thread, by the names of conditions and orders.
_COLUMNS: Final = {
    "started": "min(a.started)",
    "last_active": "max(a.last_active)",
    "traces": "toInt64(uniqExact(a.trace_id))",
    **{one: f"sum(a.{one})" for one in _SUMS},
    "title": f"tupleElement(min(if(a.title = '', (toInt64({_NO_TITLE}), '', ''),"
    " (a.title_start, a.title_span, a.title))), 3)",
    "labels": "groupUniqArrayArray(arrayMap(x -> x.1, a.tags))",
    "facets": "groupUniqArrayArray(a.facets)",
}
#: The columns of `_thread`.
_THREAD: Final = (
    *("started", "last_active", "traces", "title", "spans", "errors", "input_tokens"),
    *("output_tokens", "cost", "priced", "unpriced"),
)


class _Condition(NamedTuple):
    """A condition on threads, its parameters, and the hours in which they are looked for."""

    sql: str
    values: dict[str, Any]
    hours: str


class Reading:
    """Answers from the tables of ours.

    Args:
        server: Where they are.
        tables: Their names.
    """

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._from = f"FROM {tables.name('activity')} AS a FINAL"
        services = server.address.services
        self._scope = "AND a.service IN {services:Array(String)}" if services else ""
        self._values: dict[str, Any] = {"services": list(services)} if services else {}

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns the threads that match a query."""
        after = cursors.decode(query)
        # All pages of a listing use the order that threads had when it began.
        now = time.time_ns() if after is None or after.now is None else after.now
        order = _ORDERS[query.sort]
        direction, beyond = ("ASC", ">") if query.ascending else ("DESC", "<")
        position, place = "", {}
        if after is not None:
            last = after.thread_id
            if after.digest is not None:
                last = self._id_of(after.digest)
            # If the thread is gone, only its sort value is left: others with the same value repeat.
            equal = "1" if last is None else f"thread_id {beyond} {{last:String}}"
            position = (
                f" AND (order {beyond} {{value:Int64}} OR (order = {{value:Int64}} AND {equal}))"
            )
            place = {"value": after.value, "last": last or ""}
        found: list[tuple[Any, ...]] = []
        for condition in _walk(query, now):
            found = self._ask(
                f"SELECT thread_id, {order} AS order"
                f" FROM ({self._threads(condition, order)})"
                f" WHERE {condition.sql}{position}"
                f" ORDER BY order {direction}, thread_id {direction} LIMIT {{most:UInt32}}",
                **condition.values,
                **place,
                most=query.limit + 1,
            )
            if len(found) > query.limit:
                break
        page = self._details([row[0] for row in found[: query.limit]], is_brief=query.is_brief)
        cursor = None
        if page and len(found) > len(page):
            cursor = cursors.encode(query, found[len(page) - 1][1], page[-1], now)
        return ThreadPage(page, cursor)

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None."""
        ids = _Ids.of(short_id(thread_id))
        found = self._ask(
            f"SELECT DISTINCT thread_id {self._from} WHERE {ids.where} AND a.thread_id != ''"
            f" {self._scope} ORDER BY length(thread_id) DESC LIMIT 1",
            **ids.values,
        )
        threads = self._details([one for (one,) in found])
        return threads[0] if threads else None

    def traces(self, thread_id: str) -> tuple[list[str], Window]:
        """Returns the traces of a thread, and the time in which their spans began."""
        found = self._ask(
            f"SELECT a.trace_id, min(a.started), max(a.last_active) {self._from}"
            f" WHERE a.thread_id = {{id:String}} {self._scope} GROUP BY a.trace_id",
            id=thread_id,
        )
        if not found:
            return [], Window(0, 0)
        begin, end = min(one for _, one, _ in found), max(one for *_, one in found)
        return [one for one, _, _ in found], Window(begin, end + 1).around()

    def strays(self, limit: int) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first."""
        found = self._ask(
            "SELECT a.trace_id, argMax(a.service, a.started), sum(a.spans), min(a.started)"
            f" {self._from} WHERE a.thread_id = '' {self._scope} AND a.trace_id NOT IN ("
            f"SELECT a.trace_id {self._from} WHERE a.thread_id != '')"
            " GROUP BY a.trace_id ORDER BY max(a.started) DESC LIMIT {most:UInt32}",
            most=limit,
        )
        return tuple(Stray(*one) for one in found)

    def overview(self, query: ThreadQuery, buckets: int) -> Overview:
        """Sums up all threads that match a query."""
        condition = _condition(query, time.time_ns())
        names = ("started", "last_active", *_SUMS)
        ((count, first, last, *sums),) = self._ask(
            "SELECT count(), min(started), max(last_active),"
            f" {', '.join(f'sum({one})' for one in _SUMS)}"
            f" FROM ({self._threads(condition, *names)}) WHERE {condition.sql}",
            **condition.values,
        )
        spans, errors, input_tokens, output_tokens, cost, priced, unpriced = sums
        rows = self._rows(condition)
        made: tuple[Bucket, ...] = ()
        latencies: tuple[tuple[int, int], ...] = ()
        percentiles = None
        if count:
            start = first if query.since is None else max(first, pieces.bounded(query.since))
            end = last + 1 if query.until is None else min(last + 1, pieces.bounded(query.until))
            finest = SECOND if spans <= _COUNTABLE else MINUTE
            width = pieces.width(start, max(end, start + 1), buckets, finest)
            times = range(start - start % width, end + -end % width, width)
            made = self._buckets(rows, condition, times)
            latencies = self._latencies(rows, condition, times)
            if spans <= _COUNTABLE:
                percentiles = self._percentiles(rows, condition, times)
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
            tags=self._frequent("tag", condition),
            percentiles=percentiles,
        )

    def labels(self, kind: Kind, text: str, limit: int) -> tuple[tuple[str, int], ...]:
        """Returns the most frequent labels of the last day, or of any time if it has none."""
        now = time.time_ns()
        query = ThreadQuery()
        return self._frequent(kind, _condition(query, now, now - DAY), text, limit) or (
            self._frequent(kind, _condition(query, now), text, limit)
        )

    def _ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._server.ask(query, {**self._values, **values})

    def _threads(self, condition: _Condition, *names: str) -> str:
        """Returns SQL for threads by what they did in some hours, with what is asked of them."""
        asked = " ".join((condition.sql, *names))
        columns = "".join(
            f", {sql} AS {name}"
            for name, sql in _COLUMNS.items()
            if re.search(rf"\b{name}\b", asked)
        )
        return (
            f"SELECT a.thread_id AS thread_id{columns} {self._from}"
            f" WHERE a.thread_id != '' AND {condition.hours} {self._scope} GROUP BY a.thread_id"
        )

    def _rows(self, condition: _Condition) -> str:
        """Returns SQL for the rows of threads that match a condition."""
        among = (
            ""
            if condition.sql == "1"
            else f" AND a.thread_id IN (SELECT thread_id FROM ({self._threads(condition)})"
            f" WHERE {condition.sql})"
        )
        return f"{self._from} WHERE a.thread_id != '' AND {condition.hours} {self._scope}{among}"

    def _buckets(self, rows: str, condition: _Condition, times: range) -> tuple[Bucket, ...]:
        width = times.step
        hour = f"toInt64(toUnixTimestamp(a.hour)) * {SECOND}"
        if width % HOUR == 0:
            columns = f"{hour} AS at, {', '.join(f'a.{one} AS {one}' for one in _SUMS[:5])}"
        else:
            columns = f"{hour} + second * {SECOND} AS at, " + ", ".join(
                f"sums.{number} AS {one}" for number, one in enumerate(_SUMS[:5], 1)
            )
            rows = rows.replace(
                " WHERE ", " ARRAY JOIN a.seconds AS second, a.of_seconds AS sums WHERE ", 1
            )
        found = self._ask(
            f"SELECT intDiv(at, {width}) * {width} AS began,"
            f" {', '.join(f'sum({one})' for one in _SUMS[:5])}"
            f" FROM (SELECT {columns} {rows})"
            " WHERE at >= {start:Int64} AND at < {end:Int64} GROUP BY began",
            **condition.values,
            start=times.start,
            end=times.stop,
        )
        sums = {began: values for began, *values in found}
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
            for began in times
            for row in [sums.get(began, [0] * 5)]
        )

    def _latencies(
        self, rows: str, condition: _Condition, times: range
    ) -> tuple[tuple[int, int], ...]:
        bucket = f"arrayFirstIndex(most -> most >= call.2, {list(LATENCIES)})"
        found = dict(
            self._ask(
                f"SELECT toInt64(if({bucket} = 0, {len(LATENCIES)}, {bucket})) - 1 AS bucket,"
                f" count() {_calls(rows)} GROUP BY bucket",
                **condition.values,
                start=times.start,
                end=times.stop,
            )
        )
        if not found:
            return ()
        return tuple(
            (LATENCIES[bucket], found.get(bucket, 0))
            for bucket in range(min(found), max(found) + 1)
        )

    def _percentiles(
        self, rows: str, condition: _Condition, times: range
    ) -> tuple[int, int] | None:
        """Returns the exact median and 95th percentile of the latencies of model calls."""
        ((latencies,),) = self._ask(
            f"SELECT arraySort(groupArray(call.2)) {_calls(rows)}",
            **condition.values,
            start=times.start,
            end=times.stop,
        )
        if not latencies:
            return None
        half, most = (latencies[pieces.rank(len(latencies), one)] for one in PERCENTILES)
        return half, most

    def _frequent(
        self, kind: Kind, condition: _Condition, text: str = "", limit: int = _TAGS
    ) -> tuple[tuple[str, int], ...]:
        """Returns the most frequent labels of some hours, each with its number of threads."""
        name, column = ("one.1", "tags") if kind == "tag" else ("one.2", "facets")
        of_kind = "" if kind == "tag" else f" AND one.1 = '{kind}'"
        found = self._ask(
            f"SELECT {name} AS label, uniqExact(a.thread_id) AS threads"
            f" {self._from} ARRAY JOIN a.{column} AS one"
            f" WHERE a.thread_id != '' AND {condition.hours} {self._scope}"
            f" AND lengthUTF8(label) <= {LONG_ID}{of_kind}"
            " AND ({wanted:String} = '' OR positionCaseInsensitiveUTF8(label, {wanted:String}) > 0)"
            " GROUP BY label ORDER BY threads DESC, label LIMIT {most:UInt32}",
            **condition.values,
            wanted=text,
            most=limit,
        )
        return tuple((label, threads) for label, threads in found)

    def _id_of(self, digest: str) -> str | None:
        """Returns the long id with a digest, or None."""
        ids = _Ids((), (digest,))
        found = self._ask(
            f"SELECT DISTINCT a.thread_id {self._from} WHERE {ids.where} LIMIT 1", **ids.values
        )
        return str(found[0][0]) if found else None

    def _details(self, ids: Sequence[str], *, is_brief: bool = False) -> tuple[Thread, ...]:
        """Returns threads with all that they ever did, as many as fit into a page."""
        if not ids:
            return ()
        found = {
            row[0]: row
            for row in self._ask(
                f"SELECT thread_id, {_SHORT_ID}, {_cut('thread_id', is_brief=is_brief)},"
                f" {', '.join(_THREAD)} FROM ("
                f"SELECT a.thread_id AS thread_id,"
                f" {', '.join(f'{_COLUMNS[one]} AS {one}' for one in _THREAD)}"
                f" {self._from} WHERE a.thread_id IN {{ids:Array(String)}} {self._scope}"
                " GROUP BY a.thread_id)",
                ids=list(ids),
            )
        }
        labels, counts = self._labels(ids, is_brief=is_brief)

        def labelled(thread_id: str, kind: str) -> tuple[tuple[str, ...], int]:
            shown = tuple(labels.get((thread_id, kind), ()))
            return shown, counts.get((thread_id, kind), 0) - len(shown)

        page: list[Thread] = []
        left = PAGE
        for thread_id in ids:
            if thread_id not in found:  # it has just been deleted
                continue
            _, short, told, *row = found[thread_id]
            tags, models = labelled(thread_id, "tag"), labelled(thread_id, "model")
            left -= _REST + len(told) + sum(map(len, (*tags[0], *models[0])))
            if left < 0 and page:
                break
            digest = digest_of(short) if short != thread_id else None
            page.append(_thread(told, row, tags, models, digest))
        return tuple(page)

    def _labels(
        self, ids: Sequence[str], *, is_brief: bool
    ) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[str, str], int]]:
        """Returns tags and models of threads, as many as fit, and how many there are."""
        of_one = "PARTITION BY thread_id, kind"
        by = f"{of_one} ORDER BY first, label"
        some = f" AND number <= {_AT_A_GLANCE}" if is_brief else ""
        every = " UNION ALL ".join(
            f"SELECT a.thread_id AS thread_id, '{kind}' AS kind, one.1 AS label,"
            f" min({first}) AS first {self._from} ARRAY JOIN a.{column} AS one"
            f" WHERE a.thread_id IN {{ids:Array(String)}} {self._scope}"
            " GROUP BY a.thread_id, label"
            for kind, column, first in (
                ("tag", "tags", "(one.2, one.3)"),
                ("model", "models", "(one.2, toUInt32(0))"),
            )
        )
        labels: dict[tuple[str, str], list[str]] = {}
        counts: dict[tuple[str, str], int] = {}
        for thread_id, kind, count, label in self._ask(
            "SELECT thread_id, kind, found, told FROM ("
            f"SELECT *, {_cut('label', is_brief=is_brief)} AS told,"
            f" row_number() OVER ({by}) AS number, count() OVER ({of_one}) AS found,"
            f" sum(length(told)) OVER ({by} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
            f" AS taken FROM ({every}))"
            f" WHERE (number = 1 OR taken <= {{size:UInt64}}){some}"
            " ORDER BY thread_id, kind, number",
            ids=list(ids),
            size=max(LABELS // len(ids), _LEAST_LABELS),
        ):
            labels.setdefault((thread_id, kind), []).append(label)
            counts[thread_id, kind] = count
        return labels, counts


def _calls(rows: str) -> str:
    """Returns SQL for the model calls of rows that began in a time."""
    at = f"(toInt64(toUnixTimestamp(a.hour)) + call.1) * {SECOND}"
    joined = rows.replace(" WHERE ", " ARRAY JOIN a.calls AS call WHERE ", 1)
    return f"{joined} AND {at} >= {{start:Int64}} AND {at} < {{end:Int64}}"


#: The digest of a thread's id, which stands for a long id.
_DIGEST: Final = "lower(hex(SHA256(thread_id)))"
_IS_LONG: Final = f"lengthUTF8(thread_id) > {LONG_ID}"
_SHORT_ID: Final = f"if({_IS_LONG}, concat('sha256:', {_DIGEST}), thread_id) AS short"
#: How many labels of a kind a list of threads shows.
_AT_A_GLANCE: Final = 8
#: Each thread's labels get at least this many bytes, however many threads there are.
_LEAST_LABELS: Final = 8192
#: The approximate size in JSON of a thread without its long texts, in bytes.
_REST: Final = 500


class _Ids(NamedTuple):
    """A condition for some threads, by their ids and, for long ones, digests."""

    ids: tuple[str, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, *short_ids: str) -> _Ids:
        """Creates one from short ids."""
        digests = [found for one in short_ids if (found := digest_of(one)) is not None]
        return cls(short_ids, tuple(digests))

    @property
    def where(self) -> str:
        among = "a.thread_id IN {ids:Array(String)}"
        if not self.digests:
            return among
        return f"({among} OR ({_IS_LONG} AND {_DIGEST} IN {{digests:Array(String)}}))"

    @property
    def values(self) -> dict[str, Any]:
        values = {"ids": list(self.ids)}
        return values | {"digests": list(self.digests)} if self.digests else values


def _cut(text: str, *, is_brief: bool) -> str:
    # One character more than a short text may have shows that it is long.
    return f"substringUTF8({text}, 1, {LONG_ID + 1})" if is_brief else text


def _thread(
    thread_id: str,
    row: Sequence[Any],
    tags: tuple[tuple[str, ...], int],
    models: tuple[tuple[str, ...], int],
    digest: str | None,
) -> Thread:
    """Builds a thread. Tags and models come with how many of them are left out."""
    of = dict(zip(_THREAD, row, strict=True))
    return Thread(
        id=thread_id,
        title=of["title"] or None,
        tags=tags[0],
        started=of["started"],
        last_active=of["last_active"],
        traces=of["traces"],
        spans=of["spans"],
        errors=of["errors"],
        models=models[0],
        input_tokens=of["input_tokens"],
        output_tokens=of["output_tokens"],
        cost=of["cost"] / COST_UNITS if of["priced"] else None,
        unpriced=of["unpriced"],
        digest=digest,
        more_tags=tags[1],
        more_models=models[1],
    )


def _walk(query: ThreadQuery, now: int) -> Iterator[_Condition]:
    """Yields conditions with more and more days, until one is full."""
    if query.since is None and query.sort == "last_active" and not query.ascending:
        latest = now if query.until is None else min(now, pieces.bounded(query.until))
        for days in _BACK:
            yield _condition(query, now, latest - days * DAY)
    yield _condition(query, now)


def _condition(query: ThreadQuery, now: int, begin: int | None = None) -> _Condition:
    """Returns a condition for threads.

    Args:
        query: What is asked.
        now: The time that counts as now.
        begin: Only what happened since, if it is no whole answer.
    """
    abilities.check(query, ABILITIES, "ClickHouse with sums")
    conditions = []
    hours = ["1"]
    values: dict[str, Any] = {"now": now}
    if query.since is not None:
        since = pieces.bounded(query.since)
        conditions.append(f"{_ACTIVE} >= {{since:Int64}}")
        values["since"] = since
        begin = since if begin is None else max(begin, since)
    if query.until is not None:
        until = pieces.bounded(query.until)
        conditions.append(f"{_STARTED} < {{until:Int64}}")
        values["until"] = until
        hours.append(f"a.hour < toDateTime({min(-(-until // SECOND), _NEVER)}, 'UTC')")
    if begin is not None:
        # A span may have begun in the day before.
        day = max(begin - HOUR, 0) // DAY * DAY // SECOND
        hours.append(f"a.hour >= toDateTime({min(day, _NEVER)}, 'UTC')")
    found, more = _filters(query)
    every = " AND ".join((*conditions, *found)) or "1"
    return _Condition(every, values | more, " AND ".join(hours))


def _filters(query: ThreadQuery) -> tuple[list[str], dict[str, Any]]:
    """Returns the conditions that are none on time, and their parameters."""
    conditions = []
    values: dict[str, Any] = {}
    if query.errors:
        conditions.append("errors > 0")
    if query.text:
        has = "positionCaseInsensitiveUTF8({}, {{text:String}}) > 0"
        conditions.append(
            f"({has.format('thread_id')} OR {has.format('title')}"
            f" OR arrayExists(x -> {has.format('x')}, labels)"
            f" OR arrayExists(x -> {has.format('x.2')}, facets))"
        )
        values["text"] = query.text
    for compared, cost in ((">=", query.least_cost), ("<=", query.most_cost)):
        if cost is not None:
            amount = pieces.bounded(round(cost * COST_UNITS))
            conditions.append(f"priced > 0 AND cost {compared} {amount}")
    for compared, duration in ((">=", query.least_duration), ("<=", query.most_duration)):
        if duration is not None:
            conditions.append(f"last_active - started {compared} {pieces.bounded(duration)}")
    for kind in dict.fromkeys(kind for kind, _ in query.labels):
        wanted = [value for other, value in query.labels if other == kind]
        has = "has({of_KIND:Array(String)}, x.2) AND x.1 = 'KIND', facets"
        if kind == "tag":
            has = "has({of_KIND:Array(String)}, x), labels"
        conditions.append(f"arrayExists(x -> {has.replace('KIND', kind)})")
        values[f"of_{kind}"] = wanted
    if query.tags:
        has = "hasAll" if query.match == "all" else "hasAny"
        conditions.append(f"{has}(labels, {{tags:Array(String)}})")
        values["tags"] = list(dict.fromkeys(query.tags))
    return conditions, values
