"""What is said in the Responses API, in the conventions' form."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.content_rules import PNG_BASE64, PNG_MEASURES, PNG_URL, anything, problems
from support.json_places import places, replaced, without
from support.openai_answers import RESPONSE, RESPONSE_EVENTS
from support.openai_versions import responses_api

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    PROMPT_VARIABLE,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)
from orq_otel.openai.operations import WITH_IDS
from orq_otel.payloads import responses
from orq_otel.payloads.responses import (
    ContentStreamReader,
    FetchedContentStreamReader,
    compacted_content,
    fetched_response_content,
    request_content,
    response_content,
    tool_definitions,
)

BLOB = {"type": "blob", "content": "", **PNG_MEASURES}
SHOT = {**BLOB, "modality": "image", "mime_type": "image/png"}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}],
}


def text(content: str) -> dict[str, Any]:
    """A part that is text."""
    return {"type": "text", "content": content}


def asked(*items: Any) -> list[Any]:
    """The messages that are read from the items of a request."""
    content = request_content({"model": "m", "input": list(items)})
    assert problems(content, ("tool_arguments_string",)) == []
    return content.get(INPUT_MESSAGES, [])


def answered(*items: Any, status: str | None = "completed", **more: Any) -> dict[str, Any]:
    """The message that is read from a response: from a model, a namespace and a dict alike."""
    response = {"id": "resp_1", "status": status, "output": list(items), **more}
    content = response_content(response)
    assert content == response_content(parse_json(json.dumps(response)))
    with contextlib.suppress(ImportError):  # a client that has no Responses API yet
        from openai._models import construct_type  # noqa: PLC0415
        from openai.types.responses import Response  # noqa: PLC0415

        assert content == response_content(construct_type(type_=Response, value=response))
    assert problems(content, ("tool_arguments_string",)) == []
    (told,) = content[OUTPUT_MESSAGES]
    return told  # type: ignore[no-any-return]


# --- requests ------------------------------------------------------------------------------------


def test_who_says_a_message() -> None:
    """The API itself has no names, but compatible servers take them, as in chat completions."""
    assert asked(
        {"role": "user", "name": "Ada", "content": "Where is my parcel?"},
        {"role": "user", "name": 7, "content": "And mine?"},
        {"type": "function_call_output", "call_id": "c", "name": "track", "output": "Home."},
    ) == [
        {"role": "user", "parts": [text("Where is my parcel?")], "name": "Ada"},
        {"role": "user", "parts": [text("And mine?")]},
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c", "response": "Home."}],
        },
    ]


def test_a_request_of_text() -> None:
    content = request_content({"input": "Where is my parcel?", "instructions": "Be brief."})
    assert content == {
        INPUT_MESSAGES: [{"role": "user", "parts": [text("Where is my parcel?")]}],
        SYSTEM_INSTRUCTIONS: [text("Be brief.")],
    }
    assert problems(content) == []


def test_base64_in_a_plain_text_is_told() -> None:
    told = f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]"
    content = request_content({"input": PNG_BASE64, "instructions": PNG_BASE64})
    assert content[INPUT_MESSAGES][0]["parts"] == content[SYSTEM_INSTRUCTIONS] == [text(told)]
    assert asked({"role": "user", "content": PNG_BASE64})[0]["parts"] == [text(told)]


def test_messages_of_a_request() -> None:
    assert asked(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hi?"},
        {"role": "assistant", "content": "Hello?"},
        {"type": "message", "role": "user", "content": "Hello."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Well?"}]},
    ) == [
        {"role": "developer", "parts": [text("Be brief.")]},
        {"role": "user", "parts": [text("Hi.")]},
        {"role": "assistant", "parts": [text("Hi?")]},
        {"role": "assistant", "parts": [text("Hello?")]},
        {"role": "user", "parts": [text("Hello.")]},
        {"role": "user", "parts": [text("Well?")]},
    ]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "input_text", "text": "Hi."}, text("Hi.")),
        ({"type": "output_text", "text": "Hi."}, text("Hi.")),
        ({"type": "refusal", "refusal": "No."}, text("No.")),
        (
            {"type": "input_image", "image_url": "https://a.b/c.png", "detail": "auto"},
            {"type": "uri", "modality": "image", "uri": "https://a.b/c.png"},
        ),
        ({"type": "input_image", "image_url": PNG_URL}, SHOT),
        (
            {"type": "input_image", "file_id": "file-1"},
            {"type": "file", "modality": "image", "file_id": "file-1"},
        ),
        (
            {"type": "input_file", "file_id": "file-1"},
            {"type": "file", "modality": "document", "file_id": "file-1"},
        ),
        (
            {"type": "input_file", "file_url": "https://a.b/c.pdf"},
            {"type": "uri", "modality": "document", "uri": "https://a.b/c.pdf"},
        ),
        (
            {
                "type": "input_file",
                "filename": "c.pdf",
                "file_data": f"data:application/pdf;base64,{PNG_BASE64}",
            },
            {**BLOB, "modality": "document", "mime_type": "application/pdf"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG_BASE64, "format": "wav"}},
            {**BLOB, "modality": "audio", "mime_type": "audio/wav"},
        ),
        (
            {"type": "hologram", "data": PNG_BASE64},
            {
                "type": "generic",
                "kind": "hologram",
                "value": {"data": f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]"},
            },
        ),
    ],
)
def test_parts_of_a_message(part: dict[str, Any], told: dict[str, Any]) -> None:
    assert asked({"role": "user", "content": [part]}) == [{"role": "user", "parts": [told]}]


def test_items_of_an_answer_are_one_message_when_a_request_repeats_them() -> None:
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        MESSAGE,
        {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_2", "name": "now", "arguments": "{}"},
    ]
    answer = answered(*items)
    assert answer.pop("finish_reason") == "tool_call"
    assert asked(
        {"role": "user", "content": "Hi."},
        *items,
        {"type": "function_call_output", "call_id": "call_1", "output": "Paris"},
        {"type": "function_call_output", "call_id": "call_2", "output": "noon"},
        MESSAGE,
        {"role": "user", "content": "Thanks."},
        MESSAGE,
    ) == [
        {"role": "user", "parts": [text("Hi.")]},
        answer,
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1", "response": "Paris"}],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_2", "response": "noon"}],
        },
        {"role": "assistant", "parts": [text("Hi.")]},
        {"role": "user", "parts": [text("Thanks.")]},
        {"role": "assistant", "parts": [text("Hi.")]},
    ]


def test_a_thought_that_is_not_told_is_left_out() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": PNG_BASE64}
    assert asked({"role": "user", "content": ""}, thought, MESSAGE) == [
        {"role": "user", "parts": []},
        {"role": "assistant", "parts": [text("Hi.")]},
    ]
    assert answered(thought, MESSAGE)["parts"] == [text("Hi.")]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (
            {"type": "item_reference", "id": "msg_1"},
            {"type": "generic", "kind": "item_reference", "value": {"id": "msg_1"}},
        ),
        (
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
            {
                "type": "generic",
                "kind": "mcp_approval_response",
                "value": {"approval_request_id": "mcpr_1", "approve": True},
            },
        ),
        (
            {"type": "compaction_trigger"},
            {"type": "generic", "kind": "compaction_trigger", "value": {}},
        ),
        ({"type": ["odd"]}, {"type": "generic", "kind": "unknown", "value": {"type": ["odd"]}}),
        ("Hi.", {"type": "generic", "kind": "unknown", "value": "Hi."}),
        (None, {"type": "generic", "kind": "unknown", "value": None}),
    ],
)
def test_other_items_of_a_caller(item: Any, told: dict[str, Any]) -> None:
    assert asked(item) == [{"role": "user", "parts": [told]}]


@pytest.mark.parametrize("given", [None, 7, {"role": "user"}, [], iter(["Hi."])])
def test_input_that_is_none(given: Any) -> None:
    assert request_content({"input": given}) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Be brief.", [text("Be brief.")]),
        (
            [
                {"role": "developer", "content": "Be brief."},
                {
                    "type": "message",
                    "role": "developer",
                    "content": [
                        {"type": "input_text", "text": "Be kind."},
                        {"type": "input_image", "image_url": PNG_URL},
                    ],
                },
            ],
            [text("Be brief."), text("Be kind.")],
        ),
        (["Be brief."], []),
        ("", []),
        (7, []),
    ],
)
def test_instructions_are_text(given: Any, told: list[Any]) -> None:
    content = request_content({"instructions": given})
    assert content == ({SYSTEM_INSTRUCTIONS: told} if told else {})
    assert problems(content) == []


def test_variables_of_a_stored_prompt() -> None:
    variables = {
        "city": "Oslo",
        "order id": {"type": "input_text", "text": "A-7"},
        "photo": {"type": "input_image", "image_url": PNG_URL},
        "note": f"Look: {PNG_BASE64}",
        "count": 7,
    }
    content = request_content({"prompt": {"id": "pmpt_1", "version": "2", "variables": variables}})
    told = {name.removeprefix(f"{PROMPT_VARIABLE}."): value for name, value in content.items()}
    assert told == {
        "city": "Oslo",
        "order id": "A-7",
        "photo": json.dumps(
            {
                "type": "blob",
                "modality": "image",
                "content": "",
                "mime_type": "image/png",
                **PNG_MEASURES,
            },
            separators=(",", ":"),
        ),
        "note": f"Look: [binary data, 1024 bytes, {PNG_MEASURES['digest']}]",
        "count": '{"type":"generic","kind":"unknown","value":7}',
    }
    assert problems(content) == []


@pytest.mark.parametrize(
    "prompt",
    [
        None,
        7,
        {"id": "pmpt_1"},
        {"variables": None},
        {"variables": ["Oslo"]},
        {"variables": {"": "x", 7: "x", "\ud83d": "x", "a\nb": "x", "n" * 512: "x"}},
    ],
)
def test_a_prompt_without_variables_that_can_be_told(prompt: Any) -> None:
    assert request_content({"prompt": prompt}) == {}


def test_of_a_great_many_variables_the_first_are_told() -> None:
    content = request_content({"prompt": {"variables": {f"v{n}": "x" for n in range(1000)}}})
    assert list(content) == [f"{PROMPT_VARIABLE}.v{n}" for n in range(64)]


def test_tools_are_told_without_their_settings() -> None:
    find = {"type": "function", "name": "find", "description": "Finds.", "parameters": {}}
    mcp = {
        "type": "mcp",
        "server_label": "crm",
        "server_description": "Customers.",
        "server_url": "https://crm.example.com/?key=swordfish",
        "authorization": "swordfish",
        "headers": {"X-Key": "swordfish"},
    }
    given = [
        {**find, "strict": True},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation", "input_image_mask": {"image_url": PNG_URL}},
        {"type": "computer_use_preview", "display_width": 1},
        {"type": "local_shell"},
        mcp,
        {"type": "mcp"},
        {"type": "custom", "name": "sql", "description": "Asks.", "format": {"type": "text"}},
        {"type": "namespace", "name": "crm", "description": "All.", "tools": [find, mcp]},
    ]
    told_mcp = {"type": "mcp", "name": "crm", "description": "Customers."}
    whole = tool_definitions({"tools": given})
    assert {TOOL_DEFINITIONS: whole} == {
        TOOL_DEFINITIONS: [
            find,
            {"type": "web_search", "name": "web_search"},
            {"type": "file_search", "name": "file_search"},
            {"type": "code_interpreter", "name": "code_interpreter"},
            {"type": "image_generation", "name": "image_generation"},
            {"type": "computer_use_preview", "name": "computer_use_preview"},
            {"type": "local_shell", "name": "local_shell"},
            told_mcp,
            {"type": "mcp", "name": "mcp"},
            {"type": "custom", "name": "sql", "description": "Asks."},
            {"type": "namespace", "name": "crm", "description": "All.", "tools": [find, told_mcp]},
        ]
    }
    assert problems({TOOL_DEFINITIONS: whole}) == []
    content = request_content({"tools": given})
    assert content == {TOOL_DEFINITIONS: [{k: one[k] for k in ("type", "name")} for one in whole]}
    items = [
        {"type": "additional_tools", "role": "developer", "tools": [mcp]},
        {"type": "tool_search_output", "call_id": "call_1", "tools": [mcp]},
        {"type": "of_tomorrow", "servers": [{"mcp": mcp}]},
    ]
    assert "swordfish" not in json.dumps([asked(*items), answered(*items)])
    assert asked(items[0]) == [
        {
            "role": "developer",
            "parts": [
                {"type": "generic", "kind": "additional_tools", "value": {"tools": [told_mcp]}}
            ],
        }
    ]


# --- items, in requests and in responses ---------------------------------------------------------


def call(name: str, arguments: Any, id: str = "call_1") -> dict[str, Any]:  # noqa: A002
    """A part that asks for a tool of the caller's."""
    return {"type": "tool_call", "id": id, "name": name, "arguments": arguments}


