"""The AI Router's Responses API: what fails, what runs in the background, and odd requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from stand_ins.orq_api import ErrorEvent, OrqServer
from support.client_versions import needs
from support.recorded import Telemetry

from orq.any_json import namespaces
from orq_otel import OrqInstrumentor, thread
from orq_otel.orq import responses

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own
since_4_13 = needs("orq-ai-sdk", "4.13", "all that the API sends")

MODEL = "openai/gpt-5-mini"


def outcome(telemetry: Telemetry) -> tuple[Any, Any]:
    """Status and `error.type` of the only span."""
    span = telemetry.one()
    return span.status.status_code, (span.attributes or {}).get("error.type")


@since_4_13
def test_a_response_that_fails(instrumented: Telemetry, orq: Any) -> None:
    assert orq.responses.create(model=MODEL, input="[failed]").status == "failed"

    assert outcome(instrumented) == (StatusCode.ERROR, "server_error")
    assert (instrumented.one().attributes or {})["gen_ai.response.finish_reasons"] == ("error",)


@since_4_13
def test_a_stream_that_fails(instrumented: Telemetry, orq: Any) -> None:
    assert list(orq.responses.create(model=MODEL, input="[failed]", stream=True))

    assert outcome(instrumented) == (StatusCode.ERROR, "server_error")


@since_4_13
def test_an_error_in_a_stream(instrumented: Telemetry, orq: Any, api: OrqServer) -> None:
    api.faults.append(ErrorEvent(after=3, code="overloaded"))
    assert list(orq.responses.create(model=MODEL, input="Where is my parcel?", stream=True))

    assert outcome(instrumented) == (StatusCode.ERROR, "overloaded")


@since_4_13
@pytest.mark.parametrize(("said", "ends"), [("Where is it?", "completed"), ("[failed]", "failed")])
def test_a_response_in_the_background_is_polled(telemetry: Telemetry, said: str, ends: str) -> None:
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    with (
        OrqServer(polls=2) as server,
        orq_ai_sdk.Orq(api_key="orq-test-key", server_url=server.url) as orq,
        thread("t-1"),
    ):
        made = orq.responses.create(model=MODEL, input=said, background=True).id
        for _ in range(2):
            orq.responses.get(response_id=made)
    OrqInstrumentor().uninstrument()

    begun, *polls = telemetry.spans
    assert [span.name for span in polls] == ["fetch_response"] * 2
    assert [(span.attributes or {})["gen_ai.response.status"] for span in polls] == [
        "in_progress",
        ends,
    ]
    # Fetching it worked, even if making it had failed.
    assert {span.status.status_code for span in polls} == {StatusCode.UNSET}
    for span in (begun, *polls):
        told = span.attributes or {}
        assert (told["gen_ai.response.id"], told["thread.id"]) == (made, "t-1")
        assert "gen_ai.usage.input_tokens" not in told


@since_4_13
def test_a_conversation_that_the_call_names_is_kept_beside(
    instrumented: Telemetry, orq: Any
) -> None:
    with thread("t-1"):
        orq.responses.create(model=MODEL, input="Hi", conversation={"id": "conversation_1"})

    told = instrumented.one().attributes or {}
    assert told["orq_otel.original.gen_ai.conversation.id"] == "conversation_1"
    assert told["gen_ai.conversation.id"] == told["thread.id"] == "t-1"


@since_4_13
def test_a_conversation_outside_of_threads_is_no_thread(instrumented: Telemetry, orq: Any) -> None:
    orq.responses.create(model=MODEL, input="Hi", conversation={"id": "conversation_1"})

    told = instrumented.one().attributes or {}
    assert told["gen_ai.conversation.id"] == "conversation_1"
    assert {"thread.id", "orq.thread_id", "orq_otel.adopted_from"}.isdisjoint(told)


@since_4_13
def test_an_adopted_id_is_in_no_request(instrumented: Telemetry, orq: Any, api: OrqServer) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": "lg-7"}
    tracer = instrumented.provider.get_tracer("theirs")
    with tracer.start_as_current_span("agent", attributes=agent):
        orq.responses.create(model=MODEL, input="Hi")

    told = instrumented.spans[0].attributes or {}
    assert told["gen_ai.conversation.id"] == told["thread.id"] == "lg-7"
    (request,) = api.requests
    assert "lg-7" not in f"{request.headers} {request.json}"


def model(**fields: Any) -> Any:
    """What stands for one of the client's models."""
    return SimpleNamespace(**fields)


def test_models_of_the_client_as_arguments() -> None:
    arguments = {
        "text": model(format_=model(type="json_schema"), verbosity=None),
        "thinking": model(type="enabled", budget_tokens=None, thinking_level="high"),
        "input": [model(role="user", content=[model(type="input_text", text="Hi")], type=None)],
    }

    assert responses.request_attributes(arguments) == {
        "gen_ai.output.type": "json",
        "gen_ai.request.reasoning.level": "high",
    }
    assert responses.request_content(arguments) == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
        ]
    }


def test_an_effort_comes_before_a_level_of_thinking() -> None:
    arguments = {"reasoning": {"effort": "low"}, "thinking": {"thinking_level": "high"}}

    assert responses.request_attributes(arguments) == {"gen_ai.request.reasoning.level": "low"}


def test_texts_that_no_exporter_can_write() -> None:
    arguments = {"previous_response_id": "\ud800", "reasoning": {"effort": "\ud800"}}

    assert responses.request_attributes(arguments) == {
        "gen_ai.request.previous_response.id": "?",
        "gen_ai.request.reasoning.level": "?",
    }


def test_counts_of_a_response() -> None:
    usage = {
        "input_tokens": 9.0,
        "input_tokens_details": {"cached_tokens": 2, "cache_creation_tokens": 4},
        "output_tokens": 5.0,
    }
    told = {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.cache_write.input_tokens": 4,
        "gen_ai.usage.output_tokens": 5,
    }

    assert responses.response_attributes(namespaces({"usage": usage})) == told
    assert responses.response_attributes(namespaces({"usage": usage, "status": "queued"})) == {}


@pytest.mark.parametrize("error", [{"error": {"code": "overloaded"}}, {"code": "overloaded"}])
def test_where_an_event_has_the_code_of_an_error(error: dict[str, Any]) -> None:
    for reader in (responses.StreamReader(), responses.ContentStreamReader()):
        reader.feed(namespaces({"data": {"type": "error", **error}}))
        assert reader.attributes() == {
            "error.type": "overloaded",
            "gen_ai.response.finish_reasons": ("error",),
        }


def test_a_secret_variable_is_not_told() -> None:
    variables = {"pin": {"secret": True, "value": "1234"}, "city": {"name": "Ede"}}

    assert responses.request_content({"variables": variables}) == {
        "gen_ai.prompt.variable.city": '{"name":"Ede"}'
    }


def test_an_iterator_is_left_alone() -> None:
    given = iter([{"role": "user", "content": "Hi"}])
    stops = iter(["END"])
    arguments = {"input": given, "stop_sequences": stops, "tools": (tool for tool in [{}])}

    assert responses.request_attributes(arguments) == {}
    assert responses.request_content(arguments) == {}
    assert (list(given), list(stops), list(arguments["tools"])) == (
        [{"role": "user", "content": "Hi"}],
        ["END"],
        [{}],
    )
