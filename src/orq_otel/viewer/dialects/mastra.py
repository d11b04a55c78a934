"""Mastra: spans for an agent's run, each step, each call and each chunk of it, in `mastra.*`.

A call's span has the answer, the step around it the question; a failed call says so only by its
finish reason.

https://mastra.ai/docs/observability/tracing/overview
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Attributes, Dialect, Messages, first
from orq_otel.viewer.dialects.shapes import answered, asked
from orq_otel.viewer.model.telemetry import Span

_KINDS: Final = ("agent_run", "model_generation", "model_step", "model_inference", "tool_call")


#: A note in the place of a tool's call or its result, and how this project notes the same.
_CUT: Final = {"type": "text", "content": "[1 items cut]"}
_NOTE = re.compile(r"\[tool(-result)?: [^\]]*\]")


def _names(what: str) -> tuple[str, ...]:
    return tuple(f"mastra.{kind}.{what}" for kind in reversed(_KINDS))


def _asked(span: Span) -> Messages:
    # Its exporter to Langfuse has the same under Langfuse's name.
    found = asked(first(span.attributes, (*_names("input"), "langfuse.observation.input")))
    for one in found:
        one["parts"] = [dict(_CUT) if _stands_for_tool(part) else part for part in one["parts"]]
    return found


def _stands_for_tool(part: Mapping[str, Any]) -> bool:
    """Whether a part is a note in the place of a tool's call or its result."""
    text = part.get("content", part.get("response"))
    return isinstance(text, str) and _NOTE.fullmatch(text) is not None


def _answered(span: Span) -> Messages:
    value: Any = first(span.attributes, _names("output"))
    if isinstance(value, dict):
        text = value.get("text")
        value = {**value, "role": "assistant", "content": text}
    return answered(value)


def _failure(attributes: Attributes) -> str | None:
    reasons = attributes.get("gen_ai.response.finish_reasons")
    is_call = str(attributes.get("mastra.span.type")) in {"model_inference", "model_generation"}
    return "" if is_call and str(reasons) in {'["error"]', "['error']"} else None


MASTRA: Final = Dialect(
    name="Mastra",
    marks=("mastra.",),
    thread_ids=("mastra.metadata.threadId", "mastra.metadata.sessionId"),
    tags=("mastra.tags",),
    users=("mastra.metadata.userId",),
    kinds={
        "mastra.span.type": {
            "agent_run": "invoke_agent",
            "model_generation": "invoke_workflow",
            "model_step": "invoke_workflow",
            "model_inference": "chat",
            "model_chunk": "chunk",
            "tool_call": "execute_tool",
            "mcp_tool_call": "execute_tool",
            "workflow_run": "invoke_workflow",
        }
    },
    asked=_asked,
    answered=_answered,
    failure=_failure,
)
