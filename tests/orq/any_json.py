"""What anybody may send, as Orq's client hands it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any


def namespaces(thing: Any) -> Any:
    """JSON as objects with its fields, as models are."""
    if isinstance(thing, dict):
        return SimpleNamespace(**{name: namespaces(value) for name, value in thing.items()})
    return [namespaces(one) for one in thing] if isinstance(thing, list) else thing


def events(*given: Any) -> Iterator[Any]:
    """Events of streams: JSON as it is, as their data, and as parts of them that are read."""
    for one in given:
        yield one
        yield SimpleNamespace(data=namespaces(one))
        yield SimpleNamespace(data=SimpleNamespace(choices=namespaces(one), usage=namespaces(one)))
        for index in (0.0, 1, one):
            choice = {"index": index, "finish_reason": one, "message": one, "delta": one}
            data = namespaces({"choices": [{**choice, "text": one}], "usage": one, "is_final": one})
            yield SimpleNamespace(data=data)


def can_be_exported(attributes: Mapping[str, Any]) -> bool:
    """Whether each value is what an attribute may be, in what any exporter can write."""
    return all(map(_can_be_exported, attributes.values()))


def _can_be_exported(value: Any) -> bool:
    if type(value) is tuple:
        return all(type(one) is str and _can_be_exported(one) for one in value)
    if type(value) is str:
        return value.isprintable() or value.encode(errors="replace").decode() == value
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in {bool, float}
