"""Which thread the running code belongs to: the value, and the stack of scopes that sets it.

The stack is a linked list of frames in a ContextVar of our own, so it follows the code through
`await`, tasks and `asyncio.to_thread` by itself, and does not depend on OpenTelemetry's context.
A scope may be left in another context than it was entered in (a generator closed by another task,
a synchronous FastAPI dependency), or out of order. Leaving therefore never raises: a frame that
cannot be popped is marked dead, and readers skip dead frames.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, final
from uuid import UUID

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.codes import LONG_ID_OR_TAG
from orq_otel.foundations.guard import is_signals, report, warn_once
from orq_otel.foundations.process import process
from orq_otel.threads.misuse import Words

#: Longer ids and tags are kept, but Langfuse drops them and MLflow refuses more than 250.
LONG = 200


@final
@dataclass(frozen=True)
class Thread:
    """The thread of a conversation: labels for its spans, never its messages.

    Attributes:
        id: The conversation's identifier, a non-empty string. An int or a UUID becomes one.
        tags: Labels to filter conversations by, in the order they were given, each once: non-empty
            strings, of which any iterable becomes a tuple.

    Raises:
        TypeError: The id or a tag has a type that cannot be one.
        ValueError: The id or a tag is empty.
    """

    id: str
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what was given."""
        thread = checked(as_id(self.id), as_tags(self.tags))
        object.__setattr__(self, "id", thread.id)
        object.__setattr__(self, "tags", thread.tags)

    def to_dict(self) -> dict[str, Any]:
        """The thread in plain types, for JSON and task queues: {"id": ..., "tags": [...]}.

        `thread()` takes it as it takes an id. A `Thread` can be pickled, too.
        """
        return {"id": self.id, "tags": list(self.tags)}


class Frame:
    """One entered scope. `thread` is None in a scope that has no thread on purpose."""

    __slots__ = ("dead", "parent", "thread", "token")

    def __init__(self, thread: Thread | None, parent: Frame | None) -> None:
        self.thread = thread
        self.parent = parent
        #: None unless the scope is open. Tasks started inside belong to its thread even afterwards.
        self.token: Token[Frame | None] | None = None
        #: The scope was left where it could not be popped, so every reader has to skip it.
        self.dead = False


#: The frame that was entered last in this context, dead or alive. Bound once: looking a method of a
#: ContextVar up takes longer than the method.
_top: ContextVar[Frame | None] = ContextVar("orq_otel.thread", default=None)
get_top, set_top, reset_top = _top.get, _top.set, _top.reset


class Hooks:
    """What other rooms add to scopes. It must not raise: it is called in the user's code.

    Attributes:
        listeners: Called with the frame of every scope that is entered.
        thread_outside: Where threads from other processes are accepted, the thread of code that is
            outside every scope.
    """

    __slots__ = ("listeners", "thread_outside")

    def __init__(self) -> None:
        self.listeners: list[Callable[[Frame], object]] = []
        self.thread_outside: Callable[[], Thread | None] | None = None

    def reset(self) -> None:
        """Let nobody listen."""
        self.listeners.clear()
        self.thread_outside = None


hooks: Final = process.keep(Hooks())


def current_frame() -> Frame | None:
    """The innermost living frame of the running code."""
    frame = get_top()
    while frame is not None and frame.dead:
        frame = frame.parent
    return frame


def current_thread() -> Thread | None:
    """The thread that the running code belongs to, or None outside every scope.

    With `propagate_threads(accept=True)`, it is outside of them the thread that came in.
    """
    frame = get_top()
    while frame is not None and frame.dead:
        frame = frame.parent
    if frame is not None:
        return frame.thread
    return None if hooks.thread_outside is None else hooks.thread_outside()


def scoped_thread() -> Thread | None:
    """The thread of the innermost scope. None as well in a scope that has none on purpose."""
    frame = get_top()
    while frame is not None and frame.dead:
        frame = frame.parent
    return None if frame is None else frame.thread


# A signal handler may raise in any of the following, at the start of a function and after a call of
# one in C; up to Python 3.10 anywhere but before a `try`.


def enter(frame: Frame) -> None:
    """Make `frame` the current one, and tell the listeners that a scope begins.

    If a signal handler, or a stack that is full, makes it raise, nothing is entered.
    """
    try:
        frame.token = set_top(frame)
        if hooks.listeners:
            announce(frame)
    except BaseException:
        leave(frame)
        raise


def leave(frame: Frame) -> None:
    """Undo `enter`, wherever and in whichever order scopes are left.

    Never raises, but for a signal handler, and then the frame is left all the same.
    """
    try:
        token, frame.token = frame.token, None
        if get_top() is frame:
            reset_top(token)  # type: ignore[arg-type]
        else:
            frame.dead = True
    except BaseException as error:
        if get_top() is frame:
            set_top(frame.parent)
        frame.dead = True
        if has_interrupted(error):
            raise


def has_interrupted(error: BaseException) -> bool:
    """Whether an error came from outside, and is not just `reset_top` refusing a token.

    It refuses one that another context made, of which this may be a copy, and one that was used.
    """
    is_deeper = error.__traceback__ is not None and error.__traceback__.tb_next is not None
    return is_deeper or not isinstance(error, (RuntimeError, TypeError, ValueError))


