"""A gate that readers pass together, and that can be held by one alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Counts who is inside. Whoever wants to be alone keeps newcomers waiting meanwhile."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._is_exclusive = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Be inside, with others."""
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
        """Be alone, if all others leave in time. One thread at a time may ask for it.

        Args:
            timeout: How many seconds to wait.

        Yields:
            Whether nobody else is inside.
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
