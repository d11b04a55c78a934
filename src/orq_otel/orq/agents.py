"""Read calls of Orq's agents: requests, responses, tasks and streams. Pure functions.

An agent answers in one of two forms. `agents.responses` returns responses, with usage and the
reason why the agent stopped. `invoke` and `run` return tasks of the A2A protocol, which have a
state only.

Messages are A2A's: they have parts, each of one kind. All that an agent says between two messages
of its user is one message here. A tool call with a result was run by Orq, and one without is left
to the caller: the conventions have parts of different types for the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from io import StringIO
from typing import Any, Final, TypeAlias

from orq_otel.genai import semconv
from orq_otel.genai.errors import UNNAMED
from orq_otel.genai.fields import (
    NO_CHUNK,
    Attributes,
    fields,
    get,
    identifier,
    read_strings,
    stop_reason,
)
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
from orq_otel.orq.models import as_json, billing, set_fields, telemetry_ids, token_counts
from orq_otel.orq.requests import Arguments, model_attributes
from orq_otel.payloads import chat
from orq_otel.payloads.parts import items, merged, text_parts
from orq_otel.payloads.responses import conversation_attributes
from orq_otel.payloads.usage import read_completion_usage

#: The fields of an event, a message or a part of one.
_Fields: TypeAlias = Mapping[str, Any]

_KEY: Final = (("agent_key", semconv.AGENT_NAME), ("key", semconv.AGENT_NAME))
_DESCRIPTION: Final = (("description", semconv.AGENT_DESCRIPTION),)
_TASK_ID: Final = (("task_id", semconv.ORQ_AGENT_EXECUTION_ID),)
_RESPONSE: Final = (
    ("id", semconv.RESPONSE_ID),
    ("response_id", semconv.RESPONSE_ID),
    ("task_id", semconv.ORQ_AGENT_EXECUTION_ID),
    ("model", semconv.RESPONSE_MODEL),
)
#: Attributes of the arguments of `agents.create`.
new_request_attributes: Final = partial(read_strings, names=_DESCRIPTION)

#: By the state of a task: the conventions' name for it, and why the task ended, if it has.
_STATES: Final[Mapping[str, tuple[str, str | None]]] = {
    "submitted": ("queued", None),
    "working": ("in_progress", None),
    "completed": ("completed", "stop"),
    "failed": ("failed", "error"),
    "rejected": ("failed", "error"),
    "canceled": ("cancelled", "error"),
}
#: The conventions' names for why an agent stopped. Other reasons are those of chat completions.
_REASONS: Final = {"max_iterations": "length", "max_time": "length"}
#: Kinds of parts that are text.
_TEXTS: Final = frozenset({"text", "reasoning"})
_MODALITIES: Final = frozenset({"audio", "image", "video"})
#: Attributes of the arguments of `agents.responses.get`, which takes the id of a task.
fetch_request_attributes: Final = partial(
    read_strings, names=(("task_id", semconv.RESPONSE_ID), *_TASK_ID)
)


def start_attributes(arguments: Arguments) -> Attributes:
    """The agent's key, and the caller's conversation."""
    conversation = conversation_attributes(arguments.get("conversation"))
    return {**read_strings(arguments, _KEY), **conversation}


def run_start_attributes(arguments: Arguments) -> Attributes:
    """The key of the agent that the request describes, and the model that it is to use."""
    model = arguments.get("model")
    name = model if isinstance(model, str) else get(model, "id")
    return {**start_attributes(arguments), **model_attributes({"model": name})}


def request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.responses.create` and of `agents.invoke`."""
    attributes: Attributes = read_strings(arguments, _TASK_ID)
    if arguments.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def run_request_attributes(arguments: Arguments) -> Attributes:
    """Attributes of the arguments of `agents.run`, which describe an agent."""
    attributes = request_attributes(arguments)
    attributes.update(read_strings(arguments, _DESCRIPTION))
    sources = items(arguments.get("knowledge_bases"))
    if len(sources) == 1:  # the conventions have room for one
        attributes.update(
            read_strings(fields(sources[0]), (("knowledge_id", semconv.DATA_SOURCE_ID),))
        )
    parameters = get(arguments.get("model"), "parameters")
    if parameters:
        attributes.update(chat.request_attributes(set_fields(fields(parameters))))
    return attributes


