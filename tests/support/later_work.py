"""Pieces of work that a web handler hands back, and that note in which thread they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from orq_otel import current_thread


def now() -> str | None:
    """The id of the current thread."""
    current = current_thread()
    return None if current is None else current.id


class Work:
    """The pieces of work of one test.

    Attributes:
        seen: The thread of each piece, in the order in which they ran.
    """

    def __init__(self) -> None:
        self.seen: list[str | None] = []

    def task(self, *_: object) -> None:
        """Something to do once."""
        self.seen.append(now())

    async def async_task(self, *_: object) -> None:
        """The same, asynchronous."""
        await asyncio.sleep(0)
        self.seen.append(now())

    def body(self) -> Iterator[bytes]:
        """The body "ab" in two chunks."""
        for chunk in (b"a", b"b"):
            self.seen.append(now())
            yield chunk

    async def async_body(self) -> AsyncIterator[bytes]:
        """The same, asynchronous."""
        for chunk in self.body():
            await asyncio.sleep(0)
            yield chunk


class Chunks:
    """The same body as an iterator that is no generator, and notes how it is closed."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.left = [b"a", b"b"]

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.work.task()
        return self.left.pop(0)

    def close(self) -> None:
        """Note it."""
        self.work.task()
