"""What the stand-ins listen with: many connections at once on 127.0.0.1, all ended by `stop()`."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class LoopbackServer:
    """A server on a free port of 127.0.0.1, unless one is given; start() and stop(), or ``with``.

    Attributes:
        port: Where it listens. A free one is known once it has been started.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self.port = port
        self._handler = handler
        self._listener: LoopbackListener | None = None

    @property
    def url(self) -> str:
        """Where it listens, such as "http://127.0.0.1:8080"."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start listening; requests are accepted as soon as this returns."""
        if self._listener is None:
            self._listener = LoopbackListener(self.port, self._handler, self)
            self.port = self._listener.server_address[1]
            serve = self._listener.serve_forever
            threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port and all connections, and wait for the threads; safe to repeat."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown()
            listener.server_close()
            listener.close_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class LoopbackListener(ThreadingHTTPServer):
    """Accepts connections and knows the open ones, so that they can be ended.

    Attributes:
        owner: The server that it listens for, where handlers find it.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], owner: LoopbackServer
    ) -> None:
        self.owner = owner
        self.open: dict[Any, threading.Thread] = {}
        super().__init__(("127.0.0.1", port), handler)

    def server_bind(self) -> None:
        """Bind, without asking the DNS for this host's name as `HTTPServer` would."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        work = (request, client_address)
        thread = threading.Thread(target=self.process_request_thread, args=work, daemon=True)
        self.open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        super().shutdown_request(request)
        self.open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up, or of `stop()`, which does."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End all connections, and wait for their threads."""
        still_open = list(self.open.items())
        for connection, _ in still_open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads or writes
        for _, thread in still_open:
            thread.join(timeout=5)
