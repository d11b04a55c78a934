"""Orq's models as the JSON that they stand for. Pure functions.

The client's models differ from OpenAI's in three ways: a field that was not sent is an object of
its own, which is false, where others have None; whole numbers are floats; and a field whose name
Python has taken ends in an underscore.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

from orq_otel.genai.fields import fields
from orq_otel.payloads.parts import items

_SCALARS = (str, int, bool, type(None))
#: Objects inside of token counts, whatever the API calls them.
_DETAILS = frozenset(
    {
        "cached_tokens_details",
        "completion_tokens_details",
        "input_tokens_details",
        "output_tokens_details",
        "prompt_tokens_details",
    }
)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """A value with models replaced by dicts of the fields that they have, whole floats by integers.

    What a caller gave as dict stays as it is, with whatever is in there: readers take both.
    """
    kind = type(value)
    if kind in _SCALARS or kind is dict:
        return value
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is list or kind is tuple:
        return [plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):  # one that the client's version does not know
        return str.__str__(value)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return sent(fields(value))
    return value


def sent(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were sent, under their names in JSON, with their values as plain JSON."""
    return {
        name.rstrip("_"): plain(value)
        for name, value in given.items()
        if value is not None and not is_unset(value)
    }


def dicts(value: Any) -> list[Any]:
    """The items of a list, with models replaced by dicts. An iterator is left alone."""
    return [one if type(one) is dict else plain(one) for one in items(value)]


def known(message: Any) -> Mapping[str, Any]:
    """The fields of a message, without content that is none. Readers skip other such fields."""
    given = fields(message)
    return given if given.get("content") else {k: v for k, v in given.items() if k != "content"}


def as_body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a method as the fields of a request: what is sent, whole floats as integers.

    Models in there stay.
    """
    return {
        name: int(value) if type(value) is float and value.is_integer() else value
        for name, value in arguments.items()
        if not is_unset(value)
    }


def is_unset(value: Any) -> bool:
    """Whether a value is the client's mark for a field that was not sent."""
    return type(value).__name__ == "Unset"


def unset_type() -> type:
    """The type of that mark, once the client is imported: to ask each one takes longer."""
    return getattr(sys.modules.get("orq_ai_sdk.types.basemodel"), "Unset", type(None))


def whole(counts: Any) -> dict[str, Any]:
    """Token counts, which Orq gives as floats, as integers; with those in their details.

    What was written to a cache has two names, of which OpenAI's is the one that readers know. What
    is no number is left out.
    """
    told: dict[str, Any] = {}
    for name, value in fields(counts).items():
        kind = type(value)
        if kind is float:
            if value.is_integer():
                told[name] = int(value)
        elif kind is int:
            told[name] = value
        elif value and name in _DETAILS:
            told[name] = whole(value)
    written = told.get("cache_creation_tokens")
    if written is not None:
        told["cache_write_tokens"] = told.get("cache_write_tokens") or written
    return told
