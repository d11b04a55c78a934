"""Agents of OpenAI's API: made, and asked in sessions, whose turns come as events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer, Reply
from support.byte_server import Answer, ByteServer, as_json, http
from support.client_calls import TURN, own, server, told
from support.client_versions import NEWEST, needs
from support.content_rules import PNG_MEASURES, PNG_URL, anything, problems
from support.recorded import Telemetry
from support.signals import Signals

from orq_otel import thread
from orq_otel.payloads.agent_sessions import (
    ContentStreamReader,
    StreamReader,
    input_request_content,
    new_request_content,
    session_attributes,
)

pytestmark = needs("openai", NEWEST["openai"], "client.beta.agents")

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
NEW = {"environment": {"type": "none"}, "input": "Where is my parcel?"}
FIND = {"type": "function", "name": "find_parcel", "description": "d", "parameters": {}}
ANSWER = {
    "role": "assistant",
    "parts": [{"type": "text", "content": "It is on its way."}],
    "finish_reason": "stop",
}
IN_THREAD = {
    "thread.id": "t-1",
    "orq.thread_id": "t-1",
    "gen_ai.conversation.id": "t-1",
}


@pytest.fixture
def captured() -> Iterator[Signals]:
    """An instrumented client, with content on spans."""
    signals = Signals().instrument(capture_content=True)
    yield signals
    signals.close()


def said(span: ReadableSpan, name: str) -> Any:
    """Content of a span."""
    return json.loads(str((span.attributes or {})[name]))


def message(role: str, *parts: Any) -> dict[str, Any]:
    """A message without a reason for its end."""
    return {"role": role, "parts": list(parts)}


def text(content: str) -> dict[str, Any]:
    """A part of text."""
    return {"type": "text", "content": content}


# --- calls ---------------------------------------------------------------------------------------


def test_an_agent_that_is_made(captured: Signals, client: openai.OpenAI) -> None:
    made = client.beta.agents.create(
        model="gpt-6", name="parcels", instructions="Be brief.", tools=[FIND]
    )

    (span,) = captured.spans
    assert span.name == "create_agent parcels"
    assert (span.attributes or {})["gen_ai.agent.id"] == made.id
    assert said(span, "gen_ai.system_instructions") == [text("Be brief.")]
    assert said(span, "gen_ai.tool.definitions") == [{"type": "function", "name": "find_parcel"}]


def test_the_tools_of_an_agent_with_their_schemas(
    monkeypatch: pytest.MonkeyPatch, client: openai.OpenAI
) -> None:
    monkeypatch.setenv("ORQ_OTEL_TOOL_SCHEMAS", "true")
    signals = Signals().instrument(capture_content=True)
    client.beta.agents.create(model="gpt-6", tools=[FIND])
    client.beta.agents.sessions.create(**NEW, agent={"model": "gpt-6", "tools": [FIND]})
    signals.close()

    for span in signals.spans:
        assert said(span, "gen_ai.tool.definitions") == [FIND]


@pytest.mark.parametrize("way", ["", "with_raw_response", "with_streaming_response"])
def test_input_for_a_session(captured: Signals, client: openai.OpenAI, way: str) -> None:
    events = client.beta.agents.sessions.events
    result = {"turn_id": "turn_1", "call_id": "call_1", "success": True, "output": "In Oslo."}
    create = (getattr(events, way) if way else events).create
    with thread("t-1"):
        made = create("sess_1", events=[{"type": "agent.session.input.tool_result", **result}])
        if way == "with_streaming_response":
            with made as response:
                response.read()

    (span,) = captured.spans
    assert span.name == "invoke_agent"
    attributes = told(span)
    assert json.loads(attributes.pop(INPUT)) == [
        message("tool", {"type": "tool_call_response", "id": "call_1", "response": "In Oslo."})
    ]
    assert attributes == {
        **own("invoke_agent"),
        **IN_THREAD,
        "orq_otel.original.gen_ai.conversation.id": "sess_1",
        **server(client),
    }


def test_samplers_see_the_session_and_the_model(client: openai.OpenAI) -> None:
    seen: list[Any] = []

    class Sees(Sampler):
        def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
            seen.append(kwargs.get("attributes") or args[4])
            return SamplingResult(None)  # type: ignore[arg-type]

        def get_description(self) -> str:
            return "sees"

    signals = Signals(Sees()).instrument()
    sessions = client.beta.agents.sessions
    sessions.create(**NEW, agent={"model": "gpt-6"})
    sessions.events.create("sess_1", events=[{"type": "agent.session.input.cancel"}])
    list(sessions.events.stream("sess_1"))
    signals.close()

    assert seen[0]["gen_ai.request.model"] == "gpt-6"
    assert [one["gen_ai.conversation.id"] for one in seen[1:]] == ["sess_1"] * 2


def test_the_stream_helper_of_sessions(captured: Signals, client: openai.OpenAI) -> None:
    sessions = client.beta.agents.sessions
    with thread("t-1"), sessions.stream("sess_1", input="Where is my parcel?") as stream:
        result = stream.get_final_result()

    assert result.output_text == "It is on its way."
    asked, answered = captured.spans
    original = {"orq_otel.original.gen_ai.conversation.id": "sess_1"}
    assert said(asked, INPUT) == [message("user", text("Where is my parcel?"))]
    assert said(answered, OUTPUT) == [ANSWER]
    assert (
        told(answered).items()
        >= {
            **own("invoke_agent", **TURN, request__stream=True),
            **IN_THREAD,
            **original,
        }.items()
    )
    assert told(asked).items() >= {**own("invoke_agent"), **IN_THREAD, **original}.items()
    assert not [name for name in told(asked) if ".usage." in name]


async def test_the_stream_helper_of_sessions_of_the_asynchronous_client(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    sessions = async_client.beta.agents.sessions
    async with sessions.stream("sess_1", input="Where is my parcel?") as stream:
        await stream.until_done()

    asked, answered = instrumented.spans
    assert asked.name == answered.name == "invoke_agent"
    assert told(answered).items() >= own("invoke_agent", **TURN).items()


def in_block(stream: Any) -> Any:
    """Read a stream in a block of its own."""
    with stream as entered:
        return list(entered)


READ: dict[str, Callable[[Any], Any]] = {
    "its result": lambda stream: stream.get_final_result(),
    "itself, collecting": lambda stream: list(stream.with_result_collection()),
    "its block": in_block,
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_a_new_session_that_is_streamed(
    instrumented: Telemetry, client: openai.OpenAI, read: Callable[[Any], Any]
) -> None:
    stream = client.beta.agents.sessions.create(**NEW, agent_id="agent_1", stream=True)
    assert read(stream)
    assert isinstance(stream, openai.Stream)
    del stream

    expected = own("invoke_agent", **TURN, request__stream=True, conversation__id="sess_*")
    assert told(instrumented.one()) == {**expected, **server(client)}


async def test_the_result_of_a_new_session_of_the_asynchronous_client(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    stream = await async_client.beta.agents.sessions.create(**NEW, agent_id="agent_1", stream=True)
    result = await stream.with_result_collection().get_final_result()

    assert result.output_text == "It is on its way."
    assert told(instrumented.one()).items() >= own("invoke_agent", **TURN).items()


def test_a_tool_of_the_caller(captured: Signals, client: openai.OpenAI) -> None:
    stream = client.beta.agents.sessions.create(
        **NEW,
        agent_id="agent_tool",
        stream=True,
        tool_handlers={"find_parcel": lambda arguments: f"It is in Oslo: {arguments['id']}"},
    )
    list(stream)

    submitted, asked = captured.spans
    assert said(submitted, INPUT)[0]["parts"][0]["response"] == "It is in Oslo: 7"
    assert said(asked, OUTPUT) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "id": "call_1", "name": "find_parcel", "arguments": {"id": 7}}
            ],
            "finish_reason": "tool_call",
        }
    ]
    assert told(asked)["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert told(asked)["gen_ai.response.status"] == "in_progress"


def test_a_turn_that_fails(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(Reply(failure="Too busy for parcel 7."))
    list(client.beta.agents.sessions.create(**NEW, agent_id="agent_1", stream=True))

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Error in the response - code server_overloaded"
    assert (
        told(span).items()
        >= {
            "error.type": "server_overloaded",
            "gen_ai.response.status": "failed",
            "gen_ai.response.finish_reasons": ("error",),
            "gen_ai.usage.input_tokens": 20,
        }.items()
    )


def test_an_automation_that_fails(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(Reply(failure="No such session."))
    client.beta.agents.automations.invocations.create("auto_1")

    assert told(instrumented.one())["error.type"] == "session_failed"


def test_a_session_whose_events_break_off(instrumented: Telemetry) -> None:
    event = as_json({"event_id": "event_1", **turn("turn_1", "in_progress")})
    head = http(b"", content_type="text/event-stream", length=999)
    with (
        ByteServer() as breaking,
        openai.OpenAI(api_key="k", base_url=breaking.base_url, max_retries=0) as client,
    ):
        breaking.script(Answer(head + b"data: " + event + b"\n\n"))
        with pytest.raises(openai.APIConnectionError):
            list(client.beta.agents.sessions.events.stream("sess_1"))

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"] == "openai.APIConnectionError"
    assert told(span)["gen_ai.response.id"] == "turn_1"


# --- what is read --------------------------------------------------------------------------------


def turn(turn_id: str, status: str, **more: Any) -> dict[str, Any]:
    """The event with which a turn reaches a status."""
    return {
        "type": f"agent.session.turn.{status}",
        "turn_id": turn_id,
        "turn": {
            "id": turn_id,
            "session_id": "sess_1",
            "status": status,
            "subagent_id": None,
            **more,
        },
    }


def done(turn_id: str, item_id: str, **item: Any) -> dict[str, Any]:
    """The event with which an item of a turn is done."""
    item = {"id": item_id, "turn_id": turn_id, "status": "completed", **item}
    return {"type": "agent.session.turn.item.done", "turn_id": turn_id, "item": item}


def answer(turn_id: str, item_id: str, content: str) -> dict[str, Any]:
    """The event with which an agent's message is done."""
    said = [{"type": "output_text", "text": content}]
    return done(turn_id, item_id, type="message", content=said)


