"""The Realtime API: attributes and content of its sessions and their responses. Pure functions.

Items are those of the Responses API and are read there, except for speech: its transcript is read
here, and the sound, which comes in events of its own, is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import error_type
from orq_otel.genai.fields import Attributes, fields, get, read_strings, sampling, stop_reason
from orq_otel.genai.messages import Content
from orq_otel.payloads import responses
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import items
from orq_otel.payloads.usage import read_audio_usage

_SESSION: Final = (("id", semconv.SESSION_ID), ("model", semconv.RESPONSE_MODEL))
_LEVEL: Final = (("effort", semconv.REQUEST_REASONING_LEVEL),)
_RESPONSE: Final = (
    ("id", semconv.RESPONSE_ID),
    ("conversation_id", semconv.CONVERSATION_ID),
    ("status", semconv.RESPONSE_STATUS),
)
#: Types of parts that are speech.
_SPEECH: Final = ("input_audio", "output_audio", "audio")


# ---- Attributes ---------------------------------------------------------------------------------
#: Attributes of what a connection is opened with: the id of a session that already runs.
connection_attributes: Final = partial(read_strings, names=(("session_id", semconv.SESSION_ID),))


def session_attributes(event: Any) -> Attributes:
    """Attributes of an event that carries the session. Other events have none."""
    return read_strings(fields(get(event, "session")), _SESSION)


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the parameters of `response.create`. The session has defaults for the rest."""
    # The limit may be "inf". It has the latter name in beta.
    attributes = sampling(body, "max_output_tokens", "max_response_output_tokens")
    attributes.update(read_strings(fields(body.get("reasoning")), _LEVEL))
    attributes.update(_output_type(body))
    attributes.update(responses.prompt_attributes(body.get("prompt")))
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a response as it is now."""
    values = fields(response)
    attributes = read_strings(values, _RESPONSE)
    attributes.update(_output_type(values))
    status = values.get("status")
    details = fields(values.get("status_details"))
    if status == "failed":
        attributes[semconv.ERROR_TYPE] = error_type(details.get("error"))
    reason = _stop_reason(status, details, values.get("output"))
    if reason is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = (reason,)
    usage = values.get("usage")
    if usage is not None:
        read_audio_usage(usage, attributes)
    return attributes


def event_attributes(event: Any) -> Attributes:
    """Attributes of an event that carries a response, or of a `first_output_event`."""
    values = fields(event)
    attributes = response_attributes(values.get("response"))
    if "seconds" in values:
        attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = values["seconds"]
    return attributes


def first_output_event(seconds: float) -> Mapping[str, Any]:
    """An event of our own: a response had its first output `seconds` after it was requested."""
    return {"type": "orq_otel.first_output", "seconds": seconds}


def _output_type(values: Mapping[str, Any]) -> Attributes:
    """What a response consists of. Speech comes with text, its transcript, but counts as speech."""
    modalities = values.get("output_modalities") or values.get("modalities")  # the latter in beta
    if not isinstance(modalities, (list, tuple)):
        return {}
    return {semconv.OUTPUT_TYPE: "speech" if "audio" in modalities else "text"}


def _stop_reason(status: Any, details: Mapping[str, Any], output: Any) -> str | None:
    """Why the model stopped, from the status, and from the reason where it stopped early."""
    if status == "completed":
        if output is None:  # the message was too long to be parsed as a whole
            return None
        has_call = "function_call" in [get(item, "type") for item in output]
        return "tool_calls" if has_call else "stop"
    if status in ("failed", "cancelled"):
        return "error"
    if status == "incomplete":
        reason = details.get("reason")
        return stop_reason(reason) if isinstance(reason, str) and reason else str(status)
    return None


# ---- Content ------------------------------------------------------------------------------------


def request_content(body: Mapping[str, Any]) -> Content:
    """Messages, instructions and tools of the parameters of `response.create`."""
    input_items = [_transcribed(item) for item in items(body.get("input"))]
    return responses.request_content({**body, "input": input_items})


def response_content(response: Any) -> Content:
    """The message of a response."""
    values = fields(response)
    output = [_transcribed(item) for item in items(values.get("output"))]
    details = values.get("status_details")
    return responses.response_content({**values, "output": output, "incomplete_details": details})


def _transcribed(item: Any) -> Any:
    """An item whose speech is replaced by its transcript, where there is one."""
    values = fields(item)
    if not isinstance(values.get("content"), list):
        return item
    return {**values, "content": [_transcribed_part(part) for part in values["content"]]}


def _transcribed_part(part: Any) -> Any:
    values = fields(part)
    if values.get("type") not in _SPEECH:
        return part
    if isinstance(values.get("transcript"), str):
        return {"type": "text", "text": values["transcript"]}
    return {"type": "input_audio", "input_audio": {"data": values.get("audio") or ""}}


class ContentStreamReader(EventReader):
    """Reads attributes from the events of one response, and content from its last state."""

    __slots__ = ("_response",)

    def __init__(self) -> None:
        super().__init__(event_attributes)
        self._response: Any = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        self._response = fields(event).get("response") or self._response

    def content(self) -> Content:
        """The content of the response so far."""
        return response_content(self._response)
