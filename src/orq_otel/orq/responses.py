"""Read the AI Router's Responses API: requests, responses and streams. Pure functions.

The router speaks OpenAI's language, and OpenAI's readers read it. What is different are the models
of Orq's client: some numbers are floats, and events hold those of OpenAI.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get, pick
from orq_otel.genai.semconv import (
    ORQ_SPAN_ID,
    ORQ_TRACE_ID,
    REQUEST_PREVIOUS_RESPONSE_ID,
    REQUEST_REASONING_LEVEL,
    RESPONSE_ID,
)
from orq_otel.orq.models import as_body, plain, whole
from orq_otel.orq.requests import Arguments, model
from orq_otel.payloads import responses
from orq_otel.payloads.parameters import stop_sequences

_ASKED_FOR = (("previous_response_id", REQUEST_PREVIOUS_RESPONSE_ID),)
_LEVEL = (("thinking_level", REQUEST_REASONING_LEVEL), ("effort", REQUEST_REASONING_LEVEL))
_TELEMETRY = (("trace_id", ORQ_TRACE_ID), ("span_id", ORQ_SPAN_ID))

#: States of a response that is still being made. Its counts are placeholders.
_UNFINISHED = ("queued", "in_progress")


def start(arguments: Arguments) -> Attributes:
    """The model, and the conversation if the caller names one: that wins over the thread's."""
    attributes = model(arguments)
    if arguments.get("conversation"):
        attributes.update(responses.conversation_attributes(arguments["conversation"]))
    return attributes


def read_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `responses.create` and `responses.compact`."""
    body = as_body(arguments)
    if "text" in body:
        body["text"] = plain(body["text"])
    attributes = responses.request_attributes(body)
    attributes.update(pick(body, _ASKED_FOR))
    for how in ("thinking", "reasoning"):
        if body.get(how):
            attributes.update(pick(fields(body[how]), _LEVEL))
    if body.get("stop_sequences"):
        attributes.update(stop_sequences(body["stop_sequences"]))
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of a response that was just made, or has just begun; or of a compacted history."""
    given = fields(response)
    is_made = plain(given.get("status")) not in _UNFINISHED
    usage = whole(given.get("usage")) if is_made else {}
    return {**responses.response_attributes({**given, "usage": usage}), **_telemetry(given)}


def read_fetch_request(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `responses.get`."""
    return pick(arguments, (("response_id", RESPONSE_ID),))


def read_fetched_response(response: Any) -> Attributes:
    """Attributes of a response that was made before. Its tokens were counted then."""
    return {**responses.fetched_response_attributes(response), **_telemetry(fields(response))}


class ChunkReader(responses.StreamReader):
    """Reads the events of one response: each holds one of OpenAI's."""

    __slots__ = ()

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(within(event))

    def _read(self, response: Any) -> Attributes:
        return read_response(response)


def within(event: Any) -> Any:
    """OpenAI's event in one of Orq's. That of an error may have its code a level deeper."""
    given = getattr(event, "data", None)
    if getattr(given, "type", None) == "error":
        code = get(get(given, "error"), "code") or get(given, "code")
        return SimpleNamespace(type="error", code=code)
    return given


def _telemetry(response: Mapping[str, Any]) -> Attributes:
    return pick(fields(response.get("telemetry")), _TELEMETRY)
