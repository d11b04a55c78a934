"""Logfire's instrumentations of OpenAI, Anthropic and the OpenAI Agents SDK: the APIs' own JSON.

A stream is two spans: the request, which ends when the stream begins, and a record of what was
answered, with the usage (`logfire.span_type` is "log").

https://logfire.pydantic.dev/docs/integrations/llms/openai/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orq_otel.viewer.dialects.dialect import (
    Dialect,
    Messages,
    ToolUse,
    first,
    text,
    usage_of,
)
from orq_otel.viewer.dialects.shapes import answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span


def _usage(span: Span) -> Usage | None:
    for name in ("gen_ai.usage.raw", "usage"):
        found = usage_of(span.attributes.get(name))
        if found is not None:
            return found
    response = decoded(span.attributes.get("response_data"))
    return usage_of(response.get("usage")) if isinstance(response, Mapping) else None


def _asked(span: Span) -> Messages:
    attributes = span.attributes
    found = asked(first(attributes, ("request_data",)))
    if found:
        return found
    response = decoded(attributes.get("response"))
    before = response.get("instructions") if isinstance(response, Mapping) else None
    return asked({"instructions": before, "input": first(attributes, ("raw_input",))})


def _answered(span: Span) -> Messages:
    attributes = span.attributes
    found = decoded(attributes.get("response_data"))
    if isinstance(found, Mapping) and isinstance(found.get("combined_chunk_content"), str):
        return answered(found["combined_chunk_content"])
    return answered(found) or answered(first(attributes, ("response",)))


def _id(span: Span) -> str | None:
    """The group of a run of the OpenAI Agents SDK. Elsewhere the name may mean anything."""
    is_run = span.scope.endswith("openai_agents")
    return text(span.attributes.get("group_id")) if is_run else None


def _tool(span: Span) -> ToolUse | None:
    attributes = span.attributes
    if "input" not in attributes and "output" not in attributes:
        return None
    return ToolUse(
        text(attributes.get("name")),
        None,
        first(attributes, ("input",)),
        first(attributes, ("output",)),
    )


LOGFIRE: Final = Dialect(
    name="Logfire",
    marks=("request_data", "response_data", "raw_input", "logfire.msg", "logfire.msg_template"),
    is_genai=False,
    read_id=_id,
    kinds={
        "logfire.msg_template": {
            "OpenAI Agents trace: {name}": "invoke_workflow",
            "Agent run: {name!r}": "invoke_agent",
            "Function: {name}": "execute_tool",
            "Guardrail {name!r} {triggered=}": "guardrail",
            "Handoff: {from_agent} \u2192 {to_agent}": "handoff",
            "Responses API with {gen_ai.request.model!r}": "chat",
            "Chat completion with {gen_ai.request.model!r}": "chat",
            "Chat Completion with {request_data[model]!r}": "chat",
        }
    },
    records={"logfire.span_type": "log"},
    agents=("agent_name",),
    costs=("operation.cost",),
    read_usage=_usage,
    read_tool=_tool,
    asked=_asked,
    answered=_answered,
)
