"""MLflow Tracing over OTLP: every value is JSON, also each text.

https://mlflow.org/docs/latest/genai/tracing/
"""

from __future__ import annotations

import json
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

_INPUT: Final = "mlflow.spanInputs"
_OUTPUT: Final = "mlflow.spanOutputs"


def _value(span: Span, name: str) -> Any:
    value = span.attributes.get(name)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):  # it was cut
        return value


def _usage(span: Span) -> Usage | None:
    found = usage_of(span.attributes.get("mlflow.chat.tokenUsage"))
    cost = decoded(span.attributes.get("mlflow.llm.cost"))
    if found is not None and isinstance(cost, dict):
        found.cost = number(cost.get("total_cost", cost.get("total")))
    return found


def _tool(span: Span) -> ToolUse | None:
    return ToolUse(span.name, None, _value(span, _INPUT), _value(span, _OUTPUT))


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
    read_id=id_in("metadata"),
    read_tool=_tool,
    asked=lambda span: asked(_value(span, _INPUT)),
    answered=lambda span: answered(_value(span, _OUTPUT)),
)
