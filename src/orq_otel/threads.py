"""Say which conversation the code belongs to: `thread`, `current_thread`, `new_thread_id`.

Standard library only: the scope has no idea that OpenTelemetry exists.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, cast
from uuid import UUID, uuid4

from orq_otel.handlers import scoped
from orq_otel.scopes import (
    Frame,
    Thread,
    announce,
    as_id,
    as_tags,
    current_frame,
    current_thread,
    enter,
    get_top,
    leave,
    listeners,
    make_thread,
    outside,
    reset_top,
    set_top,
    validated,
)
from orq_otel.templates import WrongCallError, resolvers

__all__ = ["Thread", "current_thread", "new_thread_id", "thread"]

F = TypeVar("F", bound=Callable[..., Any])

#: What identifies a conversation: its id, or a thread that has come from elsewhere.
Id: TypeAlias = "str | int | UUID | Thread | Mapping[str, Any]"

#: Stands for the id of the current thread where none is given.
_CURRENT: Any = object()

#: Held while a `thread` object gets the set of its entries, which other threads may enter too.
_first_entry = threading.Lock()


def _renew_lock() -> None:
    """Take a lock that is free, in a forked child: who held the other one is not there."""
    global _first_entry  # noqa: PLW0603 - one lock a process
    _first_entry = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Scope(Frame):
    """What `thread()` makes: a context manager, and a decorator."""

    # An object with a fixed thread that is entered once, outside every other scope, is its own
    # frame: the usual case, which saves an allocation. Each further entry makes a frame of its own.
    __slots__ = ("_entries", "_id", "_tags", "fresh")
    parent = None

    def set_up(self, id: Any, tags: Any) -> None:  # noqa: A002
        """Take in what `thread()` was given. Without a fixed thread, each entry makes its own."""
        given = () if callable(tags) else as_tags(tags)
        self.thread = None
        self._tags = tags if callable(tags) else given
        is_open = id is _CURRENT or callable(id) or _is_plain_thread(id)
        self._id = id if is_open else as_id(id)
        if id is _CURRENT and not self._tags:
            raise TypeError(
                'thread() needs the id of your conversation, thread("support-42"), '
                'or for a new one thread(new_thread_id("support")).'
            )
        if id is not _CURRENT and not any(map(callable, (id, tags, *given))):
            self.thread = self._resolve(id, given, None)
            self.fresh = True

    def __enter__(self) -> Thread:
        if get_top() is not None or outside:
            return self._enter_another()
        try:
            del self.fresh  # atomic, so of many threads that enter this object only one gets on
        except AttributeError:
            return self._enter_another()
        self.token = set_top(self)
        if listeners:
            announce(self)
        return self.thread  # type: ignore[return-value]

    def _enter_another(self) -> Thread:
        outer = current_frame()
        around = current_thread() if outer is None else outer.thread
        frame = Frame(self._resolve(*self._given(), around), outer)
        try:
            self._entries.add(frame)
        except AttributeError:
            with _first_entry:
                if not hasattr(self, "_entries"):
                    self._entries: set[Frame] = set()
            self._entries.add(frame)
        enter(frame)
        return cast("Thread", frame.thread)

    def _given(self) -> tuple[Any, Any]:
        fixed = self.thread
        return (self._id, self._tags) if fixed is None else (fixed.id, fixed.tags)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if get_top() is not self:
            self._leave_another()
            return
        try:
            reset_top(self.token)  # type: ignore[arg-type]
        except (RuntimeError, TypeError, ValueError):  # it is another context's, or left already
            self._leave_another()
        else:
            self.token = None

    def _leave_another(self) -> None:
        """Leave the entry that is seen from here, or in a foreign context any that is open."""
        entries: set[Frame] = getattr(self, "_entries", set())
        own = None if getattr(self, "token", None) is None else self
        frame = get_top()
        while frame is not None and frame not in entries and frame is not own:
            frame = frame.parent
        if frame is None:
            frame = own or next(iter(entries.copy()), None)
        if frame is not None:
            entries.discard(frame)
            leave(frame)

    async def __aenter__(self) -> Thread:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__(None, None, None)

    def __call__(self, function: F) -> F:
        """Decorate a function, so that each of its calls has a scope of its own."""
        is_function = callable(function) and not inspect.isclass(function)
        if not is_function or isinstance(function, staticmethod):
            raise TypeError(
                "@thread(...) decorates functions, not "
                f"{getattr(function, '__name__', type(function).__name__)}. "
                'It needs an id, @thread("support-42"), and stands below @classmethod and '
                "@staticmethod."
            )
        get_id, get_tags = resolvers(function, *self._given())

        def open_frame(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frame | None:
            try:
                id, tags = get_id(args, kwargs), get_tags(args, kwargs)  # noqa: A001
            except WrongCallError:
                return None
            outer = current_frame()
            around = current_thread() if outer is None else outer.thread
            return Frame(self._resolve(id, tags, around), outer)

        return cast("F", scoped(function, open_frame))

    @staticmethod
    def _resolve(id: Any, tags: object, around: Thread | None) -> Thread:  # noqa: A002
        if _is_plain_thread(id):
            own = id.to_dict() if isinstance(id, Thread) else id
            id, tags = own.get("id"), (*as_tags(own.get("tags") or ()), *as_tags(tags))  # noqa: A001
        if id is not _CURRENT:
            return make_thread(as_id(id), tags, around)
        if around is None:
            raise RuntimeError(
                "thread(tags=...) adds tags to the current thread, but there is none here. "
                'Give an id as well: thread("support-42", tags=[...]).'
            )
        return make_thread(around.id, tags, around)


_new_scope = Scope.__new__


def thread(
    id: Id | Callable[..., Id] = _CURRENT,  # noqa: A002 - Orq's name for it
    *,
    tags: Iterable[str | Callable[..., str]] | Callable[..., Iterable[str]] = (),
) -> Scope:
    """Label every span that is started inside with a conversation's id and tags.

    As a context manager, plain or asynchronous, it yields the `Thread` in force:

        with thread("support-42", tags=["support"]) as t:
            client.chat.completions.create(...)

    As a decorator on a function, coroutine, generator or asynchronous generator, the id and the
    tags may be templates over the arguments of the call, or callables that get these arguments:

        @thread("ticket-{ticket_id}", tags=["support", "{priority}"])
        async def handle(ticket_id: int, priority: str) -> str: ...

        @thread(lambda request: request.session_id)
        def endpoint(request: Request) -> Response: ...

    A generator's scope holds while the generator itself runs, never in the code that consumes it. A
    handler that returns a generator, or a Starlette streaming response, keeps its thread while that
    body is produced.

    Scopes nest. The inner id wins. With the same id again, or with tags only, the tags are added
    to those around. One object can be entered any number of times, concurrently and recursively.
    Leaving a scope never raises, in whatever order and context it happens.

    Args:
        id: The conversation's id: a non-empty string, an int or a UUID. It is never made up; use
            `new_thread_id()` for a new conversation. A `Thread`, or what its `to_dict()` gave,
            brings its tags along. Without it, `tags` are added to the current thread.
        tags: Labels to filter conversations by: an iterable of non-empty strings.

    Raises:
        TypeError: The id or a tag has a type that cannot be one, or a template names an argument
            that the handler does not take.
        ValueError: The id or a tag is empty, or a template has unbalanced braces.
        RuntimeError: On entering, without an id where no thread is current.
    """
    # A function, since calling a class takes Python half as long again.
    scope = _new_scope(Scope)
    scope.dead = False
    kind = type(tags)
    if type(id) is str and (kind is list or kind is tuple):
        try:
            scope.thread = validated(id, tuple(tags))  # type: ignore[arg-type]
        except TypeError:
            scope.set_up(id, tags)
        else:
            scope.fresh = True
    else:
        scope.set_up(id, tags)
    return scope


def _is_plain_thread(id: object) -> bool:  # noqa: A002
    """Whether an id is a thread that has come from elsewhere. Most are strings."""
    return not isinstance(id, str) and isinstance(id, (Thread, Mapping))


def new_thread_id(prefix: str) -> str:
    """An id for a new conversation: `new_thread_id("support")` is "support-<a random UUID>"."""
    return f"{prefix}-{uuid4()}"
