"""Read what is spoken and what is written down of it: requests, responses and streams. Pure.

Sound is not told: it is in files that a request uploads, and in a body that the caller reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import fields, get
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content, message, text
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS
from orq_otel.payloads import audio
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import content_parts


def read_speech_request(body: Mapping[str, Any]) -> Content:
    """What is to be spoken, and how."""
    content = _asked(body.get("input"))
    instructions = body.get("instructions")
    if instructions and isinstance(instructions, str):
        content[SYSTEM_INSTRUCTIONS] = [text(instructions)]
    return content


def read_speech(_: Any) -> Content:
    """What speech says, which is nothing besides the sound."""
    return {}


def read_transcription_request(body: Mapping[str, Any]) -> Content:
    """What a transcript is to go on with, or be like."""
    return _asked(body.get("prompt"))


def read_transcript(response: Any) -> Content:
    """What was written down: an object, or text where the request says so."""
    return _written(response if isinstance(response, str) else get(response, "text"), "stop")


class TranscriptEventReader(EventReader):
    """Reads the events of a transcript, and what is written down in them.

    The last event repeats all of it. The pieces before count where the stream was left, or failed.
    """

    __slots__ = ("_said", "_whole")

    def __init__(self) -> None:
        super().__init__(audio.read_usage)
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
