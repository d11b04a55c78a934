"""An app whose modules are imported while other things are made ready: spans need none of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from starlette.types import ASGIApp, Receive, Scope, Send

from orq_otel.viewer import extra

_log = logging.getLogger(__name__)


class Late:
    """Makes an app in an OS thread. Requests that come before it is there wait for it.

    If it cannot be made, that is logged once, and each request is answered with it.

    Args:
        make: Imports what is needed, and returns the app.
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
        except Exception as error:  # noqa: BLE001 - the viewer takes spans all the same
            problem = f"There are no pages, while spans are taken: {error}"
            cure = ""
            if isinstance(error, ImportError):
                cure = f". A part of the extra is missing or broken: {extra.REPAIR}"
            _log.error("%s%s", problem, cure, exc_info=None if cure else error)
            app.set_result(_Explanation(f"{problem}{cure}\n"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the app."""
        app = await asyncio.shield(asyncio.wrap_future(self.begin()))
        await app(scope, receive, send)


class _Explanation:
    """Says in the place of an app why there is none."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": self._text.encode()})