def response_attributes(response: Any) -> Attributes:
    """Attributes of a new response of an agent, finished or not."""
    response = fields(response)
    attributes = _end(response)
    if semconv.RESPONSE_FINISH_REASONS not in attributes and _has_error(response.get("output")):
        attributes[semconv.ERROR_TYPE] = "error"
    return attributes


def fetched_response_attributes(response: Any) -> Attributes:
    """Attributes of a stored response. Its tokens were counted when it was made."""
    response = fields(response)
    return {**_head(response), **read_strings(response, (("status", semconv.RESPONSE_STATUS),))}


def task_attributes(task: Any) -> Attributes:
    """Attributes of a task, which may have failed. Most still run in the background."""
    task = fields(task)
    attributes: Attributes = read_strings(task, (("id", semconv.ORQ_AGENT_EXECUTION_ID),))
    state = as_json(get(task.get("status"), "state"))
    status, reason = _STATES.get(state, (None, None)) if type(state) is str else (None, None)
    if status is not None:
        attributes[semconv.RESPONSE_STATUS] = status
    if reason is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = (reason,)
    if status == "failed":
        attributes[semconv.ERROR_TYPE] = state
    return attributes


def request_content(arguments: Arguments) -> Content:
    """The message to an agent: the user's, or the results of the caller's tools."""
    sent = fields(arguments.get("message"))
    parts = [_part(fields(one)) for one in items(sent.get("parts"))]
    return {semconv.INPUT_MESSAGES: [message(as_json(sent.get("role")), parts)]} if parts else {}


def run_request_content(arguments: Arguments) -> Content:
    """The message to an agent that the request describes, with its instructions and tools."""
    return {**request_content(arguments), **description_content(arguments)}


def tool_definitions(request: Any) -> list[Any]:
    """The tools of the agent that a request describes, with descriptions and parameters."""
    return [_tool(fields(tool)) for tool in items(get(get(request, "settings"), "tools"))]


def new_agent_attributes(agent: Any) -> Attributes:
    """The id of an agent that was made."""
    return read_strings(fields(agent), (("id", semconv.AGENT_ID),))


def response_content(response: Any) -> Content:
    """The output of a response as one message, with the tool calls that are left to the caller."""
    response = fields(response)
    parts = [*_last_turn(response.get("output")), *_pending(response.get("pending_tool_calls"))]
    return _answer(parts, _stop_reason(response))


def task_content(task: Any) -> Content:
    """The messages of an agent in a task so far, as one."""
    reason = task_attributes(task).get(semconv.RESPONSE_FINISH_REASONS, (None,))[0]
    task = fields(task)
    messages = items(task.get("messages"))
    last = get(task.get("status"), "message")
    if last and get(last, "message_id") not in [get(one, "message_id") for one in messages]:
        messages = [*messages, last]
    return _answer(_last_turn(messages), reason)


class StreamReader:
    """Reads attributes from the events of one answer, in either form.

    A stream without an event that ends it was broken off.
    """

    __slots__ = ("_attributes", "_has_ended")

    def __init__(self) -> None:
        self._attributes: Attributes = {}
        self._has_ended = False

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        try:
            inner = event.data
            kind = inner.type
            read = ATTRIBUTE_READERS.get(kind)
            if read is None:
                return
            data = inner.data
        except NO_CHUNK:
            return
        self._has_ended = self._has_ended or kind in _ENDS
        self._attributes.update(read(fields(data)))

    def attributes(self) -> Attributes:
        """The attributes of the events so far."""
        if self._has_ended:
            return self._attributes
        return {semconv.RESPONSE_FINISH_REASONS: ("error",), **self._attributes}


