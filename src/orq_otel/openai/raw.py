"""Raw and streaming responses: their bodies are read along with the caller, never before.

`with_raw_response` and `with_streaming_response` return the HTTP response. The caller reads its
body, in one of many ways, or not at all. The proxy here has every attribute of the response, reads
what passes through, and ends the call's span when the body ends or is closed.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from codecs import BOM_UTF8
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from orq_otel.foundations.guard import report
from orq_otel.foundations.unfinished import watch
from orq_otel.genai.call import Call, ignore
from orq_otel.genai.fields import safe_text
from orq_otel.genai.long_json import LongJson, parse_long_json
from orq_otel.genai.streams import Proxy, iterate, stream_proxy
from orq_otel.openai.requests import EVENTS, content_type, has_events

#: The methods of a response that read or leave its body, with that of the proxy which comes next.
_NEXT: Final = {
    "parse": "_self_parsed",
    **dict.fromkeys(("read", "aread", "text", "json"), "_self_was_read"),
    **dict.fromkeys(("close", "aclose"), "_self_was_closed"),
    "stream_to_file": "_self_was_written",  # it reads the body past the proxy
}
#: Those that iterate over it, with what they remove from each piece. None for pieces that may be
#: compressed, and so are not read along.
_ENDINGS: Final = {
    **dict.fromkeys(("iter_bytes", "iter_text", "aiter_bytes", "aiter_text"), ""),
    **dict.fromkeys(("iter_lines", "aiter_lines"), "\n"),
    **dict.fromkeys(("iter_raw", "aiter_raw"), None),
}

#: The header in which Azure names the model that answered.
_SERVED_MODEL = "x-ms-served-model"

#: How far into a body its first character is looked for.
_START = 1000

#: How JSON begins that is read. Some servers have the mark of UTF-8 before it, which JSON's parser
#: takes, and so does the client.
_OPENING: Final = (b"{", b"[", BOM_UTF8 + b"{", BOM_UTF8 + b"[")

#: The content type of bodies without attributes: speech.
_OPAQUE: Final = "audio/"
#: That of anything: speech too, but also JSON or events from servers that name no better one.
_BINARY: Final = "application/octet-stream"
#: How events begin: with the name of a field, of which the first piece may be short, or a comment.
_FIELDS: Final = (b"d", b"e", b"i", b"r", b":")


class Body:
    """Reads a body as it comes, JSON or server-sent events, and ends the call with it.

    Some servers give events another content type, or none, and clients read them all the same. Of
    any other body, such as plain text or sound, only the end is noticed. The events may be read by
    somebody else (`is_read`).
    """

    def __init__(self, call: Call, response: Any, *, is_read: bool = False) -> None:
        self._call = call
        self._is_read = is_read
        kind = content_type(response)
        self._is_events = EVENTS in kind
        if self._is_events:
            call.read_skipped = None
        self._is_opaque = kind.startswith(_OPAQUE)
        self._is_binary = kind.startswith(_BINARY)
        self._is_page = kind.startswith("text/html")
        self._json = LongJson()  # the body, or the data of an event
        self._has_begun = False
        self._start = b""  # of a line, too short to tell whether the line is data
        self._in_line = False
        self._is_data = False
        self._after_cr = False

    def feed(self, piece: str | bytes) -> None:
        """Take in the next piece of the body."""
        if self._is_opaque:
            return
        if isinstance(piece, str):
            piece = piece.encode(errors="replace")
        if self._is_events:
            self._feed_lines(piece)
        elif self._has_begun:
            self._json.add(piece)
        elif piece := piece.lstrip():
            if piece.startswith(_OPENING):
                self._has_begun = True
                self._json.add(piece)
            elif self._is_read or (self._is_binary and not piece.startswith(_FIELDS)):
                self._is_opaque = True
            else:
                self._is_events = True
                self._feed_lines(piece)

    def finish(self) -> None:
        """End the call: the body was read to its end."""
        _end(self._call, "" if self._is_page else self.answer())

    def answer(self) -> Any:
        """The body as namespaces, or None if it is no JSON."""
        is_json = self._has_begun and not self._is_events
        return self._json.parse() if is_json else None

    def _feed_lines(self, piece: bytes) -> None:
        """Take in lines of server-sent events. CR, LF or CRLF ends a line, even if split by pieces.

        Source: https://html.spec.whatwg.org/multipage/server-sent-events.html.
        """
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        for line in piece.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            is_whole = len(text) < len(line)
            self._take(text, is_whole=is_whole)
            self._after_cr = is_whole and line.endswith(b"\r")

    def _take(self, text: bytes, *, is_whole: bool) -> None:
        """Take in a line, or the next part of one, as the client does: an empty line ends an event.

        Lines without data are dropped.
        """
        if not self._in_line:
            text = self._start + text
            self._start = b""
            if not is_whole and len(text) <= len(b"data:"):
                self._start = text
                return
            if not text:
                self._end_event()
                return
            self._is_data = text.startswith(b"data:")
            if self._is_data:
                text = text[5:].removeprefix(b" ")
                if self._has_begun:
                    text = b"\n" + text
                self._has_begun = True
        if self._is_data:
            self._json.add(text)
        self._in_line = not is_whole

    def _end_event(self) -> None:
        if not self._has_begun:
            return
        data, self._json, self._has_begun = self._json, LongJson(), False
        if data.starts_with(b"[DONE]"):
            self._is_opaque = True  # the client stops reading here, too
            return
        event = data.parse()
        if event is not None:  # the client raises for what is not JSON
            self._call.feed(event)


class _Aside:
    """Reads a body along that the client reads as a stream of events, and so skips.

    The call ends with the stream.
    """

    __slots__ = ("__weakref__", "_body")

    def __init__(self, body: Body) -> None:
        self._body = body

    def feeder(self) -> Callable[[Any], object]:
        """The function that takes in each piece."""
        return self._body.feed

    def finish(self) -> None:
        """The body was read to its end."""

    def end(self) -> None:
        """The client stopped reading."""

    def fail(self, error: BaseException, /) -> None:
        """Reading the body raised an error, which the stream's consumer gets."""


