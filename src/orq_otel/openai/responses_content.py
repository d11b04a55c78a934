"""Read what is said in the Responses API: requests, responses and streams. Pure functions.

An item of the API is a message, or a part of one: a call of a tool, what a tool answered, a
thought. The conventions want messages. So the items of one answer are one message of the model, in
the answer and when a later request repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import (
    LONG,
    Content,
    Message,
    Part,
    blob,
    clean,
    compaction,
    finish_reason,
    generic,
    message,
    parsed,
    server_tool_call,
    server_tool_result,
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
from orq_otel.openai import responses
from orq_otel.openai.parts import (
    SPEAKERS,
    content_part,
    content_parts,
    in_order,
    items,
    leftover,
    texts,
    tool_definitions,
    tool_response,
)

_Item: TypeAlias = Mapping[str, Any]


def read_request(body: Mapping[str, Any]) -> Content:
    """What `POST /responses` says: messages, instructions and tools."""
    content: Content = {}
    given = body.get("input")
    if isinstance(given, str):
        content[INPUT_MESSAGES] = [message("user", content_parts(given))]
    else:
        told = _input_messages(items(given))
        if told:
            content[INPUT_MESSAGES] = told
    _add_settings(body, content)
    return content


def read_response(response: Any) -> Content:
    """What a response says: one message."""
    given = fields(response)
    return _output(given, items(given.get("output")))


def read_fetch_request(_: Mapping[str, Any]) -> Content:
    """What `GET /responses/{response_id}` says, which is nothing."""
    return {}


def read_fetched(response: Any) -> Content:
    """What a stored response says. It repeats the request's instructions and tools as well."""
    content = read_response(response)
    _add_settings(fields(response), content)
    return content


class ContentChunkReader(responses.ChunkReader):
    """Reads the events of one response, and what they say.

    The last event repeats the whole response. What came before counts where that is missing or
    tells nothing: the stream was left, or failed.
    """

    __slots__ = ("_items", "_pieces")

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[Any, tuple[bool, Any]] = {}
        self._pieces: dict[tuple[Any, str, Any], list[Any]] = {}

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        given = event.__dict__
        kind = given["type"]
        if kind in _DELTAS:
            key = given.get("output_index"), kind, given.get(_DELTAS[kind].part_index)
            try:
                self._pieces[key].append(given["delta"])
            except KeyError:
                self._pieces[key] = [given.get("delta")]
        elif kind in _ITEMS:
            self._items[given.get("output_index")] = kind == _DONE, given.get("item")
        else:
            super().feed(event)

    def content(self) -> Content:
        """What the events said so far."""
        response = fields(self._response)
        output = items(response.get("output"))
        if response.get("status") not in _ENDED or not output:
            output = self._output() or output
        return _output(response, output)

    def _output(self) -> list[Any]:
        """The items so far, whole or in pieces."""
        indexes = {*self._items, *[key[0] for key in self._pieces]}
        return [self._item(index) for index in in_order(indexes)]

    def _item(self, index: Any) -> Any:
        is_done, item = self._items.get(index, (False, None))
        if is_done:
            return item
        whole = dict(fields(item))
        parts: dict[str, list[Any]] = {}
        for (of, kind, _), pieces in self._pieces.items():
            if of == index:
                delta = _DELTAS[kind]
                said = "".join([piece for piece in pieces if isinstance(piece, str)])
                whole.setdefault("type", delta.item)
                if delta.part is None:
                    whole[delta.field] = said
                else:
                    name = "refusal" if delta.part == "refusal" else "text"
                    parts.setdefault(delta.field, []).append({"type": delta.part, name: said})
        return {**whole, **parts}


class FetchedContentChunkReader(ContentChunkReader):
    """Reads the events of a response that was made before, and what they say."""

    __slots__ = ()

    def content(self) -> Content:
        """What the events said so far."""
        content = super().content()
        _add_settings(fields(self._response), content)
        return content

    def _read(self, response: Any) -> Attributes:
        return responses.read_fetched_response(response)


class _Delta(NamedTuple):
    """What the deltas of one kind are pieces of: a field of an item, or a part in that field."""

    item: str
    field: str
    part: str | None
    part_index: str


