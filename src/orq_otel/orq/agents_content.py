"""Read what is said in calls of Orq's agents: requests, responses and streams. Pure functions.

Agents speak A2A: messages have parts, of some kind each. What an agent says between two messages of
the user is one message here. A tool that an agent called and that has answered was run by Orq; the
others wait for the caller. The conventions tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import (
    Content,
    Message,
    Part,
    blob,
    finish_reason,
    function_definition,
    generic,
    media,
    message,
    parsed,
    reasoning,
    server_tool_call,
    server_tool_result,
    text,
    tool_call,
    tool_definition,
    tool_result,
)
from orq_otel.genai.semconv import (
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    RESPONSE_FINISH_REASONS,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)
from orq_otel.openai.parts import items, merged
from orq_otel.orq import agents
from orq_otel.orq.models import plain, sent
from orq_otel.orq.requests import Arguments

#: A part of a message in A2A.
_Given = Mapping[str, Any]

#: The conventions' words for why an agent ended. Others are those of chat completions.
_REASONS: Final = {"max_iterations": "length", "max_time": "length"}
_MODALITIES: Final = frozenset({"audio", "image", "video"})


def read_request(arguments: Arguments) -> Content:
    """What an agent is told: a message of the user, or what the caller's tools answered."""
    given = fields(arguments.get("message"))
    parts = [_part(fields(one)) for one in items(given.get("parts"))]
    return {INPUT_MESSAGES: [message(plain(given.get("role")), parts)]} if parts else {}


def read_run_request(arguments: Arguments) -> Content:
    """The same, with what describes the agent: its instructions and tools."""
    return {**read_request(arguments), **_description(arguments)}


def nothing(_: Arguments) -> Content:
    """What a request for a response that was made before says."""
    return {}


def read_tools(given: Any) -> list[Any]:
    """The tools of an agent that a request describes, with descriptions and parameters."""
    return [_tool(fields(tool)) for tool in items(get(get(given, "settings"), "tools"))]


def read_response(response: Any) -> Content:
    """What a response says: one message, with the calls that wait for the caller."""
    given = fields(response)
    parts = [*_said(given.get("output")), *_pending(given.get("pending_tool_calls"))]
    return _answer(parts, agents.finish_reason(given))


def read_task(task: Any) -> Content:
    """What a task says as it then is."""
    given = fields(task)
    told = items(given.get("messages"))
    last = get(given.get("status"), "message")
    if last and get(last, "message_id") not in [get(one, "message_id") for one in told]:
        told = [*told, last]
    return _answer(_said(told), agents.read_task(task).get(RESPONSE_FINISH_REASONS, (None,))[0])


