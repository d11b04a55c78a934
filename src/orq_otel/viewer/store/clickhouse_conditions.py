"""Which threads a query is about, as SQL over what they did on some days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.queries import Sort, ThreadQuery
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import visits
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND
from orq_otel.viewer.store.clickhouse_days import TITLE, TITLE_AT
from orq_otel.viewer.store.clickhouse_feedback import Feedback
from orq_otel.viewer.store.clickhouse_rows import NEVER
from orq_otel.viewer.store.clickhouse_texts import Found, Texts
from orq_otel.viewer.store.tally import COST_UNITS, SUMS

#: How far a list by time goes back at first, and then. At last it reads all.
BACK: Final = (HOUR, DAY, 8 * DAY, 64 * DAY)

#: The table does not record when spans arrived. A time up to a day in the future counts as now; a
#: later one counts as 0, since the sender's clock must be wrong.
_AHEAD: Final = (
    "multiIf({0} <= {{now:Int64}}, {0}, {0} <= {{now:Int64}} + "
    f"{DAY}"
    ", {{now:Int64}}, toInt64(0))"
)
ACTIVE: Final = _AHEAD.format("last_active")
STARTED: Final = _AHEAD.format("started")
ORDERS: Final[dict[Sort, str]] = {
    "last_active": ACTIVE,
    "started": STARTED,
    "duration": "last_active - started",
    "spans": "spans",
    "tokens": "input_tokens + output_tokens",
    "cost": "if(priced > 0, cost, -1)",
    "errors": "errors",
}
_HAS: Final = "positionCaseInsensitiveUTF8({}, {{text:String}}) > 0"
_HAS_TEXT: Final = " OR ".join(
    (
        _HAS.format("a.thread_id"),
        f"arrayExists(x -> {_HAS.format('x')}, a.labels)",
        f"arrayExists(x -> {_HAS.format('x.2')}, a.facets)",
    )
)
#: What is known of a thread, by the names of conditions and orders.
COLUMNS: Final = {
    "started": "min(a.started)",
    "last_active": "max(a.last_active)",
    **{one: f"sum(a.{one})" for one in SUMS},
    # A day of a thread has its own earliest title, which is not that of the thread.
    "has_text": f"(max({_HAS_TEXT}) OR argMin({_HAS.format('a.title')}, {TITLE_AT}))",
    "title": f"tupleElement({TITLE}, 3)",
}


class Condition(NamedTuple):
    """A condition on threads, its parameters, and the hours in which they are looked for.

    Attributes:
        sql: The condition, on what `COLUMNS` and `columns` have.
        values: Its parameters.
        hours: SQL for the hours.
        columns: What it needs beside `COLUMNS`.
        found: The threads with the text of the query, or None if it has none.
        is_of_time: Whether it is on nothing but time: whatever happened in it is of such a thread.
        known: The condition on rows of threads that are known to match, or "".
    """

    sql: str
    values: dict[str, Any]
    hours: str
    columns: dict[str, str]
    found: Found | None = None
    is_of_time: bool = False
    known: str = ""

    def among(self, ids: Sequence[str]) -> Condition:
        """Returns it for threads that are known to match."""
        return self._known("a.thread_id IN {among:Array(String)}", ids)

    def among_hashes(self, hashes: Sequence[int]) -> Condition:
        """Returns it for threads that are known to match, by the hashes of their ids."""
        return self._known("cityHash64(a.thread_id) IN {among:Array(UInt64)}", hashes)

    def _known(self, sql: str, among: Sequence[Any]) -> Condition:
        values = {"now": self.values["now"], "among": list(among)}
        return self._replace(values=values, is_of_time=False, known=sql)


class Conditions:
    """Makes conditions.

    Args:
        texts: What was said in threads.
        feedback: The evaluations of threads.
    """

    def __init__(self, texts: Texts, feedback: Feedback) -> None:
        self._texts = texts
        self._feedback = feedback

    def of(self, query: ThreadQuery, now: int) -> Condition:
        """Returns the condition of a query.

        Args:
            query: The query.
            now: The time that counts as now.
        """
        columns, conditions, values = _filters(query)
        values["now"] = now
        hours = hours_of(query.since, query.until)
        found = None
        if query.text:
            text = query.text
            found = visits.once((self, text, hours), lambda: self._texts.find(text, hours))
            conditions.append("(has_text OR cityHash64(thread_id) IN {found:Array(UInt64)})")
            values |= {"text": query.text, "found": list(found.hours)}
        if query.feedback is not None:
            # It comes after what it is about.
            conditions.append(self._feedback.condition(query.feedback, hours_of(query.since)))
        is_of_time = not conditions
        if query.since is not None:
            conditions.append(f"{ACTIVE} >= {{since:Int64}}")
            values["since"] = pieces.bounded(query.since)
        if query.until is not None:
            conditions.append(f"{STARTED} < {{until:Int64}}")
            values["until"] = pieces.bounded(query.until)
        sql = " AND ".join(conditions) or "1"
        return Condition(sql, values, hours, columns, found, is_of_time)

    def walk(self, query: ThreadQuery, now: int, last: int | None) -> Iterator[Condition]:
        """Yields conditions with more and more time, until a page is full.

        With a filter, it is one with all of it: what a thread did in some says nothing of its cost.

        Args:
            query: The query.
            now: The time that counts as now.
            last: By what the last page's last thread was sorted, or None.
        """
        every = self.of(query, now)
        if every.is_of_time and query.sort == "last_active" and not query.ascending:
            latest = min(pieces.bounded(one) for one in (now, query.until, last) if one is not None)
            for back in BACK:
                begin = latest - back
                if query.since is not None and begin <= query.since:
                    break
                hours = hours_of(begin, query.until)
                if query.until is None:  # otherwise it matters when a thread began, too
                    hours += f" AND a.last_active >= {begin}"
                yield every._replace(hours=hours, sql=f"{every.sql} AND {ACTIVE} >= {begin}")
        yield every


def hours_of(since: int | None, until: int | None = None) -> str:
    """Returns SQL for the hours of rows that belong to a time."""
    hours = ["1"]
    if until is not None:
        end = -(-pieces.bounded(until) // SECOND)
        hours.append(f"a.hour < toDateTime({min(end, NEVER)}, 'UTC')")
    if since is not None:
        # A span may have begun in the day before.
        day = max(pieces.bounded(since) - HOUR, 0) // DAY * DAY // SECOND
        hours.append(f"a.hour >= toDateTime({min(day, NEVER)}, 'UTC')")
    return " AND ".join(hours)


def _filters(query: ThreadQuery) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    """Returns the conditions that are none on time, their columns, and their parameters.

    What a label is looked for in are rows, and not all labels of a thread put together.
    """
    conditions = []
    columns: dict[str, str] = {}
    values: dict[str, Any] = {}
    if query.errors:
        conditions.append("errors > 0")
    for compared, cost in ((">=", query.least_cost), ("<=", query.most_cost)):
        if cost is not None:
            amount = pieces.bounded(round(cost * COST_UNITS))
            conditions.append(f"priced > 0 AND cost {compared} {amount}")
    for compared, duration in ((">=", query.least_duration), ("<=", query.most_duration)):
        if duration is not None:
            conditions.append(f"last_active - started {compared} {pieces.bounded(duration)}")
    for kind in dict.fromkeys(kind for kind, _ in query.labels):
        has = f"x -> x.1 = '{kind}' AND has({{of_{kind}:Array(String)}}, x.2), a.facets"
        if kind == "tag":
            has = "x -> has({of_tag:Array(String)}, x), a.labels"
        columns[f"has_{kind}"] = f"max(arrayExists({has}))"
        values[f"of_{kind}"] = [value for other, value in query.labels if other == kind]
    tags = list(dict.fromkeys(query.tags))
    for number, some in enumerate([tags] if query.match == "any" and tags else [[t] for t in tags]):
        columns[f"has_tag_{number}"] = f"max(hasAny(a.labels, {{tags_{number}:Array(String)}}))"
        values[f"tags_{number}"] = some
    return columns, [*conditions, *columns], values
