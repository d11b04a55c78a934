"""Label every span that is started inside a thread, whoever starts it.

Needs the OpenTelemetry SDK, so nothing else here imports this module before a provider of the SDK
is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import before_end, has_changed, processors_of
from orq_otel.foundations.settings import Settings
from orq_otel.foundations.unfinished import notes, take_notes
from orq_otel.labels.attributes import THREAD_ID, complete, follow, stamp
from orq_otel.labels.entry_spans import CONSUMER, SERVER, entry_spans, inherited_thread
from orq_otel.threads.frames import scoped_thread

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span


#: What tells each of its processors that a span is about to end, before it tells any that it has
#: ended. SDKs before 1.40 have nothing that does.
_TELLS: Final = SynchronousMultiSpanProcessor if hasattr(SpanProcessor, "_on_ending") else None


class ThreadSpanProcessor(SpanProcessor):
    """Puts the labels of the current thread on each span at its start, and sees that they stay.

    Add it to a `TracerProvider` yourself, or let an instrumentor or `configure()` do it. In a
    worker thread that carries only OpenTelemetry's context, a span takes the labels of its parent.
    When a scope begins inside a request, the request's own span (kind SERVER or CONSUMER) is
    labelled too, unless it belongs to a thread already. Where a span has more attributes than the
    SDK's limit, which drops the oldest, others go in the place of labels.
    """

    def __init__(self) -> None:
        #: The processors that were seen last to tell this one of each end in time.
        self._telling: object = None
        #: Whether processors are called one after the other, in the thread that starts or ends a
        #: span. Where several threads call them, each other's end must not be waited for in here.
        self._in_turn = False
        follow(Settings.read())

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Label `span`, as OpenTelemetry's SDK calls for every span that it records."""
        try:
            thread = scoped_thread()
            if thread is None:
                thread = inherited_thread(parent_context)
            if thread is not None:
                stamp(span, thread)
            kind = span.kind
            if kind is SERVER or kind is CONSUMER:
                entry_spans.opened(span)
            together = processors_of(span)
            if together is not self._telling:
                self._in_turn = isinstance(together, SynchronousMultiSpanProcessor)
                self._telling = before_end(span, self, _TELLS)
            if notes and self._in_turn:
                take_notes()
        except Exception as error:  # noqa: BLE001 - never into the host's start_span
            report("labelling a span", error)

    def _on_ending(self, span: Span) -> None:
        try:
            if has_changed(span, THREAD_ID):
                complete(span)
        except Exception as error:  # noqa: BLE001 - never into the host's span.end()
            report("restoring the labels of a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a request's span that was waiting for a scope to begin."""
        try:
            kind = span.kind
            if kind is SERVER or kind is CONSUMER:
                entry_spans.closed(span)
            if notes and self._in_turn:
                take_notes()
        except Exception as error:  # noqa: BLE001 - never into the host's span.end()
            report("forgetting a request's span", error)

    def shutdown(self) -> None:
        """Nothing to shut down: no thread, no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing to flush."""
        return True
