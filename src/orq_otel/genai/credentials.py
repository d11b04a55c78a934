"""Find the credentials of a call, and take them out of a text.

They are looked for only where a call has failed, in what a client keeps and in what it sent. Some
of that is private to clients and to their HTTP libraries: what is not there is left out.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby, islice
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote_plus, urlsplit
from urllib.request import getproxies_environment

from orq_otel.foundations import reaches
from orq_otel.foundations.guard import is_signals

#: What a credential is replaced by.
MASK: Final = "***"

#: A shorter one says nothing, and would turn any text into stars.
_SHORTEST: Final = 4
#: More than any call has: beyond these no text can be made safe in a short time.
_MOST: Final = 300
_LONGEST: Final = 16_384

#: Of a longer text the rest is left out before anything is looked for in it.
_MOST_TEXT: Final = 4096

#: Headers whose values everybody knows, of traces, and those in which the client says what it is.
_PLAIN_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "baggage",
        "connection",
        "content-length",
        "content-type",
        "host",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "user-agent",
    }
)
_PLAIN_PREFIXES: Final = ("x-stainless-", "sec-websocket-")
#: Parameters of a query that are the API's own.
_PLAIN_PARAMETERS: Final = frozenset({"api-version", "model"})
_PLAIN_VALUES: Final = frozenset({"true", "false", "null", "none"})

#: Fields of a request in which credentials for somebody else are sent along: for MCP servers, say.
_FIELD: Final = re.compile(
    rb'"(?:access_token|api_?key|authorization|client_secret|(headers)|password|secret|token)"\s*:\s*'
)
#: More such fields than any body has.
_MOST_FIELDS: Final = 1000
_decoder: Final = json.JSONDecoder()

#: What looks like a credential, whoever's it is: a key by its prefix, whole or masked as the API
#: masks it in its own messages ("sk-proj-****wxyz"), and a token.
_SHAPES: Final = re.compile(
    r"\b(?:sk|pk|rk|sess|ek|xai|gsk|hf|ghp|github_pat)[-_][\w*.-]{4,}"
    r"|\b(?:org-|proj_|AIza|AKIA)[\w-]{8,}"
    r"|\beyJ[\w.-]{6,}"
    r"|\b(?:Bearer|Basic)\s{1,9}[^\s\"',;]+"
    r"|[^\s*\"']{0,16}\*{3,}[^\s*\"']{0,16}",
    re.IGNORECASE | re.ASCII,
)
#: The value of a parameter that is named like a credential.
_NAMED: Final = re.compile(
    r"(?:key|token|secret|password|sig|signature|credential)=([^\s&\"'<>)]+)",
    re.IGNORECASE | re.ASCII,
)
#: User and query of a URL, which may be a signed one.
_URL: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,20}://([^\s\"'<>\\/?#@]*@)?[^\s\"'<>\\?#]*(?:[?#]([^\s\"'<>\\]*))?",
    re.IGNORECASE | re.ASCII,
)


class Credentials:
    """The credentials of one call.

    Args:
        found: Texts that are credentials, and whatever else was found in their place.
    """

    def __init__(self, found: Iterable[Any]) -> None:
        known: set[str] = set()
        self._are_few = True
        for one in found:
            if isinstance(one, bytes):
                one = one.decode("utf-8", "replace")  # noqa: PLW2901 - as headers are read
            if not isinstance(one, str):
                continue
            text = one.strip()
            if len(text) < _SHORTEST or text.lower() in _PLAIN_VALUES:
                continue
            known.add(text)
            if len(known) > _MOST or len(text) > _LONGEST:
                self._are_few = False
                break
        self._forms = {form.lower() for text in known for form in _forms(text)}
        self._longest = max(map(len, self._forms), default=0)

    def mask(self, text: str) -> str | None:
        """The beginning of `text` without credentials, or None if they are too many to look for."""
        if not self._are_few:
            return None
        text = text[: _MOST_TEXT + self._longest]
        low = text.lower()
        if len(low) != len(text):  # few letters have a lower case of two
            text = low
        hidden = bytearray(len(text))
        for start, end in self._places(text, low):
            hidden[start:end] = b"\1" * (end - start)
        told, at = [], 0
        for is_hidden, run in groupby(hidden[:_MOST_TEXT]):  # what begins before is found whole
            length = sum(1 for _ in run)
            told.append(MASK if is_hidden else text[at : at + length])
            at += length
        return "".join(told)

    def _places(self, text: str, low: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = low.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = low.find(form, at + 1)
        for shape in _SHAPES.finditer(text):
            yield shape.span()
        for named in _NAMED.finditer(text):
            yield named.span(1)
        for url in _URL.finditer(text):
            yield url.span(1)
            yield url.span(2)

    def knows(self, name: str) -> bool:
        """Whether a name is one of them, a part of one, or has one in it."""
        low = name.lower()
        if not self._are_few or _SHAPES.search(name):
            return True
        return any(form in low or (len(low) >= _SHORTEST and low in form) for form in self._forms)


def of_http_client(http: Any) -> Iterator[Any]:
    """What an HTTP client sends by itself, and what it tells its proxies."""
    for name, read in (("headers", of_headers), ("params", of_query), ("cookies", of_query)):
        yield from _guarded(read, getattr(http, name, None))
    yield reaches.basic_auth(http)
    for pool in reaches.transports_of(http):
        headers, name_and_password = reaches.proxy_credentials(pool)
        yield from _guarded(of_headers, headers)
        yield from name_and_password


def of_environment() -> Iterator[str]:
    """What the proxies that the environment names ask for."""
    for url in getproxies_environment().values():
        yield from of_url(url)


def of_exchange(thing: Any) -> Iterator[Any]:
    """What was sent, from an error, a response or a request: redirects included."""
    response = _attribute(thing, "response") or _attribute(thing, "raw_response") or thing
    earlier = _attribute(response, "history")
    requests: dict[int, Any] = {}
    for one in (thing, response, *(earlier[:10] if isinstance(earlier, list) else ())):
        request = _attribute(one, "request")
        requests[id(request)] = request
    for request in requests.values():
        yield from _guarded(of_headers, _attribute(request, "headers"))
        yield from _guarded(of_url, _attribute(request, "url"))
        yield from _guarded(of_body, _attribute(request, "content"))


def of_fields(thing: Any) -> Iterator[Any]:
    """What the fields of an object or a dict hold, by their names."""
    given = thing if isinstance(thing, Mapping) else getattr(thing, "__dict__", None) or {}
    for name, value in list(given.items()):
        if not isinstance(name, str) or value is None:
            continue
        for part, read in _READERS.items():
            if part in name.lower():
                yield from _guarded(read, value)


def of_url(url: Any) -> Iterator[str]:
    """The user's name and password of a URL, and the values of its query."""
    parts = _split(str(url))
    if "@" in parts.netloc:
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        yield from _of_user(user, password)
        yield from _of_user(unquote_plus(user), unquote_plus(password))
    yield from of_query(parts.query)


