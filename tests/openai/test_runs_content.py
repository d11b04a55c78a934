"""What is said in runs of assistants, in the conventions' form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads import Run
from support.content_rules import PNG_MEASURES, PNG_URL, anything, problems

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)
from orq_otel.payloads import runs
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.responses import tool_definitions
from orq_otel.payloads.runs import (
    ContentStreamReader,
    request_content,
    response_content,
)

SHOT = {
    "type": "blob",
    "modality": "image",
    "content": "",
    "mime_type": "image/png",
    **PNG_MEASURES,
}
FIND = {"name": "find", "description": "Finds.", "parameters": {"type": "object"}}
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}},
    {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}},
]
WAITING = {
    "id": "run_1",
    "object": "thread.run",
    "status": "requires_action",
    "required_action": {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {"tool_calls": CALLS},
    },
}
CALLED = {
    "role": "assistant",
    "parts": [
        {"type": "tool_call", "id": "call_1", "name": "find", "arguments": {"id": 7}},
        {"type": "tool_call", "id": "call_2", "name": "now", "arguments": {}},
    ],
    "finish_reason": "tool_call",
}


def text(content: str) -> dict[str, Any]:
    """A part of text."""
    return {"type": "text", "content": content}


# --- requests and runs ---------------------------------------------------------------------------


def test_instructions_and_messages_of_a_run() -> None:
    content = request_content(
        {
            "assistant_id": "asst_1",
            "instructions": "Be brief.",
            "additional_instructions": "Be kind.",
            "additional_messages": [
                {"role": "user", "content": "Where is it?"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "This one."},
                        {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
                        {"type": "image_file", "image_file": {"file_id": "file-1"}},
                    ],
                    "attachments": [
                        {"file_id": "file-2", "tools": [{"type": "file_search"}]},
                        {"tools": []},
                    ],
                },
                {"role": "assistant", "content": "On its way."},
                "Thanks.",
            ],
        }
    )
    assert content == {
        SYSTEM_INSTRUCTIONS: [text("Be brief."), text("Be kind.")],
        INPUT_MESSAGES: [
            {"role": "user", "parts": [text("Where is it?")]},
            {
                "role": "user",
                "parts": [
                    text("This one."),
                    SHOT,
                    {"type": "file", "modality": "image", "file_id": "file-1"},
                    {"type": "file", "modality": "document", "file_id": "file-2"},
                ],
            },
            {"role": "assistant", "parts": [text("On its way.")]},
            {
                "role": "user",
                "parts": [{"type": "generic", "kind": "unknown", "value": "Thanks."}],
            },
        ],
    }
    assert problems(content) == []


def test_the_messages_of_a_thread_that_is_made_with_the_run() -> None:
    body = {"thread": {"messages": [{"role": "user", "content": "Where is it?"}]}}
    assert request_content(body) == {
        INPUT_MESSAGES: [{"role": "user", "parts": [text("Where is it?")]}]
    }


def test_tools_of_a_run() -> None:
    body = {"tools": [{"type": "function", "function": FIND}, {"type": "file_search"}]}
    search = {"type": "file_search", "name": "file_search"}
    assert request_content(body) == {
        TOOL_DEFINITIONS: [{"type": "function", "name": "find"}, search]
    }
    assert tool_definitions(body) == [{"type": "function", **FIND}, search]


def test_what_tools_answered() -> None:
    outputs = [
        {"tool_call_id": "call_1", "output": "Paris"},
        {"tool_call_id": "call_2", "output": "noon"},
    ]
    content = request_content({"run_id": "run_1", "tool_outputs": outputs})
    told = [("call_1", "Paris"), ("call_2", "noon")]
    assert content == {
        INPUT_MESSAGES: [
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": id, "response": said}]}
            for id, said in told  # noqa: A001
        ]
    }
    assert problems(content) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instructions": "", "additional_instructions": 7, "additional_messages": None},
        {"thread": None, "tools": None, "tool_outputs": 7},
        {"thread": {"messages": "x"}},
    ],
)
def test_a_request_may_say_nothing(body: Any) -> None:
    assert request_content(body) == {}


def test_a_run_that_waits_for_its_tools() -> None:
    content = {OUTPUT_MESSAGES: [CALLED]}
    assert response_content(WAITING) == content
    assert response_content(parse_json(json.dumps(WAITING))) == content
    assert response_content(construct_type(type_=Run, value=WAITING)) == content
    assert problems(content) == []


@pytest.mark.parametrize("run", [None, 7, {}, {**WAITING, "required_action": None}])
def test_any_other_run_says_nothing(run: Any) -> None:
    assert response_content(run) == {}


# --- streams -------------------------------------------------------------------------------------


def said(id: str, status: str = "in_progress", *content: Any, **more: Any) -> dict[str, Any]:  # noqa: A002
    """An event with a message."""
    told = {"id": id, "object": "thread.message", "role": "assistant", "status": status}
    return {"event": "thread.message", "data": {**told, "content": list(content), **more}}


def piece(id: str, index: int, value: str) -> dict[str, Any]:  # noqa: A002
    """An event with a piece of a message."""
    content = [{"index": index, "type": "text", "text": {"value": value, "annotations": []}}]
    return delta(id, *content)


def delta(id: str, *content: Any) -> dict[str, Any]:  # noqa: A002
    """An event with pieces of any kind."""
    data = {"id": id, "object": "thread.message.delta", "delta": {"content": list(content)}}
    return {"event": "thread.message.delta", "data": data}


def whole(value: str) -> dict[str, Any]:
    """The content of a message that is done."""
    return {"type": "text", "text": {"value": value, "annotations": []}}


def answered(reason: str, *parts: Any) -> dict[str, Any]:
    """A message of the assistant."""
    return {"role": "assistant", "parts": list(parts), "finish_reason": reason}


def streamed(*events: Any) -> list[Any]:
    """The messages that are read from a stream, whether the client names its events or not."""
    reader, raw = ContentStreamReader(), ContentStreamReader()
    plain = EventReader(runs.response_attributes)
    for event in events:
        reader.feed(parse_json(json.dumps(event)))
        plain.feed(parse_json(json.dumps(event)))
        raw.feed(parse_json(json.dumps(event["data"])))
    content: Any = reader.content()
    assert problems(content) == []
    assert raw.content() == content
    assert reader.attributes() == raw.attributes() == plain.attributes()
    told: list[Any] = content.get(OUTPUT_MESSAGES, [])
    return told


RUN: dict[str, Any] = {"event": "thread.run.created", "data": {"id": "r", "object": "thread.run"}}
STREAM = [
    RUN,
    said("msg_1"),
    piece("msg_1", 0, "On its"),
    piece("msg_1", 0, " way."),
    said("msg_1", "completed", whole("On its way!")),
    said("msg_2"),
    piece("msg_2", 0, "Soon"),
]


def test_messages_of_a_stream() -> None:
    assert streamed(*STREAM[:1]) == []
    assert streamed(*STREAM[:2]) == [answered("error")]
    assert streamed(*STREAM[:4]) == [answered("error", text("On its way."))]
    assert streamed(*STREAM[:5]) == [answered("stop", text("On its way!"))]
    assert streamed(*STREAM) == [
        answered("stop", text("On its way!")),
        answered("error", text("Soon")),
    ]


def test_a_stream_of_models_says_the_same() -> None:
    reader = ContentStreamReader()
    for event in STREAM:
        kind = event["event"] if event["event"] != "thread.message" else "thread.message.completed"
        value = {**event, "event": kind}
        reader.feed(construct_type(type_=AssistantStreamEvent, value=value))
    assert reader.content() == {OUTPUT_MESSAGES: streamed(*STREAM)}


def test_pieces_of_several_parts() -> None:
    assert streamed(
        piece("msg_1", 1, "Look"),
        delta("msg_1", {"index": 0, "type": "image_file", "image_file": {"file_id": "file-1"}}),
        delta("msg_1", {"index": 2, "type": "refusal", "refusal": "No"}, {"type": "text"}, None),
        piece("msg_1", 1, " here."),
        delta("msg_1", {"index": 2, "type": "refusal", "refusal": "."}),
    ) == [
        answered(
            "error",
            {"type": "file", "modality": "image", "file_id": "file-1"},
            text("Look here."),
            text("No."),
        )
    ]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("run_cancelled", "error"),
        ("run_expired", "error"),
        ("run_failed", "error"),
        (None, "error"),
        ([7], "error"),
    ],
)
def test_why_a_message_is_incomplete(reason: Any, told: str) -> None:
    details = {"reason": reason}
    event = said("msg_1", "incomplete", whole("On"), incomplete_details=details)
    assert streamed(event) == [answered(told, text("On"))]


def test_a_stream_that_ends_with_calls_of_tools() -> None:
    last = {"event": "thread.run.requires_action", "data": WAITING}
    assert streamed(*STREAM[:5], last) == [answered("stop", text("On its way!")), CALLED]


def test_a_stream_without_an_event_says_nothing() -> None:
    assert ContentStreamReader().content() == {}


@given(anything, anything)
def test_anything_gives_content_that_is_right(given: Any, more: Any) -> None:
    allow = ("tool_arguments_string",)
    for field in ("instructions", "additional_instructions", "thread", "tools", "tool_outputs"):
        assert problems(request_content({field: given, "additional_messages": more}), allow) == []
    body = {
        "thread": {"messages": [given, {"content": more, "role": given, "attachments": more}]},
        "tool_outputs": [more, {"output": given, "tool_call_id": more}],
        "tools": [given, more],
    }
    assert problems(request_content(body), allow) == []
    needed = {"tool_calls": [given, {"function": more}]}
    for run in (given, {"required_action": {"submit_tool_outputs": needed}}):
        assert problems(response_content(run), allow) == []


@given(st.lists(anything, max_size=4))
def test_any_stream_gives_content_that_is_right(events: list[Any]) -> None:
    reader = ContentStreamReader()
    for event in events:
        reader.feed(event)
        reader.feed({"object": "thread.message.delta", "id": "a", "delta": event})
        reader.feed({"object": "thread.message.delta", "id": "a", "delta": {"content": [event]}})
        for field in ("text", "image_file", "refusal"):
            reader.feed(delta("a", {"index": 0, "type": field, field: event}))
        assert problems(reader.content()) == []
        reader.feed({"object": "thread.message", "id": "b", "content": event, "role": event})
        reader.feed({"object": "thread.message", "id": event})
    assert problems(reader.content()) == []