class ContentChunkReader(agents.ChunkReader):
    """Reads the events of one answer, and what they say."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_KEPT)

    def content(self) -> Content:
        """What the events said so far."""
        content: Content = {}
        whole: dict[object, list[_Given]] = {}  # in the order in which parts began
        is_over = any(kind == _INACTIVE for kind, _ in self._events)
        for kind, data in self._events:
            given = fields(data)
            if kind == _STARTED:
                content = _description(given)
            elif kind == _DELTA:
                whole.setdefault(_id(given), []).append(fields(given.get("delta")))
            elif kind == _DONE:
                whole[_id(given)] = [fields(given.get("part"))]
            elif kind == _THOUGHT:
                whole[object()] = _thought(given, is_last=not is_over)
            elif kind in SAID:
                whole[object()] = SAID[kind](given)
        parts = [part for pieces in whole.values() for part in pieces]
        reason = self.attributes().get(RESPONSE_FINISH_REASONS, (None,))[0]
        return {**content, **_answer(parts, reason)}


_STARTED: Final = "event.agents.started"
_THOUGHT: Final = "event.agents.thought"
_INACTIVE: Final = "event.agents.inactive"
_DELTA: Final = "part.delta"
_DONE: Final = "part.done"


def _answer(given: list[_Given], reason: str | None) -> Content:
    """The message of an agent, with why it ended if it has."""
    if not given:
        return {}
    ended = finish_reason(_REASONS.get(reason, reason)) if reason else None  # it may go on
    told: Message = message("assistant", merged(_turn(given)), finish_reason=ended)
    return {OUTPUT_MESSAGES: [told]}


def _turn(given: list[_Given]) -> list[Part]:
    """The parts of what an agent said. A call that is told of again is the same."""
    names = {_call_id(one): one.get("tool_name") for one in given if _kind(one) == "tool_call"}
    answered = [_call_id(one) for one in given if _kind(one) == "tool_result"]
    called: list[str | None] = []
    told = []
    for one in given:
        kind, id = _kind(one), _call_id(one)  # noqa: A001
        if kind == "tool_call":
            if id is not None and id in called:
                continue
            called.append(id)
            if id in answered:
                told.append(_server_call(one))
                continue
        elif kind == "tool_result" and id in names:
            details = {"result": plain(one.get("result"))}
            told.append(server_tool_result(id, _name(names[id]), details))
            continue
        told.append(_part(one))
    return told


def _said(messages: Any) -> list[_Given]:
    """The parts of what an agent said last, after everything that its user said."""
    parts: list[_Given] = []
    for one in map(fields, items(messages)):
        if plain(one.get("role")) == "user":
            parts = []
        else:
            parts += [fields(part) for part in items(one.get("parts"))]
    return parts


def _part(given: _Given) -> Part:
    """A part of a message. One that is not what its kind says is told as it is."""
    kind = _kind(given)
    said = given.get(kind) if kind in {"text", "reasoning"} else None
    if isinstance(said, str):
        return text(str.__str__(said)) if kind == "text" else reasoning(str.__str__(said))
    if kind == "file":
        return _file(fields(given.get("file")))
    if kind == "tool_call":
        return tool_call(given.get("tool_call_id"), given.get("tool_name"), given.get("arguments"))
    if kind == "tool_result":
        return tool_result(given.get("tool_call_id"), plain(given.get("result")))
    return generic(kind or "unknown", _rest(given, kind))


def _rest(given: _Given, kind: str) -> Any:
    """What a part of a kind that the conventions do not have says."""
    rest = sent({name: value for name, value in given.items() if name != "kind"})
    rest.pop("metadata", None)
    return rest[kind] if rest.keys() == {kind} else rest


def _file(given: _Given) -> Part:
    """A file by its URL, or its data, with the type that is told."""
    kind = given.get("mime_type", given.get("mimeType"))
    data = given.get("bytes_", given.get("bytes"))
    main = kind.partition("/")[0] if isinstance(kind, str) else ""
    modality = main if main in _MODALITIES else "document"
    if isinstance(data, str):
        return blob(modality, kind, data)
    return media(modality, given.get("uri"), kind)


def _server_call(given: _Given) -> Part:
    name = _name(given.get("tool_name"))
    arguments = given.get("arguments")
    details = {} if arguments is None else {"arguments": parsed(plain(arguments))}
    return server_tool_call(given.get("tool_call_id"), name, details)


def _name(given: Any) -> str:
    return given if type(given) is str else "unknown"


def _kind(given: _Given) -> str:
    kind = given.get("kind")
    return str.__str__(kind) if isinstance(kind, str) else ""


def _call_id(given: _Given) -> str | None:
    id = given.get("tool_call_id")  # noqa: A001
    return id if type(id) is str else None


def _id(event: _Given) -> str | None:
    id = event.get("part_id")  # noqa: A001
    return id if type(id) is str else None


def _pending(calls: Any) -> list[_Given]:
    """Calls that wait for the caller, in the form of chat completions, as parts."""
    return [
        _call(call.get("id"), function.get("name"), function.get("arguments"))
        for call in map(fields, items(calls))
        for function in [fields(call.get("function"))]
    ]


def _call(id: Any, name: Any, arguments: Any) -> _Given:  # noqa: A002
    return {"kind": "tool_call", "tool_call_id": id, "tool_name": name, "arguments": arguments}


def _result(id: Any, result: Any) -> _Given:  # noqa: A002
    return {"kind": "tool_result", "tool_call_id": id, "result": result}


def _thought(event: _Given, *, is_last: bool) -> list[_Given]:
    """What a model that drives the agent said. Its text is the agent's, unless that comes later."""
    said = fields(get(event.get("choice"), "message"))
    names = ("reasoning", "content") if is_last else ("reasoning",)
    parts: list[_Given] = []
    for name in names:
        if said.get(name):
            kind = "text" if name == "content" else name
            parts.append({"kind": kind, kind: said[name]})
    return [*parts, *_pending(said.get("tool_calls"))]


