"""Deletes in the background what is not to be kept any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from orq_otel.viewer.model import StoreError

_log = logging.getLogger(__name__)

#: Between the end of one look and the next, in seconds.
_PAUSE = 5.0
#: For a deletion that goes on when the viewer ends.
_CLOSE_TIMEOUT = 2.0


class RetentionWorker:
    """Has a store's limits kept, now and every few seconds.

    Args:
        steps: Deletes what is beyond them, step by step.
    """

    def __init__(self, steps: Callable[[], Iterator[object]]) -> None:
        self._steps = steps
        self._last_message = ""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orq-otel-retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it. What it has not deleted yet, it will the next time."""
        self._is_over.set()
        self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        pause = 0.0
        while not self._is_over.wait(pause):
            pause = _PAUSE
            try:
                began = time.monotonic()
                for _ in self._steps():
                    # Who writes has as long as the step took.
                    if self._is_over.wait(time.monotonic() - began):
                        return
                    began = time.monotonic()
                self._last_message = ""
            except StoreError as error:
                if not self._is_over.is_set() and self._last_message != str(error):
                    self._last_message = str(error)
                    _log.warning("What is beyond --retention stays for now: %s", error)
