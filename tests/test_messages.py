"""Messages, their parts and tool definitions, in the conventions' form, from whatever was sent."""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import math
from datetime import datetime, timezone
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from support.content_rules import (
    PNG,
    PNG_BASE64,
    PNG_MEASURES,
    PNG_URL,
    anything,
    is_plain,
    strings,
)

from orq_otel.genai import messages
from orq_otel.genai.messages import clean, media, parsed, without_binary

TOLD = f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]"


class Color(str, enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


# --- messages ------------------------------------------------------------------------------------


def test_a_message_has_a_role_and_parts_and_what_is_there_besides() -> None:
    parts = [messages.text("Hi.")]
    assert messages.message("user", parts) == {"role": "user", "parts": parts}
    assert messages.message("user", parts, name="Ann", finish_reason=None) == {
        "role": "user",
        "parts": parts,
        "name": "Ann",
    }


@pytest.mark.parametrize("role", [None, 7, ["user"], {}])
def test_a_role_that_is_none_is_the_users(role: Any) -> None:
    assert messages.message(role, [], name=["no name"]) == {"role": "user", "parts": []}


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_output_tokens", "length"),
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_call"),
        ("function_call", "tool_call"),
        ("compaction", "compaction"),
        ("cancelled", "error"),
        ("error", "error"),
        ("of_its_own", "of_its_own"),
        ("", "error"),
        (None, "error"),
        (7, "error"),
        (["stop"], "error"),
    ],
)
def test_finish_reasons_are_the_conventions_words(reason: Any, word: str) -> None:
    assert messages.finish_reason(reason) == word


# --- parts ---------------------------------------------------------------------------------------


def test_parts_of_every_type() -> None:
    assert messages.text("Hi.") == {"type": "text", "content": "Hi."}
    assert messages.reasoning("Hm.") == {"type": "reasoning", "content": "Hm."}
    assert messages.tool_call("call_1", "add", '{"a": 1}') == {
        "type": "tool_call",
        "id": "call_1",
        "name": "add",
        "arguments": {"a": 1},
    }
    assert messages.tool_call(None, None, None) == {"type": "tool_call", "name": ""}
    assert messages.tool_result("call_1", "2") == {
        "type": "tool_call_response",
        "id": "call_1",
        "response": "2",
    }
    assert messages.tool_result(7, None) == {"type": "tool_call_response", "response": None}
    assert messages.server_tool_call("ws_1", "web_search", {"action": {"query": "x"}}) == {
        "type": "server_tool_call",
        "id": "ws_1",
        "name": "web_search",
        "server_tool_call": {"type": "web_search", "action": {"query": "x"}},
    }
    assert messages.server_tool_call(None, "mcp", {"type": "other"}, "look_up") == {
        "type": "server_tool_call",
        "name": "look_up",
        "server_tool_call": {"type": "mcp"},
    }
    assert messages.server_tool_result("ws_1", "web_search", {"results": []}) == {
        "type": "server_tool_call_response",
        "id": "ws_1",
        "server_tool_call_response": {"type": "web_search", "results": []},
    }
    assert messages.compaction("cmp_1") == {"type": "compaction", "id": "cmp_1"}
    assert messages.compaction(None) == {"type": "compaction"}
    assert messages.file("file-1", "image") == {
        "type": "file",
        "modality": "image",
        "file_id": "file-1",
    }
    assert messages.generic("odd", {"a": 1}) == {
        "type": "generic",
        "kind": "odd",
        "value": {"a": 1},
    }
    assert messages.generic(None, None) == {"type": "generic", "kind": "NoneType", "value": None}


def test_tool_definitions_are_flat() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    told = messages.function_definition("add", "Adds.", schema)
    assert told == {
        "type": "function",
        "name": "add",
        "description": "Adds.",
        "parameters": schema,
    }
    told["parameters"]["properties"]["a"]["type"] = "string"
    assert schema["properties"]["a"] == {"type": "integer"}  # type: ignore[index] # a copy
    assert messages.function_definition(None, 7, "no schema") == {"type": "function", "name": ""}
    assert messages.tool_definition("web_search") == {"type": "web_search", "name": "web_search"}
    assert messages.tool_definition("custom", "sql", "Asks.") == {
        "type": "custom",
        "name": "sql",
        "description": "Asks.",
    }


