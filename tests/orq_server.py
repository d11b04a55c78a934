"""A stand-in for Orq's Deployments API on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER: dict[str, Any] = {
    "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "created": "2026-11-01T10:00:00.000Z",
    "object": "chat",
    "model": "gpt-5-mini",
    "provider": "openai",
    "is_final": True,
    "telemetry": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"},
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"type": "content", "role": "assistant", "content": "It is on its way."},
        }
    ],
    "usage": {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}


def _without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


#: What a stream sends: usage and the reason to stop come last.
EVENTS = [
    {
        **_without(ANSWER, "usage"),
        "is_final": False,
        "choices": [_without(ANSWER["choices"][0], "finish_reason")],
    },
    ANSWER,
]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, body))
        if body["key"] == "missing":
            self._answer(404, "application/json", b'{"message": "No such deployment: my secret"}')
        elif self.path.endswith("/stream"):
            events = [f"data: {json.dumps(event)}\n\n" for event in EVENTS] + ["data: [DONE]\n\n"]
            self._answer(200, "text/event-stream", "".join(events).encode())
        else:
            self._answer(200, "application/json", json.dumps(ANSWER).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


class _Server(ThreadingHTTPServer):
    requests: list[tuple[str, Any]]


class OrqServer:
    """Answers `deployments.invoke` and `deployments.stream`, and keeps what it was asked."""

    def __enter__(self) -> OrqServer:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.requests = self.requests = []
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
