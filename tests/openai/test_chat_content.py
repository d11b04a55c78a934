"""What is said in chat completions, in the conventions' form."""

from __future__ import annotations

import base64
import contextlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.content_rules import PNG, PNG_BASE64, PNG_MEASURES, PNG_URL, anything, problems
from support.json_places import places, replaced, without
from support.openai_answers import CHAT, CHAT_CHUNKS

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_DEFINITIONS
from orq_otel.payloads import chat

LONG_TEXT = "The parcel is on its way. " * 40
BLOB = {"type": "blob", "content": "", **PNG_MEASURES}


def asked(*messages: Any) -> list[Any]:
    """What is read from the messages of a request."""
    content = chat.request_content({"model": "m", "messages": list(messages)})
    assert problems(content, ("tool_arguments_string",)) == []
    return content[INPUT_MESSAGES]


def parts_of(message: dict[str, Any]) -> list[Any]:
    """The parts of the message that is read from one."""
    (told,) = asked(message)
    parts: list[Any] = told["parts"]
    return parts


def answered(message: Any, reason: Any = "stop") -> dict[str, Any]:
    """The message that is read from a choice, which a model, a namespace and a dict give alike."""
    choice = {"index": 0, "message": message, "finish_reason": reason}
    completion = {"id": "chatcmpl-1", "choices": [choice]}
    content = chat.response_content(construct_type(type_=ChatCompletion, value=completion))
    assert content == chat.response_content(parse_json(json.dumps(completion)))
    assert content == chat.response_content(completion)
    assert problems(content, ("tool_arguments_string",)) == []
    (told,) = content[OUTPUT_MESSAGES]
    return told  # type: ignore[no-any-return]


def streamed(*deltas: Any, reason: str | None = "stop") -> dict[str, Any]:
    """The message that is read from a stream, of models and of namespaces alike."""
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    content = read_stream(chunks)
    (told,) = content[OUTPUT_MESSAGES]
    return told  # type: ignore[no-any-return]


def read_stream(chunks: list[Any]) -> dict[str, list[Any]]:
    """What is read from a stream, of models and of namespaces alike."""
    told = []
    for chunk_of in (
        lambda chunk: construct_type(type_=ChatCompletionChunk, value=chunk),
        lambda chunk: parse_json(json.dumps(chunk)),
    ):
        reader = chat.ContentStreamReader()
        for chunk in chunks:
            reader.feed(chunk_of(chunk))
        told.append(reader.content())
        assert problems(told[-1], ("tool_arguments_string",)) == []
    assert told[0] == told[1]
    return told[0]


# --- messages of a request -----------------------------------------------------------------------


def test_messages_of_text() -> None:
    assert asked(
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where is my parcel?"},
        {"role": "assistant", "content": "On its way."},
        {"role": "user", "content": LONG_TEXT, "name": "ann"},
    ) == [
        {"role": "developer", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "On its way."}]},
        {"role": "user", "parts": [{"type": "text", "content": LONG_TEXT}], "name": "ann"},
    ]


def test_empty_text_is_no_part() -> None:
    assert asked({"role": "user", "content": ""}) == [{"role": "user", "parts": []}]


