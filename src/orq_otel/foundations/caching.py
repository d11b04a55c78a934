"""Keep large values out of an `lru_cache`.

A cached function returns `keep(value, ...)`. If the value is too large, `keep` raises `Uncached`
with the value in it, and the caller takes it from there. A hit in the cache costs nothing more.

Standard library only.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

T = TypeVar("T")

#: The largest size of one entry: the characters of all its texts, and `_OVERHEAD` for each text.
LARGEST: Final = 2048
_OVERHEAD: Final = 64


class Uncached(Exception):  # noqa: N818 - not an error: `lru_cache` keeps only what is returned
    """Carries a value that a cache must not keep."""

    def __init__(self, value: Any) -> None:
        self.value = value


def keep(value: T, *texts: str) -> T:
    """Return `value` if a cache may keep it, with the texts that it was made from as the key.

    Raises:
        Uncached: The texts are too large, or one is of a subclass of `str`, which may hold more.
    """
    if sum(map(len, texts)) + _OVERHEAD * len(texts) > LARGEST or {*map(type, texts)} - {str}:
        raise Uncached(value)
    return value
