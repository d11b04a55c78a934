"""`oteltap`, the receiver at the end of every route, and all that it received."""

from __future__ import annotations

import asyncio
import http.client
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from oteltap import (
    OtelTapHttpProtobufReceiver,
    OtelTapHttpProtobufReceiverSettings,
    OtelTapInitializationError,
)

from .ports import LOOPBACK, free_port
from .telemetry import Log, Metric, Span, as_log, as_metric, as_span

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

_LAST = "the last one"
_TIMEOUT = 20.0
_ATTEMPTS = 5


class Tap:
    """A running receiver of OTLP over HTTP.

    async with Tap() as tap:
        ...  # export to tap.url
        spans, logs, metrics = await tap.everything()
    """

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._logs: list[Log] = []
        self._metrics: list[Metric] = []
        self._ends: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        """Start it, and begin to keep what it receives."""
        self._receiver, port = await _start()
        self._port = port
        self.url = f"http://{LOOPBACK}:{port}"
        spans = _collect(lambda span: span.name, as_span, self._spans)
        logs = _collect(lambda record: record.body.string_value, as_log, self._logs)
        metrics = _collect(lambda metric: metric.name, as_metric, self._metrics)
        self._ends = [
            asyncio.create_task(self._receiver.await_trace(spans)),
            asyncio.create_task(self._receiver.await_log(logs)),
            asyncio.create_task(self._receiver.await_metric(metrics)),
        ]
        await asyncio.sleep(0)  # lets them begin to listen
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        for end in self._ends:
            end.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)
        await self._receiver.stop()

    async def everything(self) -> tuple[list[Span], list[Log], list[Metric]]:
        """All spans, log records and metrics so far, once nobody sends any more.

        The receiver hands out what it gets in the order of arrival. So what is still on its way
        comes before those that are sent now.
        """
        trace = ExportTraceServiceRequest()
        trace.resource_spans.add().scope_spans.add().spans.add(
            name=_LAST, trace_id=b"\1" * 16, span_id=b"\1" * 8
        )
        logs = ExportLogsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add().body.string_value = _LAST
        metrics = ExportMetricsServiceRequest()
        metrics.resource_metrics.add().scope_metrics.add().metrics.add(name=_LAST).sum.SetInParent()
        await asyncio.to_thread(_post, self._port, "/v1/metrics", metrics.SerializeToString())
        await asyncio.to_thread(_post, self._port, "/v1/traces", trace.SerializeToString())
        await asyncio.to_thread(_post, self._port, "/v1/logs", logs.SerializeToString())
        await asyncio.wait_for(asyncio.gather(*self._ends), _TIMEOUT)
        return self._spans, self._logs, self._metrics


async def _start() -> tuple[OtelTapHttpProtobufReceiver, int]:
    for attempt in range(1, _ATTEMPTS + 1):
        port = free_port()
        receiver = OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(port))
        try:
            await receiver.start()
        except OtelTapInitializationError:  # somebody took the port in the meantime
            if attempt == _ATTEMPTS:
                raise
        else:
            break
    return receiver, port


def _collect(
    name_of: Callable[[Any], str], convert: Callable[[Any], Any], into: list[Any]
) -> Callable[[Any], bool]:
    """A predicate that waits for the last one and keeps what comes before."""

    def is_last(message: Any) -> bool:
        if name_of(message) == _LAST:
            return True
        into.append(convert(message))
        return False

    return is_last


def _post(port: int, path: str, body: bytes) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
        connection.getresponse().read()
    finally:
        connection.close()
