"""Transparent proxies of a client's streams, which end the call's span when the stream is over.

A proxy has the type and every attribute of the stream. It is over when it is exhausted, fails, is
closed or its `with` block is left, and as soon as neither it nor an iterator of it is referenced
any more: then the call goes, which ends itself. One that is kept can be read on after a `break`. No
token of OpenTelemetry's context is held while the consumer runs.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from itertools import chain, islice
from typing import Any, Final, Protocol

from orq_otel.foundations.guard import report
from orq_otel.foundations.reaches import passed_on
from orq_otel.foundations.unfinished import watch
from orq_otel.genai.call import Call
from orq_otel.genai.proxies import Proxy

#: Chunks after which what takes them in is asked for again.
_MANY: Final = 256
_NONE: Final = object()

#: Methods of an iterator that end it.
_LEAVING: Final = frozenset({"close", "throw", "aclose", "athrow"})


class Reading(Protocol):
    """What reads a stream along: a call, or the body of a raw response."""

    def feeder(self) -> Callable[[Any], object]:
        """What takes in each chunk. It may raise.

        Asked for with the first one, and now and then: what was taken in can be made small then.
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


def iterate(inner: Any, reading: Reading, items: Any = None) -> Any:
    """An iterator in the place of `inner`, synchronous or asynchronous as it is.

    Args:
        inner: The client's iterator.
        reading: What reads it along.
        items: An iterator whose items `inner` passes on as they are, if it does only that.
    """
    kind = AsyncIteration if hasattr(inner, "__anext__") else Iteration
    return kind(inner, inner if items is None else items, reading)


class _Proxy(Proxy):
    """What both kinds of streams share."""

    _self_call: Call
    _self_items: Any = None
    _self_response: Any = None

    def __init__(self, stream: Any, call: Call) -> None:
        super().__init__(stream)
        self._self_call = call

    @property
    def response(self) -> Any:
        """The HTTP response. The client's own stream helpers close it instead of the stream."""
        if self._self_response is None:
            self._self_response = ClosingProxy(self.__wrapped__.response, self._self_call)
        return self._self_response


class StreamProxy(_Proxy):
    """A synchronous stream."""

    def __iter__(self) -> Any:
        inner = iter(self.__wrapped__)
        try:
            items = passed_on(self.__wrapped__, "__iter__")
            return iterate(inner, self._self_call, items)
        except Exception as mistake:  # noqa: BLE001 - the consumer gets the client's iterator
            report("reading a stream along", mistake)
            return inner

    def __next__(self) -> Any:
        if self._self_items is None:
            self._self_items = iter(self)
        return next(self._self_items)

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        try:
            return self.__wrapped__.__exit__(*exc_info)
        finally:
            over(self._self_call)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)  # older streams of Orq's have no `close`
        return _closing(value, self._self_call) if name == "close" else value


class AsyncStreamProxy(_Proxy):
    """An asynchronous stream."""

    def __aiter__(self) -> Any:
        inner = aiter(self.__wrapped__)
        try:
            items = passed_on(self.__wrapped__, "__aiter__")
            return iterate(inner, self._self_call, items)
        except Exception as mistake:  # noqa: BLE001 - the consumer gets the client's iterator
            report("reading a stream along", mistake)
            return inner

    async def __anext__(self) -> Any:
        if self._self_items is None:
            self._self_items = aiter(self)
        return await self._self_items.__anext__()

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> Any:
        try:
            return await self.__wrapped__.__aexit__(*exc_info)
        finally:
            over(self._self_call)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)  # newer clients have `aclose` as well
        return _closing_soon(value, self._self_call) if name in {"close", "aclose"} else value


class ClosingProxy(Proxy):
    """An HTTP response of which only the end matters. It does not keep the call."""

    _self_call: weakref.ref[Call]

    def __init__(self, response: Any, call: Call) -> None:
        super().__init__(response)
        self._self_call = weakref.ref(call)

    def close(self) -> None:
        """Close the response, and with it the call's span."""
        try:
            self.__wrapped__.close()
        finally:
            over(self._self_call())

    async def aclose(self) -> None:
        """Close the response, and with it the call's span."""
        try:
            await self.__wrapped__.aclose()
        finally:
            over(self._self_call())


