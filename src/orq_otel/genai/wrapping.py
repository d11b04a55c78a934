"""The one wrapper around a client's method that calls a model, sync and async.

Plain functions: one of wrapt's function wrappers would cost a microsecond on every call. They are
the outermost frames of ours in the user's call, so each step of ours in them is guarded.
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

#: A started call, or None for one to pass through, and the arguments to go on with.
Begun: TypeAlias = tuple["Call | Unrecorded | None", tuple[Any, ...], dict[str, Any]]

#: From the instance, the positional and the keyword arguments.
Begin: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Begun]

#: From a call, the arguments of `Begin` and the function's result to what the caller gets. Ends
#: the call, or hands out a proxy that will.
Settle: TypeAlias = Callable[[Call, tuple[Any, ...], dict[str, Any], Any], Any]


def sync_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a method."""

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
                    _leave(token, error)
            if type(call) is not Call:
                return result
            try:
                return settle(call, args, kwargs, result)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
                report("handing out the result of a call", mistake)
                return result  # the call goes, and ends itself

        return wrapper

    return wrap


def async_wrapper(begin: Begin, settle: Settle) -> Wrapper:  # noqa: C901 - guards, no branches
    """A wrapper for a method that is a coroutine function."""

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
                        _leave(token, error)
            finally:
                let_go(call)
            if type(call) is not Call:
                return result
            try:
                return settle(call, args, kwargs, result)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
                report("handing out the result of a call", mistake)
                return result  # the call goes, and ends itself

        return wrapper

    return wrap


def _leave(token: Token[Context], error: Exception) -> None:
    """Leave a context that does not let itself be left by its token alone."""
    if is_signals(error):
        raise error
    if not isinstance(error, ValueError):  # a coroutine that is closed in another context
        detach(token)  # of a context that is somebody else's, with tokens of its own
