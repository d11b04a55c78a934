"""Parts of messages, and tools, as OpenAI's APIs send them, in the conventions' form.

Chat completions and responses name the same things differently; compatible servers mix them. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import (
    LONG,
    Part,
    blob,
    file,
    function_definition,
    generic,
    media,
    reasoning,
    text,
    tool_definition,
    without_binary,
)

#: Roles whose messages are nothing but their content, unless there is more in them.
SPEAKERS: Final = frozenset({"user", "assistant", "system", "developer"})

#: Never told of a part or tool that is not known: credentials, and what is encrypted.
_SECRET: Final = frozenset(
    {"api_key", "authorization", "encrypted_content", "headers", "server_url", "signature"}
)
_AUDIO_TYPES: Final = {"mp3": "audio/mpeg"}


def items(value: Any) -> list[Any]:
    """A JSON array, or nothing for anything else. An iterator is left alone."""
    if type(value) is list:
        return value
    return list(value) if isinstance(value, tuple) else []


def in_order(indexes: Iterable[Any]) -> list[Any]:
    """The indexes of choices, or of items, in their order."""
    told = list(indexes)
    if len(told) > 1:
        told.sort(key=lambda index: index if type(index) is int else -1)
    return told


def content_parts(content: Any) -> list[Part]:
    """The parts of a message from its content: text, or parts."""
    if isinstance(content, str):
        return [text(content)] if content else []
    if content is None:
        return []
    if isinstance(content, (list, tuple)):
        return [content_part(one) for one in content]
    return [generic("content", content)]


def content_part(given: Any) -> Part:
    """One part of a message's content."""
    if isinstance(given, str):
        return text(given)
    part = fields(given)
    kind = part.get("type")
    read = _PARTS.get(kind) if type(kind) is str else None
    told = None if read is None else read(part)
    return unknown_part(given) if told is None else told


def tool_response(output: Any) -> Any:
    """What a tool answered. Parts are told as those of a message, the rest as it is."""
    if type(output) is str:
        return output
    if isinstance(output, (list, tuple)):
        return [tool_response(one) if fields(one) else one for one in output]
    kind = get(output, "type")
    return content_part(output) if type(kind) is str and kind in _PARTS else output


def merged(parts: Iterable[Part]) -> list[Part]:
    """`parts` in which pieces of one text, or of one thought, are joined."""
    told: list[Part] = []
    for part in parts:
        kind = part["type"]
        if told and kind in {"text", "reasoning"} and told[-1]["type"] == kind:
            told[-1] = {"type": kind, "content": told[-1]["content"] + part["content"]}
        else:
            told.append(part)
    return told


def image_type(output_format: Any) -> str | None:
    """The MIME type of an image in the format that the API names."""
    if not isinstance(output_format, str):
        return None
    return "image/svg+xml" if output_format == "svg" else f"image/{output_format}"


def texts(parts: Iterable[Part]) -> list[Part]:
    """Those of `parts` that are text."""
    return [part for part in parts if part["type"] == "text"]


def tool_definitions(tools: Any) -> list[dict[str, Any]]:
    """The tools of a request, or of a response, flat: descriptions and parameters too."""
    return [_tool(tool) for tool in items(tools)]


def named_tools(tools: Any) -> list[dict[str, Any]]:
    """The same, types and names alone. Most are functions: those cost no call of a function."""
    if not tools:
        return []
    given = items(tools)
    try:
        return [
            {"type": "function", "name": name}
            if tool.get("type") == "function"
            and type(name := (tool.get("function") or tool).get("name")) is str
            and len(name) <= LONG
            else _named_tool(tool)
            for tool in given
        ]
    except (AttributeError, TypeError):  # something among them is no dict
        return [_named_tool(tool) for tool in given]


def unknown_part(given: Any) -> Part:
    """A part that the conventions have no type for, or that is not what its type says."""
    told = _without_secrets(without_binary(given))
    kind = get(told, "type")
    if type(kind) is not str:
        return generic("unknown", told)
    del told["type"]
    return generic(kind, told)


