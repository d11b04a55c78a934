"""Parts of messages and tools of OpenAI's APIs, converted to the form of the conventions.

Chat completions and responses have different names for the same things, and compatible servers mix
them. So one table serves all. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from orq_otel.genai.fields import LONG, fields, get
from orq_otel.genai.messages import (
    Content,
    Part,
    blob,
    file,
    function_definition,
    generic,
    media,
    message,
    reasoning,
    text,
    tool_definition,
    without_binary,
)
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES

#: Roles whose messages often have no fields but a role and a content.
SPEAKERS: Final = frozenset({"user", "assistant", "system", "developer"})

#: Fields that are left out of a part of an unknown type: credentials, and encrypted text.
_SECRET: Final = frozenset(
    {"api_key", "authorization", "encrypted_content", "headers", "server_url", "signature"}
)
#: Fields of a message, or of a piece of one, in which servers send a model's reasoning: as text, or
#: as blocks of it. DeepSeek, Qwen, vLLM and Kimi have `reasoning_content`; OpenRouter, Groq and
#: Ollama `reasoning`; OpenRouter and MiniMax `reasoning_details`; LiteLLM `thinking_blocks`; GitHub
#: Copilot `reasoning_text`; Perplexity `reasoning_steps`.
_THOUGHTS: Final = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "reasoning_details",
    "thinking_blocks",
    "reasoning_steps",
)
THOUGHTS: Final = frozenset(_THOUGHTS)
#: Fields of one block that are its text. Encrypted blocks have none.
_BLOCK_TEXTS: Final = ("text", "summary", "thinking", "reasoning", "thought", "content")
#: What models write around their reasoning where the server leaves it in the answer.
_TAGGED: Final = re.compile(
    r"\s*(?:<(?P<tag>think|thinking|thought|reasoning|seed:think)>(?P<thought>.*?)(?:</(?P=tag)>|\Z)"
    r"|\[THINK\](?P<other>.*?)(?:\[/THINK\]|\Z))\s*",
    re.DOTALL,
)
#: The same where the prompt's template had opened it.
_UNOPENED: Final = "</think>"

_AUDIO_TYPES: Final = {"mp3": "audio/mpeg"}


def items(value: Any) -> list[Any]:
    """A JSON array as a list, empty for anything else. Iterators are not consumed."""
    if type(value) is list:
        return value
    return list(value) if isinstance(value, tuple) else []


def in_order(indexes: Iterable[Any]) -> list[Any]:
    """The indexes of choices, or of items, in order. Those that are no integers come first."""
    ordered = list(indexes)
    if len(ordered) > 1:
        ordered.sort(key=lambda index: index if type(index) is int else -1)
    return ordered


def asked(parts: list[Part]) -> Content:
    """Parts as the one message of a request, if there are any."""
    return {INPUT_MESSAGES: [message("user", parts)]} if parts else {}


def answered(parts: list[Part]) -> Content:
    """Parts as the one message of a whole response, if there are any."""
    return {OUTPUT_MESSAGES: [message("assistant", parts, "stop")]} if parts else {}


def content_parts(content: Any) -> list[Part]:
    """The parts of a message whose content is text, or a list of parts."""
    if isinstance(content, str):
        return [text(content)] if content else []
    if content is None:
        return []
    if isinstance(content, (list, tuple)):
        return [content_part(each) for each in content]
    return [generic("content", content)]


def text_parts(*values: Any) -> list[Part]:
    """Parts of text for those values that are text, and not empty."""
    return [text(value) for value in values if value and isinstance(value, str)]


def thought(message: Mapping[str, Any]) -> str:
    """The reasoning in a message, by its fields, or "". Servers that send it twice mean it once."""
    for name in _THOUGHTS:
        value = message.get(name)
        if value and (said := value if type(value) is str else _plain(value)):
            return said
    return ""


def spoken(content: str) -> list[Part]:
    """The parts of what a model said, whose reasoning may be in it, between tags."""
    found = _TAGGED.match(content)
    if found is not None:
        thoughts, answer = found["thought"] or found["other"] or "", content[found.end() :]
    else:
        thoughts, _, rest = content.partition(_UNOPENED)
        if "<think" in thoughts or (rest and rest[0] != "\n") or len(thoughts) == len(content):
            return [text(content)]
        thoughts, answer = thoughts.rstrip(), rest.lstrip()
    parts = [reasoning(thoughts), text(answer)]
    return [part for part in parts if part["content"].strip()]


def content_part(value: Any) -> Part:
    """The part of a message for one part of the API's content."""
    if isinstance(value, str):
        return text(value)
    part_fields = fields(value)
    kind = part_fields.get("type")
    read = _PARTS.get(kind) if type(kind) is str else None
    part = None if read is None else read(part_fields)
    return unknown_part(value) if part is None else part


