"""Transparent proxies of a client's streams, which end the call's span when the stream is over.

A proxy has the type and every attribute of the stream. The stream is over when it is exhausted,
fails, is closed, or its `with` block is left. It is also over as soon as nothing refers to the
proxy or to an iterator of it any more: the call is dropped with them, and ends itself. A stream
that is still referred to can be read on after a `break`. No token of OpenTelemetry's context is
held while the consumer runs.

A proxy can do what the object behind it can, and no more. wrapt's has every special method of
Python: through it, an asynchronous stream would seem to have `__iter__` and `__len__`, and code
that looks for those first would take it for something else.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable
from itertools import chain, islice
from types import FunctionType, MethodType
from typing import Any, Final, Protocol

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import is_called_from, passed_on
from orq_otel.foundations.unfinished import watch
from orq_otel.genai.call import CHUNKS_TO_COMPACT, Call, ignore
from orq_otel.genai.fields import as_namespaces

#: Stands for no chunk.
_NONE: Final = object()

#: Methods of an iterator by which its consumer leaves it.
_LEAVING: Final = frozenset({"close", "throw", "aclose", "athrow"})


class Reading(Protocol):
    """Reads a stream along with its consumer: a call, or the body of a raw response."""

    def feeder(self) -> Callable[[Any], object]:
        """The function that reads each chunk. It may raise.

        It is asked for when the first chunk has arrived, and again now and then. That is the time
        to compact what was collected.
        """
        ...

    def finish(self) -> None:
        """The stream was read to its end."""

    def end(self) -> None:
        """The consumer has left the stream."""

    def fail(self, error: BaseException, /) -> None:
        """The stream broke."""


def stream_proxy(stream: Any, call: Call) -> Any:
    """A proxy of `stream`, synchronous or asynchronous as it is, that ends `call`."""
    watch(call)
    return (AsyncStreamProxy if hasattr(stream, "__anext__") else StreamProxy)(stream, call)


def iterate(inner: Any, reading: Reading) -> Any:
    """An iterator in the place of `inner`, synchronous or asynchronous as it is, read along."""
    return (AsyncIteration if hasattr(inner, "__anext__") else Iteration)(inner, None, reading)


class Proxy:
    """Has the type, the attributes and the text of an object. Subclasses override what differs.

    A subclass names its own attributes `_self_...`. All others are read from the object, and set on
    it. But what replaces a method of the subclass stays on the proxy. It may call the method that
    it replaces, and that would call it on the object, without end.
    """

    __wrapped__: Any

    def __init__(self, wrapped: Any) -> None:
        object.__setattr__(self, "__wrapped__", wrapped)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.__wrapped__.__class__

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return self.__wrapped__.__dict__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_self_") or _is_own_method(self, name):
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        if _is_own_method(self, name):
            object.__delattr__(self, name)
        else:
            delattr(self.__wrapped__, name)

    def __dir__(self) -> Any:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __str__(self) -> str:
        return str(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == (other.__wrapped__ if type(other) is type(self) else other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


def _is_own_method(proxy: Proxy, name: str) -> bool:
    """Whether the class of a proxy has a method of this name, other than a special one."""
    return name[:1] != "_" and isinstance(getattr(type(proxy), name, None), FunctionType)


class _Proxy(Proxy):
    """The part of a proxy that both kinds of streams share. The call reads the stream along."""

    _self_call: Call
    _self_items: Any = None
    _self_is_watched = False

    def __init__(self, stream: Any, call: Call) -> None:
        object.__setattr__(self, "__wrapped__", stream)  # what `super` does, in less time
        object.__setattr__(self, "_self_call", call)

    @property
    def response(self) -> Any:
        """The HTTP response. The client's own stream helpers close it instead of the stream."""
        stream = self.__wrapped__
        response = stream.response
        if not self._self_is_watched:
            object.__setattr__(self, "_self_is_watched", True)
            try:
                is_async = hasattr(stream, "__anext__")
                reads = type(stream).__aiter__ if is_async else type(stream).__iter__
                insiders = reads.__module__, type(response).close.__module__
                kind = AsyncBody if is_async else Body
                response.stream = kind(response.stream, self._self_call, insiders)
            except Exception as mistake:  # noqa: BLE001 - the caller gets the response all the same
                report("watching the response of a stream", mistake)
        return response

    def __getattr__(self, name: str) -> Any:
        """An attribute of the client's stream. A public method of it is one of the proxy.

        Some methods read the whole stream, such as `get_final_result()` of agents' sessions, and
        some return the stream itself. Both are to go through the proxy.
        """
        stream = self.__wrapped__
        value = getattr(stream, name)  # older streams of Orq's have no `close`
        if name in {"close", "aclose"}:  # newer clients have both
            closing = _closing_soon if hasattr(stream, "__anext__") else _closing
            return closing(value, self._self_call)
        try:
            is_method = type(value) is MethodType and value.__self__ is stream
            return MethodType(value.__func__, self) if is_method and name[0] != "_" else value
        except Exception as mistake:  # noqa: BLE001 - the consumer gets the client's own
            report("handing out a method of a stream", mistake)
            return value


