"""Reads threads from a ClickHouse table that the OpenTelemetry Collector writes.

The spans of the threads that are looked at come into a copy (`clickhouse_copy.py`), where they are
decided on as SQLite's store does: which thread each belongs to, and what of it counts. For more
spans than a copy can have, `create_rollup()` makes tables with what each thread did, which a viewer
keeps up to date (`clickhouse_activity.py`). Lists and sums are read from these.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeVar, get_args

from orq_otel.viewer.model.kept_spans import KeptSpan, Position, Spans
from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.store import PAGE, Ability, StoreError
from orq_otel.viewer.model.sums import Numbers, Overview
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.model.threads import Stray, Thread, ThreadPage
from orq_otel.viewer.store import visits
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_address import Address
from orq_otel.viewer.store.clickhouse_copy import Copy
from orq_otel.viewer.store.clickhouse_feedback import Feedback
from orq_otel.viewer.store.clickhouse_index import Index, Progress
from orq_otel.viewer.store.clickhouse_numbers import numbers, overview
from orq_otel.viewer.store.clickhouse_reading import Reading
from orq_otel.viewer.store.clickhouse_server import LimitError, RefusedError, Server
from orq_otel.viewer.store.clickhouse_spans import RawSpans
from orq_otel.viewer.store.sqlite import SQLiteStore

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

#: How many seconds a page waits for spans that have arrived to be summed up.
_PATIENCE: Final = 1.0
#: How many seconds may pass until tables are noticed that somebody else has made or dropped.
_CHECK: Final = 5.0
#: How many seconds may pass until a deletion is noticed that leaves no fewer spans than there were,
#: or that nobody saw.
_SWEEP: Final = 3600.0
#: How many seconds a viewer that was refused to write leaves it to others. It may be granted then.
_REFUSED: Final = 300.0
#: How many seconds one step of following takes.
_STEP: Final = 30.0


@contextmanager
def _summing() -> Iterator[None]:
    """Have errors name the limit that was reached: nobody chooses the time that is summed up."""
    try:
        yield
    except LimitError as error:
        message = f"{error.what} {error.limit}= in the address allows more."
        raise StoreError(message, is_temporary=error.is_temporary) from error


class ClickHouseStore:
    """A store in tables of ClickHouse.

    Args:
        server: Where they are. `close` closes it.

    Raises:
        StoreError: There are no such tables, or they cannot be read.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._raw = RawSpans(server)
        self._copy = Copy(self._raw)
        self._tables = Tables(server, self._raw.table, self._raw.logs_table)
        self._index = Index(server, self._raw, self._tables)
        self._feedback = Feedback(server, self._tables)
        self._reading = Reading(server, self._tables)
        self._checked = 0.0
        self._next_sweep = 0.0
        self._is_summed = False
        self._has_checked_time = False
        self._unnoted: set[str] = set()
        self._followed: tuple[int, ...] | None = None
        self._writes_from = math.inf if server.address.services else 0.0
        self._refusals: set[str] = set()

    @classmethod
    def connect(cls, url: str) -> ClickHouseStore:
        """Connect to a server.

        Args:
            url: As `Address.parse` reads it.

        Raises:
            StoreError: `clickhouse-connect` is not installed, the server does not answer, or its
                tables cannot be read.
        """
        server = Server(Address.parse(url))
        try:
            return cls(server)
        except BaseException:
            server.close()
            raise

    def write(
        self,
        spans: Sequence[KeptSpan],  # noqa: ARG002 - as every store has it
        logs: Sequence[LogRecord] = (),  # noqa: ARG002
    ) -> None:
        """Refuse to write: the Collector writes the spans.

        Raises:
            StoreError: Always.
        """
        raise StoreError(
            f"{self._server.address.place} is filled by the OpenTelemetry Collector: send spans"
            " there.",
            is_temporary=False,
        )

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns the threads that match a query.

        Raises:
            InvalidCursorError: The cursor is invalid.
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: sums.threads(query), lambda: self._copy.latest().threads(query)
        )

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None.

        Raises:
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: sums.thread(thread_id), lambda: self._copied(thread_id).thread(thread_id)
        )

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """Returns the spans of a thread and all others of its traces, sorted by start.

        Raises:
            StoreError: The query failed.
        """
        spans = self._with_spans(thread_id).spans(thread_id, limit, after, size)
        spans.lacks_some = any(one.span.trace_id in self._raw.cut for one in spans)
        return spans

    def logs(
        self, thread_id: str, limit: int = 5000, name: str | None = None, size: int = PAGE
    ) -> list[LogRecord]:
        """Returns log records of a thread and of its traces, sorted by time.

        Raises:
            StoreError: The query failed.
        """
        return self._with_spans(thread_id).logs(thread_id, limit, name, size)

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """Sums up all threads that match a query.

        Raises:
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: overview(sums, query, buckets),
            lambda: self._copy.latest().overview(query, buckets),
        )

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this store can do."""
        if self._are_summed():
            return frozenset(get_args(Ability))
        return self._copy.latest().abilities

    @property
    def period(self) -> str | None:
        """The time that pages show unless another one is chosen."""
        return "24h"

    def labels(self, kind: Kind, text: str = "", limit: int = 200) -> tuple[tuple[str, int], ...]:
        """Returns tags, users... with their numbers of threads, the most frequent first.

        From sums, those of the last day, or of any time if it has none.

        Raises:
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: sums.labels(kind, text, limit),
            lambda: self._copy.latest().labels(kind, text, limit),
        )

    def numbers(
        self, query: ThreadQuery, by: Kind, names: Sequence[str] = (), limit: int = 20
    ) -> Numbers:
        """Sums up the model calls of all threads that match a query, group by group.

        Raises:
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: numbers(sums, query, by, names, limit),
            lambda: self._copy.latest().numbers(query, by, names, limit),
        )

    def before_last(self, thread_id: str, count: int) -> Position | None:
        """Returns the position of the span before a thread's last `count`, or None if none is.

        Raises:
            StoreError: The query failed.
        """
        return self._with_spans(thread_id).before_last(thread_id, count)

    def place(self, thread: Thread, query: ThreadQuery) -> int | None:
        """Returns the value by which a list sorts a thread, or None if it is gone.

        Raises:
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: sums.place(thread, query),
            lambda: self._copy.latest().place(thread, query),
        )

    def strays(self, limit: int = 20) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first.

        Raises:
            StoreError: The query failed.
        """
        return self._answer(
            lambda sums: sums.strays(limit), lambda: self._copy.latest().strays(limit)
        )

    def trace(self, trace_id: str) -> Spans:
        """Returns the first spans of a trace, sorted by start.

        Raises:
            StoreError: The query failed.
        """
        return self._copy.with_traces([trace_id]).trace(trace_id)

    def change(self) -> int:
        """Returns a number that changes whenever pages do: after what has arrived is summed up.

        Raises:
            StoreError: The query failed.
        """
        return self._tables.latest() if self._are_summed() else self._copy.change()

    def close(self) -> None:
        """Close the client, and delete the copy."""
        self._copy.close()
        self._server.close()

    def create_rollup(self, report: Progress = lambda *_: None) -> None:
        """Create the tables with sums, and sum up all spans that are there, a day at a time.

        Spans may arrive meanwhile. What was done when an earlier attempt ended is not done again.
        Where all is done, it is done anew: what is there is read until it is replaced.

        Args:
            report: Is called after each day.

        Raises:
            StoreError: The server does not allow it.
        """
        if self._server.address.services:
            raise StoreError(
                "Sums are of all services: leave service= out of the address.", is_temporary=False
            )
        with _summing():
            self._tables.make()
            self._index.backfill(report)
            self._tables.note("made", 1)
        self._checked = 0.0

    def drop_rollup(self) -> None:
        """Drop the tables with sums.

        Raises:
            StoreError: The server does not allow it.
        """
        self._tables.drop()
        self._checked = 0.0

    def follow(self) -> None:
        """Sum up what has arrived since it was last done, if there are tables for it.

        Forget what was deleted. No page waits for that: the more days, the longer it takes.

        Raises:
            StoreError: ClickHouse cannot be read.
        """
        while self._are_summed() and self._may_write and not self._catch_up(_STEP):
            pass
        if self._are_summed() and self._may_write:
            with self._writing():
                self._index.sweep_if_fewer()
                now = time.monotonic()
                if now > self._next_sweep:
                    # Spans may be deleted while as many arrive, or while no viewer runs.
                    self._next_sweep = now + _SWEEP
                    self._next_sweep = now + self._index.sweep_if_due(_SWEEP)
            self._check_arrivals()

    def _answer(
        self, of_sums: Callable[[Reading], Result], of_copy: Callable[[], Result]
    ) -> Result:
        """Returns an answer from the tables with sums, or from the copy if there are none."""
        if self._are_summed():
            try:
                visits.once(self, lambda: self._catch_up(_PATIENCE))
                return of_sums(self._reading)
            except StoreError:
                # Somebody may just have dropped them.
                self._checked = 0.0
                if self._are_summed():
                    raise
        return of_copy()

    @property
    def _may_write(self) -> bool:
        return time.monotonic() >= self._writes_from

    def _are_summed(self) -> bool:
        now = time.monotonic()
        if now > self._checked:
            self._is_summed = self._tables.are_there() and self._tables.state("made") == 1
            self._checked = now + _CHECK
            if self._is_summed:
                self._check_tables()
        return self._is_summed

    def _check_tables(self) -> None:
        """Warn once if the sums were made before the Collector's tables became as they are."""
        if not self._has_checked_time:
            self._has_checked_time = True
            with suppress(StoreError):  # who may not see how long rows are kept need not know
                if not self._tables.are_kept_as_spans():
                    _log.warning(
                        "The sums are not kept as long as the spans: the TTL of %s was changed"
                        " after they were made. Call `orq-otel clickhouse-rollup` again, which"
                        " makes them anew.",
                        self._raw.table.name,
                    )

    def _check_arrivals(self) -> None:
        """Warn once of a table in which nothing notes what arrives."""
        views = (("arriving", self._raw.table), ("arriving_logs", self._raw.logs_table))
        for view, table in views:
            if (
                table is not None
                and view not in self._unnoted
                and self._tables.is_there("arriving")
                and not self._tables.is_noted(view, table)
            ):
                self._unnoted.add(view)
                _log.warning(
                    "The sums were made before there was this table %s, and nothing notes what"
                    " arrives in it. Call `orq-otel clickhouse-rollup` again.",
                    table.name,
                )

    def _catch_up(self, seconds: float) -> bool:
        """Sum up what has arrived. Returns whether no more can be done."""
        # Spans may be there before it is noted that they have arrived.
        counts = (*self._raw.counts(), self._tables.arrivals())
        if counts == self._followed or not self._may_write:
            return True
        is_done = True
        with self._writing():
            is_done = self._index.follow(seconds)
            if is_done:
                self._followed = counts
        return is_done

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write no more for some time if the user may not."""
        try:
            with _summing():
                yield
        except RefusedError as error:
            self._writes_from = time.monotonic() + _REFUSED
            if str(error) not in self._refusals:
                self._refusals.add(str(error))
                _log.warning(
                    "%s What arrives is summed up by a viewer whose user may write to its tables,"
                    " and not by this one.",
                    error,
                )

    def _copied(self, thread_id: str) -> SQLiteStore:
        """Returns the copy with all of a thread, found by its id."""
        copy = self._copy.latest()
        if self._copy.since and (traces := self._raw.of_thread(thread_id)):
            return self._copy.with_traces(traces)
        return copy

    def _with_spans(self, thread_id: str) -> SQLiteStore:
        """Returns the copy with all traces of a thread."""

        def of_sums(sums: Reading) -> SQLiteStore:
            traces, window, has_agent = sums.traces(thread_id)
            if not traces:  # what may still be in the copy is gone
                return self._copy.empty()
            records = self._raw.records_of_thread(thread_id)
            evaluated, is_without_trace = self._feedback.when(thread_id)
            if is_without_trace:
                records += self._raw.evaluations_of_responses(traces, window, evaluated)
            if evaluated.until > window.until:  # days after all else
                records += self._raw.evaluations_of(traces, evaluated)
            if not has_agent:
                return self._copy.with_traces(traces, window, records)
            spans, more = self._raw.of_agents_in([thread_id], window)
            return self._copy.with_traces(traces, window, records + more, spans)

        return self._answer(of_sums, lambda: self._copied(thread_id))
