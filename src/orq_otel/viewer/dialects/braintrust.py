"""Braintrust's SDKs that send OpenTelemetry: each value as JSON in `braintrust.*`.

https://www.braintrust.dev/docs/integrations/sdk-integrations/opentelemetry
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import (
    Dialect,
    Messages,
    ToolUse,
    answered_in,
    first,
    id_in,
    number,
    text,
    usage_of,
)
from orq_otel.viewer.dialects.shapes import asked, decoded
from orq_otel.viewer.dialects.traceloop import called
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_INPUT: Final = ("braintrust.input_json", "braintrust.input")
_OUTPUT: Final = ("braintrust.output_json", "braintrust.output")
_METRICS: Final = "braintrust.metrics"
_KIND: Final = "braintrust.span_attributes"
_KINDS: Final = {
    "llm": "chat",
    "tool": "execute_tool",
    "task": "invoke_workflow",
    "function": "invoke_workflow",
}


def _object(span: Span, name: str) -> Mapping[str, Any]:
    """Returns an object that is one attribute as JSON, or an attribute for each of its values."""
    found = decoded(span.attributes.get(name))
    if isinstance(found, Mapping):
        return found
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value
        for key, value in span.attributes.items()
        if key.startswith(prefix)
    }


def _usage(span: Span) -> Usage | None:
    metrics = _object(span, _METRICS)
    found = usage_of(
        {
            **metrics,
            "total_tokens": metrics.get("tokens"),
            "cached_tokens": metrics.get("prompt_cached_tokens"),
            "cache_write_tokens": metrics.get("prompt_cache_creation_tokens"),
            "reasoning_tokens": metrics.get("completion_reasoning_tokens"),
        }
    )
    if found is not None:
        found.cost = number(metrics.get("estimated_cost"))
        found.model = text(_object(span, "braintrust.metadata").get("model"))
    return found


def _asked(span: Span) -> Messages:
    return asked(first(span.attributes, _INPUT))


def _tool(span: Span) -> ToolUse | None:
    kind = _object(span, _KIND)
    return ToolUse(
        text(kind.get("name")) or span.name,
        None,
        called(first(span.attributes, _INPUT)),
        first(span.attributes, _OUTPUT),
    )


def _operation(span: Span) -> str | None:
    return _KINDS.get(str(_object(span, _KIND).get("type")))


BRAINTRUST: Final = Dialect(
    name="Braintrust",
    marks=(
        *_INPUT,
        *_OUTPUT,
        _METRICS,
        "braintrust.metrics.",
        _KIND,
        "braintrust.span_attributes.",
        "braintrust.metadata",
    ),
    tags=("braintrust.tags",),
    read_operation=_operation,
    read_usage=_usage,
    read_id=id_in("braintrust.metadata"),
    read_tool=_tool,
    asked=_asked,
    answered=answered_in(*_OUTPUT),
)
