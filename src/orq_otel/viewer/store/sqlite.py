"""Spans in a SQLite file: the store of one machine. The standard library is all it needs."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from orq_otel.viewer import store
from orq_otel.viewer.model.kept_spans import KeptSpan, Position, Spans
from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.store import PAGE, Ability
from orq_otel.viewer.model.sums import Numbers, Overview
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.model.threads import Stray, Thread, ThreadPage
from orq_otel.viewer.store import (
    sqlite_deleting,
    sqlite_logs,
    sqlite_many,
    sqlite_numbers,
    sqlite_overview,
    sqlite_reading,
    sqlite_search,
)
from orq_otel.viewer.store.sqlite_file import SQLiteFile, Writer, pages

#: How many spans and bytes of spans one step deletes. Others can write between steps.
_STEP: Final = 1_000
_STEP_SIZE: Final = 4 * 2**20
#: How many changes of spans one transaction makes, when a long trace is decided on.
_CHANGES: Final = 500


class SQLiteStore:
    """A store in a file.

    Args:
        path: The file's path. If there is no file, it is created, readable for its owner only.
        for_reading: It need not be writable if it is there.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, path: Path, *, for_reading: bool = False) -> None:
        self._file = SQLiteFile(path, for_reading=for_reading)
        self._searches = sqlite_search.Searches()
        self._samples = sqlite_many.Samples()
        self._decisions: Iterator[bool] = iter(())

    def write(
        self,
        spans: Sequence[KeptSpan],
        logs: Sequence[LogRecord] = (),
        *,
        arrived: int | None = None,
        wait: Callable[[], object] | None = None,
    ) -> None:
        """Store spans and log records in one transaction. They are on disk when this returns.

        Args:
            spans: The spans.
            logs: The log records.
            arrived: When they arrived, in nanoseconds since the epoch. None if just now. In lists,
                no thread is later than its spans arrived.
            wait: Called between steps, to wait a little if something else is to come first.

        Raises:
            StoreError: None of them is kept.
        """
        if not (spans or logs):
            return
        batch = store.sqlite_writing.Batch(spans, logs, wait)
        at = time.time_ns() if arrived is None else arrived

        def work(connection: Writer) -> None:
            connection.wait = wait
            try:
                store.sqlite_writing.insert(connection, batch, at)
            finally:
                connection.wait = None

        self._file.change(work)

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns a page of the threads that match a query.

        Raises:
            InvalidCursorError: The cursor is invalid.
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_reading.threads(connection, query, self._searches)
        )

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(lambda connection: sqlite_reading.thread(connection, thread_id))

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """Returns the spans of a thread and all others of its traces, sorted by start.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_reading.spans(connection, thread_id, limit, after, size)
        )

    def logs(
        self, thread_id: str, limit: int = 5000, name: str | None = None, size: int = PAGE
    ) -> list[LogRecord]:
        """Returns log records of a thread and of its traces, sorted by time.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_logs.logs(connection, thread_id, limit, name, size)
        )

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """Sums up all threads that match a query.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_overview.overview(connection, query, buckets, self._searches)
        )

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this store can do."""
        able: set[Ability] = {"labels", "cost", "feedback", "numbers"}
        if self._file.read(sqlite_search.is_possible):
            able.add("messages")
        return frozenset(able)

    @property
    def period(self) -> str | None:
        """The time that pages show unless another one is chosen: any."""
        return None

    def labels(self, kind: Kind, text: str = "", limit: int = 200) -> tuple[tuple[str, int], ...]:
        """Returns tags, users... with their numbers of threads, the most frequent first.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_reading.labels(connection, kind, text, limit)
        )

    def numbers(
        self, query: ThreadQuery, by: Kind, names: Sequence[str] = (), limit: int = 20
    ) -> Numbers:
        """Sums up the model calls of all threads that match a query, group by group.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_numbers.numbers(
                connection, query, by, names, limit, self._searches, self._samples
            )
        )

    def work_off(self) -> bool:
        """Do some of what is left to do in the background. Returns whether there was any.

        Long traces are decided on as a whole, and spans of an earlier release are read again.

        Raises:
            StoreError: Nothing is changed.
        """
        if next(self._decisions, False):
            return True
        self._decisions = self._decided()
        if next(self._decisions, False):
            return True
        indexing = store.sqlite_indexing
        return self._file.read(indexing.is_left) and self._file.change(indexing.step)

    def decide(self) -> None:
        """Decide at once on long traces that are otherwise decided on in the background.

        Raises:
            StoreError: Some of it is left to do.
        """
        for _ in self._decided():
            pass

    def _decided(self) -> Iterator[bool]:
        """Decides on long traces as a whole. Yields after each transaction."""
        while (one := self._file.read(store.deciding.undecided)) is not None:
            for start in range(0, len(one.changes), _CHANGES):
                some = one.changes[start : start + _CHANGES]
                self._file.change(functools.partial(store.sqlite_writing.change, changes=some))
                yield True
            self._file.change(functools.partial(store.sqlite_writing.finish, undecided=one))
            yield True

    def before_last(self, thread_id: str, count: int) -> Position | None:
        """Returns the position of the span before a thread's last `count`, or None if none is.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_reading.before_last(connection, thread_id, count)
        )

    def place(self, thread: Thread, query: ThreadQuery) -> int | None:
        """Returns the value by which a list sorts a thread, or None if it is gone.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(
            lambda connection: sqlite_reading.place(connection, thread, query.sort)
        )

    def strays(self, limit: int = 20) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(lambda connection: sqlite_reading.strays(connection, limit))

    def trace(self, trace_id: str) -> Spans:
        """Returns the first spans of a trace, sorted by start.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(lambda connection: sqlite_reading.trace(connection, trace_id))

    def change(self) -> int:
        """Returns a number that changes whenever spans are written.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(_changes)

    def delete_oldest(
        self, before: int | None = None, most: int = _STEP, *, size: int = _STEP_SIZE
    ) -> int:
        """Delete the spans with the earliest start, with log records, and update the rollups.

        Their room is used again, and belongs to the file until `give_back`.

        Args:
            before: Only spans that began before, in nanoseconds since the epoch.
            most: At most so many, so that nobody waits for long.
            size: No more once they take up so many bytes together.

        Returns:
            How many there were.

        Raises:
            StoreError: None of them is deleted.
        """
        size = min(size, _STEP_SIZE)
        return self._delete(
            lambda connection: sqlite_deleting.delete_oldest(connection, before, most, size)
        )

    def delete_thread(self, thread_id: str) -> int:
        """Delete a thread with its log records, and what only its traces have beside it.

        Spans of other threads in the same traces stay.

        Args:
            thread_id: The complete id of the thread.

        Returns:
            How many spans and log records there were.

        Raises:
            StoreError: None of them is deleted.
        """
        return self._delete(lambda connection: sqlite_deleting.delete_thread(connection, thread_id))

    def _delete(self, delete: Callable[[sqlite3.Connection], sqlite_deleting.Deleted]) -> int:
        deleted = self._file.change(delete)
        self._file.waste += deleted.waste
        return deleted.things

    def waste(self) -> int:
        """Returns about how many bytes `merge_index` would free.

        What an earlier run has left is not known.
        """
        return self._file.waste

    def merge_index(self) -> Iterator[None]:
        """Rewrite the index of messages without what was deleted, step by step.

        Until then the words of deleted messages are in the file, and take up room.

        Raises:
            StoreError: It cannot be written to.
        """
        waste, is_first = self._file.waste, True
        while self._file.change(functools.partial(sqlite_search.merge, is_first=is_first)):
            is_first = False
            yield
        self._file.waste -= waste

    def give_back(self, size: int = 0) -> bool:
        """Give some of the file's free space back to the file system.

        Args:
            size: Not below so many bytes of the file.

        Returns:
            Whether there was any. There may be more.

        Raises:
            StoreError: It cannot be given back.
        """
        return self._file.give_back(size)

    def shorten_log(self) -> None:
        """Move the log into the file and truncate it, unless readers take too long.

        Raises:
            StoreError: The file cannot be opened.
        """
        self._file.shorten_log()

    def size_on_disk(self) -> int:
        """Returns the size of the file and its log in bytes.

        Raises:
            StoreError: There is no file.
        """
        return self._file.size_on_disk()

    def size(self) -> int:
        """Returns how many bytes spans and rollups take up in the file.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._file.read(_size)

    def close(self) -> None:
        """Close the file. Nothing can be asked or written any more."""
        self._file.close()


def _changes(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count FROM changes").fetchone()
    return int(count)


def _size(connection: sqlite3.Connection) -> int:
    count, free, each = pages(connection)
    return (count - free) * each
