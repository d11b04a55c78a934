"""An app whose modules are imported while the ports are open already: spans need none of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from starlette.types import ASGIApp, Receive, Scope, Send


class Late:
    """Makes an app in an OS thread. Requests that come before it is there wait for it.

    Args:
        make: Imports what is needed, and returns the app. What it raises, each request raises.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._app: Future[ASGIApp] | None = None

    def begin(self) -> Future[ASGIApp]:
        """Begin to make the app, unless that was done before. Returns the app's future."""
        with self._lock:
            if self._app is None:
                self._app = Future()
                making = threading.Thread(
                    target=self._finish, args=(self._app,), name="orq-otel-pages", daemon=True
                )
                making.start()
            return self._app

    def _finish(self, app: Future[ASGIApp]) -> None:
        try:
            app.set_result(self._make())
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            app.set_exception(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app."""
        app = await asyncio.shield(asyncio.wrap_future(self.begin()))
        await app(scope, receive, send)