def server_call(kind: str, id: str, **details: Any) -> dict[str, Any]:  # noqa: A002
    """A part that tells of a tool of the provider's."""
    return {
        "type": "server_tool_call",
        "id": id,
        "name": kind,
        "server_tool_call": {"type": kind, **details},
    }


def server_result(kind: str, id: str, **details: Any) -> dict[str, Any]:  # noqa: A002
    """A part that tells what a tool of the provider's answered."""
    return {
        "type": "server_tool_call_response",
        "id": id,
        "server_tool_call_response": {"type": kind, **details},
    }


SEARCH = {"type": "search", "query": "parcel", "sources": [{"type": "url", "url": "https://a.b"}]}
ITEMS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    (MESSAGE, [text("Hi.")]),
    (
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "No."}],
        },
        [text("No.")],
    ),
    (
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Short."}],
            "content": [{"type": "reasoning_text", "text": "Long."}],
            "encrypted_content": PNG_BASE64,
        },
        [{"type": "reasoning", "content": "Short."}, {"type": "reasoning", "content": "Long."}],
    ),
    (  # LiteLLM's
        {
            "type": "reasoning",
            "id": "rs_1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Long.", "annotations": []}],
        },
        [{"type": "reasoning", "content": "Long."}],
    ),
    (
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "find",
            "arguments": '{"parcel": 7}',
        },
        [call("find", {"parcel": 7})],
    ),
    (
        {"type": "function_call", "id": "fc_1", "name": "find", "arguments": '{"parcel'},
        [call("find", '{"parcel', "fc_1")],
    ),
    (
        {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "SELECT"},
        [call("sql", {"input": "SELECT"})],
    ),
    (
        {
            "type": "computer_call",
            "id": "cu_1",
            "call_id": "call_1",
            "action": {"type": "click", "x": 1, "y": 2, "button": "left"},
            "pending_safety_checks": [],
            "status": "completed",
        },
        [call("computer", {"action": {"type": "click", "x": 1, "y": 2, "button": "left"}})],
    ),
    (
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "call_1",
            "action": {"type": "exec", "command": ["ls"], "env": {}},
            "status": "completed",
        },
        [call("local_shell", {"action": {"type": "exec", "command": ["ls"], "env": {}}})],
    ),
    (
        {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls"]}},
        [call("shell", {"action": {"commands": ["ls"]}})],
    ),
    (
        {
            "type": "apply_patch_call",
            "call_id": "call_1",
            "operation": {"type": "delete_file", "path": "a"},
            "status": "completed",
        },
        [call("apply_patch", {"operation": {"type": "delete_file", "path": "a"}})],
    ),
    (
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": SEARCH},
        [server_call("web_search", "ws_1", action=SEARCH, status="completed")],
    ),
    (
        {
            "type": "file_search_call",
            "id": "fs_1",
            "status": "completed",
            "queries": ["parcel"],
            "results": [{"file_id": "file-1", "text": "Paris", "score": 0.5}],
        },
        [
            server_call("file_search", "fs_1", queries=["parcel"], status="completed"),
            server_result(
                "file_search",
                "fs_1",
                results=[{"file_id": "file-1", "text": "Paris", "score": 0.5}],
            ),
        ],
    ),
    (
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "code": "1 + 1",
            "container_id": "cntr_1",
            "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": PNG_URL}],
        },
        [
            server_call(
                "code_interpreter",
                "ci_1",
                code="1 + 1",
                container_id="cntr_1",
                status="completed",
            ),
            server_result(
                "code_interpreter",
                "ci_1",
                outputs=[
                    {"type": "logs", "logs": "2"},
                    {
                        "type": "image",
                        "url": f"[image/png, 1024 bytes, {PNG_MEASURES['digest']}]",
                    },
                ],
            ),
        ],
    ),
    (
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "completed",
            "result": PNG_BASE64,
            "output_format": "png",
            "revised_prompt": "A cat.",
        },
        [
            server_call(
                "image_generation",
                "ig_1",
                output_format="png",
                revised_prompt="A cat.",
                status="completed",
            ),
            SHOT,
        ],
    ),
    (
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "failed",
            "result": None,
            "error": {"type": "policy", "message": "No."},
        },
        [
            server_call("image_generation", "ig_1", status="failed"),
            server_result("image_generation", "ig_1", error={"type": "policy", "message": "No."}),
        ],
    ),
    (
        {"type": "image_generation_call", "id": "ig_1", "result": PNG_BASE64},
        [server_call("image_generation", "ig_1"), {**BLOB, "modality": "image"}],
    ),
    (
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "crm",
            "name": "find",
            "arguments": '{"parcel": 7}',
            "output": "Paris",
        },
        [
            {
                "type": "server_tool_call",
                "id": "mcp_1",
                "name": "find",
                "server_tool_call": {
                    "type": "mcp",
                    "server_label": "crm",
                    "name": "find",
                    "arguments": {"parcel": 7},
                },
            },
            server_result("mcp", "mcp_1", output="Paris"),
        ],
    ),
    (
        {"type": "mcp_call", "id": "mcp_1", "error": {"type": "http_error", "code": 404}},
        [
            server_call("mcp", "mcp_1"),
            server_result("mcp", "mcp_1", error={"type": "http_error", "code": 404}),
        ],
    ),
    (
        {
            "type": "mcp_list_tools",
            "id": "mcpl_1",
            "server_label": "crm",
            "tools": [{"name": "find", "input_schema": {"type": "object"}}],
        },
        [
            server_call("mcp_list_tools", "mcpl_1", server_label="crm"),
            server_result(
                "mcp_list_tools",
                "mcpl_1",
                tools=[{"name": "find", "input_schema": {"type": "object"}}],
            ),
        ],
    ),
    (
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "find", "arguments": "{}"},
        [
            {
                "type": "generic",
                "kind": "mcp_approval_request",
                "value": {"id": "mcpr_1", "name": "find", "arguments": "{}"},
            }
        ],
    ),
    (
        {
            "type": "tool_search_call",
            "id": "tsc_1",
            "execution": "server",
            "arguments": {"query": "parcel"},
        },
        [server_call("tool_search", "tsc_1", arguments={"query": "parcel"})],
    ),
    (
        {
            "type": "tool_search_call",
            "call_id": "call_1",
            "execution": "client",
            "arguments": {"query": "parcel"},
        },
        [call("tool_search", {"query": "parcel"})],
    ),
    (
        {"type": "program", "id": "prg_1", "call_id": "call_1", "code": "1", "fingerprint": "x"},
        [server_call("program", "call_1", code="1")],
    ),
    (
        {"type": "compaction", "id": "cmp_1", "encrypted_content": PNG_BASE64},
        [{"type": "compaction", "id": "cmp_1"}],
    ),
    (
        {"type": "of_tomorrow_call", "id": "x_1", "encrypted_content": PNG_BASE64, "n": 1},
        [{"type": "generic", "kind": "of_tomorrow_call", "value": {"id": "x_1", "n": 1}}],
    ),
]


