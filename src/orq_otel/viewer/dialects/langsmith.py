"""LangSmith's SDK: runs with `langsmith.*`, inputs and outputs in `gen_ai.prompt` and `completion`.

https://docs.smith.langchain.com/observability/how_to_guides/trace_with_opentelemetry
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, ToolUse, first, usage_of
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_METADATA: Final = "langsmith.metadata."


def _usage(span: Span) -> Usage | None:
    attributes = span.attributes
    found = usage_of(attributes.get("langsmith.metadata.usage_metadata"))
    return found or usage_of(
        {
            "input_tokens": attributes.get("gen_ai.usage.input_tokens"),
            "output_tokens": attributes.get("gen_ai.usage.output_tokens"),
            "input_token_details": first(attributes, ("gen_ai.usage.input_token_details",)),
            "output_token_details": first(attributes, ("gen_ai.usage.output_token_details",)),
        }
    )


def _tool(span: Span) -> ToolUse | None:
    result = first(span.attributes, ("gen_ai.completion",))
    if isinstance(result, Mapping) and len(result) == 1:  # around what is no mapping itself
        result = result.get("output", result.get("outputs", result))
    return ToolUse(None, None, first(span.attributes, ("gen_ai.prompt",)), result)


LANGSMITH: Final = Dialect(
    name="LangSmith",
    marks=("langsmith.",),
    thread_ids=tuple(_METADATA + name for name in ("thread_id", "session_id", "conversation_id")),
    tags=("langsmith.span.tags",),
    users=(_METADATA + "user_id",),
    kinds={
        "langsmith.span.kind": {
            "llm": "chat",
            "embedding": "embeddings",
            "tool": "execute_tool",
            "retriever": "retrieval",
            "chain": "invoke_workflow",
        }
    },
    models=(_METADATA + "ls_model_name",),
    providers=(_METADATA + "ls_provider",),
    read_usage=_usage,
    read_tool=_tool,
)
