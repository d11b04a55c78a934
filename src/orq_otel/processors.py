"""Label every span and log record that is started inside a thread, whoever starts it.

Needs the OpenTelemetry SDK, so nothing else here imports this module before a provider of the SDK
is there.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind

from orq_otel.guard import report
from orq_otel.labels import THREAD_ID, missing_labels, read_thread, stamp
from orq_otel.scopes import current_thread, listeners

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from orq_otel.scopes import Frame, Thread

_ENTRY_KINDS = (SpanKind.SERVER, SpanKind.CONSUMER)


class ThreadSpanProcessor(SpanProcessor):
    """Puts the labels of the current thread on each span at its start.

    Add it to a `TracerProvider` yourself, or let an instrumentor or `configure()` do it. In a worker
    thread that carries only OpenTelemetry's context, a span takes the labels of its parent. When a
    scope begins inside a request, the request's own span (kind SERVER or CONSUMER) is labelled too,
    unless it belongs to a thread already.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Label `span`, as OpenTelemetry's SDK calls for every span that it records."""
        try:
            thread = current_thread()
            if thread is None:
                thread = _inherited(parent_context)
            if thread is not None:
                stamp(span, thread)
            if span.kind in _ENTRY_KINDS:
                _entries.opened(span)
        except Exception as error:  # noqa: BLE001 - never into the host's start_span
            report("labelling a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a request's span that was waiting for a scope to begin."""
        if span.kind in _ENTRY_KINDS:
            _entries.closed(span)

    def shutdown(self) -> None:
        """Nothing to shut down: no thread, no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing to flush."""
        return True


class ThreadLogRecordProcessor(LogRecordProcessor):
    """Puts the labels of the current thread on each log record, before it is exported.

    Add it to a `LoggerProvider` yourself, before the processors that export.
    """

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Label `log_record`."""
        try:
            thread = current_thread() or _inherited(log_record.log_record.context)
            attributes: Any = log_record.log_record.attributes
            if thread is not None and not isinstance(attributes.get(THREAD_ID), str):
                attributes.update(missing_labels(thread, attributes))
        except Exception as error:  # noqa: BLE001 - never into the host's logging
            report("labelling a log record", error)

    def shutdown(self) -> None:
        """Nothing to shut down: no thread, no queue."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing to flush."""
        return True


def adopt(span: Any) -> None:
    """Take notice of a request's span that was open before there was a processor."""
    if getattr(span, "kind", None) in _ENTRY_KINDS and span.is_recording():
        _entries.opened(span)


def _inherited(context: Context | None) -> Thread | None:
    """The thread of the parent span, for code to which only OpenTelemetry's context was carried."""
    parent = trace.get_current_span(context)
    attributes = getattr(parent, "attributes", None)
    if not attributes or THREAD_ID not in attributes or not _entries.passes_on(parent):
        return None
    return read_thread(attributes)


class _Entries:
    """The requests that are being served: their spans, and which scope labelled them.

    The scope of a handler is inside the request, so other code of the same request is outside of it.
    A request's span therefore passes a label on only to other operating system threads, and only
    while the scope is open: to the workers that the handler waits for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, list[weakref.ref[Any]]] = {}
        self._labelled: weakref.WeakKeyDictionary[Any, tuple[Frame, int]]
        self._labelled = weakref.WeakKeyDictionary()

    def opened(self, span: Any) -> None:
        with self._lock:
            refs = self._open.setdefault(span.get_span_context().trace_id, [])
            if all(ref() is not span for ref in refs):  # a provider may have two processors
                refs.append(weakref.ref(span))
            if self.on_scope not in listeners:
                listeners.append(self.on_scope)

    def closed(self, span: Any) -> None:
        trace_id = span.get_span_context().trace_id
        span_id = span.get_span_context().span_id
        with self._lock:
            still = [
                ref
                for ref in self._open.pop(trace_id, ())
                if (one := ref()) is not None and one.get_span_context().span_id != span_id
            ]
            if still:
                self._open[trace_id] = still
            elif not self._open and self.on_scope in listeners:
                listeners.remove(self.on_scope)

    def on_scope(self, frame: Frame) -> None:
        """A scope begins: label the span of the request around it, if there is one."""
        if frame.thread is None:
            return
        try:
            span = self._around(trace.get_current_span())
            if span is not None and not isinstance((span.attributes or {}).get(THREAD_ID), str):
                stamp(span, frame.thread)
                self._labelled[span] = (frame, threading.get_ident())
        except Exception as error:  # noqa: BLE001 - never into the user's with statement
            report("labelling a request's span", error)

    def _around(self, span: Any) -> Any:
        if getattr(span, "kind", None) in _ENTRY_KINDS:
            return span if span.is_recording() else None
        refs = self._open.get(span.get_span_context().trace_id, ())
        # One trace may pass through a process twice. Then only the current span is sure to be ours.
        return refs[0]() if len(refs) == 1 else None

    def passes_on(self, span: Any) -> bool:
        labelled = self._labelled.get(span)
        if labelled is None:
            return True
        frame, opener = labelled
        return frame.token is not None and opener != threading.get_ident()


_entries = _Entries()
