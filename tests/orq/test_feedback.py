"""Evaluations that go to Orq as well: as annotations of a span, or as feedback on a trace."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import SpanContext
from stand_ins.orq_api import OrqServer, Status
from support.client_versions import needs
from support.recorded import Telemetry
from support.signals import Signals

from orq_otel import evaluation, feedback, thread

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
with_annotations = needs("orq-ai-sdk", "4.5", "client.annotations")


def sent(api: OrqServer) -> list[tuple[str, Any]]:
    """Path and body of each request for feedback or annotations."""
    wanted = ("feedback.create", "annotations.create")
    return [(one.path, one.json) for one in api.requests if one.operation in wanted]


def answered(orq: Any, telemetry: Telemetry) -> Any:
    """The span of a call that Orq has answered, with Orq's ids."""
    orq.deployments.invoke(key="greeting")
    (span,) = telemetry.take()
    assert {"orq.trace_id", "orq.span_id"} <= (span.attributes or {}).keys()
    return span


@with_annotations
def test_a_thumb_is_a_rating_of_orqs_span(
    instrumented: Telemetry, orq: Any, api: OrqServer, caplog: pytest.LogCaptureFixture
) -> None:
    signals = Signals()
    with thread("t-1", user="ada"):
        span = answered(orq, instrumented)
        feedback(True, span=span, orq=orq, logger_provider=signals.logger_provider)
    feedback("down", span=span, orq=orq)
    at = span.attributes or {}
    path = f"/v2/traces/{at['orq.trace_id']}/spans/{at['orq.span_id']}/annotation"
    identity = {"identity_id": "ada"}
    assert sent(api) == [
        (path, {"annotations": [{"key": "rating", "value": "good"}], "metadata": identity}),
        (path, {"annotations": [{"key": "rating", "value": "bad"}], "metadata": identity}),
    ]
    ((_, event),) = signals.events()
    assert event["gen_ai.evaluation.score.label"] == "thumbs_up"
    assert event["thread.id"] == "t-1"
    assert caplog.messages == []  # no logger provider is no loss where Orq gets it


@with_annotations
@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"score": 0.75}, 0.75),
        ({"score": 0.75, "label": "relevant"}, "relevant"),
        ({"explanation": "Wrong city."}, "Wrong city."),
    ],
    ids=["score", "label", "explanation"],
)
def test_an_evaluation_is_an_annotation_by_its_name(
    orq: Any, api: OrqServer, arguments: dict[str, Any], value: Any
) -> None:
    evaluation("relevance", **arguments, thread="t-1", orq=orq, orq_trace_id="T", orq_span_id="S")
    expected = {"annotations": [{"key": "relevance", "value": value}]}
    assert sent(api) == [("/v2/traces/T/spans/S/annotation", expected)]


@with_annotations
def test_a_span_that_only_we_have_is_known_by_its_own_ids(orq: Any, api: OrqServer) -> None:
    feedback(True, span=SpanContext(0xAB, 0xCD, is_remote=False), orq=orq)
    path = f"/v2/traces/{0xAB:032x}/spans/{0xCD:016x}/annotation"
    assert [one for one, _ in sent(api)] == [path]


def test_a_trace_alone_gets_feedback(orq: Any, api: OrqServer) -> None:
    feedback(True, thread="t-1", orq=orq, orq_trace_id="T")
    evaluation("tone", label="kind", thread="t-1", orq=orq, orq_trace_id="T")
    evaluation("stars", score=4, thread="t-1", orq=orq, orq_trace_id="T")
    bodies = [
        {name: body[name] for name in ("property", "value", "trace_id")} for _, body in sent(api)
    ]
    assert bodies == [
        {"property": "rating", "value": ["good"], "trace_id": "T"},
        {"property": "tone", "value": ["kind"], "trace_id": "T"},
        {"property": "stars", "value": 4, "trace_id": "T"},
    ]


def test_a_client_without_annotations_sends_feedback(orq: Any, api: OrqServer) -> None:
    older = SimpleNamespace(feedback=orq.feedback)
    feedback(False, thread="t-1", orq=older, orq_trace_id="T", orq_span_id="S")
    ((path, body),) = sent(api)
    assert (path, body["value"]) == ("/v2/feedback", ["bad"])


def test_without_orqs_ids_it_is_said_once(
    orq: Any, api: OrqServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        feedback(True, thread="t-1", orq=orq)
    assert sent(api) == []
    (line,) = caplog.messages
    assert "Orq needs the id of the trace" in line
    assert line.endswith("[ORQ-E03]")


@pytest.mark.parametrize("code", [401, 404, 500])
def test_an_error_of_orqs_is_not_the_programs(
    orq: Any, api: OrqServer, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    api.faults.append(Status(code, "my secret"))
    signals = Signals()
    feedback(
        True,
        thread="t-1",
        orq=orq,
        orq_trace_id="T",
        logger_provider=signals.logger_provider,
    )
    assert len(signals.logs) == 1
    assert "while sending an evaluation to Orq" in caplog.text
    assert "secret" not in caplog.text


def test_what_is_no_client_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    feedback(True, thread="t-1", orq="key", orq_trace_id="T")
    assert "while sending an evaluation to Orq: AttributeError" in caplog.text


def test_asynchronous_code_sends_it_in_a_worker(orq: Any, api: OrqServer) -> None:
    async def endpoint() -> None:
        with thread("t-1"):
            await asyncio.to_thread(feedback, True, orq=orq, orq_trace_id="T")

    asyncio.run(endpoint())
    assert [path for path, _ in sent(api)] == ["/v2/feedback"]