def delta(turn_id: str, item_id: str, piece: str) -> dict[str, Any]:
    """A piece of an agent's message."""
    kind = "agent.session.turn.output_text.delta"
    return {"type": kind, "turn_id": turn_id, "item_id": item_id, "delta": piece}


def read(*events: Any) -> ContentStreamReader:
    """A reader that has read these events."""
    reader = ContentStreamReader()
    for event in events:
        reader.feed(event)
    return reader


def test_several_turns_on_one_stream() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "output_tokens_details": {}}
    reader = read(
        turn("turn_1", "created"),
        answer("turn_1", "msg_1", "On its way."),
        turn("turn_1", "completed", usage=usage),
        turn("turn_2", "created"),
        done("turn_2", "cmd_1", type="command_execution", command="date", output="noon"),
        delta("turn_2", "msg_2", "It is"),
        delta("turn_2", "msg_2", " noon."),
        turn("turn_2", "cancelled", usage=usage),
    )

    attributes = reader.attributes()
    assert attributes["gen_ai.response.id"] == "turn_2"
    assert attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert attributes["gen_ai.usage.input_tokens"] == 6
    assert attributes["gen_ai.usage.output_tokens"] == 4
    command = {"command": "date", "status": "completed", "type": "command_execution"}
    content = reader.content()
    assert content[OUTPUT] == [
        {**message("assistant", text("On its way.")), "finish_reason": "stop"},
        {
            **message(
                "assistant",
                {
                    "type": "server_tool_call",
                    "id": "cmd_1",
                    "name": "command_execution",
                    "server_tool_call": command,
                },
                {
                    "type": "server_tool_call_response",
                    "id": "cmd_1",
                    "server_tool_call_response": {"output": "noon", "type": "command_execution"},
                },
                text("It is noon."),
            ),
            "finish_reason": "error",
        },
    ]
    assert problems(content) == []


