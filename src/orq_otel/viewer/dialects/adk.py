"""Google's Agent Development Kit: requests and responses of Gemini as JSON in `gcp.vertex.agent.*`.

https://google.github.io/adk-docs/observability/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, answered_in, asked_in, usage_of
from orq_otel.viewer.dialects.shapes import decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_REQUEST: Final = "gcp.vertex.agent.llm_request"
_RESPONSE: Final = "gcp.vertex.agent.llm_response"


def _usage(span: Span) -> Usage | None:
    response = decoded(span.attributes.get(_RESPONSE))
    if not isinstance(response, Mapping):
        return None
    return usage_of(response.get("usage_metadata", response.get("usageMetadata")))


ADK: Final = Dialect(
    name="Google ADK",
    marks=("gcp.vertex.agent.",),
    thread_ids=("gcp.vertex.agent.session_id",),
    kinds={"gen_ai.operation.name": {"call_llm": "generate_content"}},
    tool={
        "arguments": ("gcp.vertex.agent.tool_call_args",),
        "result": ("gcp.vertex.agent.tool_response",),
    },
    read_usage=_usage,
    asked=asked_in(_REQUEST),
    answered=answered_in(_RESPONSE),
)
