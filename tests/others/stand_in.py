"""A server for the tests of OpenAI's clients, which want the vendor's API mocked from its schema.

It answers what `answers.py` made of the client's types, as JSON or as a stream, as the request
asks. A path that is not known gets an empty object, an empty stream or a few bytes.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written one after the other

    def log_message(self, *args: object) -> None:
        """Stay silent."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = None
        with suppress(ValueError):
            body = json.loads(raw)
        answer = self.server.answer(self.command, urlsplit(self.path).path)
        accepts = self.headers.get("accept") or ""
        if "event-stream" in accepts or (isinstance(body, dict) and body.get("stream") is True):
            chunks = [json.dumps(answer["chunk"])] if "chunk" in answer else []
            events = [f"data: {data}\n\n" for data in [*chunks, "[DONE]"]]
            self._send("text/event-stream", "".join(events).encode())
        elif "octet-stream" in accepts or "application/binary" in accepts:
            self._send("application/octet-stream", b"bytes")
        else:
            self._send("application/json", json.dumps(answer.get("json", {})).encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answers: Sequence[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._answers = [
            (one["method"], re.compile(rf"(?:/v1)?{one['path']}"), one) for one in answers
        ]

    def answer(self, method: str, path: str) -> dict[str, Any]:
        """What a request gets: nothing known, if no method of the client sends it."""
        for known, pattern, answer in self._answers:
            if known == method and pattern.fullmatch(path):
                return answer
        return {}

    def handle_error(self, *args: object) -> None:
        """Stay silent about clients that leave."""


@contextmanager
def stand_in(answers: Sequence[dict[str, Any]] = ()) -> Iterator[str]:
    """Serve on a free port of loopback. Yields the address.

    Args:
        answers: What requests get, as `answers.py` prints them.
    """
    with _Server(answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