_DELTAS: Final = {
    "response.output_text.delta": _Delta("message", "content", "output_text", "content_index"),
    "response.refusal.delta": _Delta("message", "content", "refusal", "content_index"),
    "response.reasoning_text.delta": _Delta(
        "reasoning", "content", "reasoning_text", "content_index"
    ),
    "response.reasoning_summary_text.delta": _Delta(
        "reasoning", "summary", "summary_text", "summary_index"
    ),
    "response.function_call_arguments.delta": _Delta("function_call", "arguments", None, "item_id"),
    "response.custom_tool_call_input.delta": _Delta("custom_tool_call", "input", None, "item_id"),
    "response.mcp_call_arguments.delta": _Delta("mcp_call", "arguments", None, "item_id"),
    "response.code_interpreter_call_code.delta": _Delta(
        "code_interpreter_call", "code", None, "item_id"
    ),
}
_DONE: Final = "response.output_item.done"
_ITEMS: Final = frozenset({"response.output_item.added", _DONE})
#: States of a response that has said all that it will.
_ENDED: Final = frozenset({"completed", "incomplete"})


def _add_settings(given: Mapping[str, Any], content: Content) -> None:
    """Add the instructions and tools of a request, or those that a stored response repeats."""
    instructions = given.get("instructions")
    if instructions:
        said = _instructions(instructions)
        if said:
            content[SYSTEM_INSTRUCTIONS] = said
    tools = tool_definitions(given.get("tools"))
    if tools:
        content[TOOL_DEFINITIONS] = tools


def _instructions(given: Any) -> list[Part]:
    """Instructions: text, or messages, of which a stored prompt consists. The text of it."""
    if isinstance(given, str):
        return [text(given)]
    return texts([part for item in items(given) for part in content_parts(get(item, "content"))])


def _output(response: _Item, output: list[Any]) -> Content:
    if not output:
        return {}
    given = [fields(item) for item in output]
    kinds = [kind for item in given if type(kind := item.get("type")) is str]
    reason = finish_reason(responses.finish_reason(response, kinds))
    parts = [part for item in given for part in _parts(item)]
    return {OUTPUT_MESSAGES: [message("assistant", parts, finish_reason=reason)]}


def _input_messages(given: list[Any]) -> list[Message]:
    """The messages of a request. Most are short text: those cost no call of a function."""
    told: list[Message] = []
    turn: list[Part] | None = None  # the parts of the model's message that items go on with
    for item in given:
        if (
            type(item) is dict
            and len(item) == 2  # noqa: PLR2004 - a role and a content
            and type(said := item.get("content")) is str
            and said
            and type(role := item.get("role")) is str
            and role in SPEAKERS
        ):
            part = {"type": "text", "content": said if len(said) <= LONG else clean(said)}
            told.append({"role": role, "parts": [part]})
            turn = None
            continue
        one = fields(item)
        kind = one.get("type")
        parts = _parts(one) if one else [leftover(item)]
        role = _role(one, parts)
        if role == "assistant" and kind is not None:
            if turn is None:
                turn = []
                told.append(message(role, turn))
            turn += parts
        else:
            turn = None
            told.append(message(role, parts))
    return [one for one in told if one["parts"]]


def _role(item: _Item, parts: list[Part]) -> str:
    """Whose an item is. Calls are the model's, what came of them is the tool's."""
    role, kind = item.get("role"), item.get("type")
    if type(role) is str:
        return role
    if [part["type"] for part in parts] == ["tool_call_response"]:
        return "tool"
    if type(kind) is not str:
        return "user"
    return "assistant" if kind in _READERS or kind.endswith(("_call", "_request")) else "user"


def _parts(item: _Item) -> list[Part]:
    """The parts of a message that an item is, or of which it is one."""
    kind = item.get("type")
    if kind is None or kind == "message":
        return content_parts(item.get("content"))
    read = _READERS.get(kind) if type(kind) is str else None
    return [leftover(item)] if read is None else read(item)


def _id(item: _Item) -> Any:
    return item.get("call_id") or item.get("id")


def _reasoning(item: _Item) -> list[Part]:
    """What a model thought, in summary or in full. Most tell neither."""
    return [
        content_part(part)
        for field in ("summary", "content")
        for part in items(item.get(field))
        if get(part, "text")
    ]


def _compaction(item: _Item) -> list[Part]:
    return [compaction(item.get("id"))]


def _function_call(item: _Item) -> list[Part]:
    return [tool_call(_id(item), item.get("name"), item.get("arguments"))]


