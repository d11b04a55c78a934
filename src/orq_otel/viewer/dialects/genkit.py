"""Genkit: each action's input and output as JSON in `genkit:input` and `genkit:output`.

https://genkit.dev/docs/observability/getting-started/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Attributes, Dialect, answered_in, asked_in, usage_of
from orq_otel.viewer.dialects.shapes import decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_INPUT: Final = "genkit:input"
_OUTPUT: Final = "genkit:output"


def _usage(span: Span) -> Usage | None:
    """Reads the usage of a call. The vendor's own, where it is passed on, says more."""
    if span.attributes.get("genkit:metadata:subtype") != "model":
        return None
    output = decoded(span.attributes.get(_OUTPUT))
    if not isinstance(output, Mapping):
        return None
    return usage_of(_inner(output, "raw")) or usage_of(output.get("usage"))


def _inner(output: Mapping[str, Any], name: str) -> Any:
    raw = output.get(name, output.get("custom"))
    return raw.get("usage", raw.get("usageMetadata")) if isinstance(raw, Mapping) else None


def _failure(attributes: Attributes) -> str | None:
    return "" if attributes.get("genkit:state") == "error" else None


GENKIT: Final = Dialect(
    name="Genkit",
    marks=("genkit:type", _INPUT, _OUTPUT),
    thread_ids=("genkit:sessionId", "genkit:metadata:sessionId"),
    kinds={
        "genkit:metadata:subtype": {
            "model": "chat",
            "embedder": "embeddings",
            "tool": "execute_tool",
            "tool.v2": "execute_tool",
            "retriever": "retrieval",
            "reranker": "rerank",
            "flow": "invoke_workflow",
            "prompt": "invoke_workflow",
            "executable-prompt": "invoke_workflow",
        },
        "genkit:type": {
            "util": "invoke_workflow",
            "flow": "invoke_workflow",
            "promptTemplate": "invoke_workflow",
        },
    },
    models=("genkit:name",),
    tool={"name": ("genkit:name",), "arguments": (_INPUT,), "result": (_OUTPUT,)},
    read_usage=_usage,
    asked=asked_in(_INPUT),
    answered=answered_in(_OUTPUT),
    failure=_failure,
)
