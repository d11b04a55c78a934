"""What holds for content, whatever it was read from."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.checker.content import CONTENT, check_content
from conformance.checker.registry import PROFILES, registry
from hypothesis import strategies as st

from orq_otel.genai.content import encode
from orq_otel.genai.semconv import PROMPT_VARIABLE

#: A picture of sorts, whose base64 is long enough to be noticed.
PNG = bytes(range(256)) * 4
PNG_BASE64 = base64.b64encode(PNG).decode()
PNG_URL = f"data:image/png;base64,{PNG_BASE64}"
PNG_MEASURES = {
    "size": 1024,
    "digest": "sha256:785b0751fc2c53dc14a4ce3d800e69ef9ce1009eb327ccf458afe09c242c26c9",
}

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{512,}", re.ASCII)

_texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            *("message", "text", "input_text", "output_text", "function", "custom", "mcp"),
            *("function_call", "function_call_output", "reasoning", "web_search_call", "mcp_call"),
            *("image_url", "input_image", "file", "input_audio", "user", "assistant", "tool"),
            *("stop", "completed", "in_progress", "{}", "[1]", '{"a": 1}', '"x"', "{"),
            *(PNG_URL, PNG_BASE64, f"Look: {PNG_BASE64}!"),
        ]
    ),
)
_keys = st.one_of(
    st.text(max_size=3),
    st.sampled_from(
        [
            *("messages", "role", "content", "name", "tools", "functions", "function", "type"),
            *("tool_calls", "function_call", "id", "arguments", "parameters", "audio", "data"),
            *("text", "image_url", "url", "file", "file_data", "file_id", "input_audio", "format"),
            *("choices", "message", "delta", "index", "finish_reason", "refusal", "reasoning"),
            *("input", "instructions", "output", "status", "summary", "call_id", "item", "action"),
            *("result", "results", "outputs", "prompt", "image", "images", "custom", "transcript"),
            *("b64_json", "revised_prompt", "output_format", "variables", "id", "video", "delta"),
            *("categories", "questions", "answers", "thread", "tool_outputs", "tool_call_id"),
            *("required_action", "submit_tool_outputs", "value", "attachments", "image_file"),
        ]
    ),
)
#: Any JSON, with a leaning towards what the readers look for.
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), _texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=6)),
    max_leaves=25,
)


def problems(content: Any, allow: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with content, in the words of the conventions' checker and in ours.

    Args:
        content: What a reader told.
        allow: Codes of findings that are right as they are.
    """
    variables = [name for name in content if name.startswith(f"{PROMPT_VARIABLE}.")]
    found = [f"{name} is no text" for name in variables if not isinstance(content[name], str)]
    structured = {name: value for name, value in content.items() if name not in variables}
    found += [f"{name} is unknown" for name in structured if name not in CONTENT]
    for profile in PROFILES:
        for name, value in structured.items():
            for one in check_content(registry(profile), "", name, value, on_event=True):
                if one.code not in allow:
                    found.append(f"{profile}: {one}")
    found += [
        f"binary data at {where}" for where, value in strings(content) if _BASE64.search(value)
    ]
    found += [f"{name} is not plain" for name in content if not is_plain(content[name])]
    found += [
        f"{name} changes as JSON"
        for name, value in content.items()
        if json.loads(encode(value)) != value and encode(value).isascii()
    ]
    return found


def strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Each string in a JSON value, keys as well, and where it is."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield where, key
            yield from strings(one, f"{where}/{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from strings(one, f"{where}/{number}")


def is_plain(value: Any) -> bool:
    """Whether a value consists of what JSON consists of, in numbers that OTLP can carry."""
    if type(value) is dict:
        return all(type(key) is str and is_plain(one) for key, one in value.items())
    if type(value) is list:
        return all(map(is_plain, value))
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) in {str, bool, float}
