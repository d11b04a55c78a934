"""Label every span that is started inside a thread, by any code.

It needs the OpenTelemetry SDK, so other modules import this one only when a provider of the SDK
exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.trace import INVALID_SPAN, get_current_span

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import before_end, has_changed, processors_of, remember_parent
from orq_otel.foundations.settings import Settings
from orq_otel.foundations.unfinished import notes, take_notes
from orq_otel.labels.attributes import (
    ORQ_THREAD_ID,
    complete,
    follow,
    in_force,
    stamp,
)
from orq_otel.labels.entry_spans import CONSUMER, SERVER, entry_spans, inherited_thread, label_task
from orq_otel.threads.frames import hooks, scoped_thread

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span


#: The SDK's class that calls `_on_ending` of each processor before it calls any `on_end`. None in
#: SDKs before 1.40.
_NOTIFIER: Final = SynchronousMultiSpanProcessor if hasattr(SpanProcessor, "_on_ending") else None


class ThreadSpanProcessor(SpanProcessor):
    """Puts the labels of the current thread on each span at its start, and keeps them there.

    Add it to a `TracerProvider` yourself, or let an instrumentor or `configure()` do it. In an OS
    thread that has only OpenTelemetry's context, a span gets the labels of its parent. When a scope
    begins inside a request, the request's own span (kind SERVER or CONSUMER) is labelled too,
    unless it has a thread already. If a span gets more attributes than the SDK's limit allows, the
    SDK drops the oldest ones. Then the labels are restored at its end, and other attributes are
    dropped. Where another library has written an id of its own, `grouping` says which id the span
    ends with.
    """

    def __init__(self) -> None:
        #: The provider's processors, if they are known to call `_on_ending` of this one.
        self._checked: object = None
        #: Whether the processors are called one after the other, in the OS thread that starts or
        #: ends a span. If several OS threads call them, ending a call in here could deadlock.
        self._in_turn = False
        follow(Settings.read())
        hooks.task_listener = label_task

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Label `span`. OpenTelemetry's SDK calls this for every span that it records."""
        try:
            thread = scoped_thread()
            if thread is None and (parent_context or parent_context is None):
                parent = get_current_span(parent_context)
                if parent is not INVALID_SPAN:
                    remember_parent(span, parent)  # the span may be between an agent's and ours
                thread = inherited_thread(parent_context, parent)
            if thread is not None:
                stamp(span, thread)
            kind = span.kind
            if kind is SERVER or kind is CONSUMER:
                entry_spans.opened(span)
            processors = processors_of(span)
            if processors is not self._checked:
                self._in_turn = isinstance(processors, SynchronousMultiSpanProcessor)
                self._checked = before_end(span, self, _NOTIFIER)
            if notes and self._in_turn:
                take_notes()
        except Exception as error:  # noqa: BLE001 - never into the host's start_span
            report("labelling a span", error)

    def _on_ending(self, span: Any) -> None:
        """Restore the labels, and stop waiting for a scope to begin if it is a request's span."""
        try:
            if has_changed(span, ORQ_THREAD_ID, in_force.compared, in_force.ids_if_marked):
                complete(span)
            if entry_spans.open:
                kind = span.kind
                if kind is SERVER or kind is CONSUMER:
                    entry_spans.closed(span)
            if notes and self._in_turn:
                take_notes()
        except Exception as error:  # noqa: BLE001 - never into the host's span.end()
            report("ending a labelled span", error)

    # Nothing is left for `on_end`, which the SDK calls next: one call less for each span.
