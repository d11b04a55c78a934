"""A SQLite file, its connections, and what is done in its transactions.

One connection writes. Readers have connections of their own, and see what was committed when they
began (`PRAGMA journal_mode = WAL`): neither waits for the other.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store import schema, sqlite_names, visits
from orq_otel.viewer.store.copy_folders import CopyFolder
from orq_otel.viewer.store.shared_lock import SharedLock
from orq_otel.viewer.store.sqlite_copying import copied
from orq_otel.viewer.store.sqlite_errors import errors, store_error
from orq_otel.viewer.store.sqlite_rows import LOWERED

#: How long another process may keep the file locked.
_LOCK_TIMEOUT: Final = 5.0
#: The size of each connection's cache in KiB. The writer's has room for what a transaction changes,
#: 1,800 pages for 2,048 spans of random traces. With more of it, no write was quicker.
_CACHE: Final = {"writer": 12_288, "reader": 4_096}
#: After this many pages of 4 KiB, SQLite moves the log into the file.
_CHECKPOINT: Final = 4_000
#: Continuous readers keep the log from restarting. If it has more bytes than this, the writer
#: waits for readers to leave and lets no new ones in.
_LONGEST_LOG: Final = 48 * 2**20
#: How many seconds it waits for them.
_READERS_TIMEOUT: Final = 0.2
#: How many reading connections stay open for the next query.
_READERS: Final = 8
#: How many pages one step gives back.
_PAGES: Final = 500

# Without an adapter, Python's module looks three times as long for one of each NULL. This one, in
# C, returns None for it.
sqlite3.register_adapter(type(None), dict[None, None]().get)

Result = TypeVar("Result")
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)
#: The device and inode of a file.
_Identity = tuple[int, int]

_log = logging.getLogger(__name__)


class Writer(sqlite3.Connection):
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


class SQLiteFile:
    """A file with its connections.

    Args:
        path: The file's path. If there is no file, it is created, readable for its owner only.
        for_reading: It need not be writable if it is there.

    Attributes:
        waste: About how many bytes merging the indexes would free.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, path: Path, *, for_reading: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file_lock = SharedLock()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._is_closed = False
        self.waste = 0
        self._writer: Writer | None = None
        self._copy: CopyFolder | None = None
        #: What the writer has open: the file, its log, and what its connections share.
        self._files: dict[Path, _Identity] = {}
        with errors(self._path):
            _make(path)
            try:
                self._writer = self._open_writer()
            except sqlite3.OperationalError as error:
                # A full disk may have room again when something is written.
                is_temporary = store_error(path, error).is_temporary
                if not (for_reading or is_temporary):
                    raise
                if not self._is_readable():
                    if is_temporary:
                        raise
                    self._path, self._copy = copied(path, self.size_on_disk())
                    self._writer = self._open_writer()

    def change(self, work: Callable[[Writer], Result]) -> Result:
        """Run a function in a transaction."""
        with errors(self._path), self._lock:
            writer = self._opened_writer()
            try:
                writer.execute("BEGIN IMMEDIATE")
                result = work(writer)
                waste = sqlite_names.settle(writer)
                writer.execute("COMMIT")
                self.waste += waste
            except BaseException:
                self._roll_back()
                raise
            # Whether it is in a file that others can find.
            self._check_there()
            self._shorten_log(writer)
            return result

    def _opened_writer(self) -> Writer:
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

    def read(self, ask: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a function on one consistent state of the file, the same for all of a page.

        Each statement that begins or ends a transaction waits for the OS threads that write, and a
        connection reads the file's pages again after each transaction of theirs.
        """
        with errors(self._path), visits.entered(self, self._state) as connection:
            return ask(connection)

    @contextmanager
    def _state(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection that sees the current state."""
        with self._file_lock.shared():
            connection, is_frozen = self._reader()
            try:
                connection.execute("BEGIN")
                yield connection
                # An error that was told to nobody may have ended it already.
                connection.commit()
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

    def _open_writer(self) -> Writer:
        connection = self._connect("rw", _CACHE["writer"], Writer)
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
            connection.create_function(LOWERED, 1, str.lower, deterministic=True)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(f"{self._path} is closed.", is_temporary=False)

    def give_back(self, size: int = 0) -> bool:
        """Give some of the file's free space back to the file system.

        Args:
            size: Not below so many bytes of the file.

        Returns:
            Whether there was any. There may be more.

        Raises:
            StoreError: It cannot be given back.
        """
        with errors(self._path), self._lock:
            writer = self._opened_writer()
            count, free, each = pages(writer)
            beyond = min(free, _PAGES, count - size // each)
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
        with errors(self._path), self._lock:
            self._shorten_log(self._opened_writer(), longest=1)

    def size_on_disk(self) -> int:
        """Returns the size of the file and its log in bytes.

        Raises:
            StoreError: There is no file.
        """
        with errors(self._path):
            if not self._is_there():
                with self._lock:
                    self._check_there()
            log = Path(f"{self._path}-wal")
            return self._path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def close(self) -> None:
        """Close the file. Nothing can be asked or written any more."""
        with self._lock:
            self._is_closed = True
            self._drop_readers()
            # The last to close moves the log to the file, which a reader may not do.
            self._drop_writer()
            if self._copy is not None:
                self._copy.cleanup()


def _identity(path: Path) -> _Identity | None:
    """Returns the identity of the file at a path, or None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _make(path: Path) -> None:
    """Create an empty file that only its owner may read, because prompts are private."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Returns the number of pages, the number of free pages, and the size of a page in bytes."""
    pages, free, each = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, free, each
