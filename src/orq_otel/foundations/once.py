"""What OS threads share: a thing that only the first of them gets, and locks.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

#: Holds one thing, `[thing]`, which only the first to `take` it gets. A list, since an object of a
#: class takes five times as long to make, and each scope and each call makes one.
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


def locked(lock: Lock, do: Callable[..., T], *args: Any) -> T:
    """What a function returns, which is called while a lock is held.

    A signal handler may raise wherever a call returns. On Python 3.14 that is between a with
    statement's lock and its block, too: then the lock stays taken, and all other OS threads wait
    forever. So it is taken, and noted in a list that it is, with one call in C inside the try.
    """
    held: list[bool] = []
    try:
        held.extend(map(lock.acquire, _BLOCKING))
        return do(*args)
    finally:
        if held:
            lock.release()


_BLOCKING: Final = (True,)
