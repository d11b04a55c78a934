"""VoltAgent: agents of TypeScript, with steps by `span.type`.

A span of type `llm` holds all of an agent's model calls, without their answers and with the usage
of the last one. So the agent is read in its place: its usage is that of all of them.

https://voltagent.dev/observability-docs/, `packages/core/src/observability` and `agent`.
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, answered_in, first
from orq_otel.viewer.dialects.shapes import asked
from orq_otel.viewer.model.telemetry import Span


def _operation(span: Span) -> str | None:
    """Returns an agent's operation. Its own span has no type, and says what became of it."""
    return "invoke_agent" if "agent.state" in span.attributes else None


def _asked(span: Span) -> Messages:
    attributes = span.attributes
    question = asked(first(attributes, ("input",)))
    return asked({"system": attributes.get("agent.instructions")}) + question if question else []


VOLTAGENT: Final = Dialect(
    name="VoltAgent",
    marks=("voltagent.",),
    scopes=("@voltagent/core",),
    is_genai=False,  # its reads and writes of memory have the same marks
    thread_ids=("voltagent.conversation_id", "conversation.id"),
    users=("user.id",),
    agents=("entity.name",),
    kinds={
        "span.type": {
            "tool": "execute_tool",
            "agent": "invoke_agent",
            "retriever": "retrieval",
            "guardrail": "guardrail",
            "workflow": "invoke_workflow",
        }
    },
    models=("ai.model.name",),
    usage={
        "input_tokens": ("usage.prompt_tokens",),
        "output_tokens": ("usage.completion_tokens",),
        "cache_read": ("usage.cached_tokens",),
        "reasoning": ("usage.reasoning_tokens",),
    },
    tool={
        "name": ("tool.name",),
        "id": ("tool.call.id",),
        "arguments": ("input",),
        "result": ("output",),
    },
    read_operation=_operation,
    asked=_asked,
    answered=answered_in("output"),
)
