"""Sessions of OpenAI's agents: attributes and content of requests, responses and streams.

Pure functions. A session is the conventions' conversation. In it an agent takes turns: each begins
with messages of the user, or with what a tool returned, and its items come as events on any stream
of the session. The request that submits the input is answered at once, without them.

An agent's name is only in what the server sends, too late for samplers, so it is left out.
Subagents have turns of their own, which are no part of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import StringIO
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.errors import UNNAMED, error_type
from orq_otel.genai.fields import (
    Attributes,
    fields,
    get,
    output_type,
    read_strings,
    service_tier,
)
from orq_otel.genai.growing_text import growing_text
from orq_otel.genai.messages import Content, Message, finish_reason, generic, message, tool_result
from orq_otel.payloads.parts import items, tool_response
from orq_otel.payloads.response_items import item_parts
from orq_otel.payloads.responses import input_messages, instructions_and_tools, tool_definitions
from orq_otel.payloads.usage import read_response_usage

_AGENT: Final = (("agent_id", semconv.AGENT_ID),)
_IN_PATH: Final = (("session_id", semconv.CONVERSATION_ID),)
#: The session, which is in the path of the request.
start_attributes: Final = partial(read_strings, names=_IN_PATH)
_SESSION: Final = (("id", semconv.CONVERSATION_ID),)
_MODEL: Final = (("model", semconv.REQUEST_MODEL),)
_LEVEL: Final = (("effort", semconv.REQUEST_REASONING_LEVEL),)
_AGENT_OF_SESSION: Final = (("id", semconv.AGENT_ID), ("model", semconv.RESPONSE_MODEL))
_TURN: Final = (("id", semconv.RESPONSE_ID), ("agent_id", semconv.AGENT_ID))
_INVOCATION: Final = (("id", semconv.RESPONSE_ID), ("session_id", semconv.CONVERSATION_ID))
#: Statuses that the conventions know, of sessions, turns and invocations. A session that is idle,
#: or waits for something, has none.
_STATUSES: Final = frozenset({"queued", "in_progress", "completed", "failed", "cancelled"})
#: Why the agent stopped, by the status of its turn.
_REASONS: Final = {"completed": "stop", "failed": "error", "cancelled": "error"}
_EVENT: Final = "agent.session."


# ---- Attributes ---------------------------------------------------------------------------------


def new_start_attributes(body: Mapping[str, Any]) -> Attributes:
    """The model that a new session's agent is to use, if the request names one."""
    return read_strings(fields(body.get("agent")), _MODEL)


def new_request_attributes(body: Mapping[str, Any]) -> Attributes:
    """Attributes of a request for a session: a saved agent, or what this one differs in."""
    attributes: Attributes = read_strings(body, _AGENT)
    agent = fields(body.get("agent"))
    attributes.update(read_strings(fields(agent.get("reasoning")), _LEVEL))
    attributes.update(output_type(get(agent.get("text"), "format")))
    attributes.update(service_tier(agent.get("service_tier")))
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def stream_request_attributes(_: Mapping[str, Any]) -> Attributes:
    """That the events of a session are streamed."""
    return {semconv.REQUEST_STREAM: True}


def session_attributes(session: Any) -> Attributes:
    """Attributes of a session as it is now."""
    values = fields(session)
    attributes: Attributes = read_strings(values, _SESSION)
    attributes.update(read_strings(fields(values.get("agent")), _AGENT_OF_SESSION))
    _add_status(values, attributes)
    read_response_usage(values.get("usage"), attributes)
    return attributes


def invocation_attributes(invocation: Any) -> Attributes:
    """Attributes of an invocation of an automation, which an agent works on later."""
    values = fields(invocation)
    attributes: Attributes = read_strings(values, _INVOCATION)
    _add_status(values, attributes)
    return attributes


def _add_status(values: Mapping[str, Any], attributes: Attributes) -> None:
    """Add the status of a session, a turn or an invocation, and the error for which it failed."""
    status = values.get("status")
    if isinstance(status, str) and status in _STATUSES:
        attributes[semconv.RESPONSE_STATUS] = status
    if status == "failed" or (status is None and values.get("error") is not None):
        attributes[semconv.ERROR_TYPE] = error_type(values.get("error"))


