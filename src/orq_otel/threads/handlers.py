"""Run a function of any kind inside a scope, without the scope reaching its caller.

A generator shares the context of the code that consumes it. So its scope is current only during
each `send`, `throw` or `close`, when its own code runs, and never while it is suspended. The one
exception is a generator of `contextlib.contextmanager`: what runs at its `yield` is the block of a
with statement, which belongs to it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from dis import opmap
from operator import is_not
from time import time_ns
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    coroutine,
)
from typing import Any, Final, TypeAlias
from weakref import ref

from orq_otel.foundations.guard import report
from orq_otel.threads.frames import Frame, Steps, Thread, current_frame, enter, hooks, leave
from orq_otel.threads.misuse import is_refusal

#: Gets the arguments of one call. Returns a new frame for it, or None to run it without a scope.
OpenFrame: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], "Frame | None"]


def scoped(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    """Wrap a function, so that each call runs in a frame of its own. Its kind stays the same."""
    kind = function
    # Of an object that can be called, its method counts; that of a class is of its instances.
    if not (inspect.isroutine(function) or isinstance(function, (functools.partial, type))):
        kind = getattr(function, "__call__", function)  # noqa: B004
    make_manager = _MANAGERS.get(getattr(kind, "__code__", None))
    if make_manager is not None:
        inner = scoped(function.__wrapped__, open_frame)  # type: ignore[attr-defined]
        manager = functools.update_wrapper(make_manager(inner), function)
        manager.__wrapped__ = inner  # which another decorator looks for
        return manager
    if inspect.isasyncgenfunction(kind):
        wrapper = _scoped_async_generator(function, open_frame)
    elif inspect.isgeneratorfunction(kind):
        wrapper = _scoped_generator(function, open_frame)
        wrapper = coroutine(wrapper) if _makes_awaitables(kind) else wrapper
    elif inspect.iscoroutinefunction(kind):
        wrapper = _scoped_coroutine(function, open_frame)
    else:
        wrapper = _scoped_function(function, open_frame)
    return functools.update_wrapper(wrapper, function)


@contextmanager
def _manager() -> Iterator[None]:
    yield


@asynccontextmanager
async def _async_manager() -> AsyncGenerator[None, None]:
    yield


#: All functions that one of these decorators returns have the same code, which tells which of the
#: two has made a function.
_MANAGERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    _manager.__code__: contextmanager,
    _async_manager.__code__: asynccontextmanager,
}
#: The code of the methods by which a with statement begins such a generator.
_BEGINNINGS: Final = (
    type(_manager()).__enter__.__code__,
    type(_async_manager()).__aenter__.__code__,
)


class _Block:
    """Keeps a frame current from here to the end of the block of a with statement."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __enter__(self) -> None:
        try:
            enter(self._frame)
        except Exception as error:  # noqa: BLE001 - the block has to run
            report("entering a scope", error)

    def __exit__(self, *_: object) -> None:
        try:
            leave(self._frame)
        except Exception as error:  # noqa: BLE001 - the block has ended anyway
            report("leaving a scope", error)


