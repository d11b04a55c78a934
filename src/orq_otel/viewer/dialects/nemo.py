"""NVIDIA's NeMo Agent Toolkit: OpenInference's attributes, with whole responses in its metadata.

https://docs.nvidia.com/nemo/agent-toolkit/latest/run-workflows/observe/observe.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, first, usage_of
from orq_otel.viewer.dialects.shapes import answered, asked
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

#: Its attributes begin with the first, unless NAT_SPAN_PREFIX is set to the earlier one.
_PREFIXES: Final = ("nat.", "aiq.")


def _metadata(span: Span, name: str) -> Any:
    value = first(span.attributes, (prefix + "metadata" for prefix in _PREFIXES))
    return value.get(name) if isinstance(value, Mapping) else None


def _response(span: Span) -> Any:
    """Returns the response of LangChain's model: `output.value` has its tool calls as text."""
    responses = _metadata(span, "chat_responses")
    return responses[0] if isinstance(responses, list) and responses else None


def _usage(span: Span) -> Usage | None:
    response = _response(span)
    said = response.get("message") if isinstance(response, Mapping) else None
    return usage_of(said.get("usage_metadata")) if isinstance(said, Mapping) else None


def _asked(span: Span) -> Messages:
    return asked(_metadata(span, "chat_inputs"))


def _answered(span: Span) -> Messages:
    return answered(_response(span))


NEMO: Final = Dialect(
    name="NeMo Agent Toolkit",
    marks=tuple(prefix + "event_type" for prefix in _PREFIXES),
    thread_ids=tuple(prefix + "conversation.id" for prefix in _PREFIXES),
    users=tuple(prefix + "user.id" for prefix in _PREFIXES),
    read_usage=_usage,
    asked=_asked,
    answered=_answered,
)
