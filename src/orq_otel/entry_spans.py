"""The span of the request around a scope, and what spans inherit from their parents."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, SpanKind

from orq_otel.guard import report
from orq_otel.labels import stamp, thread_of
from orq_otel.scopes import Frame, Thread, current_frame, listeners

if TYPE_CHECKING:
    from opentelemetry.context import Context

#: The kinds of a request's span. A look into an enumeration takes as long as a function call.
SERVER: Final = SpanKind.SERVER
CONSUMER: Final = SpanKind.CONSUMER
ENTRY_KINDS: Final = (SERVER, CONSUMER)

#: Where threads from outside are accepted, one function: the thread that a context brought along.
readers: list[Callable[[Context | None], Thread | None]] = []


class EntrySpans:
    """The spans of the requests that are being served, and which scope labelled each.

    The scope of a handler is inside the request, so other code of the same request is outside of
    it. A request's span therefore passes a label on only to other operating system threads, and
    only while the scope is open: to the workers that the handler waits for.
    """

    def __init__(self) -> None:
        self.renew_lock()
        self._open: dict[int, list[weakref.ref[Any]]] = {}
        self._labelled: weakref.WeakKeyDictionary[Any, tuple[Frame, int]]
        self._labelled = weakref.WeakKeyDictionary()

    def renew_lock(self) -> None:
        """Take a lock that is free, in a forked child: who held the other one is not there."""
        # It may be taken twice: collecting garbage while it is held may end another span.
        self._lock = threading.RLock()

    def opened(self, span: Any) -> None:
        """Listen for scopes as long as `span` is open."""
        with self._lock:
            refs = self._open.setdefault(span.get_span_context().trace_id, [])
            if all(ref() is not span for ref in refs):  # a provider may have two processors
                refs.append(weakref.ref(span))
            if self.on_scope not in listeners:
                listeners.append(self.on_scope)

    def closed(self, span: Any) -> None:
        """Forget `span`."""
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

    def adopt(self, span: Any) -> None:
        """Take notice of a request's span that was open before there was a processor."""
        if getattr(span, "kind", None) in ENTRY_KINDS and span.is_recording():
            self.opened(span)

    def on_scope(self, frame: Frame) -> None:
        """A scope begins: label the span of the request around it, if there is one."""
        if frame.thread is None:
            return
        try:
            span = self._around(trace.get_current_span())
            if span is not None and thread_of(span) is None:
                stamp(span, frame.thread)
                self._labelled[span] = (frame, threading.get_ident())
        except Exception as error:  # noqa: BLE001 - never into the user's with statement
            report("labelling a request's span", error)

    def _around(self, span: Any) -> Any:
        if getattr(span, "kind", None) in ENTRY_KINDS:
            return span if span.is_recording() else None
        refs = self._open.get(span.get_span_context().trace_id, ())
        # One trace may pass through a process twice. Then only the current span is sure to be ours.
        return refs[0]() if len(refs) == 1 else None

    def passes_on(self, span: Any) -> bool:
        """Whether a child of `span` that starts here belongs to its thread as well."""
        labelled = self._labelled.get(span)
        if labelled is None:
            return True
        frame, opener = labelled
        return frame.token is not None and opener != threading.get_ident()


entry_spans = EntrySpans()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=entry_spans.renew_lock)


def inherited_thread(context: Context | None = None) -> Thread | None:
    """The thread of code to which only OpenTelemetry's context was carried.

    That of the parent span, or one that came in with a request, where that is accepted. A scope
    that has no thread on purpose is not given the latter.
    """
    parent = trace.get_current_span(context)
    if parent is not INVALID_SPAN:
        thread = thread_of(parent)
        if thread is not None and entry_spans.passes_on(parent):
            return thread
    if readers and current_frame() is None:
        return readers[0](context)
    return None
