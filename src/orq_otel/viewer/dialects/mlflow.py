"""MLflow Tracing over OTLP: every value is JSON, also each text.

https://mlflow.org/docs/latest/genai/tracing/
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import (
    Attributes,
    Dialect,
    ToolUse,
    answered_in,
    asked_in,
    first,
    number,
    usage_of,
)
from orq_otel.viewer.dialects.shapes import decoded
from orq_otel.viewer.model import Span, Usage

_INPUT: Final = ("mlflow.spanInputs",)
_OUTPUT: Final = ("mlflow.spanOutputs",)


def _usage(attributes: Attributes) -> Usage | None:
    found = usage_of(attributes.get("mlflow.chat.tokenUsage"))
    cost = decoded(attributes.get("mlflow.llm.cost"))
    if found is not None and isinstance(cost, dict):
        found.cost = number(cost.get("total_cost", cost.get("total")))
    return found


def _tool(span: Span) -> ToolUse | None:
    return ToolUse(span.name, None, first(span.attributes, _INPUT), first(span.attributes, _OUTPUT))


MLFLOW: Final = Dialect(
    name="MLflow",
    marks=("mlflow.",),
    thread_ids=("mlflow.trace.session", "mlflow.traceMetadata.mlflow.trace.session"),
    users=("mlflow.trace.user",),
    kinds={
        "mlflow.spanType": {
            "CHAT_MODEL": "chat",
            "LLM": "text_completion",
            "EMBEDDING": "embeddings",
            "TOOL": "execute_tool",
            "AGENT": "invoke_agent",
            "RETRIEVER": "retrieval",
            "RERANKER": "rerank",
            "CHAIN": "invoke_workflow",
            "WORKFLOW": "invoke_workflow",
        }
    },
    models=("mlflow.llm.model", "model"),
    providers=("mlflow.llm.provider",),
    read_usage=_usage,
    read_tool=_tool,
    asked=asked_in(*_INPUT),
    answered=answered_in(*_OUTPUT),
)
