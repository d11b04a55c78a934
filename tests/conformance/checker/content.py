"""Rules for content: messages, instructions, tools, documents and memories, by their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from conformance.checker.findings import Finding, info, violation, warning
from conformance.checker.otlp import plain
from conformance.checker.registry import Registry

_RESULT: Final = "gen_ai.tool.call.result"

#: The attributes that carry content, with the names of their schemas.
CONTENT: Final = {
    "gen_ai.input.messages": "gen-ai-input-messages",
    "gen_ai.output.messages": "gen-ai-output-messages",
    "gen_ai.system_instructions": "gen-ai-system-instructions",
    "gen_ai.tool.definitions": "gen-ai-tool-definitions",
    "gen_ai.retrieval.documents": "gen-ai-retrieval-documents",
    "gen_ai.memory.records": "gen-ai-memory-records",
    "gen_ai.tool.call.arguments": "gen-ai-tool-call-arguments",
    _RESULT: "gen-ai-tool-call-result",
}

#: Types of message parts, with their definitions in the schemas.
_PARTS: Final = {
    "text": "TextPart",
    "tool_call": "ToolCallRequestPart",
    "tool_call_response": "ToolCallResponsePart",
    "server_tool_call": "ServerToolCallPart",
    "server_tool_call_response": "ServerToolCallResponsePart",
    "blob": "BlobPart",
    "file": "FilePart",
    "uri": "UriPart",
    "reasoning": "ReasoningPart",
    "compaction": "CompactionPart",
}


def check_content(
    registry: Registry, where: str, name: str, value: Any, *, on_event: bool
) -> Iterator[Finding]:
    """What is wrong with the content that an attribute carries.

    Args:
        registry: The conventions.
        where: The span or event.
        name: The attribute, one of `CONTENT`.
        value: Its value. On a span it may be JSON in a string.
        on_event: Whether the attribute is on an event, where it may not.
    """
    if isinstance(value, str):
        if on_event:
            detail = "events MUST carry structured values"
            yield violation("content_not_structured", where, name, detail)
        else:
            detail = "structured form SHOULD be used where the SDK supports it"
            yield info("content_json_string", where, name, detail)
    if name == _RESULT:  # a tool may return anything, and plain text as well
        return
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            yield violation("content_not_json", where, name, value[:60])
            return
    value = plain(value)
    schema = CONTENT[name]
    for error in _validator(registry, schema).iter_errors(value):
        path = "/".join(map(str, error.absolute_path))
        yield violation("content_schema", where, name, f"{path}: {error.message}"[:160])
    for part in _parts(name, value):
        yield from _check_part(registry, where, name, part)


def _parts(name: str, value: Any) -> Iterator[dict[str, Any]]:
    """The message parts in a content. What has another form has been found by the schema."""
    if name.endswith(".messages"):
        for message in _dicts(value):
            yield from _dicts(message.get("parts"))
    elif name == "gen_ai.system_instructions":
        yield from _dicts(value)


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The dicts in a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _check_part(
    registry: Registry, where: str, name: str, part: dict[str, Any]
) -> Iterator[Finding]:
    """Hold a part of a known type to its own definition.

    A schema as a whole lets it pass as a generic part.
    """
    kind = part.get("type")
    if isinstance(kind, str) and kind in _PARTS:
        schema, definition = CONTENT[name], _PARTS[kind]
        if definition in registry.schemas[schema]["$defs"]:
            for error in _validator(registry, schema, definition).iter_errors(part):
                yield violation("content_part", where, name, f"{kind}: {error.message}"[:140])
        if kind == "tool_call" and isinstance(part.get("arguments"), str):
            yield warning("tool_arguments_string", where, name, "arguments SHOULD be an object")
    elif kind != "generic":
        yield warning("content_unknown_part", where, name, repr(kind))


@cache
def _validator(
    registry: Registry, name: str, definition: str | None = None
) -> Draft202012Validator:
    """The validator of a schema, or of one of the definitions in it."""
    schema = registry.schemas[name]
    if definition is not None:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    return Draft202012Validator(schema)