@pytest.mark.parametrize(("item", "parts"), ITEMS)
def test_items_of_the_model(item: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    assert answered(item)["parts"] == parts
    assert asked(item) == [{"role": "assistant", "parts": parts}]


def test_all_items_of_an_answer_are_one_message() -> None:
    told = answered(*[item for item, _ in ITEMS])
    assert told["role"] == "assistant"
    assert told["parts"] == [part for _, parts in ITEMS for part in parts]


OUTPUTS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "function_call_output", "call_id": "call_1", "output": "Paris"}, "Paris"),
    ({"type": "custom_tool_call_output", "call_id": "call_1", "output": "1 row"}, "1 row"),
    (
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [
                {"type": "input_text", "text": "Paris"},
                {"type": "input_image", "image_url": PNG_URL},
                {"type": "input_file", "file_id": "file-1"},
            ],
        },
        [text("Paris"), SHOT, {"type": "file", "modality": "document", "file_id": "file-1"}],
    ),
    (
        {
            "type": "computer_call_output",
            "call_id": "call_1",
            "output": {"type": "computer_screenshot", "image_url": PNG_URL},
        },
        SHOT,
    ),
    ({"type": "local_shell_call_output", "id": "call_1", "output": "a\nb"}, "a\nb"),
    (
        {
            "type": "shell_call_output",
            "call_id": "call_1",
            "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
    ),
    (
        {"type": "apply_patch_call_output", "call_id": "call_1", "status": "completed"},
        {"status": "completed"},
    ),
    (
        {
            "type": "tool_search_output",
            "call_id": "call_1",
            "execution": "client",
            "tools": [{"type": "web_search"}],
        },
        [{"type": "web_search", "name": "web_search"}],
    ),
]