def _inactive(event: _Given) -> list[_Given]:
    parts = [fields(part) for part in items(get(event.get("last_message_full"), "parts"))]
    if not parts and event.get("last_message"):
        parts = [{"kind": "text", "text": event["last_message"]}]
    return [*parts, *_pending(event.get("pending_tool_calls"))]


def _response_done(event: _Given) -> list[_Given]:
    return _pending(event.get("pending_tool_calls"))


def _tool_started(event: _Given) -> list[_Given]:
    name = event.get("tool_name") or event.get("tool_id")
    return [_call(event.get("tool_call_id"), name, event.get("arguments"))]


def _tool_done(event: _Given) -> list[_Given]:
    return [_result(event.get("tool_call_id"), event.get("result"))]


def _tool_failed(event: _Given) -> list[_Given]:
    return [_result(event.get("tool_call_id"), {"error": event.get("error")})]


def _execution_started(event: _Given) -> list[_Given]:
    name = event.get("tool_key") or event.get("action_type")
    return [_call(_executed(event), name, event.get("tool_arguments"))]


def _execution_finished(event: _Given) -> list[_Given]:
    return [_result(_executed(event), event.get("result"))]


def _execution_failed(event: _Given) -> list[_Given]:
    return [_result(_executed(event), {"error": get(event.get("error"), "message")})]


def _executed(event: _Given) -> Any:
    return get(event.get("tool_execution_context"), "agent_tool_call_id")


SAID: Final[Mapping[str, Callable[[_Given], list[_Given]]]] = {
    # agents.responses
    "tool.started": _tool_started,
    "tool.done": _tool_done,
    "tool.failed": _tool_failed,
    "response.done": _response_done,
    # agents.stream and agents.stream_run
    "event.workflow_events.tool_execution_started": _execution_started,
    "event.workflow_events.tool_execution_finished": _execution_finished,
    "event.workflow_events.tool_execution_failed": _execution_failed,
    _INACTIVE: _inactive,
}
_KEPT: Final = frozenset({*agents.EVENTS, *SAID, _DELTA, _DONE, _THOUGHT})


def _description(given: Mapping[str, Any]) -> Content:
    """What describes an agent, in a request or when it starts: its instructions and tools."""
    content: Content = {}
    told = [given.get("system_prompt"), given.get("instructions")]
    instructions = [text(one) for one in told if one and type(one) is str]
    if instructions:
        content[SYSTEM_INSTRUCTIONS] = instructions
    tools = [_tool(fields(tool)) for tool in items(get(given.get("settings"), "tools"))]
    if tools:
        content[TOOL_DEFINITIONS] = [{"type": t["type"], "name": t["name"]} for t in tools]
    return content


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of an agent: a function of the caller's, or one that Orq runs.

    No settings of those: credentials are among them.
    """
    function = fields(given.get("function"))
    if function:
        return function_definition(
            function.get("name"), function.get("description"), plain(function.get("parameters"))
        )
    kind = plain(given.get("type") or given.get("action_type"))
    kind = kind if type(kind) is str else "unknown"
    return tool_definition(kind, given.get("key"), given.get("description"))
