"""Which thread the running code belongs to: the `Thread`, and the stack of scopes that sets it.

The stack is a linked list of frames in a ContextVar. So it follows the code through `await`, tasks
and `asyncio.to_thread`, and does not depend on OpenTelemetry's context. A scope may be left out of
order, or in another context than it was entered in: a generator may be closed by another task, and
FastAPI runs the two halves of a synchronous dependency in two contexts. So leaving never raises: a
frame that cannot be popped is marked dead, and readers skip dead frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, final

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.codes import LONG_ID_OR_TAG, NO_REAL_ID
from orq_otel.foundations.guard import is_signals, report, warn_once
from orq_otel.foundations.process import process
from orq_otel.threads.details import (
    NO_METADATA,
    Metadata,
    MetadataValue,
    as_metadata,
    as_text,
    as_user,
    merged,
    plain,
)
from orq_otel.threads.misuse import wrong_type, wrong_value

#: In characters. Longer ids, tags and users are kept, but Langfuse drops them, and MLflow refuses
#: ids of more than 250.
LONG = 200

#: What languages make of a missing id where they make text of it.
_WORDS_FOR_NONE: Final = frozenset({"none", "null", "undefined"})
LONGEST_WORD: Final = 9


@final
@dataclass(frozen=True, repr=False)
class Thread:
    """The thread of a conversation: labels for its spans, never its messages.

    Attributes:
        id: The conversation's identifier, a non-empty string. An int or a UUID becomes one.
        tags: Words to filter conversations by: non-empty strings, in the order in which they were
            passed, without repetitions. Any iterable becomes a tuple.
        user: The id of the user whose conversation it is, a non-empty string, or None. An int or a
            UUID becomes one.
        metadata: Further keys and values: at most 32 keys of 1 to 64 characters each. Values are
            texts of at most 512 characters, finite numbers, integers of at most 64 bits, and truth
            values. Any mapping becomes one that does not change.

    Raises:
        TypeError: One of these has a wrong type.
        ValueError: One of these is empty or too large.
    """

    id: str
    tags: tuple[str, ...] = ()
    user: str | None = None
    metadata: Mapping[str, MetadataValue] = NO_METADATA

    #: Whether it has neither user nor metadata. Asked for every span, and one attribute of an
    #: object is read faster than two. Threads that were pickled by older versions have all three
    #: from the class.
    is_plain: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check everything."""
        thread = checked(as_id(self.id), as_tags(self.tags))
        object.__setattr__(self, "id", thread.id)
        object.__setattr__(self, "tags", thread.tags)
        object.__setattr__(self, "user", as_user(self.user))
        object.__setattr__(self, "metadata", as_metadata(self.metadata))
        if self.user is not None or self.metadata is not NO_METADATA:
            object.__setattr__(self, "is_plain", False)

    def __hash__(self) -> int:
        return hash((self.id, self.tags))

    def __repr__(self) -> str:
        user = "" if self.user is None else f", user={self.user!r}"
        metadata = f", metadata={self.metadata!r}" if self.metadata else ""
        return f"Thread(id={self.id!r}, tags={self.tags!r}{user}{metadata})"

    def to_dict(self) -> dict[str, Any]:
        """The thread in plain types, for JSON and task queues: {"id": ..., "tags": [...]}.

        "user" and "metadata" are there if it has them. Pass it to `thread()` in the place of an id.
        A `Thread` can be pickled, too.
        """
        plain: dict[str, Any] = {"id": self.id, "tags": list(self.tags)}
        if self.user is not None:
            plain["user"] = self.user
        if self.metadata:
            plain["metadata"] = dict(self.metadata)
        return plain


class Frame:
    """One entered scope. `thread` is None in a scope that has no thread on purpose."""

    __slots__ = ("dead", "parent", "thread", "token")

    def __init__(self, thread: Thread | None, parent: Frame | None) -> None:
        self.thread = thread
        self.parent = parent
        #: None unless the scope is open. Tasks that were started inside stay in the thread even
        #: when the scope is closed.
        self.token: Token[Frame | None] | None = None
        #: Whether the scope was left where it could not be popped. Every reader skips such frames.
        self.dead = False


#: The frame that was entered last in this context, dead or alive. Its methods are bound once, since
#: looking one up takes longer than calling it.
_top: ContextVar[Frame | None] = ContextVar("orq_otel.thread", default=None)
get_top, set_top, reset_top = _top.get, _top.set, _top.reset