class StreamProxy(_Proxy):
    """A synchronous stream."""

    def __iter__(self) -> Any:
        stream = self.__wrapped__
        inner = iter(stream)
        try:
            return Iteration(inner, passed_on(stream, "__iter__"), self._self_call)
        except Exception as mistake:  # noqa: BLE001 - the consumer gets the client's iterator
            report("reading a stream along", mistake)
            return inner

    def __next__(self) -> Any:
        items: Any = self._self_items
        if items is None:
            items = iter(self)
            object.__setattr__(self, "_self_items", items)
        return next(items)

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        try:
            result = self.__wrapped__.__exit__(*exc_info)
        except BaseException as error:
            over(self._self_call, error, exc_info)
            raise
        over(self._self_call)
        return result


class AsyncStreamProxy(_Proxy):
    """An asynchronous stream."""

    def __aiter__(self) -> Any:
        stream = self.__wrapped__
        inner = aiter(stream)
        try:
            return AsyncIteration(inner, passed_on(stream, "__aiter__"), self._self_call)
        except Exception as mistake:  # noqa: BLE001 - the consumer gets the client's iterator
            report("reading a stream along", mistake)
            return inner

    async def __anext__(self) -> Any:
        items: Any = self._self_items
        if items is None:
            items = aiter(self)
            object.__setattr__(self, "_self_items", items)
        return await items.__anext__()

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> Any:
        try:
            result = await self.__wrapped__.__aexit__(*exc_info)
        except BaseException as error:
            over(self._self_call, error, exc_info)
            raise
        over(self._self_call)
        return result


class _Body(Proxy):
    """The body of an HTTP response, whose closing ends the call. The call is not kept alive.

    Not so if the stream closes it, or the response does at the end of the body: then the stream's
    iterator is about to end, or to raise what went wrong. `insiders` are their modules.
    """

    _self_call: weakref.ref[Call]
    _self_insiders: tuple[str, ...]

    def __init__(self, body: Any, call: Call, insiders: tuple[str, ...]) -> None:
        super().__init__(body)
        self._self_call = weakref.ref(call)
        self._self_insiders = insiders


class Body(_Body):
    """A synchronous one."""

    def __iter__(self) -> Any:
        return iter(self.__wrapped__)

    def close(self) -> None:
        """Close the body. The response's own `close` calls it."""
        reading = None if is_called_from(self._self_insiders) else self._self_call()
        _closing(self.__wrapped__.close, reading)()


class AsyncBody(_Body):
    """An asynchronous one."""

    def __aiter__(self) -> Any:
        return aiter(self.__wrapped__)

    async def aclose(self) -> None:
        """Close the body. The response's own `aclose` calls it."""
        reading = None if is_called_from(self._self_insiders) else self._self_call()
        await _closing_soon(self.__wrapped__.aclose, reading)()


class _Iteration:
    """An iterator of a stream, which reads each item along.

    It has the type, the attributes and the methods of the client's own iterator, most often a
    generator. Its items come from a generator of ours, without another frame in between.

    That generator alone would not do. An asynchronous one that is dropped stays until its event
    loop closes it, and cannot tell that from being closed on purpose. This object is freed at once
    when it is dropped, and the call with it.
    """

    __slots__ = ()

    _inner: Any
    _items: Any
    _reading: Reading

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._inner.__class__

    def __repr__(self) -> str:
        return repr(self._inner)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._inner.__reduce_ex__(protocol)


class Iteration(_Iteration, chain):  # type: ignore[type-arg]
    """A synchronous iterator. As a `chain` of one generator it costs next to nothing."""

    __slots__ = ("__weakref__", "_inner", "_items", "_reading")

    def __new__(cls, inner: Any, items: Any, reading: Reading) -> Iteration:
        """Make an iterator in the place of `inner`, the client's, that `reading` reads along.

        If all that `inner` does is to pass on the items of another iterator, `items` are that one.
        """
        items = _chunks(inner if items is None else items, weakref.ref(reading))
        self = chain.__new__(cls, items)
        self._inner, self._items, self._reading = inner, items, reading
        return self

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name == "send":
            return self._items.send
        return _closing(value, self._reading, self._items) if name in _LEAVING else value


