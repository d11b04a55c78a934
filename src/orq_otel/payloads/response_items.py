"""Items of the Responses API, in requests and responses, as parts of messages. Pure functions.

Some tools are run by the caller, others by the provider. The conventions have different parts for
them: `tool_call` and `tool_call_response`, `server_tool_call` and `server_tool_call_response`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from orq_otel.genai.fields import get
from orq_otel.genai.messages import (
    Part,
    blob,
    compaction,
    generic,
    parsed,
    reasoning,
    server_tool_call,
    server_tool_result,
    tool_call,
    tool_result,
)
from orq_otel.payloads.parts import (
    content_parts,
    image_type,
    items,
    tool_definitions,
    tool_response,
    unknown_part,
)

_Item: TypeAlias = Mapping[str, Any]
_Reader: TypeAlias = Callable[[_Item], list[Part]]

#: Types of items that the caller has to act on before the model goes on.
CALLER_CALLS: Final = (
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "apply_patch_call",
)


def item_role(item: _Item, parts: list[Part]) -> str:
    """The role of an item's message: "assistant" for a call, "tool" for its result."""
    role, kind = item.get("role"), item.get("type")
    if type(role) is str:
        return role
    if [part["type"] for part in parts] == ["tool_call_response"]:
        return "tool"
    if type(kind) is not str:
        return "user"
    return "assistant" if kind in _READERS or kind.endswith(("_call", "_request")) else "user"


def item_parts(item: _Item) -> list[Part]:
    """The parts of a message that an item consists of, or is itself."""
    kind = item.get("type")
    if kind is None or kind == "message":
        return content_parts(item.get("content"))
    read = _READERS.get(kind) if type(kind) is str else None
    return [unknown_part(item)] if read is None else read(item)


def _id(item: _Item) -> Any:
    return item.get("call_id") or item.get("id")


def _reasoning(item: _Item) -> list[Part]:
    """What a model thought, in summary or in full. Most items have neither.

    LiteLLM has parts of a message in it, of the type `output_text`.
    """
    return [
        reasoning(thought)
        for field in ("summary", "content")
        for part in items(item.get(field))
        if isinstance(thought := get(part, "text"), str) and thought
    ]


def _compaction(item: _Item) -> list[Part]:
    return [compaction(item.get("id"))]


def _function_call(item: _Item) -> list[Part]:
    return [tool_call(_id(item), item.get("name"), item.get("arguments"))]


def _custom_tool_call(item: _Item) -> list[Part]:
    return [tool_call(_id(item), item.get("name"), {"input": item.get("input")})]


def _call(name: str, *arguments: str) -> _Reader:
    """Makes the reader of calls of one of the API's own tools that the caller runs."""

    def read(item: _Item) -> list[Part]:
        return [tool_call(_id(item), name, _present(item, arguments))]

    return read


def _tool_output(item: _Item) -> list[Part]:
    output = item.get("output")
    if output is None:
        output = _present(item, ("status",))
    return [tool_result(_id(item), tool_response(output))]


def _server_call(name: str, arguments: tuple[str, ...], results: tuple[str, ...] = ()) -> _Reader:
    """Makes the reader of calls of a tool that the provider runs, with their results if present."""

    def read(item: _Item) -> list[Part]:
        id = _id(item)  # noqa: A001
        parts = [server_tool_call(id, name, _present(item, arguments))]
        result = _present(item, results)
        if result:
            parts.append(server_tool_result(id, name, result))
        return parts

    return read


def _program_output(item: _Item) -> list[Part]:
    return [server_tool_result(_id(item), "program", _present(item, ("result", "status")))]


def _mcp_call(item: _Item) -> list[Part]:
    id, name = _id(item), item.get("name")  # noqa: A001
    details = _present(item, ("server_label", "name", "status"))
    if item.get("arguments") is not None:
        details["arguments"] = parsed(item["arguments"])
    parts = [server_tool_call(id, "mcp", details, name)]
    result = _present(item, ("output", "error"))
    if result:
        parts.append(server_tool_result(id, "mcp", result))
    return parts


def _image_generation(item: _Item) -> list[Part]:
    parts = _IMAGE_CALL(item)
    data = item.get("result")
    if isinstance(data, str) and data:
        parts.append(blob("image", image_type(item.get("output_format")), data))
    return parts


def _tool_search(item: _Item) -> list[Part]:
    """A search for tools. The provider runs it, unless its execution is "client"."""
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
    """The fields of an item that are in `names`, without those that are None."""
    return {name: item[name] for name in names if item.get(name) is not None}


_IMAGE_CALL: Final = _server_call(
    "image_generation",
    ("action", "background", "output_format", "quality", "revised_prompt", "size", "status"),
    ("error",),
)

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
    "command_execution": _server_call(
        "command_execution", ("command", "cwd", "status"), ("output", "exit_code")
    ),
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
    "program_output": _program_output,
    "additional_tools": _additional_tools,
}
