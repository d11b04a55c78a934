"""The whole way that others wrote: SDK, `rotel`, its ClickHouse exporter, and ClickHouse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from e2e.rotel_collector import Rotel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from orq_otel import ThreadSpanProcessor
from orq_otel import thread as in_thread
from orq_otel.viewer.model import ThreadQuery
from orq_otel.viewer.store.clickhouse import ClickHouseStore

from .clickhouse_engine import Engine
from .sample_spans import messages


class Server:
    """As much of ClickHouse's HTTP interface as an exporter needs."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.arrived = threading.Condition()
        self.inserts = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b"".join(self._chunks())
                query = parse_qs(urlsplit(self.path).query).get("query", [""])[0]
                (directory / "rows").write_bytes(body)
                engine.insert(query, directory / "rows")
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                with outer.arrived:
                    outer.inserts += 1
                    outer.arrived.notify_all()

            def _chunks(self) -> Iterator[bytes]:
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class ToClickHouse(Rotel):
    """`rotel` that exports to ClickHouse."""

    def _options(self) -> list[str]:
        options = dict(zip(*[iter(super()._options())] * 2, strict=True))
        del options["--otlp-exporter-protocol"], options["--otlp-exporter-endpoint"]
        options |= {
            "--exporter": "clickhouse",
            "--clickhouse-exporter-endpoint": self._target,
            "--clickhouse-exporter-compression": "none",
            "--clickhouse-exporter-async-insert": "false",
        }
        return [word for option in options.items() for word in option]


@pytest.mark.parametrize("is_rolled_up", [False, True], ids=["plain", "rollup"])
def test_threads_that_rotel_wrote(database: Engine, tmp_path: Path, is_rolled_up: bool) -> None:
    store = ClickHouseStore(database)
    if is_rolled_up:
        store.create_rollup()
    with Server(database, tmp_path) as server, ToClickHouse(tmp_path, server.url) as rotel:
        provider = TracerProvider(resource=Resource({"service.name": "shop"}))
        provider.add_span_processor(ThreadSpanProcessor())
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{rotel.ports['http/protobuf']}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("tests")
        with tracer.start_as_current_span("request"), in_thread("ticket-1", tags=["prod", "eu"]):
            with tracer.start_as_current_span(
                "chat gpt-4o-mini",
                kind=SpanKind.CLIENT,
                attributes={
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.response.model": "gpt-4o-mini",
                    "gen_ai.usage.input_tokens": 1000,
                    "gen_ai.usage.output_tokens": 100,
                    "gen_ai.input.messages": messages("Where is it?"),
                },
            ) as span:
                span.add_event("asked", {"how": "politely"})
                span.set_status(Status(StatusCode.ERROR, "too late"))
        provider.shutdown()
        with server.arrived:
            assert server.arrived.wait_for(lambda: server.inserts, timeout=20)
    thread = store.thread("ticket-1")
    assert thread is not None
    assert (thread.title, thread.tags, thread.models) == (
        "Where is it?",
        ("prod", "eu"),
        ("gpt-4o-mini",),
    )
    assert (thread.traces, thread.spans, thread.errors, thread.unpriced) == (1, 1, 1, 0)
    assert (thread.input_tokens, thread.output_tokens) == (1000, 100)
    assert thread.cost == pytest.approx(0.00021)
    assert store.threads(ThreadQuery(tags=("eu", "prod"), errors=True)).threads == (thread,)
    request, chat = store.spans("ticket-1")
    assert (request.span.name, chat.span.name) == ("request", "chat gpt-4o-mini")
    assert chat.span.parent_id == request.span.span_id
    assert (chat.span.kind, chat.span.status, chat.span.status_message) == (
        "CLIENT",
        "ERROR",
        "too late",
    )
    assert chat.facts.tags == ("prod", "eu")
    assert chat.span.service == "shop"
    assert chat.span.events[0]["name"] == "asked"
    assert chat.span.events[0]["attributes"] == {"how": "politely"}
