"""Run a function of any kind inside a scope, without the scope reaching its caller.

A generator shares the context of the code that consumes it. So its scope is current only during
each `send`, `throw` or `close`, when its own code runs, and never while it is suspended.

Standard library only.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from typing import Any, TypeAlias

from orq_otel.foundations.guard import report
from orq_otel.threads.frames import Frame, Steps, current_frame, enter, leave
from orq_otel.threads.misuse import is_refusal

#: Gets the arguments of one call. Returns a new frame for it, or None to run it without a scope.
OpenFrame: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], "Frame | None"]


def scoped(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    """Wrap a function, so that each call runs in a frame of its own. Its kind stays the same."""
    kind = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if isinstance(function, functools.partial):
        kind = function
    if inspect.isasyncgenfunction(kind):
        return scoped_async_generator(function, open_frame)
    if inspect.isgeneratorfunction(kind):
        return scoped_generator(function, open_frame)
    if inspect.iscoroutinefunction(kind):
        return _scoped_coroutine(function, open_frame)
    return _scoped_function(function, open_frame)


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
    try:
        return _keep_scope(result, frame)
    except Exception as error:  # noqa: BLE001 - the caller gets the result anyway
        report("keeping a scope for what a handler returned", error)
        return result


def _scoped_function(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        frame = _opened(open_frame, args, kwargs)
        if frame is None:
            return function(*args, **kwargs)
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
        return _kept(result, frame)

    return wrapper


def _scoped_coroutine(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        frame = _opened(open_frame, args, kwargs)
        if frame is None:
            return await function(*args, **kwargs)
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
        return _kept(result, frame)

    return wrapper


def scoped_generator(function: Callable[..., Any], open_frame: OpenFrame) -> Callable[..., Any]:
    """Wrap a generator function, so that each step of a generator runs in its frame."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        frame = _opened(open_frame, args, kwargs)
        if frame is None:
            return (yield from function(*args, **kwargs))
        steps = _steps_in(frame)
        body = function(*args, **kwargs)
        step = functools.partial(body.send, None)
        while True:
            try:
                steps.enter()
                item = step()
            except StopIteration as stop:
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


class _OuterSteps:
    """Takes the place of `Steps` for a generator that has no scope of its own."""

    def enter(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""


def scoped_async_generator(
    function: Callable[..., Any], open_frame: OpenFrame
) -> Callable[..., Any]:
    """Wrap an asynchronous generator function in the same way."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        frame = _opened(open_frame, args, kwargs)
        steps = _OuterSteps() if frame is None else _steps_in(frame)
        body = function(*args, **kwargs)
        step = functools.partial(body.asend, None)
        while True:
            try:
                steps.enter()
                item = await step()
            except StopAsyncIteration:
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


def _keep_scope(result: Any, frame: Frame) -> Any:
    """Let a body that a handler returned be produced in the handler's thread.

    The body is a generator, a coroutine, or part of a streaming response. It runs when the handler
    has returned, so the handler's scope is over by then.
    """

    def reopen(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Frame:
        return Frame(frame.thread, current_frame())

    if inspect.isgenerator(result):
        return scoped_generator(lambda: result, reopen)()
    if inspect.isasyncgen(result):
        return scoped_async_generator(lambda: result, reopen)()
    if inspect.iscoroutine(result):
        return _scoped_coroutine(lambda: result, reopen)()
    # Starlette's StreamingResponse. Looked up in `__dict__`, since mocks have every attribute.
    body = getattr(result, "__dict__", {}).get("body_iterator")
    if body is not None:
        body = body if inspect.isasyncgen(body) else _each(body)
        result.body_iterator = scoped_async_generator(lambda: body, reopen)()
    return result


async def _each(items: AsyncIterable[Any]) -> AsyncGenerator[Any, Any]:
    async for item in items:
        yield item
