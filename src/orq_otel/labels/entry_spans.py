"""Entry spans: label the span of the request in which a scope begins, and the spans below it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, SpanContext, SpanKind

from orq_otel.foundations.guard import report
from orq_otel.foundations.once import locked
from orq_otel.foundations.process import process
from orq_otel.foundations.reaches import parent_of
from orq_otel.labels.attributes import stamp, thread_of
from orq_otel.threads.frames import Frame, Thread, current_frame, hooks

if TYPE_CHECKING:
    from opentelemetry.context import Context

#: The kinds of a request's span. Bound once: looking one up takes as long as a function call.
SERVER: Final = SpanKind.SERVER
CONSUMER: Final = SpanKind.CONSUMER
ENTRY_KINDS: Final = (SERVER, CONSUMER)

#: The least number of spans that are opened before the next sweep: see `EntrySpans._sweep`.
_SWEEP_INTERVAL: Final = 64


class EntrySpans:
    """The spans of the requests that are being served, and the scope that labelled each of them.

    A handler's scope covers only a part of its request: other code of the same request is outside
    of it. So a request's span passes its labels on only to other OS threads, and only while the
    scope is open. These are the workers that the handler waits for.
    """

    def __init__(self) -> None:
        self.renew_lock()
        #: The open spans by trace id and span id. True if there are any.
        self.open: dict[int, dict[int, weakref.ref[Any]]] = {}
        self._until_sweep = _SWEEP_INTERVAL
        #: Returns the thread that came in with a context. None if such threads are not accepted.
        self.read_inbound: Callable[[Context | None], Thread | None] | None = None
        self._labelled: weakref.WeakKeyDictionary[Any, tuple[Frame, int]]
        self._labelled = weakref.WeakKeyDictionary()

    def reset(self) -> None:
        """Forget all spans."""
        self.__init__()  # type: ignore[misc]

    def renew_lock(self) -> None:
        """Replace the lock in a forked child, where the OS thread that held it does not exist."""
        # Reentrant, since a garbage collection while it is held may end another span.
        self._lock = threading.RLock()

    def opened(self, span: Any) -> None:
        """Add a request's span, which is labelled if a scope begins while it is open."""
        locked(self._lock, self._add, span, span.get_span_context())

    def _add(self, span: Any, context: SpanContext) -> None:
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep()
        self.open.setdefault(context.trace_id, {})[context.span_id] = weakref.ref(span)
        if self.on_scope not in hooks.listeners:
            hooks.listeners.append(self.on_scope)

    def closed(self, span: Any) -> None:
        """Remove a request's span, which has ended."""
        locked(self._lock, self._remove, span.get_span_context())

    def _remove(self, context: SpanContext) -> None:
        spans = self.open.get(context.trace_id, {})
        spans.pop(context.span_id, None)
        if not spans:
            self.open.pop(context.trace_id, None)
        if not self.open and self.on_scope in hooks.listeners:
            hooks.listeners.remove(self.on_scope)

    def _sweep(self) -> None:
        """Remove spans that were dropped without being ended.

        The next sweep comes when as many spans have been opened as this one leaves, so that the
        cost for each span stays constant.
        """
        count = 0
        for trace_id in list(self.open):  # copies, since a span may end in here: see renew_lock
            spans = self.open.get(trace_id, {})
            for span_id in list(spans):
                if _if_open(spans.get(span_id)) is None:
                    spans.pop(span_id, None)
            if spans:
                count += len(spans)
            else:
                self.open.pop(trace_id, None)
        self._until_sweep = max(count, _SWEEP_INTERVAL)

    def adopt(self, span: Any) -> None:
        """Add a request's span that was started before the processor was added."""
        if getattr(span, "kind", None) in ENTRY_KINDS and span.is_recording():
            self.opened(span)

    def on_scope(self, frame: Frame) -> None:
        """Label the span of the request in which a scope begins, if there is one."""
        if frame.thread is None:
            return
        try:
            span = self._entry_span(trace.get_current_span())
            if span is not None and thread_of(span) is None:
                stamp(span, frame.thread)
                self._labelled[span] = (frame, threading.get_ident())
        except Exception as error:  # noqa: BLE001 - never into the user's with statement
            report("labelling a request's span", error)

    def _entry_span(self, span: Any) -> Any:
        """The open span of the request to which `span` belongs, or None."""
        if getattr(span, "kind", None) in ENTRY_KINDS:
            return span if span.is_recording() else None
        spans = self.open.get(span.get_span_context().trace_id)
        if not spans:
            return None
        candidates = [entry for ref in list(spans.values()) if (entry := _if_open(ref)) is not None]
        if len(candidates) == 1:
            return candidates[0]
        # A trace may pass through a process twice. Then the request is the nearest one above.
        while span is not None and getattr(span, "kind", None) not in ENTRY_KINDS:
            parent_id = getattr(getattr(span, "parent", None), "span_id", 0)
            if parent_id in spans:
                return _if_open(spans[parent_id])
            span = parent_of(span)
        return None

    def passes_on(self, span: Any) -> bool:
        """Whether a child of `span` that starts now inherits its thread."""
        labelled = self._labelled.get(span)
        if labelled is None:
            return True
        frame, opener = labelled
        return frame.token is not None and opener != threading.get_ident()


def _if_open(ref: weakref.ref[Any] | None) -> Any:
    span = None if ref is None else ref()
    return span if span is not None and span.is_recording() else None


entry_spans: Final = process.keep(EntrySpans())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=entry_spans.renew_lock)


def label_task(thread: Thread, handed_back_at: int) -> None:
    """Label the span in which a task of a framework begins, if it was made for that task.

    One that is older than the task is around more than this one, as that of a middleware is.
    """
    try:
        span: Any = trace.get_current_span()
        if span.is_recording() and getattr(span, "start_time", 0) > handed_back_at:
            stamp(span, thread)
    except Exception as error:  # noqa: BLE001 - the task has to run in its thread
        report("labelling the span of a task", error)


def inherited_thread(context: Context | None = None, parent: Any = None) -> Thread | None:
    """The thread of code that has OpenTelemetry's context, by default the current, but no scope.

    It is the thread of the parent span, the current one of the context, or else the one that came
    in with the request, if those are accepted. The latter is not used in a scope that has no thread
    on purpose.
    """
    if parent is None:
        parent = trace.get_current_span(context)
    if parent is not INVALID_SPAN:
        thread = thread_of(parent)
        if thread is not None and entry_spans.passes_on(parent):
            return thread
    read_inbound = entry_spans.read_inbound
    if read_inbound is not None and current_frame() is None:
        return read_inbound(context)
    return None
