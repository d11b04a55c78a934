"""The telemetry pipeline around a measured call: the real SDK, with an exporter that drops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from scenarios import Mode, Scenario

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader


class DroppingExporter(SpanExporter):
    """Counts spans and drops them, and keeps them only while `kept` is a list."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[ReadableSpan] | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count the spans."""
        self.count += len(spans)
        if self.kept is not None:
            self.kept.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to do."""


class DroppingLogExporter:
    """The same for log records; it only keeps them while `kept` is a list."""

    def __init__(self) -> None:
        self.kept: list[Any] | None = None

    def export(self, batch: Sequence[Any]) -> None:
        """Drop the records."""
        if self.kept is not None:
            self.kept.extend(batch)

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing to do."""
        return timeout_millis > 0


def tracer_provider(*processors: SpanProcessor, batch: bool = True) -> TracerProvider:
    """Return a provider with these processors, and then a batch processor that drops."""
    provider = TracerProvider()
    for processor in processors:
        provider.add_span_processor(processor)
    if batch:
        provider.add_span_processor(BatchSpanProcessor(DroppingExporter()))
    return provider


class Pipeline:
    """What an adapter hands to its instrumentor.

    `tp`, `mp`, `lp`: the providers to use; None is OpenTelemetry's own no-op.
    `content`: whether prompts and answers are to be captured.
    `exporter`, `batch_processor()`: for peers that insist on a pipeline of their own.
    """

    def __init__(self, scenario: Scenario, *, own: bool = False, logs: bool = False) -> None:
        """`own`: the peer builds its own providers. `logs`: it puts content in log records."""
        self.content = scenario.content
        self.sampled = scenario.mode is not Mode.UNSAMPLED
        self.tp: TracerProvider | None = None
        self.mp: MeterProvider | None = None
        self.lp: LoggerProvider | None = None
        self.exporter: DroppingExporter | None = None
        self.log_exporter: DroppingLogExporter | None = None
        self.metric_reader: InMemoryMetricReader | None = None
        self.kept_alive: list[Any] = []
        self.flushers: list[Callable[[], Any]] = []
        if scenario.mode is Mode.NONE:
            return
        self.exporter = DroppingExporter()
        if not own:
            self.tp = TracerProvider() if self.sampled else TracerProvider(sampler=ALWAYS_OFF)
            self.tp.add_span_processor(self.batch_processor())
        if logs or scenario.logs:
            self._add_logs()
        if scenario.metrics:
            self._add_metrics(own=own)

    def _add_metrics(self, *, own: bool) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self.metric_reader = InMemoryMetricReader()
        if not own:
            self.mp = MeterProvider([self.metric_reader])

    def _add_logs(self) -> None:
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        self.log_exporter = exporter = DroppingLogExporter()
        self.lp = LoggerProvider()
        self.lp.add_log_record_processor(BatchLogRecordProcessor(exporter))  # type: ignore[arg-type]
        self.flushers.append(self.lp.force_flush)

    def batch_processor(self) -> BatchSpanProcessor:
        """Return a new batch processor over the exporter that drops."""
        assert self.exporter is not None
        processor = BatchSpanProcessor(self.exporter)
        self.flushers.append(processor.force_flush)
        return processor

    def flush(self) -> None:
        """Empty every queue, so that none overflows and export stays out of timed code."""
        for flush in self.flushers:
            flush()

    def spans(self) -> int:
        """Return how many spans have been exported."""
        return self.exporter.count if self.exporter else 0
