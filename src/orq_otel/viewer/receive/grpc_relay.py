"""Accepts connections for gRPC and relays them to it, because gRPC cannot limit its connections.

gRPC listens on a Unix socket in a temporary folder. The relay forwards a connection once it has
sent the preface of HTTP/2. It binds its own end to a name, by which a call finds its connection.

The first of them starts gRPC: most viewers are sent spans over HTTP alone, and need neither the
time nor the 20 MB that it takes to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orq_otel.viewer import extra
from orq_otel.viewer.ports.connections import Connection, Port

if TYPE_CHECKING:
    import grpc

_log = logging.getLogger(__name__)

_BEGINNING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_AT_ONCE = 4


class _End(asyncio.Protocol):
    """One end of a relayed connection. It sends the data that it receives to the other end."""

    other: _End | None = None
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - so it is called
        if self.other is not None:
            self.other.transport.close()


class GrpcRelay:
    """Relays connections to gRPC.

    If gRPC cannot be started, that is logged once, and connections are closed.

    Args:
        port: Holds the connections and limits their number.
        folder: The folder of the Unix sockets. No other user may write to it.
        create: Imports gRPC, and returns a server without a port. It is called in an OS thread
            with `find`.
    """

    def __init__(
        self,
        port: Port,
        folder: Path,
        create: Callable[[Callable[[str], Connection | None]], grpc.Server],
    ) -> None:
        self.port = port
        self._create = create
        self._server: asyncio.Future[grpc.Server | None] | None = None
        self._target = str(folder / "grpc")
        self._folder = folder
        self._numbers = itertools.count()
        # If a thousand arrive at once, most are closed again before it is their turn.
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._names: dict[str, Connection] = {}

    def find(self, peer: str) -> Connection | None:
        """Returns the connection of a call, by the call's peer."""
        return self._names.get(peer)

    def protocol(self) -> asyncio.Protocol:
        """Returns the protocol for a new connection, for `loop.create_server`."""
        return self.port.connection(lambda connection: _Front(self, connection))

    async def connect(self, connection: Connection) -> _End:
        """Connect to gRPC for a connection, when it is its turn.

        Raises:
            OSError: gRPC does not listen, or the connection has been closed in the meantime.
        """
        if self._server is None:
            self._server = asyncio.ensure_future(asyncio.to_thread(self._start))
        if await asyncio.shield(self._server) is None:
            raise ConnectionRefusedError
        async with self._turns:
            if connection.is_closing:
                raise ConnectionAbortedError
            return await self._connect(connection)

    async def stop(self, grace: int) -> None:
        """Stop gRPC, if it was started. Its calls may take some seconds."""
        if self._server is not None and (server := await self._server) is not None:
            await asyncio.to_thread(server.stop(grace).wait)

    def _start(self) -> grpc.Server | None:
        try:
            server = self._create(self.find)
            server.add_insecure_port(f"unix:{self._target}")
            server.start()
        except Exception as error:  # noqa: BLE001 - spans over HTTP are taken all the same
            is_missing = isinstance(error, ImportError)
            cure = f". A part of the extra is missing or broken: {extra.REPAIR}"
            _log.error(
                "No spans are taken over gRPC, while those over HTTP are: %s%s",
                error,
                cure if is_missing else "",
                exc_info=None if is_missing else error,
            )
            return None
        return server

    async def _connect(self, connection: Connection) -> _End:
        name = self._folder / str(next(self._numbers))
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            one.setblocking(False)  # noqa: FBT003 - it has no name
            with contextlib.suppress(OSError):  # On a full disk the socket has no name.
                one.bind(str(name))
            one.connect(self._target)
        except OSError:
            one.close()
            raise
        finally:
            name.unlink(missing_ok=True)  # The peer name stays valid without the file.
        peer = f"unix:{name}"
        loop = asyncio.get_running_loop()
        _, back = await loop.create_unix_connection(
            lambda: _Back(self._names, peer, connection), sock=one
        )
        return back


class _Front(_End):
    """The end towards the sender."""

    def __init__(self, relay: GrpcRelay, connection: Connection) -> None:
        self._relay = relay
        self._connection = connection
        self._early = b""
        self._connecting: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        self._early += data
        if not self._early.startswith(_BEGINNING[: len(self._early)]):
            self.transport.abort()
        elif len(self._early) >= len(_BEGINNING) and self._connecting is None:
            self.transport.pause_reading()
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            other = await self._relay.connect(self._connection)
        except OSError:
            self.transport.abort()
            return
        self.other, other.other = other, self
        if self.transport.is_closing():
            other.transport.close()
            return
        self._connection.timeout = None  # From here on, gRPC's own timeouts apply.
        other.transport.write(self._early)
        self._early = b""
        self.transport.resume_reading()


class _Back(_End):
    """The end towards gRPC."""

    def __init__(self, names: dict[str, Connection], peer: str, connection: Connection) -> None:
        self._names = names
        self._peer = peer
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._names[self._peer] = self._connection
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._names.pop(self._peer, None)
        super().connection_lost(exc)
