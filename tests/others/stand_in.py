"""A server for the tests of OpenAI's clients, which want the vendor's API mocked from its schema.

The schema is not in the source distributions. So this answers every request with next to nothing:
an empty object, an empty stream or a few bytes, as the request asks. A test that wants more fails,
with ours switched on just as without.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written one after the other

    def log_message(self, *args: object) -> None:
        """Stay silent."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = None
        with suppress(ValueError):
            body = json.loads(raw)
        accepts = self.headers.get("accept") or ""
        if "event-stream" in accepts or (isinstance(body, dict) and body.get("stream") is True):
            self._send("text/event-stream", b"data: [DONE]\n\n")
        elif "octet-stream" in accepts or "application/binary" in accepts:
            self._send("application/octet-stream", b"bytes")
        else:
            self._send("application/json", b"{}")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Stay silent about clients that leave."""


@contextmanager
def stand_in() -> Iterator[str]:
    """Serve on a free port of loopback. Yields the address."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