@pytest.mark.parametrize(
    ("arguments", "object_or_text"),
    [
        ('{"city": "Paris"}', {"city": "Paris"}),
        ("", {}),
        ("{}", {}),
        ("[1]", [1]),
        ("null", None),
        ('{"city": "Par', '{"city": "Par'),
        ({"city": "Paris"}, {"city": "Paris"}),
        ('{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        ('{"id": 18446744073709551615}', {"id": "18446744073709551615"}),
        ("[" * 5000, "[" * 5000),
        (json.dumps({"image": PNG_URL}), {"image": TOLD.replace("binary data", "image/png")}),
        (json.dumps({"image": PNG_BASE64})[:-1], f'{{"image": "{TOLD}"'),
    ],
)
def test_arguments_are_an_object_where_they_are_json(arguments: Any, object_or_text: Any) -> None:
    assert parsed(arguments) == object_or_text


# --- media ---------------------------------------------------------------------------------------


def test_inline_data_is_measured_and_left_out() -> None:
    assert PNG_MEASURES["digest"] == "sha256:" + hashlib.sha256(PNG).hexdigest()
    told = {"type": "blob", "modality": "image", "content": "", "mime_type": "image/png"}
    assert messages.blob("image", "image/png", PNG) == {**told, **PNG_MEASURES}
    assert messages.blob("image", "image/png", PNG_BASE64) == {**told, **PNG_MEASURES}
    assert media("image", PNG_URL) == {**told, **PNG_MEASURES}
    del told["mime_type"]
    assert media("image", PNG_BASE64) == {**told, **PNG_MEASURES}
    assert media("image", f"data:;base64,{PNG_BASE64}") == {**told, **PNG_MEASURES}


@pytest.mark.parametrize(
    "encoded",
    [
        PNG_BASE64,
        PNG_BASE64.rstrip("="),
        base64.urlsafe_b64encode(PNG).decode(),
        base64.encodebytes(PNG).decode(),
    ],
    ids=["padded", "unpadded", "url-safe", "in lines"],
)
def test_base64_of_any_kind_is_measured_alike(encoded: str) -> None:
    told = messages.blob("document", None, encoded)
    assert {key: told[key] for key in PNG_MEASURES} == PNG_MEASURES


@pytest.mark.parametrize("data", ["x", "Grüße, kein Base64!\ud800"])
def test_data_that_is_not_base64_is_measured_all_the_same(data: str) -> None:
    assert messages.blob("image", None, data)["size"] >= 0


@pytest.mark.parametrize("data", [None, 7, {"data": "x"}])
def test_data_that_is_none_has_no_bytes(data: Any) -> None:
    assert messages.blob("image", None, data)["size"] == 0


@pytest.mark.parametrize(
    ("mime_type", "modality"),
    [
        ("image/webp", "image"),
        ("audio/mpeg", "audio"),
        ("video/mp4", "video"),
        ("application/pdf", "document"),
        (None, "document"),
        (7, "document"),
    ],
)
def test_the_mime_type_knows_the_modality_better(mime_type: Any, modality: str) -> None:
    assert messages.blob("document", mime_type, b"x")["modality"] == modality


def test_a_url_stays_a_url() -> None:
    url = "https://example.com/cat.png?size=1"
    told = {"type": "uri", "modality": "image", "uri": url}
    assert media("image", url) == told
    assert media("image", url, "image/png") == {**told, "mime_type": "image/png"}
    assert media("image", None) == {**told, "uri": ""}


def test_a_url_with_a_long_key_in_it_loses_the_key() -> None:
    told = media("image", f"https://example.com/cat.png?key={PNG_BASE64}")
    assert told["uri"] == f"https://example.com/cat.png?key={TOLD}"


def test_a_data_url_of_text_is_measured_too() -> None:
    told = media("image", "data:image/svg+xml,%3Csvg/%3E")
    assert told["mime_type"] == "image/svg+xml"
    assert told["size"] == len("<svg/>")


@pytest.mark.parametrize("url", ["data:", "data:image/png", "DATA:nothing at all"])
def test_a_broken_data_url_is_data(url: str) -> None:
    assert media("image", url)["type"] == "blob"


# --- binary data in texts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"Look: {PNG_BASE64}!", f"Look: {TOLD}!"),
        (f"![]({PNG_URL})", f"![]({TOLD.replace('binary data', 'image/png')})"),
        (f"{PNG_BASE64} and {PNG_BASE64}", f"{TOLD} and {TOLD}"),
        ("x" * 400 + " " + PNG_BASE64, "x" * 400 + " " + TOLD),
        (base64.urlsafe_b64encode(PNG).decode(), TOLD),
        (
            "A" * 1024,
            f"[binary data, 768 bytes, {'sha256:' + hashlib.sha256(bytes(768)).hexdigest()}]",
        ),
    ],
)
def test_base64_in_a_text_is_told(before: str, after: str) -> None:
    assert clean(before) == after


