"""A lock that many readers share, or that one OS thread holds exclusively."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Counts readers. While someone waits for exclusive access, new readers have to wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._is_exclusive = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._changed:
            while self._is_exclusive:
                self._changed.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive(self, timeout: float) -> Iterator[bool]:
        """Hold the lock exclusively, if all readers leave in time.

        No more than one OS thread may call it at a time.

        Args:
            timeout: How many seconds to wait for the readers.

        Yields:
            Whether all readers have left.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._is_exclusive = True
            while self._readers and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            is_alone = not self._readers
        try:
            yield is_alone
        finally:
            with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()