def announce(frame: Frame) -> None:
    """Tell the listeners that the scope of `frame` begins."""
    for listener in tuple(hooks.listeners):
        try:
            listener(frame)
        except Exception as error:  # noqa: BLE001, PERF203 - the user's with statement goes on
            report("telling that a scope begins", error)


class Steps:
    """Makes a frame current only while one generator's own code runs, step by step.

    Scopes that the generator itself has open at a `yield` are put aside with it and come back with
    its next step. No step can overlap with another: a generator runs one at a time.
    """

    __slots__ = ("_frame", "_inside")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._inside: Frame | None = frame
        announce(frame)

    def enter(self) -> None:
        """Begin a step."""
        outer = get_top()
        try:
            self._frame.token = set_top(self._inside)
        except BaseException:
            set_top(outer)
            raise

    def leave(self, *_: object) -> None:
        """End a step. It may be ended again, where a signal handler may have kept it from that."""
        token, before = self._frame.token, self._inside
        try:
            self._frame.token = None
            if token is not None:
                self._inside = get_top()
                reset_top(token)
        except BaseException as error:
            if not has_interrupted(error):  # finalised where nothing of ours is set
                self._inside = before
                self._frame.dead = True
                return
            try:
                reset_top(token)  # type: ignore[arg-type]
            except (RuntimeError, TypeError, ValueError):
                self._frame.dead = True
            raise

    __enter__, __exit__ = enter, leave


def make_thread(id: str, tags: object, outer: Thread | None) -> Thread:  # noqa: A002
    """Validate an id and tags. Inside a thread of the same id, its tags come first.

    Raises:
        TypeError: The tags are not an iterable of strings.
        ValueError: The id or a tag is empty.
    """
    given = tags if type(tags) is tuple else as_tags(tags)
    if outer is not None and outer.id == id:
        given = outer.tags + given
    try:
        return validated(id, given)
    except Uncached as past:
        return past.value  # type: ignore[no-any-return]
    except TypeError as error:  # a tag that cannot be hashed has its own message, not the cache's
        if is_signals(error):
            raise
        return checked(id, given)


@lru_cache(maxsize=1024)
def validated(id: str, tags: tuple[Any, ...]) -> Thread:  # noqa: A002
    """The thread of an id and tags that were checked one by one.

    Raises:
        Uncached: Brings the thread, if it is too large for the cache, or its id looks like a
            template: that takes the long way, on which blocks warn of it.
        TypeError, ValueError: As `make_thread`.
    """
    thread = checked(id, tags)
    if "{" in id:
        raise Uncached(thread)
    return keep(thread, id, *tags)


def checked(id: str, tags: tuple[Any, ...]) -> Thread:  # noqa: A002
    """The same, without the cache."""
    if not id.strip():
        raise ValueError(
            Words(
                "thread() needs a non-empty id: pass the id of your conversation, "
                'or new_thread_id("support") to make one.'
            )
        )
    for tag in tags:
        check_tag(tag)
    if len(id) > LONG or any(len(tag) > LONG for tag in tags):
        warn_once(
            LONG_ID_OR_TAG,
            f"A thread id or tag is longer than {LONG} characters. It is kept, "
            "but some backends drop or cut it.",
        )
    return plain_thread(id, tuple(dict.fromkeys(str.__str__(tag) for tag in tags)))


def check_tag(tag: object) -> None:
    """Raise what is wrong with one tag."""
    if not isinstance(tag, str):
        raise TypeError(Words(f"thread() takes tags that are strings, got {type(tag).__name__}."))
    if not str.strip(tag):
        raise ValueError(Words("thread() takes tags that are not empty."))


def plain_thread(id: str, tags: tuple[str, ...]) -> Thread:  # noqa: A002
    """A `Thread` of what needs no check any more."""
    thread = object.__new__(Thread)
    # Not through its dict: Python reads attributes more slowly once there is one.
    object.__setattr__(thread, "id", id)
    object.__setattr__(thread, "tags", tags)
    return thread


def as_id(id: object) -> str:  # noqa: A002
    """A thread id as a string, from a string, an int or a UUID."""
    if isinstance(id, str):
        return str.__str__(id)
    if isinstance(id, UUID) or (isinstance(id, int) and not isinstance(id, bool)):
        return str(id) if isinstance(id, UUID) else int.__repr__(id)
    if callable(id):
        raise TypeError(
            Words(
                "thread() takes a callable as id only as a decorator on a function, "
                "@thread(lambda request: request.session_id). In a with block, give the id itself."
            )
        )
    raise TypeError(
        Words(
            f"thread() takes an id that is a string, an int or a UUID, got {type(id).__name__}. "
            'Pass the id of your conversation, or new_thread_id("support") to make one.'
        )
    )


def as_tags(tags: object) -> tuple[Any, ...]:
    """The tags as a tuple, whatever iterable they came in. Each one is checked later."""
    if type(tags) is tuple:
        return tags
    if isinstance(tags, (str, bytes)):
        raise TypeError(
            Words(
                f"thread() takes tags as a list of strings, got one {type(tags).__name__}. "
                "Write tags=[tag]."
            )
        )
    if not isinstance(tags, Iterable) or isinstance(tags, Mapping):
        raise TypeError(
            Words(
                f"thread() takes tags as a list of strings, got {type(tags).__name__}. "
                "Leave tags out if there are none."
            )
        )
    return tuple(tags)
