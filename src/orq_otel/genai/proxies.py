"""A proxy that can do what the object behind it can, and no more.

wrapt's proxy has every special method of Python. Through it, an asynchronous stream would seem to
have `__iter__` and `__len__`, and code that looks for those first would take it for something else.
"""

from __future__ import annotations

from typing import Any


class Proxy:
    """Has the type, the attributes and the text of an object. Subclasses override what differs.

    A subclass names its own attributes `_self_...`. All others are read from the object, and set
    on it.

    Args:
        wrapped: The object. It becomes the attribute `__wrapped__`.
    """

    __wrapped__: Any

    def __init__(self, wrapped: Any) -> None:
        object.__setattr__(self, "__wrapped__", wrapped)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.__wrapped__.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_self_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> Any:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __str__(self) -> str:
        return str(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == (other.__wrapped__ if type(other) is type(self) else other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)
