"""A timeout for the body of a request."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from orq_otel.viewer.ports.refusals import RefusedError, Why

#: How many seconds a small body may take.
BODY_TIMEOUT = 10.0
#: A body may take one more second for each of this many bytes.
_RATE = 500


class BodyTimeout:
    """An ASGI `receive` that refuses a body which arrives too slowly.

    Args:
        receive: The ASGI server's `receive`.
        timeout: How many seconds a small body may take.
    """

    def __init__(self, receive: Receive, timeout: float = BODY_TIMEOUT) -> None:
        self._receive = receive
        self._left = timeout

    async def __call__(self) -> Message:
        """Returns the next message.

        Raises:
            RefusedError: The message does not arrive in time.
        """
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(self._left, 0))
        except asyncio.TimeoutError:
            raise RefusedError(Why.TOO_SLOW, "the body did not arrive in time") from None
        self._left += len(message.get("body", b"")) / _RATE - (time.monotonic() - began)
        return message