class Hooks:
    """Callbacks of other packages in here. They must not raise: they run in the user's code.

    Attributes:
        listeners: Functions that are called with the frame of every scope that is entered.
        inbound_thread: Returns the thread that came in with the request, for code outside every
            scope. None if threads from other processes are not accepted.
        task_listener: Is called with the thread of every task that begins after its handler, and
            the time at which that handed it back, in nanoseconds. None if nobody wants to know.
    """

    __slots__ = ("inbound_thread", "listeners", "task_listener")

    def __init__(self) -> None:
        self.listeners: list[Callable[[Frame], object]] = []
        self.inbound_thread: Callable[[], Thread | None] | None = None
        self.task_listener: Callable[[Thread, int], object] | None = None

    def reset(self) -> None:
        """Remove all callbacks."""
        self.listeners.clear()
        self.inbound_thread = None
        self.task_listener = None


hooks: Final = process.keep(Hooks())


def current_frame() -> Frame | None:
    """The innermost living frame of the running code."""
    frame = get_top()
    while frame is not None and frame.dead:
        frame = frame.parent
    return frame


def current_thread() -> Thread | None:
    """The thread that the running code belongs to, or None outside every scope.

    With `propagate_threads(accept=True)`, code outside every scope belongs to the thread that came
    in with the request.
    """
    frame = get_top()
    while frame is not None and frame.dead:
        frame = frame.parent
    if frame is not None:
        return frame.thread
    return None if hooks.inbound_thread is None else hooks.inbound_thread()


def scoped_thread() -> Thread | None:
    """The thread of the innermost scope, or None: there is no scope, or it has no thread."""
    frame = get_top()
    while frame is not None and frame.dead:
        frame = frame.parent
    return None if frame is None else frame.thread


# A signal handler may raise in each of the functions below: at their start and after a call of a C
# function, and up to Python 3.10 anywhere except just before a `try`.


def enter(frame: Frame) -> None:
    """Make `frame` the current one, and notify the listeners that a scope begins.

    If a signal handler or a full stack makes this raise, the frame has not been entered.
    """
    try:
        frame.token = set_top(frame)
        if hooks.listeners:
            announce(frame)
    except BaseException:
        # Without `leave`: where the stack is full, no function of Python's can be called.
        if get_top() is frame:
            set_top(frame.parent)
        frame.dead = True
        raise