class ContentStreamReader(StreamReader):
    """Reads attributes and content from the events of one answer."""

    __slots__ = ("_description", "_is_inactive", "_parts", "_thoughts")

    def __init__(self) -> None:
        super().__init__()
        self._description: Content = {}
        # By id, in the order in which they began: pieces, those of text joined, with their kind.
        self._parts: dict[object, list[_Fields | tuple[str, StringIO]]] = {}
        self._thoughts: list[object] = []
        self._is_inactive = False

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        super().feed(event)
        try:
            kind, data = event.data.type, event.data.data
            if kind not in _WITH_CONTENT:
                return
        except NO_CHUNK:
            return
        details = fields(data)
        if kind == _DELTA:
            self._add(
                self._parts.setdefault(_id(details, "part_id"), []), fields(details.get("delta"))
            )
        elif kind == _DONE:
            self._parts[_id(details, "part_id")] = [fields(details.get("part"))]
        elif kind == _STARTED:
            self._description = description_content(details)
        elif kind == _THOUGHT:
            id = object()  # noqa: A001
            self._thoughts.append(id)
            self._parts[id] = [*_thought(details)]
        else:
            self._is_inactive = self._is_inactive or kind == _INACTIVE
            self._parts[object()] = [*CONTENT_READERS[kind](details)]

    @staticmethod
    def _add(pieces: list[_Fields | tuple[str, StringIO]], delta: _Fields) -> None:
        """Add a delta to the pieces of a part. Text is joined with the text before."""
        kind = _kind(delta)
        piece = delta.get(kind) if kind in _TEXTS else None
        if not isinstance(piece, str):
            pieces.append(delta)
            return
        last = pieces[-1] if pieces else None
        if not isinstance(last, tuple) or last[0] != kind:
            last = kind, growing_text()
            pieces.append(last)
        last[1].write(piece)

    def content(self) -> Content:
        """The output so far, and what describes the agent."""
        parts = [
            {"kind": part[0], part[0]: part[1].getvalue()} if isinstance(part, tuple) else part
            for id, pieces in self._parts.items()  # noqa: A001
            for part in (self._without_repeated(pieces) if id in self._thoughts else pieces)
        ]
        reason = self.attributes().get(semconv.RESPONSE_FINISH_REASONS, (None,))[0]
        return {**self._description, **_answer(parts, reason)}

    def _without_repeated(self, thought: list[Any]) -> list[Any]:
        """A thought without its text, where the last event has repeated that as the agent's."""
        if not self._is_inactive:
            return thought
        return [part for part in thought if part["kind"] != "text"]


def _stop_reason(response: _Fields) -> str | None:
    """Why an agent stopped, if that is in a response."""
    reason = response.get("finish_reason")
    return stop_reason(reason) if reason and isinstance(reason, str) else None


def _head(response: _Fields) -> Attributes:
    """Attributes of a response, stored or new, or of the event with which one begins or ends."""
    attributes: Attributes = read_strings(response, _RESPONSE)
    reason = _stop_reason(response)
    if reason is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = (reason,)
    return {**attributes, **telemetry_ids(response)}


def _end(response: _Fields) -> Attributes:
    """Attributes of a new response, or of the event with which one ends."""
    attributes = _head(response)
    read_completion_usage(token_counts(response.get("usage")), attributes)
    return {**attributes, **billing(response.get("billing"))}


def _has_error(output: Any) -> bool:
    """Whether a message in an agent's output has an error among its parts."""
    return any(
        get(part, "kind") == "error" for one in items(output) for part in items(get(one, "parts"))
    )


def _failure(event: _Fields) -> Attributes:
    code = identifier(as_json(event.get("code")))
    return {semconv.ERROR_TYPE: code or UNNAMED, semconv.RESPONSE_FINISH_REASONS: ("error",)}


#: Readers of the events that have attributes, by type.
ATTRIBUTE_READERS: Final[Mapping[str, Callable[[_Fields], Attributes]]] = {
    # agents.responses
    "response.started": _head,
    "response.done": _end,
    "response.failed": _failure,
    # agents.stream and agents.stream_run
    "agents.execution_started": partial(
        read_strings,
        names=(
            ("agent_task_id", semconv.ORQ_AGENT_EXECUTION_ID),
            ("trace_id", semconv.ORQ_TRACE_ID),
        ),
    ),
    "event.agents.started": partial(
        read_strings,
        names=(
            ("agent_manifest_id", semconv.AGENT_ID),
            ("agent_key", semconv.AGENT_NAME),
            ("agent_description", semconv.AGENT_DESCRIPTION),
            ("model_id", semconv.RESPONSE_MODEL),
            ("response_id", semconv.RESPONSE_ID),
        ),
    ),
    "event.agents.inactive": _end,
    "event.agents.errored": _failure,
    "agents.error": _failure,
    "agents.timeout": lambda _: {
        semconv.ERROR_TYPE: "timeout",
        semconv.RESPONSE_FINISH_REASONS: ("error",),
    },
}
#: The events with which a stream ends.
_ENDS: Final = frozenset({"response.done", "event.agents.inactive"})