def test_base64_in_a_plain_text_is_told() -> None:
    (part,) = parts_of({"role": "user", "content": f"What is {PNG_URL}?"})
    assert part["content"] == f"What is [image/png, 1024 bytes, {PNG_MEASURES['digest']}]?"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "text", "text": "Hi."}, {"type": "text", "content": "Hi."}),
        ({"type": "refusal", "refusal": "No."}, {"type": "text", "content": "No."}),
        ("Hi.", {"type": "text", "content": "Hi."}),
        (
            {"type": "image_url", "image_url": {"url": "https://a.b/c.png", "detail": "low"}},
            {"type": "uri", "modality": "image", "uri": "https://a.b/c.png"},
        ),
        (
            {"type": "image_url", "image_url": "https://a.b/c.png"},
            {"type": "uri", "modality": "image", "uri": "https://a.b/c.png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": PNG_URL}},
            {**BLOB, "modality": "image", "mime_type": "image/png"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG_BASE64, "format": "mp3"}},
            {**BLOB, "modality": "audio", "mime_type": "audio/mpeg"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG_BASE64, "format": "wav"}},
            {**BLOB, "modality": "audio", "mime_type": "audio/wav"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG_BASE64}},
            {**BLOB, "modality": "audio"},
        ),
        (
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "file", "modality": "document", "file_id": "file-1"},
        ),
        (
            {"type": "file", "file": {"file_data": PNG_BASE64, "filename": "a.pdf"}},
            {**BLOB, "modality": "document"},
        ),
        (
            {
                "type": "file",
                "file": {"file_data": f"data:application/pdf;base64,{PNG_BASE64}"},
            },
            {**BLOB, "modality": "document", "mime_type": "application/pdf"},
        ),
        (
            {"type": "file", "file": {"file_data": PNG_URL}},
            {**BLOB, "modality": "image", "mime_type": "image/png"},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://a.b/c.mp4"}},
            {"type": "uri", "modality": "video", "uri": "https://a.b/c.mp4"},
        ),
        (
            {"type": "audio_url", "audio_url": {"url": "https://a.b/c.mp3"}},
            {"type": "uri", "modality": "audio", "uri": "https://a.b/c.mp3"},
        ),
        (
            {"type": "document_url", "document_url": "https://a.b/c.pdf"},
            {"type": "uri", "modality": "document", "uri": "https://a.b/c.pdf"},
        ),
        (
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "reasoning", "content": "Hm."},
        ),
        ({"type": "thinking", "thinking": "Hm."}, {"type": "reasoning", "content": "Hm."}),
    ],
)
def test_parts_of_a_message(part: Any, told: dict[str, Any]) -> None:
    assert parts_of({"role": "user", "content": [part]}) == [told]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "hologram", "size": 3, "data": {"of": PNG_BASE64, "type": "x"}},
        {"type": "text", "text": None},
        {"type": "refusal"},
        {"type": "image_url", "image_url": {"url": 7}},
        {"type": "input_audio", "input_audio": PNG_BASE64},
        {"type": "file", "file": {}},
        {"type": "thinking", "thinking": 7},
        {"type": ["text"]},
        {"text": "no type"},
        {},
        7,
        None,
        [],
    ],
)
def test_parts_that_are_not_known_or_not_right_are_generic(part: Any) -> None:
    (told,) = parts_of({"role": "user", "content": [part]})
    assert told["type"] == "generic"
    kind = part.get("type") if isinstance(part, dict) else None
    assert told["kind"] == (kind if isinstance(kind, str) else "unknown")


def test_secrets_of_parts_that_are_not_known_stay_secret() -> None:
    part = {"type": "x", "tools": [{"type": "mcp", "authorization": "a", "headers": {"b": "c"}}]}
    (told,) = parts_of({"role": "user", "content": [part]})
    assert told == {"type": "generic", "kind": "x", "value": {"tools": [{"type": "mcp"}]}}


