"""Transparent proxies of a client's streams, which end the call's span when the stream is over.

A proxy has the type and every attribute of the stream. It is over when it is exhausted, fails, is
closed or its `with` block is left. If it is just dropped, the call ends when it is collected. No
token of OpenTelemetry's context is held while the consumer runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from orq_otel.genai.call import Call
from orq_otel.genai.proxies import Proxy


def stream_proxy(stream: Any, call: Call) -> Any:
    """A proxy of `stream`, synchronous or asynchronous as it is, that ends `call`."""
    return (AsyncStreamProxy if hasattr(stream, "__anext__") else StreamProxy)(stream, call)


class _Proxy(Proxy):
    """What both kinds of streams share."""

    _self_call: Call
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

    def __iter__(self) -> Iterator[Any]:
        call = self._self_call
        feed = None
        try:
            for chunk in self.__wrapped__:
                try:
                    if feed is None:
                        feed = call.feeder()
                    feed(chunk)
                except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                    call.report_chunk(error)
                yield chunk
        except GeneratorExit:  # the consumer looked away; it may go on with the stream later
            raise
        except BaseException as error:
            call.fail(error)
            raise
        call.end()

    def __next__(self) -> Any:
        try:
            chunk = next(self.__wrapped__)
        except StopIteration:
            self._self_call.end()
            raise
        except BaseException as error:
            self._self_call.fail(error)
            raise
        self._self_call.feed(chunk)
        return chunk

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        try:
            return self.__wrapped__.__exit__(*exc_info)
        finally:
            self._self_call.end()

    def _self_close(self) -> None:
        """Close the stream, and with it the call's span."""
        try:
            self.__wrapped__.close()
        finally:
            self._self_call.end()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)  # older streams of Orq's have no `close`
        return self._self_close if name == "close" else value


class AsyncStreamProxy(_Proxy):
    """An asynchronous stream."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        call = self._self_call
        feed = None
        try:
            async for chunk in self.__wrapped__:
                try:
                    if feed is None:
                        feed = call.feeder()
                    feed(chunk)
                except Exception as error:  # noqa: BLE001 - whatever our reader does wrong
                    call.report_chunk(error)
                yield chunk
        except GeneratorExit:  # the consumer looked away; it may go on with the stream later
            raise
        except BaseException as error:
            call.fail(error)
            raise
        call.end()

    async def __anext__(self) -> Any:
        try:
            chunk = await self.__wrapped__.__anext__()
        except StopAsyncIteration:
            self._self_call.end()
            raise
        except BaseException as error:
            self._self_call.fail(error)
            raise
        self._self_call.feed(chunk)
        return chunk

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> Any:
        try:
            return await self.__wrapped__.__aexit__(*exc_info)
        finally:
            self._self_call.end()

    async def _self_close(self) -> None:
        """Close the stream, and with it the call's span."""
        try:
            await self.__wrapped__.close()
        finally:
            self._self_call.end()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)  # newer clients have `aclose` as well
        return self._self_close if name in {"close", "aclose"} else value


class ClosingProxy(Proxy):
    """An HTTP response of which only the end matters."""

    _self_call: Call

    def __init__(self, response: Any, call: Call) -> None:
        super().__init__(response)
        self._self_call = call

    def close(self) -> None:
        """Close the response, and with it the call's span."""
        try:
            self.__wrapped__.close()
        finally:
            self._self_call.end()

    async def aclose(self) -> None:
        """Close the response, and with it the call's span."""
        try:
            await self.__wrapped__.aclose()
        finally:
            self._self_call.end()
