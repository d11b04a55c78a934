"""The interface of a store, its errors and its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

from orq_otel.viewer.model.kept_spans import KeptSpan, Position, Spans, position
from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.sums import Numbers, Overview
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.model.threads import Stray, Thread, ThreadPage

Ability = Literal["messages", "labels", "cost", "feedback", "numbers"]
"""What not every store can do: search messages, filter by `KINDS` and cost, count evaluations, and
sum up groups."""

PAGE: Final = 2 * 2**20
"""The approximate size in bytes of a page of threads, or of spans."""

LABELS: Final = 2**20
"""How many bytes of tags, and how many of models, are returned for one thread."""

_ALL_LOGS: Final = 1_000_000

_ALL_LOGS_SIZE: Final = 2**28


class InvalidCursorError(ValueError):
    """A cursor is invalid."""


class StoreError(Exception):
    """A store cannot be read or written. The message says what the user can do.

    Attributes:
        is_temporary: Whether trying again later may help.
    """

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


class Store(Protocol):
    """Stores spans and answers queries for threads. Safe to use from several OS threads.

    Attributes:
        abilities: What it can do. Queries for anything else raise a `StoreError` that says so.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do, of what not every store can."""
        ...

    @property
    def period(self) -> str | None:
        """The time that pages show unless another one is chosen, as "24h", or None for any."""
        ...

    def write(self, spans: Sequence[KeptSpan], logs: Sequence[LogRecord] = ()) -> None:
        """Store spans and log records. They are on disk when this returns.

        Spans and log records that exist already do not change.

        Raises:
            StoreError: None of them is stored.
        """

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns a page of the threads that match a query.

        It has fewer threads than the query's limit if they exceed the size of a `PAGE`.

        Raises:
            InvalidCursorError: The cursor is invalid.
            StoreError: The store cannot be read.
        """
        ...

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None."""
        ...

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """Returns the spans of a thread and all others of its traces, sorted by start.

        Args:
            thread_id: The complete id of the thread.
            limit: The highest number of spans.
            after: Only spans after this position.
            size: The highest size in bytes. One span is always returned.
        """
        ...

    def logs(
        self, thread_id: str, limit: int = 5000, name: str | None = None, size: int = PAGE
    ) -> list[LogRecord]:
        """Returns log records of a thread and of its traces, sorted by time.

        Args:
            thread_id: The complete id of the thread.
            limit: The highest number of records.
            name: Only events with this name.
            size: The highest size in bytes. One record is always returned.
        """
        ...

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """Sums up all threads that match a query, whatever its limit and cursor."""
        ...

    def labels(self, kind: Kind, text: str = "", limit: int = 200) -> tuple[tuple[str, int], ...]:
        """Returns tags, users... with their numbers of threads, the most frequent first.

        Args:
            kind: What to return.
            text: Only those that contain this text, ignoring case.
            limit: The highest number of them.
        """
        ...

    def numbers(
        self, query: ThreadQuery, by: Kind, names: Sequence[str] = (), limit: int = 20
    ) -> Numbers:
        """Sums up the model calls of all threads that match a query, group by group.

        Args:
            query: Which threads. Of its times, only calls that began within them.
            by: What the groups are made by.
            names: The groups to return, or none for the most frequent.
            limit: The highest number of groups.
        """
        ...

    def before_last(self, thread_id: str, count: int) -> Position | None:
        """Returns the position of the span before a thread's last `count`, or None if none is."""
        ...

    def place(self, thread: Thread, query: ThreadQuery) -> int | None:
        """Returns the value by which a list sorts a thread, or None if it is gone."""
        ...

    def strays(self, limit: int = 20) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first, as far as the store looks for them."""
        ...

    def trace(self, trace_id: str) -> Spans:
        """Returns the first spans of a trace, sorted by start."""
        ...

    def change(self) -> int:
        """Returns a number that changes whenever spans are written."""
        ...

    def close(self) -> None:
        """Close the store."""


def pieces(store: Store, thread_id: str, after: Position | None = None) -> Iterator[Spans]:
    """Yields all spans of a thread in pieces of at most a `PAGE`."""
    has_more = True
    while has_more and (some := store.spans(thread_id, after=after)):
        has_more, after = some.has_more, position(some[-1])
        yield some


def deletion(store: Store) -> Callable[[str], int] | None:
    """Returns what deletes a thread by its id, or None if the store is not the viewer's own."""
    found: Callable[[str], int] | None = getattr(store, "delete_thread", None)
    return found


def finish(store: Store) -> None:
    """Do at once what the viewer's own store does in the background after spans are written."""
    decide: Callable[[], None] | None = getattr(store, "decide", None)
    if decide is not None:
        decide()


def all_logs(store: Store, thread_id: str) -> list[LogRecord]:
    """Returns all log records of a thread, as far as they fit into memory."""
    return store.logs(thread_id, limit=_ALL_LOGS, size=_ALL_LOGS_SIZE)
