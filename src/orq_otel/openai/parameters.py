"""Request parameters that chat completions and responses share. Pure functions.

A value of a wrong type is left out: the API will refuse the request, and says so better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get, number

_NUMBERS = (
    ("temperature", semconv.REQUEST_TEMPERATURE),
    ("top_p", semconv.REQUEST_TOP_P),
    ("frequency_penalty", semconv.REQUEST_FREQUENCY_PENALTY),
    ("presence_penalty", semconv.REQUEST_PRESENCE_PENALTY),
)


def sampling(body: Mapping[str, Any]) -> Attributes:
    """How tokens are chosen. `top_logprobs` is not `top_k`, which compatible servers take."""
    attributes: Attributes = {}
    for field, name in _NUMBERS:
        if field in body:
            value = number(body[field])
            if value is not None:
                attributes[name] = value
    for field, name in (("seed", semconv.REQUEST_SEED), ("top_k", semconv.REQUEST_TOP_K)):
        if field in body and type(body[field]) is int:
            attributes[name] = body[field]
    return attributes


def output_type(response_format: Any) -> Attributes:
    """What kind of output was asked for: `{"type": "json_schema", ...}` is "json"."""
    kind = get(response_format, "type")
    if kind in ("json_object", "json_schema"):
        return {semconv.OUTPUT_TYPE: "json"}
    if kind == "text":
        return {semconv.OUTPUT_TYPE: "text"}
    return {}


def service_tier(tier: Any) -> Attributes:
    """The service tier that was asked for, unless it is the default."""
    if type(tier) is not str or tier == "auto":
        return {}
    return {semconv.OPENAI_REQUEST_SERVICE_TIER: tier}