def test_calls_of_tools_and_their_results() -> None:
    assert asked(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "find", "arguments": '{"parcel": 7}'},
                },
                {"id": "call_2", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}},
                {"id": "call_3", "type": "function", "function": {"name": "now"}},
                {"id": "call_4", "type": "oracle"},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Paris"},
        {
            "role": "tool",
            "tool_call_id": "call_2",
            "content": [
                {"type": "text", "text": "1 row"},
                {"type": "image_url", "image_url": {"url": PNG_URL}},
            ],
        },
        {"role": "tool", "content": PNG_BASE64},
        {
            "role": "assistant",
            "function_call": {"name": "find", "arguments": '{"parcel": '},
        },
        {"role": "function", "name": "find", "content": "Paris"},
    ) == [
        {
            "role": "assistant",
            "parts": [
                {
                    "type": "tool_call",
                    "id": "call_1",
                    "name": "find",
                    "arguments": {"parcel": 7},
                },
                {
                    "type": "tool_call",
                    "id": "call_2",
                    "name": "sql",
                    "arguments": {"input": "SELECT"},
                },
                {"type": "tool_call", "id": "call_3", "name": "now"},
                {"type": "generic", "kind": "oracle", "value": {"id": "call_4"}},
            ],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1", "response": "Paris"}],
        },
        {
            "role": "tool",
            "parts": [
                {
                    "type": "tool_call_response",
                    "id": "call_2",
                    "response": [
                        {"type": "text", "content": "1 row"},
                        {**BLOB, "modality": "image", "mime_type": "image/png"},
                    ],
                }
            ],
        },
        {
            "role": "tool",
            "parts": [
                {
                    "type": "tool_call_response",
                    "response": f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]",
                }
            ],
        },
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "name": "find", "arguments": '{"parcel": '}],
        },
        {
            "role": "function",
            "parts": [{"type": "tool_call_response", "response": "Paris"}],
            "name": "find",
        },
    ]


def test_what_an_assistant_says_beside_its_content() -> None:
    assert parts_of(
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Hi."}],
            "refusal": "No.",
            "reasoning_content": "Hm.",
            "audio": {"id": "audio_1"},
        }
    ) == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Hi."},
        {"type": "text", "content": "No."},
        {"type": "file", "modality": "audio", "file_id": "audio_1"},
    ]


def test_a_message_may_be_a_model_of_the_client() -> None:
    completion: Any = construct_type(type_=ChatCompletion, value=CHAT)
    (told,) = chat.request_content({"messages": (completion.choices[0].message,)})[INPUT_MESSAGES]
    assert told == {
        key: value
        for key, value in chat.response_content(CHAT)[OUTPUT_MESSAGES][0].items()
        if key != "finish_reason"
    }


@pytest.mark.parametrize("messages", [None, "Hi.", 7, {"role": "user"}, [], iter(["Hi."])])
def test_messages_that_are_no_list_are_none(messages: Any) -> None:
    assert chat.request_content({"messages": messages}) == {}


def test_an_iterator_is_not_used_up() -> None:
    messages = iter([{"role": "user", "content": "Hi."}])
    chat.request_content({"messages": messages})
    assert list(messages) == [{"role": "user", "content": "Hi."}]


def test_messages_that_are_none_are_generic() -> None:
    told = asked("Hi.", 7, None, {}, {"role": ["user"], "content": "Hi."})
    assert [one["role"] for one in told] == ["user"] * 5
    assert [part["type"] for one in told for part in one["parts"]] == ["generic"] * 4 + ["text"]


# --- tools of a request --------------------------------------------------------------------------


def test_tools_are_told_flat() -> None:
    schema = {"type": "object", "properties": {"parcel": {"type": "integer"}}}
    find = {"name": "find", "description": "Finds parcels.", "parameters": schema}
    told = {"type": "function", **find}
    given: dict[str, Any] = {
        "tools": [
            {"type": "function", "function": {**find, "strict": True}},
            {"type": "function", "function": {"name": "now"}},
            {"function": find},
            {"type": "function", **find},
            {
                "type": "custom",
                "custom": {"name": "sql", "description": "Asks.", "format": {"type": "text"}},
            },
            {"type": "web_search", "filters": {}},
            {"type": "mcp", "server_label": "crm", "authorization": "swordfish"},
            {"type": "function", "function": None},
            "find",
        ],
        "functions": [find],
    }
    whole = chat.tool_definitions(given)
    assert whole == [
        told,
        {"type": "function", "name": "now"},
        told,
        told,
        {"type": "custom", "name": "sql", "description": "Asks."},
        {"type": "web_search", "name": "web_search"},
        {"type": "mcp", "name": "crm"},
        {"type": "function", "name": ""},
        {"type": "unknown", "name": "unknown"},
        told,
    ]
    assert problems({TOOL_DEFINITIONS: whole}) == []
    content = chat.request_content(given)
    assert content == {TOOL_DEFINITIONS: [{k: one[k] for k in ("type", "name")} for one in whole]}
    assert problems(content) == []


