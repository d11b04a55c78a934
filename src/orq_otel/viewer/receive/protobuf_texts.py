"""Decodes messages of protobuf, also those with texts that are not UTF-8.

Protobuf refuses such a message as a whole, and with it the spans of other requests that a collector
has put into the same one. Here, a text is kept with U+FFFD in place of what is wrong with it.

https://github.com/open-telemetry/oteps/pull/257
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from orq_otel.viewer.receive.protobuf_parts import MalformedError, Walk

#: Protobuf decodes no deeper ones, either.
_MAX_DEPTH: Final = 100
_LENGTH: Final = 2


def decoder(of: Any) -> Callable[[bytes], Any]:
    """Returns a function that decodes messages of a class.

    It raises DecodeError or MalformedError if the bytes are none, and TooManyPartsError.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - the API and commands need none

    strict = of.FromString

    def decode(encoded: bytes) -> Any:
        try:
            return strict(encoded)
        except DecodeError:
            return strict(_repaired(encoded, Walk(encoded), (0, len(encoded)), of.DESCRIPTOR))

    return decode


def _repaired(encoded: bytes, walk: Walk, place: tuple[int, int], of: Any, depth: int = 0) -> bytes:
    """Returns a message whose texts are UTF-8."""
    if depth > _MAX_DEPTH:
        raise MalformedError
    repaired = bytearray()
    done, end = place
    for number, field, content, after in walk.fields(*place):
        known = of.fields_by_number.get(number)
        if known is None:
            continue
        if known.type == known.TYPE_STRING:
            value = encoded[content:after].decode("utf-8", "replace").encode()
        elif known.type == known.TYPE_MESSAGE:
            value = _repaired(encoded, walk, (content, after), known.message_type, depth + 1)
        else:
            continue
        repaired += encoded[done:field] + _varint(number << 3 | _LENGTH) + _varint(len(value))
        repaired += value
        done = after
    return bytes(repaired + encoded[done:end])


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:  # noqa: PLR2004 - the last byte has no eighth bit
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
