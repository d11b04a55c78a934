"""Evaluations and feedback in ClickHouse, each with the thread that it is about.

Log records name a thread, a span, or a response. `<table>_orq_feedback` has what was found for
each, so that the Collector's log records, which may be those of all programs, are not looked
through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.evaluations import RESPONSE_IDS, verdict
from orq_otel.viewer.dialects.dialect import first_text
from orq_otel.viewer.dialects.table import THREAD_IDS
from orq_otel.viewer.model.queries import Feedback as Wanted
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.store.buckets import HOUR, SECOND, bounded
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_rows import hour_of, in_hours, of_day
from orq_otel.viewer.store.clickhouse_server import Server, parts
from orq_otel.viewer.store.clickhouse_spans import Window
from orq_otel.viewer.store.sqlite_rows import optional

#: The conditions on the evaluations of a thread.
_HAVING: Final[dict[Wanted, str]] = {
    "good": "max(verdict) > 0",
    "bad": "min(verdict) < 0",
    "any": "1",
    "none": "1",
}


class Feedback:
    """The table of evaluations.

    Args:
        server: Where it is.
        tables: Its name.
    """

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._name = tables.name("feedback")
        self._scope = server.address.scope("service")

    def condition(self, wanted: Wanted, hours: str) -> str:
        """Returns SQL for whether a thread has such evaluations in some hours."""
        is_in = "NOT IN" if wanted == "none" else "IN"
        return (
            f"thread_id {is_in} (SELECT thread_id FROM {self._name} AS a FINAL"
            f" WHERE {hours} AND {self._scope} GROUP BY thread_id HAVING {_HAVING[wanted]})"
        )

    def counts(self, among: str) -> str:
        """Returns SQL for the numbers of good, bad and all evaluations of some threads."""
        return (
            "SELECT thread_id, countIf(verdict > 0) AS good, countIf(verdict < 0) AS bad,"
            f" count() AS evaluations FROM {self._name} AS a FINAL"
            f" WHERE {among} AND {self._scope} GROUP BY thread_id"
        )

    def when(self, thread_id: str) -> tuple[Window, bool]:
        """Returns the time in which a thread was evaluated, and whether any names no trace."""
        ((begin, end, is_without),) = self._server.ask(
            "SELECT toInt64(toUnixTimestamp(min(hour))), toInt64(toUnixTimestamp(max(hour))),"
            f" max(trace_id = '') FROM {self._name} FINAL WHERE thread_id = {{id:String}}",
            {"id": thread_id},
        )
        when = Window(bounded(begin * SECOND), bounded((end + HOUR // SECOND) * SECOND))
        return when, bool(is_without)

    @staticmethod
    def waiting(records: Iterable[LogRecord]) -> list[str]:
        """Returns the responses that evaluations name which name no span."""
        found = (
            first_text(one.attributes, RESPONSE_IDS) for one in records if one.trace_id is None
        )
        return list(dict.fromkeys(filter(None, found)))

    def days(self) -> list[int]:
        """Returns the days with evaluations, as numbers since the epoch."""
        found = self._server.ask(
            f"SELECT DISTINCT intDiv(toInt64(toUnixTimestamp(hour)), 86400) FROM {self._name}"
        )
        return [int(day) for (day,) in found]

    def write(self, records: Sequence[LogRecord], threads: Threads, version: int) -> None:
        """Write the evaluations among log records.

        Args:
            records: The log records.
            threads: Those of their traces.
            version: As everywhere.
        """
        told = [(one, value) for one in records if (value := verdict(one)) is not None]
        if not told:
            return
        names = [optional(first_text(one.attributes, THREAD_IDS)) for one, _ in told]
        ours = threads.all
        known = self._known({*filter(None, names)} - ours) | ours
        rows: dict[str, dict[str, Any]] = {}
        for (record, value), name in zip(told, names, strict=True):
            thread = threads.of(record)
            if name is not None and (name in known or thread is None):
                thread = name
            if thread is not None:
                rows[_digest(record)] = {
                    "thread_id": thread,
                    "hour": hour_of(record.time),
                    "record": _digest(record),
                    "trace_id": record.trace_id or "",
                    "service": record.service,
                    "verdict": value,
                    "version": version,
                    "is_deleted": 0,
                }
        if not rows:
            return
        before = [
            one
            for some in parts(rows)
            for one in self._server.ask(
                "SELECT thread_id, toInt64(toUnixTimestamp(hour)), record, trace_id, service"
                f" FROM {self._name} FINAL WHERE record IN {{records:Array(String)}}"
                f" AND {in_hours({rows[record]['hour'] for record in some})}",
                {"records": some},
            )
        ]
        parted = [
            {
                **rows[record],
                "thread_id": thread,
                "hour": hour,
                "trace_id": trace,
                "service": service,
                "is_deleted": 1,
            }
            for thread, hour, record, trace, service in before
            if thread != rows[record]["thread_id"]
        ]
        self._server.insert(self._name, [*rows.values(), *parted])

    def forget(self, day: int, version: int) -> None:
        """Forget what is older than a version on a day."""
        self._server.do(
            f"INSERT INTO {self._name} (thread_id, hour, record, version, is_deleted)"
            f" SELECT thread_id, hour, record, {self._tables.now()}, 1 FROM {self._name} FINAL"
            f" WHERE {of_day(day)} AND version < {version}"
        )

    def _known(self, threads: set[str]) -> set[str]:
        """Returns which of these there are."""
        found = self._server.ask_of(
            threads,
            f"SELECT DISTINCT thread_id FROM {self._tables.name('activity')} FINAL"
            " WHERE thread_id IN {ids:Array(String)}",
        )
        return {thread for (thread,) in found}


class Threads:
    """The threads of spans, of their traces, and of responses.

    Args:
        nodes: What was decided on some spans.

    Attributes:
        of_traces: The first thread of each trace that has any.
    """

    def __init__(self, nodes: Iterable[calls.Node] = ()) -> None:
        self._spans: dict[tuple[Any, Any], str] = {}
        self.of_traces: dict[Any, str] = {}
        self._responses: dict[Any, str] = {}
        #: The traces of those that were given outside of threads.
        self._of_others: dict[Any, Any] = {}
        self.add(nodes)

    def add(self, nodes: Iterable[calls.Node]) -> None:
        """Add what was decided on further spans."""
        for one in nodes:
            if one.thread is not None:
                self._spans[one.key] = one.thread
                self.of_traces.setdefault(one.key[0], one.thread)
                if one.response:
                    self._responses.setdefault(one.response, one.thread)
            elif one.response:
                self._of_others.setdefault(one.response, one.key[0])

    @property
    def all(self) -> set[str]:
        """All of them."""
        return {*self._spans.values()}

    def of(self, record: LogRecord) -> str | None:
        """Returns the thread of the span that a log record is about, or None."""
        if record.trace_id is None:
            response = first_text(record.attributes, RESPONSE_IDS)
            of_trace = self.of_traces.get(self._of_others.get(response))
            return self._responses.get(response) or of_trace
        of_span = self._spans.get((record.trace_id, record.span_id))
        return of_span or self.of_traces.get(record.trace_id)


def _digest(record: LogRecord) -> str:
    content = repr(record).encode("utf-8", "replace")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
