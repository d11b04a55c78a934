"""Deletes spans beyond the retention limits in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from orq_otel.viewer.model.store import StoreError

_log = logging.getLogger(__name__)

#: Seconds between two runs.
_PAUSE = 5.0
#: How many seconds `close` waits for a deletion that is running.
_CLOSE_TIMEOUT = 2.0


class RetentionWorker:
    """Applies the retention limits at once, and then every few seconds, in an OS thread.

    Args:
        steps: Deletes spans beyond the limits, step by step.
    """

    def __init__(self, steps: Callable[[], Iterator[object]]) -> None:
        self._steps = steps
        self._last_message = ""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orq-otel-retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop. The next run of the viewer deletes the spans that are left."""
        self._is_over.set()
        self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        pause = 0.0
        while not self._is_over.wait(pause):
            pause = _PAUSE
            try:
                began = time.monotonic()
                for _ in self._steps():
                    # Leave writers as much time as the step took.
                    if self._is_over.wait(time.monotonic() - began):
                        return
                    began = time.monotonic()
                self._last_message = ""
            except StoreError as error:
                if not self._is_over.is_set() and self._last_message != str(error):
                    self._last_message = str(error)
                    _log.warning("Spans beyond --retention are not deleted for now: %s", error)