class _OuterSteps:
    """Takes the place of `Steps` for a generator that has no scope of its own."""

    def enter(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""


def _in_frame(
    frame: Frame | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[AbstractContextManager[None], Any, list[Keep] | None]:
    """What a generator that calls this holds, the context of its steps, and what it was lent."""
    if frame is None:
        return nullcontext(), _OuterSteps(), None
    held, steps = _holding(frame)
    return held, steps, _lent(args, kwargs)


def _holding(frame: Frame) -> tuple[AbstractContextManager[None], Any]:
    """The context that a beginning generator holds to its end, and the one of each of its steps."""
    try:
        generator = sys._getframe(2)  # noqa: SLF001 - documented
        consumer = generator.f_back  # None where code in C consumes it, as some servers are
        while consumer is not None and consumer.f_code is generator.f_code:
            consumer = consumer.f_back  # another decorator of ours is around
        if consumer is not None and consumer.f_code in _BEGINNINGS:
            return _Block(frame), _OuterSteps()
    except Exception as error:  # noqa: BLE001 - the generator has to run
        report("looking for a with statement", error)
    return nullcontext(), _steps_in(frame)


def _makes_awaitables(function: Any) -> bool:
    """Whether a generator function is one of `types.coroutine`, whose generators are awaited."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _opened(open_frame: OpenFrame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frame | None:
    """The frame of one call, or None to run it without a scope."""
    try:
        return open_frame(args, kwargs)
    except Exception as error:
        if is_refusal(error):
            raise
        report("opening a scope", error)
        return None


def _kept(result: Any, frame: Frame) -> Any:
    """Keep the thread for what a handler returned, if anything of it runs later."""
    try:
        keeper = _keepers.get(type(result), _find_keeper)
        return result if keeper is None else keeper(result, frame)
    except Exception as error:  # noqa: BLE001 - the caller gets the result anyway
        report("keeping a scope for what a handler returned", error)
        return result


def _lent(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Keep] | None:
    """What is to be done after a call, for arguments with which a handler hands work over."""
    try:
        if _inert.issuperset(map(type, args)) and (
            not kwargs or _inert.issuperset(map(type, kwargs.values()))
        ):
            return None
        keeps = (_lend(value) for value in (*args, *kwargs.values()))
        return [keep for keep in keeps if keep is not None]
    except Exception as error:  # noqa: BLE001 - the function has to run
        report("looking at what a handler gets", error)
        return None


def _keep_lent(lent: list[Keep], frame: Any) -> None:
    try:
        for keep in lent:
            keep(frame)
    except Exception as error:  # noqa: BLE001 - the caller gets the result anyway
        report("keeping a scope for what a handler handed over", error)


def _scoped_function(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        frame = _opened(open_frame, args, kwargs)
        if frame is None:
            return function(*args, **kwargs)
        lent = _lent(args, kwargs)
        try:
            try:
                enter(frame)
            except Exception as error:  # noqa: BLE001 - the function has to run
                report("entering a scope", error)
            result = function(*args, **kwargs)
        finally:
            try:
                leave(frame)
            except Exception as error:  # noqa: BLE001 - the caller gets what the function returns
                report("leaving a scope", error)
        if lent:
            _keep_lent(lent, frame)
        return _kept(result, frame)

    return wrapper


def _scoped_coroutine(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        frame = _opened(open_frame, args, kwargs)
        if frame is None:
            return await function(*args, **kwargs)
        lent = _lent(args, kwargs)
        try:
            try:
                enter(frame)
            except Exception as error:  # noqa: BLE001 - the function has to run
                report("entering a scope", error)
            result = await function(*args, **kwargs)
        finally:
            try:
                leave(frame)
            except Exception as error:  # noqa: BLE001 - the caller gets what the function returns
                report("leaving a scope", error)
        if lent:
            _keep_lent(lent, frame)
        return _kept(result, frame)

    return wrapper


def _scoped_generator(
    function: Callable[..., Any], open_frame: OpenFrame, begun: Any = None
) -> Callable[..., Any]:
    """Wrap a generator function, so that each step of a generator runs in its frame.

    The frame is opened in the first step. The generator that the function returns may have `begun`.
    Then that around it is to begin at once, with a step that does nothing, since it is sent a value
    next.
    """

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        step = None
        if begun is not None:
            try:
                step = functools.partial(begun.send, (yield))
            except BaseException as error:  # noqa: BLE001 - what is thrown in goes to the body
                step = functools.partial(begun.throw, error)
        frame = _opened(open_frame, args, kwargs)
        held, steps, lent = _in_frame(frame, args, kwargs)
        body = function(*args, **kwargs)
        step = step or functools.partial(body.send, None)
        with held:
            while True:
                try:
                    steps.enter()
                    item = step()
                except StopIteration as stop:
                    if lent:
                        _keep_lent(lent, frame)
                    return stop.value
                finally:
                    try:
                        steps.leave()
                    except BaseException:
                        steps.leave()
                        raise
                    finally:
                        del step  # it may hold an error, whose traceback holds this Python frame
                try:
                    step = functools.partial(body.send, (yield item))
                except BaseException as error:  # noqa: BLE001 - what is thrown in goes to the body
                    step = functools.partial(body.throw, error)

    return wrapper


def _steps_in(frame: Frame) -> Steps | _OuterSteps:
    try:
        return Steps(frame)
    except Exception as error:  # noqa: BLE001 - the generator has to run
        report("entering a scope", error)
        return _OuterSteps()


def later_generator(
    body: GeneratorType[Any, Any, Any], open_frame: OpenFrame
) -> Generator[Any, Any, Any]:
    """Another generator, whose steps run in a frame. It has begun, or can be awaited, as `body`."""
    has_begun = _has_begun(getattr(body, "gi_suspended", None), body.gi_frame)
    make: Callable[[], Any]
    make = _scoped_generator(lambda: body, open_frame, body if has_begun else None)
    if body.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        make = coroutine(make)
    made: Generator[Any, Any, Any] = _named_as(body, make())
    if has_begun:
        next(made)
    return made


def later_async_generator(
    body: AsyncGeneratorType[Any, Any], open_frame: OpenFrame
) -> AsyncGenerator[Any, Any]:
    """The same for an asynchronous generator."""
    has_begun = _has_begun(getattr(body, "ag_suspended", None), body.ag_frame)
    make = _scoped_async_generator(lambda: body, open_frame, body if has_begun else None)
    made: AsyncGenerator[Any, Any] = _named_as(body, make())
    if has_begun:
        with suppress(StopIteration):  # which brings what it yields
            made.asend(None).__await__().__next__()
    return made


def _later_coroutine(
    body: CoroutineType[Any, Any, Any], open_frame: OpenFrame
) -> Coroutine[Any, Any, Any]:
    made: Coroutine[Any, Any, Any] = _named_as(body, _scoped_coroutine(lambda: body, open_frame)())
    return made


def _named_as(body: Any, made: Any) -> Any:
    """Give `made` the name of `body`, which Python's warnings and debuggers show, and return it."""
    made.__name__, made.__qualname__ = body.__name__, body.__qualname__
    return made


#: The last instruction of a generator that has not begun yet. Python 3.10 has no such instruction.
_FIRST: Final = opmap.get("RETURN_GENERATOR")


def _has_begun(is_suspended: bool | None, frame: FrameType | None) -> bool:  # noqa: FBT001
    """Whether a generator has begun. Older Pythons do not say whether one is suspended."""
    if is_suspended is not None or frame is None:
        return bool(is_suspended)
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] != _FIRST


def _scoped_async_generator(
    function: Callable[..., Any], open_frame: OpenFrame, begun: Any = None
) -> Callable[..., Any]:
    """Wrap an asynchronous generator function in the same way."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step = None
        if begun is not None:
            try:
                step = functools.partial(begun.asend, (yield))
            except BaseException as error:  # noqa: BLE001 - what is thrown in goes to the body
                step = functools.partial(begun.athrow, error)
        frame = _opened(open_frame, args, kwargs)
        held, steps, lent = _in_frame(frame, args, kwargs)
        body = function(*args, **kwargs)
        step = step or functools.partial(_first_step, body)
        with held:
            while True:
                try:
                    steps.enter()
                    item = await step()
                except StopAsyncIteration:
                    if lent:
                        _keep_lent(lent, frame)
                    return
                finally:
                    try:
                        steps.leave()
                    except BaseException:
                        steps.leave()
                        raise
                    finally:
                        del step  # for the same reason
                try:
                    step = functools.partial(body.asend, (yield item))
                except BaseException as error:  # noqa: BLE001 - what is thrown in goes to the body
                    step = functools.partial(body.athrow, error)

    return wrapper


def _first_step(body: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Begin an asynchronous generator without a word to the event loop.

    As it ends, the loop closes all generators that it knows, at the same time. It knows the one
    around this one, which closes it: the second of two that do so is an error.
    """
    hooks = sys.get_asyncgen_hooks()
    try:
        sys.set_asyncgen_hooks(None, None)
        return body.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


# What a handler hands back: a body that is produced, or a task that runs, when the handler's own
# scope is over. It is recognised by its shape, since no framework is imported here. `web.returned`
# knows where the responses of frameworks keep such things.

#: Keeps the thread of a frame for one result. Returns the result, or what takes its place.
Keeper: TypeAlias = Callable[[Any, Frame], Any]

#: Keeps the thread of a frame for what a handler did to one of its arguments.
Keep: TypeAlias = Callable[[Frame], object]

#: Looks at an argument before a call. Returns what is to be done after the call, or None.
Lender: TypeAlias = Callable[[Any], "Keep | None"]

_keepers: Final[dict[type, Keeper | None]] = {}
_keeper_finders: Final[list[Callable[[type], Keeper | None]]] = []
_lender_finders: Final[list[Callable[[type], Lender | None]]] = []

#: Types of arguments with which no handler hands work over.
_inert: Final[set[type]] = set()

#: More types than the handlers of any program return or get. A program may make types endlessly.
_MAX_TYPES: Final = 1024


def know(
    find_keeper: Callable[[type], Keeper | None], find_lender: Callable[[type], Lender | None]
) -> None:
    """Register what finds the keeper or the lender for a type. Each is asked once for a type."""
    _keeper_finders.append(find_keeper)
    _lender_finders.append(find_lender)
    _keepers.clear()
    _inert.clear()


def _find_keeper(result: Any, frame: Frame) -> Any:
    kind = type(result)
    keeper = next(filter(None, (find(kind) for find in _keeper_finders)), None)
    keeper = keeper or _keeper_by_shape(kind)
    if len(_keepers) >= _MAX_TYPES:
        _keepers.clear()
    _keepers[kind] = keeper
    return result if keeper is None else keeper(result, frame)


def _lend(value: Any) -> Keep | None:
    kind = type(value)
    if kind in _inert:
        return None
    lender = next(filter(None, (find(kind) for find in _lender_finders)), None)
    if lender is not None:
        return lender(value)
    if len(_inert) >= _MAX_TYPES:
        _inert.clear()
    _inert.add(kind)
    return None


def _keeper_by_shape(kind: type) -> Keeper | None:
    if kind in _MAKERS:
        return later
    if kind is tuple:
        return _keep_first
    return _keep_body_iterator if kind.__dictoffset__ else None


def _keep_first(result: tuple[Any, ...], frame: Frame) -> tuple[Any, ...]:
    """Keep the thread for the body of (body, status, headers), as Flask's handlers return it."""
    if not result:
        return result
    body = _kept(result[0], frame)
    return result if body is result[0] else (body, *result[1:])


def _keep_body_iterator(result: Any, frame: Frame) -> Any:
    """Keep the thread for a response like Starlette's, of whatever class."""
    # Looked up in `__dict__`, since mocks have every attribute. Some objects, such as asyncio's
    # tasks, have none although their class has an offset for it; and that of a class is no dict.
    attributes = getattr(result, "__dict__", None)
    body = attributes.get("body_iterator") if type(attributes) is dict else None
    if body is not None:
        result.body_iterator = later(body, frame)
    return result


def later(value: Any, frame: Frame) -> Any:
    """Let a value that runs later do so in the thread of a handler's frame.

    That is a generator of either kind, another iterator, an iterable that is no collection, a
    coroutine, a function, a task with a function and its arguments, a container of tasks, or a list
    or tuple of any of these. What takes the place of a generator, a coroutine or a task is of the
    same type. Any other value is returned as it is, and so are files and collections.
    """
    make = _MAKERS.get(type(value))
    if make is not None:
        return make(value, _reopening(frame))
    if type(value) is list or type(value) is tuple:
        items = type(value)(later(item, frame) for item in value)
        return items if any(map(is_not, items, value)) else value
    if value is None or isinstance(value, (str, bytes, Mapping)):
        return value
    return _later_body(value, frame) or _later_task(value, frame) or _later_call(value, frame)


#: Objects that can be replaced by another of the same type, which runs in a thread.
_MAKERS: Final[Mapping[type, Callable[[Any, OpenFrame], Any]]] = {
    GeneratorType: later_generator,
    AsyncGeneratorType: later_async_generator,
    CoroutineType: _later_coroutine,
}


def _later_body(body: Any, frame: Frame) -> Any:
    """A body that takes the place of a response's, in the thread. None for what is no body."""
    if hasattr(type(body), "__aiter__"):
        return _scoped_async_generator(lambda: _each(body), _reopening(frame))()
    if not hasattr(type(body), "__iter__"):
        return None
    # A server sends a file by itself, and a collection has been produced already.
    is_produced = any(hasattr(body, name) for name in ("__len__", "read", "filelike", "file"))
    return body if is_produced else _BodyOfResponse(body, StepsWhereItRuns(frame.thread))


def _later_task(task: Any, frame: Frame) -> Any:
    """A task of Starlette's or Litestar's, with its function in the thread, or None.

    Tasks are copied, since a program may keep one for all its requests. A container of them is not:
    tasks may be added to it until it runs.
    """
    tasks = getattr(task, "tasks", None)
    if isinstance(tasks, Iterable):
        task.tasks = Tasks(later(one, frame) for one in tasks)
        return task
    for name in ("func", "fn"):
        function = getattr(task, name, None)
        if callable(function) and hasattr(task, "args") and hasattr(task, "kwargs"):
            task = copy.copy(task)
            setattr(task, name, _later_call(function, frame, _reopening_for_task(frame)))
            return task
    return None


class Tasks(list[Any]):
    """The tasks of a container. What is added to it later keeps the thread that is current then.

    Bodies and tasks that run after their handler add some, for what is to be done after them.
    """

    def append(self, task: Any, /) -> None:
        """Add a task."""
        try:
            frame = current_frame()
            task = task if frame is None else later(task, frame)
        except Exception as error:  # noqa: BLE001 - the task has to be added
            report("keeping a scope for a task", error)
        super().append(task)


#: The attribute of a function that runs later in a thread: a weak reference to that very function,
#: since wrappers of others copy attributes; the frame; and the function without the thread.
_KEPT: Final = "_orq_otel_kept"


def _later_call(function: Any, frame: Frame, open_frame: OpenFrame | None = None) -> Any:
    if not callable(function):
        return function
    kept = function.__dict__.get(_KEPT) if type(function) is FunctionType else None
    if kept is not None and kept[0]() is function:
        if _is_inside(kept[1], frame):
            return function  # it belongs to a handler that was called by this one
        function = kept[2]  # kept by an earlier request
    wrapped = scoped(function, open_frame or _reopening(frame))
    setattr(wrapped, _KEPT, (ref(wrapped), frame, function))
    return wrapped


def _is_inside(inner: Frame | None, outer: Frame) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer


def _reopening(frame: Frame) -> OpenFrame:
    thread = frame.thread
    return lambda _args, _kwargs: Frame(thread, current_frame())


def _reopening_for_task(frame: Frame) -> OpenFrame:
    thread, handed_back_at = frame.thread, time_ns()

    def open_frame(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Frame:
        if thread is not None and hooks.task_listener is not None:
            hooks.task_listener(thread, handed_back_at)
        return Frame(thread, current_frame())

    return open_frame


class StepsWhereItRuns:
    """`Steps` whose scope begins with the first step, which labels the request around it."""

    def __init__(self, thread: Thread | None) -> None:
        self._thread = thread
        self._steps: Steps | None = None

    def __enter__(self) -> None:
        if self._steps is None:
            self._steps = Steps(Frame(self._thread, current_frame()))
        self._steps.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._steps is not None:
            self._steps.__exit__(*error)


class Body:
    """The body of a response, produced step by step in a thread.

    A class, since closing a generator that has not begun would not close the body behind it.
    """

    def __init__(self, body: Iterable[Any], steps: Steps | StepsWhereItRuns) -> None:
        self._body = body
        self._chunks: Iterator[Any] | None = None
        self._steps = steps

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._steps:
            if self._chunks is None:
                self._chunks = iter(self._body)
            return next(self._chunks)

    def close(self) -> None:
        """Close the body behind, if it can be closed."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._steps:
                close()


class _BodyOfResponse(Body):
    """A body that the program sees in its response, so it has all attributes of the original."""

    def __getattr__(self, name: str) -> Any:
        # By `object`, since a copy that is being made has no attribute yet.
        return getattr(object.__getattribute__(self, "_body"), name)


async def _each(items: AsyncIterable[Any]) -> AsyncGenerator[Any, Any]:
    async for item in items:
        yield item
