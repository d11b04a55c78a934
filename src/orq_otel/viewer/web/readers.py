"""Lets what reads spans wait for pages that somebody waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: How many seconds pages are waited for at most, and how long work goes on after that.
_LONGEST: Final = 0.05
_SHORTEST: Final = 0.005


class Readers:
    """An app whose answers are made before other work goes on.

    Python runs one OS thread at a time. A page beside a batch of spans would take twice as long,
    while nobody looks at a sender's watch. Where there are always pages to make, the other work has
    half of the time, as it would have anyway.

    Args:
        app: It makes the answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._waiting = 0
        self._nobody = threading.Event()
        self._nobody.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app. From the beginning of its answer on, nobody waits for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_answered = False

        def answered() -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                self._waiting -= 1
                if not self._waiting:
                    self._nobody.set()

        async def sent(message: Message) -> None:
            answered()
            await send(message)

        self._waiting += 1
        self._nobody.clear()
        try:
            await self._app(scope, receive, sent)
        finally:
            answered()

    def waiter(self) -> Callable[[], None]:
        """Returns a function that waits for readers, to call often from one OS thread.

        It waits after work that has taken a moment, for as long as that has taken. Whatever is done
        between two calls can make a page wait for as long.
        """
        since = time.monotonic()
        is_nobody_waiting = self._nobody.is_set

        def wait() -> None:
            if not is_nobody_waiting():
                nonlocal since
                worked = time.monotonic() - since
                if worked >= _SHORTEST:
                    self._nobody.wait(min(worked, _LONGEST))
                    since = time.monotonic()

        return wait
