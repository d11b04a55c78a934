"""Read spans and log records from the binary form of OTLP."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final

from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.receive.cut_texts import MAX_NAME, cut_text, cut_value
from orq_otel.viewer.receive.otlp_messages import decoders
from orq_otel.viewer.receive.protobuf_parts import MalformedError, TooManyPartsError, parts
from orq_otel.viewer.receive.received import (
    KINDS,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_SPAN,
    MAX_TIME,
    SPAN_ID,
    STATUSES,
    TOO_DEEP,
    TRACE_ID,
    InvalidRequestError,
    Origin,
    Received,
    RequestTooLargeError,
    event_name,
    id_or_none,
    json_number,
    kept,
    marked,
    name_of,
    parent_of,
    some,
)

#: Attributes with more bytes are seldom the same as others before.
_MOST_BYTES: Final = 256
#: So many attributes are remembered.
_MOST_KNOWN: Final = 5_000
#: Attributes that were decoded lately, by their bytes.
_known: dict[bytes, tuple[str, Any]] = {}


def from_protobuf(body: bytes, wait: Callable[[], object] = lambda: None) -> Received:
    """Read an `ExportTraceServiceRequest` in its binary form.

    Args:
        body: The request.
        wait: Called before each span, to wait a little if something else is to come first.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    decode = decoders().span

    def add(message: bytes, received: Received, of: Origin) -> None:
        received.add(_span(decode(message), of.resource, of.service, of.scope))

    return _received(body, wait, add, "span", "ExportTraceServiceRequest")


def logs_from_protobuf(body: bytes, wait: Callable[[], object] = lambda: None) -> Received:
    """Read an `ExportLogsServiceRequest` in its binary form.

    Args:
        body: The request.
        wait: As for spans.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    decode = decoders().log_record

    def add(message: bytes, received: Received, of: Origin) -> None:
        received.add_log(_log(decode(message), of))

    return _received(body, wait, add, "log record", "ExportLogsServiceRequest")


def _received(
    body: bytes,
    wait: Callable[[], object],
    add: Callable[[bytes, Received, Origin], None],
    what: str,
    request: str,
) -> Received:
    """Read a request for spans or log records, whose outer messages have the same fields."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - the API and commands need none

    decode = decoders()
    received = Received()
    try:
        for part in parts(body):
            if max(len(part.resource), len(part.scope)) > MAX_SPAN:
                raise RequestTooLargeError("a resource is too large")
            resource = _attributes(decode.resource(part.resource).attributes)
            service = str(resource.get("service.name", ""))
            scope = cut_text(decode.scope(part.scope).name, MAX_NAME)
            origin = Origin(resource, service, scope)
            for message in part.spans:
                wait()
                if len(message) > MAX_SPAN:
                    received.reject(f"a {what} has {len(message):,} bytes, over {MAX_SPAN:,}")
                else:
                    add(message, received, origin)
    except (DecodeError, MalformedError) as error:
        raise InvalidRequestError(f"the body is no {request}") from error
    except TooManyPartsError as error:
        raise RequestTooLargeError(f"the request has too many {what}s") from error
    return received


def _log(record: Any, of: Origin) -> LogRecord:
    attributes = _attributes(record.attributes)
    body = decoders().any_value(record.body)
    return LogRecord(
        trace_id=id_or_none(record.trace_id.hex(), TRACE_ID),
        span_id=id_or_none(record.span_id.hex(), SPAN_ID),
        name=event_name(record.event_name, attributes),
        time=record.time_unix_nano or record.observed_time_unix_nano,
        severity=cut_text(record.severity_text, MAX_NAME),
        body=_VALUES[body.WhichOneof("value")](body, 0),
        service=of.service,
        scope=of.scope,
        attributes=attributes,
        resource=of.resource,
    )


def _span(span: Any, resource: dict[str, Any], service: str, scope: str) -> Span:
    status = span.status
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=parent_of(span.parent_span_id.hex()),
        name=cut_text(span.name, MAX_NAME),
        kind=name_of(KINDS, span.kind),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=name_of(STATUSES, status.code),
        status_message=cut_text(status.message),
        service=service,
        scope=scope,
        attributes=_attributes(span.attributes),
        resource=resource,
        events=tuple(_event(event) for event in some(span.events)) if span.events else (),
        links=tuple(_link(link) for link in some(span.links)) if span.links else (),
    )


def _event(event: Any) -> dict[str, Any]:
    return {
        "name": cut_text(event.name, MAX_NAME),
        "time": min(event.time_unix_nano, MAX_TIME),
        "attributes": _attributes(event.attributes),
    }


def _link(link: Any) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id.hex()[:32],
        "span_id": link.span_id.hex()[:16],
        "attributes": _attributes(link.attributes),
    }


def _attributes(encoded: Sequence[bytes]) -> dict[str, Any]:
    # Most of the time is spent here.
    attributes: dict[str, Any] = {}
    chosen = encoded if len(encoded) <= MAX_ITEMS else kept(encoded, _name)
    for one in chosen:
        key, value = _known.get(one) or _decoded(one)
        # Values that could be changed belong to one span alone.
        attributes[key] = value[:] if value.__class__ is list else value
    return attributes if chosen is encoded else marked(attributes, len(encoded) - len(chosen))


def _name(encoded: bytes) -> str:
    name: str = decoders().key_value(encoded).key
    return name


def _decoded(encoded: bytes) -> tuple[str, Any]:
    """Decode an attribute, and remember it if others may be the same."""
    pair = decoders().key_value(encoded)
    value = pair.value
    kind = value.WhichOneof("value")
    # Few names are many attributes': one text for each is less memory, and found sooner.
    found = sys.intern(cut_text(pair.key, MAX_NAME)), _VALUES[kind](value, 0)
    is_flat = kind != "kvlist_value" and (
        kind != "array_value" or all(one.__class__ is str for one in found[1])
    )
    if is_flat and len(encoded) <= _MOST_BYTES:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[encoded] = found
    return found


def _pairs(pairs: Sequence[Any], depth: int) -> dict[str, Any]:
    chosen = kept(pairs, lambda pair: str(pair.key))
    attributes = {
        cut_text(pair.key, MAX_NAME): _VALUES[pair.value.WhichOneof("value")](pair.value, depth)
        for pair in chosen
    }
    return marked(attributes, len(pairs) - len(chosen))


def _list(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    values = value.array_value.values
    return [_VALUES[item.WhichOneof("value")](item, depth + 1) for item in some(values)]


def _map(value: Any, depth: int) -> Any:
    return TOO_DEEP if depth >= MAX_DEPTH else _pairs(value.kvlist_value.values, depth + 1)


_VALUES: dict[str | None, Callable[[Any, int], Any]] = {
    None: lambda _value, _depth: None,
    "string_value": lambda value, _depth: cut_value(value.string_value),
    "bool_value": lambda value, _depth: value.bool_value,
    "int_value": lambda value, _depth: value.int_value,
    "double_value": lambda value, _depth: json_number(value.double_value),
    "bytes_value": lambda value, _depth: cut_text(b64encode(value.bytes_value).decode()),
    "array_value": _list,
    "kvlist_value": _map,
    # For profiles, which have a table of strings. Spans have none.
    "string_value_strindex": lambda _value, _depth: None,
}
