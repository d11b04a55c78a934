"""Senders that this project did not write."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from e2e.rotel_collector import Rotel
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from support.javascript import installed
from support.viewer_process import Viewer

from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sqlite_checks import rollup_errors


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    with Viewer(tmp_path / "threads.db") as viewer:
        yield viewer


def kept(viewer: Viewer, tmp_path: Path, thread_id: str) -> tuple[Thread, list[KeptSpan]]:
    """What is in the store once the viewer has ended, without a complaint but about metrics."""
    assert [one for one in viewer.stop().splitlines() if "sends metrics" not in one] == []
    store = SQLiteStore(tmp_path / "threads.db")
    thread, spans = store.thread(thread_id), store.spans(thread_id)
    assert rollup_errors(store) == []
    store.close()
    assert thread is not None
    return thread, spans


def converse(exporter: SpanExporter, calls: int = 1) -> None:
    """A conversation, sent by the SDK for Python."""
    provider = TracerProvider(resource=Resource({"service.name": "support-py"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("conversation")
    for number in range(calls):
        attributes = {
            "thread.id": "ticket-py",
            "thread.tags": ["py", "support"],
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 100,
            "app.values": [1, 2],
        }
        with tracer.start_as_current_span("turn"):
            with tracer.start_as_current_span(
                "chat", kind=SpanKind.CLIENT, attributes=attributes
            ) as span:
                span.add_event("token", {"index": number})
                span.set_status(StatusCode.ERROR, "timed out")
    provider.shutdown()


def exporters(viewer: Viewer) -> dict[str, SpanExporter]:
    """Each way in which the SDK for Python sends."""
    return {
        "http": HttpExporter(viewer.traces),
        "http, gzip": HttpExporter(viewer.traces, compression=Compression.Gzip),
        "grpc": GrpcExporter(viewer.otlp_grpc, insecure=True),
        "grpc, gzip": GrpcExporter(
            viewer.otlp_grpc, insecure=True, compression=grpc.Compression.Gzip
        ),
    }


@pytest.mark.parametrize("way", ["http", "http, gzip", "grpc", "grpc, gzip"])
def test_python(viewer: Viewer, tmp_path: Path, way: str) -> None:
    converse(exporters(viewer)[way])
    thread, spans = kept(viewer, tmp_path, "ticket-py")
    assert (thread.spans, thread.errors, thread.input_tokens) == (2, 1, 100)
    assert thread.tags == ("py", "support")
    (turn, chat) = (one.span for one in spans)
    assert (turn.name, turn.parent_id, turn.status) == ("turn", None, "UNSET")
    assert (chat.name, chat.parent_id, chat.kind) == ("chat", turn.span_id, "CLIENT")
    assert (chat.status, chat.status_message) == ("ERROR", "timed out")
    assert chat.attributes["app.values"] == [1, 2]
    assert [(event["name"], event["attributes"]) for event in chat.events] == [
        ("token", {"index": 0})
    ]
    assert (chat.service, chat.scope) == ("support-py", "conversation")


def test_many_spans(viewer: Viewer, tmp_path: Path) -> None:
    converse(exporters(viewer)["http, gzip"], calls=1_000)
    thread, spans = kept(viewer, tmp_path, "ticket-py")
    assert (thread.spans, thread.traces, len(spans)) == (2_000, 1_000, 2_000)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_rotel(viewer: Viewer, tmp_path: Path, protocol: str) -> None:
    with Rotel(tmp_path, viewer.otlp_http) as rotel:
        port = rotel.ports[protocol]
        converse(
            GrpcExporter(f"http://127.0.0.1:{port}", insecure=True)
            if protocol == "grpc"
            else HttpExporter(f"http://127.0.0.1:{port}/v1/traces")
        )
    thread, spans = kept(viewer, tmp_path, "ticket-py")
    assert (thread.spans, thread.errors, thread.tags) == (2, 1, ("py", "support"))
    assert [one.span.name for one in spans] == ["turn", "chat"]


@pytest.fixture(scope="session")
def javascript() -> Path:
    """The packages of OpenTelemetry for JavaScript, installed once."""
    return installed(Path(__file__).with_name("javascript"), "viewer-javascript")


@pytest.mark.parametrize("compression", [pytest.param("none", marks=pytest.mark.slow), "gzip"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_javascript_with_all_signals(
    viewer: Viewer, tmp_path: Path, javascript: Path, protocol: str, compression: str
) -> None:
    endpoint = viewer.otlp_grpc if protocol == "grpc" else viewer.otlp_http
    kept_variables = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    ended = subprocess.run(
        ["node", "conversation.mjs"],
        cwd=javascript,
        env={
            **kept_variables,
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_LOG_LEVEL": "warn",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_TRACES_EXPORTER": "otlp",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The SDK repeats what the answer says of metrics, and has nothing else to complain about.
    others = [one for one in ended.stderr.splitlines() if "metrics are not kept" not in one]
    assert (ended.returncode, ended.stdout, others) == (0, "", [])
    thread, spans = kept(viewer, tmp_path, "ticket-js")
    assert (thread.spans, thread.traces, thread.errors) == (4, 2, 1)
    assert (thread.input_tokens, thread.output_tokens) == (300, 20)
    assert thread.tags == ("js", "support")
    # Both may have begun in the same millisecond.
    chats = sorted(
        (one.span for one in spans if one.span.kind == "CLIENT"),
        key=lambda span: bool(span.attributes["app.cached"]),
    )
    assert [chat.attributes["app.cached"] for chat in chats] == [False, True]
    assert [chat.attributes["app.ratio"] for chat in chats] == [0.5, 0.5]
    assert [chat.status for chat in chats] == ["UNSET", "ERROR"]
    assert chats[0].events[0]["attributes"] == {"index": 1}
    assert chats[0].service == "support-js"
    turns = {one.span.span_id for one in spans if one.span.name == "turn"}
    assert {chat.parent_id for chat in chats} == turns
