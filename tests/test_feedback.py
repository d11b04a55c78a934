"""`feedback` and `evaluation`: events about a span, a response or a whole thread."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance.checker import check_logs
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from opentelemetry import _logs, trace
from opentelemetry.trace import INVALID_SPAN, INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext
from support.signals import Signals

from orq_otel import Thread, ThreadLogRecordProcessor, current_thread, evaluation, feedback, thread
from orq_otel.foundations.guard import occurrences

EVENT = "gen_ai.evaluation.result"
NAME, EXPLANATION = "gen_ai.evaluation.name", "gen_ai.evaluation.explanation"
SCORE, LABEL = "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label"
RESPONSE, EVALUATOR = "gen_ai.response.id", "orq_otel.evaluator"
UP = {NAME: "user_feedback", SCORE: 1.0, LABEL: "thumbs_up"}
DOWN = {NAME: "user_feedback", SCORE: 0.0, LABEL: "thumbs_down"}


def ids(name: str) -> dict[str, str]:
    """The labels of a thread without tags."""
    return dict.fromkeys(("thread.id", "orq.thread_id", "gen_ai.conversation.id"), name)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """OpenAI's client instrumented, and global providers of spans and of log records."""
    signals = Signals().instrument()
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", signals.tracer_provider)
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", signals.logger_provider)
    yield signals
    signals.close()


def one(signals: Signals) -> tuple[dict[str, Any], int, int]:
    """Attributes, trace id and span id of the only event."""
    (record,) = [log.log_record for log in signals.logs]
    assert record.event_name == EVENT
    return dict(record.attributes or {}), record.trace_id, record.span_id


def wrong(signals: Signals) -> list[tuple[str, str | None]]:
    """What the conventions' checker finds, but for `thread.id`, which is text here."""
    found = check_logs(signals.logs, allow=["core_type_conflict:thread.id"])
    return [(one.code, one.key) for one in found if one.level != "info"]


def test_a_thumb_inside_a_span_and_a_thread(signals: Signals) -> None:
    tracer = trace.get_tracer("app")
    with (
        thread("t-1", tags=["a"], user="ada", metadata={"plan": "pro"}),
        tracer.start_as_current_span("turn") as span,
    ):
        feedback(True)
    context = span.get_span_context()
    assert one(signals) == (
        {
            **UP,
            **ids("t-1"),
            "thread.tags": ("a",),
            "orq.tags": '["a"]',
            "user.id": "ada",
            "thread.metadata.plan": "pro",
        },
        context.trace_id,
        context.span_id,
    )
    assert wrong(signals) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, UP),
        ("up", UP),
        ("thumbs_up", UP),
        (False, DOWN),
        ("down", DOWN),
        (4, {NAME: "user_feedback", SCORE: 4.0}),
        (0.5, {NAME: "user_feedback", SCORE: 0.5}),
        ("confusing", {NAME: "user_feedback", LABEL: "confusing"}),
    ],
)
def test_what_a_user_says(signals: Signals, value: Any, expected: dict[str, Any]) -> None:
    feedback(value, explanation="I think so.", evaluator="bob", thread="t-1")
    assert one(signals)[0] == {
        **expected,
        **ids("t-1"),
        EXPLANATION: "I think so.",
        EVALUATOR: "bob",
    }


def test_an_explanation_stays_whole(signals: Signals) -> None:
    feedback(True, explanation="So " * 2000 + "\ud83d", thread="t-1")
    assert one(signals)[0][EXPLANATION] == "So " * 2000 + "?"


def test_an_evaluation(signals: Signals) -> None:
    evaluation(
        "relevance",
        score=1,
        label="relevant",
        explanation="It answers the question.",
        evaluator="gpt-5",
        response_id="chatcmpl-1",
        thread=Thread("t-1", ["a"]),
    )
    attributes, trace_id, span_id = one(signals)
    assert attributes == {
        NAME: "relevance",
        SCORE: 1.0,
        LABEL: "relevant",
        EXPLANATION: "It answers the question.",
        EVALUATOR: "gpt-5",
        RESPONSE: "chatcmpl-1",
        **ids("t-1"),
        "thread.tags": ("a",),
        "orq.tags": '["a"]',
    }
    assert type(attributes[SCORE]) is float
    assert (trace_id, span_id) == (0, 0)
    # The conventions want the span that it is about, where that is known.
    assert wrong(signals) == [("event_without_span", "")]


