"""LlamaIndex's own exporter, `llama-index-observability-otel`: its events as events of spans.

https://github.com/run-llama/llama_index, `llama-index-integrations/observability`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, first, first_text, usage_of
from orq_otel.viewer.dialects.genai import events_of
from orq_otel.viewer.dialects.indexed import place_of
from orq_otel.viewer.dialects.shapes import answered, asked, decoded
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_STARTS: Final = ("LLMChatStartEvent", "LLMCompletionStartEvent")
_ENDS: Final = ("LLMChatEndEvent", "LLMCompletionEndEvent")
_OPERATIONS: Final = {
    "LLMChatStartEvent": "chat",
    "LLMCompletionStartEvent": "text_completion",
    "EmbeddingStartEvent": "embeddings",
    "RetrievalStartEvent": "retrieval",
    "ReRankStartEvent": "rerank",
    "AgentToolCallEvent": "execute_tool",
}
_TEXTS: Final = ("prompt", "query", "str_or_query_bundle")


def _attributes(span: Span, events: tuple[str, ...]) -> Mapping[str, Any]:
    return next((attributes for name, attributes, _ in events_of(span) if name in events), {})


def _response(span: Span) -> Mapping[str, Any]:
    """Returns the object that a response is, of which each value stands in an attribute."""
    found: dict[str, Any] = {}
    for name, value in _attributes(span, _ENDS).items():
        if name.startswith("response."):
            path = name.split(".")[1:]
            place_of(found, path)[path[-1]] = decoded(value)
    return found


def _operation(span: Span) -> str | None:
    return next((_OPERATIONS[name] for name, _, _ in events_of(span) if name in _OPERATIONS), None)


def _usage(span: Span) -> Usage | None:
    response = _response(span)
    raw = response.get("raw")
    raw = raw if isinstance(raw, Mapping) else {}
    for usage in (raw.get("usage"), raw.get("usage_metadata"), response.get("additional_kwargs")):
        found = usage_of(usage)
        if found is not None:
            break
    else:
        found = Usage()
    start = _attributes(span, (*_STARTS, "EmbeddingStartEvent"))
    found.model = first_text(raw, ("model", "model_version")) or first_text(
        start, ("model_dict.model_name", "model_dict.model")
    )
    return found if found != Usage() else None


def _asked(span: Span) -> Messages:
    start = _attributes(span, _STARTS)
    return asked(first(start, ("messages", *_TEXTS)))


def _answered(span: Span) -> Messages:
    response = _response(span)
    return answered(response.get("message", response.get("text")))


LLAMA_INDEX: Final = Dialect(
    name="LlamaIndex",
    marks=("llamaindex.",),
    scopes=("llamaindex.opentelemetry.tracer",),
    is_genai=False,  # a step of a workflow has the same marks as a call
    read_operation=_operation,
    read_usage=_usage,
    asked=_asked,
    answered=_answered,
)
