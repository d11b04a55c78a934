"""What OS threads share: a thing that only the first of them gets, and locks.

Standard library only.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias, TypeVar

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


class Lock(Protocol):
    """A `threading.Lock` or `threading.RLock`."""

    def acquire(self, blocking: bool = ..., /) -> bool: ...  # noqa: D102, FBT001 - as they are
    def release(self) -> None: ...  # noqa: D102


def hold(lock: Lock) -> None:
    """Take a lock. The next statement is a `try` whose `finally` releases it.

    On Python 3.14, what a signal handler raises may come between a with statement's lock and its
    block: then the lock stays taken, and all other OS threads wait forever. Here, one call in C
    takes the lock and notes it.
    """
    held: list[bool] = []
    try:
        held.extend(map(lock.acquire, _BLOCKING))
    except BaseException:
        if held:
            lock.release()
        raise


_BLOCKING: Final = (True,)