def test_a_span_that_has_ended_knows_its_thread(signals: Signals, client: OpenAI) -> None:
    with thread("t-1", user="ada"):
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "?"}])
    (ended,) = signals.spans
    span = trace.get_tracer("app").start_span("open")
    with thread("elsewhere"), trace.use_span(span):
        feedback(False, span=ended)  # type: ignore[arg-type]
    attributes, trace_id, span_id = one(signals)
    assert attributes == {**DOWN, **ids("t-1"), "user.id": "ada"}
    assert ended.context is not None
    assert (trace_id, span_id) == (ended.context.trace_id, ended.context.span_id)


def test_a_span_context(signals: Signals) -> None:
    context = SpanContext(7, 8, is_remote=True)
    with thread("t-1"):
        feedback(True, span=context)
    assert one(signals) == ({**UP, **ids("t-1")}, 7, 8)


def test_a_response_is_not_the_current_span(signals: Signals) -> None:
    with trace.get_tracer("app").start_as_current_span("POST /feedback"):
        feedback(True, response_id="chatcmpl-1")
    assert one(signals) == ({**UP, RESPONSE: "chatcmpl-1"}, 0, 0)


def test_a_thread_as_a_whole(signals: Signals) -> None:
    with trace.get_tracer("app").start_as_current_span("POST /feedback"), thread("request"):
        feedback(True, thread=42)
        assert current_thread() == Thread("request")
    assert one(signals) == ({**UP, **ids("42")}, 0, 0)


def test_a_thread_in_plain_types_and_the_one_around_it(signals: Signals) -> None:
    with thread("t-1", tags=["a"], user="ada"):
        feedback(True, thread=Thread("t-1", ["b"], metadata={"plan": "pro"}).to_dict())
    attributes = one(signals)[0]
    assert attributes["thread.tags"] == ("a", "b")
    assert (attributes["user.id"], attributes["thread.metadata.plan"]) == ("ada", "pro")


def test_the_thread_around_without_a_span(signals: Signals) -> None:
    with thread("t-1"):
        feedback(True)
    assert one(signals) == ({**UP, **ids("t-1")}, 0, 0)


def test_a_processor_of_labels_adds_no_other_thread(signals: Signals) -> None:
    signals.logger_provider.add_log_record_processor(ThreadLogRecordProcessor())
    with thread("elsewhere", user="ada"):
        feedback(True, thread="t-1")
    assert one(signals)[0] == {**UP, **ids("t-1")}


def test_a_provider_of_ones_own(signals: Signals) -> None:
    own = Signals()
    feedback(True, thread="t-1", logger_provider=own.logger_provider)
    evaluation("tone", label="kind", thread="t-1", logger_provider=own.logger_provider)
    assert [attributes[NAME] for _, attributes in own.events()] == ["user_feedback", "tone"]
    assert signals.logs == []