def leave(frame: Frame) -> None:
    """Undo `enter`, in whatever context and order scopes are left.

    It raises only what a signal handler raised, and the frame has been left even then.
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
    """Whether an error interrupted the code, rather than being a token that `reset_top` refused.

    `reset_top` refuses a token of another context, even if this context is a copy of it, and a
    token that was used before.
    """
    is_deeper = error.__traceback__ is not None and error.__traceback__.tb_next is not None
    return is_deeper or not isinstance(error, (RuntimeError, TypeError, ValueError))


def announce(frame: Frame) -> None:
    """Notify the listeners that the scope of `frame` begins."""
    for listener in tuple(hooks.listeners):
        try:
            listener(frame)
        except Exception as error:  # noqa: BLE001, PERF203 - the user's with statement goes on
            report("announcing a scope", error)


class Steps:
    """Makes a frame current only while one generator's own code runs, step by step.

    Scopes that the generator itself has open at a `yield` are suspended with it, and are active
    again in its next step. Steps never overlap: a generator runs one at a time.
    """

    __slots__ = ("_frame", "_innermost")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._innermost: Frame | None = frame
        announce(frame)

    def enter(self) -> None:
        """Begin a step."""
        outer = get_top()
        try:
            self._frame.token = set_top(self._innermost)
        except BaseException:
            set_top(outer)
            raise

    def leave(self, *_: object) -> None:
        """End a step. May be called again if a signal handler interrupted the first call."""
        token, previous = self._frame.token, self._innermost
        try:
            self._frame.token = None
            if token is not None:
                self._innermost = get_top()
                reset_top(token)
        except BaseException as error:
            if not has_interrupted(error):  # the generator was finalised in another context
                self._innermost = previous
                self._frame.dead = True
                return
            try:
                reset_top(token)  # type: ignore[arg-type]
            except (RuntimeError, TypeError, ValueError):
                self._frame.dead = True
            raise

    __enter__, __exit__ = enter, leave


def make_thread(
    id: str,  # noqa: A002
    tags: object,
    outer: Thread | None,
    user: str | None = None,
    metadata: Metadata = NO_METADATA,
) -> Thread:
    """Make a thread. If `outer` has the same id, what it has comes first.

    Its tags are added to those of `outer`. Its user and each value of its metadata, which have been
    checked, take the place of those of `outer`.

    Raises:
        TypeError: The tags are not an iterable of strings.
        ValueError: The id or a tag is empty.
    """
    all_tags = tags if type(tags) is tuple else as_tags(tags)
    if outer is not None and outer.id == id:
        all_tags = outer.tags + all_tags
        if not outer.is_plain:
            user = outer.user if user is None else user
            metadata = merged(as_metadata(outer.metadata), metadata)
    try:
        thread = validated(id, all_tags)
    except Uncached as uncached:
        thread = uncached.value
    except TypeError as error:  # if a tag cannot be hashed, `checked` raises the better message
        if is_signals(error):
            raise
        thread = checked(id, all_tags)
    if user is None and metadata is NO_METADATA:
        return thread
    return plain_thread(thread.id, thread.tags, user, metadata)


def nested(thread: Thread, outer: Thread | None) -> Thread:
    """A thread, with what the one around it adds if they have the same id."""
    return make_thread(thread.id, thread.tags, outer, thread.user, as_metadata(thread.metadata))


@lru_cache(maxsize=1024)
def validated(id: str, tags: tuple[Any, ...]) -> Thread:  # noqa: A002
    """Make a thread, checking its id and each tag, and cache it.

    Raises:
        Uncached: Carries the thread if it is too large for the cache, or if its id or a tag looks
            like a template. Blocks log a warning of that, which they would not for a cached thread.
        TypeError, ValueError: As `make_thread`.
    """
    thread = checked(id, tags)
    if "{" in id or "{" in "".join(tags):
        raise Uncached(thread)
    return keep(thread, id, *tags)


def checked(id: str, tags: tuple[Any, ...]) -> Thread:  # noqa: A002
    """Make a thread, checking its id and each tag, without the cache."""
    if not id.strip():
        raise wrong_value(
            "thread() needs a non-empty id: pass the id of your conversation, "
            'or new_thread_id("support") to make one.'
        )
    for tag in tags:
        check_tag(tag)
    if len(id) > LONG or any(len(tag) > LONG for tag in tags):
        warn_of_length()
    if len(id) <= LONGEST_WORD:
        warn_of_no_id(id)
    return plain_thread(id, tuple(dict.fromkeys(map(plain, tags))))


def warn_of_no_id(id: str) -> None:  # noqa: A002
    """Log an id that is the word for a missing one, as `f"{None}"` makes it. It is kept."""
    if id.lower() in _WORDS_FOR_NONE:
        warn_once(
            NO_REAL_ID,
            f"A thread id is the word {id!r}, most likely for one that was missing. It is kept, so "
            "all conversations without an id are shown as one. Where there is no id, open no "
            "thread, or use new_thread_id().",
        )


def warn_of_length() -> None:
    """Log that a backend may drop what is longer than `LONG`."""
    warn_once(
        LONG_ID_OR_TAG,
        f"A thread id, tag or user is longer than {LONG} characters. It is kept, "
        "but some backends drop or cut it.",
    )


def check_tag(tag: object) -> None:
    """Raise a `TypeError` or `ValueError` if this cannot be a tag."""
    if not isinstance(tag, str):
        raise wrong_type(f"thread() takes tags that are strings, got {type(tag).__name__}.")
    if not plain(tag).strip():
        raise wrong_value("thread() takes tags that are not empty.")


def plain_thread(
    id: str,  # noqa: A002
    tags: tuple[str, ...],
    user: str | None = None,
    metadata: Metadata = NO_METADATA,
) -> Thread:
    """Make a `Thread` of parts that have been checked."""
    thread = object.__new__(Thread)
    # Not through `__dict__`: once an object has one, Python reads its attributes more slowly.
    object.__setattr__(thread, "id", id)
    object.__setattr__(thread, "tags", tags)
    if user is not None or metadata is not NO_METADATA:
        object.__setattr__(thread, "user", user)
        object.__setattr__(thread, "metadata", metadata)
        object.__setattr__(thread, "is_plain", False)
        if user is not None and len(user) > LONG:
            warn_of_length()
    return thread


def as_id(id: object) -> str:  # noqa: A002
    """A thread id as a string, from a string, an int or a UUID."""
    text = as_text(id)
    if text is not None:
        return text
    if callable(id):
        raise wrong_type(
            "thread() takes a callable as id only as a decorator on a function, "
            "@thread(lambda request: request.session_id). In a with block, give the id itself."
        )
    raise wrong_type(
        f"thread() takes an id that is a string, an int or a UUID, got {type(id).__name__}. "
        'Pass the id of your conversation, or new_thread_id("support") to make one.'
    )


def as_tags(tags: object) -> tuple[Any, ...]:
    """The tags of any iterable as a tuple. Each one is checked later."""
    if type(tags) is tuple:
        return tags
    if isinstance(tags, (str, bytes)):
        raise wrong_type(
            f"thread() takes tags as a list of strings, got one {type(tags).__name__}. "
            "Write tags=[tag]."
        )
    if not isinstance(tags, Iterable) or isinstance(tags, Mapping):
        raise wrong_type(
            f"thread() takes tags as a list of strings, got {type(tags).__name__}. "
            "Leave tags out if there are none."
        )
    return tuple(tags)