# --- responses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"role": "assistant", "content": "Hi."}, [{"type": "text", "content": "Hi."}]),
        ({"role": "assistant", "content": None}, []),
        (None, []),
        (
            {"role": "assistant", "content": None, "refusal": "No."},
            [{"type": "text", "content": "No."}],
        ),
        (
            {"role": "assistant", "content": "Hi.", "reasoning_content": "Hm."},
            [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Hi."}],
        ),
        (
            {"role": "assistant", "content": "", "reasoning": "Hm.", "reasoning_content": "Hm."},
            [{"type": "reasoning", "content": "Hm."}],
        ),
        (
            {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi."}]},
            [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Hi."}],
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "audio": {
                    "id": "audio_1",
                    "data": PNG_BASE64,
                    "expires_at": 1,
                    "transcript": "Hi.",
                },
            },
            [{"type": "text", "content": "Hi."}, {**BLOB, "modality": "audio"}],
        ),
        (
            {
                "role": "assistant",
                "content": "A cat.",
                "images": [{"type": "image_url", "image_url": {"url": PNG_URL}}],
            },
            [
                {"type": "text", "content": "A cat."},
                {**BLOB, "modality": "image", "mime_type": "image/png"},
            ],
        ),
        ({"content": {"odd": 1}}, [{"type": "generic", "kind": "content", "value": {"odd": 1}}]),
    ],
)
def test_messages_of_an_answer(message: Any, parts: list[Any]) -> None:
    assert answered(message) == {"role": "assistant", "parts": parts, "finish_reason": "stop"}


def test_each_choice_is_a_message() -> None:
    content = chat.response_content(CHAT)
    assert problems(content) == []
    assert [one["finish_reason"] for one in content[OUTPUT_MESSAGES]] == [
        choice["finish_reason"].replace("tool_calls", "tool_call") for choice in CHAT["choices"]
    ]


@pytest.mark.parametrize("reason", [None, 7, ["stop"]])
def test_a_choice_without_a_reason_is_broken(reason: Any) -> None:
    assert answered({"content": "Hi."}, reason)["finish_reason"] == "error"


@pytest.mark.parametrize("response", [None, 7, "Hi.", {}, {"choices": None}, {"choices": "Hi."}])
def test_an_answer_without_choices_says_nothing(response: Any) -> None:
    assert chat.response_content(response) == {}
    assert chat.response_content(SimpleNamespace(choices=response)) == {}


# --- streams -------------------------------------------------------------------------------------


def test_pieces_of_text_are_one_text() -> None:
    assert streamed({"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": "."}) == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "Hi."}],
        "finish_reason": "stop",
    }


def test_pieces_of_thoughts_and_refusals() -> None:
    assert streamed(
        {"role": "assistant", "content": None, "reasoning_content": "H"},
        {"role": "assistant", "reasoning_content": "m.", "reasoning": "m."},
        {"content": "Hi."},
        {"content": None, "refusal": "N"},
        {"refusal": "o."},
    )["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Hi."},
        {"type": "text", "content": "No."},
    ]


def test_a_piece_of_text_and_one_of_a_thought_in_one_chunk() -> None:
    assert streamed({"content": "Hi", "reasoning_content": "Hm."}, {"content": "."})["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Hi."},
    ]


