"""Read speech, transcripts and translations: attributes and content. Pure functions.

A response is bytes, text or an object, as the request asks for, without an id or a model. Content
has no sound: that is in the files that a request uploads, and in a body that the caller reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_page, add_said, error_attributes
from orq_otel.genai.fields import Attributes, fields, get, number, parse_json
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content, finish_reason, message
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import asked, content_parts, items, text_parts
from orq_otel.payloads.usage import read_audio_usage

_JSON_FORMATS = ("json", "verbose_json", "diarized_json")
_TEXT_FORMATS = ("text", "srt", "vtt")


def speech_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /audio/speech`."""
    attributes: Attributes = {semconv.OUTPUT_TYPE: "speech"}
    if body.get("stream_format") == "sse":
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def speech_request_content(body: Mapping[str, Any]) -> Content:
    """Content of the body of `POST /audio/speech`: the text to speak, and how to speak it."""
    content = asked(content_parts(body.get("input")))
    instructions = text_parts(body.get("instructions"))
    if instructions:
        content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    return content


def speech_response_attributes(response: Any) -> Attributes:
    """Attributes of speech: token counts if it came as events, which the client does not parse.

    What is JSON, parsed, is an error in the place of speech. A page is one, too.
    """
    attributes = error_attributes(response)
    add_said(fields(response), attributes, "response")
    http = get(response, "response")
    kind = getattr(http, "headers", {}).get("content-type", "")
    if "event-stream" not in kind:
        add_page("" if kind.startswith("text/") else response, attributes)
        return attributes
    for line in http.content.splitlines():
        if line.startswith(b"data:") and b'"usage"' in line:
            attributes.update(usage_attributes(parse_json(line.removeprefix(b"data:"))))
    return attributes


def transcription_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the form of `POST /audio/transcriptions` and `/audio/translations`."""
    attributes: Attributes = {}
    temperature = number(body.get("temperature"))
    if temperature is not None:
        attributes[semconv.REQUEST_TEMPERATURE] = temperature
    response_format = body.get("response_format")
    if response_format in _JSON_FORMATS:
        attributes[semconv.OUTPUT_TYPE] = "json"
    elif response_format in _TEXT_FORMATS:
        attributes[semconv.OUTPUT_TYPE] = "text"
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def transcription_request_content(body: Mapping[str, Any]) -> Content:
    """Content of the form: the prompt, a text that the transcript continues or resembles."""
    return asked(content_parts(body.get("prompt")))


def transcription_response_content(response: Any) -> Content:
    """Content of a transcript: an object, or text if the request asks for that."""
    return _transcript_content(
        response if isinstance(response, str) else get(response, "text"), "stop"
    )


def usage_attributes(response: Any) -> Attributes:
    """Token counts of a transcript or a translation, or of the last event of these or of speech."""
    attributes = error_attributes(response)
    add_said(fields(response), attributes, "text")
    if not isinstance(response, str):  # a transcript may be a text
        add_page(response, attributes)
    usage = get(response, "usage")
    if usage is not None:
        read_audio_usage(usage, attributes)
    return attributes


class TranscriptionStreamReader(EventReader):
    """Reads attributes and content from the events of one transcript.

    The last event repeats the whole text. The pieces count if it never came: the stream was left,
    or failed, or has the chunks of a chat, as vLLM's does.
    """

    __slots__ = ("_pieces", "_reason", "_text")

    def __init__(self) -> None:
        super().__init__(usage_attributes)
        self._pieces = growing_text()
        self._reason: Any = None  # of a chat's chunk
        self._text: Any = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        event_fields = fields(event)
        kind = event_fields.get("type")
        if kind == "transcript.text.delta":
            self._add_piece(event_fields.get("delta"))
            return
        super().feed(event)
        for choice in map(fields, items(event_fields.get("choices"))):
            self._add_piece(get(choice.get("delta"), "content"))
            self._reason = choice.get("finish_reason") or self._reason
        if kind == "transcript.text.done":
            self._text = event_fields.get("text")

    def content(self) -> Content:
        """Content of the events so far."""
        if isinstance(self._text, str):
            return _transcript_content(self._text, "stop")
        return _transcript_content(self._pieces.getvalue(), finish_reason(self._reason))

    def _add_piece(self, piece: Any) -> None:
        if isinstance(piece, str):
            self._pieces.write(piece)


def _transcript_content(transcript: Any, reason: str) -> Content:
    parts = text_parts(transcript)
    return {semconv.OUTPUT_MESSAGES: [message("assistant", parts, reason)]} if parts else {}