def _answer(parts: list[_Fields], reason: str | None) -> Content:
    """An agent's message, with the reason why it ended if it has."""
    if not parts:
        return {}
    ended = finish_reason(_REASONS.get(reason, reason)) if reason else None
    answer: Message = message("assistant", merged(_turn(parts)), finish_reason=ended)
    return {semconv.OUTPUT_MESSAGES: [answer]}


def _turn(parts: list[_Fields]) -> list[Part]:
    """The parts of an agent's turn. A tool call that is there twice is one call."""
    names = {_id(one): one.get("tool_name") for one in parts if _kind(one) == "tool_call"}
    with_result = [_id(one) for one in parts if _kind(one) == "tool_result"]
    called: list[str | None] = []
    turn = []
    for one in parts:
        kind, id = _kind(one), _id(one)  # noqa: A001
        if kind == "tool_call":
            if id is not None and id in called:
                continue
            called.append(id)
            if id in with_result:
                turn.append(_server_call(one))
                continue
        elif kind == "tool_result" and id in names:
            details = {"result": as_json(one.get("result"))}
            turn.append(server_tool_result(id, _tool_name(names[id]), details))
            continue
        turn.append(_part(one))
    return turn


def _last_turn(messages: Any) -> list[_Fields]:
    """The parts of an agent's messages after the last of its user's."""
    parts: list[_Fields] = []
    for one in map(fields, items(messages)):
        if as_json(one.get("role")) == "user":
            parts = []
        else:
            parts += [fields(part) for part in items(one.get("parts"))]
    return parts


def _part(part: _Fields) -> Part:
    """A part of a message. One that does not have what its kind requires becomes a generic part."""
    kind = _kind(part)
    content = part.get(kind) if kind in _TEXTS else None
    if isinstance(content, str):
        return (text if kind == "text" else reasoning)(str.__str__(content))
    if kind == "file":
        return _file(fields(part.get("file")))
    if kind == "tool_call":
        return tool_call(part.get("tool_call_id"), part.get("tool_name"), part.get("arguments"))
    if kind == "tool_result":
        return tool_result(part.get("tool_call_id"), as_json(part.get("result")))
    return generic(kind or "unknown", _other_fields(part, kind))


def _other_fields(part: _Fields, kind: str) -> Any:
    """The value of a part of a kind that the conventions do not have."""
    others = set_fields({name: value for name, value in part.items() if name != "kind"})
    others.pop("metadata", None)
    return others[kind] if others.keys() == {kind} else others


def _file(file: _Fields) -> Part:
    """A file by its URL, or its data, with its type."""
    kind = file.get("mime_type", file.get("mimeType"))
    data = file.get("bytes_", file.get("bytes"))
    main = kind.partition("/")[0] if isinstance(kind, str) else ""
    modality = main if main in _MODALITIES else "document"
    if isinstance(data, str):
        return blob(modality, kind, data)
    return media(modality, file.get("uri"), kind)


def _server_call(call: _Fields) -> Part:
    arguments = call.get("arguments")
    details = {} if arguments is None else {"arguments": parsed(as_json(arguments))}
    return server_tool_call(call.get("tool_call_id"), _tool_name(call.get("tool_name")), details)


def _tool_name(name: Any) -> str:
    return name if type(name) is str else "unknown"


def _kind(part: _Fields) -> str:
    kind = part.get("kind")
    return str.__str__(kind) if isinstance(kind, str) else ""


def _id(values: _Fields, name: str = "tool_call_id") -> str | None:
    id = values.get(name)  # noqa: A001
    return id if type(id) is str else None