def test_a_day_later_in_another_process() -> None:
    program = """
        import json
        from opentelemetry._logs import set_logger_provider
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
        from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
        from orq_otel import feedback

        exporter = InMemoryLogRecordExporter()
        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        set_logger_provider(provider)
        feedback("down", thread="t-1", response_id="chatcmpl-1")
        (log,) = exporter.get_finished_logs()
        print(json.dumps(dict(log.log_record.attributes)))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {**DOWN, RESPONSE: "chatcmpl-1", **ids("t-1")}
    assert done.stderr == ""


def test_without_a_logger_provider_it_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", None)
    for _ in range(3):
        feedback(True, thread="t-1")
        evaluation("tone", label="kind", thread="t-1", logger_provider=_logs.NoOpLoggerProvider())
    (line,) = caplog.messages
    assert "there is no logger provider that collects them" in line
    assert "configure(logs=True)" in line
    assert line.endswith("Logged once. [ORQ-E02]")
    (counted,) = [found for found in occurrences() if found.code == "ORQ-E02"]
    assert counted.count == 6


#: Wrong use, and a part of what is said of it.
WRONG: list[tuple[Callable[[], None], str]] = [
    (lambda: feedback(True), "needs to know what it is about"),
    (lambda: feedback(True, span=INVALID_SPAN), "needs to know what it is about"),
    (lambda: feedback(True, span=INVALID_SPAN_CONTEXT), "needs to know what it is about"),
    (lambda: feedback(True, response_id=""), "needs to know what it is about"),
    (lambda: feedback(True, thread=""), "needs to know what it is about"),
    (lambda: feedback(True, span="7"), "takes a span or its context, got str"),  # type: ignore[arg-type]
    (lambda: feedback(True, response_id=7), "a response id that is a string, got int"),  # type: ignore[arg-type]
    (lambda: feedback([1], thread="t"), "a score that is a number, got list"),  # type: ignore[arg-type]
    (lambda: feedback(None, thread="t"), "needs a score, a label or an explanation"),  # type: ignore[arg-type]
    (lambda: feedback("", thread="t"), "needs a score, a label or an explanation"),
    (lambda: feedback(True, explanation=7, thread="t"), "an explanation that is a string, got int"),  # type: ignore[arg-type]
    (lambda: evaluation("", score=1, thread="t"), "needs a name"),
    (lambda: evaluation(7, score=1, thread="t"), "a name that is a string, got int"),  # type: ignore[arg-type]
    (lambda: evaluation("a", thread="t"), "needs a score, a label or an explanation"),
    (lambda: evaluation("a", score=math.inf, thread="t"), "a score that is finite"),
    (lambda: evaluation("a", label=True, thread="t"), "a label that is a string, got bool"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=map(str, range(len(WRONG))))
def test_wrong_use_is_logged_once_and_never_raised(
    signals: Signals,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[], None],
    message: str,
) -> None:
    for _ in range(2):
        call()
    assert signals.logs == []
    line = caplog.messages[-1]
    assert message in line
    assert "It is not recorded." in line
    assert line.endswith("[ORQ-E01]")
    assert __file__ in line
    assert sum("[ORQ-E01]" in line for line in caplog.messages) == 1
    monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
    with pytest.raises((TypeError, ValueError), match=message):
        call()


anything: Any = st.one_of(
    st.none(),
    st.text(),
    st.binary(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.lists(st.text()),
)


@given(anything, anything, anything, anything, anything)
def test_anything_is_survived(value: Any, why: Any, span: Any, response: Any, of: Any) -> None:
    signals = Signals()
    feedback(
        value,
        explanation=why,
        span=span,
        response_id=response,
        thread=of,
        logger_provider=signals.logger_provider,
    )
    for _, attributes in signals.events():
        assert attributes[NAME] == "user_feedback"
        assert {type(value) for value in attributes.values()} <= {str, float, tuple}
        for text in attributes.values():
            str(text).encode()


def test_a_logger_that_fails_does_not_fail_the_program(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(_logs.LoggerProvider):
        def get_logger(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("secret")

    feedback(True, thread="t-1", logger_provider=Broken())
    assert "while recording an evaluation: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_it_goes_on_in_a_worker(signals: Signals) -> None:
    async def endpoint() -> None:
        with thread("t-1"):
            await asyncio.to_thread(feedback, True)

    asyncio.run(endpoint())
    assert one(signals) == ({**UP, **ids("t-1")}, 0, 0)


def test_a_span_that_is_not_sampled(signals: Signals) -> None:
    feedback(True, span=NonRecordingSpan(SpanContext(7, 8, is_remote=False)))
    assert one(signals) == (UP, 7, 8)
