"""The one wrapper around a client's function that calls a model, sync and async."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from opentelemetry.context import attach, detach

from orq_otel.genai.call import Call, Unrecorded
from orq_otel.patching import Wrapper

#: From the instance, the positional and the keyword arguments to a started call, or None to pass
#: the call through. Must not raise.
Begin: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], "Call | Unrecorded | None"]

#: From a call, the arguments of `Begin` and the function's result to what the caller gets. Ends
#: the call, or hands out a proxy that will. Must not raise.
Settle: TypeAlias = Callable[[Call, tuple[Any, ...], dict[str, Any], Any], Any]


def sync_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a function."""

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = begin(instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        token = attach(call.context)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        return settle(call, args, kwargs, result) if isinstance(call, Call) else result

    return wrapper


def async_wrapper(begin: Begin, settle: Settle) -> Wrapper:
    """A wrapper for a coroutine function."""

    async def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = begin(instance, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        token = attach(call.context)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        return settle(call, args, kwargs, result) if isinstance(call, Call) else result

    return wrapper
