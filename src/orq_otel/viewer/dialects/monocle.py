"""Monocle of Okahu: kinds of spans in `span.type`, and content in events of their own.

https://github.com/monocle2ai/monocle, `apptrace/src/monocle_apptrace/instrumentation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, ToolUse, first, first_text, usage_of
from orq_otel.viewer.dialects.genai import events_of
from orq_otel.viewer.dialects.printed import unprinted
from orq_otel.viewer.dialects.shapes import answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_INPUT, _OUTPUT, _METADATA = "data.input", "data.output", "metadata"


def _of(span: Span, event: str, names: tuple[str, ...]) -> Any:
    """Returns the first of some attributes of an event."""
    return next(
        (first(attributes, names) for name, attributes, _ in events_of(span) if name == event), None
    )


def _usage(span: Span) -> Usage | None:
    told = (attributes for name, attributes, _ in events_of(span) if name == _METADATA)
    found = usage_of(next(told, None)) or Usage()
    attributes = span.attributes
    found.model = next(
        (
            first_text(attributes, (name.removesuffix("type") + "name",))
            for name, value in attributes.items()
            if name.startswith("entity.") and str(value).startswith("model.llm")
        ),
        None,
    )
    return found if found != Usage() else None


def _message(value: Any) -> Any:
    """Returns a message that is an object with one name, which is its role, as one with a role."""
    value = decoded(value)
    if not isinstance(value, Mapping) or len(value) != 1:
        return value
    role, content = next(iter(value.items()))
    if role == "tool":
        return {"role": role, "content": content}
    calls = [
        {
            "id": one.get("tool_id"),
            "name": one.get("tool_name", one.get("tool_function")),
            "arguments": one.get("tool_arguments"),
        }
        for one in map(decoded, content if isinstance(content, list) else ())
        if isinstance(one, Mapping) and ("tool_name" in one or "tool_function" in one)
    ]
    return {"role": role, "tool_calls": calls} if calls else {"role": role, "content": content}


def _asked(span: Span) -> Messages:
    found = _of(span, _INPUT, ("input",))
    # A list of JSON texts, as Python prints it.
    found = decoded(unprinted(found)) if isinstance(found, str) else found
    return asked([_message(one) for one in found] if isinstance(found, list) else found)


def _answered(span: Span) -> Messages:
    if span.status == "ERROR":  # which it tells as an answer
        return []
    return answered(_message(_of(span, _OUTPUT, ("response", "output"))))


def _tool(span: Span) -> ToolUse | None:
    return ToolUse(
        None, None, _of(span, _INPUT, ("input",)), _of(span, _OUTPUT, ("response", "output"))
    )


MONOCLE: Final = Dialect(
    name="Monocle",
    marks=("monocle_apptrace.",),
    is_genai=False,  # it marks requests of HTTP as well
    labels=("monocle_apptrace.",),
    thread_ids=("scope.agentic.session", "scope.conversation", "scope.session"),
    kinds={
        "span.type": {
            "inference": "chat",
            "inference.framework": "invoke_workflow",
            "inference.modelapi": "chat",
            "retrieval": "retrieval",
            "embedding": "embeddings",
            "agentic.tool.invocation": "execute_tool",
            "agentic.mcp.invocation": "execute_tool",
            "agentic.invocation": "invoke_agent",
            "agentic.turn": "invoke_workflow",
            "agentic.request": "invoke_workflow",
        }
    },
    tool={"name": ("entity.1.name",)},
    read_usage=_usage,
    read_tool=_tool,
    asked=_asked,
    answered=_answered,
)
