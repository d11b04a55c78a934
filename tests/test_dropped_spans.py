"""Spans of requests that are dropped without an end, as by a server that forgets them."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, Tracer

from orq_otel import ThreadSpanProcessor, thread
from orq_otel.labels.entry_spans import entry_spans
from orq_otel.threads.frames import hooks

MANY = 100_000
PATIENCE = 30


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    """A tracer whose provider has our processor alone."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(ThreadSpanProcessor())
    tracer = provider.get_tracer("test")
    yield tracer
    entry_spans.open.clear()
    tracer.start_span("request", kind=SpanKind.SERVER).end()  # nobody listens any more


def remembered() -> int:
    """How many spans are waiting for a scope to begin."""
    return sum(len(spans) for spans in entry_spans.open.values())


def one_trace() -> Context:
    """A context from outside, so that all spans are of one trace."""
    outside = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(outside), Context())


@pytest.mark.parametrize(
    "kind", [SpanKind.SERVER, pytest.param(SpanKind.CONSUMER, marks=pytest.mark.slow)]
)
def test_requests_that_are_dropped_without_an_end_are_forgotten(
    tracer: Tracer, kind: SpanKind
) -> None:
    for _ in range(MANY):
        tracer.start_span("request", kind=kind)
    assert remembered() < 1000
    assert len(hooks.listeners) < 10


@pytest.mark.slow
def test_requests_of_one_trace_that_are_dropped_are_forgotten(tracer: Tracer) -> None:
    context = one_trace()
    for _ in range(MANY):
        tracer.start_span("request", context, SpanKind.SERVER)
    assert remembered() < 1000


def test_labelled_requests_that_are_dropped_are_forgotten(tracer: Tracer) -> None:
    gc.collect()
    others = len(entry_spans._labelled)
    for _ in range(2000):
        with trace.use_span(tracer.start_span("request", kind=SpanKind.SERVER)), thread("one"):
            pass
    gc.collect()
    assert remembered() < 1000
    assert len(entry_spans._labelled) <= others


def test_requests_that_are_open_are_found_among_many_that_were_dropped(tracer: Tracer) -> None:
    requests = [tracer.start_span("request", kind=SpanKind.SERVER) for _ in range(500)]
    for _ in range(5000):
        tracer.start_span("dropped", kind=SpanKind.SERVER)
    for number, request in enumerate(requests):
        inner = tracer.start_span("inner", trace.set_span_in_context(request))
        with trace.use_span(inner, end_on_exit=True), thread(f"t-{number}"):
            pass
    assert [labels_of(request)["thread.id"] for request in requests] == [
        f"t-{number}" for number in range(500)
    ]
    for request in requests:
        request.end()


def test_a_request_is_found_beside_those_of_its_trace_that_were_dropped(tracer: Tracer) -> None:
    context = one_trace()
    tracer.start_span("dropped", context, SpanKind.SERVER)
    request = tracer.start_span("request", context, SpanKind.SERVER)
    inner = tracer.start_span("inner", trace.set_span_in_context(request))
    with trace.use_span(inner, end_on_exit=True), thread("one"):
        pass
    assert labels_of(request)["thread.id"] == "one"
    request.end()


def test_nothing_is_left_once_all_requests_have_ended(tracer: Tracer) -> None:
    before = list(hooks.listeners)
    context = one_trace()
    requests = [tracer.start_span("request", kind=SpanKind.SERVER) for _ in range(200)]
    requests += [tracer.start_span("request", context, SpanKind.SERVER) for _ in range(200)]
    for request in requests:
        request.end()
    assert entry_spans.open == {}
    assert hooks.listeners == before


def test_requests_of_several_threads_are_forgotten(tracer: Tracer) -> None:
    def serve() -> None:
        for number in range(2000):
            span = tracer.start_span("request", kind=SpanKind.SERVER)
            if number % 2:
                span.end()

    servers = [threading.Thread(target=serve) for _ in range(8)]
    for server in servers:
        server.start()
    for server in servers:
        server.join(PATIENCE)
    assert remembered() < 1000


class EndsAnother:
    """Garbage that ends a request's span when it is collected."""

    def __init__(self, span: trace.Span) -> None:
        self.myself = self
        self.span = span

    def __del__(self) -> None:
        self.span.end()


def test_a_request_that_a_collection_ends_hangs_nothing(tracer: Tracer) -> None:
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for _ in range(3000):
            EndsAnother(tracer.start_span("garbage", kind=SpanKind.SERVER))
            tracer.start_span("request", kind=SpanKind.SERVER).end()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert remembered() == 0


class Interrupted(Exception):
    """What a handler of the program's raises."""


@pytest.mark.skipif(sys.platform == "win32", reason="this machine has no timer that sends a signal")
def test_a_signal_leaves_nothing_that_hangs_or_is_not_forgotten(tracer: Tracer) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, handler)
    interrupted = 0
    gc.disable()  # others' callbacks of the collector lose what a signal handler raises in them
    try:
        for number in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + number % 20 * 0.00001)
                for _ in range(1000):
                    tracer.start_span("request", kind=SpanKind.SERVER).end()
            except Interrupted:
                interrupted += 1
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > 100
    request = tracer.start_span("request", kind=SpanKind.SERVER)
    served = threading.Thread(target=request.end)  # nobody holds the lock
    served.start()
    served.join(PATIENCE)
    assert not served.is_alive()
    for _ in range(1000):
        tracer.start_span("request", kind=SpanKind.SERVER).end()
    assert remembered() < 1000


def labels_of(span: trace.Span) -> dict[str, Any]:
    assert isinstance(span, ReadableSpan)
    return dict(span.attributes or {})
