"""Connections that ask nothing, calls without a message, guesses of the token."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.otlp_requests import body, message
from support.silent_connections import Silent
from support.viewer_process import CODE, Viewer
from support.viewer_spans import served

from orq_otel.viewer.conversation import facts
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.receive.http_receiver import HttpReceiver
from orq_otel.viewer.receive.ingest import Ingest

CONNECTIONS = 1_200
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MEDIA = {"content-type": "application/x-protobuf"}
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_BODY = (
    b"POST /api/import HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 100\r\n\r\n"
)
TOKEN = "the-right-one"


class Narrow(Viewer):
    """A viewer with 1,024 descriptors, whose log is a file."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        code = (
            "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)); "
            f"os.dup2(os.open({str(self.log)!r}, os.O_WRONLY | os.O_CREAT), 2); "
        )
        super().__init__(folder / "threads.db", code=code + CODE)
        self.ports = [self.pages, self.otlp_http, self.otlp_grpc]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Narrow]:
    if not Silent.is_possible(3 * CONNECTIONS):
        pytest.skip("this process may not have as many descriptors")
    with Narrow(tmp_path) as viewer:
        yield viewer


def exporters(viewer: Viewer) -> list[SpanExporter]:
    return [HttpExporter(viewer.traces), GrpcExporter(viewer.otlp_grpc, insecure=True)]


def one_span() -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("tests").start_as_current_span("a", attributes={"thread.id": "one"}):
        pass
    return list(memory.get_finished_spans())


class SilentCalls:
    """Calls over gRPC whose message does not come while the block runs."""

    def __init__(self, viewer: Viewer, channels: int, calls: int) -> None:
        target = viewer.otlp_grpc.removeprefix("http://")
        # A channel with options of its own has a connection of its own.
        self._channels = [
            grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(channels)
        ]
        self._calls = calls
        self._stop = threading.Event()

    def __enter__(self) -> list[Any]:
        return [
            channel.stream_unary(EXPORT).future(self._nothing())
            for channel in self._channels
            for _ in range(self._calls)
        ]

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for channel in self._channels:
            channel.close()

    def _nothing(self) -> Iterator[bytes]:
        self._stop.wait()
        yield from ()


# Many connections.


@pytest.mark.parametrize(
    "greeting",
    [b"", pytest.param(b"P", marks=pytest.mark.slow)],
    ids=["silent", "a byte each"],
)
def test_silent_connections_keep_nobody_out(narrow: Narrow, greeting: bytes) -> None:
    assert httpx.get(narrow.pages).status_code == 200
    before = exporters(narrow)
    sent = [one.export(one_span()) for one in before]
    took = []
    with SilentCalls(narrow, 1, 10), Silent(narrow.ports, CONNECTIONS, greeting):
        for _ in range(20):
            began = time.monotonic()
            assert httpx.get(narrow.pages).status_code == 200
            took.append(time.monotonic() - began)
            later = exporters(narrow)
            sent += [one.export(one_span()) for one in (*before, *later)]
            for one in later:
                one.shutdown()
            assert narrow.descriptors() < 1_024
    for one in before:
        one.shutdown()
    assert sent == [SpanExportResult.SUCCESS] * 82
    assert httpx.get(f"{narrow.pages}/api/threads/one").json()["spans"] == 82
    # None took httpx's five seconds. The first ones share the machine with what opens connections.
    assert sorted(took)[len(took) // 2] < 1
    narrow.stop()
    assert narrow.log.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("greeting", "count"),
    [
        pytest.param(b"", CONNECTIONS, marks=pytest.mark.slow),
        pytest.param(b"P", 300, marks=pytest.mark.slow),
        (NO_BODY, 300),
    ],
    ids=["silent", "a byte each", "no body"],
)
def test_connections_that_come_again_keep_nobody_out(
    narrow: Narrow, greeting: bytes, count: int
) -> None:
    with Silent(narrow.ports, count, greeting, again=True) as attack:
        for one in exporters(narrow):
            # A page is asked for once, a sender tries again.
            assert httpx.get(narrow.pages, timeout=30).status_code == 200
            assert one.export(one_span()) is SpanExportResult.SUCCESS
            one.shutdown()
        assert narrow.descriptors() < 1_024
        assert attack.end() > count
    narrow.stop()
    assert narrow.log.stat().st_size < 100_000