@pytest.mark.parametrize(("item", "response"), OUTPUTS)
def test_what_tools_of_the_caller_answered(item: dict[str, Any], response: Any) -> None:
    part = {"type": "tool_call_response", "id": "call_1", "response": response}
    assert asked(item) == [{"role": "tool", "parts": [part]}]
    assert answered(item)["parts"] == [part]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "tool_search_output", "call_id": "c_1", "tools": [{"type": "web_search"}]},
            server_result(
                "tool_search", "c_1", tools=[{"type": "web_search", "name": "web_search"}]
            ),
        ),
        (
            {"type": "program_output", "call_id": "c_1", "result": "2", "status": "completed"},
            server_result("program", "c_1", result="2", status="completed"),
        ),
    ],
)
def test_what_tools_of_the_provider_answered(item: dict[str, Any], part: dict[str, Any]) -> None:
    assert asked(item) == [{"role": "assistant", "parts": [part]}]
    assert answered(item)["parts"] == [part]


# --- responses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "more", "reason"),
    [
        ("completed", {}, "stop"),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ("failed", {}, "error"),
        ("cancelled", {}, "error"),
        ("in_progress", {}, "error"),
        (None, {}, "error"),
    ],
)
def test_why_an_answer_ended(status: str | None, more: dict[str, Any], reason: str) -> None:
    assert answered(MESSAGE, status=status, **more)["finish_reason"] == reason


