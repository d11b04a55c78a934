"""Ends the queries of a page that nobody waits for: a browser may leave before it has its page."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orq_otel.viewer.store import visits


class Leaving:
    """An app whose queries end when the one who asked for them has gone.

    Args:
        app: The app. What it asks of a store belongs to its request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            # The body of another request is read by the app, at its own pace.
            await self._app(scope, receive, send)
            return
        visit = visits.Visit()
        messages: asyncio.Queue[Message] = asyncio.Queue()
        listening = asyncio.create_task(_listen(receive, messages, visit))
        token = visits.current.set(visit)
        try:
            await self._app(scope, messages.get, send)
        finally:
            visits.current.reset(token)
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening


async def _listen(receive: Receive, messages: asyncio.Queue[Message], visit: visits.Visit) -> None:
    """Pass messages on, and end the visit at the last."""
    while True:
        message = await receive()
        messages.put_nowait(message)
        if message["type"] == "http.disconnect":
            await asyncio.to_thread(visit.end)
            return
