"""Langfuse's SDKs: everything in `langfuse.*`, usage as JSON of whatever API was called.

https://langfuse.com/integrations/native/opentelemetry
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import (
    Attributes,
    Dialect,
    Messages,
    ToolUse,
    first,
    text,
    tokens,
    usage_of,
)
from orq_otel.viewer.dialects.shapes import answered, asked, decoded, is_data
from orq_otel.viewer.dialects.traceloop import called
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_INPUT: Final = ("langfuse.observation.input", "langfuse.trace.input", "input.value")
_OUTPUT: Final = ("langfuse.observation.output", "langfuse.trace.output", "output.value")


def _usage(span: Span) -> Usage | None:
    details = decoded(span.attributes.get("langfuse.observation.usage_details"))
    found = usage_of(details)
    if not isinstance(details, Mapping) or (found and details.keys().isdisjoint(_SIDES)):
        return found  # in the names of the API that was called
    # By its own names, no token counts twice: those of which more is known stand apart. Users may
    # have given it other numbers, which then do not make the total.
    sent, answered = (_sum(details, side) for side in _SIDES)
    counted = (sent or 0) + (answered or 0)
    if counted and tokens(details.get("total")) in {None, counted}:
        found = found or Usage()
        found.input_tokens, found.output_tokens = sent, answered
    return found


#: The names of tokens of which nothing more is known. Those of others have one of them inside.
_SIDES: Final = ("input", "output")


def _sum(details: Mapping[str, Any], side: str) -> int | None:
    """Returns the number of tokens of all kinds that were sent, or that were answered."""
    # Which of them had priority says nothing of their kind.
    names = [one for one in details if side in one and not one.startswith(f"{side}_priority")]
    return sum(tokens(details[one]) or 0 for one in names) if names else None


def _asked(span: Span) -> Messages:
    value = first(span.attributes, _INPUT)
    if isinstance(value, list):  # the callback of LangChain adds the tools' definitions
        value = [one for one in value if not _is_definition(one)]
    found = asked(value)
    if not found and _is_call(span):  # arguments of the user's function, or variables of a prompt
        given = called(value)
        unnamed = value.get("args") if isinstance(value, Mapping) else None
        found = asked(given) or asked(unnamed) or _as_json("user", given)
    before = text(span.attributes.get("langfuse.observation.metadata.instructions"))
    if before and all(one["role"] not in {"system", "developer"} for one in found):
        return asked({"instructions": before}) + found
    return found  # in Python, they stand before the input as well


def _answered(span: Span) -> Messages:
    values = (span.attributes.get(name) for name in _OUTPUT)
    value = next((one for one in values if one is not None and one != ""), None)
    return (_is_call(span) and _as_json("assistant", value)) or answered(value)


def _is_call(span: Span) -> bool:
    return span.attributes.get("langfuse.observation.type") == "generation"


def _as_json(role: str, value: Any) -> Messages:
    """Returns a message with JSON as its text, or [] if the JSON has messages inside."""
    if not is_data(decoded(value)):
        return []
    content = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [{"role": role, "parts": [{"type": "text", "content": content}]}]


def _is_definition(value: object) -> bool:
    content = value.get("content") if isinstance(value, Mapping) else None
    return isinstance(content, Mapping) and isinstance(content.get("function"), Mapping)


def _tool(span: Span) -> ToolUse | None:
    arguments, result = first(span.attributes, _INPUT), first(span.attributes, _OUTPUT)
    return ToolUse(span.name, None, called(arguments), result)


def _failure(attributes: Attributes) -> str | None:
    if attributes.get("langfuse.observation.level") != "ERROR":
        return None
    return str(attributes.get("langfuse.observation.status_message") or "")


LANGFUSE: Final = Dialect(
    name="Langfuse",
    marks=("langfuse.",),
    labels=(
        "langfuse.environment",
        "langfuse.release",
        "langfuse.session.id",
        "langfuse.trace.metadata.",
        "langfuse.trace.name",
        "langfuse.trace.public",
        "langfuse.trace.tags",
        "langfuse.user.id",
        "langfuse.version",
    ),
    thread_ids=("langfuse.session.id", "langfuse.trace.metadata.langfuse_session_id"),
    tags=("langfuse.trace.tags", "langfuse.tags"),
    users=("langfuse.user.id", "user.id"),
    kinds={
        "name": {"OpenAI.embeddings": "embeddings"},  # a generation to its client in JavaScript
        "langfuse.observation.type": {
            "generation": "chat",
            "embedding": "embeddings",
            "tool": "execute_tool",
            "agent": "invoke_agent",
            "retriever": "retrieval",
            "chain": "invoke_workflow",
        },
    },
    models=("langfuse.observation.model.name",),
    read_usage=_usage,
    read_tool=_tool,
    asked=_asked,
    answered=_answered,
    failure=_failure,
)