def event_stream(stream: Any, call: Call) -> Any:
    """A proxy of a stream, which ends `call`."""
    if not has_events(stream.response):
        return other_stream(stream, call)
    call.read_skipped = None
    return stream_proxy(stream, call)


def other_stream(stream: Any, call: Call) -> Any:
    """A proxy of a stream whose response says that it has no events.

    What comes in their place, such as an error or a whole answer, the client skips. It is read for
    the call, unless events come all the same.
    """
    try:
        response = stream.response
        body = Body(weakref.proxy(call), response, is_read=True)  # no cycle: the call keeps it
        call.read_skipped = body.answer
        for name in ("iter_bytes", "aiter_bytes"):
            setattr(response, name, _read_aside(getattr(response, name), body))
    except Exception as mistake:  # noqa: BLE001 - the caller gets the stream all the same
        report("watching the body of a stream", mistake)
    return stream_proxy(stream, call)


def _read_aside(method: Callable[..., Any], body: Body) -> Callable[..., Any]:
    """Wrap a method of a response that iterates over its body."""

    @functools.wraps(method)
    def iterate_aside(*args: Any, **kwargs: Any) -> Any:
        return iterate(method(*args, **kwargs), _Aside(body))

    return iterate_aside


def read_body(response: Any) -> Any:
    """The body of an HTTP response that has been read: its JSON as namespaces, or a text, or None.

    A text may be the page of a server that has no API under this address.
    """
    content, kind = response.content, content_type(response)
    if not kind.startswith(_OPAQUE) and content.lstrip().startswith(_OPENING):
        return parse_long_json(content)
    return response.text if kind.startswith("text/") else None


@lru_cache(maxsize=256)
def is_unparsed(kind: type) -> bool:
    """Whether results of a type are bodies as they came: texts, bytes or HTTP responses."""
    return issubclass(kind, (str, bytes)) or hasattr(kind, "iter_bytes")


def parsed(result: Any) -> Any:
    """A body that the client hands out unparsed as a namespace, or as it is if it is no JSON."""
    content = getattr(result, "content", result)
    is_object = content[:_START].lstrip()[:1] in ("{", b"{")
    answer = parse_long_json(content) if is_object else None
    return result if answer is None else answer


def served_model(sent: Any) -> str | None:
    """The model that answered, by the headers of a response from Azure, or None.

    The body may name the deployment instead, or a router that chose a model. The conventions want
    "the exact name of the model actually used". The header is what the official instrumentation
    reads, too. Of a response that the client has parsed at once, there are no headers: then this
    gets the options of the request.
    """
    headers = sent.headers
    if not headers or type(headers) is dict:  # the request's
        return None
    name: str = headers.get(_SERVED_MODEL, "").strip()
    return safe_text(name) if name else None


def respond_with_body(call: Call, response: Any) -> None:
    """End the call with an HTTP response whose body has been read."""
    body = None
    try:
        if has_events(response):
            Body(call, response).feed(response.content)
        else:
            body = read_body(response)
    except Exception as error:  # noqa: BLE001 - the body is not of its content type
        report("reading a raw response", error)
    finally:
        _end(call, body)


