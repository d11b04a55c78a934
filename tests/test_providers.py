"""Providers label what is made in a thread, whenever and whatever they are.

The global providers can be set only once, so each test of them runs in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent
from typing import Any

import openai
import pytest
from opentelemetry import trace
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, ThreadSpanProcessor, thread
from orq_otel.propagation.start import start

LABELS = {"thread.id": "one", "orq.thread_id": "one", "gen_ai.conversation.id": "one"}

PRELUDE = """
from opentelemetry import _logs, trace
from opentelemetry._logs import LogRecord
from opentelemetry.trace import SpanKind
from orq_otel import OpenAIInstrumentor, thread
from orq_otel.propagation.start import start

LABELS = {"thread.id": "one", "orq.thread_id": "one", "gen_ai.conversation.id": "one"}

def set_provider():
    from opentelemetry.sdk.trace import TracerProvider
    trace.set_tracer_provider(TracerProvider())

def span(**arguments):
    return trace.get_tracer("anybody").start_span("span", **arguments)

def attributes(span):
    return dict(span.attributes)
"""


def run(program: str, **environment: str) -> str:
    """Run a program in a process of its own. It must succeed and write no warning.

    Returns:
        What it wrote to its output.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**inherited, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ---- The global tracer provider -------------------------------------------------------------


@pytest.mark.parametrize("switch_on", ["OpenAIInstrumentor().instrument()", "start()"])
def test_instrumenting_may_come_before_the_provider_is_set(switch_on: str) -> None:
    run(
        f"""
        {switch_on}
        with thread("too early"):
            span().end()
        set_provider()
        assert attributes(span()) == {{}}
        with thread("one"):
            assert attributes(span()) == LABELS
        assert attributes(span()) == {{}}
        """
    )


@pytest.mark.parametrize("switch_on", ["OpenAIInstrumentor().instrument()", "start()"])
def test_instrumenting_may_come_after_the_provider_is_set(switch_on: str) -> None:
    run(
        f"""
        set_provider()
        {switch_on}
        with thread("one"):
            assert attributes(span()) == LABELS
        assert attributes(span()) == {{}}
        """
    )


@pytest.mark.parametrize("is_set_first", [True, False])
def test_instrumenting_may_happen_inside_a_scope(is_set_first: bool) -> None:
    steps = ["set_provider()", "start()"]
    first, second = steps if is_set_first else reversed(steps)
    run(
        f"""
        with thread("around"):
            {first}
            {second}
            with thread("one"):
                assert attributes(span()) == LABELS
        """
    )


def test_a_tracer_that_was_made_before_the_provider_makes_labelled_spans() -> None:
    run(
        """
        tracer = trace.get_tracer("early")
        start()
        set_provider()
        with thread("one"):
            assert attributes(tracer.start_span("span")) == LABELS
        """
    )


@pytest.mark.parametrize("order", [("label", "set"), ("set", "label")])
def test_the_first_request_is_labelled_whichever_came_first(order: tuple[str, str]) -> None:
    first, second = ({"label": "start()", "set": "set_provider()"}[one] for one in order)
    run(
        f"""
        {first}
        {second}
        request = span(kind=SpanKind.SERVER)
        with trace.use_span(request):
            with thread("one"):
                assert attributes(request) == LABELS
            with thread("two"):
                assert attributes(request) == LABELS
        """
    )


def test_labelling_twice_adds_one_processor_however_late_the_provider_comes() -> None:
    run(
        """
        from orq_otel import ThreadSpanProcessor
        start()
        OpenAIInstrumentor().instrument()
        set_provider()
        for _ in range(2):
            with thread("one"):
                pass
            start()
        processors = trace.get_tracer_provider()._active_span_processor._span_processors
        assert [type(one) for one in processors] == [ThreadSpanProcessor]
        """
    )


def test_nothing_is_labelled_and_nothing_breaks_without_a_provider() -> None:
    run(
        """
        import sys
        start()
        for _ in range(3):
            with thread("one"):
                assert not span().is_recording()
        assert "opentelemetry.sdk" not in sys.modules
        """
    )


def test_a_provider_of_somebody_else_is_left_alone() -> None:
    run(
        """
        import sys

        class Foreign(trace.TracerProvider):
            def get_tracer(self, *args, **kwargs):
                return trace.NoOpTracer()

        start()
        trace.set_tracer_provider(Foreign())
        with thread("one"):
            assert not span().is_recording()
        assert "opentelemetry.sdk" not in sys.modules
        """
    )


def test_a_disabled_sdk_is_left_alone() -> None:
    run(
        """
        set_provider()
        start()
        with thread("one"):
            assert not span().is_recording()
        """,
        OTEL_SDK_DISABLED="true",
    )


