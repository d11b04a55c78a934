"""Runs the viewer: pages and API, the receivers of OTLP, ingestion, and the store."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from orq_otel.viewer import conversation, malloc
from orq_otel.viewer.garbage_worker import GarbageWorker
from orq_otel.viewer.model.facts import Facts
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.ports import connections, guards, listening
from orq_otel.viewer.ports.connections import Connection
from orq_otel.viewer.receive.grpc_relay import GrpcRelay
from orq_otel.viewer.receive.http_receiver import HttpReceiver
from orq_otel.viewer.receive.ingest import Ingest
from orq_otel.viewer.settings import Settings, SettingsError
from orq_otel.viewer.store import open_store
from orq_otel.viewer.store.backlog_worker import BacklogWorker
from orq_otel.viewer.store.copy_folders import ENDING
from orq_otel.viewer.store.follower import Follower
from orq_otel.viewer.store.retention import Retention
from orq_otel.viewer.store.retention_worker import RetentionWorker
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.late import Late
from orq_otel.viewer.web.leaving import Leaving
from orq_otel.viewer.web.readers import Readers
from orq_otel.viewer.web.web_guard import WebGuard

if TYPE_CHECKING:
    import grpc

_log = logging.getLogger(__name__)

_WEB, _OTLP_HTTP, _OTLP_GRPC = "Threads", "OTLP over HTTP", "OTLP over gRPC"

#: How many seconds requests for pages, and requests of senders, may take after a signal.
_GRACE_OF_PAGES = 1
_GRACE_OF_SENDERS = 8
#: After so many seconds, the rest is imported: the first page is there.
_SOON = 1.0
#: File descriptors of a connection. A gRPC connection is relayed, which takes two more.
_OF_HTTP, _OF_GRPC = 1, 3
#: The highest length of a folder's path in bytes: addresses of Unix sockets must be short.
_LONGEST_FOLDER = 90
#: Python switches OS threads after this many seconds, so that decoding does not delay pages.
_SWITCH_INTERVAL = 0.001


def run(settings: Settings) -> None:
    """Run the viewer until SIGINT or SIGTERM.

    Raises:
        SettingsError: The settings are invalid.
        PortError: The viewer cannot listen on a port.
        StoreError: The store cannot be opened.
    """
    settings.check()
    retention = _retention(settings)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    malloc.keep_little()
    gc.freeze()  # what is imported stays, and need not be looked at again
    guard = guards.Guard(settings.host, settings.token, settings.allowed_hosts)
    ports = {_WEB: (settings.port, "--port")}
    if settings.receives_spans:
        ports[_OTLP_HTTP] = (settings.otlp_http_port, "--otlp-http-port")
        ports[_OTLP_GRPC] = (settings.otlp_grpc_port, "--otlp-grpc-port")
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(GarbageWorker()))
        # Ports come first: if a viewer is running already, this fails before it opens the store.
        sockets = {
            name: [stack.enter_context(one) for one in listening.bind(settings.host, *port)]
            for name, port in ports.items()
        }
        urls = {name: _url(settings.host, bound) for name, bound in sockets.items()}
        # A new file is waited for until it is on the disk: meanwhile the pages are imported.
        opened: Future[Store] = Future()
        pages = Late(functools.partial(_pages, opened, settings, urls.get(_OTLP_HTTP)))
        pages.begin()
        readers = Readers(pages)
        store = stack.enter_context(contextlib.closing(open_store(settings.store)))
        opened.set_result(store)
        web = WebGuard(readers if settings.receives_spans else Leaving(pages), guard)
        share = connections.share(2 * _OF_HTTP + _OF_GRPC)
        servers: list[_Serving] = [_Server(web, sockets[_WEB], share, _GRACE_OF_PAGES)]
        if settings.receives_spans:
            write: Callable[..., None] = store.write
            if isinstance(store, SQLiteStore):
                write = functools.partial(store.write, wait=readers.waiter())
            ingest = Ingest(write, _facts_of, wait=readers.waiter())
            stack.callback(_commit_the_rest, ingest)
            otlp_http = HttpReceiver(ingest, guard)
            servers.append(_Server(otlp_http, sockets[_OTLP_HTTP], share, _GRACE_OF_SENDERS))
            create = functools.partial(_create_grpc, ingest, guard)
            if relay := _relay(stack, share, create):
                servers.append(_RelayedGrpcServer(relay, sockets[_OTLP_GRPC]))
            else:
                otlp_grpc = create()
                _bind_grpc(otlp_grpc, sockets[_OTLP_GRPC])
                servers.append(_GrpcServer(otlp_grpc))
        if isinstance(store, SQLiteStore):
            stack.enter_context(contextlib.closing(BacklogWorker(store.work_off)))
        if retention is not None and isinstance(store, SQLiteStore):
            retention_worker = RetentionWorker(functools.partial(retention.steps, store))
            stack.enter_context(contextlib.closing(retention_worker))
        if not settings.receives_spans:
            _follow(store, stack)
        named = {**urls, "store": _without_password(settings.store)}
        line = " | ".join(f"{name}: {value}" for name, value in named.items())

        asyncio.run(_serve(servers, functools.partial(print, line, flush=True)))


def _pages(opened: Future[Store], settings: Settings, endpoint: str | None) -> ASGIApp:
    """Returns pages and API. What they import takes a third of the time of a start.

    The API is not waited for. What it imports is also what pages of single threads need.
    """
    from starlette.applications import Starlette  # noqa: PLC0415

    from orq_otel.viewer.web.api_route import ApiRoute  # noqa: PLC0415
    from orq_otel.viewer.web.pages import DEFAULT_ENDPOINT, create_pages  # noqa: PLC0415

    store = opened.result()
    pages = create_pages(
        store, otlp_endpoint=endpoint or DEFAULT_ENDPOINT, trace_url=settings.trace_url
    )
    api = Late(functools.partial(_api, store))
    app = Starlette(routes=[ApiRoute(api), *pages])
    gc.freeze()  # the same
    soon = threading.Timer(_SOON, api.begin)
    soon.daemon = True
    soon.start()
    return app


def _api(store: Store) -> ASGIApp:
    from orq_otel.viewer.web.api import Api  # noqa: PLC0415

    api = Api(store)
    gc.freeze()  # the same
    return api


def _facts_of(span: Span) -> Facts:
    """Returns the facts of a span. The first imports what reads them, a fifth of all imports."""
    return conversation.facts.read(span)


def _retention(settings: Settings) -> Retention | None:
    if not settings.retention:
        return None
    if not settings.receives_spans:
        raise SettingsError("--retention is for SQLite files. In ClickHouse, give the table a TTL")
    try:
        return Retention.parse(settings.retention)
    except ValueError as error:
        raise SettingsError(f"--retention: {error}") from error


def _follow(store: Store, stack: contextlib.ExitStack) -> None:
    """Sum up what arrives in ClickHouse for as long as the viewer runs."""
    # It is imported already, and by viewers of SQLite files never.
    from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: PLC0415

    if isinstance(store, ClickHouseStore):
        stack.enter_context(contextlib.closing(Follower(store.follow)))


def _commit_the_rest(ingest: Ingest) -> None:
    if not ingest.close():
        _log.error("The store takes too long: spans that were not acknowledged may be lost")


def _create_grpc(
    ingest: Ingest, guard: guards.Guard, find: Callable[[str], Connection | None] | None = None
) -> grpc.Server:
    """Returns the server of OTLP over gRPC. Its import takes a quarter of the time of a start."""
    from orq_otel.viewer.receive import grpc_receiver  # noqa: PLC0415

    return grpc_receiver.create_receiver(ingest, guard, find=find)


def _relay(
    stack: contextlib.ExitStack, most: int, create: Callable[..., grpc.Server]
) -> GrpcRelay | None:
    """Returns the relay for gRPC, or None if no folder can have Unix sockets."""
    if sys.platform == "win32":
        return None
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="orq-otel-"))
    except OSError:
        return None
    is_short = len(os.fsencode(folder)) <= _LONGEST_FOLDER
    return GrpcRelay(connections.Port(most), Path(folder), create) if is_short else None


def _bind_grpc(server: grpc.Server, sockets: list[socket.socket]) -> None:
    """Close the sockets, which have found free ports, and let gRPC bind to these ports."""
    for one in sockets:
        address, port = one.getsockname()[:2]
        one.close()
        try:
            server.add_insecure_port(_authority(address, port))
        except RuntimeError as error:
            raise listening.PortError(f"gRPC cannot listen on port {port}: {error}") from error


def _url(host: str, sockets: list[socket.socket]) -> str:
    # A wildcard such as 0.0.0.0 is not an address that a browser can open.
    host = "localhost" if host in guards.WILDCARDS else host
    return f"http://{_authority(host, sockets[0].getsockname()[1])}"


def _without_password(store: str) -> str:
    """Returns a store's URL without user and password, or its path."""
    parts = urlsplit(store)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else store


