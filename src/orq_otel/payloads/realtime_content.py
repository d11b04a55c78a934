"""Read what is said in realtime's responses. Pure functions.

Its items are those of the Responses API, apart from what is spoken: of that there is a transcript,
sooner or later, and the sound comes in pieces that are left alone. The attributes have names of
ours, as all of an operation that the conventions do not name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import own_names
from orq_otel.genai.fields import fields
from orq_otel.genai.messages import Content
from orq_otel.payloads import responses_content
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import items
from orq_otel.payloads.realtime import read_event

_SPOKEN = ("input_audio", "output_audio", "audio")


def read_request(body: Mapping[str, Any]) -> Content:
    """What the parameters of `response.create` say: messages, instructions and tools."""
    given = [_written(item) for item in items(body.get("input"))]
    return own_names(responses_content.read_request({**body, "input": given}))


def read_response(response: Any) -> Content:
    """What a response says: one message."""
    given = fields(response)
    output = [_written(item) for item in items(given.get("output"))]
    details = given.get("status_details")
    return own_names(
        responses_content.read_response({**given, "output": output, "incomplete_details": details})
    )


class ContentChunkReader(EventReader):
    """Reads the events of one response, and what the last of them says."""

    __slots__ = ("_response",)

    def __init__(self) -> None:
        super().__init__(read_event)
        self._response: Any = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        self._response = fields(event).get("response") or self._response

    def content(self) -> Content:
        """What the events said so far."""
        return read_response(self._response)


def _written(item: Any) -> Any:
    """An item in which what is spoken is written, as far as there is a transcript."""
    given = fields(item)
    if not isinstance(given.get("content"), list):
        return item
    return {**given, "content": [_part(part) for part in given["content"]]}


def _part(part: Any) -> Any:
    given = fields(part)
    kind = given.get("type")
    if kind not in _SPOKEN:
        return part
    if isinstance(given.get("transcript"), str):
        return {"type": "text", "text": given["transcript"]}
    return {"type": "input_audio", "input_audio": {"data": given.get("audio") or ""}}
