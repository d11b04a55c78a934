"""Does in the background what writing left undone, and what an older file still needs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from orq_otel.viewer.model.store import StoreError

_log = logging.getLogger(__name__)

#: Seconds until it is tried again after an error.
_PAUSE = 5.0
#: Seconds until it is asked again whether there is something to do, and until it is asked at first:
#: what that imports would delay the first page.
_IDLE = 1.0
#: How many seconds `close` waits for a step that is running.
_CLOSE_TIMEOUT = 2.0


class BacklogWorker:
    """Calls a function in an OS thread, again and again, as long as it has something to do.

    Args:
        step: Does some of it, and returns whether there was any.
    """

    def __init__(self, step: Callable[[], bool]) -> None:
        self._step = step
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orq-otel-index", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop. The next run of the viewer goes on where this one ends."""
        self._is_over.set()
        self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        last_message, pause = "", _IDLE
        while not self._is_over.wait(pause):
            began = time.monotonic()
            try:
                # Leave writers as much time as the step took.
                pause = time.monotonic() - began if self._step() else _IDLE
            except StoreError as error:
                pause = _PAUSE
                if not self._is_over.is_set() and last_message != str(error):
                    last_message = str(error)
                    _log.warning("Stored spans cannot be read again yet: %s", error)
