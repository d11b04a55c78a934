"""Find the credentials of a call, and mask them in a text.

They are looked for only when a call has failed: in the client, and in what it sent. Some of these
places are private to clients and to their HTTP libraries. A place that is gone is skipped.
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

#: Replaces a credential.
MASK: Final = "***"

#: Characters of the shortest credential. Anything shorter would turn every text into stars.
_SHORTEST: Final = 4
#: In which runs and tasks end. They say nothing of what was asked.
_STATES: Final = frozenset(
    {"canceled", "cancelled", "completed", "expired", "failed", "incomplete", "rejected"}
)
#: A piece of a name that is long enough to be somebody's word.
_PIECE: Final = re.compile(r"[A-Za-z0-9]{8,}")
#: How many credentials are looked for, and how long one may be: no call has more. Beyond these, a
#: text cannot be masked in a short time, and is dropped.
_MOST: Final = 300
_LONGEST: Final = 16_384

#: Characters of a text that are looked at. The rest is left out.
_MOST_TEXT: Final = 4096

#: Headers whose values are no secret: those of HTTP, of traces, and of the client's name.
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
#: Parameters of a query that are no secret.
_PLAIN_PARAMETERS: Final = frozenset({"api-version", "model"})
_PLAIN_VALUES: Final = frozenset({"true", "false", "null", "none"})

#: Fields of a request body that hold credentials for others, such as MCP servers.
_FIELD: Final = re.compile(
    rb'"(?:access_token|api_?key|authorization|client_secret|(headers)|password|secret|token)"\s*:\s*'
)
#: More such fields than any body has.
_MOST_FIELDS: Final = 1000
_decoder: Final = json.JSONDecoder()

#: What looks like a credential, whoever's it is: a token, or a key by its prefix, in full or masked
#: as the API masks it in its own messages ("sk-proj-****wxyz").
_SHAPES: Final = re.compile(
    r"\b(?:sk|pk|rk|sess|ek|xai|gsk|hf|ghp|github_pat)[-_][\w*.-]{4,}"
    r"|\b(?:org-|proj_|AIza|AKIA)[\w-]{8,}"
    r"|\beyJ[\w.-]{6,}"
    r"|\b(?:Bearer|Basic)\s{1,9}[^\s\"',;]+"
    r"|[^\s*\"']{0,16}\*{3,}[^\s*\"']{0,16}",
    re.IGNORECASE | re.ASCII,
)
#: The value of a parameter whose name is that of a credential.
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
    """The credentials of one call: those of `found` that are text or bytes."""

    def __init__(self, found: Iterable[Any]) -> None:
        texts: set[str] = set()
        self._are_few = True
        for value in found:
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")  # noqa: PLW2901 - as headers are read
            if not isinstance(value, str):
                continue
            text = value.strip()
            if len(text) < _SHORTEST or text.lower() in _PLAIN_VALUES:
                continue
            texts.add(text)
            if len(texts) > _MOST or len(text) > _LONGEST:
                self._are_few = False
                break
        self._forms = {form.lower() for text in texts for form in _forms(text)}
        self._longest = max(map(len, self._forms), default=0)

    def mask(self, text: str) -> str | None:
        """Replace the credentials in `text` by stars, and cut it to 4096 characters.

        Returns None if there are too many to look for.
        """
        if not self._are_few:
            return None
        text = text[: _MOST_TEXT + self._longest]
        low = text.lower()
        if len(low) != len(text):  # a few letters get two characters in lower case
            text = low
        hidden = bytearray(len(text))
        for start, end in self._places(text, low):
            hidden[start:end] = b"\1" * (end - start)
        pieces, at = [], 0
        # A credential that reaches over the cut was still found: the search went on behind it.
        for is_hidden, run in groupby(hidden[:_MOST_TEXT]):
            length = sum(1 for _ in run)
            pieces.append(MASK if is_hidden else text[at : at + length])
            at += length
        return "".join(pieces)

    def _places(self, text: str, low: str) -> Iterator[tuple[int, int]]:
        """Where credentials begin and end in `text`, which is `low` in lower case."""
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

    def are_revealed_by(self, name: str) -> bool:
        """Whether a name is one of them, is a part of one, or contains one."""
        low = name.lower()
        if not self._are_few or _SHAPES.search(name):
            return True
        return any(form in low or (len(low) >= _SHORTEST and low in form) for form in self._forms)


def of_http_client(http: Any) -> Iterator[Any]:
    """Credentials that an HTTP client sends with each request, or to its proxies."""
    for name, read in (("headers", of_headers), ("params", of_query), ("cookies", of_query)):
        yield from _guarded(read, getattr(http, name, None))
    yield reaches.basic_auth(http)
    for pool in reaches.transports_of(http):
        headers, name_and_password = reaches.proxy_credentials(pool)
        yield from _guarded(of_headers, headers)
        yield from name_and_password


def of_environment() -> Iterator[str]:
    """Credentials for the proxies that environment variables name."""
    for url in getproxies_environment().values():
        yield from of_url(url)


def of_exchange(thing: Any) -> Iterator[Any]:
    """Credentials in the requests of an error or a response, redirects included."""
    for request in _requests_of(thing):
        yield from _guarded(of_headers, _attribute(request, "headers"))
        yield from _guarded(of_url, _attribute(request, "url"))
        yield from _guarded(of_body, _attribute(request, "content"))


def is_asked(name: str, *things: Any) -> bool:
    """Whether a name is a word of what was asked, by errors, responses, options and arguments.

    The names of fields are no such words, nor are states, and what is shorter than the shortest
    credential. A name with such a word in it counts as well if that is long, and has digits or
    capitals: servers make names of small words, such as "model" and "limit", which prompts have.
    """
    if name in _STATES:
        return False
    pieces = [piece for piece in _PIECE.findall(name) if not (piece.isalpha() and piece.islower())]
    words = "|".join([f"(?i:{re.escape(name)})", *pieces]).encode()
    asked = re.compile(rb"(?<![\w.-])(?:" + words + rb')(?![\w.-]|"\s*:)')
    return len(name) >= _SHORTEST and any(
        asked.search(body) is not None for thing in things for body in _bodies_of(thing)
    )


def _bodies_of(thing: Any) -> Iterator[bytes]:
    """What was sent in requests, as far as it is known."""
    for request in _requests_of(thing):
        content = _attribute(request, "content")
        if isinstance(content, bytes):
            yield content
    given = thing if isinstance(thing, Mapping) else _attribute(thing, "json_data")
    yield from _guarded(_as_json, given)


def _as_json(value: Any) -> list[bytes]:
    return [json.dumps(value, default=repr, skipkeys=True).encode()]


def _requests_of(thing: Any) -> Iterable[Any]:
    """The requests of an error or a response, redirects included."""
    response = _attribute(thing, "response") or _attribute(thing, "raw_response") or thing
    earlier = _attribute(response, "history")
    requests: dict[int, Any] = {}
    for source in (thing, response, *(earlier[:10] if isinstance(earlier, list) else ())):
        request = _attribute(source, "request")
        requests[id(request)] = request
    return requests.values()


def of_fields(thing: Any) -> Iterator[Any]:
    """Credentials in the fields of an object or a dict, which are known by their names."""
    fields = thing if isinstance(thing, Mapping) else getattr(thing, "__dict__", None) or {}
    for name, value in list(fields.items()):
        if not isinstance(name, str) or value is None:
            continue
        for part, read in _READERS.items():
            if part in name.lower():
                yield from _guarded(read, value)


def of_url(url: Any) -> Iterator[str]:
    """User name and password in a URL, and the values of its query."""
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
    """The values of a query or of cookies, which are text or a mapping by name."""
    if isinstance(query, str):
        pairs: Iterable[Any] = [
            *parse_qsl(query, keep_blank_values=True),
            *(pair.partition("=")[::2] for pair in query.split("&")),
        ]
    else:
        multi = getattr(query, "multi_items", None) or query.items
        pairs = multi()
    for name, value in pairs:
        if str(name).lower() not in _PLAIN_PARAMETERS:
            yield from _leaves(value or name)


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a value that may be nested."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, (str, int)):
        yield str(value)


def of_headers(headers: Any) -> Iterator[str]:
    """The values of headers, and in each the credentials after a scheme and values after a "="."""
    multi = getattr(headers, "multi_items", None) or getattr(headers, "items", None)
    for name, value in headers if multi is None else multi():
        low = _text(name).lower()
        if low not in _PLAIN_HEADERS and not low.startswith(_PLAIN_PREFIXES):
            yield from _of_header(_text(value))


def of_body(content: Any) -> Iterator[str]:
    """The values of fields of a JSON body that are named like credentials.

    Only these values are parsed.
    """
    if not isinstance(content, bytes):
        return
    for field in islice(_FIELD.finditer(content), _MOST_FIELDS):
        value = _value(content, field.end())
        if isinstance(value, str):
            yield from _of_header(value)
        elif isinstance(value, dict) and field[1]:
            yield from of_headers(value)


def _value(content: bytes, start: int) -> Any:
    """The JSON value that begins at `start`, or None if it is too long or not valid."""
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
        _, _, parameter = piece.partition("=")
        yield parameter.strip('"')


def _of_user(user: str, password: str) -> Iterator[str]:
    yield user
    yield password
    yield f"{user}:{password}"


def _forms(text: str) -> Iterator[str]:
    """A text as it is, and as it looks in a URL, in a header and in JSON."""
    yield text
    yield quote(text, safe="")
    yield quote(text)
    yield quote_plus(text)
    yield json.dumps(text)[1:-1]
    yield repr(text)[1:-1]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(text.encode("utf-8", "replace")).decode()
        yield encoded
        yield encoded.rstrip("=")  # some leave the padding out


def _guarded(read: Callable[[Any], Iterable[Any]], thing: Any) -> list[Any]:
    """What `read` finds, or nothing if it fails, since `thing` is not what its name says."""
    if thing is None:
        return []
    try:
        return list(read(thing))
    except Exception as error:
        if is_signals(error):
            raise
        return []


def _attribute(thing: Any, name: str) -> Any:
    """An attribute, or None. An HTTP library's may raise any exception while it has no value."""
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
