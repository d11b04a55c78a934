"""The one wrapper around a client's method that calls a model, sync and async.

Plain functions: one of wrapt's function wrappers would cost a microsecond on every call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from opentelemetry.context import attach, detach

from orq_otel.genai.call import Call, Unrecorded
from orq_otel.patching import Wrapper

#: A started call, or None for one to pass through, and the arguments to go on with.
Begun: TypeAlias = tuple["Call | Unrecorded | None", tuple[Any, ...], dict[str, Any]]

#: From the instance, the positional and the keyword arguments. Must not raise.
Begin: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Begun]

#: From a call, the arguments of `Begin` and the function's result to what the caller gets. Ends
#: the call, or hands out a proxy that will. Must not raise.
Settle: TypeAlias = Callable[[Call, tuple[Any, ...], dict[str, Any], Any], Any]


def sync_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a method."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call, args, kwargs = begin(instance, args, kwargs)
            if call is None:
                return original(instance, *args, **kwargs)
            token = attach(call.context)
            try:
                result = original(instance, *args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            finally:
                detach(token)
            return settle(call, args, kwargs, result) if isinstance(call, Call) else result

        return wrapper

    return wrap


def async_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a method that is a coroutine function."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wrapper(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call, args, kwargs = begin(instance, args, kwargs)
            if call is None:
                return await original(instance, *args, **kwargs)
            token = attach(call.context)
            try:
                result = await original(instance, *args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            finally:
                detach(token)
            return settle(call, args, kwargs, result) if isinstance(call, Call) else result

        return wrapper

    return wrap
