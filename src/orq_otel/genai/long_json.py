"""JSON of any length: it is read whole up to a limit, and beyond that at both of its ends.

What an API says of its answer stands at the ends: ids and the model first, token counts last. In
between is what makes a text that long: an image, a sound, a model's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from orq_otel.foundations.guard import is_signals
from orq_otel.genai.fields import parse_json

#: Bytes that are read whole. An image with its prompt is smaller, and to parse so much takes a
#: fraction of a second, in the caller's thread.
_MOST: Final = 16 * 1024 * 1024
#: Bytes at either end of what is longer.
_END: Final = 128 * 1024
#: Objects inside of each other that are looked into: an event, the response in it, one between.
_DEEP: Final = 3

#: Raised for what is no JSON, or nested too deeply to be read.
_NO_JSON: Final = (ValueError, RecursionError)

_COUNTS: Final = re.compile(r'(?<!\\)"usage"\s*:')
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_decode: Final = json.JSONDecoder(object_hook=lambda fields: SimpleNamespace(**fields)).raw_decode


class LongJson:
    """JSON that comes in pieces. Takes no more memory than its limit, whatever comes."""

    __slots__ = ("_data", "_head")

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: bytes | None = None

    def add(self, piece: bytes) -> None:
        """Take in the next piece."""
        data = self._data
        if self._head is None:
            if len(data) + len(piece) <= _MOST:
                data += piece
                return
            self._head = bytes(data[:_END] + piece[:_END])[:_END]
            del data[:-_END]
        data += piece[-_END:]
        if len(data) > 2 * _END:
            del data[:-_END]

    def starts_with(self, text: bytes) -> bool:
        """Whether the first piece begins with `text`."""
        return (self._head or self._data).startswith(text)

    def parse(self) -> Any:
        """What the pieces say, as namespaces, or None if they are no JSON."""
        if self._head is None:
            return _parsed(self._data, parse_json)
        return _parse_ends(_decoded(self._head), _decoded(bytes(self._data)))


def parse_long_json(text: str | bytes, parse: Callable[[Any], Any] = parse_json) -> Any:
    """What `text` says, or None if it is no JSON. Of a very long one, what its ends tell.

    Args:
        text: The JSON.
        parse: Reads it where it is not that long. What the ends tell is namespaces.
    """
    if len(text) <= _MOST:
        return _parsed(text, parse)
    return _parse_ends(_decoded(text[:_END]), _decoded(text[-_END:]))


def _parsed(text: Any, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(text)
    except _NO_JSON as error:
        if is_signals(error):
            raise
        return None


def _decoded(text: str | bytes) -> str:
    """Text of which the first or the last character may be cut."""
    return text if isinstance(text, str) else text.decode(errors="ignore")


def _parse_ends(head: str, tail: str) -> Any:
    """An object from its ends, or None: the fields that are whole, of it and of what is cut."""
    keys, opened = _opened(head)
    if not opened:
        return None
    closed = _closed(tail)
    if len(closed) <= len(opened):
        for object_, more in zip(opened, closed, strict=False):
            object_.update(more)
    for key, outer, inner in zip(keys, opened, opened[1:], strict=False):
        outer[key] = SimpleNamespace(**inner)
    return SimpleNamespace(**opened[0])


def _opened(head: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The objects that are open where `head` is cut, outermost first, and the keys between them."""
    keys: list[str] = []
    opened: list[dict[str, Any]] = []
    at = 0
    while len(opened) < _DEEP:
        try:
            at = _after(head, at, "{")
            opened.append({})
            key, at = _read(head, at, opened[-1])
        except _NO_JSON:
            break
        if key is None:  # the object is whole, and what follows is no JSON
            break
        keys.append(key)
    return keys, opened


def _closed(tail: str) -> list[dict[str, Any]]:
    """The objects that are closed behind token counts, outermost first, as far as they are there.

    Counts are found from behind. Where all that follows them is fields and ends of objects, they
    are no part of a text, or of something in a list.
    """
    for found in reversed(list(_COUNTS.finditer(tail))[-_DEEP:]):
        at = found.start()
        closed: list[dict[str, Any]] = []
        while len(closed) < _DEEP:
            closed.insert(0, {})
            try:
                if tail[at : at + 1] != "}":
                    key, at = _read(tail, at, closed[0])
                    if key is not None:
                        break
                else:
                    at += 1
                at = _skip(tail, at)
                if at == len(tail):
                    return closed
                if tail[at] != "}":
                    at = _after(tail, at, ",")
            except _NO_JSON:
                break
    return []


def _read(text: str, at: int, found: dict[str, Any]) -> tuple[str | None, int]:
    """Read the fields of an object, from a key at `at` to its end.

    Returns:
        The key of the first value that is not whole, and where that begins; or None, and the end.
    """
    while True:
        key, at = _decode(text, _skip(text, at))
        if type(key) is not str:
            raise ValueError(at)
        start = _skip(text, _after(text, at, ":"))
        try:
            value, at = _decode(text, start)
            at = _skip(text, at)
            is_last = text[at : at + 1] == "}"
            at = at + 1 if is_last else _after(text, at, ",")
        except _NO_JSON:
            return key, start
        found[key] = value
        if is_last:
            return None, at


def _after(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(sign)
    return at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