class _Iteration:
    """An iterator of a stream, which reads it along.

    It has the type, the attributes and the methods of the client's own iterator, most often a
    generator. Its items come from a generator of ours, without another frame in between. That
    generator alone would not do: an asynchronous one that is dropped stays until its event loop
    closes it, and closing one on purpose is not told from dropping it. This object goes at once,
    and the call with it.
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
    """A synchronous iterator: a chain of one generator costs next to nothing."""

    __slots__ = ("__weakref__", "_inner", "_items", "_reading")

    def __new__(cls, inner: Any, items: Any, reading: Reading) -> Iteration:
        """Chain the items of `inner`, which `reading` reads along."""
        items = _chunks(items, weakref.ref(reading))
        self = super().__new__(cls, items)
        self._inner, self._items, self._reading = inner, items, reading
        return self

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name == "send":
            return self._items.send
        return _closing(value, self._reading, self._items) if name in _LEAVING else value


class AsyncIteration(_Iteration):
    """An asynchronous iterator, with the generator's own method in a slot."""

    __slots__ = ("__anext__", "__weakref__", "_inner", "_items", "_reading")

    def __init__(self, inner: Any, items: Any, reading: Reading) -> None:
        self._inner, self._reading = inner, reading
        self._items = _async_chunks(items, weakref.ref(reading))
        self.__anext__ = self._items.__anext__

    def __aiter__(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name == "asend":
            return self._items.asend
        return _closing_soon(value, self._reading, self._items) if name in _LEAVING else value


def over(reading: Reading | None) -> None:
    """End what reads a stream that its consumer leaves."""
    try:
        if reading is not None:
            reading.end()
    except Exception as mistake:  # noqa: BLE001 - the consumer goes on
        report("ending the span of a stream", mistake)


def _closing(method: Callable[..., Any], reading: Reading, items: Any = None) -> Callable[..., Any]:
    """A stream's or an iterator's `close`, which leaves it, and has no more items."""

    @functools.wraps(method)
    def close(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        finally:
            over(reading)
            if items is not None:
                items.close()

    return close


def _closing_soon(
    method: Callable[..., Any], reading: Reading, items: Any = None
) -> Callable[..., Any]:
    """The same of an asynchronous one."""

    @functools.wraps(method)
    async def close(*args: Any, **kwargs: Any) -> Any:
        try:
            return await method(*args, **kwargs)
        finally:
            over(reading)
            if items is not None:
                await items.aclose()

    return close


def _chunks(inner: Iterator[Any], known: weakref.ref[Reading]) -> Generator[Any, Any, None]:
    """The items of `inner`. Nothing can be thrown in: what is raised here comes from there."""
    chunk: Any = inner  # none of its items
    try:
        while chunk is not _NONE:
            chunk, feed = _NONE, None
            for chunk in islice(inner, _MANY):  # not counted, which each chunk would pay for
                try:
                    if feed is None:
                        feed = known().feeder()  # type: ignore[union-attr]  # the iteration has it
                    feed(chunk)
                except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                    report("reading a chunk of a stream", error)
                yield chunk
    except GeneratorExit:  # the consumer looked away; it may go on with the stream later
        raise
    except BaseException as error:
        _end(known(), error)
        raise
    _end(known())


async def _async_chunks(
    inner: AsyncIterator[Any], known: weakref.ref[Reading]
) -> AsyncGenerator[Any, Any]:
    """The same. An event loop that ends may throw in that closing a dropped one is cancelled."""
    chunk, feed, count = _NONE, None, 0
    try:
        async for chunk in inner:
            try:
                if feed is None:
                    feed = known().feeder()  # type: ignore[union-attr]  # the iteration has it
                feed(chunk)
            except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                report("reading a chunk of a stream", error)
            count += 1
            if count % _MANY == 0:
                feed = None
            yield chunk
            chunk = _NONE  # noqa: PLW2901 - the consumer has it no more
    except GeneratorExit:  # the same
        raise
    except BaseException as error:
        if chunk is _NONE:
            _end(known(), error)
        raise
    _end(known())


def _end(reading: Reading | None, error: BaseException | None = None) -> None:
    """End what reads a stream that was read to its end, or that broke."""
    try:
        if reading is None:
            return
        if error is None:
            reading.finish()
        else:
            reading.fail(error)
    except Exception as mistake:  # noqa: BLE001 - the consumer gets the end, or the stream's error
        report("ending the span of a stream", mistake)
