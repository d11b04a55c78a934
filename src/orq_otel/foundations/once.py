"""Something that happens once, whichever OS thread comes first. Standard library only."""

from __future__ import annotations

from typing import Final, TypeAlias, TypeVar

T = TypeVar("T")

#: `[thing]`: holds one thing, that only the first to `take` it gets. A list and not a class, which
#: takes five times as long to make, for every scope and every call.
Once: TypeAlias = list[T]

#: Returns the thing. Raises IndexError if it was taken before.
#:
#: Taking is one call of a method in C. An interpreter's lock makes that atomic, and where there is
#: none (free-threaded builds), the list's own lock does. A `threading.Lock` would cost more, and a
#: signal handler that ends what it interrupts would wait for it forever.
take: Final = list.pop