def _authority(host: str, port: int) -> str:
    name = host.strip("[]")
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


class _Serving(Protocol):
    """One of several servers in this process."""

    is_ready: asyncio.Event

    async def run_until_end(self) -> None:
        """Serve until `end` is called."""

    def end(self) -> None:
        """Stop serving."""


class _Server(uvicorn.Server):
    """An HTTP server that leaves signals to its caller, because several servers run together.

    Args:
        app: The ASGI app.
        sockets: The sockets to listen on.
        most: The highest number of connections.
        grace: How many seconds running requests may take after `end`.
    """

    def __init__(self, app: ASGIApp, sockets: list[socket.socket], most: int, grace: int) -> None:
        self._port = connections.Port(most)
        super().__init__(
            uvicorn.Config(
                self._port.watched(app),
                access_log=False,  # an address may have the token in it
                backlog=connections.BATCH,
                http=cast("type[asyncio.Protocol]", self._protocol),
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=grace,
                timeout_keep_alive=int(connections.IDLE_TIMEOUT),
                ws="none",
            )
        )
        self._sockets = sockets
        self.is_ready = asyncio.Event()

    def _protocol(self, **arguments: Any) -> asyncio.Protocol:
        return self._port.connection(lambda _: AutoHTTPProtocol(**arguments))

    async def run_until_end(self) -> None:
        """Serve until `end` is called."""
        watching = asyncio.create_task(self._port.watch())
        await self.serve(self._sockets)
        watching.cancel()

    def end(self) -> None:
        """Stop serving."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and set `is_ready`."""
        await super().startup(sockets)
        for one in self._sockets:
            one.listen(connections.BACKLOG)
        self.is_ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop when running requests are answered."""
        self._port.end()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield


class _GrpcServer:
    """The server of OTLP over gRPC, where it has a port of its own."""

    def __init__(self, server: grpc.Server) -> None:
        self._server = server
        self._ending = asyncio.Event()
        self.is_ready = asyncio.Event()

    def end(self) -> None:
        """Stop serving."""
        self._ending.set()

    async def run_until_end(self) -> None:
        """Serve until `end` is called."""
        self._server.start()
        self.is_ready.set()
        await self._ending.wait()
        await asyncio.to_thread(self._server.stop(_GRACE_OF_SENDERS).wait)


class _RelayedGrpcServer:
    """The same behind a relay of its connections.

    Args:
        relay: Starts gRPC when the first connection needs it.
        sockets: The sockets to listen on.
    """

    def __init__(self, relay: GrpcRelay, sockets: Sequence[socket.socket]) -> None:
        self._relay = relay
        self._sockets = sockets
        self._ending = asyncio.Event()
        self.is_ready = asyncio.Event()

    def end(self) -> None:
        """Stop serving."""
        self._ending.set()

    async def run_until_end(self) -> None:
        """Serve until `end` is called."""
        loop = asyncio.get_running_loop()
        listening: list[asyncio.Server] = []
        watching = asyncio.create_task(self._relay.port.watch())
        for one in self._sockets:
            listening.append(
                await loop.create_server(self._relay.protocol, sock=one, backlog=connections.BATCH)
            )
            one.listen(connections.BACKLOG)
        self.is_ready.set()
        await self._ending.wait()
        for server in listening:
            server.close()
        self._relay.port.end()
        await self._relay.stop(_GRACE_OF_SENDERS)
        await self._relay.port.drain(_GRACE_OF_PAGES)
        watching.cancel()


async def _serve(servers: list[_Serving], announce: Callable[[], None]) -> None:
    """Serve until a signal arrives, and answer the requests that have arrived by then."""
    stop = asyncio.Event()
    _on_signals(stop)
    serving = [asyncio.create_task(server.run_until_end()) for server in servers]
    # If a server ends by itself, it has failed, and the others end, too.
    ended: set[asyncio.Future[Any]] = {*serving, asyncio.create_task(stop.wait())}
    ready: asyncio.Future[Any] = asyncio.gather(*(server.is_ready.wait() for server in servers))
    await asyncio.wait([ready, *ended], return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        announce()
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.end()
    await asyncio.gather(*serving)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    # What has the terminal closed, unless it was started to outlive it.
    hangup = [one for one in ENDING if signal.getsignal(one) == signal.SIG_DFL]
    for number in {signal.SIGINT, signal.SIGTERM, *hangup}:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