def test_who_was_let_in_stays(narrow: Narrow) -> None:
    port = int(narrow.pages.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/api/threads")
    assert connection.getresponse().read()
    was = connection.sock
    with Silent([narrow.pages], 500) as attack:
        for _ in range(50):
            connection.request("GET", "/api/threads")
            assert json.loads(connection.getresponse().read())["threads"] == []
            assert connection.sock is was
        assert attack.end() > 300
    connection.close()
    narrow.stop()


# Connections that do too little.


@pytest.mark.slow
def test_who_does_nothing_is_closed_within_seconds(tmp_path: Path) -> None:
    headers = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n"
    otlp = headers % b"/v1/traces" + b"content-type: application/x-protobuf\r\n\r\n"
    web = headers % b"/api/import" + b"content-type: application/json\r\n\r\n"
    page = b"GET /api/threads HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with Viewer(tmp_path / "threads.db") as viewer:
        http, traces, calls = viewer.pages, viewer.otlp_http, viewer.otlp_grpc
        cases: list[tuple[str, bytes, float, bytes]] = [
            (http, b"", 8, b""),
            (traces, b"", 8, b""),
            (calls, b"", 8, b""),
            (http, b"GET / HTTP/1.1\r\nhost: ", 8, b""),
            (traces, b"POST /v1/traces HTTP/1.1\r\n", 8, b""),
            (calls, HTTP2[:10], 8, b""),
            (calls, HTTP2, 12, b""),
            (calls, HTTP2 + b"\0\0\0\4\0\0\0\0\0", 16, b""),
            (http, page, 8, b"HTTP/1.1 200 "),
            (traces, otlp, 20, b"HTTP/1.1 408 "),
            (http, web, 20, b"HTTP/1.1 408 "),
        ]
        with ThreadPoolExecutor(2 * len(cases)) as pool:
            # As it is, and with a byte of the next thing every now and then.
            answers = [
                pool.submit(_closed_within, *case[:3], more)
                for more in (b"", b"x")
                for case in cases
                if not (more and case[0] == calls)
            ]
            expected = [case[3] for case in cases]
            expected += [case[3] for case in cases if case[0] != calls]
            for answer, beginning in zip(answers, expected, strict=True):
                received = answer.result()
                assert received.startswith(beginning), received
        assert viewer.stop() == ""


def _closed_within(url: str, data: bytes, seconds: float, more: bytes) -> bytes:
    """What comes until the other side closes a connection."""
    received = b""
    port = int(url.rpartition(":")[2])
    until = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(data)
        while time.monotonic() < until:
            try:
                part = connection.recv(65_536)
                if not part:
                    return received
                received += part
            except TimeoutError:
                try:
                    connection.sendall(more)
                except OSError:
                    return received
            except OSError:
                return received
    raise AssertionError(f"{data!r} and {more!r} are still waited for, after {received!r}")


def test_a_body_that_goes_on_is_waited_for() -> None:
    content = body(message(name="x" * 3_000))
    ingest = Ingest(lambda _: None, facts.read)
    pace = threading.Event()
    took = 0.0

    def parts() -> Iterator[bytes]:
        nonlocal took
        began = time.monotonic()
        for start in range(0, len(content), 200):
            yield content[start : start + 200]
            pace.wait(0.05)  # A sender of 4 kB a second is what this is about.
        took = time.monotonic() - began

    with served(HttpReceiver(ingest, Guard("localhost"), timeout=0.3)) as client:
        answer = client.post("/v1/traces", content=parts(), headers=MEDIA)
    assert took > 0.6
    assert answer.status_code == 200
    assert ingest.close()


def test_who_leaves_in_the_middle_is_not_logged(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKEN=TOKEN) as viewer:
        port = int(viewer.pages.rpartition(":")[2])
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{viewer.pages}/api/threads", headers=headers, timeout=60).is_success
        for path in ("/login", "/api/import"):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(
                    f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n"
                    "content-type: application/json\r\ncontent-length: 100\r\n\r\nx".encode()
                )
        assert httpx.get(f"{viewer.pages}/login").status_code == 200
        assert viewer.stop() == ""


# Calls without a message.


def test_silent_calls_keep_no_call_out(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db") as viewer:
        with SilentCalls(viewer, 10, 20) as calls:
            target = viewer.otlp_grpc.removeprefix("http://")
            with grpc.insecure_channel(target) as channel:
                export = channel.unary_unary(EXPORT)
                for _ in range(10):
                    assert export(body(message(attributes={"thread.id": "one"})), timeout=5) == b""
            _until(lambda: any(call.done() for call in calls))
            codes = {call.code() for call in calls if call.done()}
        assert codes == {grpc.StatusCode.CANCELLED}
        assert httpx.get(f"{viewer.pages}/api/threads/one").json()["spans"] == 10
        assert viewer.stop() == ""


# Guesses.


def test_wrong_tokens_are_limited_and_the_right_one_gets_in(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKEN=TOKEN) as viewer:
        api = f"{viewer.pages}/api/threads"

        def bearer(token: str) -> dict[str, str]:
            return {"authorization": f"Bearer {token}"}

        assert [httpx.get(api).status_code for _ in range(20)] == [401] * 20
        codes = [httpx.get(api, headers=bearer(f"guess-{n}")).status_code for n in range(12)]
        assert codes == [401] * 10 + [429] * 2

        content = body(message(attributes={"thread.id": "one"}))
        refused = [
            httpx.get(api, headers=bearer("wrong")),
            httpx.get(f"{viewer.pages}/?token=wrong"),
            httpx.post(f"{viewer.pages}/login", data={"token": "wrong"}),
            httpx.post(viewer.traces, content=content, headers={**MEDIA, **bearer("wrong")}),
        ]
        assert [answer.status_code for answer in refused] == [429] * 4
        assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert refused[0].json()["error"]["message"].startswith("too many wrong tokens")
        assert "Too many wrong tokens" in refused[2].text

        target = viewer.otlp_grpc.removeprefix("http://")
        with grpc.insecure_channel(target) as channel:
            export = channel.unary_unary(EXPORT)
            wrong = [("authorization", "Bearer wrong")]
            # From ::1, maybe, which is another address.
            calls = [export.future(content, metadata=wrong, timeout=30) for _ in range(11)]
            errors = [call.exception() for call in calls]
            (error, *_) = (
                error for error in errors if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            )
            details = dict(error.trailing_metadata())["grpc-status-details-bin"]
            pause = error_details_pb2.RetryInfo()
            assert status_pb2.Status.FromString(details).details[0].Unpack(pause)
            assert 0 < pause.retry_delay.seconds <= 60
            right = [("authorization", f"Bearer {TOKEN}")]
            assert export(content, metadata=right, timeout=30) == b""

        assert httpx.get(api, headers=bearer(TOKEN)).status_code == 200
        assert httpx.get(f"{viewer.pages}/?token={TOKEN}").status_code == 303
        assert httpx.post(f"{viewer.pages}/login", data={"token": TOKEN}).status_code == 303
        sent = httpx.post(viewer.traces, content=content, headers={**MEDIA, **bearer(TOKEN)})
        assert sent.status_code == 200
        assert viewer.stop() == ""


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
