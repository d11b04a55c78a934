"""Items of the Responses API, of requests and of responses, as parts of messages. Pure functions.

A tool that the caller runs is called and answers; one that the provider runs is told of. The
conventions tell the two apart.
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
    server_tool_call,
    server_tool_result,
    tool_call,
    tool_result,
)
from orq_otel.payloads.parts import (
    content_part,
    content_parts,
    image_type,
    items,
    tool_definitions,
    tool_response,
    unknown_part,
)

_Item: TypeAlias = Mapping[str, Any]
_Reader: TypeAlias = Callable[[_Item], list[Part]]


def item_role(item: _Item, parts: list[Part]) -> str:
    """Whose an item is. Calls are the model's, what came of them is the tool's."""
    role, kind = item.get("role"), item.get("type")
    if type(role) is str:
        return role
    if [part["type"] for part in parts] == ["tool_call_response"]:
        return "tool"
    if type(kind) is not str:
        return "user"
    return "assistant" if kind in _READERS or kind.endswith(("_call", "_request")) else "user"


def item_parts(item: _Item) -> list[Part]:
    """The parts of a message that an item is, or of which it is one."""
    kind = item.get("type")
    if kind is None or kind == "message":
        return content_parts(item.get("content"))
    read = _READERS.get(kind) if type(kind) is str else None
    return [unknown_part(item)] if read is None else read(item)


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
    result = item.get("result")
    if isinstance(result, str) and result:
        parts.append(blob("image", image_type(item.get("output_format")), result))
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
