"""Request parameters that several operations share. Pure functions.

A value of a wrong type is left out. The API refuses such a request with a message of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get, is_whole, number, safe_text
from orq_otel.genai.messages import LONG, Content
from orq_otel.genai.semconv import (
    OPENAI_REQUEST_SERVICE_TIER,
    OUTPUT_TYPE,
    PROMPT_VARIABLE,
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

#: Variables of a prompt on one span. A span keeps 128 attributes by default, and more variables
#: would displace the rest of them.
_MOST_VARIABLES: Final = 64


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
        return {REQUEST_STOP_SEQUENCES: (safe_text(stop),)}
    several = isinstance(stop, (list, tuple)) and [safe_text(s) for s in stop if isinstance(s, str)]
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
    return {OPENAI_REQUEST_SERVICE_TIER: safe_text(tier)}


def prompt_variables(
    variables: Iterable[tuple[Any, Any]], as_text: Callable[[Any], str]
) -> Content:
    """The first variables of a prompt, by the names of their attributes.

    Args:
        variables: Names and values. Those whose name is no short, printable text are left out.
        as_text: Makes the text of an attribute from a value.
    """
    return {
        f"{PROMPT_VARIABLE}.{name}": as_text(value)
        for name, value in islice(variables, _MOST_VARIABLES)
        if type(name) is str and 0 < len(name) < LONG and name.isprintable()
    }