def _custom_tool_call(item: _Item) -> list[Part]:
    return [tool_call(_id(item), item.get("name"), {"input": item.get("input")})]


def _call(name: str, *arguments: str) -> _Reader:
    """Reads a call of a tool that the API knows, and the caller runs."""

    def read(item: _Item) -> list[Part]:
        return [tool_call(_id(item), name, _present(item, arguments))]

    return read


def _tool_output(item: _Item) -> list[Part]:
    output = item.get("output")
    if output is None:
        output = _present(item, ("status",))
    return [tool_result(_id(item), tool_response(output))]


def _server_call(name: str, given: tuple[str, ...], answered: tuple[str, ...] = ()) -> _Reader:
    """Reads a call of a tool that the provider runs, and, if it is there, what came of it."""

    def read(item: _Item) -> list[Part]:
        id = _id(item)  # noqa: A001
        parts = [server_tool_call(id, name, _present(item, given))]
        answer = _present(item, answered)
        if answer:
            parts.append(server_tool_result(id, name, answer))
        return parts

    return read


def _server_output(name: str, *answered: str) -> _Reader:
    """Reads what came of a tool that the provider runs."""

    def read(item: _Item) -> list[Part]:
        return [server_tool_result(_id(item), name, _present(item, answered))]

    return read


def _mcp_call(item: _Item) -> list[Part]:
    id, name = _id(item), item.get("name")  # noqa: A001
    details = _present(item, ("server_label", "name", "status"))
    if item.get("arguments") is not None:
        details["arguments"] = parsed(item["arguments"])
    parts = [server_tool_call(id, "mcp", details, name)]
    answer = _present(item, ("output", "error"))
    if answer:
        parts.append(server_tool_result(id, "mcp", answer))
    return parts


def _image_generation(item: _Item) -> list[Part]:
    given = "action", "background", "output_format", "quality", "revised_prompt", "size", "status"
    parts = _server_call("image_generation", given, ("error",))(item)
    result, kind = item.get("result"), item.get("output_format")
    if isinstance(result, str) and result:
        kind = "svg+xml" if kind == "svg" else kind
        parts.append(blob("image", f"image/{kind}" if isinstance(kind, str) else None, result))
    return parts


def _tool_search(item: _Item) -> list[Part]:
    """A search for tools, which the provider runs unless it says that the caller does."""
    if item.get("execution") == "client":
        return [tool_call(_id(item), "tool_search", item.get("arguments"))]
    return _server_call("tool_search", ("arguments", "status"))(item)


def _tool_search_output(item: _Item) -> list[Part]:
    tools = tool_definitions(item.get("tools"))
    if item.get("execution") == "client":
        return [tool_result(_id(item), tools)]
    return [server_tool_result(_id(item), "tool_search", {"tools": tools})]


def _additional_tools(item: _Item) -> list[Part]:
    return [generic("additional_tools", {"tools": tool_definitions(item.get("tools"))})]


def _present(item: _Item, names: Iterable[str]) -> dict[str, Any]:
    return {name: item[name] for name in names if item.get(name) is not None}


_Reader: TypeAlias = Callable[[_Item], list[Part]]

_READERS: Final[Mapping[str, _Reader]] = {
    "reasoning": _reasoning,
    "compaction": _compaction,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "computer_call": _call("computer", "action", "actions"),
    "local_shell_call": _call("local_shell", "action"),
    "shell_call": _call("shell", "action"),
    "apply_patch_call": _call("apply_patch", "operation"),
    "web_search_call": _server_call("web_search", ("action", "status"), ("results",)),
    "file_search_call": _server_call("file_search", ("queries", "status"), ("results",)),
    "code_interpreter_call": _server_call(
        "code_interpreter", ("code", "container_id", "status"), ("outputs",)
    ),
    "image_generation_call": _image_generation,
    "mcp_call": _mcp_call,
    "mcp_list_tools": _server_call("mcp_list_tools", ("server_label",), ("tools", "error")),
    "tool_search_call": _tool_search,
    "tool_search_output": _tool_search_output,
    "function_call_output": _tool_output,
    "custom_tool_call_output": _tool_output,
    "computer_call_output": _tool_output,
    "local_shell_call_output": _tool_output,
    "shell_call_output": _tool_output,
    "apply_patch_call_output": _tool_output,
    "program": _server_call("program", ("code",)),
    "program_output": _server_output("program", "result", "status"),
    "additional_tools": _additional_tools,
}
