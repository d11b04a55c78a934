"""The wrapper around a client's method that calls a model, sync and async.

Both are plain functions: one of wrapt's function wrappers would cost a microsecond on every call.
They are our outermost frames in the user's call, so each step of ours in them is guarded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import Token
from typing import Any, TypeAlias

from opentelemetry.context import Context, attach, detach

from orq_otel.foundations.guard import is_signals, report
from orq_otel.foundations.patching import Wrapper
from orq_otel.foundations.unfinished import hold, let_go
from orq_otel.genai.call import Call, Unrecorded

#: A started call, or None for one that has no telemetry, and the arguments for the client's method.
Begun: TypeAlias = tuple["Call | Unrecorded | None", tuple[Any, ...], dict[str, Any]]

#: Starts a call. Takes the instance, the positional arguments and the keyword arguments.
Begin: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Begun]

#: Takes a call, the positional and keyword arguments, and the method's result. Returns what the
#: caller gets, and ends the call, or returns a proxy that will.
Settle: TypeAlias = Callable[[Call, tuple[Any, ...], dict[str, Any], Any], Any]


def sync_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a synchronous method.

    Args:
        begin: Starts the call.
        settle: Ends it, or hands it to the result.
    """

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = None
            try:
                call, args, kwargs = begin(instance, args, kwargs)
                token = None if call is None else attach(call.context)
            except Exception as error:  # noqa: BLE001 - the user's call goes on
                report("starting the span of a call", error)
                token = None
            if token is None:
                return original(instance, *args, **kwargs)
            try:
                result = original(instance, *args, **kwargs)
            except BaseException as error:
                try:
                    call.fail(error)  # type: ignore[union-attr]
                except Exception as mistake:  # noqa: BLE001 - the caller gets the client's error
                    report("ending the span of a call", mistake)
                raise
            finally:
                try:
                    token.var.reset(token)  # half of what OpenTelemetry's `detach` takes
                except Exception as error:  # noqa: BLE001 - whatever the context is
                    _detach(token, error)
            if type(call) is not Call:
                return result
            try:
                return settle(call, args, kwargs, result)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
                report("handing out the result of a call", mistake)
                return result  # the call is dropped here, and so ends itself

        return wrapper

    return wrap


def async_wrapper(begin: Begin, settle: Settle) -> Wrapper:  # noqa: C901 - guards, no branches
    """A wrapper for a method that is a coroutine function. Takes what `sync_wrapper` takes."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapper(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = None
            try:
                try:
                    call, args, kwargs = begin(instance, args, kwargs)
                    if type(call) is Call:
                        hold(call)  # the program may end, or fork, while the coroutine waits
                    token = None if call is None else attach(call.context)
                except Exception as error:  # noqa: BLE001 - the user's call goes on
                    report("starting the span of a call", error)
                    token = None
                if token is None:
                    return await original(instance, *args, **kwargs)
                try:
                    result = await original(instance, *args, **kwargs)
                except BaseException as error:
                    try:
                        call.fail(error)  # type: ignore[union-attr]
                    except Exception as mistake:  # noqa: BLE001 - the caller gets the client's error
                        report("ending the span of a call", mistake)
                    raise
                finally:
                    try:
                        token.var.reset(token)  # half of what OpenTelemetry's `detach` takes
                    except Exception as error:  # noqa: BLE001 - whatever the context is
                        _detach(token, error)
            finally:
                let_go(call, None)  # type: ignore[arg-type]
            if type(call) is not Call:
                return result
            try:
                return settle(call, args, kwargs, result)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
                report("handing out the result of a call", mistake)
                return result  # the call is dropped here, and so ends itself

        return wrapper

    return wrap


def _detach(token: Token[Context], error: Exception) -> None:
    """Leave a context by OpenTelemetry's function, where resetting its variable raised `error`.

    Raises:
        Exception: `error` itself, if a signal handler of the host raised it.
    """
    if is_signals(error):
        raise error
    if not isinstance(error, ValueError):  # that is a coroutine that is closed in another context
        detach(token)  # another implementation of the context, with tokens of its own
