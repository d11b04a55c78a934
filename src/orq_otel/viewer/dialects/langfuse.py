"""Langfuse's SDKs: everything in `langfuse.*`, usage as JSON of whatever API was called.

https://langfuse.com/integrations/native/opentelemetry
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orq_otel.viewer.dialects.dialect import (
    Attributes,
    Dialect,
    Messages,
    ToolUse,
    answered_in,
    first,
    number,
    text,
    tokens,
    usage_of,
)
from orq_otel.viewer.dialects.shapes import asked, decoded
from orq_otel.viewer.dialects.traceloop import called
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_INPUT: Final = ("langfuse.observation.input", "langfuse.trace.input", "input.value")
_OUTPUT: Final = ("langfuse.observation.output", "langfuse.trace.output", "output.value")


def _usage(span: Span) -> Usage | None:
    details = decoded(span.attributes.get("langfuse.observation.usage_details"))
    if isinstance(details, Mapping) and "input" in details and "total" not in details:
        # By its own names, no token counts twice: what was read from a cache stands apart.
        details = {**details, "total": sum(tokens(one) or 0 for one in details.values())}
    found = usage_of(details)
    costs = decoded(span.attributes.get("langfuse.observation.cost_details"))
    if found is not None and isinstance(costs, Mapping):
        found.cost = number(costs.get("total"))
    return found


def _asked(span: Span) -> Messages:
    value = first(span.attributes, _INPUT)
    if isinstance(value, list):  # the callback of LangChain adds the tools' definitions
        value = [one for one in value if not _is_definition(one)]
    before = text(span.attributes.get("langfuse.observation.metadata.instructions"))
    found = asked(value)
    if before and all(one["role"] not in {"system", "developer"} for one in found):
        return asked({"instructions": before, "input": value})
    return found  # in Python, they stand before the input as well


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
        "langfuse.observation.type": {
            "generation": "chat",
            "embedding": "embeddings",
            "tool": "execute_tool",
            "agent": "invoke_agent",
            "retriever": "retrieval",
            "chain": "invoke_workflow",
        }
    },
    models=("langfuse.observation.model.name",),
    read_usage=_usage,
    read_tool=_tool,
    asked=_asked,
    answered=answered_in(*_OUTPUT),
    failure=_failure,
)
