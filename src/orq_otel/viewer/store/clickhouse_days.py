"""The sums of each thread, day and service, which lists and plots read: made of rows of activity.

A day of a thread is summed up anew whenever one of its rows is written, so that nothing is added
up twice, and what is gone from the rows is gone from the sums.
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.store.buckets import DAY, LATENCIES, MINUTE, SECOND
from orq_otel.viewer.store.clickhouse_activity import IS_CALL, Tables
from orq_otel.viewer.store.clickhouse_rows import of_day
from orq_otel.viewer.store.clickhouse_server import Server
from orq_otel.viewer.store.tally import PLOTTED, SUMS

#: The width of the slots of a day.
SLOT: Final = 5 * MINUTE
#: There are fewer buckets of latencies than this.
_BUCKETS: Final = 32
#: Stands for the start of the title's span if a thread has no title.
_NO_TITLE: Final = 2**63 - 1
#: By what the earliest title is found sooner, though not which of two of the same nanosecond it is.
TITLE_AT: Final = f"if(a.title = '', toInt64({_NO_TITLE}), a.title_start)"
#: The earliest title of some rows: the start of its span, that span's id, and the title.
TITLE: Final = (
    f"min(if(a.title = '', (toInt64({_NO_TITLE}), '', ''), (a.title_start, a.title_span, a.title)))"
)


def bucket_of(latency: str) -> str:
    """Returns SQL for the bucket of a latency, as `buckets.latency_bucket` has it."""
    last = len(LATENCIES) - 1
    found = f"arrayFirstIndex(most -> most >= {latency}, {list(LATENCIES)})"
    return f"if({found} = 0, {last}, {found} - 1)"


_SLOT: Final = (
    f"toUInt16(intDiv(toUInt32(toUnixTimestamp(a.hour)) % {DAY // SECOND} + second,"
    f" {SLOT // SECOND}))"
)
_SLOTS: Final = f"arrayMap(second -> {_SLOT}, a.seconds)"
_CALLS: Final = (
    f"arrayMap((second, latency) -> toUInt16({_SLOT} * {_BUCKETS} + {bucket_of('latency')}),"
    " a.call_seconds, a.call_latencies)"
)
_COUNTED: Final = f"arrayMap(kind -> toUInt64(bitAnd(kind, {IS_CALL})), a.call_kinds)"
#: Sums of maps have the same keys in the same order.
_COLUMNS: Final = {
    "thread_id": "a.thread_id",
    "hour": "min(a.hour)",
    "service": "a.service",
    "started": "min(a.started)",
    "last_active": "max(a.last_active)",
    **{one: f"sum(a.{one})" for one in SUMS},
    "title": f"tupleElement({TITLE} AS earliest, 3)",
    "title_start": "earliest.1",
    "title_span": "earliest.2",
    "labels": "groupUniqArrayArray(arrayMap(x -> x.1, a.tags))",
    "facets": "groupUniqArrayArray(a.facets)",
    "slots": f"mapKeys(sumMap(mapFromArrays({_SLOTS}, arrayMap(x -> x.1, a.of_seconds))) AS first)",
    "slot_spans": "mapValues(first)",
    **{
        f"slot_{name}": (
            f"mapValues(sumMap(mapFromArrays({_SLOTS}, arrayMap(x -> x.{number}, a.of_seconds))))"
        )
        for number, name in enumerate(PLOTTED[1:], 2)
    },
    "calls": f"mapKeys(sumMap(mapFromArrays({_CALLS}, {_COUNTED})) AS counted)",
    "of_calls": "mapValues(counted)",
}

#: What a row begins with, in seconds since the epoch.
_MIDNIGHT: Final = f"intDiv(toInt64(toUnixTimestamp(a.hour)), {DAY // SECOND}) * {DAY // SECOND}"
#: Slots of rows: their columns, and what follows `ARRAY JOIN`.
OF_SLOTS: Final = ", ".join(f"sum_{one} AS {one}" for one in PLOTTED)
JOINED_SLOTS: Final = ", ".join(
    ("a.slots AS slot", *(f"a.slot_{one} AS sum_{one}" for one in PLOTTED))
)
SLOT_AT: Final = f"({_MIDNIGHT} + slot * {SLOT // SECOND}) * {SECOND}"
#: Calls of rows, likewise.
JOINED_CALLS: Final = "a.calls AS one, a.of_calls AS number"
CALL_AT: Final = f"({_MIDNIGHT} + intDiv(one, {_BUCKETS}) * {SLOT // SECOND}) * {SECOND}"
CALL_BUCKET: Final = f"toInt64(one % {_BUCKETS})"


class Days:
    """Makes the sums.

    Args:
        server: Where they are.
        tables: Their names.
    """

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables

    def sum_up(self, day: int, since: int | None = None) -> None:
        """Sum up threads on a day.

        Args:
            day: As a number since the epoch.
            since: Only threads of which rows of this version, or a later one, have been written.
                None means those that have later rows than sums: who wrote them was interrupted.

        Raises:
            StoreError: ClickHouse cannot be read or written.
        """
        activity, name = self._tables.name("activity"), self._tables.name("days")
        dates = self._tables.name("dates")
        of_threads = f"{of_day(day)} AND thread_id != ''"
        stale = f"SELECT thread_id, service FROM {activity} WHERE {of_threads}"
        if since is None:
            stale = (
                "SELECT thread_id, service FROM"
                f" (SELECT thread_id, service, version AS made, 0 AS summed FROM {activity}"
                f" WHERE {of_threads} UNION ALL"
                f" SELECT thread_id, service, 0, version FROM {name} WHERE {of_day(day)})"
                " GROUP BY thread_id, service HAVING max(made) > max(summed)"
            )
        else:
            stale += f" AND version >= {since}"
        which = f"{of_day(day)} AND (thread_id, service) IN ({stale})"
        # Of two that do this at the same time, the later one has seen the rows of both.
        version = self._tables.now()
        key = "thread_id, hour, service, version, is_deleted"
        gone = (
            f"SELECT thread_id, hour, service, {version}, 1 FROM {name} FINAL WHERE {which}"
            " AND (thread_id, service) NOT IN"
            f" (SELECT thread_id, service FROM {activity} FINAL WHERE {of_day(day)})"
        )
        # Sums come after dates: by them it is found what was interrupted.
        self._server.do(
            f"INSERT INTO {dates} ({key}) SELECT thread_id, min(a.hour), service, {version}, 0"
            f" FROM {activity} AS a FINAL WHERE {which} GROUP BY thread_id, service"
        )
        self._server.do(f"INSERT INTO {dates} ({key}) {gone}")
        self._server.do(
            f"INSERT INTO {name} ({', '.join(_COLUMNS)}, version, is_deleted)"
            f" SELECT {', '.join(f'{sql} AS {one}_' for one, sql in _COLUMNS.items())},"
            f" {version}, 0 FROM {activity} AS a FINAL WHERE {which}"
            " GROUP BY a.thread_id, a.service"
        )
        self._server.do(f"INSERT INTO {name} ({key}) {gone}")
