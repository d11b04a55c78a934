"""Runs of assistants: attributes and content of requests, responses and streams. Pure functions.

A run that is fetched again makes no call of a model, so its messages are only seen in a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import StringIO
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import add_error, error_type
from orq_otel.genai.fields import (
    Attributes,
    fields,
    get,
    output_type,
    read_strings,
    sampling,
    stop_reason,
)
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import (
    Content,
    Message,
    Part,
    file,
    finish_reason,
    message,
    tool_call,
    tool_result,
)
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import (
    content_parts,
    in_order,
    items,
    named_tools,
    text_parts,
    unknown_part,
)
from orq_otel.payloads.usage import read_completion_usage

_REQUEST: Final = (
    ("assistant_id", semconv.AGENT_ID),
    ("run_id", semconv.RESPONSE_ID),
    ("reasoning_effort", semconv.REQUEST_REASONING_LEVEL),
)
#: The assistant's thread, which is in the path of the request, unless it is yet to be made.
start_attributes: Final = partial(read_strings, names=(("thread_id", semconv.CONVERSATION_ID),))
_RUN: Final = (
    ("id", semconv.RESPONSE_ID),
    ("assistant_id", semconv.AGENT_ID),
    ("thread_id", semconv.CONVERSATION_ID),
    ("model", semconv.RESPONSE_MODEL),
    ("status", semconv.RESPONSE_STATUS),
)
#: Why the model stopped, by the status of the run.
_RUN_REASONS: Final = {
    "completed": "stop",
    "requires_action": "tool_calls",
    "cancelled": "error",
    "expired": "error",
    "failed": "error",
}
#: The conventions' words for why a message is incomplete, by the API's.
_MESSAGE_REASONS: Final = {
    "max_tokens": "length",
    "run_cancelled": "error",
    "run_expired": "error",
    "run_failed": "error",
}


# ---- Attributes ---------------------------------------------------------------------------------


def request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of a request that starts a run, or continues it: its path and body."""
    attributes = sampling(body, "max_completion_tokens")
    attributes.update(read_strings(body, _REQUEST))
    attributes.update(output_type(body.get("response_format")))
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def response_attributes(run: Any) -> Attributes:
    """Attributes of a run as it is now, or of an event of its stream.

    The client's events have the API's object in `data`. Only runs have attributes, other objects
    have none.
    """
    values = fields(get(run, "data") or run)
    if values.get("object") != "thread.run":
        reported: Attributes = {}
        if "object" not in values or values["object"] is None:
            add_error(values, reported)
        return reported
    attributes = read_strings(values, _RUN)
    reason = _run_reason(attributes.get(semconv.RESPONSE_STATUS), values.get("incomplete_details"))
    if reason is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = (reason,)
    error = values.get("last_error")
    if error is not None:
        attributes[semconv.ERROR_TYPE] = error_type(error)
    read_completion_usage(values.get("usage"), attributes)
    return attributes


def _run_reason(status: str | None, details: Any) -> str | None:
    """Why the model stopped, or None while it goes on."""
    if status != "incomplete":
        return _RUN_REASONS.get(status or "")
    reason = get(details, "reason")
    return stop_reason(reason) if isinstance(reason, str) and reason else status


# ---- Content ------------------------------------------------------------------------------------


def request_content(body: Mapping[str, Any]) -> Content:
    """Instructions, messages and tools of a request that starts a run, or the outputs of tools."""
    content: Content = {}
    instructions = text_parts(body.get("instructions"), body.get("additional_instructions"))
    if instructions:
        content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    messages = [_message(one) for one in items(get(body.get("thread"), "messages"))]
    messages += [_message(one) for one in items(body.get("additional_messages"))]
    messages += [
        message("tool", [tool_result(output.get("tool_call_id"), output.get("output"))])
        for output in map(fields, items(body.get("tool_outputs")))
    ]
    if messages:
        content[semconv.INPUT_MESSAGES] = messages
    tools = named_tools(body.get("tools"))
    if tools:
        content[semconv.TOOL_DEFINITIONS] = tools
    return content


