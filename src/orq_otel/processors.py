"""Label every span that is started inside a thread, whoever starts it.

Needs the OpenTelemetry SDK, so nothing else here imports this module before a provider of the SDK
is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor

from orq_otel.entry_spans import ENTRY_KINDS, entry_spans, inherited_thread
from orq_otel.guard import report
from orq_otel.labels import read_environment, stamp
from orq_otel.scopes import scoped_thread

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span


class ThreadSpanProcessor(SpanProcessor):
    """Puts the labels of the current thread on each span at its start.

    Add it to a `TracerProvider` yourself, or let an instrumentor or `configure()` do it. In a
    worker thread that carries only OpenTelemetry's context, a span takes the labels of its parent.
    When a scope begins inside a request, the request's own span (kind SERVER or CONSUMER) is
    labelled too, unless it belongs to a thread already.
    """

    def __init__(self) -> None:
        read_environment()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Label `span`, as OpenTelemetry's SDK calls for every span that it records."""
        try:
            thread = scoped_thread()
            if thread is None:
                thread = inherited_thread(parent_context)
            if thread is not None:
                stamp(span, thread)
            if span.kind in ENTRY_KINDS:
                entry_spans.opened(span)
        except Exception as error:  # noqa: BLE001 - never into the host's start_span
            report("labelling a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a request's span that was waiting for a scope to begin."""
        try:
            if span.kind in ENTRY_KINDS:
                entry_spans.closed(span)
        except Exception as error:  # noqa: BLE001 - never into the host's span.end()
            report("forgetting a request's span", error)

    def shutdown(self) -> None:
        """Nothing to shut down: no thread, no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing to flush."""
        return True
