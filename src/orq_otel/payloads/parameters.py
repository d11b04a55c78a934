"""Request parameters that several operations share. Pure functions.

A value of a wrong type is left out. The API refuses such a request with a message of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get, is_whole, number, tidy
from orq_otel.genai.semconv import (
    OPENAI_REQUEST_SERVICE_TIER,
    OUTPUT_TYPE,
    REQUEST_FREQUENCY_PENALTY,
    REQUEST_PRESENCE_PENALTY,
    REQUEST_SEED,
    REQUEST_STOP_SEQUENCES,
    REQUEST_TEMPERATURE,
    REQUEST_TOP_K,
    REQUEST_TOP_P,
)

_NUMBERS = (
    ("temperature", REQUEST_TEMPERATURE),
    ("top_p", REQUEST_TOP_P),
    ("frequency_penalty", REQUEST_FREQUENCY_PENALTY),
    ("presence_penalty", REQUEST_PRESENCE_PENALTY),
)


def sampling(body: Mapping[str, Any]) -> Attributes:
    """How tokens are chosen. Compatible servers take `top_k`; `top_logprobs` is something else."""
    attributes: Attributes = {}
    for field, name in _NUMBERS:
        if field in body:
            value = number(body[field])
            if value is not None:
                attributes[name] = value
    if "seed" in body and is_whole(body["seed"]):
        attributes[REQUEST_SEED] = body["seed"]
    if "top_k" in body and is_whole(body["top_k"]):
        attributes[REQUEST_TOP_K] = body["top_k"]
    return attributes


def stop_sequences(stop: Any) -> Attributes:
    """The strings at which the model stops: `stop` is one, or a list of them."""
    if type(stop) is str:
        return {REQUEST_STOP_SEQUENCES: (tidy(stop),)}
    several = isinstance(stop, (list, tuple)) and [tidy(s) for s in stop if isinstance(s, str)]
    return {REQUEST_STOP_SEQUENCES: tuple(several)} if several else {}


def output_type(response_format: Any) -> Attributes:
    """The type of output: for a format `{"type": "json_schema", ...}` it is "json"."""
    kind = get(response_format, "type")
    if kind in ("json_object", "json_schema"):
        return {OUTPUT_TYPE: "json"}
    if kind == "text":
        return {OUTPUT_TYPE: "text"}
    return {}


def service_tier(tier: Any) -> Attributes:
    """The requested service tier, unless it is the default."""
    if type(tier) is not str or tier == "auto":
        return {}
    return {OPENAI_REQUEST_SERVICE_TIER: tidy(tier)}