def test_the_entry_point_for_automatic_instrumentation_labels() -> None:
    run(
        """
        from importlib.metadata import entry_points
        (point,) = [
            point
            for point in entry_points(group="opentelemetry_post_instrument")
            if point.value.startswith("orq_otel")
        ]
        point.load()()
        set_provider()
        with thread("one"):
            assert attributes(span()) == LABELS
        """
    )


# ---- The global logger provider -------------------------------------------------------------


@pytest.mark.parametrize("order", [("label", "set"), ("set", "label")])
def test_records_of_the_global_provider_are_labelled_whichever_came_first(
    order: tuple[str, str],
) -> None:
    first, second = (
        {"label": "start()", "set": "_logs.set_logger_provider(provider)"}[one] for one in order
    )
    run(
        f"""
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor

        class AtOnce(LogRecordExporter):
            exported = []
            def export(self, batch):
                self.exported += [dict(one.log_record.attributes) for one in batch]
            def shutdown(self):
                pass
            def force_flush(self, timeout_millis=30000):
                return True

        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(AtOnce()))
        {first}
        {second}
        with thread("one"):
            _logs.get_logger("anybody").emit(LogRecord(body="in it"))
        _logs.get_logger("anybody").emit(LogRecord(body="after"))
        assert AtOnce.exported == [LABELS, {{}}], AtOnce.exported
        """
    )


# ---- A provider that is given ---------------------------------------------------------------


class Witness(SpanProcessor):
    """Notes what each span carries when it reaches this processor."""

    def __init__(self) -> None:
        self.at_start: list[dict[str, Any]] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.at_start.append(dict(span.attributes or {}))


def test_our_processor_comes_before_those_that_are_there() -> None:
    provider, witness = TracerProvider(), Witness()
    provider.add_span_processor(witness)
    start(provider, LoggerProvider())
    with thread("one"):
        provider.get_tracer("anybody").start_span("span").end()
    assert witness.at_start == [LABELS]


def test_a_tracer_that_was_made_before_makes_labelled_spans() -> None:
    provider = TracerProvider()
    tracer = provider.get_tracer("early")
    start(provider, LoggerProvider())
    with thread("one"):
        span = tracer.start_span("span")
    assert isinstance(span, ReadableSpan)
    assert dict(span.attributes or {}) == LABELS
    span.end()


def test_labelling_again_or_a_provider_with_a_processor_adds_none() -> None:
    provider = TracerProvider()
    provider.add_span_processor(ThreadSpanProcessor())
    for _ in range(2):
        start(provider, LoggerProvider())
    processors = provider._active_span_processor._span_processors
    assert [type(one) for one in processors] == [ThreadSpanProcessor]


def test_a_provider_that_keeps_its_processors_elsewhere_is_labelled() -> None:
    class Elsewhere(trace.NoOpTracerProvider):
        """It takes processors, and nobody can see where it keeps them."""

        def __init__(self) -> None:
            self.added: list[SpanProcessor] = []

        def add_span_processor(self, span_processor: SpanProcessor) -> None:
            self.added.append(span_processor)

    provider = Elsewhere()
    start(provider, LoggerProvider())
    assert [type(one) for one in provider.added] == [ThreadSpanProcessor]


def test_a_provider_that_refuses_a_processor_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing:
        def add_span_processor(self, _processor: SpanProcessor) -> None:
            raise RuntimeError("no more")

        add_log_record_processor = add_span_processor

    start(Refusing(), Refusing())
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("tests.test_providers.")
    assert "by orq-otel while adding a processor to a provider: RuntimeError at " in message


class TakesNoProcessors(trace.TracerProvider):
    """A provider of the SDK behind an API that takes no processors."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return self._provider.get_tracer(*args, **kwargs)


def test_a_provider_that_takes_no_processors_still_gets_our_own_spans_labelled(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    provider = TakesNoProcessors(telemetry.provider)
    OpenAIInstrumentor().instrument(tracer_provider=provider, logger_provider=NoOpLoggerProvider())
    try:
        with thread("one", tags=["a"]):
            client.embeddings.create(model="text-embedding-3-small", input="words")
            provider.get_tracer("anybody").start_span("not ours").end()
    finally:
        OpenAIInstrumentor().uninstrument()
    ours, other = telemetry.take()
    attributes = dict(ours.attributes or {})
    expected = {**LABELS, "thread.tags": ("a",), "orq.tags": '["a"]'}
    assert {key: attributes.get(key) for key in expected} == expected
    assert ours.kind is SpanKind.CLIENT
    assert (other.name, dict(other.attributes or {})) == ("not ours", {})