def test_pieces_of_tool_calls() -> None:
    def call(index: int | None, **more: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **more}]}

    told = streamed(
        call(0, id="call_1", type="function", function={"name": "find", "arguments": ""}),
        call(0, function={"arguments": '{"parcel"'}),
        call(1, id="call_2", function={"name": "find", "arguments": "{}"}),
        call(0, id="call_1", function={"name": "find", "arguments": ": 7}"}),
        call(2, id="call_3", type="custom", custom={"name": "sql", "input": "SEL"}),
        call(2, custom={"input": "ECT"}),
        reason="tool_calls",
    )
    assert told == {
        "role": "assistant",
        "parts": [
            {"type": "tool_call", "id": "call_1", "name": "find", "arguments": {"parcel": 7}},
            {"type": "tool_call", "id": "call_2", "name": "find", "arguments": {}},
            {"type": "tool_call", "id": "call_3", "name": "sql", "arguments": {"input": "SELECT"}},
        ],
        "finish_reason": "tool_call",
    }


@pytest.mark.parametrize("index", [0, None])
def test_whole_tool_calls_that_are_all_numbered_alike(index: int | None) -> None:
    function = {"name": "find", "arguments": '{"parcel": 7}'}
    told = streamed(
        {
            "content": "Let me see.",
            "tool_calls": [{"index": index, "id": "call_1", "function": function}],
        },
        {"tool_calls": [{"index": index, "id": "call_2", "function": function}]},
    )
    assert [part.get("id") for part in told["parts"]] == [None, "call_1", "call_2"]
    assert told["parts"][2]["arguments"] == {"parcel": 7}


def test_pieces_of_a_function_call() -> None:
    assert streamed(
        {"function_call": {"name": "find", "arguments": ""}},
        {"function_call": {"arguments": '{"parcel": '}},
        {"function_call": {"arguments": "7}"}},
        reason="function_call",
    ) == {
        "role": "assistant",
        "parts": [{"type": "tool_call", "name": "find", "arguments": {"parcel": 7}}],
        "finish_reason": "tool_call",
    }


@pytest.mark.parametrize(
    "pieces",
    [
        [PNG_BASE64[:400], PNG_BASE64[400:]],
        [PNG_BASE64[:401], PNG_BASE64[401:]],
        [base64.b64encode(PNG[:100]).decode(), base64.b64encode(PNG[100:]).decode()],
    ],
    ids=["whole quads", "split quads", "padded each"],
)
def test_pieces_of_sound(pieces: list[str]) -> None:
    assert streamed(
        {"role": "assistant", "audio": {"id": "audio_1", "transcript": "H"}},
        *({"audio": {"data": piece}} for piece in pieces),
        {"audio": {"transcript": "i."}},
        {"audio": {"expires_at": 1}},
    )["parts"] == [{"type": "text", "content": "Hi."}, {**BLOB, "modality": "audio"}]


def test_pieces_that_are_parts() -> None:
    assert streamed(
        {"role": "assistant", "content": ""},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "H"}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m."}]}]},
        {"content": "H"},
        {"content": [{"type": "text", "text": "i."}]},
        {"images": [{"type": "image_url", "image_url": {"url": PNG_URL}}]},
    )["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Hi."},
        {**BLOB, "modality": "image", "mime_type": "image/png"},
    ]


def test_fields_that_a_client_does_not_know_are_told_once_by_validated_models() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG_URL}}
    delta = {"content": "Hi.", "reasoning_content": "Hm.", "images": [image]}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    reader = chat.ContentStreamReader()
    reader.feed(ChatCompletionChunk.model_validate({**CHAT_CHUNKS[0], "choices": [choice]}))
    (message,) = reader.content()[OUTPUT_MESSAGES]
    assert message["parts"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Hi."},
        {**BLOB, "modality": "image", "mime_type": "image/png"},
    ]