@pytest.mark.parametrize(
    ("status", "told"),
    [("completed", "stop"), ("failed", "error"), ("cancelled", "error"), ("queued", None)],
)
def test_why_the_model_stopped(status: str, told: str | None) -> None:
    found = responses.response_attributes({"status": status, "output": []})
    assert found.get("gen_ai.response.finish_reasons") == (None if told is None else (told,))


@pytest.mark.parametrize("output", [None, [], 7, "Hi.", {}])
def test_a_response_without_output_says_nothing(output: Any) -> None:
    assert response_content({"status": "queued", "output": output}) == {}


@pytest.mark.parametrize("response", [None, 7, "Hi.", []])
def test_what_is_no_response_says_nothing(response: Any) -> None:
    assert response_content(response) == fetched_response_content(response) == {}


def test_a_compacted_history() -> None:
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": PNG_BASE64}
    response = {"object": "response.compaction", "output": [asked, MESSAGE, compaction]}
    content = compacted_content(response)
    assert content == compacted_content(parse_json(json.dumps(response)))
    assert content == {
        OUTPUT_MESSAGES: [
            {"role": "user", "parts": [text("Hi.")], "finish_reason": "stop"},
            {
                "role": "assistant",
                "parts": [text("Hi."), {"type": "compaction", "id": "cmp_1"}],
                "finish_reason": "stop",
            },
        ]
    }
    assert problems(content) == []