def tool_response(output: Any) -> Any:
    """The output of a tool. Parts of a message in it are converted, anything else stays."""
    if type(output) is str:
        return output
    if isinstance(output, (list, tuple)):
        return [tool_response(each) if fields(each) else each for each in output]
    kind = get(output, "type")
    return content_part(output) if type(kind) is str and kind in _PARTS else output


def merged(parts: Iterable[Part]) -> list[Part]:
    """`parts` with neighbours joined that are both text, or both reasoning."""
    joined: list[Part] = []
    for part in parts:
        kind = part["type"]
        if joined and kind in {"text", "reasoning"} and joined[-1]["type"] == kind:
            joined[-1] = {"type": kind, "content": joined[-1]["content"] + part["content"]}
        else:
            joined.append(part)
    return joined


def image_type(output_format: Any) -> str | None:
    """The MIME type of an image from the API's name of its format: "png", "svg" ..."""
    if not isinstance(output_format, str):
        return None
    return "image/svg+xml" if output_format == "svg" else f"image/{output_format}"


def texts(parts: Iterable[Part]) -> list[Part]:
    """Those of `parts` that are text."""
    return [part for part in parts if part["type"] == "text"]


def tool_definitions(tools: Any) -> list[dict[str, Any]]:
    """Tools of a request or a response, with descriptions and parameters."""
    return [_tool(tool) for tool in items(tools)]


def named_tools(tools: Any) -> list[dict[str, Any]]:
    """The types and names of tools. Most are functions, which are read without calling one."""
    if not tools:
        return []
    tools = items(tools)
    try:
        return [
            {"type": "function", "name": name}
            if tool.get("type") == "function"
            and type(name := (tool.get("function") or tool).get("name")) is str
            and len(name) <= LONG
            else _named_tool(tool)
            for tool in tools
        ]
    except (AttributeError, TypeError):  # one of them is not a dict
        return [_named_tool(tool) for tool in tools]


def unknown_part(value: Any) -> Part:
    """A part of a type that the conventions do not have, or without the fields of its type."""
    cleaned = _without_secrets(without_binary(value))
    kind = get(cleaned, "type")
    if type(kind) is not str:
        return generic("unknown", cleaned)
    del cleaned["type"]
    return generic(kind, cleaned)


def _named_tool(value: Any) -> dict[str, Any]:
    tool = _tool(value)
    return {"type": tool["type"], "name": tool["name"]}


def _tool(value: Any) -> dict[str, Any]:
    """A tool's definition, without the settings of a provider's tool: they may hold credentials."""
    tool = fields(value)
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
    definition = tool_definition(kind, name, description)
    if kind == "namespace":
        definition["tools"] = tool_definitions(tool.get("tools"))
    return definition


def _without_secrets(value: Any) -> Any:
    if type(value) is list:
        return [_without_secrets(each) for each in value]
    if type(value) is not dict:
        return value
    return {
        key: _without_secrets(each)
        for key, each in value.items()
        if each is not None and key not in _SECRET
    }


def _text(part: Mapping[str, Any]) -> Part | None:
    content = part.get("text")
    if not isinstance(content, str):  # in messages of assistants it is an object
        content = get(content, "value")
    return text(content) if isinstance(content, str) else None


def _refusal(part: Mapping[str, Any]) -> Part | None:
    content = part.get("refusal")
    return text(content) if isinstance(content, str) else None


def _reasoning(part: Mapping[str, Any]) -> Part | None:
    content = part.get("text")
    return reasoning(content) if isinstance(content, str) else None


def _thinking(part: Mapping[str, Any]) -> Part | None:
    """Reasoning as a part of the content, such as that of Mistral's models."""
    content = _plain([part])
    return reasoning(content) if content else None


def _plain(value: Any, depth: int = 0) -> str:
    """The text of reasoning: text as it is, or that of all blocks, whose text may be blocks."""
    if isinstance(value, str):
        return value
    if value is None or depth > 1:
        return ""
    blocks = value if isinstance(value, (list, tuple)) else [value]
    return "".join(
        [
            next((part for name in _BLOCK_TEXTS if (part := _plain(own.get(name), depth + 1))), "")
            for own in map(fields, blocks)
        ]
    )


def _media(modality: str, field: str) -> Callable[[Mapping[str, Any]], Part | None]:
    """Makes the reader of a part with a URL, bare or in an object, or with the id of a file."""

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
    source = fields(part.get("file")) or part
    data = source.get("file_data")
    if isinstance(data, str):
        if data[:5] != "data:":
            return blob("document", None, data)
        return media("document", data)
    if isinstance(source.get("file_url"), str):
        return media("document", source["file_url"])
    file_id = source.get("file_id")
    return file(file_id) if isinstance(file_id, str) else None


_PARTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Part | None]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "summary_text": _reasoning,
    "reasoning_text": _reasoning,
    "reasoning": _thinking,
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