def test_choices_are_told_in_their_order() -> None:
    told = read_stream(
        [
            {"choices": [{"index": 1, "delta": {"content": "one"}}]},
            {"choices": []},
            {
                "choices": [
                    {"index": 0, "delta": {"content": "zero"}, "finish_reason": "length"},
                    {"index": 1, "delta": {"content": "!"}},
                ]
            },
        ]
    )
    assert told == {
        OUTPUT_MESSAGES: [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "zero"}],
                "finish_reason": "length",
            },
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "one!"}],
                "finish_reason": "error",
            },
        ]
    }


def test_a_stream_without_a_chunk_says_nothing() -> None:
    assert chat.ContentStreamReader().content() == {}
    assert read_stream([{"choices": []}]) == {}


def test_a_choice_without_an_index_or_a_delta() -> None:
    told = read_stream(
        [
            {"choices": [{"delta": {"content": "Hi."}}]},
            {"choices": [{"content_filter_offsets": {}, "finish_reason": None}], "usage": {}},
        ]
    )
    (message,) = told[OUTPUT_MESSAGES]
    assert message["parts"] == [{"type": "text", "content": "Hi."}]


def test_a_choice_that_cannot_be_costs_no_time() -> None:
    reader = chat.ContentStreamReader()
    choice = {"index": 10**12, "delta": {"content": "Hi."}, "finish_reason": "stop"}
    reader.feed(parse_json(json.dumps({"choices": [choice]})))
    assert reader.attributes()["gen_ai.response.finish_reasons"] == ("error",)


def test_a_stream_tells_the_same_as_without_content() -> None:
    plain, reader = chat.StreamReader(), chat.ContentStreamReader()
    for chunk in CHAT_CHUNKS:
        plain.feed(construct_type(type_=ChatCompletionChunk, value=chunk))
        reader.feed(construct_type(type_=ChatCompletionChunk, value=chunk))
    assert plain.attributes()
    assert reader.attributes() == plain.attributes()


# --- whatever comes ------------------------------------------------------------------------------


@given(anything, anything)
def test_any_request_gives_content_that_is_right(messages: Any, tools: Any) -> None:
    for body in (
        {"messages": messages, "tools": tools},
        {"messages": [messages], "functions": [tools]},
        {"messages": [{"role": "assistant", "content": messages, "tool_calls": tools}]},
        {"messages": [{"role": "user", "content": [messages, tools]}]},
    ):
        assert problems(chat.request_content(body), ("tool_arguments_string",)) == []


@given(anything, anything)
def test_any_answer_gives_content_that_is_right(choice: Any, message: Any) -> None:
    for completion in (
        choice,
        {"choices": choice},
        {"choices": [choice]},
        {"choices": [{"message": message, "finish_reason": choice}]},
        {"choices": [{"message": {"content": message, "audio": choice, "tool_calls": [choice]}}]},
    ):
        for response in (completion, construct_type(type_=ChatCompletion, value=completion)):
            assert problems(chat.response_content(response), ("tool_arguments_string",)) == []


@given(st.lists(st.one_of(anything, st.fixed_dictionaries({"content": anything})), max_size=4))
def test_any_stream_gives_content_that_is_right(deltas: list[Any]) -> None:
    reader = chat.ContentStreamReader()
    for delta in deltas:
        chunk = {"choices": [{"index": 0, "delta": delta}]}
        with contextlib.suppress(AttributeError, KeyError, TypeError):  # those are reported
            reader.feed(construct_type(type_=ChatCompletionChunk, value=chunk))
    assert problems(reader.content(), ("tool_arguments_string",)) == []


def test_an_answer_with_anything_spoilt_gives_content_that_is_right() -> None:
    for place in places(CHAT):
        for spoilt in (
            without(CHAT, place),
            *(replaced(CHAT, place, wrong) for wrong in (None, 7, "x", [], {}, [7], PNG_BASE64)),
        ):
            response = construct_type(type_=ChatCompletion, value=spoilt)
            assert problems(chat.response_content(response), ("tool_arguments_string",)) == []
