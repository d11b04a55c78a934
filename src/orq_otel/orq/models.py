"""Orq's models as the JSON that they stand for. Pure functions.

The client's models differ from OpenAI's in three ways: a field that was not sent is an object of
its own, which is false, where others have None; whole numbers are floats; and a field whose name
Python has taken ends in an underscore.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from orq_otel.genai.fields import fields
from orq_otel.openai.parts import items

_SCALARS = (str, int, bool, type(None))
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")


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


def known(value: Any) -> dict[str, Any]:
    """The fields of a model, or of a dict, that say anything."""
    return {name: one for name, one in fields(value).items() if one}


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


def whole(counts: Any) -> dict[str, Any]:
    """Token counts, which Orq gives as floats, as integers; with those in their details.

    What was written to a cache has two names, of which OpenAI's is the one that readers know.
    """
    given = plain(counts) if counts else {}
    if type(given) is not dict:
        return {}
    for field in _INPUT_DETAILS:
        details = given.get(field)
        if type(details) is dict and details.get("cache_creation_tokens") is not None:
            written = details.get("cache_write_tokens") or details["cache_creation_tokens"]
            given = {**given, field: {**details, "cache_write_tokens": written}}
    return given