class AsyncIteration(_Iteration):
    """An asynchronous iterator. The generator's own `__anext__` is in a slot, to save a call."""

    __slots__ = ("__anext__", "__weakref__", "_inner", "_items", "_reading")

    def __init__(self, inner: Any, items: Any, reading: Reading) -> None:
        self._inner, self._reading = inner, reading
        self._items = _async_chunks(inner if items is None else items, weakref.ref(reading))
        self.__anext__ = self._items.__anext__

    def __aiter__(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name == "asend":
            return self._items.asend
        return _closing_soon(value, self._reading, self._items) if name in _LEAVING else value


def over(
    reading: Reading | None, error: BaseException | None = None, thrown: tuple[Any, ...] = ()
) -> None:
    """End `reading`, if somebody still reads along, since its consumer has left the stream.

    That the consumer is cancelled as the stream is closed is no error of the stream, and what it
    has `thrown` into the stream is none either.
    """
    try:
        if reading is None:
            return
        is_own = any(error is one or type(error) is one for one in thrown)
        if isinstance(error, Exception) and not is_own:
            reading.fail(error)
        else:
            reading.end()
    except Exception as mistake:  # noqa: BLE001 - the consumer goes on
        report("ending the span of a stream", mistake)


def _closing(
    method: Callable[..., Any], reading: Reading | None, items: Any = None
) -> Callable[..., Any]:
    """Wrap `method`, by which a stream or an iterator is left, so that it ends `reading`, too.

    `items` is a generator of ours, which is closed as well.
    """

    @functools.wraps(method)
    def close(*args: Any, **kwargs: Any) -> Any:
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            over(reading, error, args)
            raise
        else:
            over(reading)
            return result
        finally:
            if items is not None:
                items.close()

    return close


def _closing_soon(
    method: Callable[..., Any], reading: Reading | None, items: Any = None
) -> Callable[..., Any]:
    """The same for an asynchronous method."""

    @functools.wraps(method)
    async def close(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await method(*args, **kwargs)
        except BaseException as error:
            over(reading, error, args)
            raise
        else:
            over(reading)
            return result
        finally:
            if items is not None:
                await items.aclose()

    return close


def _chunks(items: Iterable[Any], reading: weakref.ref[Reading]) -> Generator[Any, Any, None]:
    """The items of a stream, each read along.

    Nobody calls `throw` on this generator, so what is raised in it comes from the stream.
    """
    inner = None
    try:
        inner = iter(items)
        while (chunk := next(inner, _NONE)) is not _NONE:
            feed: Callable[[Any], object] = ignore
            try:  # the first of a block
                feed = _feeder(reading(), chunk)
                feed(chunk)
            except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                report("reading a chunk of a stream", error)
            yield chunk
            for chunk in islice(inner, CHUNKS_TO_COMPACT - 1):  # counting would cost time
                try:
                    feed(chunk)
                except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                    report("reading a chunk of a stream", error)
                yield chunk
    except GeneratorExit:  # the consumer left the iterator, and may read the stream on later
        raise
    except BaseException as error:
        if not _is_read_elsewhere(error, getattr(inner, "gi_frame", None)):
            _end(reading(), error)
        raise
    _end(reading())


def _feeder(reading: Any, chunk: Any) -> Callable[[Any], object]:
    """The function that reads `chunk`, the first of a block, and those after it.

    Users who make a request of their own may ask for plain JSON, such as with `Stream[object]`. It
    is read as namespaces, as the bodies of raw responses are.
    """
    feed: Callable[[Any], object] = reading.feeder()
    return (lambda plain: feed(as_namespaces(plain))) if type(chunk) is dict else feed


async def _async_chunks(
    inner: AsyncIterator[Any], reading: weakref.ref[Reading]
) -> AsyncGenerator[Any, Any]:
    """The same for an asynchronous stream.

    Here something can be raised at a `yield`: an event loop that ends cancels the closing of a
    generator that was dropped. That is no error of the stream.
    """
    chunk, feed, count = _NONE, None, 0
    try:
        async for chunk in inner:
            try:
                if feed is None:
                    feed = _feeder(reading(), chunk)
                feed(chunk)
            except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                report("reading a chunk of a stream", error)
            count += 1
            if count % CHUNKS_TO_COMPACT == 0:
                feed = None
            yield chunk
            chunk = _NONE  # noqa: PLW2901 - the consumer is done with it
    except GeneratorExit:  # as above
        raise
    except BaseException as error:
        is_of_stream = not _is_read_elsewhere(error, getattr(inner, "ag_frame", None))
        if chunk is _NONE and is_of_stream:
            _end(reading(), error)
        raise
    _end(reading())


def _is_read_elsewhere(error: BaseException, frame: Any) -> bool:
    """Whether Python raised `error` since somebody else is reading the stream, who will end it.

    The frame is that of the stream's generator. One that has raised an error itself has none.
    """
    return isinstance(error, (ValueError, RuntimeError)) and frame is not None


def _end(reading: Reading | None, error: BaseException | None = None) -> None:
    """End `reading`: its stream was read to its end, or failed with `error`."""
    try:
        if reading is None:
            return
        if error is None:
            reading.finish()
        else:
            reading.fail(error)
    except Exception as mistake:  # noqa: BLE001 - the consumer gets the end, or the stream's error
        report("ending the span of a stream", mistake)
