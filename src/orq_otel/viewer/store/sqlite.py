"""Spans in a SQLite file: the store of one machine. The standard library is all it needs.

One connection writes. Readers have connections of their own, and see what was committed when they
began (`PRAGMA journal_mode = WAL`): neither waits for the other.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import queue
import shutil
import sqlite3
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from orq_otel.viewer.model.kept_spans import KeptSpan, Position, Spans
from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.store import PAGE, Ability, StoreError
from orq_otel.viewer.model.sums import Numbers, Overview
from orq_otel.viewer.model.telemetry import LogRecord
from orq_otel.viewer.model.threads import Stray, Thread, ThreadPage
from orq_otel.viewer.store import (
    deciding,
    schema,
    sqlite_deleting,
    sqlite_indexing,
    sqlite_logs,
    sqlite_names,
    sqlite_numbers,
    sqlite_overview,
    sqlite_reading,
    sqlite_search,
    sqlite_writing,
)
from orq_otel.viewer.store.shared_lock import SharedLock

#: How long another process may keep the file locked.
_LOCK_TIMEOUT: Final = 5.0
#: The size of each connection's cache in KiB.
_CACHE: Final = {"writer": 16_384, "reader": 4_096}
#: After this many pages of 4 KiB, SQLite moves the log into the file.
_CHECKPOINT: Final = 4_000
#: Continuous readers keep the log from restarting. If it has more bytes than this, the writer
#: waits for readers to leave and lets no new ones in.
_LONGEST_LOG: Final = 48 * 2**20
#: How many seconds it waits for them.
_READERS_TIMEOUT: Final = 0.2
#: How many reading connections stay open for the next query.
_READERS: Final = 8
#: How many spans and bytes of spans one step deletes, and how many pages it gives back. Others can
#: write between steps.
_STEP: Final = 1_000
_STEP_SIZE: Final = 4 * 2**20
_PAGES: Final = 500
#: How many changes of spans one transaction makes, when a long trace is decided on.
_CHANGES: Final = 500

Result = TypeVar("Result")
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)
#: The device and inode of a file.
_Identity = tuple[int, int]

_log = logging.getLogger(__name__)


class _Writer(sqlite3.Connection):
    """The connection that writes.

    Attributes:
        wait: What to call before each statement, or None.
    """

    wait: Callable[[], object] | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement."""
        if self.wait is not None:
            self.wait()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute a statement for each row."""
        if self.wait is not None:
            self.wait()
        return super().executemany(sql, parameters)


class SQLiteStore:
    """A store in a file.

    Args:
        path: The file's path. If there is no file, it is created, readable for its owner only.
        for_reading: It need not be writable if it is there.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, path: Path, *, for_reading: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file_lock = SharedLock()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._searches = sqlite_search.Searches()
        self._is_closed = False
        self._waste = 0
        self._decisions: Iterator[bool] = iter(())
        self._writer: _Writer | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        #: What the writer has open: the file, its log, and what its connections share.
        self._files: dict[Path, _Identity] = {}
        with self._errors():
            _make(path)
            try:
                self._writer = self._open_writer()
            except sqlite3.OperationalError as error:
                # A full disk may have room again when something is written.
                is_temporary = _store_error(path, error).is_temporary
                if not (for_reading or is_temporary):
                    raise
                if not self._is_readable():
                    if is_temporary:
                        raise
                    self._path = self._copied()
                    self._writer = self._open_writer()

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
            wait: Called between the steps, to wait a little if something else is to come first.

        Raises:
            StoreError: None of them is kept.
        """
        if not (spans or logs):
            return
        batch = sqlite_writing.Batch(spans, logs)
        at = time.time_ns() if arrived is None else arrived

        def work(connection: _Writer) -> None:
            connection.wait = wait
            try:
                sqlite_writing.insert(connection, batch, at)
            finally:
                connection.wait = None

        self._change(work)

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns a page of the threads that match a query.

        Raises:
            InvalidCursorError: The cursor is invalid.
            StoreError: The store cannot be read.
        """
        return self._read(
            lambda connection: sqlite_reading.threads(connection, query, self._searches)
        )

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(lambda connection: sqlite_reading.thread(connection, thread_id))

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """Returns the spans of a thread and all others of its traces, sorted by start.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(
            lambda connection: sqlite_reading.spans(connection, thread_id, limit, after, size)
        )

    def logs(
        self, thread_id: str, limit: int = 5000, name: str | None = None, size: int = PAGE
    ) -> list[LogRecord]:
        """Returns log records of a thread and of its traces, sorted by time.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(
            lambda connection: sqlite_logs.logs(connection, thread_id, limit, name, size)
        )

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """Sums up all threads that match a query.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(
            lambda connection: sqlite_overview.overview(connection, query, buckets, self._searches)
        )

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this store can do."""
        able: set[Ability] = {"labels", "cost", "feedback", "numbers"}
        if self._read(sqlite_search.is_possible):
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
        return self._read(lambda connection: sqlite_reading.labels(connection, kind, text, limit))

    def numbers(
        self, query: ThreadQuery, by: Kind, names: Sequence[str] = (), limit: int = 20
    ) -> Numbers:
        """Sums up the model calls of all threads that match a query, group by group.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(
            lambda connection: sqlite_numbers.numbers(
                connection, query, by, names, limit, self._searches
            )
        )

    def index_more(self) -> bool:
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
        return self._read(sqlite_indexing.is_left) and self._change(sqlite_indexing.step)

    def decide(self) -> None:
        """Decide at once on long traces that are otherwise decided on in the background.

        Raises:
            StoreError: Some of it is left to do.
        """
        for _ in self._decided():
            pass

    def _decided(self) -> Iterator[bool]:
        """Decides on long traces as a whole. Yields after each transaction."""
        while (one := self._read(deciding.undecided)) is not None:
            for start in range(0, len(one.changes), _CHANGES):
                some = one.changes[start : start + _CHANGES]
                self._change(functools.partial(sqlite_writing.change, changes=some))
                yield True
            self._change(functools.partial(sqlite_writing.finish, undecided=one))
            yield True

    def before_last(self, thread_id: str, count: int) -> Position | None:
        """Returns the position of the span before a thread's last `count`, or None if none is.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(
            lambda connection: sqlite_reading.before_last(connection, thread_id, count)
        )

    def place(self, thread: Thread, query: ThreadQuery) -> int | None:
        """Returns the value by which a list sorts a thread, or None if it is gone.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(lambda connection: sqlite_reading.place(connection, thread, query.sort))

    def strays(self, limit: int = 20) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(lambda connection: sqlite_reading.strays(connection, limit))

    def trace(self, trace_id: str) -> Spans:
        """Returns the first spans of a trace, sorted by start.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(lambda connection: sqlite_reading.trace(connection, trace_id))

    def change(self) -> int:
        """Returns a number that changes whenever spans are written.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(_changes)

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
        deleted = self._change(delete)
        self._waste += deleted.waste
        return deleted.things

    def waste(self) -> int:
        """Returns about how many bytes `merge_index` would free.

        What an earlier run has left is not known.
        """
        return self._waste

    def merge_index(self) -> Iterator[None]:
        """Rewrite the index of messages without what was deleted, step by step.

        Until then the words of deleted messages are in the file, and take up room.

        Raises:
            StoreError: It cannot be written to.
        """
        waste, is_first = self._waste, True
        while self._change(functools.partial(sqlite_search.merge, is_first=is_first)):
            is_first = False
            yield
        self._waste -= waste

    def give_back(self, size: int = 0) -> bool:
        """Give some of the file's free space back to the file system.

        Args:
            size: Not below so many bytes of the file.

        Returns:
            Whether there was any. There may be more.

        Raises:
            StoreError: It cannot be given back.
        """
        with self._errors(), self._lock:
            writer = self._opened_writer()
            pages, free, each = _pages(writer)
            beyond = min(free, _PAGES, pages - size // each)
            if beyond <= 0:
                return False
            if writer.execute("PRAGMA auto_vacuum").fetchone() == (0,):
                raise StoreError(
                    f"{self._path} keeps the room of deleted spans for new ones, and gives none"
                    " back to the disk: it was made without auto_vacuum. To change that, stop the"
                    f" viewer and run: sqlite3 {self._path}"
                    " 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'",
                    is_temporary=False,
                )
            # The statement frees a page for each row it steps to, and has no columns: some releases
            # of Python stop at the first with `execute`, whether or not rows are fetched.
            writer.executescript(f"PRAGMA incremental_vacuum({beyond})")
            self._shorten_log(writer)
            return True

    def shorten_log(self) -> None:
        """Move the log into the file and truncate it, unless readers take too long.

        Raises:
            StoreError: The file cannot be opened.
        """
        with self._errors(), self._lock:
            self._shorten_log(self._opened_writer(), longest=1)

    def size_on_disk(self) -> int:
        """Returns the size of the file and its log in bytes.

        Raises:
            StoreError: There is no file.
        """
        with self._errors():
            if not self._is_there():
                with self._lock:
                    self._check_there()
            log = Path(f"{self._path}-wal")
            return self._path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def size(self) -> int:
        """Returns how many bytes spans and rollups take up in the file.

        Raises:
            StoreError: The store cannot be read.
        """
        return self._read(_size)

    def close(self) -> None:
        """Close the file. Nothing can be asked or written any more."""
        with self._lock:
            self._is_closed = True
            self._drop_readers()
            # The last to close moves the log to the file, which a reader may not do.
            self._drop_writer()
            if self._copy is not None:
                self._copy.cleanup()

    def _change(self, work: Callable[[_Writer], Result]) -> Result:
        """Run a function in a transaction."""
        with self._errors(), self._lock:
            writer = self._opened_writer()
            try:
                writer.execute("BEGIN IMMEDIATE")
                result = work(writer)
                waste = sqlite_names.settle(writer)
                writer.execute("COMMIT")
                self._waste += waste
            except BaseException:
                self._roll_back()
                raise
            # Whether it is in a file that others can find.
            self._check_there()
            self._shorten_log(writer)
            return result

    def _opened_writer(self) -> _Writer:
        """Returns the writing connection. The caller holds the lock."""
        self._check_open()
        self._check_there()
        if self._writer is None:
            _make(self._path)
            self._writer = self._open_writer()
        return self._writer

    def _is_there(self) -> bool:
        """Whether the opened file is still the one at its path."""
        opened = self._files.get(self._path)
        return opened is None or _identity(self._path) == opened

    def _check_there(self) -> None:
        """Close a file that was deleted or replaced. The caller holds the lock."""
        if self._is_there():
            return
        self._drop_writer()
        self._drop_readers()
        for path, opened in self._files.items():
            # What belongs to the old file would be read as part of the new one.
            if path != self._path and _identity(path) == opened:
                path.unlink(missing_ok=True)
        self._files = {}
        message = f"{self._path} was deleted or replaced. The file that is there now is used."
        _log.error("%s Spans in the old one are gone.", message)
        raise StoreError(message, is_temporary=True)

    def _drop_readers(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._readers.get_nowait().close()

    def _shorten_log(self, writer: sqlite3.Connection, longest: int | None = None) -> None:
        """Restart a long log, which continuous readers would keep growing."""
        try:
            if Path(f"{self._path}-wal").stat().st_size < (longest or _LONGEST_LOG):
                return
            with self._file_lock.exclusive(_READERS_TIMEOUT) as is_alone:
                if is_alone:
                    # Readers in other processes are not waited for.
                    writer.execute("PRAGMA busy_timeout = 0")
                    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                    writer.execute(f"PRAGMA busy_timeout = {_LOCK_TIMEOUT * 1000:.0f}")
        except (OSError, sqlite3.Error):
            # What was written is written. The next one tries again, with a new connection.
            self._drop_writer()

    def _roll_back(self) -> None:
        writer = self._writer
        if writer is not None and writer.in_transaction:
            try:
                writer.execute("ROLLBACK")
            except sqlite3.Error:
                # A new one begins with what was committed.
                self._drop_writer()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _read(self, ask: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a function on one consistent state of the file."""
        with self._errors(), self._file_lock.shared():
            connection, is_frozen = self._reader()
            try:
                connection.execute("BEGIN")
                result = ask(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            if (
                is_frozen
                or self._is_closed
                or self._readers.qsize() >= _READERS
                or not self._is_there()
            ):
                connection.close()
            else:
                self._readers.put(connection)
            return result

    def _copied(self) -> Path:
        """A copy of the file and its log, for its owner alone, until this is closed.

        SQLite reads a log only where it may write beside it, and the file alone lacks what the log
        has. An older file is brought up to this release there.
        """
        log = Path(f"{self._path}-wal")
        _log.warning(
            "%s may not be written to, and its log is not part of it yet, or it is of an earlier"
            " release: a copy of %s bytes is made, and read.",
            self._path,
            f"{self.size_on_disk():,}",
        )
        self._copy = tempfile.TemporaryDirectory(prefix="orq-otel-")
        copy = Path(self._copy.name) / self._path.name
        before = _version(self._path), _version(log)
        shutil.copyfile(self._path, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(log, f"{copy}-wal")
        if (_version(self._path), _version(log)) != before:
            self._copy.cleanup()
            raise StoreError(
                f"{self._path} is being written to, and cannot be copied meanwhile. Try again, or"
                " ask the viewer that writes to it with --url.",
                is_temporary=True,
            )
        return copy

    def _is_readable(self) -> bool:
        """Whether the file has the tables of this release."""
        try:
            connection, _ = self._reader()
        except sqlite3.Error:
            return False
        try:
            return schema.is_newest(connection)
        finally:
            connection.close()

    def _reader(self) -> tuple[sqlite3.Connection, bool]:
        """Returns a new connection, and whether it sees only the current state of the file."""
        self._check_open()
        if not self._is_there():
            with self._lock:
                self._check_there()
        try:
            return self._readers.get_nowait(), False
        except queue.Empty:
            pass
        try:
            # It reads the tables' names.
            return self._connect("ro", _CACHE["reader"], sqlite3.Connection), False
        except sqlite3.OperationalError:
            # A log cannot be made beside it. Where there is none, the file is all there is.
            log = Path(f"{self._path}-wal")
            if self._writer or not self._path.exists() or (log.exists() and log.stat().st_size):
                raise
            return self._connect("ro&immutable=1", _CACHE["reader"], sqlite3.Connection), True

    def _open_writer(self) -> _Writer:
        connection = self._connect("rw", _CACHE["writer"], _Writer)
        try:
            # This has an effect on an empty file only.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            # Each commit waits for the disk.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
            schema.migrate(connection)
            paths = (self._path, Path(f"{self._path}-wal"), Path(f"{self._path}-shm"))
            self._files = {path: one for path in paths if (one := _identity(path)) is not None}
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str, cache: int, kind: type[_Connection]) -> _Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_LOCK_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            factory=kind,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{cache}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(f"{self._path} is closed.", is_temporary=False)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors into a `StoreError` that tells the user what to do."""
        try:
            yield
        except schema.NewerFileError as error:
            raise StoreError(
                f"{self._path} was written by a newer release of orq-otel. Update it"
                " (pip install -U orq-otel), or name another file with --db.",
                is_temporary=False,
            ) from error
        except sqlite3.Error as error:
            raise _store_error(self._path, error) from error
        except (zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _store_error(
                self._path, sqlite3.DatabaseError(f"malformed span: {error}")
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be opened: {error.strerror}. Name a file with --db that"
                " you may write to.",
                is_temporary=False,
            ) from error


#: Part of SQLite's message, advice for the user, and whether trying again may help.
_ADVICE: Final = (
    ("locked", "another process keeps it locked. It is tried again.", True),
    ("disk is full", "the disk is full. Free some room, or set --retention.", True),
    ("disk i/o error", "the disk has an error, or is full.", True),
    ("readonly", "it may not be written to. Change its permissions, or name another.", False),
    ("unable to open", "it cannot be opened. Name a file that you may write to.", False),
    ("not a database", "it is no database. Move it away, or name another file with --db.", False),
    ("malformed", "it is damaged. Move it away, or name another file with --db.", False),
)


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    message = str(error)
    for words, advice, is_temporary in _ADVICE:
        if words in message.lower():
            return StoreError(f"{path}: {advice} ({message})", is_temporary=is_temporary)
    return StoreError(f"{path} cannot be used: {message}", is_temporary=False)


def _identity(path: Path) -> _Identity | None:
    """Returns the identity of the file at a path, or None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _version(path: Path) -> tuple[int, int] | None:
    """Returns values that change when a file is written to."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def _make(path: Path) -> None:
    """Create an empty file that only its owner may read, because prompts are private."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def _changes(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count FROM changes").fetchone()
    return int(count)


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Returns the number of pages, the number of free pages, and the size of a page in bytes."""
    pages, free, each = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, free, each


def _size(connection: sqlite3.Connection) -> int:
    pages, free, each = _pages(connection)
    return (pages - free) * each
