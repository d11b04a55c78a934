"""Take JSON apart: every place in it, and the same with one place changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeAlias

Place: TypeAlias = tuple["str | int", ...]


def places(whole: Any, at: Place = ()) -> Iterator[Place]:
    """Where values are in a JSON value: every field and every item, from the outside in."""
    if isinstance(whole, dict):
        inside: Any = whole.items()
    elif isinstance(whole, list):
        inside = enumerate(whole)
    else:
        return
    for key, value in inside:
        yield (*at, key)
        yield from places(value, (*at, key))


def value_at(whole: Any, place: Place) -> Any:
    """The value that is there."""
    for key in place:
        whole = whole[key]
    return whole


def without(whole: Any, place: Place) -> Any:
    """A copy that lacks what is there."""
    whole = copy.deepcopy(whole)
    del value_at(whole, place[:-1])[place[-1]]
    return whole


def replaced(whole: Any, place: Place, value: Any) -> Any:
    """A copy with another value there; the value itself if the place is the whole."""
    if not place:
        return value
    whole = copy.deepcopy(whole)
    value_at(whole, place[:-1])[place[-1]] = value
    return whole
