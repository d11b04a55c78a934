"""What is spoken, and what is written down of it, in the conventions' form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types.audio import Transcription
from support.content_rules import PNG_BASE64, PNG_MEASURES, anything, problems

from orq_otel.genai.fields import parse_json
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    SYSTEM_INSTRUCTIONS,
    USAGE_INPUT_TOKENS,
    USAGE_OUTPUT_TOKENS,
)
from orq_otel.openai.operations import OPERATIONS
from orq_otel.payloads import audio
from orq_otel.payloads.events import EventReader


def text(content: str) -> dict[str, Any]:
    """A part of text."""
    return {"type": "text", "content": content}


def asked(content: str) -> Any:
    """Content that is one message of the user."""
    return {INPUT_MESSAGES: [{"role": "user", "parts": [text(content)]}]}


def written(content: str, reason: str = "stop") -> Any:
    """Content that is what was written down."""
    one = {"role": "assistant", "parts": [text(content)], "finish_reason": reason}
    return {OUTPUT_MESSAGES: [one]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"input": "It is late.", "voice": "alloy"}, asked("It is late.")),
        (
            {"input": "It is late.", "instructions": "Be kind."},
            {**asked("It is late."), SYSTEM_INSTRUCTIONS: [text("Be kind.")]},
        ),
        ({"input": "", "instructions": ""}, {}),
        ({"instructions": ["Be kind."]}, {}),
        ({}, {}),
    ],
)
def test_what_is_to_be_spoken_and_how(body: Any, told: Any) -> None:
    assert audio.speech_request_content(body) == told
    assert problems(told) == []


def test_speech_says_nothing() -> None:
    assert OPERATIONS["post", "/audio/speech"].read_response_content(b"ID3") == {}


def test_what_a_transcript_is_to_be_like() -> None:
    assert audio.transcription_request_content({"prompt": "A parcel", "file": "x"}) == asked(
        "A parcel"
    )
    assert audio.transcription_request_content({"model": "whisper-1"}) == {}


def test_what_was_written_down() -> None:
    response = {"text": "Where is it?", "usage": {"type": "duration", "seconds": 2}}
    for form in (
        "Where is it?",
        response,
        parse_json(json.dumps(response)),
        construct_type(type_=Transcription, value=response),
    ):
        assert audio.transcription_response_content(form) == written("Where is it?")
    assert problems(written("Where is it?")) == []


def test_what_was_written_down_holds_no_binary_data() -> None:
    told = written(f"[binary data, 1024 bytes, {PNG_MEASURES['digest']}]")
    assert (
        audio.transcription_response_content(PNG_BASE64)
        == audio.transcription_response_content({"text": PNG_BASE64})
        == told
    )


@pytest.mark.parametrize("response", [None, 7, "", {}, {"text": None}, {"text": ["x"]}])
def test_an_answer_without_text_says_nothing(response: Any) -> None:
    assert audio.transcription_response_content(response) == {}


def test_a_stream_says_what_came_until_it_is_whole() -> None:
    usage = {"type": "tokens", "input_tokens": 1, "output_tokens": 2}
    events = [
        {"type": "transcript.text.segment", "speaker": "A", "text": "Where is it?"},
        {"type": "transcript.text.delta", "delta": "Where"},
        {"type": "transcript.text.delta", "delta": " is it?"},
        {"type": "transcript.text.done", "text": "Where is it?!", "usage": usage},
    ]
    told = [{}, written("Where", "error"), written("Where is it?", "error")]
    told.append(written("Where is it?!"))
    reader, plain = audio.TranscriptionStreamReader(), EventReader(audio.usage_attributes)
    for event, expected in zip(events, told, strict=True):
        reader.feed(parse_json(json.dumps(event)))
        plain.feed(parse_json(json.dumps(event)))
        assert reader.content() == expected
        assert problems(expected) == []
    assert reader.attributes() == plain.attributes() != {}


def test_a_stream_of_chunks_as_a_chat_has_them() -> None:
    """vLLM's."""
    pieces = [("Where", None), (" is it?", "length"), (None, None)]
    told = [written("Where", "error"), *[written("Where is it?", "length")] * 2]
    reader = audio.TranscriptionStreamReader()
    for (piece, reason), expected in zip(pieces, told, strict=True):
        choice = {"delta": {"content": piece}, "finish_reason": reason}
        chunk = {"object": "transcription.chunk", "choices": [choice]}
        reader.feed(parse_json(json.dumps(chunk)))
        assert reader.content() == expected
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    reader.feed(parse_json(json.dumps({"choices": [], "usage": usage})))
    assert reader.attributes() == {USAGE_INPUT_TOKENS: 3, USAGE_OUTPUT_TOKENS: 2}


@given(anything, anything)
def test_anything_gives_content_that_is_right(given: Any, more: Any) -> None:
    assert problems(audio.speech_request_content({"input": given, "instructions": more})) == []
    assert problems(audio.transcription_request_content({"prompt": given})) == []
    for response in (given, {"text": given}):
        assert problems(audio.transcription_response_content(response)) == []


@given(st.lists(anything, max_size=4))
def test_any_stream_gives_content_that_is_right(events: list[Any]) -> None:
    reader = audio.TranscriptionStreamReader()
    for event in events:
        reader.feed(event)
        reader.feed({"type": "transcript.text.delta", "delta": event})
        reader.feed({"choices": [{"delta": {"content": event}, "finish_reason": event}, event]})
        assert problems(reader.content()) == []
        reader.feed({"type": "transcript.text.done", "text": event})
    assert problems(reader.content()) == []