def response_content(run: Any) -> Content:
    """The tool calls of a run that waits for their outputs. Its messages are not in it."""
    messages = _call_messages(run)
    return {semconv.OUTPUT_MESSAGES: messages} if messages else {}


def _message(value: Any) -> Message:
    """A message of a request, with the files that are attached to it."""
    values = fields(value)
    if not values:
        return message("user", [unknown_part(value)])
    attached = [get(one, "file_id") for one in items(values.get("attachments"))]
    parts = content_parts(values.get("content"))
    parts += [file(id) for id in attached if isinstance(id, str)]  # noqa: A001
    return message(values.get("role"), parts)


def _call_messages(run: Any) -> list[Message]:
    """The message with the tool calls that a run waits for, if it does."""
    needed = get(get(run, "required_action"), "submit_tool_outputs")
    parts: list[Part] = []
    for call in map(fields, items(get(needed, "tool_calls"))):
        function = fields(call.get("function"))
        parts.append(tool_call(call.get("id"), function.get("name"), function.get("arguments")))
    return [message("assistant", parts, finish_reason=finish_reason("tool_calls"))] if parts else []


# ---- Streams ------------------------------------------------------------------------------------


class ContentStreamReader(EventReader):
    """Reads attributes and content from the events of a run.

    A message comes in pieces, and whole when it is done. The pieces are used if it never was.
    """

    __slots__ = ("_messages", "_pieces", "_run")

    def __init__(self) -> None:
        super().__init__(response_attributes)
        self._messages: dict[Any, Mapping[str, Any]] = {}
        self._pieces: dict[Any, _Pieces] = {}
        self._run: Any = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        values = fields(get(event, "data") or event)
        kind, id = values.get("object"), values.get("id")  # noqa: A001
        if kind == "thread.run":
            self._run = values
        elif not isinstance(id, str):
            return
        elif kind == "thread.message":
            self._messages[id] = values
            if values.get("content"):  # it repeats its pieces
                self._pieces.pop(id, None)
        elif kind == "thread.message.delta":
            self._messages.setdefault(id, {})
            self._pieces.setdefault(id, _Pieces()).add(values.get("delta"))

    def content(self) -> Content:
        """The messages so far, and the tool calls that the run waits for."""
        messages = [self._message(id, values) for id, values in self._messages.items()]  # noqa: A001
        messages += _call_messages(self._run)
        return {semconv.OUTPUT_MESSAGES: messages} if messages else {}

    def _message(self, id: str, values: Mapping[str, Any]) -> Message:  # noqa: A002
        content = values.get("content") or self._pieces.get(id, _Pieces()).parts()
        role = values.get("role") or "assistant"
        return message(role, content_parts(content), finish_reason=_message_reason(values))


def _message_reason(values: Mapping[str, Any]) -> str:
    """Why a message ended."""
    if values.get("status") == "completed":
        return "stop"
    reason = get(values.get("incomplete_details"), "reason")
    return finish_reason(_MESSAGE_REASONS.get(reason, reason) if isinstance(reason, str) else None)


class _Pieces:
    """The content of one message, put together from its pieces."""

    __slots__ = ("_parts", "_texts")

    def __init__(self) -> None:
        self._parts: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, StringIO] = {}

    def add(self, delta: Any) -> None:
        """Take in the next piece: of one part, or of several."""
        for piece in items(get(delta, "content")):
            values = fields(piece)
            index = values.get("index")
            if not isinstance(index, int):
                continue
            self._parts.setdefault(index, dict(values))
            value = get(values.get("text"), "value") or values.get("refusal")
            if isinstance(value, str):
                self._texts.setdefault(index, growing_text()).write(value)

    def parts(self) -> list[Any]:
        """The parts so far, in the API's form."""
        parts: dict[int, Any] = {**self._parts}
        for index, written in self._texts.items():
            kind = "refusal" if parts[index].get("type") == "refusal" else "text"
            parts[index] = {"type": kind, kind: written.getvalue()}
        return [parts[index] for index in in_order(parts)]
