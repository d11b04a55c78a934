"""Queries for threads over what was summed up of them: `clickhouse_activity.py` has the tables.

Over a time, a query reads the days of it and no others: threads are found, sorted and added up by
what they did in these days. A list first finds the ids of its threads, and then reads all of these
threads alone. Without a filter, one by time walks back from its last hour until its page is full.
What is asked of many threads comes from the sums of their days, and what is finer from the rows of
few.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

from orq_otel.viewer.model.ids import LONG_ID, digest_of, short_id
from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.store import LABELS, PAGE
from orq_otel.viewer.model.threads import Stray, Thread, ThreadPage
from orq_otel.viewer.store import cursors, visits
from orq_otel.viewer.store.buckets import DAY
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_conditions import (
    BACK,
    COLUMNS,
    ORDERS,
    Condition,
    Conditions,
    hours_of,
)
from orq_otel.viewer.store.clickhouse_feedback import Feedback
from orq_otel.viewer.store.clickhouse_rows import of_days
from orq_otel.viewer.store.clickhouse_server import Server, fitting
from orq_otel.viewer.store.clickhouse_spans import Window
from orq_otel.viewer.store.clickhouse_texts import Found, Texts
from orq_otel.viewer.store.tally import COST_UNITS

_TAGS: Final = 200
#: Among how many traces without a thread those are looked for that stay without.
_STRAYS: Final = 200
_Labels = Literal["tag", "facet"]
#: The columns of `_thread`.
_THREAD: Final = (
    *("started", "last_active", "traces", "title", "spans", "errors", "input_tokens"),
    *("output_tokens", "cost", "priced", "unpriced", "estimated"),
)
_OF_ROWS: Final = {**COLUMNS, "traces": "toInt64(uniqExact(a.trace_id))"}


class Reading:
    """Answers from the tables of ours.

    Args:
        server: Where they are.
        tables: Their names.
    """

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._texts = Texts(server, tables)
        self._feedback = Feedback(server, tables)
        self._conditions = Conditions(self._texts, self._feedback)
        self._from = f"FROM {tables.name('activity')} AS a FINAL"
        self._days = f"FROM {tables.name('days')} AS a FINAL"
        self._every_date = f"FROM {tables.name('dates')} AS a"  # also those that are replaced
        self._dates = f"{self._every_date} FINAL"
        self._scope = f"AND {server.address.scope('a.service')}"
        self._values = server.address.scope_values

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns the threads that match a query."""
        after = cursors.decode(query)
        # All pages of a listing use the order that threads had when it began.
        now = time.time_ns() if after is None or after.now is None else after.now
        order = ORDERS[query.sort]
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
        told: Found | None = None
        last_value = None if after is None else after.value
        for condition in self._conditions.walk(query, now, last_value):
            told = condition.found
            found = self.ask(
                f"SELECT thread_id, {order} AS order, cityHash64(thread_id)"
                f" FROM ({self.of_threads(condition, order)})"
                f" WHERE {condition.sql}{position}"
                f" ORDER BY order {direction}, thread_id {direction} LIMIT {{most:UInt32}}",
                **condition.values,
                **place,
                most=query.limit + 1,
            )
            if len(found) > query.limit:
                break
        ids = fitting(row[0] for row in found[: query.limit])
        page = self._details(ids, is_brief=query.is_brief)
        cursor = None
        if page and len(found) > len(page):
            cursor = cursors.encode(query, found[len(page) - 1][1], page[-1], now)
        hits = {}
        if told is not None:
            rows = found[: len(page)]
            ids = [thread_id for thread_id, *_ in rows]
            hours = [told.hours[one] for *_, one in rows if one in told.hours]
            said = self._texts.hits(query.text, ids, hours)
            hits = {one.id: said[key] for one, key in zip(page, ids, strict=True) if key in said}
        return ThreadPage(page, cursor, hits, told is not None and told.is_partial)

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None."""
        ids = _Ids.of(short_id(thread_id))
        found = self.ask(
            f"SELECT DISTINCT thread_id {self._dates} WHERE {ids.where} AND a.thread_id != ''"
            f" {self._scope} ORDER BY length(thread_id) DESC LIMIT 1",
            **ids.values,
        )
        threads = self._details([one for (one,) in found])
        return threads[0] if threads else None

    def place(self, thread: Thread, query: ThreadQuery) -> int | None:
        """Returns the value by which a list sorts a thread, or None if it is gone."""
        thread_id = thread.id if thread.digest is None else self._id_of(thread.digest)
        # The list's time says what counts. Its filters let the thread in.
        of_time = ThreadQuery(since=query.since, until=query.until)
        condition = self._conditions.of(of_time, time.time_ns())
        order = ORDERS[query.sort]
        found = self.ask(
            f"SELECT {order} FROM ({self.of_threads(condition, order)})"
            " WHERE thread_id = {id:String}",
            **condition.values,
            id=thread_id or "",
        )
        return int(found[0][0]) if found else None

    def traces(self, thread_id: str) -> tuple[list[str], Window, bool]:
        """Returns the traces of a thread, and the time in which their spans began.

        And whether log records of a coding agent stand for some of these.
        """
        found = self.ask(
            f"SELECT a.trace_id, min(a.started), max(a.last_active), min(a.of_trace) {self._from}"
            f" WHERE a.thread_id = {{id:String}} AND {self._when([thread_id])} {self._scope}"
            " GROUP BY a.trace_id",
            id=thread_id,
        )
        if not found:
            return [], Window(0, 0), False
        traces, begins, ends, counts = zip(*found, strict=True)
        return list(traces), Window(min(begins), max(ends) + 1).around(), 0 in counts

    def strays(self, limit: int) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first, among the latest such traces."""
        now = time.time_ns()
        found: list[tuple[Any, ...]] = []
        for hours in (*(hours_of(now - back) for back in BACK), "1"):
            found = self.ask(
                "SELECT a.trace_id, argMin(a.service, a.started), sum(a.spans),"
                f" min(a.started) AS begun, max(a.started) {self._from}"
                f" WHERE a.thread_id = '' AND {hours} {self._scope}"
                " GROUP BY a.trace_id ORDER BY begun DESC, a.trace_id LIMIT {most:UInt32}",
                most=_STRAYS,
            )
            if len(found) == _STRAYS:
                break
        if not found:
            return ()
        hours = hours_of(min(one[3] for one in found) - DAY, max(one[4] for one in found) + DAY)
        threaded = self.ask(
            f"SELECT DISTINCT a.trace_id {self._from} WHERE a.thread_id != ''"
            f" AND a.trace_id IN {{ids:Array(String)}} AND {hours}",
            ids=[one[0] for one in found],
        )
        left = [one[:4] for one in found if (one[0],) not in threaded]
        return tuple(Stray(*one) for one in left[:limit])

    def labels(self, kind: Kind, text: str, limit: int) -> tuple[tuple[str, int], ...]:
        """Returns the most frequent labels of the last day, or of any time if it has none."""
        for hours in (hours_of(time.time_ns() - DAY), "1"):
            sort: _Labels = "tag" if kind == "tag" else "facet"
            if found := visits.once(
                (self, sort, hours, text, limit),
                functools.partial(self.frequent, sort, hours, text, limit),
            ):
                return tuple(found.get(kind, ()))
        return ()

    def condition(self, query: ThreadQuery, now: int) -> Condition:
        """Returns the condition of a query."""
        return self._conditions.of(query, now)

    def feedback(self, among: str) -> str:
        """Returns SQL for the numbers of evaluations of some threads."""
        return self._feedback.counts(among)

    def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Returns the rows of a query over the services in question."""
        return self._server.ask(query, {**self._values, **values})

    def of_threads(self, condition: Condition, *names: str) -> str:
        """Returns SQL for threads by what they did in some hours, with what is asked of them."""
        asked = " ".join((condition.sql, *names))
        columns = "".join(
            f", {sql} AS {name}"
            for name, sql in {**COLUMNS, **condition.columns}.items()
            if re.search(rf"\b{name}\b", asked)
        )
        return (
            f"SELECT a.thread_id AS thread_id{columns} {self._days}"
            f" WHERE {condition.hours} {self._scope} GROUP BY a.thread_id"
        )

    def spans_of_days(self, condition: Condition) -> list[tuple[Any, ...]]:
        """Returns the days of a condition, the latest first, and how many spans each has."""
        return self.ask(
            "SELECT intDiv(toInt64(toUnixTimestamp(a.hour)), 86400) AS day, sum(a.spans)"
            f" {self._days} WHERE {condition.hours} {self._scope} GROUP BY day ORDER BY day DESC"
        )

    def rows(self, condition: Condition, arrays: str = "", *, of_days: bool = False) -> str:
        """Returns SQL for rows of threads that match a condition, or for what is in their arrays.

        Args:
            condition: The condition.
            arrays: The arrays, with names for their elements, or "" for the rows.
            of_days: Whether they are those of sums of days.
        """
        among = (
            ""
            if condition.is_of_time
            else f" AND {condition.known}"
            if condition.known
            else f" AND a.thread_id IN (SELECT thread_id FROM ({self.of_threads(condition)})"
            f" WHERE {condition.sql})"
        )
        source = self._days if of_days else self._from
        some = "" if of_days else "a.thread_id != '' AND "  # days are of threads alone
        joined = arrays and f" ARRAY JOIN {arrays}"
        return f"{source}{joined} WHERE {some}{condition.hours} {self._scope}{among}"

    def frequent(
        self, sort: _Labels, hours: str, text: str = "", limit: int = _TAGS
    ) -> dict[str, list[tuple[str, int]]]:
        """Returns the most frequent labels of each kind, with their numbers of threads."""
        column, kind, label = "facets", "toString(one.1)", "one.2"
        if sort == "tag":
            column, kind, label = "labels", "'tag'", "one"
        found: dict[str, list[tuple[str, int]]] = {}
        for name, value, threads in self.ask(
            f"SELECT {kind} AS kind, {label} AS label,"
            " uniqExact(cityHash64(a.thread_id)) AS threads"
            f" {self._days} ARRAY JOIN a.{column} AS one"
            f" WHERE {hours} {self._scope} GROUP BY kind, label"
            f" HAVING lengthUTF8(label) <= {LONG_ID}"
            " AND ({wanted:String} = '' OR positionCaseInsensitiveUTF8(label, {wanted:String}) > 0)"
            " ORDER BY kind, threads DESC, label LIMIT {most:UInt32} BY kind",
            wanted=text,
            most=limit,
        ):
            found.setdefault(name, []).append((value, threads))
        return found

    def _id_of(self, digest: str) -> str | None:
        """Returns the long id with a digest, or None."""
        ids = _Ids((), (digest,))
        found = self.ask(
            f"SELECT DISTINCT a.thread_id {self._dates} WHERE {ids.where} LIMIT 1", **ids.values
        )
        return str(found[0][0]) if found else None

    def _details(self, ids: Sequence[str], *, is_brief: bool = False) -> tuple[Thread, ...]:
        """Returns threads with all that they ever did, as many as fit into a page."""
        if not ids:
            return ()
        when = self._when(ids)
        found = {
            row[0]: row
            for row in self.ask(
                f"SELECT thread_id, {_SHORT_ID}, {_cut('thread_id', is_brief=is_brief)},"
                f" {', '.join(_THREAD)} FROM ("
                f"SELECT a.thread_id AS thread_id,"
                f" {', '.join(f'{_OF_ROWS[one]} AS {one}' for one in _THREAD)}"
                f" {self._from} WHERE a.thread_id IN {{ids:Array(String)}} AND {when} {self._scope}"
                " GROUP BY a.thread_id)",
                ids=list(ids),
            )
        }
        labels, counts = self._labels(ids, when, is_brief=is_brief)
        evaluated = {
            thread: told
            for thread, *told in self.ask(
                self._feedback.counts("thread_id IN {ids:Array(String)}"), ids=list(ids)
            )
        }

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
            one = _thread(told, row, tags, models, digest)
            good, bad, evaluations = evaluated.get(thread_id, (0, 0, 0))
            page.append(replace(one, good=good, bad=bad, evaluations=evaluations))
        return tuple(page)

    def _when(self, ids: Sequence[str]) -> str:
        """Returns SQL for the days on which some threads did something, and perhaps more."""
        found = visits.once(
            (self, "when", *ids),
            lambda: self.ask(
                "SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(a.hour)), 86400)"
                f" {self._every_date} WHERE a.thread_id IN {{ids:Array(String)}} {self._scope}",
                ids=list(ids),
            ),
        )
        return of_days([int(day) for (day,) in found])

    def _labels(
        self, ids: Sequence[str], when: str, *, is_brief: bool
    ) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[str, str], int]]:
        """Returns tags and models of threads, as many as fit, and how many there are."""
        of_one = "PARTITION BY thread_id, kind"
        by = f"{of_one} ORDER BY first, label"
        some = f" AND number <= {_AT_A_GLANCE}" if is_brief else ""
        every = (
            "SELECT a.thread_id AS thread_id, one.1 AS kind, one.2 AS label,"
            f" min((one.3, one.4)) AS first {self._from} ARRAY JOIN arrayConcat("
            "arrayMap(x -> ('tag', x.1, x.2, x.3), a.tags),"
            " arrayMap(x -> ('model', x.1, x.2, toUInt32(0)), a.models)) AS one"
            f" WHERE a.thread_id IN {{ids:Array(String)}} AND {when} {self._scope}"
            " GROUP BY a.thread_id, kind, label"
        )
        labels: dict[tuple[str, str], list[str]] = {}
        counts: dict[tuple[str, str], int] = {}
        for thread_id, kind, count, label in self.ask(
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
        estimated=of["estimated"] / COST_UNITS,
        digest=digest,
        more_tags=tags[1],
        more_models=models[1],
    )
