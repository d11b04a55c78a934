"""What each client sends, as its own instrumentation tells where a request goes."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

APP = Path(__file__).with_name("apps") / "asking_app.py"
SENT = "orq.thread_id=support-42,thread.id=support-42,gen_ai.conversation.id=support-42"
CLIENTS = ("httpx", "httpx-async", "requests", "urllib3", "urllib", "aiohttp")


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: dict[tuple[str, str], list[str]] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        asked = self.headers["Host"].partition(":")[0], self.path.lstrip("/")
        self.server.seen[asked] = self.headers.get_all("baggage", [])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        worker = threading.Thread(target=server.serve_forever, args=(0.01,))
        worker.start()
        yield server
        server.shutdown()
        worker.join()


@pytest.mark.parametrize("conventions", ["", "http", "http/dup"])
@pytest.mark.parametrize("to", ["", "127.0.0.1", "*"])
@pytest.mark.one_in(2)
def test_each_client(listener: Listener, to: str, conventions: str) -> None:
    variables = {"ORQ_OTEL_PROPAGATE_TO": to, "OTEL_SEMCONV_STABILITY_OPT_IN": conventions}
    done = subprocess.run(
        [sys.executable, str(APP), str(listener.server_port)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    allowed = {"": (), "127.0.0.1": ("127.0.0.1",), "*": ("127.0.0.1", "localhost")}[to]
    assert listener.seen == {
        (host, client): [SENT] if host in allowed else []
        for host in ("127.0.0.1", "localhost")
        for client in CLIENTS
    }
    # gRPC's instrumentation does not tell the host.
    over_grpc = SENT if to == "*" else ""
    assert json.loads(done.stdout) == {
        "grpc": over_grpc,
        "grpc-async": over_grpc,
        "by hand": SENT.replace(",", ", "),
    }
