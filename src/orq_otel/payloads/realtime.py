"""Read what is said over websockets: sessions, and realtime's responses. Pure functions.

What is said of a response of the Responses API is read as it is over HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, identifier, pick
from orq_otel.genai.semconv import (
    CONVERSATION_ID,
    ERROR_TYPE,
    OUTPUT_TYPE,
    PROMPT_NAME,
    PROMPT_VERSION,
    REQUEST_MAX_TOKENS,
    REQUEST_REASONING_LEVEL,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    RESPONSE_STATUS,
    RESPONSE_TIME_TO_FIRST_CHUNK,
    SESSION_ID,
)
from orq_otel.payloads.errors import error_type
from orq_otel.payloads.parameters import sampling
from orq_otel.payloads.usage import read_audio_usage

_SESSION: Final = (("id", SESSION_ID), ("model", RESPONSE_MODEL))
_RESPONSE: Final = (
    ("id", RESPONSE_ID),
    ("conversation_id", CONVERSATION_ID),
    ("status", RESPONSE_STATUS),
)
_PROMPT: Final = (("id", PROMPT_NAME), ("version", PROMPT_VERSION))


def read_connection(parameters: Mapping[str, Any]) -> Attributes:
    """Attributes of what a session is opened with: one that runs already has an id."""
    return pick(parameters, (("session_id", SESSION_ID),))


def read_session(event: Any) -> Attributes:
    """Attributes of an event with the session as it then is, none of any other."""
    return pick(fields(get(event, "session")), _SESSION)


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the parameters of `response.create`. The session has the others."""
    attributes = sampling(body)
    for name in ("max_output_tokens", "max_response_output_tokens"):  # the latter in beta
        if type(body.get(name)) is int:  # or "inf"
            attributes[REQUEST_MAX_TOKENS] = body[name]
    effort = get(body.get("reasoning"), "effort")
    if type(effort) is str:
        attributes[REQUEST_REASONING_LEVEL] = effort
    attributes.update(_output_type(body))
    attributes.update(pick(fields(body.get("prompt")), _PROMPT))
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of a response as it then is."""
    given = fields(response)
    attributes = pick(given, _RESPONSE)
    attributes.update(_output_type(given))
    status = given.get("status")
    details = fields(given.get("status_details"))
    if status == "failed":
        attributes[ERROR_TYPE] = error_type(details.get("error"))
    reason = _finish_reason(status, details, given.get("output"))
    if reason is not None:
        attributes[RESPONSE_FINISH_REASONS] = (reason,)
    usage = given.get("usage")
    if usage is not None:
        read_audio_usage(usage, attributes)
    return attributes


def read_event(event: Any) -> Attributes:
    """Attributes of an event that tells of a response, or of its first output."""
    told = fields(event)
    attributes = read_response(told.get("response"))
    if "seconds" in told:
        attributes[RESPONSE_TIME_TO_FIRST_CHUNK] = told["seconds"]
    return attributes


def first_output(seconds: float) -> Mapping[str, Any]:
    """An event of our own: that long after it was asked for, a response had its first output."""
    return {"type": "orq_otel.first_output", "seconds": seconds}


def _output_type(given: Mapping[str, Any]) -> Attributes:
    """What a response is to consist of: where there is audio, text is what is heard."""
    modalities = given.get("output_modalities") or given.get("modalities")  # the latter in beta
    if not isinstance(modalities, (list, tuple)):
        return {}
    return {OUTPUT_TYPE: "speech" if "audio" in modalities else "text"}


def _finish_reason(status: Any, details: Mapping[str, Any], output: Any) -> str | None:
    """Why the model stopped. The API has a status instead, and a reason where it stopped early."""
    if status == "completed":
        if output is None:  # too long to be read, what it called is not known
            return None
        called = "function_call" in [get(item, "type") for item in output]
        return "tool_calls" if called else "stop"
    if status == "failed":
        return "error"
    if status in ("incomplete", "cancelled"):  # by whom, or for what, is the reason
        return identifier(details.get("reason")) or str(status)
    return None
