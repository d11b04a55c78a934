"""Read fields of requests and responses that may be there or not, fast and without a copy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

#: No name, id or reason is longer.
_LONGEST = 1024
_INT64 = 2**63

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,64}")
#: What some gateways write for a name that they have not.
_NO_NAMES = frozenset({"None", "null"})
#: Why models stop, nearly always.
REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

#: Raised on reading a chunk or event that is none. A client makes objects of whatever was sent.
NO_CHUNK = (AttributeError, KeyError, TypeError)
#: Raised as well on reading one that is not of the usual form, or the first one of a choice.
UNUSUAL = (*NO_CHUNK, ValueError)


def fields(thing: Any) -> Mapping[str, Any]:
    """The fields of a dict, a namespace or a Pydantic model, by name. Not to be changed.

    `getattr` for a field that a Pydantic model lacks costs more than all the fields that it has.
    Fields that the installed client does not know of are among the model's extras.
    """
    if isinstance(thing, dict):
        return thing
    try:
        own: dict[str, Any] = thing.__dict__
    except AttributeError:
        return {}
    extra = getattr(thing, "__pydantic_extra__", None)
    return {**extra, **own} if extra and type(extra) is dict else own


def get(thing: Any, name: str) -> Any:
    """One field of a dict, a namespace or a Pydantic model, or None."""
    return None if thing is None else fields(thing).get(name)


def read_strings(given: Mapping[str, Any], names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What `given` has of these fields, text that is not empty, under the name beside each."""
    strings: dict[str, Any] = {}
    for field, name in names:
        value = given.get(field)
        if not value:
            continue
        if type(value) is str and value.isascii() and len(value) <= _LONGEST:
            strings[name] = value
        elif isinstance(value, str):
            strings[name] = safe_text(value)
    return strings


def safe_text(text: str) -> str:
    """A name, an id or a message that any exporter can write, cut where it is none any more.

    Half of a surrogate pair has no UTF-8, for which an exporter drops all that it had to write.
    """
    if type(text) is str and text.isascii() and len(text) <= _LONGEST:
        return text
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return cut.encode("utf-8", "replace").decode()


def identifier(*named: Any) -> str | None:
    """The first of these that is an identifier, which no sentence, URL or list of them is."""
    for name in named:
        text = str(name) if type(name) is int else name
        if isinstance(text, str) and _IDENTIFIER.fullmatch(text) and text not in _NO_NAMES:
            return str.__str__(text)
    return None


def stop_reason(told: str) -> str:
    """Why a model stopped, as a server says: a name, and at most details behind a colon."""
    if told in REASONS:
        return told
    name, _, _ = told.partition(":")
    return (name if name in REASONS else identifier(told)) or "error"


def is_whole(value: Any) -> bool:
    """Whether a value is an integer that any exporter can write."""
    return type(value) is int and -_INT64 <= value < _INT64


def parse_json(text: str | bytes) -> Any:
    """JSON as namespaces, which are read like the models that a client would have made of it."""
    return json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))


def number(value: Any) -> float | None:
    """A JSON number as a float, as the conventions want it, or None for anything else."""
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is not int:
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has integers of any size
        return None
