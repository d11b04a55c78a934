"""How long a request's body may take."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from orq_otel.viewer.refusals import RefusedError, Why

#: In seconds, and one more for so many bytes that have come: whoever goes on sending is waited for.
BODY_TIMEOUT = 10.0
_RATE = 500


class BodyTimeout:
    """Receives a body as long as it comes at a reasonable speed.

    Args:
        receive: Gives its next part.
        timeout: Within how many seconds a small one has to be there.
    """

    def __init__(self, receive: Receive, timeout: float = BODY_TIMEOUT) -> None:
        self._receive = receive
        self._left = timeout

    async def __call__(self) -> Message:
        """The next part.

        Raises:
            RefusedError: It does not come.
        """
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(self._left, 0))
        except asyncio.TimeoutError:
            raise RefusedError(Why.TOO_SLOW, "the body did not arrive in time") from None
        self._left += len(message.get("body", b"")) / _RATE - (time.monotonic() - began)
        return message
