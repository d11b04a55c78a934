"""Judgements: what their answers may look like, in each version of the client."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from conformance.checker import check_logs
from opentelemetry.trace import StatusCode
from stand_ins.orq_api import Body, OrqServer
from support.client_versions import needs
from support.recorded import Telemetry
from support.signals import Signals

from orq.cases import CLIENT
from orq_otel import OrqInstrumentor, thread
from orq_otel.orq import judgements

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the client's own
    needs("orq-ai-sdk", "4.2", "client.router"),
]

SCORE, LABEL = "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label"
EXPLANATION = "gen_ai.evaluation.explanation"
OUTPUT = "gen_ai.output.messages"


def said(*parts: Any) -> list[Any]:
    return [{"role": "assistant", "parts": [*parts], "finish_reason": "stop"}]


def evaluation(told: dict[str, Any]) -> list[Any]:
    return said({"type": "generic", "kind": "evaluation", "value": told})


#: What evaluators answer, what is told of it always, and with content.
EVALUATIONS = [
    ({"type": "number", "value": 0.75}, {SCORE: 0.75}, {}),
    ({"type": "number", "value": 3.0, "passed": False}, {SCORE: 3.0, LABEL: "fail"}, {}),
    ({"type": "boolean", "value": True}, {LABEL: "true"}, {}),
    ({"type": "boolean", "value": False, "passed": True}, {LABEL: "pass"}, {}),
    ({"type": "string", "value": "my secret"}, {}, {LABEL: "my secret"}),
    (
        {"type": "string_array", "values": ["secret", None]},
        {},
        {OUTPUT: evaluation({"values": ["secret", None]})},
    ),
    (
        {"type": "bert_score", "value": {"f1": 0.5, "recall": 1.0}},
        {},
        {OUTPUT: evaluation({"value": {"f1": 0.5, "recall": 1.0}})},
    ),
    (
        {"type": "structured", "value": {"value": 1, "why": "secret"}},
        {},
        {OUTPUT: evaluation({"value": {"value": 1, "why": "secret"}})},
    ),
    (
        {
            "type": "llm_evaluator",
            "value": {"value": True, "explanation": "secret", "trace_id": "a" * 32},
        },
        {LABEL: "true", "orq.trace_id": "a" * 32},
        {EXPLANATION: "secret"},
    ),
    ({"type": "llm_evaluator", "value": {"value": 4.0}}, {SCORE: 4.0}, {}),
    ({"type": "llm_evaluator", "value": None}, {}, {}),
    ({"type": "http_eval", "value": {"type": "number", "value": 2.0}}, {SCORE: 2.0}, {}),
    (
        {"type": "categories", "value": None, "categories": ["rude"], "status": "completed"},
        {"gen_ai.response.status": "completed"},
        {OUTPUT: evaluation({"categories": ["rude"]})},
    ),
]


@pytest.mark.parametrize(("answer", "told", "content"), EVALUATIONS)
def test_evaluations(answer: Any, told: Any, content: Any) -> None:
    assert judgements.evaluation_response_attributes(answer) == told
    assert judgements.evaluation_response_content(answer) == content


def test_an_evaluation_of_before_4_17(instrumented: Telemetry, orq: Any, api: OrqServer) -> None:
    inner = {"workflow_run_id": "1", "value": True, "explanation": "my secret"}
    api.faults.append(Body({"type": "llm_evaluator", "value": inner}))
    orq.evals.invoke(id="polite", output="my secret")

    span = instrumented.one()
    assert span.name == "evaluate polite"
    told = span.attributes or {}
    if CLIENT >= (4, 17):  # this client takes it for a value like any other
        assert told["gen_ai.evaluation.name"] == "polite"
    assert told["gen_ai.evaluation.score.label"] == "true"
    assert "secret" not in span.to_json()


def test_an_evaluator_that_is_not_there(instrumented: Telemetry, orq: Any) -> None:
    with pytest.raises(orq_ai_sdk.models.OrqError):
        orq.evals.invoke(id="missing", output="my secret")

    span = instrumented.one()
    assert (span.name, span.status.status_code) == ("evaluate missing", StatusCode.ERROR)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize(
    ("mode", "content"),
    [
        ("NO_CONTENT", {}),
        ("SPAN_ONLY", {}),
        ("EVENT_ONLY", {EXPLANATION: "my secret"}),
        ("SPAN_AND_EVENT", {EXPLANATION: "my secret"}),
    ],
)
@pytest.mark.parametrize("details", ["false", "true"])
def test_the_result_of_an_evaluation_is_an_event(
    orq: Any,
    api: OrqServer,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    content: Any,
    details: str,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", details)
    signals = Signals(instrumentor=OrqInstrumentor).instrument(capture_content=mode)
    inner = {"workflow_run_id": "1", "value": 0.5, "explanation": "my secret"}
    api.faults.append(Body({"type": "llm_evaluator", "value": inner}))
    with thread("support-42"):
        orq.evals.invoke(id="polite", output="my secret")
    (span,) = signals.spans
    (log,) = signals.logs
    signals.close()

    record = log.log_record
    assert span.context is not None
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert record.event_name == "gen_ai.evaluation.result"
    told = dict(record.attributes or {})
    assert told["gen_ai.conversation.id"] == told["thread.id"] == "support-42"
    assert {name: told[name] for name in told if ".evaluation." in name} == {
        "gen_ai.evaluation.name": "polite",
        "gen_ai.evaluation.score.value": 0.5,
        **content,
    }
    on_span = (span.attributes or {}).get("gen_ai.evaluation.explanation")
    assert on_span == ("my secret" if mode.startswith("SPAN") else None)
    wrong = [one for one in check_logs([log]) if one.level != "info"]
    assert [(one.code, one.key) for one in wrong] == [("core_type_conflict", "thread.id")]


def test_an_evaluation_that_fails_has_no_result(orq: Any) -> None:
    signals = Signals(instrumentor=OrqInstrumentor).instrument()
    with pytest.raises(orq_ai_sdk.models.OrqError):
        orq.evals.invoke(id="missing", output="my secret")
    events = [name for name, _ in signals.events()]
    signals.close()

    assert events == ["gen_ai.client.operation.exception"]


def test_moderations_that_are_not_summed_up() -> None:
    bad = SimpleNamespace(categories=SimpleNamespace(sexual=False, pii=True))
    good = SimpleNamespace(categories=SimpleNamespace(sexual=False, pii=False))
    told = judgements.moderation_response_content(SimpleNamespace(results=[bad, good]))
    found = [one["parts"][0]["value"] for one in told[OUTPUT]]  # type: ignore[index]
    assert found == [
        {"flagged": True, "categories": ["pii"]},
        {"flagged": False, "categories": []},
    ]


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"type": "pages", "pages_processed": 2.0}, {"orq_otel.usage.pages": 2}),
        ({"type": "tokens", "tokens_processed": 70}, {"gen_ai.usage.input_tokens": 70}),
        ({"type": "tokens", "tokens_processed": -1}, {}),
        (None, {}),
    ],
)
def test_what_reading_costs(usage: Any, told: Any) -> None:
    given = SimpleNamespace(**usage) if usage else usage
    answer = SimpleNamespace(model="ocr-1", pages=[], usage=given)
    assert judgements.ocr_response_attributes(answer) == {"gen_ai.response.model": "ocr-1", **told}


def test_pages_with_images() -> None:
    image = SimpleNamespace(id="1", image_base64="data:image/jpeg;base64,QUJD")
    bare = SimpleNamespace(id="2", image_base64="QUJD")
    empty = SimpleNamespace(index=1.0, markdown="", images=[SimpleNamespace(image_base64=None)])
    page = SimpleNamespace(index=0.0, markdown="# Bill", images=[image, bare])
    told = judgements.ocr_response_content(SimpleNamespace(pages=[page, empty]))
    digest = "sha256:b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78"
    blob = {"type": "blob", "modality": "image", "content": "", "size": 3, "digest": digest}
    assert told == {
        OUTPUT: said(
            {"type": "text", "content": "# Bill"}, {**blob, "mime_type": "image/jpeg"}, blob
        )
    }


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("Hello", [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
            [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}],
        ),
        (
            {"mood": 5},
            [
                {
                    "role": "user",
                    "parts": [{"type": "generic", "kind": "state", "value": {"mood": 5}}],
                }
            ],
        ),
        (
            ["a", 1],
            [
                {
                    "role": "user",
                    "parts": [{"type": "generic", "kind": "state", "value": ["a", 1]}],
                }
            ],
        ),
        (None, None),
        ([], [{"role": "user", "parts": [{"type": "generic", "kind": "state", "value": []}]}]),
    ],
)
def test_states(state: Any, told: Any) -> None:
    content = judgements.decision_request_content({"state": state})
    assert content.get("gen_ai.input.messages") == told


@pytest.mark.parametrize("most", ["2", 2.5, None, 2**70, float("inf")])
def test_a_ranking_with_a_number_that_is_none(most: Any) -> None:
    assert judgements.rerank_request_attributes({"top_n": most}) == {}


def test_documents_that_are_read_once_are_left_alone() -> None:
    documents = iter(["my secret"])
    assert judgements.rerank_request_content({"documents": documents}) == {}
    assert list(documents) == ["my secret"]
