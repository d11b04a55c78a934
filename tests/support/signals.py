"""All three signals of an instrumented client, kept in memory to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from orq_otel import OpenAIInstrumentor


@dataclass
class Point:
    """One time series of a metric."""

    attributes: dict[str, Any]
    sum: float
    count: int
    bounds: tuple[float, ...]


class Signals:
    """Providers of all three signals, and a client instrumented with them: OpenAI's by default."""

    def __init__(
        self, sampler: Sampler | None = None, instrumentor: Any = OpenAIInstrumentor
    ) -> None:
        self._instrumentor = instrumentor
        self._spans = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(sampler=sampler)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader])
        self._logs = InMemoryLogRecordExporter()
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    def instrument(self, **more: Any) -> Signals:
        """Switch on the instrumentation."""
        self._instrumentor().instrument(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            **more,
        )
        return self

    def close(self) -> None:
        """Switch everything off."""
        self._instrumentor().uninstrument()
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended so far."""
        return list(self._spans.get_finished_spans())

    @property
    def logs(self) -> list[Any]:
        """The log records so far, as the SDK's exporters get them."""
        return list(self._logs.get_finished_logs())

    def events(self) -> list[tuple[str | None, Mapping[str, Any]]]:
        """Name and attributes of each log record so far."""
        return [
            (one.log_record.event_name, dict(one.log_record.attributes or {})) for one in self.logs
        ]

    def metrics_data(self) -> MetricsData | None:
        """The metrics so far, as the SDK's exporters get them."""
        return self._reader.get_metrics_data()

    def metrics(self) -> dict[str, list[Point]]:
        """The time series so far, by the metric's name."""
        data = self.metrics_data()
        told: dict[str, list[Point]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        told.setdefault(metric.name, []).append(_point(point))
        return told


def _point(point: Any) -> Point:
    if hasattr(point, "explicit_bounds"):
        return Point(dict(point.attributes), point.sum, point.count, tuple(point.explicit_bounds))
    return Point(dict(point.attributes), point.value, 1, ())
