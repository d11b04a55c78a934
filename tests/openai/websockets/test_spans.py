"""What the spans of a session and of each response in it say."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import openai
import pytest
from conformance.checker import check_logs, check_metrics, check_spans
from opentelemetry.trace import StatusCode
from support.client_versions import needs
from support.recorded import Telemetry
from support.signals import Signals
from support.vendor_websockets import SECRET, WebsocketServer
from support.websocket_sessions import (
    LABELS,
    ask,
    at,
    attributes,
    connect,
    every,
    in_session,
    is_well,
    question,
    realtime,
    reasons,
    responses,
    wait,
)

from orq_otel import thread

pytestmark = needs("openai", "1.58", "websockets")


@realtime
def test_a_realtime_response(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    with thread("t-1", tags=["a", "b"]), connect(client, api) as connection:
        connection.response.create(response={"output_modalities": ["text"]})
        done = wait(connection)

    (answer,), session = in_session(instrumented)
    assert done.response.status == "completed"
    assert answer.name == "realtime_response gpt-realtime"
    assert attributes(answer) == {
        "gen_ai.operation.name": "realtime_response",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-realtime",
        "gen_ai.output.type": "text",
        "gen_ai.response.id": done.response.id,
        "gen_ai.response.status": "completed",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.text.input_tokens": 18,
        "gen_ai.usage.audio.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.usage.text.cache_read.input_tokens": 5,
        "gen_ai.usage.audio.cache_read.input_tokens": 3,
        "gen_ai.usage.output_tokens": 17,
        "gen_ai.usage.text.output_tokens": 5,
        "gen_ai.usage.audio.output_tokens": 12,
        **LABELS,
        "orq_otel.original.gen_ai.conversation.id": "conv_1",
        **at(server),
    }
    assert "gen_ai.response.time_to_first_chunk" in (answer.attributes or {})
    assert session.name == "realtime_session gpt-realtime"
    assert attributes(session) == {
        "gen_ai.operation.name": "realtime_session",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-realtime",
        "gen_ai.response.model": "gpt-realtime",
        "orq_otel.session.id": "sess_1",
        **LABELS,
        **at(server),
    }
    assert session.parent is None
    assert is_well(session)
    assert is_well(answer)
    assert SECRET not in answer.to_json() + session.to_json()


def test_every_parameter_of_a_realtime_response(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with connect(client, "realtime") as connection:
        connection.send(
            question(
                "realtime",
                temperature=1,
                max_output_tokens=9,
                reasoning={"effort": "low"},
                prompt={"id": "pmpt_1", "version": "2"},
            )
        )
        wait(connection)

    (answer,), _ = in_session(instrumented)
    told = attributes(answer)
    assert told["gen_ai.request.temperature"] == 1.0
    assert told["gen_ai.request.max_tokens"] == 9
    assert told["gen_ai.request.reasoning.level"] == "low"
    assert told["gen_ai.prompt.name"] == "pmpt_1"
    assert told["gen_ai.prompt.version"] == "2"
    assert told["gen_ai.output.type"] == "speech"
    assert told["gen_ai.response.status"] == "incomplete"
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    assert is_well(answer)


@responses
def test_a_response(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    with thread("t-1", tags=["a", "b"]), connect(client, api) as connection:
        connection.response.create(model="gpt-5-mini", input="Where is it?", temperature=1)
        done = wait(connection)

    (answer,), session = in_session(instrumented)
    assert answer.name == "chat gpt-5-mini"
    assert attributes(answer) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "openai.api.type": "responses",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.response.id": done.response.id,
        "gen_ai.response.model": "gpt-5-mini-2026-08-01",
        "gen_ai.response.finish_reasons": ("stop",),
        "openai.response.service_tier": "default",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.conversation.id": "t-1",
        **LABELS,
        **at(server),
    }
    assert "gen_ai.response.time_to_first_chunk" in (answer.attributes or {})
    assert session.name == "responses_session"
    assert attributes(session) == {
        "gen_ai.operation.name": "responses_session",
        "gen_ai.provider.name": "openai",
        **LABELS,
        **at(server),
    }
    assert SECRET not in answer.to_json() + session.to_json()


def test_a_conversation_and_a_thread_that_the_request_brings(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with thread("t-1"), connect(client, "responses") as connection:
        connection.send(question("responses", conversation="conv_9", previous_response_id="r"))
        wait(connection)
        connection.send(question("responses", orq={"thread": {"id": "t-2", "tags": ["x"]}}))
        wait(connection)

    (first, second), _ = in_session(instrumented)
    assert attributes(first)["gen_ai.conversation.id"] == "t-1"
    assert attributes(first)["orq_otel.original.gen_ai.conversation.id"] == "conv_9"
    assert attributes(first)["gen_ai.request.previous_response.id"] == "r"
    assert attributes(first)["thread.id"] == "t-1"
    assert attributes(second)["thread.id"] == "t-2"
    assert attributes(second)["thread.tags"] == ("x",)


@every
def test_several_responses_in_a_session(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    tools = [{"type": "function", "name": "find_parcel", "parameters": {}}]
    with connect(client, api) as connection:
        ask(connection, api)
        wait(connection)
        ask(connection, api, tools=tools)
        wait(connection)
        ask(connection, api, max_output_tokens=3)
        wait(connection)

    answers, session = in_session(instrumented)
    assert [reasons(answer) for answer in answers] == [
        ("stop",),
        ("tool_calls",),
        ("length",),
    ]
    assert len({attributes(answer)["gen_ai.response.id"] for answer in answers}) == 3
    assert all(is_well(span) for span in [*answers, session])


@every
def test_a_response_that_fails(instrumented: Telemetry, client: openai.OpenAI, api: str) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "fail")
        wait(connection)

    (answer,), session = in_session(instrumented)
    code = "rate_limit_exceeded" if "realtime" in api else "server_error"
    assert answer.status.status_code is StatusCode.ERROR
    assert attributes(answer)["error.type"] == code
    assert reasons(answer) == ("error",)
    assert is_well(session)
    assert SECRET not in answer.to_json()


@realtime
def test_content_where_it_is_wanted(client: openai.OpenAI, api: str) -> None:
    tools = [{"type": "function", "name": "find_parcel"}]
    asked = {"type": "message", "role": "user"}
    spoken = {"type": "input_audio", "audio": "UklGRg=="}
    manager = connect(client, api)
    signals = Signals().instrument(capture_content=True)
    with manager as connection:
        ask(
            connection,
            api,
            "Be brief.",
            input=[
                {**asked, "content": [{"type": "input_text", "text": "Where is my parcel?"}]},
                {**asked, "content": [{**spoken, "transcript": "Well?"}]},
                {**asked, "content": [spoken]},
            ],
        )
        wait(connection)
        ask(connection, api, "x", tools=tools)
        wait(connection)
    signals.close()

    first, second, session = (dict(span.attributes or {}) for span in signals.spans)
    assert told_in(first) == {
        "system_instructions": [{"type": "text", "content": "Be brief."}],
        "input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]},
            {"role": "user", "parts": [{"type": "text", "content": "Well?"}]},
            {
                "role": "user",
                "parts": [
                    {
                        "type": "blob",
                        "modality": "audio",
                        "content": "",
                        "size": 4,
                        "digest": f"sha256:{hashlib.sha256(b'RIFF').hexdigest()}",
                    }
                ],
            },
        ],
        "output.messages": [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": f"It is a {SECRET}."}],
                "finish_reason": "stop",
            }
        ],
    }
    assert told_in(second) == {
        "system_instructions": [{"type": "text", "content": "x"}],
        "tool.definitions": tools,
        "output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "id": "call_1",
                        "name": "find_parcel",
                        "arguments": {"order": SECRET},
                    }
                ],
                "finish_reason": "tool_call",
            }
        ],
    }
    assert told_in(session) == {}


def told_in(given: dict[str, Any]) -> dict[str, Any]:
    """The content on a span of ours."""
    kinds = ("input.messages", "output.messages", "system_instructions", "tool.definitions")
    return {
        kind: json.loads(given[f"gen_ai.{kind}"]) for kind in kinds if f"gen_ai.{kind}" in given
    }


@every
@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_AND_EVENT"])
def test_all_of_it_follows_the_conventions(client: openai.OpenAI, api: str, mode: str) -> None:
    """The checker of `tests/conformance` finds nothing, but for the string in `thread.id`."""
    signals = Signals().instrument(capture_content=mode)
    try:  # what a client lacks is skipped, and must not leave it instrumented
        with thread("t-1", tags=["a"]), connect(client, api) as connection:
            ask(connection, api)
            wait(connection)
            ask(connection, api, "fail")
            wait(connection)
        findings = [
            *check_spans(signals.spans),
            *check_logs(signals.logs),
            *check_metrics(signals.metrics_data(), operations=()),
        ]
    finally:
        signals.close()
    allowed = {
        ("thread.id", "core_type_conflict"),
        ("gen_ai.operation.name", "unknown_operation"),  # the conventions allow names of ours
        (
            "gen_ai.response.model",
            "missing_recommended",
        ),  # of metrics: these have one for a session
    }
    wrong = [f for f in findings if f.level != "info" and (f.key, f.code) not in allowed]
    assert len(signals.spans) == 3
    assert wrong == []