class StreamReader:
    """Reads attributes from the events of a session: those of the last turn, and all usage."""

    __slots__ = ("_attributes", "_of_subagents", "_usage")

    def __init__(self) -> None:
        self._attributes: Attributes = {}
        self._usage: dict[Any, Attributes] = {}
        self._of_subagents: set[Any] = set()

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        values = fields(event)
        kind = values.get("type")
        error = values.get("error")
        if kind == "error" or (kind is None and error is not None):  # the client does not raise it
            self._attributes[semconv.ERROR_TYPE] = error_type(event if error is None else error)
        elif values.get("session") is not None:
            self._read_session(kind, fields(values["session"]))
        elif values.get("turn") is not None:
            self._read_turn(fields(values["turn"]), values.get("usage"))

    def attributes(self) -> Attributes:
        """The attributes so far."""
        total: Attributes = {}
        for usage in self._usage.values():
            for name, count in usage.items():
                total[name] = total.get(name, 0) + count
        return {**self._attributes, **total}

    def _read_session(self, kind: Any, session: Mapping[str, Any]) -> None:
        """Read a session. Its usage is that of earlier turns as well, and so is left alone."""
        found = session_attributes({**session, "usage": None})
        found.pop(semconv.RESPONSE_STATUS, None)  # a turn's says more
        if (
            found.get(semconv.ERROR_TYPE) == UNNAMED and semconv.ERROR_TYPE in self._attributes
        ):  # so does its error
            del found[semconv.ERROR_TYPE]
        if kind == f"{_EVENT}requires_action":
            wanted = [get(one, "type") for one in items(session.get("required_actions"))]
            if "function_call" in wanted:
                found[semconv.RESPONSE_FINISH_REASONS] = ("tool_calls",)
        self._attributes.update(found)

    def _read_turn(self, turn: Mapping[str, Any], usage: Any) -> None:
        id = turn.get("id")  # noqa: A001
        if not isinstance(id, str):
            return
        if turn.get("subagent_id") is not None:
            self._of_subagents.add(id)
            return
        found: Attributes = read_strings(turn, _TURN)
        found.update(read_strings(turn, _IN_PATH))
        _add_status(turn, found)
        reason = _REASONS.get(found.get(semconv.RESPONSE_STATUS, ""))
        if reason is not None:
            found[semconv.RESPONSE_FINISH_REASONS] = (reason,)
        self._attributes.update(found)
        usage = turn.get("usage") if usage is None else usage
        if usage is not None:
            counts: Attributes = {}
            read_response_usage(usage, counts)
            self._usage[id] = counts


# ---- Content ------------------------------------------------------------------------------------


def new_request_content(body: Mapping[str, Any]) -> Content:
    """The first messages of a session, and its agent's instructions and tools."""
    content = instructions_and_tools(fields(body.get("agent")))
    messages = _input(body.get("input"))
    return {**content, semconv.INPUT_MESSAGES: messages} if messages else content


def new_tool_definitions(body: Any) -> list[Any]:
    """The tools of a new session's agent, with descriptions and parameters."""
    return tool_definitions(get(body, "agent"))


def input_request_content(body: Mapping[str, Any]) -> Content:
    """What is submitted to a session: messages, what tools returned, and approvals of MCP's tools.

    What a user types into a form, for an agent that uses a browser, is secret and never read.
    """
    messages = [one for event in items(body.get("events")) for one in _submitted(fields(event))]
    return {semconv.INPUT_MESSAGES: messages} if messages else {}


def _input(value: Any) -> list[Message]:
    return input_messages(value) if value else []


def _submitted(values: Mapping[str, Any]) -> list[Message]:
    kind = values.get("type")
    if kind == f"{_EVENT}input.message":
        return _input(values.get("input"))
    if kind == f"{_EVENT}input.tool_result":
        output = values.get("output")
        if output is None:
            output = values.get("error")
        return [message("tool", [tool_result(values.get("call_id"), tool_response(output))])]
    if kind == f"{_EVENT}input.mcp_approval_request_result":
        decision = get(values.get("response"), "decision")
        said = {"request_id": values.get("request_id"), "decision": decision}
        return [message("user", [generic("mcp_approval_response", said)])]
    return []


class ContentStreamReader(StreamReader):
    """Reads attributes and content from the events of a session: a message for each turn.

    An item comes in pieces, and whole when it is done. The pieces of a text are used if it never
    was.
    """

    __slots__ = ("_items", "_pieces", "_reasons", "_turns")

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[Any, Mapping[str, Any]] = {}
        self._pieces: dict[Any, StringIO] = {}
        self._turns: dict[Any, Any] = {}
        self._reasons: dict[Any, str] = {}

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        values = fields(event)
        kind = values.get("type")
        turn, id = values.get("turn_id"), values.get("item_id")  # noqa: A001
        if kind == f"{_EVENT}turn.output_text.delta":
            piece = values.get("delta")
            if isinstance(piece, str) and isinstance(id, str):
                self._turns.setdefault(id, turn)
                self._pieces.setdefault(id, growing_text()).write(piece)
            return
        super().feed(event)
        if kind == f"{_EVENT}turn.item.done":
            item = fields(values.get("item"))
            id = item.get("id")  # noqa: A001
            if isinstance(id, str):
                self._turns.setdefault(id, item.get("turn_id") or turn)
                self._items[id] = item
                self._pieces.pop(id, None)
        elif semconv.RESPONSE_FINISH_REASONS in self._attributes:
            last = turn or self._attributes.get(semconv.RESPONSE_ID)
            if isinstance(last, str):
                (self._reasons[last],) = self._attributes[semconv.RESPONSE_FINISH_REASONS]

    def content(self) -> Content:
        """The messages so far."""
        by_turn: dict[Any, list[Mapping[str, Any]]] = {}
        for id, turn in self._turns.items():  # noqa: A001
            if turn not in self._of_subagents:
                by_turn.setdefault(turn, []).append(self._items.get(id) or self._unfinished(id))
        messages = [
            message("assistant", parts, finish_reason(self._reasons.get(turn)))
            for turn, each in by_turn.items()
            if (parts := [part for item in each for part in item_parts(item)])
        ]
        return {semconv.OUTPUT_MESSAGES: messages} if messages else {}

    def _unfinished(self, id: Any) -> Mapping[str, Any]:  # noqa: A002
        pieces = self._pieces.get(id)
        return {"content": "" if pieces is None else pieces.getvalue()}
