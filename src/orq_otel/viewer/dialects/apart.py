"""Instrumentations that pass on how Anthropic and Bedrock count, in attributes of the conventions.

These vendors count what came from a cache, or went into it, beside the input tokens, while the
conventions count it among them. Only the instrumentation scope tells who has not added it.
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, first_tokens
from orq_otel.viewer.dialects.genai import GENAI
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_SCOPES: Final = (
    "opentelemetry.instrumentation.bedrock",
    "opentelemetry.instrumentation.botocore",
    "opentelemetry.instrumentation.genai.bedrock",
    "openlit.instrumentation.anthropic",
    "openlit.instrumentation.bedrock",
)
_MARKS: Final = (*GENAI.usage["cache_read"][:2], *GENAI.usage["cache_write"][:3])


def _usage(span: Span) -> Usage | None:
    if not span.scope.startswith(_SCOPES):
        return None
    plain = first_tokens(span.attributes, GENAI.usage["input_tokens"])
    if plain is None:
        return None
    read = first_tokens(span.attributes, GENAI.usage["cache_read"])
    written = first_tokens(span.attributes, GENAI.usage["cache_write"])
    return Usage(plain + (read or 0) + (written or 0), None, read, written)


APART: Final = Dialect(name="counted apart", marks=_MARKS, is_genai=False, read_usage=_usage)
