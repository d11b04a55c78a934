"""Parse JSON of any length: all of it up to a limit, and beyond that its two ends.

The ends hold what we look for: ids and the model come first, token counts last. The middle is what
makes the text long: an image, a sound, a model's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from orq_otel.foundations.guard import is_signals
from orq_otel.genai.fields import parse_json

#: Up to this many bytes, all is parsed. An image with its prompt is smaller. To parse that much
#: takes a fraction of a second of the caller's time.
_MOST: Final = 16 * 1024 * 1024
#: Bytes that are read at either end of longer JSON.
_END: Final = 128 * 1024
#: How many nested objects are looked into: an event, the response in it, and one in between.
_MOST_NESTED: Final = 3

#: Raised for text that is not JSON, or that is nested too deeply to be parsed.
_NO_JSON: Final = (ValueError, RecursionError)

_COUNTS: Final = re.compile(r'(?<!\\)"usage"\s*:')
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_decode: Final = json.JSONDecoder(object_hook=lambda fields: SimpleNamespace(**fields)).raw_decode


class LongJson:
    """JSON that arrives in pieces. The memory that it takes is limited."""

    __slots__ = ("_data", "_head")

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: bytes | None = None

    def add(self, piece: bytes) -> None:
        """Add the next piece."""
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
        """Parse the pieces into namespaces. Returns None if they are not JSON."""
        if self._head is None:
            return _parsed(self._data, parse_json)
        return _parse_ends(_decoded(self._head), _decoded(bytes(self._data)))


def parse_long_json(text: str | bytes, parse: Callable[[Any], Any] = parse_json) -> Any:
    """Parse JSON, or only its two ends if it is too long. Returns None if it is not JSON.

    The ends become namespaces, whatever `parse` makes of all of it.
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
    """Text from bytes whose first or last character may be cut in two."""
    return text if isinstance(text, str) else text.decode(errors="ignore")


def _parse_ends(head: str, tail: str) -> Any:
    """An object with the complete fields at its two ends, or None if it does not begin as one."""
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
    while len(opened) < _MOST_NESTED:
        try:
            at = _after(head, at, "{")
            opened.append({})
            key, at = _read(head, at, opened[-1])
        except _NO_JSON:
            break
        if key is None:  # the object is complete, and what follows is not JSON
            break
        keys.append(key)
    return keys, opened


def _closed(tail: str) -> list[dict[str, Any]]:
    """The objects that are closed behind token counts, outermost first, with their last fields.

    Counts are searched from the end. If only fields and ends of objects follow them, they are not
    part of a string or of a list.
    """
    for found in reversed(list(_COUNTS.finditer(tail))[-_MOST_NESTED:]):
        at = found.start()
        closed: list[dict[str, Any]] = []
        while len(closed) < _MOST_NESTED:
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
        The key of the first value that is not complete, and where that value begins; or None, and
        where the object ends.
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
