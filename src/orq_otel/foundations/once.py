"""Something that happens once, whichever OS thread comes first. Standard library only."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class Once(list[T]):
    """Holds one thing, `Once((thing,))`, that only the first to `take` it gets.

    Taking is one call of a method in C. An interpreter's lock makes that atomic, and where there is
    none (free-threaded builds), the list's own lock does. A `threading.Lock` would cost more, and a
    signal handler that ends what it interrupts would wait for it forever.
    """

    __slots__ = ()

    #: Returns the thing. Raises IndexError if it was taken before.
    take = list.pop
