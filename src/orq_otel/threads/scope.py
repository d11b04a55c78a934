"""Set which conversation the code belongs to: `thread`, `current_thread`, `new_thread_id`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast
from uuid import UUID, uuid4

from orq_otel.foundations.caching import Uncached
from orq_otel.foundations.codes import BRACES_IN_BLOCK
from orq_otel.foundations.guard import is_signals, report
from orq_otel.foundations.once import Once, take
from orq_otel.threads.details import (
    NO_METADATA,
    Metadata,
    MetadataValue,
    as_metadata,
    as_user,
    merged,
    plain,
    usable_metadata,
)
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
    nested,
    reset_top,
    set_top,
    validated,
)
from orq_otel.threads.handlers import OpenFrame, scoped
from orq_otel.threads.misuse import (
    SafeText,
    is_decorating,
    is_refusal,
    loggable,
    warn_of_misuse,
    wrong_type,
    wrong_value,
)
from orq_otel.threads.passed_by import decorated
from orq_otel.threads.templates import WrongCallError, detail_resolver, is_template, resolvers

__all__ = ["Thread", "current_thread", "new_thread_id", "thread"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: What identifies a conversation: its id, or a whole thread that came from somewhere else.
Id: TypeAlias = str | int | UUID | Thread | Mapping[str, Any]

#: The default id: that of the current thread.
_CURRENT: Any = object()

#: The error message if there is neither an id nor anything else.
_NO_ID: Final = (
    'thread() needs the id of your conversation, thread("support-42"), '
    'or for a new one thread(new_thread_id("support")).'
)

#: The error message if an id in a block looks like a template.
_BRACES: Final = (
    "thread() takes the id in a with block as it is, braces too: only decorators fill in "
    'templates, @thread("ticket-{ticket_id}"). Write f"ticket-{ticket_id}", or pass a Thread for '
    "an id with braces."
)

#: The same for a tag.
_BRACES_IN_TAG: Final = (
    "thread() takes tags in a with block as they are, braces too: only decorators fill in "
    'templates, @thread("support-42", tags=["{priority}"]). Write f"{priority}", or pass a Thread '
    "for tags with braces."
)

#: What failed, for log lines, if an id or tag of the user's own class raises.
_READING: Final = "reading an id or tags"


class _Arguments(NamedTuple):
    """The arguments of `thread()`, and the error of those that cannot be used."""

    id: Any
    tags: Any
    user: Any
    metadata: Any
    wrong: Exception | None

    def is_fixed(self) -> bool:
        """Whether each entry of the scope has the same thread."""
        parts = [self.id, self.tags, self.user, self.metadata]
        parts += () if callable(self.tags) else self.tags
        parts += self.metadata.values() if isinstance(self.metadata, Mapping) else ()
        return self.id is not _CURRENT and not any(map(callable, parts))

    def check(self) -> None:
        """Raise the error of a decorator whose arguments cannot be used."""
        if self.wrong is not None:
            raise self.wrong
        for tag in () if callable(self.tags) else self.tags:
            if not callable(tag):
                check_tag(tag)
        _check_details(self.user, self.metadata)


class Scope(Frame):
    """What `thread()` returns: a context manager and a decorator."""

    # In the usual case the object has a fixed thread and is entered once, outside every other
    # scope. Then it is its own frame, which saves an allocation. Each further entry makes a frame,
    # which is in `entries` while it is open. `fresh` holds the thread until the first entry.
    __slots__ = ("_arguments", "entries", "fresh")
    entries: dict[Frame, None]
    parent = None
    # `thread()` sets what a scope needs. With another `__init__`, making one would take longer.
    if TYPE_CHECKING:

        def __init__(self) -> None: ...

    else:
        __init__ = object.__init__

    def set_up(self, id: Any, tags: Any, user: Any, metadata: Any) -> None:  # noqa: A002
        """Take the arguments of `thread()`. If they do not fix a thread, each entry makes its own.

        An error in the arguments is kept, not raised: a decorator will raise it, a block will log
        it, and it is not known yet which of the two this is.

        Raises:
            TypeError: The decorator is written without parentheses.
        """
        self.thread = None
        self.fresh: Once[Thread] = []
        self._arguments = _Arguments(id, (), None, None, None)
        if _is_definition(id) and _lacks_parentheses(sys._getframe(2)):  # noqa: SLF001 - documented
            raise wrong_type(
                f"@thread needs parentheses and an id, and got {_short_name(id)} instead. "
                'Write @thread("support-42"), @thread("ticket-{ticket_id}") over an argument '
                "of the handler, or @thread(lambda request: request.session_id)."
            )
        try:
            tags = tags if callable(tags) else as_tags(tags)
            self._arguments = given = _Arguments(id, tags, user, _copied(metadata), None)
            if id is _CURRENT and not (tags or user is not None or given.metadata):
                raise wrong_type(_NO_ID)  # noqa: TRY301 - kept for later, as the others
            if given.is_fixed():
                self.thread = _thread_of(id, tags, None, user, metadata)
                if "{" in self.thread.id or "{" in "".join(tags):
                    self.thread = None  # entering it as a block logs a warning
                else:
                    self.fresh.append(self.thread)
        except Exception as error:  # noqa: BLE001 - they may be of any class
            self._arguments = self._arguments._replace(wrong=loggable(error, _READING))

    def __enter__(self) -> Thread | None:
        try:
            if get_top() is not None or hooks.inbound_thread is not None:
                return self._enter_another()
            try:
                thread = take(self.fresh)  # of many OS threads that enter this, one succeeds
            except IndexError:
                return self._enter_another()
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
        if fixed is None:
            found = self._find(around)
        elif fixed.is_plain:
            found = make_thread(fixed.id, fixed.tags, around)
        else:
            found = nested(fixed, around)
        frame = Frame(found, outer)
        frame.dead = found is None  # then the code inside stays in the surrounding thread
        self.entries[frame] = None
        try:
            enter(frame)
        except BaseException:
            self.entries.pop(frame, None)
            raise
        return around if found is None else found

    def _find(self, around: Thread | None) -> Thread | None:
        """The thread of a block without a fixed one. Logs a wrong id, and returns None then."""
        id, tags, user, metadata, earlier = self._arguments  # noqa: A001
        found, wrong = _usable_thread(id, tags, around, user, metadata)
        wrong = earlier or wrong
        if wrong is not None:
            warn_of_misuse(wrong, "", _outcome(found))
        elif is_template(id):
            warn_of_misuse(wrong_value(_BRACES), "", "It is kept.", BRACES_IN_BLOCK)
        elif not callable(tags) and any(map(is_template, tags)):
            warn_of_misuse(wrong_value(_BRACES_IN_TAG), "", "They are kept.", BRACES_IN_BLOCK)
        return found

    def __exit__(self, left: object, error: object, traceback: object) -> None:
        # `left` first holds the type of an exception, and then the frame. A variable of its own for
        # the frame would be unbound if a signal handler raised at the very start.
        try:
            if get_top() is self:
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
            except Exception as mistake:  # noqa: BLE001 - the block has ended anyway
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
            self.entries.pop(frame, None)

    def _entry(self) -> Frame | None:
        """The innermost open entry in this context. In another context, any open entry."""
        entries = self.entries
        own = None if getattr(self, "token", None) is None else self
        frame = get_top()
        while frame is not None and frame not in entries and frame is not own:
            frame = frame.parent
        return own or next(iter(list(entries)), None) if frame is None else frame

    async def __aenter__(self) -> Thread | None:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__(None, None, None)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or one that was pickled, has the same arguments and is entered nowhere."""
        if self.thread is not None:
            return thread, (self.thread,)
        id, tags, user, metadata, _ = self._arguments  # noqa: A001
        options = {"tags": tags, "user": user, "metadata": metadata}
        return partial(thread, **options), () if id is _CURRENT else (id,)

    def __call__(self, function: F) -> F:
        """Decorate a function: each of its calls runs in a scope of its own.

        Raises:
            TypeError, ValueError: The id, the tags or the decorated object cannot be used.
        """
        is_function = callable(function) and not inspect.isclass(function)
        if not is_function or isinstance(function, staticmethod):
            raise wrong_type(
                f"@thread(...) decorates functions, not {_short_name(function)}. It needs an "
                'id, @thread("support-42"), and stands below @classmethod, @staticmethod and '
                "@property."
            )
        wrapped: Any = function
        try:
            wrapped = scoped(function, self._opener(function))
            decorated.add(function, sys._getframe(1))  # noqa: SLF001 - documented
        except Exception as error:
            if is_refusal(error):
                raise
            report("decorating a function", error)
        return cast("F", wrapped)

    def _opener(self, function: Callable[..., Any]) -> OpenFrame:
        fixed = self.thread
        if fixed is None:
            self._arguments.check()
            parts = self._arguments[:4]
        elif any(map(is_template, (*fixed.tags, fixed.user, *fixed.metadata.values()))):
            parts = fixed.id, fixed.tags, fixed.user, fixed.metadata
        else:
            return lambda _args, _kwargs: _frame(fixed)
        get_id, get_tags = resolvers(function, *parts[:2])
        get_details = detail_resolver(function, *parts[2:])

        def open_frame(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frame | None:
            wrong: list[Exception] = []
            found = None
            outer = current_frame()
            try:
                id = get_id(args, kwargs)  # noqa: A001
                tags = get_tags(args, kwargs, wrong)
                user = metadata = None
                if get_details is not None:
                    user, metadata = get_details(args, kwargs, wrong)
                around = current_thread() if outer is None else outer.thread
                found, error = _usable_thread(id, tags, around, user, metadata)
                wrong += [error] if error else []
            except WrongCallError:
                return None
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                wrong.append(loggable(error, "working out the id"))
            if wrong:
                warn_of_misuse(wrong[0], _name(function), _outcome(found))
            return None if found is None else Frame(found, outer)

        return open_frame


def _frame(fixed: Thread) -> Frame:
    outer = current_frame()
    around = current_thread() if outer is None else outer.thread
    if fixed.is_plain:  # nearly always, and one call less
        return Frame(make_thread(fixed.id, fixed.tags, around), outer)
    return Frame(nested(fixed, around), outer)


class _Readers(NamedTuple):
    """How the arguments of `thread()` are read, apart from the id: strictly or leniently."""

    tags: Callable[[Any], tuple[Any, ...]]
    user: Callable[[Any], str | None]
    metadata: Callable[[Any], Metadata]


def _leniently(read: Callable[[Any], T], otherwise: T) -> Callable[[Any], T]:
    """Read an argument, or take another value for it. What is wrong is logged already."""

    def read_leniently(value: Any) -> T:
        try:
            return read(value)
        except Exception as error:
            if is_signals(error):
                raise
            return otherwise

    return read_leniently


def _right_tags(tags: Any) -> tuple[str, ...]:
    return tuple(tag for tag in as_tags(tags) if isinstance(tag, str) and plain(tag).strip())


_STRICT: Final = _Readers(as_tags, as_user, as_metadata)
_LENIENT: Final = _Readers(
    _leniently(_right_tags, ()),
    _leniently(as_user, None),
    _leniently(lambda metadata: usable_metadata(metadata)[0], NO_METADATA),
)


def _thread_of(  # noqa: PLR0913, PLR0917 - what `thread()` takes
    id: Any,  # noqa: A002
    tags: Any,
    around: Thread | None,
    user: Any,
    metadata: Any,
    read: _Readers = _STRICT,
) -> Thread:
    if _is_plain_thread(id):
        own = id.to_dict() if isinstance(id, Thread) else id
        id, tags = own.get("id"), (*read.tags(own.get("tags") or ()), *read.tags(tags))  # noqa: A001
        user = own.get("user") if user is None else user
        own_metadata = own.get("metadata")
        if own_metadata:
            metadata = merged(read.metadata(own_metadata), read.metadata(metadata))
    if user is not None:
        user = read.user(user)
    details = NO_METADATA if metadata is None else read.metadata(metadata)
    if id is not _CURRENT:
        return make_thread(as_id(id), read.tags(tags), around, user, details)
    if around is None:
        raise RuntimeError(
            SafeText(
                "thread(tags=...) adds tags to the current thread, but there is none here. "
                'Give an id as well: thread("support-42", tags=[...]).'
                if tags
                else "thread() without an id adds to the current thread, but there is none here. "
                'Give an id as well: thread("support-42", user=...).'
            )
        )
    return make_thread(around.id, read.tags(tags), around, user, details)


def _usable_thread(
    id: Any,  # noqa: A002
    tags: Any,
    around: Thread | None,
    user: Any,
    metadata: Any,
) -> tuple[Thread | None, Exception | None]:
    """Make a thread from an id and those of the other arguments that are valid, if the id is.

    Returns the error, too, ready to be logged, or None.
    """
    try:
        return _thread_of(id, tags, around, user, metadata), None
    except Exception as error:  # noqa: BLE001 - they may be of any class
        wrong = loggable(error, _READING)
    try:
        return _thread_of(id, tags, around, user, metadata, _LENIENT), wrong
    except Exception as error:  # noqa: BLE001 - as above
        return None, loggable(error, _READING)


def _copied(metadata: Any) -> Any:
    """Metadata as it is now: a scope may be entered after its caller has changed the mapping."""
    return dict(metadata) if isinstance(metadata, Mapping) else metadata


def _check_details(user: Any, metadata: Any) -> None:
    """Raise a `TypeError` or `ValueError` if these can be no user and no metadata."""
    if not callable(user):
        as_user(user)
    if isinstance(metadata, Mapping):
        as_metadata({key: "" if callable(value) else value for key, value in metadata.items()})
    elif not callable(metadata):
        as_metadata(metadata)


def _outcome(found: Thread | None) -> str:
    if found is None:
        return "The code runs without it, in the surrounding thread if there is one."
    return "The thread goes without what is wrong."


def _is_definition(id: Any) -> bool:  # noqa: A002
    """Whether an id is a function, as a decorator without parentheses gets it."""
    # By its real type: a lazy object of the program may raise if it is asked for its class.
    return callable(id) or issubclass(type(id), (classmethod, property))


def _lacks_parentheses(frame: FrameType) -> bool:
    try:
        return is_decorating(frame)
    except Exception as error:  # noqa: BLE001 - a future Python may change bytecode
        report("looking for @thread without parentheses", error)
        return False


def _short_name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _name(function: Any) -> str:
    """The name of a handler in log lines: its module and qualified name."""
    name = getattr(function, "__qualname__", _short_name(function))
    return f"{getattr(function, '__module__', '')}.{name}"


def thread(
    id: Id | Callable[..., Id] = _CURRENT,  # noqa: A002 - Orq's name for it
    *,
    tags: Iterable[str | Callable[..., str]] | Callable[..., Iterable[str]] = (),
    user: str | int | UUID | Callable[..., Any] | None = None,
    metadata: Mapping[str, MetadataValue | Callable[..., Any]] | Callable[..., Any] | None = None,
) -> Scope:
    """Label every span that is started inside with a conversation's id, tags, user and metadata.

    Use it as a context manager, with `with` or `async with`. It yields the current `Thread`:

        with thread("support-42", tags=["support"]) as t:
            client.chat.completions.create(...)

    Or use it as a decorator on a function, coroutine, generator or asynchronous generator. Then the
    id, the tags, the user and the values of the metadata may be templates that use the
    arguments of the call by name, or callables that get these arguments:

        @thread("ticket-{ticket_id}", tags=["support", "{priority}"], user="{user}")
        async def handle(ticket_id: int, priority: str, user: str) -> str: ...

        @thread(lambda request: request.session_id)
        def endpoint(request: Request) -> Response: ...

    A generator's scope is active while the generator's own code runs, and never in the code that
    consumes it. Under or above `contextlib.contextmanager` or `asynccontextmanager`, the block of
    the with statement is inside, too. If a handler returns a generator or a Starlette streaming
    response, that body is produced in the handler's thread too.

    Scopes nest, and the inner id wins. If the inner scope has the same id, or none, its tags are
    added to the outer ones, and its user and each value of its metadata replace the outer ones.
    With another id, nothing of the outer scope carries over. One object can be entered any number
    of times, concurrently and recursively. Leaving a scope never raises, in whatever order and
    context it happens.

    A decorator raises an error for a mistake that is visible when the function is defined: missing
    parentheses, a template that names no argument of the handler, a literal that cannot be an id or
    a tag. In a block, or in a call of a decorated function, nothing is raised. The mistake is
    logged, once for each place, and the code runs. If the id cannot be used, the code runs in the
    surrounding thread, or in none, and the block yields that thread or None. If only tags, the user
    or metadata cannot be used, the code runs in the thread without them. In tests and during
    development, set `ORQ_OTEL_STRICT=true` to have these errors raised.

    Args:
        id: The conversation's id: a non-empty string, an int or a UUID. It is never made up: use
            `new_thread_id()` for a new conversation. It may also be a `Thread`, or the mapping that
            `Thread.to_dict()` returned, which brings its own tags, user and metadata. Without an
            id, the rest is added to the current thread.
        tags: Words to filter conversations by: an iterable of non-empty strings.
        user: The id of the user whose conversation it is: a non-empty string, an int or a UUID.
            It is the attribute `user.id`, so it goes to whoever gets the spans.
        metadata: Further keys and values, with the limits of `Thread`: `thread.metadata.<key>`.

    Raises:
        TypeError: Raised by the decorator: it has no parentheses, an argument has a wrong type, a
            template names an argument that the handler does not take, or the decorated object is
            not a function.
        ValueError: Raised by the decorator: an argument is empty or too large, or a template has
            unbalanced braces.
    """
    # A function, since calling a class takes half as long again if it has an `__init__` of its own.
    scope = Scope()
    scope.dead = False
    scope.entries = {}
    kind = type(tags)
    if type(id) is str and (kind is list or kind is tuple) and user is None and metadata is None:
        try:
            scope.thread = found = validated(id, tuple(tags))  # type: ignore[arg-type]
        except Uncached:
            scope.set_up(id, tags, user, metadata)
        except Exception as error:  # the id or a tag is invalid
            if is_signals(error):
                raise
            scope.set_up(id, tags, user, metadata)
        else:
            scope.fresh = [found]
    else:
        scope.set_up(id, tags, user, metadata)
    return scope


def _is_plain_thread(id: object) -> bool:  # noqa: A002
    """Whether an id is a `Thread` or the mapping that its `to_dict()` returned."""
    return not isinstance(id, str) and isinstance(id, (Thread, Mapping))


def new_thread_id(prefix: str) -> str:
    """Make an id for a new conversation: `new_thread_id("support")` is "support-<random UUID>".

    Raises:
        TypeError: The prefix is not a string.
        ValueError: The prefix is empty.
    """
    if not isinstance(prefix, str):
        raise TypeError(
            'new_thread_id() takes a prefix that is a string, new_thread_id("support"), got '
            f"{type(prefix).__name__}."
        )
    if not prefix.strip():
        raise ValueError('new_thread_id() needs a prefix that is not empty: "support".')
    return f"{prefix}-{uuid4()}"
