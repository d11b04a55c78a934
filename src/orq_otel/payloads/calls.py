"""Calls by voice that are set up, taken or forked: attributes and content. Pure functions.

The sound passes elsewhere, by WebRTC or a telephone, and so does what is said. A websocket that is
attached to the call has a session of its own. `POST /realtime/calls` has its session in a file of a
form, which is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.genai.errors import add_error
from orq_otel.genai.fields import Attributes, fields, get, read_strings
from orq_otel.genai.messages import Content
from orq_otel.genai.semconv import REQUEST_MODEL, SESSION_ID
from orq_otel.payloads import realtime
from orq_otel.payloads.responses import tool_definitions as tools_of

_MODEL: Final = (("model", REQUEST_MODEL),)
_IN_PATH: Final = (("call_id", SESSION_ID), ("session_id", SESSION_ID))
_SESSION: Final = (("id", SESSION_ID),)


def start_attributes(body: Mapping[str, Any]) -> Attributes:
    """The model that speaks."""
    return read_strings(_session(body), _MODEL)


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """The call, by the path of the request, and how its model answers."""
    return {**read_strings(body, _IN_PATH), **realtime.request_attributes(_session(body))}


def response_attributes(response: Any) -> Attributes:
    """The session of a new call. What takes a call is answered without a body."""
    values = fields(response)
    attributes: Attributes = read_strings(fields(values.get("session")), _SESSION)
    add_error(values, attributes)
    return attributes


def request_content(body: Mapping[str, Any]) -> Content:
    """Instructions and tools of the call's model."""
    return realtime.request_content(_session(body))


def tool_definitions(body: Any) -> list[Any]:
    """The tools of the call's model, with descriptions and parameters."""
    return tools_of(_session(fields(body)))


def _session(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the session, which are the body itself for a call that is accepted."""
    session = get(body, "session")
    return body if session is None else fields(session)
