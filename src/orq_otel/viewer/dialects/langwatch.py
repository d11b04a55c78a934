"""LangWatch's SDKs: inputs and outputs as JSON with their type, usage in `langwatch.metrics`.

https://langwatch.ai/docs/integration/opentelemetry/guide
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import (
    Dialect,
    ToolUse,
    id_in,
    number,
    usage_of,
)
from orq_otel.viewer.dialects.shapes import answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span


def _value(span: Span, name: str) -> Any:
    """Returns an input or output out of `{"type": "chat_messages", "value": [...]}`."""
    found = decoded(span.attributes.get(name))
    if isinstance(found, Mapping) and found.keys() == {"type", "value"}:
        return found["value"]
    return found


def _usage(span: Span) -> Usage | None:
    metrics = decoded(span.attributes.get("langwatch.metrics"))
    if isinstance(metrics, Mapping) and "value" in metrics:
        metrics = metrics["value"]
    found = usage_of(metrics)
    if found is not None:
        found.cost = number(metrics.get("cost"))
    return found


def _tool(span: Span) -> ToolUse | None:
    return ToolUse(
        span.name, None, _value(span, "langwatch.input"), _value(span, "langwatch.output")
    )


LANGWATCH: Final = Dialect(
    name="LangWatch",
    marks=("langwatch.",),
    thread_ids=("langwatch.thread.id", "langwatch.thread_id", "langwatch.session.id"),
    tags=("langwatch.tags", "langwatch.labels"),
    users=("langwatch.user.id", "langwatch.user_id"),
    kinds={
        "langwatch.span.type": {
            "llm": "chat",
            "tool": "execute_tool",
            "agent": "invoke_agent",
            "rag": "retrieval",
            "chain": "invoke_workflow",
            "workflow": "invoke_workflow",
        }
    },
    read_usage=_usage,
    read_id=id_in("metadata", "langwatch.metadata"),
    read_tool=_tool,
    asked=lambda span: asked(_value(span, "langwatch.input")),
    answered=lambda span: answered(_value(span, "langwatch.output")),
)
