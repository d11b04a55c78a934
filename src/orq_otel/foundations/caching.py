"""Caches that hold nothing large: what is too large for one goes past it.

A cached function returns `keep(value, ...)`, and its caller takes `value` from an `Uncached`, too.
That costs nothing where the cache has the answer.

Standard library only.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Of the texts of one entry together, in characters, with what each weighs besides.
LARGEST: Final = 2048
_WEIGHT: Final = 64


class Uncached(Exception):  # noqa: N818 - no error: `lru_cache` keeps what is returned only
    """Carries a result past a cache."""

    def __init__(self, value: Any) -> None:
        self.value = value


def keep(value: T, *texts: str) -> T:
    """`value`, if a cache may hold it together with the texts that it was made of.

    Raises:
        Uncached: They are large, or of classes that may hold anything.
    """
    if sum(map(len, texts)) + _WEIGHT * len(texts) > LARGEST or {*map(type, texts)} - {str}:
        raise Uncached(value)
    return value
