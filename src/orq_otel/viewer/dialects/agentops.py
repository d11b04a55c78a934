"""AgentOps: kinds of spans in `agentops.*`, beside the conventions and Traceloop's messages.

https://docs.agentops.ai/v2/concepts/spans
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, ToolUse, first
from orq_otel.viewer.dialects.traceloop import called
from orq_otel.viewer.model.telemetry import Span

_INPUT: Final = ("agentops.tool.input", "agentops.entity.input")
_OUTPUT: Final = ("agentops.tool.output", "agentops.entity.output")


def _tool(span: Span) -> ToolUse | None:
    attributes = span.attributes
    return ToolUse(
        attributes.get("operation.name") or attributes.get("agentops.entity.name"),
        None,
        called(first(attributes, _INPUT)),
        first(attributes, _OUTPUT),
    )


AGENTOPS: Final = Dialect(
    name="AgentOps",
    marks=("agentops.", "gen_ai.request.type"),
    tags=("agentops.tags",),
    kinds={
        "agentops.span.kind": {
            "agent": "invoke_agent",
            "operation": "invoke_workflow",
            "session": "invoke_workflow",
            "task": "invoke_workflow",
            "tool": "execute_tool",
            "workflow": "invoke_workflow",
        },
        "gen_ai.request.type": {
            "chat": "chat",
            "completion": "text_completion",
            "embedding": "embeddings",
        },
    },
    read_tool=_tool,
)
