"""The queries of one request, which end when nobody waits for it any more, and what they found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from orq_otel.viewer.model.store import StoreError

Result = TypeVar("Result")


class Visit:
    """What runs for one request, in any OS thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Callable[[str], None]] = {}
        self._is_over = False
        self._known: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], Result]) -> Result:
        """Returns what is found the first time, however often it is asked for.

        Args:
            key: What it is.
            find: Finds it.
        """
        if key not in self._known:
            self._known[key] = find()
        found: Result = self._known[key]
        return found

    @contextmanager
    def running(self, query_id: str, end: Callable[[str], None]) -> Iterator[None]:
        """Note a query for as long as the block takes.

        Args:
            query_id: What the server knows it by.
            end: Ends it.

        Raises:
            StoreError: The visit is over.
        """
        with self._lock:
            if self._is_over:
                raise StoreError("Nobody waits for this any more.", is_temporary=True)
            self._running[query_id] = end
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(query_id, None)

    def end(self) -> None:
        """End the queries that run, and let no others begin."""
        with self._lock:
            self._is_over = True
            running = list(self._running.items())
        for query_id, end in running:
            end(query_id)


#: The visit that queries belong to.
current: ContextVar[Visit | None] = ContextVar("orq_otel.viewer.visit", default=None)


def once(key: Hashable, find: Callable[[], Result]) -> Result:
    """Returns what is found, once for each visit."""
    visit = current.get()
    return find() if visit is None else visit.once(key, find)


class _Entered(ExitStack):
    """The contexts that the queries of a visit share, by their keys."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Hashable, Any] = {}


_entered: ContextVar[_Entered | None] = ContextVar("orq_otel.viewer.entered", default=None)


@contextmanager
def entered(
    key: Hashable, context: Callable[[], AbstractContextManager[Result]]
) -> Iterator[Result]:
    """Enter a context for the block: in `one`, the first time and until that ends.

    Args:
        key: What it is.
        context: Makes it.
    """
    shared = _entered.get()
    if shared is None:
        with context() as own:
            yield own
        return
    if key not in shared.known:
        shared.known[key] = shared.enter_context(context())
    yield shared.known[key]


@contextmanager
def one() -> Iterator[None]:
    """Make what the block asks for one visit, unless it belongs to one already."""
    if _entered.get() is not None:
        yield
        return
    visit = current.set(current.get() or Visit())
    with _Entered() as shared:
        contexts = _entered.set(shared)
        try:
            yield
        finally:
            _entered.reset(contexts)
            current.reset(visit)