def _end(call: Call, body: Any) -> None:
    if body is None:
        call.finish()
    else:
        call.respond(body)


class RawResponseProxy(Proxy):
    """A client's raw or streaming response, or the HTTP response inside it."""

    _self_call: Call
    _self_inner: Any

    def __init__(self, response: Any, call: Call) -> None:
        super().__init__(response)
        self._self_call = call
        self._self_inner = None
        watch(call)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if name == "http_response":
            return self._self_proxy(value, RawResponseProxy)
        if not callable(value):
            return value
        if name in _NEXT:
            return partial(self._self_run, value, getattr(self, _NEXT[name]))
        return partial(self._self_iterate, value, _ENDINGS[name]) if name in _ENDINGS else value

    def _self_run(
        self, method: Callable[..., Any], then: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            result = method(*args, **kwargs)
        except BaseException as error:
            self._self_fail(error)
            raise
        if inspect.iscoroutine(result):
            return self._self_await(result, then, kwargs)
        try:
            return then(result, **kwargs)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the result all the same
            report("reading a raw response", mistake)
            return result

    async def _self_await(
        self, result: Any, then: Callable[..., Any], kwargs: dict[str, Any]
    ) -> Any:
        try:
            result = await result
        except BaseException as error:
            self._self_fail(error)
            raise
        try:
            return then(result, **kwargs)
        except Exception as mistake:  # noqa: BLE001 - the same
            report("reading a raw response", mistake)
            return result

    def _self_fail(self, error: BaseException) -> None:
        try:
            self._self_call.fail(error)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the client's error
            report("ending the span of a raw response", mistake)

    def _self_parsed(self, result: Any, /, to: Any = None, **_: Any) -> Any:
        call = self._self_call
        if hasattr(type(result), "__stream__"):
            return self._self_proxy(result, event_stream)
        if to is None and not isinstance(result, (str, bytes)):
            call.respond(result)
        else:
            respond_with_body(call, self._self_http())
        return result

    def _self_proxy(self, inner: Any, make: Callable[[Any, Call], Any]) -> Any:
        """The proxy of the stream or response inside, the same one each time."""
        proxy = self._self_inner
        if proxy is None or proxy.__wrapped__ is not inner:
            proxy = self._self_inner = make(inner, self._self_call)
        return proxy

    def _self_was_read(self, result: Any, /, **_: Any) -> Any:
        respond_with_body(self._self_call, self._self_http())
        return result

    def _self_was_closed(self, result: Any, /, **_: Any) -> Any:
        self._self_call.end()
        return result

    def _self_was_written(self, result: Any, /, **_: Any) -> Any:
        self._self_call.finish()
        return result

    def _self_http(self) -> Any:
        return getattr(self.__wrapped__, "http_response", self.__wrapped__)

    def _self_iterate(
        self, method: Callable[..., Any], ending: str | None, /, *args: Any, **kwargs: Any
    ) -> Any:
        pieces = method(*args, **kwargs)
        try:
            call = self._self_call
            # A proxy, since the iterator's generator must not keep the call alive.
            body = None if ending is None else Body(weakref.proxy(call), self._self_http())
            return iterate(pieces, _BodyIteration(call, body, ending))
        except Exception as mistake:  # noqa: BLE001 - the caller gets the pieces all the same
            report("reading a raw response", mistake)
            return pieces


class _BodyIteration:
    """One iteration over the pieces of a body, or only up to its end if nobody reads it along.

    `ending` is what an iterator of lines has removed from each line.
    """

    __slots__ = ("__weakref__", "_body", "_call", "_ending")

    def __init__(self, call: Call, body: Body | None, ending: str | None) -> None:
        self._call = call
        self._body = body
        self._ending = ending

    def feeder(self) -> Callable[[Any], object]:
        """The function that takes in each piece."""
        body, ending = self._body, self._ending
        if body is None:
            return ignore
        if not ending:
            return body.feed
        return lambda piece: body.feed(piece + ending)

    def finish(self) -> None:
        """End the call: the body was read to its end."""
        try:
            if self._body is not None:
                self._body.finish()
        except Exception as error:  # noqa: BLE001 - the body is not of its content type
            report("reading a raw response", error)
        finally:
            self._call.finish()

    def end(self) -> None:
        """End the call: the caller stopped reading."""
        self._call.end()

    def fail(self, error: BaseException) -> None:
        """End the call: reading the body raised `error`."""
        self._call.fail(error)
