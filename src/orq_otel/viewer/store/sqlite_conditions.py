"""What threads have to match, as conditions of SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.queries import Feedback, Kind, Sort, ThreadQuery
from orq_otel.viewer.store import buckets as pieces
from orq_otel.viewer.store import sqlite_search
from orq_otel.viewer.store.sqlite_rows import text
from orq_otel.viewer.store.tally import COST_UNITS

#: The sort keys of threads. Each has an index.
ORDERS: Final[dict[Sort, str]] = {
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
FEW: Final = 2000


class Condition(NamedTuple):
    """A condition on threads, and its parameters."""

    sql: str
    values: tuple[Any, ...]


def first(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    """Returns the first value of the first row, or None."""
    found = connection.execute(query, values).fetchone()
    return None if found is None else found[0]


def rows(connection: sqlite3.Connection, columns: int, query: str, *values: Any) -> list[list[Any]]:
    """Returns all rows of a query, whose values are integers and texts.

    SQLite makes one row of them: a query of many rows waits after each for OS threads that write.

    Args:
        connection: Where to ask.
        columns: How many columns the query has.
        query: The query.
        values: Its parameters.
    """
    names = ", ".join(f"c{column}" for column in range(columns))
    listed = first(
        connection,
        f"WITH found ({names}) AS ({query}) SELECT json_group_array(json_array({names}))"
        " FROM found",
        *values,
    )
    found: list[list[Any]] = json.loads(listed)
    return found


def matching(
    connection: sqlite3.Connection, query: ThreadQuery, found: sqlite_search.Found | None
) -> list[Condition]:
    """Returns all conditions of a query, for sums over all threads that match it."""
    conditions = conditions_of(query, found)
    if query.tags:
        conditions.append(with_tags(query, frequencies(connection, query), few=True))
    conditions += [with_labels(kind, values, few=True) for kind, values in by_kind(query).items()]
    return conditions


def times(query: ThreadQuery) -> int:
    """Returns how many conditions are on times alone."""
    return (query.since is not None) + (query.until is not None)


def conditions_of(query: ThreadQuery, found: sqlite_search.Found | None) -> list[Condition]:
    """Returns all conditions except those on tags and other labels.

    Args:
        query: What threads have to match.
        found: Those with the text of the query, if it has one.
    """
    conditions = []
    if query.since is not None:
        conditions.append(Condition("active >= ?", (pieces.bounded(query.since),)))
    if query.until is not None:
        conditions.append(Condition("min(started, active) < ?", (pieces.bounded(query.until),)))
    if query.errors:
        conditions.append(Condition("errors > 0", ()))
    if found is not None:
        conditions.append(Condition("key IN (SELECT value FROM json_each(?))", (found.keys,)))
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
            column = f"({ORDERS['cost' if is_cost else 'duration']})"
            conditions.append(
                Condition(f"({priced}{column} {compared} ?)", (pieces.bounded(amount),))
            )
    if query.feedback is not None:
        conditions.append(Condition(_FEEDBACK[query.feedback], ()))
    return conditions


#: The conditions on evaluations.
_FEEDBACK: Final[dict[Feedback, str]] = {
    "good": "key IN (SELECT thread FROM thread_feedback WHERE good > 0)",
    "bad": "key IN (SELECT thread FROM thread_feedback WHERE bad > 0)",
    "any": "key IN (SELECT thread FROM thread_feedback)",
    "none": "key NOT IN (SELECT thread FROM thread_feedback)",
}


def by_kind(query: ThreadQuery) -> dict[Kind, list[str]]:
    """Returns the labels in the query, but tags, of each kind."""
    found: dict[Kind, list[str]] = {}
    for kind, value in query.labels:
        found.setdefault(kind, []).append(text(value))
    return found


def most_with(connection: sqlite3.Connection, kind: Kind, values: Sequence[str]) -> int:
    """Returns an upper bound of how many threads have one of some labels."""
    count = "SELECT threads FROM facets WHERE kind = ? AND value = ?"
    if kind == "tag":
        count = "SELECT threads FROM tags WHERE ? = 'tag' AND tag = ?"
    return sum(first(connection, count, kind, value) or 0 for value in values)


def with_labels(kind: Kind, values: Sequence[str], *, few: bool) -> Condition:
    """Returns the condition that a thread has one of some labels, as `with_tags` does."""
    among = f"IN ({', '.join('?' * len(values))})"
    table, label = ("thread_tags", "? = 'tag' AND tag")
    if kind != "tag":
        table, label = "thread_facets", "kind = ? AND value"
    if few:
        sql = f"key IN (SELECT thread FROM {table} WHERE {label} {among})"
    else:
        sql = f"EXISTS (SELECT 1 FROM {table} WHERE thread = key AND {label} {among})"
    return Condition(sql, (kind, *values))


def frequencies(connection: sqlite3.Connection, query: ThreadQuery) -> dict[str, int]:
    """Returns the number of threads of each tag in the query, the rarest first."""
    counts = {}
    for tag in map(text, query.tags):
        found = connection.execute("SELECT threads FROM tags WHERE tag = ?", (tag,)).fetchone()
        counts[tag] = int(found[0]) if found else 0
    return dict(sorted(counts.items(), key=lambda count: count[1]))


def at_most(query: ThreadQuery, tags: dict[str, int]) -> int:
    """Returns an upper bound of how many threads have the tags."""
    return min(tags.values()) if query.match == "all" else sum(tags.values())


def with_tags(query: ThreadQuery, tags: dict[str, int], *, few: bool) -> Condition:
    """Returns the condition on tags, looking up threads by the rarest tag, or tags by thread."""
    has = "EXISTS (SELECT 1 FROM thread_tags WHERE thread = key AND tag {})"
    among = "key IN (SELECT thread FROM thread_tags WHERE tag {})" if few else has
    if query.match == "any":
        return Condition(among.format(f"IN ({', '.join('?' * len(tags))})"), tuple(tags))
    conditions = [among.format("= ?")] + [has.format("= ?")] * (len(tags) - 1)
    return Condition(" AND ".join(conditions), tuple(tags))


def where_of(conditions: Sequence[Condition]) -> tuple[str, tuple[Any, ...]]:
    """Returns the clause that all conditions make together, and its parameters."""
    if not conditions:
        return "", ()
    sql = " AND ".join(condition.sql for condition in conditions)
    return f"WHERE {sql}", tuple(value for condition in conditions for value in condition.values)
