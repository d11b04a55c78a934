"""Raw and streaming responses: read along with the caller, never before.

`with_raw_response` and `with_streaming_response` hand out the HTTP response. Its body is the
caller's to read, in any of many ways, or not at all. The proxy here has every attribute of the
response, looks at what passes through, and ends the call's span with it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

from orq_otel.genai.call import Call
from orq_otel.genai.fields import parse_json
from orq_otel.genai.proxies import Proxy
from orq_otel.genai.streams import stream_proxy
from orq_otel.guard import report

_ITERATORS = frozenset({"iter_bytes", "iter_text", "aiter_bytes", "aiter_text"})
_LINE_ITERATORS = frozenset({"iter_lines", "aiter_lines"})
_BLIND_ITERATORS = frozenset({"iter_raw", "aiter_raw"})  # compressed, perhaps
_READERS = frozenset({"read", "aread", "text", "json"})
_CLOSERS = frozenset({"close", "aclose"})
_WRITERS = frozenset({"stream_to_file"})  # they read in themselves, past the proxy

#: Bodies that say nothing of the call: speech.
_OPAQUE = ("audio/", "application/octet-stream")

#: Of larger bodies only the end is noticed.
_MAX_BODY = 4 * 1024 * 1024


class Body:
    """Reads a body along, JSON or server-sent events, and ends the call with it.

    A body may also be plain text or sound. Only its end is noticed then.
    """

    def __init__(self, call: Call, response: Any) -> None:
        self._call = call
        kind = response.headers.get("content-type", "")
        self._is_events = "event-stream" in kind
        self._is_opaque = kind.startswith(_OPAQUE)
        self._pieces: list[bytes] = []
        self._length = 0
        self._data: list[bytes] = []

    def feed(self, piece: str | bytes) -> None:
        """Take in the next piece of the body."""
        if self._is_opaque or self._length > _MAX_BODY:
            return
        if isinstance(piece, str):
            piece = piece.encode(errors="replace")
        self._pieces.append(piece)
        self._length += len(piece)
        if self._is_events and (b"\n" in piece or b"\r" in piece):
            lines = b"".join(self._pieces).splitlines(keepends=True)
            rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
            self._pieces, self._length = [rest], len(rest)
            for line in lines:
                self._take(line.rstrip(b"\r\n"))

    def finish(self) -> None:
        """The body was read to its end."""
        content = b"" if self._is_events else b"".join(self._pieces).lstrip()
        if content.startswith(b"{"):
            self._call.respond(parse_json(content))
        else:
            self._call.end()

    def _take(self, line: bytes) -> None:
        """Take in a line of server-sent events, as the client does: an empty one ends an event.

        Source: https://html.spec.whatwg.org/multipage/server-sent-events.html.
        """
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            data, self._data = b"\n".join(self._data).strip(), []
            if data.startswith(b"[DONE]"):
                self._is_opaque = True  # the client looks no further either
            else:
                with suppress(ValueError):  # an event that is none
                    self._call.feed(parse_json(data))


def respond_with_body(call: Call, response: Any) -> None:
    """End the call with an HTTP response whose body was read already."""
    try:
        body = Body(call, response)
        body.feed(response.content)
        body.finish()
    except Exception as error:  # noqa: BLE001 - a body that is not what it says
        report("reading a raw response", error)
        call.end()


class RawResponseProxy(Proxy):
    """A client's raw or streaming response, or the HTTP response inside it."""

    _self_call: Call
    _self_inner: Any

    def __init__(self, response: Any, call: Call) -> None:
        super().__init__(response)
        self._self_call = call
        self._self_inner = None

    def __getattr__(self, name: str) -> Any:  # noqa: PLR0911 - one for each kind of name
        value = getattr(self.__wrapped__, name)
        if name == "http_response":
            return self._self_proxy(value, RawResponseProxy)
        if not callable(value):
            return value
        if name == "parse":
            return functools.partial(self._self_run, value, self._self_parsed)
        if name in _READERS:
            return functools.partial(self._self_run, value, self._self_was_read)
        if name in _CLOSERS or name in _WRITERS:
            return functools.partial(self._self_run, value, self._self_was_closed)
        if name in _ITERATORS:
            return functools.partial(self._self_iterate, value, "")
        if name in _LINE_ITERATORS:
            return functools.partial(self._self_iterate, value, "\n")
        if name in _BLIND_ITERATORS:
            return functools.partial(self._self_iterate, value, None)
        return value

    def _self_run(
        self, method: Callable[..., Any], then: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            self._self_call.fail(error)
            raise
        if inspect.iscoroutine(result):
            return self._self_await(result, then, kwargs)
        return then(result, **kwargs)

    async def _self_await(
        self, result: Any, then: Callable[..., Any], kwargs: dict[str, Any]
    ) -> Any:
        try:
            result = await result
        except BaseException as error:
            self._self_call.fail(error)
            raise
        return then(result, **kwargs)

    def _self_parsed(self, result: Any, /, to: Any = None, **_: Any) -> Any:
        call = self._self_call
        if hasattr(type(result), "__stream__"):
            return self._self_proxy(result, stream_proxy)
        if to is None and not isinstance(result, (str, bytes)):
            call.respond(result)
        else:
            respond_with_body(call, self._self_http())
        return result

    def _self_proxy(self, inner: Any, make: Callable[[Any, Call], Any]) -> Any:
        """The proxy of what is inside, the same each time."""
        known = self._self_inner
        if known is None or known.__wrapped__ is not inner:
            known = self._self_inner = make(inner, self._self_call)
        return known

    def _self_was_read(self, result: Any, /, **_: Any) -> Any:
        respond_with_body(self._self_call, self._self_http())
        return result

    def _self_was_closed(self, result: Any, /, **_: Any) -> Any:
        self._self_call.end()
        return result

    def _self_http(self) -> Any:
        return getattr(self.__wrapped__, "http_response", self.__wrapped__)

    def _self_iterate(
        self, method: Callable[..., Any], ending: str | None, /, *args: Any, **kwargs: Any
    ) -> Any:
        pieces = method(*args, **kwargs)
        body = None if ending is None else Body(self._self_call, self._self_http())
        if hasattr(pieces, "__aiter__"):
            return _read_along_async(self._self_call, pieces, body, ending)
        return _read_along(self._self_call, pieces, body, ending)


def _read_along(
    call: Call, pieces: Iterator[Any], body: Body | None, ending: str | None
) -> Iterator[Any]:
    try:
        for piece in pieces:
            _look(body, piece, ending)
            yield piece
    except GeneratorExit:  # the caller looked away; closing the response ends the call
        raise
    except BaseException as error:
        call.fail(error)
        raise
    _finish(call, body)


async def _read_along_async(
    call: Call, pieces: AsyncIterator[Any], body: Body | None, ending: str | None
) -> AsyncIterator[Any]:
    try:
        async for piece in pieces:
            _look(body, piece, ending)
            yield piece
    except GeneratorExit:  # the caller looked away; closing the response ends the call
        raise
    except BaseException as error:
        call.fail(error)
        raise
    _finish(call, body)


def _look(body: Body | None, piece: Any, ending: str | None) -> None:
    if body is None:
        return
    try:
        body.feed(piece + ending if ending else piece)
    except Exception as error:  # noqa: BLE001 - a body that is not what it says
        report("reading a raw response", error)


def _finish(call: Call, body: Body | None) -> None:
    try:
        if body is not None:
            body.finish()
    except Exception as error:  # noqa: BLE001 - a body that is not what it says
        report("reading a raw response", error)
    call.end()
