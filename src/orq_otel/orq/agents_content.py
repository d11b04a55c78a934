"""Read what is said in calls of Orq's agents: requests, responses and streams. Pure functions.

Agents speak A2A: messages have parts, of some kind each. What an agent says between two messages of
the user is one message here. A tool that an agent called and that has answered was run by Orq; the
others wait for the caller. The conventions tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, Final

from orq_otel.genai.fields import NO_CHUNK, fields, get
from orq_otel.genai.growing_text import growing_text
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
from orq_otel.orq import agents
from orq_otel.orq.models import plain, sent
from orq_otel.orq.requests import Arguments
from orq_otel.payloads.parts import items, merged

#: A part of a message in A2A.
_Given = Mapping[str, Any]

#: The conventions' words for why an agent ended. Others are those of chat completions.
_REASONS: Final = {"max_iterations": "length", "max_time": "length"}
#: Kinds of parts that are text.
_TEXTS: Final = frozenset({"text", "reasoning"})
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

    __slots__ = ("_description", "_is_over", "_parts", "_thoughts")

    def __init__(self) -> None:
        super().__init__()
        self._description: Content = {}
        # By their ids, in the order in which they began. Of text in pieces, what joins them.
        self._parts: dict[object, list[_Given | tuple[str, StringIO]]] = {}
        self._thoughts: list[object] = []
        self._is_over = False

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        try:
            kind, data = event.data.type, event.data.data
            if kind not in _KEPT:
                return
        except NO_CHUNK:
            return
        given = fields(data)
        if kind == _DELTA:
            self._add(self._parts.setdefault(_id(given), []), fields(given.get("delta")))
        elif kind == _DONE:
            self._parts[_id(given)] = [fields(given.get("part"))]
        elif kind == _STARTED:
            self._description = _description(given)
        elif kind == _THOUGHT:
            id = object()  # noqa: A001
            self._thoughts.append(id)
            self._parts[id] = [*_thought(given)]
        else:
            self._is_over = self._is_over or kind == _INACTIVE
            self._parts[object()] = [*SAID[kind](given)]

    @staticmethod
    def _add(parts: list[_Given | tuple[str, StringIO]], delta: _Given) -> None:
        """Add to a part what may be the next piece of its text."""
        kind = _kind(delta)
        said = delta.get(kind) if kind in _TEXTS else None
        if not isinstance(said, str):
            parts.append(delta)
            return
        last = parts[-1] if parts else None
        if not isinstance(last, tuple) or last[0] != kind:
            last = kind, growing_text()
            parts.append(last)
        last[1].write(said)

    def content(self) -> Content:
        """What the events said so far."""
        parts = [
            {"kind": part[0], part[0]: part[1].getvalue()} if isinstance(part, tuple) else part
            for id, pieces in self._parts.items()  # noqa: A001
            for part in (self._unsaid(pieces) if id in self._thoughts else pieces)
        ]
        reason = self.attributes().get(RESPONSE_FINISH_REASONS, (None,))[0]
        return {**self._description, **_answer(parts, reason)}

    def _unsaid(self, thought: list[Any]) -> list[Any]:
        """What a model thought. Its text is the agent's, unless that comes later."""
        return [part for part in thought if part["kind"] != "text"] if self._is_over else thought


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
    said = given.get(kind) if kind in _TEXTS else None
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


def _thought(event: _Given) -> list[_Given]:
    """What a model that drives the agent said."""
    said = fields(get(event.get("choice"), "message"))
    parts: list[_Given] = []
    for name in ("reasoning", "content"):
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
_KEPT: Final = frozenset({*SAID, _STARTED, _DELTA, _DONE, _THOUGHT})


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
