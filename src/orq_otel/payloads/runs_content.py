"""Read what is said in runs of assistants: requests, responses and streams. Pure functions.

A run that is asked for again later makes no call of a model. What it says then is not seen here:
only a stream tells messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any, Final

from orq_otel.genai.fields import fields, get
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import (
    Content,
    Message,
    Part,
    file,
    finish_reason,
    message,
    text,
    tool_call,
    tool_result,
)
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)
from orq_otel.payloads import runs
from orq_otel.payloads.events import EventReader
from orq_otel.payloads.parts import (
    content_parts,
    in_order,
    items,
    named_tools,
    tool_definitions,
    unknown_part,
)

#: The conventions' words for why a message is incomplete.
_REASONS: Final = {
    "max_tokens": "length",
    "run_cancelled": "error",
    "run_expired": "error",
    "run_failed": "error",
}


def read_request(body: Mapping[str, Any]) -> Content:
    """What a request says that runs an assistant, or tells it what its tools answered."""
    content: Content = {}
    instructions = [
        text(said)
        for field in ("instructions", "additional_instructions")
        if (said := body.get(field)) and isinstance(said, str)
    ]
    if instructions:
        content[SYSTEM_INSTRUCTIONS] = instructions
    given = [*items(get(body.get("thread"), "messages")), *items(body.get("additional_messages"))]
    told = [_message(one) for one in given]
    told += [
        message("tool", [tool_result(output.get("tool_call_id"), output.get("output"))])
        for output in map(fields, items(body.get("tool_outputs")))
    ]
    if told:
        content[INPUT_MESSAGES] = told
    tools = named_tools(body.get("tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools
    return content


def read_tools(body: Mapping[str, Any]) -> list[Any]:
    """The tools of a request, with descriptions and parameters."""
    return tool_definitions(body.get("tools"))


def read_run(run: Any) -> Content:
    """What a run says: which tools it needs, if it waits for them."""
    told = _calls(run)
    return {OUTPUT_MESSAGES: told} if told else {}


class RunEventReader(EventReader):
    """Reads the events of a run, and the messages in them.

    A message comes in pieces, and whole when it is done. The pieces count where it never was.
    """

    __slots__ = ("_messages", "_pieces", "_run")

    def __init__(self) -> None:
        super().__init__(runs.read_run)
        self._messages: dict[Any, Mapping[str, Any]] = {}
        self._pieces: dict[Any, _Pieces] = {}
        self._run: Any = None

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        given = fields(get(event, "data") or event)
        kind, id = given.get("object"), given.get("id")  # noqa: A001
        if kind == "thread.run":
            self._run = given
        elif not isinstance(id, str):
            return
        elif kind == "thread.message":
            self._messages[id] = given
            if given.get("content"):  # it repeats its pieces
                self._pieces.pop(id, None)
        elif kind == "thread.message.delta":
            self._messages.setdefault(id, {})
            self._pieces.setdefault(id, _Pieces()).add(given.get("delta"))

    def content(self) -> Content:
        """What the events said so far."""
        told = [self._whole(id, given) for id, given in self._messages.items()]  # noqa: A001
        told += _calls(self._run)
        return {OUTPUT_MESSAGES: told} if told else {}

    def _whole(self, id: str, given: Mapping[str, Any]) -> Message:  # noqa: A002
        content = given.get("content") or self._pieces.get(id, _Pieces()).parts()
        role = given.get("role") or "assistant"
        return message(role, content_parts(content), finish_reason=_reason(given))


def _message(given: Any) -> Message:
    said = fields(given)
    if not said:
        return message("user", [unknown_part(given)])
    attached = [get(one, "file_id") for one in items(said.get("attachments"))]
    parts = content_parts(said.get("content"))
    parts += [file(id) for id in attached if isinstance(id, str)]  # noqa: A001
    return message(said.get("role"), parts)


def _calls(run: Any) -> list[Message]:
    """The message that a run consists of which waits for its tools."""
    needed = get(get(run, "required_action"), "submit_tool_outputs")
    parts: list[Part] = []
    for call in map(fields, items(get(needed, "tool_calls"))):
        function = fields(call.get("function"))
        parts.append(tool_call(call.get("id"), function.get("name"), function.get("arguments")))
    return [message("assistant", parts, finish_reason=finish_reason("tool_calls"))] if parts else []


def _reason(given: Mapping[str, Any]) -> str:
    """Why a message ended."""
    if given.get("status") == "completed":
        return "stop"
    reason = get(given.get("incomplete_details"), "reason")
    return finish_reason(_REASONS.get(reason, reason) if isinstance(reason, str) else None)


class _Pieces:
    """The pieces of one message, joined."""

    __slots__ = ("_parts", "_said")

    def __init__(self) -> None:
        self._parts: dict[int, dict[str, Any]] = {}
        self._said: dict[int, StringIO] = {}

    def add(self, delta: Any) -> None:
        """Take in the next piece: of one part, or of several."""
        for piece in items(get(delta, "content")):
            given = fields(piece)
            index = given.get("index")
            if not isinstance(index, int):
                continue
            self._parts.setdefault(index, dict(given))
            value = get(given.get("text"), "value") or given.get("refusal")
            if isinstance(value, str):
                self._said.setdefault(index, growing_text()).write(value)

    def parts(self) -> list[Any]:
        """The parts so far."""
        parts: dict[int, Any] = {**self._parts}
        for index, said in self._said.items():
            kind = "refusal" if parts[index].get("type") == "refusal" else "text"
            parts[index] = {"type": kind, kind: said.getvalue()}
        return [parts[index] for index in in_order(parts)]
