"""Between the two collectors: `rotel` always compresses what it sends, `oteltap` never expands it.

Hands each request on as it is, but for the compression.
"""

from __future__ import annotations

import gzip
import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__((LOOPBACK, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        onward = http.client.HTTPConnection(urlsplit(self.server.target).netloc, timeout=10)
        try:
            kind = {"Content-Type": self.headers["Content-Type"]}
            onward.request("POST", self.path, body, kind)
            response = onward.getresponse()
            answer = response.read()
        finally:
            onward.close()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def unzipping(target: str) -> Iterator[str]:
    """A server on a free port that hands on to `target`, without compression."""
    with _Server(target) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()
