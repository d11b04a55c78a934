"""Read speech, transcripts and translations: requests, responses and streams. Pure functions.

A response may be bytes, text or an object, as the request says. None tells an id or a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get, number, parse_json
from orq_otel.genai.semconv import OUTPUT_TYPE, REQUEST_STREAM, REQUEST_TEMPERATURE
from orq_otel.payloads.usage import read_audio_usage

_JSON_FORMATS = ("json", "verbose_json", "diarized_json")
_TEXT_FORMATS = ("text", "srt", "vtt")


def read_speech_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /audio/speech`."""
    attributes: Attributes = {OUTPUT_TYPE: "speech"}
    if body.get("stream_format") == "sse":
        attributes[REQUEST_STREAM] = True
    return attributes


def read_speech(response: Any) -> Attributes:
    """Attributes of speech: none, unless it came as events, which the client does not parse."""
    http = get(response, "response")
    if "event-stream" not in getattr(http, "headers", {}).get("content-type", ""):
        return {}
    attributes: Attributes = {}
    for line in http.content.splitlines():
        if line.startswith(b"data:") and b'"usage"' in line:
            attributes.update(read_usage(parse_json(line.removeprefix(b"data:"))))
    return attributes


def read_transcription_request(body: Mapping[str, Any]) -> Attributes:
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


def read_usage(response: Any) -> Attributes:
    """Attributes of a transcript or a translation, or of the last event of either or of speech."""
    attributes: Attributes = {}
    usage = get(response, "usage")
    if usage is not None:
        read_audio_usage(usage, attributes)
    return attributes