def _named_tool(given: Any) -> dict[str, Any]:
    tool = _tool(given)
    return {"type": tool["type"], "name": tool["name"]}


def _tool(given: Any) -> dict[str, Any]:
    """A tool's definition. Of one that a provider runs, no settings: credentials are among them."""
    tool = fields(given)
    kind = tool.get("type")
    if type(kind) is not str:
        kind = "function" if "function" in tool or "name" in tool else "unknown"
    nested = tool.get(kind)
    if nested is not None:  # chat completions
        tool = fields(nested)
    name, description = tool.get("name"), tool.get("description")
    if kind == "function":
        return function_definition(name, description, tool.get("parameters"))
    if kind == "mcp":
        return tool_definition(kind, tool.get("server_label"), tool.get("server_description"))
    told = tool_definition(kind, name, description)
    if kind == "namespace":
        told["tools"] = tool_definitions(tool.get("tools"))
    return told


def _without_secrets(value: Any) -> Any:
    if type(value) is list:
        return [_without_secrets(one) for one in value]
    if type(value) is not dict:
        return value
    return {
        key: _without_secrets(one)
        for key, one in value.items()
        if one is not None and key not in _SECRET
    }


def _text(part: Mapping[str, Any]) -> Part | None:
    content = part.get("text")
    if not isinstance(content, str):  # of a message of an assistant
        content = get(content, "value")
    return text(content) if isinstance(content, str) else None


def _refusal(part: Mapping[str, Any]) -> Part | None:
    content = part.get("refusal")
    return text(content) if isinstance(content, str) else None


def _thought(part: Mapping[str, Any]) -> Part | None:
    content = part.get("text")
    return reasoning(content) if isinstance(content, str) else None


def _thinking(part: Mapping[str, Any]) -> Part | None:
    """What Mistral's models thought: text, or a list of it."""
    content = part.get("thinking")
    if isinstance(content, (list, tuple)):
        content = "".join([said for one in content if isinstance(said := get(one, "text"), str)])
    return reasoning(content) if isinstance(content, str) else None


def _media(modality: str, field: str) -> Callable[[Mapping[str, Any]], Part | None]:
    """Reads a part with a URL, which may be in an object, or the id of a file instead."""

    def read(part: Mapping[str, Any]) -> Part | None:
        url = part.get(field)
        if not isinstance(url, str):
            url = get(url, "url")
        if isinstance(url, str):
            return media(modality, url)
        file_id = part.get("file_id")
        return file(file_id, modality) if isinstance(file_id, str) else None

    return read


def _image_file(part: Mapping[str, Any]) -> Part | None:
    file_id = get(part.get("image_file"), "file_id")
    return file(file_id, "image") if isinstance(file_id, str) else None


def _audio(part: Mapping[str, Any]) -> Part | None:
    audio = fields(part.get("input_audio"))
    data, kind = audio.get("data"), audio.get("format")
    if not isinstance(data, str):
        return None
    mime_type = _AUDIO_TYPES.get(kind, f"audio/{kind}") if isinstance(kind, str) else None
    return blob("audio", mime_type, data)


def _file(part: Mapping[str, Any]) -> Part | None:
    given = fields(part.get("file")) or part
    data = given.get("file_data")
    if isinstance(data, str):
        if data[:5] != "data:":
            return blob("document", None, data)
        return media("document", data)
    if isinstance(given.get("file_url"), str):
        return media("document", given["file_url"])
    file_id = given.get("file_id")
    return file(file_id) if isinstance(file_id, str) else None


_PARTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part | None]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "summary_text": _thought,
    "reasoning_text": _thought,
    "thinking": _thinking,
    "image_url": _media("image", "image_url"),
    "input_image": _media("image", "image_url"),
    "image_file": _image_file,
    "computer_screenshot": _media("image", "image_url"),
    "video_url": _media("video", "video_url"),
    "audio_url": _media("audio", "audio_url"),
    "document_url": _media("document", "document_url"),
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
}
