"""Laminar: the conventions for calls, and `lmnr.*` for all that users observe, each value as JSON.

https://docs.lmnr.ai/tracing/otel
"""

from __future__ import annotations

import json
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, ToolUse
from orq_otel.viewer.dialects.shapes import answered, asked
from orq_otel.viewer.model.telemetry import Span

_PROPERTIES: Final = "lmnr.association.properties."


def _value(span: Span, name: str) -> Any:
    value = span.attributes.get(name)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):  # it was cut
        return value


def _tool(span: Span) -> ToolUse | None:
    return ToolUse(
        span.name, None, _value(span, "lmnr.span.input"), _value(span, "lmnr.span.output")
    )


LAMINAR: Final = Dialect(
    name="Laminar",
    marks=("lmnr.",),
    labels=(_PROPERTIES,),
    thread_ids=(_PROPERTIES + "session_id",),
    tags=(_PROPERTIES + "tags",),
    users=(_PROPERTIES + "user_id",),
    kinds={
        "lmnr.span.type": {
            "LLM": "chat",
            "TOOL": "execute_tool",
            "DEFAULT": "invoke_workflow",
            "PIPELINE": "invoke_workflow",
            "EXECUTOR": "invoke_workflow",
        }
    },
    read_tool=_tool,
    asked=lambda span: asked(_value(span, "lmnr.span.input")),
    answered=lambda span: answered(_value(span, "lmnr.span.output")),
)
