"""Spans that are kept in memory, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass
class Telemetry:
    """A tracer provider whose finished spans are kept."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended so far, in the order of their end."""
        return list(self.exporter.get_finished_spans())

    def one(self) -> ReadableSpan:
        """The only span that has ended."""
        (span,) = self.spans
        return span

    def take(self) -> list[ReadableSpan]:
        """The spans that have ended since the last time."""
        spans = self.spans
        self.exporter.clear()
        return spans