@pytest.mark.parametrize("response", [None, 7, {}, {"output": None}, {"output": []}])
def test_a_compaction_without_output_says_nothing(response: Any) -> None:
    assert compacted_content(response) == {}


def test_a_stored_response_repeats_instructions_and_tools() -> None:
    response = {
        "status": "completed",
        "output": [MESSAGE],
        "instructions": "Be brief.",
        "tools": [{"type": "web_search"}],
    }
    content = fetched_response_content(parse_json(json.dumps(response)))
    assert content == {
        OUTPUT_MESSAGES: [{"role": "assistant", "parts": [text("Hi.")], "finish_reason": "stop"}],
        SYSTEM_INSTRUCTIONS: [text("Be brief.")],
        TOOL_DEFINITIONS: [{"type": "web_search", "name": "web_search"}],
    }
    assert problems(content) == []
    ((_, fetch),) = WITH_IDS["get", "responses"]
    assert fetch.read_request_content({"response_id": "resp_1"}) == {}


# --- streams -------------------------------------------------------------------------------------


def read_stream(events: list[Any], reader: ContentStreamReader | None = None) -> dict[str, Any]:
    """What is read from a stream."""
    reader = reader or ContentStreamReader()
    for event in events:
        reader.feed(parse_json(json.dumps(event)))
    content = reader.content()
    assert problems(content, ("tool_arguments_string",)) == []
    return content


def streamed(*events: dict[str, Any]) -> dict[str, Any]:
    """The message that is read from a stream."""
    (told,) = read_stream(list(events))[OUTPUT_MESSAGES]
    return told  # type: ignore[no-any-return]


def delta(kind: str, delta: str, index: int | None = 0, **more: Any) -> dict[str, Any]:
    """A piece of an item."""
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": delta, **more}


def added(index: int | None, **item: Any) -> dict[str, Any]:
    """The begin of an item."""
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int | None, **item: Any) -> dict[str, Any]:
    """The end of an item."""
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def test_the_last_event_says_it_all() -> None:
    last = RESPONSE_EVENTS[-1]["response"]
    assert read_stream(RESPONSE_EVENTS) == response_content(last)
    assert read_stream(RESPONSE_EVENTS[-1:]) == response_content(last)


@responses_api
def test_a_stream_of_models_says_the_same() -> None:
    from openai._models import construct_type  # noqa: PLC0415
    from openai.types.responses import ResponseStreamEvent  # noqa: PLC0415

    for count in range(len(RESPONSE_EVENTS) + 1):
        reader = ContentStreamReader()
        plain = responses.StreamReader()
        for event in RESPONSE_EVENTS[:count]:
            model = construct_type(type_=ResponseStreamEvent, value=event)
            reader.feed(model)
            plain.feed(model)
        assert reader.content() == read_stream(RESPONSE_EVENTS[:count])
        assert reader.attributes() == plain.attributes()


def test_a_stream_that_is_left_says_what_came() -> None:
    told = streamed(*RESPONSE_EVENTS[:10])
    assert told == {
        "role": "assistant",
        "parts": [
            *response_content({"output": [RESPONSE_EVENTS[7]["item"]]})[OUTPUT_MESSAGES][0][
                "parts"
            ],
            {
                "type": "tool_call",
                "id": "call_1",
                "name": "LookUp",
                "arguments": json.loads(RESPONSE_EVENTS[9]["delta"]),
            },
        ],
        "finish_reason": "error",
    }


