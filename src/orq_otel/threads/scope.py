"""Say which conversation the code belongs to: `thread`, `current_thread`, `new_thread_id`.

Standard library only: the scope has no idea that OpenTelemetry exists.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Final, TypeAlias, TypeVar, cast
from uuid import UUID, uuid4

from orq_otel.foundations.caching import Uncached
from orq_otel.foundations.codes import BRACES_IN_BLOCK
from orq_otel.foundations.guard import is_signals, report, warn_once
from orq_otel.threads.frames import (
    Frame,
    Thread,
    announce,
    as_id,
    as_tags,
    check_tag,
    current_frame,
    current_thread,
    enter,
    get_top,
    has_interrupted,
    hooks,
    leave,
    make_thread,
    reset_top,
    set_top,
    validated,
)
from orq_otel.threads.handlers import OpenFrame, scoped
from orq_otel.threads.misuse import Words, here, is_decorating, is_refusal, misused, ours
from orq_otel.threads.templates import WrongCallError, resolvers

__all__ = ["Thread", "current_thread", "new_thread_id", "thread"]

F = TypeVar("F", bound=Callable[..., Any])

#: What identifies a conversation: its id, or a thread that has come from elsewhere.
Id: TypeAlias = "str | int | UUID | Thread | Mapping[str, Any]"

#: Stands for the id of the current thread where none is given.
_CURRENT: Any = object()

#: What is said where that does not help either.
_NO_ID: Final = Words(
    'thread() needs the id of your conversation, thread("support-42"), '
    'or for a new one thread(new_thread_id("support")).'
)

#: What failed, where an id or tags raise when they are looked at.
_READING: Final = "reading an id or tags"

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
    __slots__ = ("_entries", "_id", "_tags", "_wrong", "fresh")
    parent = None

    def set_up(self, id: Any, tags: Any) -> None:  # noqa: A002
        """Take in what `thread()` was given. Without a fixed thread, each entry makes its own.

        What is wrong is kept until it is known whether this is to be a block or a decorator.

        Raises:
            TypeError: This is a decorator without parentheses.
        """
        self.thread = None
        self._wrong: Exception | None = None
        self._id = id
        self._tags: Any = ()
        if _is_definition(id) and _lacks_parentheses(sys._getframe(2)):  # noqa: SLF001 - documented
            raise TypeError(
                Words(
                    f"@thread needs parentheses and an id, and got {_short_name(id)} instead. "
                    'Write @thread("support-42"), @thread("ticket-{ticket_id}") over an argument '
                    "of the handler, or @thread(lambda request: request.session_id)."
                )
            )
        try:
            self._tags = tags if callable(tags) else as_tags(tags)
            if id is _CURRENT and not self._tags:
                raise TypeError(_NO_ID)  # noqa: TRY301 - as the others, it is for later
            if self._is_fixed():
                self.thread = _thread_of(id, self._tags, None)
                if "{" in self.thread.id:
                    self.thread = None  # a block that is entered warns of it
                else:
                    self.fresh = True
        except Exception as error:  # noqa: BLE001 - the objects may be anybody's
            self._wrong = ours(error, _READING)

    def _is_fixed(self) -> bool:
        parts = () if callable(self._tags) else self._tags
        return self._id is not _CURRENT and not any(map(callable, (self._id, self._tags, *parts)))

    def __enter__(self) -> Thread | None:
        try:
            if get_top() is not None or hooks.thread_outside is not None:
                return self._enter_another()
            try:
                del self.fresh  # atomic, so of many threads that enter this object only one gets on
            except AttributeError:
                return self._enter_another()
            thread = self.thread
            try:
                if hooks.listeners:
                    announce(self)
                self.token = set_top(self)
            except BaseException:
                if get_top() is self:
                    set_top(None)
                self.token = None
                raise
        except Exception as error:
            if is_refusal(error):
                raise
            report("entering a scope", error)
            return None
        return thread

    def _enter_another(self) -> Thread | None:
        outer = current_frame()
        around = current_thread() if outer is None else outer.thread
        fixed = self.thread
        found = self._find(around) if fixed is None else make_thread(fixed.id, fixed.tags, around)
        frame = Frame(found, outer)
        frame.dead = found is None  # so the code inside is in the thread around, wherever it runs
        try:
            self._entries.add(frame)
        except AttributeError:
            with _first_entry:
                if not hasattr(self, "_entries"):
                    self._entries: set[Frame] = set()
            self._entries.add(frame)
        try:
            enter(frame)
        except BaseException:
            self._entries.discard(frame)
            raise
        return around if found is None else found

    def _find(self, around: Thread | None) -> Thread | None:
        """The thread of a block that has none fixed: None, and a log line, if the id is wrong."""
        found, wrong = _usable_thread(self._id, self._tags, around)
        wrong = self._wrong or wrong
        if wrong is not None:
            misused(wrong, "", _outcome(found))
        elif isinstance(self._id, str) and "{" in self._id:
            warn_once(
                BRACES_IN_BLOCK,
                "thread() takes the id in a with block as it is, braces too: only decorators fill "
                'in templates, @thread("ticket-{ticket_id}"). Write f"ticket-{ticket_id}".',
                here(),
            )
        return found

    def __exit__(self, left: object, error: object, traceback: object) -> None:
        # At first `left` is the type of an exception. A name of its own for the frame would not be
        # there yet if a signal handler raised first of all.
        try:
            if get_top() is self:
                left = self
                reset_top(self.token)  # type: ignore[arg-type]
                self.token = None
                return
            left = self._entry()
            if left is not None:
                leave(left)
                self._forget(left)
        except BaseException as failure:
            try:
                is_interrupted = has_interrupted(failure)
                frame = left if is_interrupted and isinstance(left, Frame) else self._entry()
                if frame is not None:
                    leave(frame)
                    self._forget(frame)
            except Exception as mistake:  # noqa: BLE001 - the block is over all the same
                report("leaving a scope", mistake)
                return
            if not is_interrupted:
                return
            if isinstance(failure, Exception):
                report("leaving a scope", failure)  # raises what a signal handler raised
                return
            raise

    def _forget(self, frame: Frame) -> None:
        if frame is not self:
            self._entries.discard(frame)

    def _entry(self) -> Frame | None:
        """The entry that is seen from here, or in a foreign context any that is open."""
        entries: set[Frame] = getattr(self, "_entries", set())
        own = None if getattr(self, "token", None) is None else self
        frame = get_top()
        while frame is not None and frame not in entries and frame is not own:
            frame = frame.parent
        return own or next(iter(entries.copy()), None) if frame is None else frame

    async def __aenter__(self) -> Thread | None:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__(None, None, None)

    def __call__(self, function: F) -> F:
        """Decorate a function, so that each of its calls has a scope of its own.

        Raises:
            TypeError, ValueError: What is wrong with the id, the tags, or what is decorated.
        """
        is_function = callable(function) and not inspect.isclass(function)
        if not is_function or isinstance(function, staticmethod):
            raise TypeError(
                Words(
                    f"@thread(...) decorates functions, not {_short_name(function)}. "
                    'It needs an id, @thread("support-42"), and stands below @classmethod and '
                    "@staticmethod."
                )
            )
        try:
            return cast("F", scoped(function, self._opener(function)))
        except Exception as error:
            if is_refusal(error):
                raise
            report("decorating a function", error)
            return function  # pyright: ignore[reportReturnType]

    def _opener(self, function: Callable[..., Any]) -> OpenFrame:
        fixed = self.thread
        if fixed is None:
            if self._wrong is not None:
                raise self._wrong
            for tag in () if callable(self._tags) else self._tags:
                if not callable(tag):
                    check_tag(tag)
            get_id, get_tags = resolvers(function, self._id, self._tags)
        elif any("{" in tag for tag in fixed.tags):
            get_id, get_tags = resolvers(function, fixed.id, fixed.tags)
        else:
            return lambda _args, _kwargs: _frame(fixed.id, fixed.tags)

        def open_frame(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frame | None:
            wrong: list[Exception] = []
            found = None
            outer = current_frame()
            try:
                id = get_id(args, kwargs)  # noqa: A001
                tags = get_tags(args, kwargs, wrong)
                around = current_thread() if outer is None else outer.thread
                found, error = _usable_thread(id, tags, around)
                wrong += [error] if error else []
            except WrongCallError:
                return None
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                wrong.append(ours(error, "working out the id"))
            if wrong:
                misused(wrong[0], _name(function), _outcome(found))
            return None if found is None else Frame(found, outer)

        return open_frame


def _frame(id: str, tags: tuple[str, ...]) -> Frame:  # noqa: A002
    outer = current_frame()
    around = current_thread() if outer is None else outer.thread
    return Frame(make_thread(id, tags, around), outer)


def _thread_of(
    id: Any,  # noqa: A002
    tags: Any,
    around: Thread | None,
    read_tags: Callable[[Any], tuple[Any, ...]] = as_tags,
) -> Thread:
    if _is_plain_thread(id):
        own = id.to_dict() if isinstance(id, Thread) else id
        id, tags = own.get("id"), (*read_tags(own.get("tags") or ()), *read_tags(tags))  # noqa: A001
    if id is not _CURRENT:
        return make_thread(as_id(id), read_tags(tags), around)
    if around is None:
        raise RuntimeError(
            Words(
                "thread(tags=...) adds tags to the current thread, but there is none here. "
                'Give an id as well: thread("support-42", tags=[...]).'
            )
        )
    return make_thread(around.id, read_tags(tags), around)


def _usable_thread(
    id: Any,  # noqa: A002
    tags: Any,
    around: Thread | None,
) -> tuple[Thread | None, Exception | None]:
    """The thread of an id and of those tags that are right, None if the id is not.

    Returns:
        The thread, and what is wrong, one of `ours`.
    """
    try:
        return _thread_of(id, tags, around), None
    except Exception as error:  # noqa: BLE001 - the objects may be anybody's
        wrong = ours(error, _READING)
    try:
        return _thread_of(id, tags, around, _right_tags), wrong
    except Exception as error:  # noqa: BLE001 - as above
        return None, ours(error, _READING)


def _right_tags(tags: Any) -> tuple[str, ...]:
    try:
        return tuple(tag for tag in as_tags(tags) if isinstance(tag, str) and str.strip(tag))
    except Exception as error:  # noqa: BLE001 - as above
        ours(error, _READING)
        return ()


def _outcome(found: Thread | None) -> str:
    if found is None:
        return "The code runs without it, in the thread around it if there is one."
    return "The thread goes without such tags."


def _is_definition(id: Any) -> bool:  # noqa: A002
    """Whether an id is what a decorator without parentheses gets. Most are strings."""
    return callable(id) or isinstance(id, (classmethod, property))


def _lacks_parentheses(frame: FrameType) -> bool:
    try:
        return is_decorating(frame)
    except Exception as error:  # noqa: BLE001 - the code of a Python that is to come
        report("looking for @thread without parentheses", error)
        return False


def _short_name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _name(function: Any) -> str:
    """What log lines call a handler: its module and qualified name."""
    name = getattr(function, "__qualname__", _short_name(function))
    return f"{getattr(function, '__module__', '')}.{name}"


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

    What is wrong is refused where it is written, by a decorator: no parentheses, a template that
    names no argument of the handler, a literal that cannot be an id or a tag. What goes wrong when
    the program runs, in a block or in a call of a decorated function, is not raised into it. It is
    logged, once for each place, and the code runs: without an id that can be used in the thread
    around, which a block then yields, or in none, for which it yields None; else in the thread,
    without the wrong tags. With `ORQ_OTEL_STRICT=true`, for tests and development, it is raised.

    Args:
        id: The conversation's id: a non-empty string, an int or a UUID. It is never made up; use
            `new_thread_id()` for a new conversation. A `Thread`, or what its `to_dict()` gave,
            brings its tags along. Without it, `tags` are added to the current thread.
        tags: Labels to filter conversations by: an iterable of non-empty strings.

    Raises:
        TypeError: By the decorator: it has no parentheses, the id or a tag has a type that cannot
            be one, a template names an argument that the handler does not take, or what is
            decorated is no function.
        ValueError: By the decorator: the id or a tag is empty, or a template has unbalanced braces.
    """
    # A function, since calling a class takes Python half as long again.
    scope = _new_scope(Scope)
    scope.dead = False
    kind = type(tags)
    if type(id) is str and (kind is list or kind is tuple):
        try:
            scope.thread = validated(id, tuple(tags))  # type: ignore[arg-type]
        except Uncached:
            scope.set_up(id, tags)
        except Exception as error:  # it is wrong
            if is_signals(error):
                raise
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
    """An id for a new conversation: `new_thread_id("support")` is "support-<a random UUID>".

    Raises:
        TypeError: The prefix is no string.
        ValueError: It is empty.
    """
    if not isinstance(prefix, str):
        raise TypeError(
            'new_thread_id() takes a prefix that is a string, new_thread_id("support"), got '
            f"{type(prefix).__name__}."
        )
    if not prefix.strip():
        raise ValueError('new_thread_id() needs a prefix that is not empty: "support".')
    return f"{prefix}-{uuid4()}"