def _pending(calls: Any) -> list[_Fields]:
    """Tool calls that are left to the caller, in the form of chat completions, as A2A's parts."""
    return [
        _call(call.get("id"), function.get("name"), function.get("arguments"))
        for call in map(fields, items(calls))
        for function in [fields(call.get("function"))]
    ]


def _call(id: Any, name: Any, arguments: Any) -> _Fields:  # noqa: A002
    return {"kind": "tool_call", "tool_call_id": id, "tool_name": name, "arguments": arguments}


def _result(id: Any, result: Any) -> _Fields:  # noqa: A002
    return {"kind": "tool_result", "tool_call_id": id, "result": result}


def _thought(event: _Fields) -> list[_Fields]:
    """The message of a model that drives the agent."""
    output = fields(get(event.get("choice"), "message"))
    parts: list[_Fields] = []
    for name in ("reasoning", "content"):
        if output.get(name):
            kind = "text" if name == "content" else name
            parts.append({"kind": kind, kind: output[name]})
    return [*parts, *_pending(output.get("tool_calls"))]


def _inactive(event: _Fields) -> list[_Fields]:
    parts = [fields(part) for part in items(get(event.get("last_message_full"), "parts"))]
    if not parts and event.get("last_message"):
        parts = [{"kind": "text", "text": event["last_message"]}]
    return [*parts, *_response_done(event)]


def _response_done(event: _Fields) -> list[_Fields]:
    return _pending(event.get("pending_tool_calls"))


def _execution_call_id(event: _Fields) -> Any:
    return get(event.get("tool_execution_context"), "agent_tool_call_id")


_STARTED: Final = "event.agents.started"
_THOUGHT: Final = "event.agents.thought"
_INACTIVE: Final = "event.agents.inactive"
_DELTA: Final = "part.delta"
_DONE: Final = "part.done"

#: Readers of the events that have parts of the agent's message, by type.
CONTENT_READERS: Final[Mapping[str, Callable[[_Fields], list[_Fields]]]] = {
    # agents.responses
    "tool.started": lambda event: [
        _call(
            event.get("tool_call_id"),
            event.get("tool_name") or event.get("tool_id"),
            event.get("arguments"),
        )
    ],
    "tool.done": lambda event: [_result(event.get("tool_call_id"), event.get("result"))],
    "tool.failed": lambda event: [
        _result(event.get("tool_call_id"), {"error": event.get("error")})
    ],
    "response.done": _response_done,
    # agents.stream and agents.stream_run
    "event.workflow_events.tool_execution_started": lambda event: [
        _call(
            _execution_call_id(event),
            event.get("tool_key") or event.get("action_type"),
            event.get("tool_arguments"),
        )
    ],
    "event.workflow_events.tool_execution_finished": lambda event: [
        _result(_execution_call_id(event), event.get("result"))
    ],
    "event.workflow_events.tool_execution_failed": lambda event: [
        _result(_execution_call_id(event), {"error": get(event.get("error"), "message")})
    ],
    _INACTIVE: _inactive,
}
_WITH_CONTENT: Final = frozenset({*CONTENT_READERS, _STARTED, _DELTA, _DONE, _THOUGHT})


def description_content(agent: _Fields) -> Content:
    """The instructions and tools of an agent, from a request or the event with which it starts."""
    content: Content = {}
    instructions = text_parts(agent.get("system_prompt"), agent.get("instructions"))
    if instructions:
        content[semconv.SYSTEM_INSTRUCTIONS] = instructions
    tools = tool_definitions(agent)
    if tools:
        content[semconv.TOOL_DEFINITIONS] = [{"type": t["type"], "name": t["name"]} for t in tools]
    return content


def _tool(tool: _Fields) -> dict[str, Any]:
    """A tool of an agent: a function of the caller's, or one that Orq runs.

    The settings of a tool that Orq runs are left out: credentials are among them.
    """
    function = fields(tool.get("function"))
    if function:
        return function_definition(
            function.get("name"), function.get("description"), as_json(function.get("parameters"))
        )
    kind = as_json(tool.get("type") or tool.get("action_type"))
    kind = kind if type(kind) is str else "unknown"
    return tool_definition(kind, tool.get("key"), tool.get("description"))
