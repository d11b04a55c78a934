"""What the checker says of messages, tools and other content."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.cases import (
    CHAT,
    GONE,
    INPUT,
    SERVER,
    TEXT,
    Case,
    changed,
    chat,
    check_chat,
    each,
    each_profile,
    lines,
    messages,
)
from conformance.checker import Span, check_spans
from conformance.checker.content import CONTENT

OUTPUT = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
DOCUMENTS = "gen_ai.retrieval.documents"
MEMORIES = "gen_ai.memory.records"
RESULT = "gen_ai.tool.call.result"
TOOL_CALL = {"type": "tool_call", "id": "c-1", "name": "find", "arguments": {"id": 5}}


@each_profile
@each(
    [
        Case("messages", [], {INPUT: messages(TEXT, TOOL_CALL)}),
        Case(
            "an answer",
            [],
            {OUTPUT: [{"role": "assistant", "parts": [TEXT], "finish_reason": "stop"}]},
        ),
        Case(
            "messages as JSON",
            [f"info content_json_string {INPUT}"],
            {INPUT: '[{"role": "user", "parts": []}]'},
        ),
        Case(
            "messages as JSON that is none",
            [f"info content_json_string {INPUT}", f"violation content_not_json {INPUT}"],
            {INPUT: "Where is my parcel?"},
        ),
        Case(
            "an empty string",
            [f"info content_json_string {INPUT}", f"violation content_not_json {INPUT}"],
            {INPUT: ""},
        ),
        Case(
            "a message without a role",
            [f"violation content_schema {INPUT}"],
            {INPUT: [{"parts": [TEXT]}]},
        ),
        Case(
            "no messages",
            [f"violation content_schema {INPUT}", f"violation wrong_type {INPUT}"],
            {INPUT: None},
        ),
        Case("a message that is none", [f"violation content_schema {INPUT}"], {INPUT: [5]}),
        Case(
            "parts that are none",
            [f"violation content_schema {INPUT}"],
            {INPUT: [{"role": "user", "parts": 5}]},
        ),
        Case("a part that is none", [f"violation content_schema {INPUT}"], {INPUT: messages(5)}),
        Case(
            "a part without what its type asks for",
            [f"violation content_part {INPUT}"],
            {INPUT: messages({"type": "text"})},
        ),
        Case(
            "a tool call with arguments in a string",
            [f"warning tool_arguments_string {INPUT}"],
            {INPUT: messages({**TOOL_CALL, "arguments": "{}"})},
        ),
        Case("arguments of no tool call", [], {INPUT: messages({**TEXT, "arguments": "{}"})}),
        Case("a generic part", [], {INPUT: messages({"type": "generic"})}),
        Case(
            "a part of an unknown type",
            [f"warning content_unknown_part {INPUT}"],
            {INPUT: messages({"type": "smell", "content": "rosy"})},
        ),
        Case(
            "a part whose type is no string",
            [f"violation content_schema {INPUT}", f"warning content_unknown_part {INPUT}"],
            {INPUT: messages({"type": ["text"]})},
        ),
        Case("instructions", [], {INSTRUCTIONS: [TEXT]}),
        Case(
            "instructions without what their type asks for",
            [f"violation content_part {INSTRUCTIONS}"],
            {INSTRUCTIONS: [{"type": "text"}]},
        ),
        Case(
            "instructions of an unknown type",
            [f"warning content_unknown_part {INSTRUCTIONS}"],
            {INSTRUCTIONS: [{"type": "smell"}]},
        ),
        # The schema of instructions does not define tool calls.
        Case("instructions with a broken tool call", [], {INSTRUCTIONS: [{"type": "tool_call"}]}),
        Case(
            "tools",
            [],
            {"gen_ai.tool.definitions": [{"type": "function", "name": "find"}]},
        ),
        Case(
            "a tool without a type",
            ["violation content_schema gen_ai.tool.definitions"],
            {"gen_ai.tool.definitions": [{"name": "find"}]},
        ),
    ]
)
def test_content(case: Case, profile: str) -> None:
    assert check_chat(case, profile) == case.found


@each_profile
@pytest.mark.parametrize(
    "part",
    [
        TEXT,
        TOOL_CALL,
        {"type": "tool_call_response", "id": "c-1", "response": "Berlin"},
        {"type": "server_tool_call", "name": "search", "server_tool_call": {"type": "web"}},
        {"type": "server_tool_call_response", "server_tool_call_response": {"type": "web"}},
        {"type": "blob", "modality": "image", "content": "aGk="},
        {"type": "file", "modality": "image", "file_id": "f-1"},
        {"type": "uri", "modality": "image", "uri": "https://127.0.0.1/"},
        {"type": "reasoning", "content": "Hm."},
        {"type": "compaction", "content": "Short."},
    ],
    ids=lambda part: part["type"],
)
def test_each_type_of_part(part: dict[str, Any], profile: str) -> None:
    assert check_spans([chat({INPUT: messages(part)})], profile) == []
    broken = messages({**dict.fromkeys(part, 5), "type": part["type"]})
    (found, *_) = check_spans([chat({INPUT: broken})], profile)
    assert (found.level, found.code, found.key) == ("violation", "content_part", INPUT)
    assert found.detail.startswith(f"{part['type']}: 5 is not ")


@each_profile
@each(
    [
        Case("a document", [], {DOCUMENTS: [{"id": "d-1", "score": 0.5}]}),
        Case("a broken document", [f"violation content_schema {DOCUMENTS}"], {DOCUMENTS: [5]}),
        Case("a memory", [], {MEMORIES: [{"content": "Berlin"}]}),
        Case(
            "a memory of nothing",
            [f"violation content_schema {MEMORIES}"],
            {MEMORIES: [{"id": "m-1"}]},
        ),
    ]
)
def test_documents_and_memories(case: Case, profile: str) -> None:
    elsewhere = [f"info not_on_span_type {name}" for name in case.attributes]
    assert check_chat(case, profile) == elsewhere + case.found


@each_profile
@each(
    [
        Case("an object", [], {RESULT: {"place": "Berlin"}}),
        Case("a list", [], {RESULT: ["Berlin"]}),
        Case("a number", [], {RESULT: 5}),
        Case("a part of one", [], {RESULT: 0.5}),
        Case("plain text", [f"info content_json_string {RESULT}"], {RESULT: "Berlin"}),
        Case("JSON", [f"info content_json_string {RESULT}"], {RESULT: '"Berlin"'}),
        Case(
            "arguments that are no object",
            ["violation content_schema gen_ai.tool.call.arguments"],
            {"gen_ai.tool.call.arguments": [1]},
        ),
    ]
)
def test_content_of_a_tool(case: Case, profile: str) -> None:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.call.id": "c-1",
        "gen_ai.tool.name": "find",
    }
    span = Span("execute_tool find", "internal", changed(attributes, case.attributes))
    assert lines(check_spans([span], profile)) == case.found


@each(
    [
        Case("nothing said of content", [], {INPUT: []}),
        Case(
            "content that nobody wanted",
            [f"violation content_without_opt_in {INPUT}, gen_ai.prompt.variable.city"],
            {INPUT: [], "gen_ai.prompt.variable.city": "Berlin"},
            options={"content": False},
        ),
        Case("no content, as wanted", [], options={"content": False}),
        Case(
            "content that is not there",
            [f"violation content_missing {INPUT}", f"violation content_missing {OUTPUT}"],
            options={"content": True},
        ),
        Case("content, as wanted", [], {INPUT: [], OUTPUT: []}, options={"content": True}),
        Case(
            "a failed request, which has no answer",
            [],
            {INPUT: [], "error.type": "ValueError"},
            {"status": "error"},
            {"content": True},
        ),
        Case(
            "another operation than inference",
            [],
            {
                **dict.fromkeys(CHAT, GONE),
                **SERVER,
                "gen_ai.operation.name": "create_memory",
                "gen_ai.provider.name": "openai",
            },
            {"name": "create_memory"},
            {"content": True},
        ),
    ]
)
def test_opting_in_to_content(case: Case) -> None:
    assert check_chat(case) == case.found


@pytest.mark.parametrize(
    "name",
    [
        *CONTENT,
        "gen_ai.evaluation.explanation",
        "gen_ai.memory.query.text",
        "gen_ai.retrieval.query.text",
    ],
)
def test_what_has_to_be_wanted(name: str) -> None:
    found = lines(check_spans([chat({name: "text"})], content=False))
    assert f"violation content_without_opt_in {name}" in found


def test_what_a_finding_says_of_content() -> None:
    span = chat(
        {
            INPUT: [{"role": "user", "parts": 5}],
            OUTPUT: "x" * 80,
            INSTRUCTIONS: [{"type": "text"}],
        }
    )
    details = {one.code: one.detail for one in check_spans([span])}
    assert details["content_schema"].startswith("0/parts: 5 is not")
    assert details["content_not_json"] == "x" * 60
    assert details["content_part"] == "text: 'content' is a required property"
