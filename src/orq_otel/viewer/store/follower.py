"""Sums up what arrives in ClickHouse in the background, whether or not anybody looks at a page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from orq_otel.viewer.model.store import StoreError

_log = logging.getLogger(__name__)

#: Seconds between two runs.
_PAUSE = 2.0
#: How many seconds `close` waits for a run.
_CLOSE_TIMEOUT = 2.0


def keep_following(follow: Callable[[], None], is_over: threading.Event) -> None:
    """Follow until an event is set. What fails is logged once, and tried again.

    Args:
        follow: Sums up what has arrived.
        is_over: The event.
    """
    last_message = ""
    while not is_over.is_set():
        try:
            follow()
            last_message = ""
        except StoreError as error:
            if not is_over.is_set() and last_message != str(error):
                last_message = str(error)
                _log.warning("What arrives is not summed up for now: %s", error)
        is_over.wait(_PAUSE)


class Follower:
    """Follows in an OS thread.

    Args:
        follow: Sums up what has arrived.
    """

    def __init__(self, follow: Callable[[], None]) -> None:
        self._is_over = threading.Event()
        self._thread = threading.Thread(
            target=keep_following,
            args=(follow, self._is_over),
            name="orq-otel-follower",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop. The next run of a viewer sums up what is left."""
        self._is_over.set()
        self._thread.join(_CLOSE_TIMEOUT)
