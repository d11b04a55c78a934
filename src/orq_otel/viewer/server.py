"""The viewer, put together: pages and API, two receivers, the writer, the store."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from orq_otel.viewer import facts, guards, listening, memory, receivers_grpc
from orq_otel.viewer.api import create_api
from orq_otel.viewer.ingest import Ingest
from orq_otel.viewer.keeper import Keeper
from orq_otel.viewer.pages import DEFAULT_ENDPOINT, create_pages
from orq_otel.viewer.receivers_http import HttpReceiver
from orq_otel.viewer.settings import Settings, SettingsError
from orq_otel.viewer.store import open_store
from orq_otel.viewer.store.retention import Retention
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web_guard import WebGuard

_log = logging.getLogger(__name__)

_WEB, _OTLP_HTTP, _OTLP_GRPC = "Threads", "OTLP over HTTP", "OTLP over gRPC"

#: After a signal, pages may go on for so many seconds; senders until their spans are committed.
_GRACE_OF_PAGES = 1
_GRACE_OF_SENDERS = 8
#: The thread that decodes lets others in after so many seconds, above all those that make pages.
_SWITCH_INTERVAL = 0.001


def run(settings: Settings) -> None:
    """Run the viewer until SIGINT or SIGTERM.

    Raises:
        SettingsError: It is not started like this.
        PortError: It cannot listen.
        StoreError: Its store cannot be opened.
    """
    settings.check()
    retention = _retention(settings)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    memory.give_back_large_blocks()
    guard = guards.Guard(settings.host, settings.token, settings.allowed_hosts)
    ports = {_WEB: (settings.port, "--port")}
    if settings.is_filled_here:
        ports[_OTLP_HTTP] = (settings.otlp_http_port, "--otlp-http-port")
        ports[_OTLP_GRPC] = (settings.otlp_grpc_port, "--otlp-grpc-port")
    with contextlib.ExitStack() as stack:
        # Ports come first: a viewer that runs already is told of before its store is touched.
        sockets = {
            name: [stack.enter_context(one) for one in listening.bind(settings.host, *port)]
            for name, port in ports.items()
        }
        urls = {name: _url(settings.host, bound) for name, bound in sockets.items()}
        store = stack.enter_context(contextlib.closing(open_store(settings.store)))
        pages = create_pages(store, otlp_endpoint=urls.get(_OTLP_HTTP, DEFAULT_ENDPOINT))
        web = WebGuard(Starlette(routes=[*create_api(store), *pages]), guard)
        servers = [_Server(web, sockets[_WEB], _GRACE_OF_PAGES)]
        otlp_grpc = None
        if settings.is_filled_here:
            ingest = Ingest(store.write, facts.read)
            stack.callback(_commit_the_rest, ingest)
            otlp_http = HttpReceiver(ingest, guard)
            servers.append(_Server(otlp_http, sockets[_OTLP_HTTP], _GRACE_OF_SENDERS))
            otlp_grpc = receivers_grpc.create_receiver(ingest, guard)
            _bind_again(otlp_grpc, sockets[_OTLP_GRPC])
        if retention is not None and isinstance(store, SQLiteStore):
            keeper = Keeper(functools.partial(retention.steps, store))
            stack.enter_context(contextlib.closing(keeper))
        named = {**urls, "store": _without_password(settings.store)}
        line = " | ".join(f"{name}: {value}" for name, value in named.items())
        asyncio.run(_serve(servers, otlp_grpc, functools.partial(print, line, flush=True)))


def _retention(settings: Settings) -> Retention | None:
    if not settings.retention:
        return None
    if not settings.is_filled_here:
        raise SettingsError("--retention is for SQLite files. In ClickHouse, give the table a TTL")
    try:
        return Retention.parse(settings.retention)
    except ValueError as error:
        raise SettingsError(f"--retention: {error}") from error


def _commit_the_rest(ingest: Ingest) -> None:
    if not ingest.close():
        _log.error("The store takes too long: what nobody was told is kept may be lost")


def _bind_again(server: grpc.Server, sockets: list[socket.socket]) -> None:
    """Let gRPC bind on its own. The sockets were there to see that it can, and to find a port."""
    for one in sockets:
        address, port = one.getsockname()[:2]
        one.close()
        try:
            server.add_insecure_port(_authority(address, port))
        except RuntimeError as error:
            raise listening.PortError(f"gRPC cannot listen on port {port}: {error}") from error


def _url(host: str, sockets: list[socket.socket]) -> str:
    # Nobody can go to an address that stands for all.
    host = "localhost" if host in guards.WILDCARDS else host
    return f"http://{_authority(host, sockets[0].getsockname()[1])}"


def _without_password(store: str) -> str:
    """A store's URL as it may be shown, or its path."""
    parts = urlsplit(store)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else store


def _authority(host: str, port: int) -> str:
    name = host.strip("[]")
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


class _Server(uvicorn.Server):
    """One of two servers in this process, which leaves signals to whoever runs both.

    Args:
        app: What answers.
        sockets: Where it listens.
        grace: For so many seconds requests may go on when it ends.
    """

    def __init__(self, app: ASGIApp, sockets: list[socket.socket], grace: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,  # an address may have the token in it
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=grace,
                ws="none",
            )
        )
        self._sockets = sockets
        self.is_ready = asyncio.Event()

    async def run_until_told(self) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(self._sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and tell."""
        await super().startup(sockets)
        self.is_ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


async def _serve(
    servers: list[_Server], otlp_grpc: grpc.Server | None, tell: Callable[[], None]
) -> None:
    """Serve until a signal comes, and answer what has arrived by then."""
    stop = asyncio.Event()
    _on_signals(stop)
    serving = [asyncio.create_task(server.run_until_told()) for server in servers]
    # A server that ends by itself has failed, and takes the others along.
    ended: set[asyncio.Future[Any]] = {*serving, asyncio.create_task(stop.wait())}
    ready: asyncio.Future[Any] = asyncio.gather(*(server.is_ready.wait() for server in servers))
    if otlp_grpc is not None:
        otlp_grpc.start()
    await asyncio.wait([ready, *ended], return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        tell()
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    if otlp_grpc is not None:
        await asyncio.to_thread(otlp_grpc.stop(_GRACE_OF_SENDERS).wait)
    await asyncio.gather(*serving)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
