"""The standard completion hook, which takes the content of a call to storage of the user's.

`opentelemetry-util-genai` has the loader, the types that hooks receive, and a hook named "upload",
which writes JSON over fsspec and leaves `gen_ai.input.messages_ref` and its like on span and event.
It is imported here and nowhere else, and this module only where a hook is named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span
from opentelemetry.util.genai import types
from opentelemetry.util.genai.completion_hook import load_completion_hook

from orq_otel.genai import semconv
from orq_otel.genai.content import Hook
from orq_otel.genai.messages import Content, decoded

if TYPE_CHECKING:
    from opentelemetry._logs import LogRecord


@dataclass
class OtherPart(types.GenericPart):
    """A part of a type that the conventions do not have."""

    kind: str | None
    value: Any


#: The class of each type of part, and its fields.
_PARTS: Final[Mapping[str, tuple[type, tuple[str, ...]]]] = {
    "text": (types.TextPart, ("content",)),
    "reasoning": (types.ReasoningPart, ("content",)),
    "tool_call": (types.ToolCallRequestPart, ("arguments", "name", "id")),
    "tool_call_response": (types.ToolCallResponsePart, ("response", "id")),
    "server_tool_call": (types.ServerToolCallPart, ("name", "server_tool_call", "id")),
    "server_tool_call_response": (
        types.ServerToolCallResponsePart,
        ("server_tool_call_response", "id"),
    ),
    "blob": (types.BlobPart, ("mime_type", "modality", "content")),
    "uri": (types.UriPart, ("mime_type", "modality", "uri")),
    "file": (types.FilePart, ("mime_type", "modality", "file_id")),
    "compaction": (types.CompactionPart, ("id", "content")),
}


def load() -> Hook:
    """Load the hook that the environment names.

    A forked process loads its own: the hook named "upload" has a pool of OS threads, which a fork
    leaves behind. What the child gave to it would wait for them, and never be written.
    """
    hook, process = load_completion_hook(), os.getpid()

    def complete(content: Content, span: Span, log_record: LogRecord | None) -> None:
        nonlocal hook, process
        if os.getpid() != process:
            hook, process = load_completion_hook(), os.getpid()
        hook.on_completion(
            inputs=[_input(one) for one in content.get(semconv.INPUT_MESSAGES, ())],
            outputs=[_output(one) for one in content.get(semconv.OUTPUT_MESSAGES, ())],
            system_instruction=[_part(one) for one in content.get(semconv.SYSTEM_INSTRUCTIONS, ())],
            tool_definitions=[_tool(one) for one in content.get(semconv.TOOL_DEFINITIONS, ())]
            or None,
            span=span,
            log_record=log_record,
        )

    return complete


def _input(message: Any) -> types.InputMessage:
    parts = [_part(part) for part in message["parts"]]
    return types.InputMessage(message["role"], parts, message.get("name"))


def _output(message: Any) -> types.OutputMessage:
    parts = [_part(part) for part in message["parts"]]
    reason = message.get("finish_reason")
    return types.OutputMessage(message["role"], parts, reason, message.get("name"))


def _part(part: Any) -> Any:
    kind, names = _PARTS.get(part["type"], (OtherPart, ("type", "kind", "value")))
    values = {name: part.get(name) for name in names}
    if kind is types.BlobPart:
        values["content"] = decoded(values["content"])
    return kind(**values)


def _tool(tool: Any) -> types.ToolDefinition:
    if tool["type"] == "function":
        return types.FunctionToolDefinition(
            tool["name"], tool.get("description"), tool.get("parameters")
        )
    return types.GenericToolDefinition(tool["name"], tool["type"])
