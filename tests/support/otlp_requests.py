"""Requests as senders make them, in the protocol's own messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

START = 1_785_585_600_000_000_000
SECOND = 1_000_000_000

_numbers = itertools.count(1)


def message(**given: Any) -> Span:
    """A span of a second, in a trace of its own, with what is given instead."""
    number = next(_numbers)
    attributes = given.pop("attributes", {})
    span = Span(
        **{
            "trace_id": number.to_bytes(16, "big"),
            "span_id": number.to_bytes(8, "big"),
            "name": "work",
            "start_time_unix_nano": START,
            "end_time_unix_nano": START + SECOND,
            **given,
        }
    )
    put(span.attributes, attributes)
    return span


def request(*spans: Span, resource: Mapping[str, Any] | None = None) -> ExportTraceServiceRequest:
    """A request with spans of one resource and scope."""
    made = ExportTraceServiceRequest()
    of_resource = made.resource_spans.add()
    put(of_resource.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    of_scope.spans.extend(spans)
    return made


def body(*spans: Span) -> bytes:
    """The same in its binary form."""
    encoded: bytes = request(*spans).SerializeToString()
    return encoded


def put(attributes: Any, values: Mapping[str, Any]) -> None:
    """Add attributes to a thing that has them."""
    for key, value in values.items():
        attributes.add(key=key).value.CopyFrom(any_value(value))


def any_value(value: Any) -> AnyValue:
    """A value as the protocol has it."""
    made = AnyValue()
    if isinstance(value, str):
        made.string_value = value
    elif isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int):
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, (list, tuple)):
        made.array_value.values.extend(map(any_value, value))
        made.array_value.SetInParent()
    elif isinstance(value, Mapping):
        put(made.kvlist_value.values, value)
        made.kvlist_value.SetInParent()
    return made


def _nested(number: int, content: bytes) -> bytes:
    """A field of a message."""
    length, encoded = len(content), b""
    while length > 127:
        encoded += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content


_MANY = 5_000_000
#: Ten megabytes each, which would be hundreds as messages.
BOMBS: dict[str, Callable[[], bytes]] = {
    "resources": lambda: b"\x0a\x00" * _MANY,
    "scopes": lambda: _nested(1, b"\x12\x00" * _MANY),
    "spans": lambda: _nested(1, _nested(2, b"\x12\x00" * _MANY)),
    "attributes": lambda: _nested(1, _nested(2, _nested(2, b"\x4a\x00" * _MANY))),
    "attributes of a resource": lambda: _nested(1, _nested(1, b"\x0a\x00" * _MANY) + b"\x12\x00"),
    "attributes of a scope": lambda: _nested(1, _nested(2, _nested(1, b"\x1a\x00" * _MANY))),
    "numbers": lambda: b"\x10\x00" * _MANY,
}