def test_base64_in_lines_is_told() -> None:
    told = clean("Here:\n" + base64.encodebytes(PNG).decode() + "\nBye.")
    assert told == f"Here:\n{TOLD}\n\nBye."
    inside_json = json.dumps({"data": base64.encodebytes(PNG).decode()})
    assert TOLD in clean(inside_json)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "short",
        PNG_BASE64[:500],
        "word " * 1000,
        "x" * 5000,
        "ACGT" * 500,
        "漢字かな交じり文" * 500,
        "apple\nbanana\ncherry\n" * 200,
        " ".join(["a1B" * 150] * 20),
        "/usr/share/dict/words" * 100,
        "-" * 3000,
    ],
    ids=lambda content: content[:12],
)
def test_other_text_is_left_alone(content: str) -> None:
    assert clean(content) == content
    assert without_binary(content) == content


@given(st.binary(min_size=512), st.text(max_size=600), st.text(max_size=600))
def test_no_base64_of_anything_stays_in_a_text(data: bytes, before: str, after: str) -> None:
    encoded = base64.b64encode(data).decode()
    if len(set(encoded)) > 30:
        assert encoded not in clean(f"{before} {encoded} {after}")


# --- plain JSON ----------------------------------------------------------------------------------


def test_binary_data_anywhere_is_told() -> None:
    assert without_binary(
        {"a": [PNG_URL, {"b": PNG_BASE64}], PNG_BASE64: PNG, "short": "data:,x"}
    ) == {
        "a": [TOLD.replace("binary data", "image/png"), {"b": TOLD}],
        TOLD: TOLD,
        "short": "data:,x",
    }


def test_what_is_not_json_becomes_it() -> None:
    class Answer(BaseModel, extra="allow"):
        city: str

    class Opaque:
        __slots__ = ()

    model = Answer.model_validate({"city": "Paris", "more": Answer(city="Rome")})
    assert without_binary(model) == {"city": "Paris", "more": {"city": "Rome"}}
    assert without_binary(SimpleNamespace(a=SimpleNamespace(), b=(1, 2))) == {"a": {}, "b": [1, 2]}
    assert without_binary([Color.RED, Size.SMALL, {Color.RED: True}, {7: 1}]) == [
        "red",
        1,
        {"red": True},
        {"7": 1},
    ]
    assert without_binary([Opaque(), datetime.now(timezone.utc)]) == ["Opaque", "datetime"]
    assert without_binary([{1}, MappingProxyType({"a": None})]) == [[1], {"a": None}]


def test_numbers_that_otlp_cannot_carry_are_told_otherwise() -> None:
    assert without_binary([2**63, -(2**63), math.inf, math.nan, 1.5]) == [
        "9223372036854775808",
        -(2**63),
        None,
        None,
        1.5,
    ]


def test_what_is_nested_too_deep_is_left_out() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    told = json.dumps(without_binary(deep))
    assert told == "[" * 25 + '"[nested too deep]"' + "]" * 25


@given(anything)
def test_any_json_stays_json_without_binary_data(value: Any) -> None:
    told = without_binary(value)
    assert is_plain(told)
    assert PNG_BASE64 not in [text for _, text in strings(told)]
