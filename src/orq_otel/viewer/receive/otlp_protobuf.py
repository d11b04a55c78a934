"""Read spans and log records from the binary form of OTLP."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from orq_otel.viewer.model import LogRecord, Span
from orq_otel.viewer.receive.protobuf_parts import MalformedError, TooManyPartsError, parts
from orq_otel.viewer.receive.received import (
    KINDS,
    MAX_DEPTH,
    MAX_NAME,
    MAX_SPAN,
    MAX_TEXT,
    MAX_TIME,
    SPAN_ID,
    STATUSES,
    TOO_DEEP,
    TRACE_ID,
    InvalidRequestError,
    Origin,
    Received,
    RequestTooLargeError,
    cut_text,
    event_name,
    id_or_none,
    json_number,
    marked,
    name_of,
    parent_of,
    some,
)


def from_protobuf(body: bytes) -> Received:
    """Read an `ExportTraceServiceRequest` in its binary form.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message  # noqa: PLC0415

    def add(message: bytes, received: Received, of: Origin) -> None:
        received.add(_span(Message.FromString(message), of.resource, of.service, of.scope))

    return _received(body, add, "span", "ExportTraceServiceRequest")


def logs_from_protobuf(body: bytes) -> Received:
    """Read an `ExportLogsServiceRequest` in its binary form.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as Message  # noqa: PLC0415

    def add(message: bytes, received: Received, of: Origin) -> None:
        received.add_log(_log(Message.FromString(message), of))

    return _received(body, add, "log record", "ExportLogsServiceRequest")


def _received(
    body: bytes, add: Callable[[bytes, Received, Origin], None], what: str, request: str
) -> Received:
    """Read a request for spans or log records, whose outer messages have the same fields."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - the API and commands need none
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource  # noqa: PLC0415

    received = Received()
    try:
        for part in parts(body):
            if max(len(part.resource), len(part.scope)) > MAX_SPAN:
                raise RequestTooLargeError("a resource is too large")
            resource = _attributes(Resource.FromString(part.resource).attributes)
            service = str(resource.get("service.name", ""))
            scope = cut_text(InstrumentationScope.FromString(part.scope).name, MAX_NAME)
            origin = Origin(resource, service, scope)
            for message in part.spans:
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
    return LogRecord(
        trace_id=id_or_none(record.trace_id.hex(), TRACE_ID),
        span_id=id_or_none(record.span_id.hex(), SPAN_ID),
        # Before OpenTelemetry 1.5 of the protocol, the name was an attribute.
        name=event_name(getattr(record, "event_name", ""), attributes),
        time=record.time_unix_nano or record.observed_time_unix_nano,
        severity=cut_text(record.severity_text, MAX_NAME),
        body=_VALUES[record.body.WhichOneof("value")](record.body, 0),
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


def _attributes(pairs: Sequence[Any], depth: int = 0) -> dict[str, Any]:
    # Most of the time is spent here, so strings, the most common values, are read in the loop.
    attributes: dict[str, Any] = {}
    for pair in some(pairs):
        value = pair.value
        kind = value.WhichOneof("value")
        key = pair.key
        if len(key) > MAX_NAME:
            key = cut_text(key, MAX_NAME)
        if kind == "string_value":
            text = value.string_value
            attributes[key] = text if len(text) <= MAX_TEXT else cut_text(text)
        else:
            attributes[key] = _VALUES[kind](value, depth)
    return marked(attributes, len(pairs))


def _list(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    values = value.array_value.values
    return [_VALUES[item.WhichOneof("value")](item, depth + 1) for item in some(values)]


def _map(value: Any, depth: int) -> Any:
    return TOO_DEEP if depth >= MAX_DEPTH else _attributes(value.kvlist_value.values, depth + 1)


_VALUES: dict[str | None, Callable[[Any, int], Any]] = {
    None: lambda _value, _depth: None,
    "string_value": lambda value, _depth: cut_text(value.string_value),
    "bool_value": lambda value, _depth: value.bool_value,
    "int_value": lambda value, _depth: value.int_value,
    "double_value": lambda value, _depth: json_number(value.double_value),
    "bytes_value": lambda value, _depth: cut_text(b64encode(value.bytes_value).decode()),
    "array_value": _list,
    "kvlist_value": _map,
    # For profiles, which have a table of strings. Spans have none.
    "string_value_strindex": lambda _value, _depth: None,
}
