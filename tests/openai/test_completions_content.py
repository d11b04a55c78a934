"""What is said in completions of the API before chat, in the conventions' form."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types import Completion
from support.content_rules import PNG_BASE64, PNG_MEASURES, anything, problems

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES
from orq_otel.payloads import completions


def said(content: str) -> list[Any]:
    """The parts of a message of text."""
    return [{"type": "text", "content": content}]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("Once upon", [said("Once upon")]),
        (["Once upon", "a time"], [said("Once upon"), said("a time")]),
        ([1, 2, 3], [[{"type": "generic", "kind": "tokens", "value": [1, 2, 3]}]]),
        (
            [[1, 2], [3]],
            [
                [{"type": "generic", "kind": "tokens", "value": [1, 2]}],
                [{"type": "generic", "kind": "tokens", "value": [3]}],
            ],
        ),
        (
            ["Once upon", [1, 2]],
            [said("Once upon"), [{"type": "generic", "kind": "tokens", "value": [1, 2]}]],
        ),
        (PNG_BASE64, [said(f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]")]),
        ({"odd": 1}, [[{"type": "generic", "kind": "content", "value": {"odd": 1}}]]),
        ("", []),
        ([], []),
        (["", None], []),
        (None, []),
    ],
)
def test_prompts_are_messages_of_the_user(prompt: Any, told: list[Any]) -> None:
    content = completions.request_content({"model": "m", "prompt": prompt})
    messages = [{"role": "user", "parts": parts} for parts in told]
    assert content == ({INPUT_MESSAGES: messages} if messages else {})
    assert problems(content) == []


def test_choices_are_messages() -> None:
    completion = {
        "choices": [
            {"index": 0, "text": " a time", "finish_reason": "stop"},
            {"index": 1, "text": "", "finish_reason": "length"},
            {"index": 2, "text": PNG_BASE64, "finish_reason": None},
            None,
        ]
    }
    content = completions.response_content(completion)
    assert content == completions.response_content(parse_json(json.dumps(completion)))
    assert content == completions.response_content(
        construct_type(type_=Completion, value=completion)
    )
    assert content == {
        OUTPUT_MESSAGES: [
            {"role": "assistant", "parts": said(" a time"), "finish_reason": "stop"},
            {"role": "assistant", "parts": [], "finish_reason": "length"},
            {
                "role": "assistant",
                "parts": said(f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]"),
                "finish_reason": "error",
            },
            {"role": "assistant", "parts": [], "finish_reason": "error"},
        ]
    }
    assert problems(content) == []


@pytest.mark.parametrize("response", [None, 7, {}, {"choices": None}, {"choices": []}])
def test_an_answer_without_choices_says_nothing(response: Any) -> None:
    assert completions.response_content(response) == {}


def test_a_stream() -> None:
    chunks = [
        {"id": "cmpl-1", "choices": [{"index": 1, "text": " a", "finish_reason": None}]},
        {"id": "cmpl-1", "choices": [{"index": 0, "text": "!", "finish_reason": "stop"}]},
        {"id": "cmpl-1", "choices": []},
        {"id": "cmpl-1", "choices": [{"index": 1, "text": " time", "finish_reason": None}]},
        {"id": "cmpl-1", "choices": [{"index": 1, "text": "", "finish_reason": "length"}]},
    ]
    for chunk_of in (
        lambda chunk: construct_type(type_=Completion, value=chunk),
        lambda chunk: parse_json(json.dumps(chunk)),
    ):
        reader, plain = completions.ContentStreamReader(), completions.StreamReader()
        for chunk in chunks:
            reader.feed(chunk_of(chunk))
            plain.feed(chunk_of(chunk))
        assert reader.content() == {
            OUTPUT_MESSAGES: [
                {"role": "assistant", "parts": said("!"), "finish_reason": "stop"},
                {"role": "assistant", "parts": said(" a time"), "finish_reason": "length"},
            ]
        }
        assert problems(reader.content()) == []
        assert reader.attributes() == plain.attributes()


def test_a_stream_without_a_chunk_says_nothing() -> None:
    assert completions.ContentStreamReader().content() == {}


@given(anything, anything)
def test_anything_gives_content_that_is_right(given: Any, more: Any) -> None:
    assert problems(completions.request_content({"prompt": given})) == []
    assert problems(completions.request_content({"prompt": [given, more]})) == []
    for response in (given, {"choices": given}, {"choices": [{"text": given, "index": more}]}):
        assert problems(completions.response_content(response)) == []
        assert (
            problems(completions.response_content(construct_type(type_=Completion, value=response)))
            == []
        )


@given(st.lists(anything, max_size=4))
def test_any_stream_gives_content_that_is_right(choices: list[Any]) -> None:
    reader = completions.ContentStreamReader()
    for choice in choices:
        for chunk in ({"choices": [choice]}, {"choices": [{"index": 0, "text": choice}]}):
            with contextlib.suppress(AttributeError, KeyError, TypeError):  # those are reported
                reader.feed(construct_type(type_=Completion, value=chunk))
    assert problems(reader.content()) == []