def _split(url: str) -> SplitResult:
    """The parts of a URL. `urlsplit` remembers those of the last hundred, however long they are."""
    return (urlsplit if len(url) < _MOST_TEXT else inspect.unwrap(urlsplit))(url)


def of_query(query: Any) -> Iterator[str]:
    """The values of a query or of cookies, as text or by name."""
    if isinstance(query, str):
        pairs: Iterable[Any] = [
            *parse_qsl(query, keep_blank_values=True),
            *(one.partition("=")[::2] for one in query.split("&")),
        ]
    else:
        multi = getattr(query, "multi_items", None) or query.items
        pairs = multi()
    for name, value in pairs:
        if str(name).lower() not in _PLAIN_PARAMETERS:
            yield from _leaves(value or name)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, (str, int)):
        yield str(value)


def of_headers(headers: Any) -> Iterator[str]:
    """The values of headers, the credentials after a scheme, and what is named in a value."""
    multi = getattr(headers, "multi_items", None) or getattr(headers, "items", None)
    for name, value in headers if multi is None else multi():
        low = _text(name).lower()
        if low not in _PLAIN_HEADERS and not low.startswith(_PLAIN_PREFIXES):
            yield from _of_header(_text(value))


def of_body(content: Any) -> Iterator[str]:
    """What is named a credential in a JSON body, without parsing all of it."""
    if not isinstance(content, bytes):
        return
    for field in islice(_FIELD.finditer(content), _MOST_FIELDS):
        value = _value(content, field.end())
        if isinstance(value, str):
            yield from _of_header(value)
        elif isinstance(value, dict) and field[1]:
            yield from of_headers(value)


def _value(content: bytes, start: int) -> Any:
    """The JSON value there, or None for a long one."""
    try:
        return _decoder.raw_decode(content[start : start + _LONGEST].decode("utf-8", "replace"))[0]
    except (ValueError, RecursionError):
        return None


def _of_header(value: str) -> Iterator[str]:
    yield value
    scheme, _, rest = value.partition(" ")
    if rest:
        yield rest
    if scheme.lower() == "basic":
        with suppress(binascii.Error, ValueError):
            user, _, password = base64.b64decode(rest.strip()).decode().partition(":")
            yield from _of_user(user, password)
    for piece in re.split(r"[;,\s]+", value):
        _, _, named = piece.partition("=")
        yield named.strip('"')


def _of_user(user: str, password: str) -> Iterator[str]:
    yield user
    yield password
    yield f"{user}:{password}"


def _forms(text: str) -> Iterator[str]:
    """A text, and how it looks in a URL, in a header and in JSON."""
    yield text
    yield quote(text, safe="")
    yield quote(text)
    yield quote_plus(text)
    yield json.dumps(text)[1:-1]
    yield repr(text)[1:-1]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(text.encode("utf-8", "replace")).decode()
        yield encoded
        yield encoded.rstrip("=")  # as some leave it out


def _guarded(read: Callable[[Any], Iterable[Any]], thing: Any) -> list[Any]:
    """What `read` finds, or nothing where a thing is not what its name says."""
    if thing is None:
        return []
    try:
        return list(read(thing))
    except Exception as error:
        if is_signals(error):
            raise
        return []


def _attribute(thing: Any, name: str) -> Any:
    """An attribute, or None. Those of HTTP libraries raise what they like while there is none."""
    try:
        return getattr(thing, name, None)
    except Exception as error:
        if is_signals(error):
            raise
        return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _itself(value: Any) -> Iterator[Any]:
    if isinstance(value, (str, bytes)):
        yield value


_READERS: Final[Mapping[str, Callable[[Any], Iterable[Any]]]] = {
    "url": of_url,
    "endpoint": of_url,
    "headers": of_headers,
    "query": of_query,
    "params": of_query,
    "key": _itself,
    "token": _itself,
    "secret": _itself,
    "passw": _itself,
    "organization": _itself,
    "project": _itself,
}
