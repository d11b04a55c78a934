"""Limits the number of connections of a port, and closes idle ones.

Servers keep a connection until it ends, so that a client which opens many idle connections would
use up all file descriptors of the process. Here each port has a limit. When it is reached, the
connection with the lowest priority is closed for a new one, other than the newest ones, whose
requests may not have been read yet. A connection without a request is closed after some seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import islice
from typing import cast

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A request's headers have to arrive within this many seconds, and so does the next request.
IDLE_TIMEOUT = 5.0
#: A client gets one more second for this many bytes: of headers, or of a body that was refused
#: before it was read.
_RATE = 10_000
#: A client that reads nothing of an answer for the first number of seconds may be closed for a new
#: connection. After the second number it is closed in any case.
_SLOW_READER, _STUCK_READER = 3.0, 30.0
#: Seconds between two checks of all connections.
_PAUSE = 0.5
#: How many connections are accepted before one of them is counted, and how many the kernel queues.
BATCH, BACKLOG = 4, 1024
#: One in as many connections is among the newest.
_NEWEST = 4
#: File descriptors for everything else, above all the store's files.
_RESERVED = 256
_MOST = 1_000


def share(parts: int) -> int:
    """Returns how many connections each server may have, within the process's file descriptors.

    Args:
        parts: The number of file descriptors that one connection of each server takes, added up.
    """
    if sys.platform == "win32":
        return _MOST
    import resource  # noqa: PLC0415 - not on Windows

    there_are, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if there_are == resource.RLIM_INFINITY:
        return _MOST
    return max(1, min(_MOST, (there_are - min(_RESERVED, there_are // 2)) // parts))


class Activity(IntEnum):
    """What the client of a connection does. Higher activities are closed later for a new one."""

    NOTHING = 0
    SENDING = 1
    READING = 2


class Connection(asyncio.Protocol):
    """A connection that wraps the protocol of its server.

    Attributes:
        client: The client's address and port.
        activity: What the client does.
        timeout: After how many seconds of the same activity it is closed, or None.
        is_known: Whether a request of the client was accepted.
    """

    def __init__(self, port: Port, make: Callable[[Connection], asyncio.Protocol]) -> None:
        self.client = ("", 0)
        self.activity = Activity.NOTHING
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
        """Whether the client has sent nothing yet. The server's protocol does not exist before."""
        return self._inner is None

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._transport.is_closing()

    def start(self, activity: Activity, timeout: float | None = None) -> None:
        """Start another activity."""
        self.activity, self.timeout = activity, timeout
        self._received, self._since = 0, time.monotonic()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Marks the time of a gRPC call. Safe to use from any OS thread."""
        self.is_known = True
        self.start(Activity.READING)
        try:
            yield
        finally:
            self.start(Activity.NOTHING)

    def abort(self) -> None:
        """Close it without sending the rest of an answer."""
        self._transport.abort()

    def priority(self) -> tuple[int, bool, float]:
        """The priority. The connection with the lowest one is closed for a new one."""
        is_slow = self._unread and time.monotonic() - self._since > _SLOW_READER
        return (Activity.NOTHING if is_slow else self.activity, self.is_known, self._since)

    def check_timeout(self) -> None:
        """Close it if its timeout is over."""
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
        """Register the connection with its port."""
        self._transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.client = name[:2] if name else ("", 0)
        self._port.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass data to the server's protocol, which the first data creates."""
        self._received += len(data)
        if self.timeout is None and self.activity is Activity.NOTHING:
            self._since = time.monotonic()
        if self._inner is None:
            self._inner = self._make(self)
            self._inner.connection_made(self._transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received() if self._inner else None

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._inner:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._inner:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from its port."""
        self._port.remove(self)
        if self._inner:
            self._inner.connection_lost(exc)


class Port:
    """The connections of a port.

    Args:
        most: The highest number of connections.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[object, Connection] = {}
        self._is_ending = False

    def connection(self, make: Callable[[Connection], asyncio.Protocol]) -> Connection:
        """Creates a connection, for `loop.create_server`."""
        return Connection(self, make)

    def find(self, client: object) -> Connection | None:
        """Returns the connection from an address and port, or None."""
        return self._held.get(client)

    def add(self, connection: Connection) -> None:
        """Add a connection. If there are too many, close the one with the lowest priority."""
        if self._is_ending:
            connection.abort()
            return
        if len(self._held) >= self._most:
            least = self._least()
            if least is None:
                connection.abort()
                return
            self.remove(least)
            least.abort()
        self._held[connection.client] = connection

    def remove(self, connection: Connection) -> None:
        """Remove a connection."""
        if self._held.get(connection.client) is connection:
            del self._held[connection.client]

    def _least(self) -> Connection | None:
        """Returns the connection to close for a new one, or None if all are being answered."""
        for count in (self._most - self._most // _NEWEST, self._most):
            # The first silent one is the oldest one. There may be very many.
            silent = (one for one in islice(self._held.values(), count) if one.is_silent)
            least = next(silent, None) or min(
                islice(self._held.values(), count), key=Connection.priority
            )
            if least.priority()[0] is not Activity.READING:
                return least
        return None

    async def watch(self) -> None:
        """Close connections whose timeout is over, until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE)
            for connection in list(self._held.values()):
                connection.check_timeout()

    def end(self) -> None:
        """Refuse new connections, and close those without data. Their servers close the others."""
        self._is_ending = True
        for connection in list(self._held.values()):
            if connection.is_silent:
                connection.abort()

    async def drain(self, timeout: float) -> None:
        """Wait until all connections have ended. Close the others after the timeout."""
        until = time.monotonic() + timeout
        while self._held and time.monotonic() < until:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)
        for connection in list(self._held.values()):
            connection.abort()

    def watched(self, app: ASGIApp) -> ASGIApp:
        """Wraps an app, so that its requests set the activity of their connections."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            connection = self.find(scope.get("client"))
            if scope["type"] != "http" or connection is None:
                await app(scope, receive, send)
                return

            async def receiving() -> Message:
                message = await receive()
                if not message.get("more_body", False):
                    connection.start(Activity.READING)
                return message

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    connection.is_known |= message["status"] < 400  # noqa: PLR2004 - errors begin
                    connection.start(Activity.READING)
                await send(message)

            headers = Headers(scope=scope)
            has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
            connection.start(Activity.SENDING if has_body else Activity.READING)
            try:
                await app(scope, receiving, sending)
            finally:
                connection.start(Activity.NOTHING, IDLE_TIMEOUT)

        return watched