def test_items_come_in_pieces() -> None:
    told = streamed(
        {"type": "response.created", "response": {"status": "in_progress", "output": []}},
        added(0, type="reasoning", id="rs_1", summary=[]),
        delta("reasoning_summary_text", "Sho", summary_index=0),
        delta("reasoning_summary_text", "rt.", summary_index=0),
        delta("reasoning_summary_text", "Second.", summary_index=1),
        delta("reasoning_text", "Long.", content_index=0),
        added(1, type="message", role="assistant", content=[]),
        delta("output_text", "H", 1, content_index=0),
        delta("output_text", "i.", 1, content_index=0),
        delta("refusal", "No", 1, content_index=1),
        delta("refusal", ".", 1, content_index=1),
        added(2, type="function_call", call_id="call_1", name="find", arguments=""),
        delta("function_call_arguments", '{"parcel"', 2, item_id="fc_1"),
        delta("function_call_arguments", ": 7}", 2, item_id="fc_1"),
        added(3, type="custom_tool_call", call_id="call_2", name="sql", input=""),
        delta("custom_tool_call_input", "SELECT", 3, item_id="ctc_1"),
        added(4, type="mcp_call", id="mcp_1", server_label="crm", name="find", arguments=""),
        delta("mcp_call_arguments", "{}", 4, item_id="mcp_1"),
        added(5, type="code_interpreter_call", id="ci_1", code=""),
        delta("code_interpreter_call_code", "1 + 1", 5, item_id="ci_1"),
        added(6, type="web_search_call", id="ws_1", status="in_progress"),
        done(7, type="compaction", id="cmp_1", encrypted_content=PNG_BASE64),
    )
    assert told["parts"] == [
        {"type": "reasoning", "content": "Short."},
        {"type": "reasoning", "content": "Second."},
        {"type": "reasoning", "content": "Long."},
        text("Hi."),
        text("No."),
        call("find", {"parcel": 7}),
        call("sql", {"input": "SELECT"}, "call_2"),
        {
            "type": "server_tool_call",
            "id": "mcp_1",
            "name": "find",
            "server_tool_call": {
                "type": "mcp",
                "server_label": "crm",
                "name": "find",
                "arguments": {},
            },
        },
        server_call("code_interpreter", "ci_1", code="1 + 1"),
        server_call("web_search", "ws_1", status="in_progress"),
        {"type": "compaction", "id": "cmp_1"},
    ]


