"""Read speech, transcripts and translations: attributes and content. Pure functions.

A response may be bytes, text or an object, as the request says. None tells an id or a model. Sound
is not content here: it is in files that a request uploads, and in a body that the caller reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, number, parse_json
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content, message, text
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    OUTPUT_TYPE,
    REQUEST_STREAM,
    REQUEST_TEMPERATURE,
    SYSTEM_INSTRUCTIONS,
)
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import content_parts
from orq_otel.payloads.usage import read_audio_usage

_JSON_FORMATS = ("json", "verbose_json", "diarized_json")
_TEXT_FORMATS = ("text", "srt", "vtt")


def speech_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /audio/speech`."""
    attributes: Attributes = {OUTPUT_TYPE: "speech"}
    if body.get("stream_format") == "sse":
        attributes[REQUEST_STREAM] = True
    return attributes


def speech_request_content(body: Mapping[str, Any]) -> Content:
    """What is to be spoken, and how."""
    content = _asked(body.get("input"))
    instructions = body.get("instructions")
    if instructions and isinstance(instructions, str):
        content[SYSTEM_INSTRUCTIONS] = [text(instructions)]
    return content


def speech_response_attributes(response: Any) -> Attributes:
    """Attributes of speech: none, unless it came as events, which the client does not parse."""
    http = get(response, "response")
    if "event-stream" not in getattr(http, "headers", {}).get("content-type", ""):
        return {}
    attributes: Attributes = {}
    for line in http.content.splitlines():
        if line.startswith(b"data:") and b'"usage"' in line:
            attributes.update(usage_attributes(parse_json(line.removeprefix(b"data:"))))
    return attributes


def speech_response_content(_: Any) -> Content:
    """What speech says, which is nothing besides the sound."""
    return {}


def transcription_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the form of `POST /audio/transcriptions` and `/audio/translations`."""
    attributes: Attributes = {}
    temperature = number(body.get("temperature"))
    if temperature is not None:
        attributes[REQUEST_TEMPERATURE] = temperature
    response_format = body.get("response_format")
    if response_format in _JSON_FORMATS:
        attributes[OUTPUT_TYPE] = "json"
    elif response_format in _TEXT_FORMATS:
        attributes[OUTPUT_TYPE] = "text"
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def transcription_request_content(body: Mapping[str, Any]) -> Content:
    """What a transcript is to go on with, or be like."""
    return _asked(body.get("prompt"))


def transcription_response_content(response: Any) -> Content:
    """What was written down: an object, or text where the request says so."""
    return _written(response if isinstance(response, str) else get(response, "text"), "stop")


def usage_attributes(response: Any) -> Attributes:
    """Attributes of a transcript or a translation, or of the last event of either or of speech."""
    attributes: Attributes = {}
    usage = get(response, "usage")
    if usage is not None:
        read_audio_usage(usage, attributes)
    return attributes


class TranscriptionStreamReader(EventReader):
    """Reads the events of a transcript, and what is written down in them.

    The last event repeats all of it. The pieces before count where the stream was left, or failed.
    """

    __slots__ = ("_said", "_whole")

    def __init__(self) -> None:
        super().__init__(usage_attributes)
        self._said = growing_text()
        self._whole: Any = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        given = fields(event)
        kind = given.get("type")
        if kind == "transcript.text.delta":
            piece = given.get("delta")
            if isinstance(piece, str):
                self._said.write(piece)
            return
        super().feed(event)
        if kind == "transcript.text.done":
            self._whole = given.get("text")

    def content(self) -> Content:
        """What the events said so far."""
        if isinstance(self._whole, str):
            return _written(self._whole, "stop")
        return _written(self._said.getvalue(), "error")


def _asked(given: Any) -> Content:
    parts = content_parts(given)
    return {INPUT_MESSAGES: [message("user", parts)]} if parts else {}


def _written(said: Any, reason: str) -> Content:
    if not said or not isinstance(said, str):
        return {}
    return {OUTPUT_MESSAGES: [message("assistant", [text(said)], finish_reason=reason)]}
