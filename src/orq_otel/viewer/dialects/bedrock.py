"""OpenTelemetry's instrumentation of botocore: the GenAI conventions, counted as Bedrock counts.

Bedrock counts what came from a cache, or went into it, beside the input tokens.
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Attributes, Dialect, first_tokens
from orq_otel.viewer.dialects.genai import GENAI
from orq_otel.viewer.model import Usage


def _usage(attributes: Attributes) -> Usage | None:
    if attributes.get("rpc.service") != "Bedrock Runtime":
        return None
    plain = first_tokens(attributes, GENAI.usage["input_tokens"])
    if plain is None:
        return None
    read = first_tokens(attributes, GENAI.usage["cache_read"])
    written = first_tokens(attributes, GENAI.usage["cache_write"])
    return Usage(plain + (read or 0) + (written or 0), None, read, written)


BEDROCK: Final = Dialect(name="botocore", marks=("rpc.service",), is_genai=False, read_usage=_usage)