def test_a_stream_that_is_left_tells_what_came() -> None:
    reader = read(turn("turn_1", "in_progress"), delta("turn_1", "msg_1", "It"))

    expected = {**message("assistant", text("It")), "finish_reason": "error"}
    assert reader.content() == {OUTPUT: [expected]}
    assert "gen_ai.response.finish_reasons" not in reader.attributes()


def test_what_subagents_do_is_no_answer() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2}
    reader = read(
        turn("turn_1", "created"),
        turn("turn_7", "created", subagent_id="sub_1"),
        answer("turn_7", "msg_7", "I look it up."),
        turn("turn_7", "completed", subagent_id="sub_1", usage=usage),
    )

    assert reader.content() == {}
    assert reader.attributes() == {
        "gen_ai.conversation.id": "sess_1",
        "gen_ai.response.id": "turn_1",
    }


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"code": "overloaded", "message": "m", "type": "server_error"}},
        {"error": {"code": "overloaded"}},
        {"type": "error", "code": "overloaded"},
        {
            "type": "agent.session.failed",
            "session": {"id": "sess_1", "status": "failed", "error": {"code": "overloaded"}},
        },
    ],
)
def test_an_error_among_events(event: dict[str, Any]) -> None:
    reader = StreamReader()
    reader.feed(event)
    assert reader.attributes()["error.type"] == "overloaded"