@pytest.mark.parametrize("index", [0, None])
def test_items_that_share_an_index(index: Any) -> None:
    one = {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": "{}"}
    other = {**one, "call_id": "call_2"}
    told = streamed(
        done(index, **MESSAGE),
        added(index, **one),
        delta("function_call_arguments", "{}", index),
        done(index, **one),
        done(index, **one),
        added(index, **{**other, "arguments": ""}),
        delta("function_call_arguments", '{"parcel": 7}', index),
    )
    assert told["parts"] == [
        text("Hi."),
        call("find", {}),
        call("find", {"parcel": 7}, "call_2"),
    ]


def test_a_last_event_without_the_items_of_the_response() -> None:
    one = {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": "{}"}
    last = {"id": "r", "status": "completed", "output": []}
    for reader in (responses.StreamReader(), ContentStreamReader()):
        for event in (done(0, **one), {"type": "response.completed", "response": last}):
            reader.feed(parse_json(json.dumps(event)))
        assert reader.attributes()["gen_ai.response.finish_reasons"] == ("tool_calls",)
    told = streamed(done(0, **one), {"type": "response.completed", "response": last})
    assert told["finish_reason"] == "tool_call"


def test_pieces_of_which_no_item_was_announced() -> None:
    assert streamed(
        delta("output_text", "Hi.", 1, content_index=0),
        delta("reasoning_summary_text", "Hm.", 0, summary_index=0),
        delta("function_call_arguments", "{}", 2),
    )["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        text("Hi."),
        {"type": "tool_call", "name": "", "arguments": {}},
    ]


@pytest.mark.parametrize("output", [[], None])
@pytest.mark.parametrize(("status", "reason"), [("failed", "error"), ("completed", "stop")])
def test_a_last_event_that_says_nothing(output: Any, status: str, reason: str) -> None:
    told = streamed(
        delta("output_text", "Hi.", content_index=0),
        {"type": f"response.{status}", "response": {"status": status, "output": output}},
    )
    assert told == {"role": "assistant", "parts": [text("Hi.")], "finish_reason": reason}


def test_a_stream_that_fails_says_what_came() -> None:
    reader = ContentStreamReader()
    events = [
        delta("output_text", "Hi.", content_index=0),
        {"type": "error", "code": "server_error", "message": "No."},
    ]
    assert read_stream(events, reader)[OUTPUT_MESSAGES][0]["parts"] == [text("Hi.")]
    assert reader.attributes() == {
        "error.type": "server_error",
        "gen_ai.response.finish_reasons": ("error",),
    }


def test_a_stream_without_an_event_says_nothing() -> None:
    assert read_stream([]) == {}
    assert read_stream(RESPONSE_EVENTS[:2]) == {}


def test_the_stream_of_a_stored_response_repeats_instructions_and_tools() -> None:
    stored = {"instructions": "Be brief.", "tools": [{"type": "web_search"}], "id": "resp_1"}
    begun = {**stored, "status": "in_progress", "output": []}
    ended = {**stored, "status": "completed", "output": [MESSAGE]}
    events: list[Any] = [
        {"type": "response.created", "response": begun},
        {"type": "response.completed", "response": ended},
    ]
    reader = FetchedContentStreamReader()
    assert read_stream(events, reader) == fetched_response_content(ended)
    assert reader.attributes() == responses.fetched_response_attributes(ended)
    assert read_stream(events[:1], FetchedContentStreamReader()) == {
        SYSTEM_INSTRUCTIONS: [text("Be brief.")],
        TOOL_DEFINITIONS: [{"type": "web_search", "name": "web_search"}],
    }


# --- whatever comes ------------------------------------------------------------------------------

_kinds = st.sampled_from(
    [*(item["type"] for item, _ in ITEMS + OUTPUTS), "item_reference", "additional_tools"]
)
#: Items that are something like what their type says.
_items = st.one_of(
    anything,
    st.builds(
        lambda item, kind: {**item, "type": kind}, st.dictionaries(st.text(), anything), _kinds
    ),
    st.sampled_from([item for item, _ in ITEMS + OUTPUTS]).flatmap(
        lambda item: st.builds(
            lambda key, value: {**item, key: value}, st.sampled_from([*item]), anything
        )
    ),
)


@given(st.one_of(anything, st.lists(_items, max_size=4)), anything)
def test_any_request_gives_content_that_is_right(given: Any, more: Any) -> None:
    content = request_content({"input": given, "instructions": more, "tools": more})
    assert problems(content, ("tool_arguments_string",)) == []
    content = request_content({"input": [given], "instructions": [more], "tools": [more]})
    assert problems(content, ("tool_arguments_string",)) == []


@given(st.one_of(anything, st.lists(_items, max_size=4)), anything)
def test_any_response_gives_content_that_is_right(output: Any, more: Any) -> None:
    for response in (
        more,
        {"output": output, "status": more, "instructions": more},
        {"output": output, "status": "incomplete", "incomplete_details": more, "tools": more},
        {"output": [{"type": "message", "content": more}], "status": "completed"},
    ):
        allowed = ("tool_arguments_string",)
        assert problems(fetched_response_content(response), allowed) == []
        with contextlib.suppress(ImportError):
            from openai._models import construct_type  # noqa: PLC0415
            from openai.types.responses import Response  # noqa: PLC0415

            model = construct_type(type_=Response, value=response)
            assert problems(fetched_response_content(model), allowed) == []


_events = st.builds(
    lambda event, more: {**event, **more},
    st.sampled_from(RESPONSE_EVENTS),
    st.dictionaries(
        st.sampled_from(["output_index", "content_index", "delta", "item", "response"]), anything
    ),
)


@given(st.lists(_events, max_size=6))
def test_any_stream_gives_content_that_is_right(events: list[Any]) -> None:
    reader = FetchedContentStreamReader()
    for event in events:
        with contextlib.suppress(AttributeError, KeyError, TypeError):  # those are reported
            reader.feed(parse_json(json.dumps(event)))
    assert problems(reader.content(), ("tool_arguments_string",)) == []


@pytest.mark.one_in(3)
@pytest.mark.parametrize("item", [item for item, _ in ITEMS + OUTPUTS])
def test_an_item_with_anything_spoilt_gives_content_that_is_right(item: dict[str, Any]) -> None:
    for place in places(item):
        for spoilt in (
            without(item, place),
            *(replaced(item, place, wrong) for wrong in (None, 7, "x", [], {}, [7], PNG_BASE64)),
        ):
            content = {
                **request_content({"input": [spoilt]}),
                **response_content({"output": [spoilt]}),
            }
            assert problems(content, ("tool_arguments_string",)) == []


def test_an_answer_with_anything_spoilt_gives_content_that_is_right() -> None:
    for place in places(RESPONSE):
        for wrong in (None, 7, "x", [], {}, [7], PNG_BASE64):
            content = fetched_response_content(replaced(RESPONSE, place, wrong))
            assert problems(content, ("tool_arguments_string",)) == []
