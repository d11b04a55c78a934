"""The models of Orq's client, converted to the JSON that they represent. Pure functions.

They differ from those of OpenAI's client in three ways: a field that is not set holds a falsy
object of the class `Unset`, not None; whole numbers are floats; and a field whose name is a keyword
or a builtin of Python ends in an underscore.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from orq_otel.genai import semconv
from orq_otel.genai.fields import Attributes, fields, read_strings
from orq_otel.payloads.parts import items
from orq_otel.payloads.usage import amount

#: The ids of Orq's own trace of a call: in the field `telemetry` of most responses, and in their
#: headers.
TRACE_IDS: Final = (("trace_id", semconv.ORQ_TRACE_ID), ("span_id", semconv.ORQ_SPAN_ID))
TRACE_ID_HEADERS: Final = (
    ("x-orq-trace-id", semconv.ORQ_TRACE_ID),
    ("x-orq-trace-span-id", semconv.ORQ_SPAN_ID),
)

#: What Orq bills for a call in US dollars: in `usage`, or in `billing` of an agent's run. The names
#: of the attributes are those on Orq's own spans.
#: Source: https://docs.orq.ai/docs/ai-studio/observability/token-cost-tracking.
_COSTS: Final = {
    "input_cost": semconv.ORQ_BILLING_INPUT_COST,
    "output_cost": semconv.ORQ_BILLING_OUTPUT_COST,
    "total_cost": semconv.ORQ_BILLING_TOTAL_COST,
}

_SCALARS: Final = (str, int, bool, type(None))
#: Objects inside of token counts, by all the names that APIs have for them.
_DETAILS: Final = frozenset(
    {
        "cached_tokens_details",
        "completion_tokens_details",
        "input_tokens_details",
        "output_tokens_details",
        "prompt_tokens_details",
    }
)


def telemetry_ids(response: Mapping[str, Any]) -> Attributes:
    """Orq's ids of its own trace, from the field `telemetry` of a response."""
    telemetry = response.get("telemetry")
    return read_strings(fields(telemetry), TRACE_IDS) if telemetry else {}


def billing(bill: Any) -> Attributes:
    """What Orq bills for a call, from its usage or from `billing` of an agent's run.

    A total of zero may mean that Orq does not know the number of tokens, so it is no cost of usage.
    """
    bill = fields(bill)
    costs = {name: amount(bill.get(field)) for field, name in _COSTS.items()}
    attributes: Attributes = {name: cost for name, cost in costs.items() if cost is not None}
    total = attributes.get(semconv.ORQ_BILLING_TOTAL_COST)
    if total:
        attributes[semconv.USAGE_COST] = total
    if type(bill.get("billable")) is bool:
        attributes[semconv.ORQ_BILLING_BILLABLE] = bill["billable"]
    return attributes


def as_json(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """A value with models as dicts of the fields that are set, and whole floats as integers.

    A dict of the caller's stays as it is, models in it included: readers take both.
    """
    kind = type(value)
    if kind in _SCALARS or kind is dict:
        return value
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is list or kind is tuple:
        return [as_json(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):  # a value that the client's version has no enum member for
        return str.__str__(value)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return set_fields(fields(value))
    return value


def set_fields(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model that are set, by their names in JSON, with their values as JSON."""
    return {
        name.rstrip("_"): as_json(value)
        for name, value in model.items()
        if value is not None and not is_unset(value)
    }


def json_items(value: Any) -> list[Any]:
    """The items of a list as JSON. An iterator is left alone."""
    return [one if type(one) is dict else as_json(one) for one in items(value)]


def message_fields(message: Any) -> Mapping[str, Any]:
    """The fields of a message, without empty or unset content. Readers skip other unset fields."""
    message = fields(message)
    if message.get("content"):
        return message  # type: ignore[no-any-return]
    return {name: value for name, value in message.items() if name != "content"}


def as_body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a method as a request body: those that are set, whole floats as integers.

    Models among the arguments stay models.
    """
    return {
        name: int(value) if type(value) is float and value.is_integer() else value
        for name, value in arguments.items()
        if not is_unset(value)
    }


def is_unset(value: Any) -> bool:
    """Whether a value is the client's mark for a field that is not set."""
    return type(value).__name__ == "Unset"


def unset_type() -> type:
    """The type of that mark, once the client is imported. Comparing types is faster than names."""
    return getattr(sys.modules.get("orq_ai_sdk.types.basemodel"), "Unset", type(None))


def token_counts(usage: Any) -> dict[str, Any]:
    """Token counts, which Orq's models have as floats, as integers, with those in their details.

    What is no number is left out.
    """
    counts: dict[str, Any] = {}
    for name, value in fields(usage).items():
        kind = type(value)
        if kind is float:
            if value.is_integer():
                counts[name] = int(value)
        elif kind is int:
            counts[name] = value
        elif value and name in _DETAILS:
            counts[name] = token_counts(value)
    return counts
