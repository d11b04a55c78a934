"""Connections: how many a port holds, and how long one may stay that does nothing.

Servers hold a connection until it ends. Whoever opens enough of them, without a word, would take
all descriptors of the process. Here a port has a number of its own: the connection that deserves it
least makes room for a new one, and one that asks nothing within seconds is closed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import cast

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A request's headers have to come within so many seconds, and the next request.
IDLE_TIMEOUT = 5.0
#: More time is given to who sends more: a second for so many bytes, of headers, or of a body that
#: was refused before it was read.
_RATE = 10_000
#: Who reads nothing of an answer for so many seconds is closed for another; after so many, anyway.
_SLOW_READER, _STUCK_READER = 3.0, 30.0
#: Between two looks at all connections, in seconds.
_PAUSE = 0.5
#: Connections that are accepted before one of them is counted. The kernel keeps further ones.
BATCH, BACKLOG = 4, 1024
#: Descriptors for all else: the store's files, above all.
_RESERVED = 256
_MOST = 1_000


def share(parts: int) -> int:
    """How many descriptors each of so many parts may take of those that the process may have."""
    if sys.platform == "win32":
        return _MOST
    import resource  # noqa: PLC0415 - not on Windows

    there_are, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if there_are == resource.RLIM_INFINITY:
        return _MOST
    return max(1, min(_MOST, (there_are - min(_RESERVED, there_are // 2)) // parts))


class Doing(IntEnum):
    """What a connection is for at the moment. The higher, the later it is closed for another."""

    NOTHING = 0
    SENDING = 1
    READING = 2


class Connection(asyncio.Protocol):
    """A connection, in front of the protocol that speaks on it.

    Attributes:
        client: The address and the port of the other side.
        timeout: After how many seconds it is closed unless something begins; None: it stays.
        is_known: Whether it had a request that was let in.
    """

    def __init__(self, port: Port, make: Callable[[Connection], asyncio.Protocol]) -> None:
        self.client = ("", 0)
        self.doing = Doing.NOTHING
        self.timeout: float | None = IDLE_TIMEOUT
        self.is_known = False
        self._port = port
        self._make = make
        self._inner: asyncio.Protocol | None = None
        self._received = 0
        self._unread = 0
        self._since = time.monotonic()

    @property
    def is_silent(self) -> bool:
        """Whether it has sent nothing yet. Then nothing is there to read it, either."""
        return self._inner is None

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._transport.is_closing()

    def turn(self, doing: Doing, timeout: float | None = None) -> None:
        """Do something else from now on."""
        self.doing, self.timeout = doing, timeout
        self._received, self._since = 0, time.monotonic()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A call over a connection of gRPC, in any thread."""
        self.is_known = True
        self.turn(Doing.READING)
        try:
            yield
        finally:
            self.turn(Doing.NOTHING)

    def abort(self) -> None:
        """Close it, whatever is still to be sent."""
        self._transport.abort()

    def worth(self) -> tuple[int, bool, float]:
        """By which connections are ordered, those to be closed for another one first."""
        is_slow = self._unread and time.monotonic() - self._since > _SLOW_READER
        return (Doing.NOTHING if is_slow else self.doing, self.is_known, self._since)

    def look(self) -> None:
        """Close it if it has taken too long."""
        unread, before = self._transport.get_write_buffer_size(), self._unread
        self._unread = unread
        if unread != before:
            self._since = time.monotonic()
        timeout = _STUCK_READER if unread else self.timeout
        if (
            timeout is not None
            and time.monotonic() - self._since > timeout + self._received / _RATE
        ):
            self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.client = name[:2] if name else ("", 0)
        self._port.add(self)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        self._received += len(data)
        if self.timeout is None and self.doing is Doing.NOTHING:
            self._since = time.monotonic()
        if self._inner is None:
            self._inner = self._make(self)
            self._inner.connection_made(self._transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return self._inner.eof_received() if self._inner else None

    def pause_writing(self) -> None:
        """Hand on."""
        if self._inner:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        if self._inner:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._port.remove(self)
        if self._inner:
            self._inner.connection_lost(exc)


class Port:
    """The connections of a port.

    Args:
        most: How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[object, Connection] = {}
        self._is_ending = False

    def connection(self, make: Callable[[Connection], asyncio.Protocol]) -> Connection:
        """A new connection, for `loop.create_server`."""
        return Connection(self, make)

    def find(self, client: object) -> Connection | None:
        """The connection from an address and port."""
        return self._held.get(client)

    def add(self, connection: Connection) -> None:
        """Hold a connection, and close another one for it."""
        if self._is_ending:
            connection.abort()
            return
        if len(self._held) >= self._most:
            # Those that have said nothing are in the order of their age, and may be very many.
            silent = (one for one in self._held.values() if one.is_silent)
            least = next(silent, None) or min(self._held.values(), key=Connection.worth)
            if least.worth()[0] is Doing.READING:
                least = connection
            else:
                self.remove(least)
            least.abort()
            if least is connection:
                return
        self._held[connection.client] = connection

    def remove(self, connection: Connection) -> None:
        """Hold a connection no longer."""
        if self._held.get(connection.client) is connection:
            del self._held[connection.client]

    async def watch(self) -> None:
        """Close those that take too long, for ever."""
        while True:
            await asyncio.sleep(_PAUSE)
            for connection in list(self._held.values()):
                connection.look()

    def end(self) -> None:
        """Take no more, and close those that have asked nothing. Their servers end the others."""
        self._is_ending = True
        for connection in list(self._held.values()):
            if connection.is_silent:
                connection.abort()

    async def drain(self, timeout: float) -> None:
        """Wait until all have ended, and close what has not by then."""
        until = time.monotonic() + timeout
        while self._held and time.monotonic() < until:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        for connection in list(self._held.values()):
            connection.abort()

    def watched(self, app: ASGIApp) -> ASGIApp:
        """An app whose requests are told to their connections."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            connection = self.find(scope.get("client"))
            if scope["type"] != "http" or connection is None:
                await app(scope, receive, send)
                return

            async def receiving() -> Message:
                message = await receive()
                if not message.get("more_body", False):
                    connection.turn(Doing.READING)
                return message

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    connection.is_known |= message["status"] < 400  # noqa: PLR2004 - errors begin
                    connection.turn(Doing.READING)
                await send(message)

            headers = Headers(scope=scope)
            has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
            connection.turn(Doing.SENDING if has_body else Doing.READING)
            try:
                await app(scope, receiving, sending)
            finally:
                connection.turn(Doing.NOTHING, IDLE_TIMEOUT)

        return watched
