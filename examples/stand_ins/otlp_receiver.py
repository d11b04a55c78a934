"""A minimal OTLP receiver on loopback: it keeps the spans that are sent to it.

    with OtlpReceiver() as receiver:
        configure(endpoint=receiver.endpoint)
        ...
        spans = receiver.wait_for(lambda spans: len(spans) == 3)

It takes OTLP over HTTP with protobuf bodies, which every OpenTelemetry SDK can send. Metrics and
log records are taken, and not kept.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from typing_extensions import Self

PATH = "/v1/traces"
NOT_KEPT = ("/v1/metrics", "/v1/logs")
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Span:
    """A span as it arrived: ids in hexadecimal, times in nanoseconds since the epoch."""

    trace_id: str
    trace_state: str  # as in the header
    span_id: str
    parent_id: str | None
    name: str
    kind: str  # "CLIENT", "INTERNAL", ...
    start: int
    end: int
    attributes: dict[str, Any]
    status: str  # "UNSET", "OK" or "ERROR"
    status_message: str


@dataclass(frozen=True)
class Export:
    """One request of an exporter: its headers, with names in lower case, and its spans."""

    headers: dict[str, str]
    spans: tuple[Span, ...]


class OtlpReceiver:
    """The receiver, on a free port of 127.0.0.1. It listens from `with` on."""

    def __init__(self) -> None:
        self._exports: list[Export] = []
        self._arrived = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.keep = self._keep

    @property
    def url(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` takes."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def endpoint(self) -> str:
        """What `configure()` and the exporters take as `endpoint`."""
        return self.url + PATH

    @property
    def exports(self) -> list[Export]:
        """The requests so far, in order of arrival."""
        with self._arrived:
            return list(self._exports)

    @property
    def spans(self) -> list[Span]:
        """The spans so far, in order of arrival."""
        return [span for export in self.exports for span in export.spans]

    def wait_for(
        self, predicate: Callable[[Sequence[Span]], object], timeout: float = 10
    ) -> list[Span]:
        """Wait until the spans so far are as wanted, and return them.

        Raises:
            TimeoutError: They were not in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: predicate(self.spans), timeout):
                raise TimeoutError(f"Not the spans that were waited for: {self.spans}")
            return self.spans

    def __enter__(self) -> Self:
        self._server.server_bind()
        self._server.server_activate()
        # It looks that often, in seconds, whether it is to stop.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, export: Export) -> None:
        with self._arrived:
            self._exports.append(export)
            self._arrived.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for requests that are being answered
    keep: Callable[[Export], None]

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # that of HTTPServer would ask the DNS for this host's name


class _Handler(BaseHTTPRequestHandler):
    """One request of an exporter."""

    timeout = 10  # in seconds, for a sender that stops in the middle of its request

    def do_POST(self) -> None:
        """Keep the spans of an export."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        if self.path in NOT_KEPT:
            self._answer(b"")  # all is well, in any of the protobuf messages for answers
            return
        if self.path != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"Traces go to {PATH}")
            return
        if headers.get("content-type") != PROTOBUF:
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Only {PROTOBUF} is understood")
            return
        try:
            body = _decompressed(body, headers.get("content-encoding", "identity"))
            spans = tuple(_spans(ExportTraceServiceRequest.FromString(body)))
        except Exception:  # noqa: BLE001 - whatever makes a body unreadable, its sender is told
            self.send_error(HTTPStatus.BAD_REQUEST, "The body is not an OTLP export")
            return
        cast("_Server", self.server).keep(Export(headers, spans))
        self._answer(ExportTraceServiceResponse().SerializeToString())

    def _answer(self, answer: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", PROTOBUF)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object, **more: object) -> None:
        """Stay silent: `OtlpReceiver.exports` has it all."""


def _decompressed(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case _:
            raise ValueError(f"unknown content encoding {encoding}")


def _spans(request: ExportTraceServiceRequest) -> Iterable[Span]:
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    trace_state=span.trace_state,
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex() or None,
                    name=span.name,
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix(
                        "STATUS_CODE_"
                    ),
                    status_message=span.status.message,
                )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _python_value(pair.value) for pair in pairs}


def _python_value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_python_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)
