"""What is judged in moderations and decisions, and the judgement, in the conventions' form."""

from __future__ import annotations

import json
from typing import Any

import openai.types
import pytest
from hypothesis import given
from openai._models import construct_type
from openai.types import ModerationCreateResponse
from support.content_rules import PNG_MEASURES, PNG_URL, anything, problems

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES
from orq_otel.payloads import decisions, moderations

SHOT = {
    "type": "blob",
    "modality": "image",
    "content": "",
    "mime_type": "image/png",
    **PNG_MEASURES,
}


def text(content: str) -> dict[str, Any]:
    """A part of text."""
    return {"type": "text", "content": content}


def generic(kind: str, **value: Any) -> dict[str, Any]:
    """A part of a kind that the API names."""
    return {"type": "generic", "kind": kind, "value": value}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Where is it?", [[text("Where is it?")]]),
        (["Where is it?", "It is late."], [[text("Where is it?")], [text("It is late.")]]),
        (
            [
                {"type": "text", "text": "Where is it?"},
                {"type": "image_url", "image_url": {"url": PNG_URL}},
            ],
            [[text("Where is it?"), SHOT]],
        ),
        (
            ["Where is it?", 7],
            [[text("Where is it?"), {"type": "generic", "kind": "unknown", "value": 7}]],
        ),
        (7, [[{"type": "generic", "kind": "content", "value": 7}]]),
        ("", []),
        ([], []),
        (None, []),
    ],
)
def test_texts_are_messages_and_parts_are_one(given: Any, told: list[Any]) -> None:
    content = moderations.request_content({"input": given})
    messages = [{"role": "user", "parts": parts} for parts in told]
    assert content == ({INPUT_MESSAGES: messages} if messages else {})
    assert problems(content) == []


def test_what_was_found() -> None:
    response = {
        "id": "modr-1",
        "model": "m",
        "results": [
            {
                "flagged": True,
                "categories": {"violence": True, "self-harm/intent": True, "hate": False},
                "category_scores": {"self-harm/intent": 0.9, "hate": 0.1, "violence": 0.8},
            },
            {"flagged": False, "categories": {"hate": False}},
            7,
        ],
    }
    content = moderations.response_content(response)
    assert content == moderations.response_content(parse_json(json.dumps(response)))
    model = construct_type(type_=ModerationCreateResponse, value=response)
    assert content == moderations.response_content(model)
    judged = [
        generic("moderation", flagged=True, categories=["self_harm_intent", "violence"]),
        generic("moderation", flagged=False, categories=[]),
        generic("moderation", flagged=False, categories=[]),
    ]
    assert content == {
        OUTPUT_MESSAGES: [
            {"role": "assistant", "parts": [one], "finish_reason": "stop"} for one in judged
        ]
    }
    assert problems(content) == []


def test_what_is_asked_of_an_input() -> None:
    body = {
        "input": [
            {"role": "system", "content": "Be fair."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Where is it?"},
                    {"type": "input_json", "data": {"parcel": 7}},
                ],
            },
        ],
        "questions": [
            {"type": "predicate", "instructions": "Is it angry?"},
            {
                "type": "choice",
                "name": "mood",
                "instructions": [
                    {"type": "input_text", "text": "How is it?"},
                    {"type": "input_image", "image_url": PNG_URL},
                ],
                "choices": [{"value": "calm"}, {"value": "angry"}],
            },
            {"type": "score"},
            "Is it late?",
        ],
    }
    content = decisions.request_content(body)
    assert content == {
        INPUT_MESSAGES: [
            {"role": "system", "parts": [text("Be fair.")]},
            {
                "role": "user",
                "parts": [text("Where is it?"), generic("input_json", data={"parcel": 7})],
            },
            {
                "role": "user",
                "parts": [
                    text("Is it angry?"),
                    text("How is it?"),
                    SHOT,
                    generic("choice", name="mood", choices=[{"value": "calm"}, {"value": "angry"}]),
                    generic("score"),
                    {"type": "generic", "kind": "unknown", "value": "Is it late?"},
                ],
            },
        ]
    }
    assert problems(content) == []
    assert body["questions"][0] == {"type": "predicate", "instructions": "Is it angry?"}


def test_an_input_of_text() -> None:
    assert decisions.request_content({"input": "Where is it?", "questions": []}) == {
        INPUT_MESSAGES: [{"role": "user", "parts": [text("Where is it?")]}]
    }


def test_what_is_decided() -> None:
    response = {
        "model": "m",
        "answers": [
            {"type": "predicate", "name": None, "probability": 0.75},
            {
                "type": "choice",
                "name": "mood",
                "choice": "calm",
                "confidence": 1.0,
                "probabilities": [{"value": "calm", "probability": 1.0}],
            },
            {"type": "refusal", "name": "age"},
        ],
    }
    content = decisions.response_content(response)
    assert content == decisions.response_content(parse_json(json.dumps(response)))
    model = getattr(openai.types, "Decision", None)
    if model is not None:
        assert content == decisions.response_content(construct_type(type_=model, value=response))
    parts = [
        generic("predicate", probability=0.75),
        generic(
            "choice",
            name="mood",
            choice="calm",
            confidence=1.0,
            probabilities=[{"value": "calm", "probability": 1.0}],
        ),
        generic("refusal", name="age"),
    ]
    assert content == {
        OUTPUT_MESSAGES: [{"role": "assistant", "parts": parts, "finish_reason": "stop"}]
    }
    assert problems(content) == []


@pytest.mark.parametrize("response", [None, 7, "x", {}, {"results": None, "answers": []}])
def test_an_answer_without_a_judgement_says_nothing(response: Any) -> None:
    assert moderations.response_content(response) == {}
    assert decisions.response_content(response) == {}


@given(anything, anything)
def test_anything_gives_content_that_is_right(given: Any, more: Any) -> None:
    assert problems(moderations.request_content({"input": given})) == []
    assert problems(moderations.request_content({"input": [given, more]})) == []
    body = {"input": given, "questions": [more, {"instructions": given, "type": more}]}
    assert problems(decisions.request_content(body), ("tool_arguments_string",)) == []
    for response in (
        given,
        {"results": given, "answers": given},
        {"results": [given, {"categories": more, "flagged": given}], "answers": [given, more]},
        {"results": [{"categories": {str(given): True}}]},
    ):
        assert problems(moderations.response_content(response)) == []
        assert problems(decisions.response_content(response)) == []