def test_a_session_that_failed_for_a_reason_in_words() -> None:
    attributes = session_attributes({"id": "sess_1", "status": "failed", "error": "No more room."})
    assert attributes["error.type"] == "error"
    assert attributes["error.type"].details.message == "No more room."


def test_the_usage_of_a_session_is_not_a_turns() -> None:
    session = {"id": "sess_1", "status": "idle", "usage": {"input_tokens": 99, "output_tokens": 9}}
    assert session_attributes(session)["gen_ai.usage.input_tokens"] == 99
    reader = read({"type": "agent.session.idle", "session": session})
    assert reader.attributes() == {"gen_ai.conversation.id": "sess_1"}


def test_input_with_a_picture_and_approvals() -> None:
    picture = {"type": "input_image", "image_url": PNG_URL}
    content = input_request_content(
        {
            "events": [
                {
                    "type": "agent.session.input.message",
                    "input": [{"role": "user", "content": [picture]}],
                },
                {
                    "type": "agent.session.input.tool_result",
                    "call_id": "call_1",
                    "success": False,
                    "error": "No such parcel.",
                },
                {
                    "type": "agent.session.input.mcp_approval_request_result",
                    "request_id": "req_1",
                    "response": {"type": "mcp_tool_call", "decision": "approve"},
                },
            ]
        }
    )

    shot = {"type": "blob", "modality": "image", "content": "", "mime_type": "image/png"}
    refused = {"type": "tool_call_response", "id": "call_1", "response": "No such parcel."}
    approval = {"request_id": "req_1", "decision": "approve"}
    assert content[INPUT] == [
        message("user", {**shot, **PNG_MEASURES}),
        message("tool", refused),
        message("user", {"type": "generic", "kind": "mcp_approval_response", "value": approval}),
    ]
    assert problems(content) == []


def test_what_a_user_types_into_a_form_is_never_read() -> None:
    filled = {"type": "browser_authentication", "fields": [{"field_id": "f", "value": "hunter2"}]}
    event = {
        "type": "agent.session.input.computer_use_approval_request_result",
        "request_id": "req_1",
        "response": filled,
    }
    assert input_request_content({"events": [event]}) == {}


def namespaces(thing: Any) -> Any:
    """JSON as raw responses are read."""
    if isinstance(thing, dict):
        named = {name: value for name, value in thing.items() if isinstance(name, str)}
        return SimpleNamespace(**{name: namespaces(value) for name, value in named.items()})
    return [namespaces(one) for one in thing] if isinstance(thing, list) else thing


KINDS = (
    "error",
    "agent.session.idle",
    "agent.session.turn.completed",
    "agent.session.turn.item.done",
)


@given(events=st.lists(anything, max_size=4), kind=st.sampled_from(KINDS))
def test_whatever_comes(events: list[Any], kind: str) -> None:
    for make in (dict, lambda fields: namespaces(dict(fields))):
        reader = read(
            *(
                make({"type": kind, "turn_id": "t", "turn": one, "session": one, "item": one})
                for one in events
            )
        )
        assert problems(reader.content()) == []
        assert isinstance(reader.attributes(), dict)
    for body in ({"events": events, "input": one, "agent": one} for one in events):
        assert problems(input_request_content(body)) == []
        assert problems(new_request_content(body)) == []
