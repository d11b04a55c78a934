"""Read spans and log records from OTLP, in protobuf or JSON, and write them as OTLP/JSON.

A request that is not OTLP is an error. Of other requests, spans that are not valid are rejected and
the rest are kept, which the protocol calls partial success.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from orq_otel.viewer.dialects.logged import told
from orq_otel.viewer.model import LogRecord, Span
from orq_otel.viewer.receive.protobuf_parts import MalformedError, TooManyPartsError, parts

#: Characters of a text. A longer one is cut, with a note at its end.
MAX_TEXT = 1_000_000
#: The same for names of spans, attributes and events.
MAX_NAME = 1_000
#: How many attributes, events and links of a span, and values of a list, are kept.
MAX_ITEMS = 1_000
#: Bytes of one span in protobuf. Decoded, they can become forty times as many.
MAX_SPAN = 8 * 2**20
#: Objects, lists and their items in one JSON document, roughly. 512 usual spans have 30,000.
MAX_JSON_ITEMS = 2_000_000
#: How deep lists and maps may be nested. Deeper ones are cut.
MAX_DEPTH = 24
#: The largest time, in nanoseconds: databases have signed numbers of 64 bits. The year 2262.
MAX_TIME = 2**63 - 1

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")

_TRACE_ID = re.compile("[0-9a-f]{32}")
_SPAN_ID = re.compile("[0-9a-f]{16}")
_NO_ID = "0"
_CUT = "orq_otel.viewer.cut"
_TOO_DEEP = "… [cut: nested too deeply]"
_INT64 = range(-(2**63), 2**63)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class InvalidRequestError(ValueError):
    """A request that is not OTLP. The message says where."""


class RequestTooLargeError(InvalidRequestError):
    """A request that would take too much memory or time."""


@dataclass(slots=True)
class Received:
    """The spans and log records of a request.

    Attributes:
        spans: The valid spans, in the order of the request.
        rejected: How many spans and log records were not valid.
        reason: Why the first of these was rejected, or "".
        logs: The valid log records, in the order of the request.
    """

    spans: list[Span] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""
    logs: list[LogRecord] = field(default_factory=list)

    def add(self, span: Span) -> None:
        """Add a span, or reject it if it is not valid."""
        problem = _problem(span)
        if problem is None:
            self.spans.append(span)
        else:
            self.reject(f"span {span.name[:100]!r}: {problem}")

    def add_log(self, record: LogRecord) -> None:
        """Add a log record, or the span that it stands for. Reject it if it is not valid."""
        if record.time > MAX_TIME:
            self.reject(f"log record {record.name[:100]!r}: a time is after the year 2262")
            return
        said = told(record)
        if isinstance(said, Span):
            self.add(said)
        else:
            self.logs.append(said)

    def reject(self, reason: str) -> None:
        """Count a span or log record that is left out."""
        self.rejected += 1
        self.reason = self.reason or reason


def _problem(span: Span) -> str | None:
    """What is wrong with a span, in the words of the protocol, or None."""
    parent = span.parent_id
    problems = (
        (not _is_id(span.trace_id, _TRACE_ID), "trace_id must be 16 bytes, not all zero"),
        (not _is_id(span.span_id, _SPAN_ID), "span_id must be 8 bytes, not all zero"),
        (parent and not _is_id(parent, _SPAN_ID), "parent_span_id must be 8 bytes, or empty"),
        (span.start == 0, "start_time_unix_nano is missing"),
        (span.end == 0, "end_time_unix_nano is missing"),
        (max(span.start, span.end) > MAX_TIME, "a time is after the year 2262"),
    )
    return next((problem for is_wrong, problem in problems if is_wrong), None)


def _is_id(text: str, form: re.Pattern[str]) -> bool:
    return form.fullmatch(text) is not None and text.strip(_NO_ID) != ""


def _parent(text: str) -> str | None:
    """The id of the parent, or None. Some senders write zeros if there is none."""
    return text if text.strip(_NO_ID) else None


def _id_or_none(text: str, form: re.Pattern[str]) -> str | None:
    """The id in a log record, or None. A record without one is valid."""
    return text if _is_id(text, form) else None


def _text(text: str, limit: int = MAX_TEXT) -> str:
    """A text, cut visibly if it is too long."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [cut: {len(text):,} characters]"


def _number(value: float) -> float | str:
    """A number, or a word for what JSON has no number for, as in the JSON form of protobuf."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _some(items: Sequence[Any]) -> Sequence[Any]:
    return items if len(items) <= MAX_ITEMS else items[:MAX_ITEMS]


def _mark(attributes: dict[str, Any], sent: int) -> dict[str, Any]:
    """Add an attribute that says how many were left out, if any were."""
    if sent > MAX_ITEMS:
        attributes[_CUT] = f"{sent - MAX_ITEMS:,} attributes more"
    return attributes


# Protobuf.


def from_protobuf(body: bytes) -> Received:
    """Read an `ExportTraceServiceRequest` in its binary form.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message  # noqa: PLC0415

    def add(message: bytes, received: Received, of: _Origin) -> None:
        received.add(_span(Message.FromString(message), of.resource, of.service, of.scope))

    return _received(body, add, "span", "ExportTraceServiceRequest")


def logs_from_protobuf(body: bytes) -> Received:
    """Read an `ExportLogsServiceRequest` in its binary form.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as Message  # noqa: PLC0415

    def add(message: bytes, received: Received, of: _Origin) -> None:
        received.add_log(_log(Message.FromString(message), of))

    return _received(body, add, "log record", "ExportLogsServiceRequest")


class _Origin(NamedTuple):
    """Where spans and log records come from."""

    resource: dict[str, Any]
    service: str
    scope: str


def _received(
    body: bytes, add: Callable[[bytes, Received, _Origin], None], what: str, request: str
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
            scope = _text(InstrumentationScope.FromString(part.scope).name, MAX_NAME)
            origin = _Origin(resource, service, scope)
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


def _log(record: Any, of: _Origin) -> LogRecord:
    attributes = _attributes(record.attributes)
    return LogRecord(
        trace_id=_id_or_none(record.trace_id.hex(), _TRACE_ID),
        span_id=_id_or_none(record.span_id.hex(), _SPAN_ID),
        # Before OpenTelemetry 1.5 of the protocol, the name was an attribute.
        name=_event_name(getattr(record, "event_name", ""), attributes),
        time=record.time_unix_nano or record.observed_time_unix_nano,
        severity=_text(record.severity_text, MAX_NAME),
        body=_VALUES[record.body.WhichOneof("value")](record.body, 0),
        service=of.service,
        scope=of.scope,
        attributes=attributes,
        resource=of.resource,
    )


def _event_name(name: str, attributes: Mapping[str, Any]) -> str:
    return _text(name or str(attributes.get("event.name") or ""), MAX_NAME)


def _span(span: Any, resource: dict[str, Any], service: str, scope: str) -> Span:
    status = span.status
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=_parent(span.parent_span_id.hex()),
        name=_text(span.name, MAX_NAME),
        kind=_of(KINDS, span.kind),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=_of(STATUSES, status.code),
        status_message=_text(status.message),
        service=service,
        scope=scope,
        attributes=_attributes(span.attributes),
        resource=resource,
        events=tuple(_event(event) for event in _some(span.events)) if span.events else (),
        links=tuple(_link(link) for link in _some(span.links)) if span.links else (),
    )


def _of(names: tuple[str, ...], number: int) -> str:
    """The name of an enum's value. One of a later version counts as unspecified."""
    return names[number] if 0 <= number < len(names) else names[0]


def _event(event: Any) -> dict[str, Any]:
    return {
        "name": _text(event.name, MAX_NAME),
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
    for pair in _some(pairs):
        value = pair.value
        kind = value.WhichOneof("value")
        key = pair.key
        if len(key) > MAX_NAME:
            key = _text(key, MAX_NAME)
        if kind == "string_value":
            text = value.string_value
            attributes[key] = text if len(text) <= MAX_TEXT else _text(text)
        else:
            attributes[key] = _VALUES[kind](value, depth)
    return _mark(attributes, len(pairs))


def _list(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _TOO_DEEP
    values = value.array_value.values
    return [_VALUES[item.WhichOneof("value")](item, depth + 1) for item in _some(values)]


def _map(value: Any, depth: int) -> Any:
    return _TOO_DEEP if depth >= MAX_DEPTH else _attributes(value.kvlist_value.values, depth + 1)


_VALUES: dict[str | None, Callable[[Any, int], Any]] = {
    None: lambda _value, _depth: None,
    "string_value": lambda value, _depth: _text(value.string_value),
    "bool_value": lambda value, _depth: value.bool_value,
    "int_value": lambda value, _depth: value.int_value,
    "double_value": lambda value, _depth: _number(value.double_value),
    "bytes_value": lambda value, _depth: _text(b64encode(value.bytes_value).decode()),
    "array_value": _list,
    "kvlist_value": _map,
    # For profiles, which have a table of strings. Spans have none.
    "string_value_strindex": lambda _value, _depth: None,
}


# JSON.


def from_json(body: bytes) -> Received:
    """Read an `ExportTraceServiceRequest` or `ExportLogsServiceRequest` in its JSON form, or both.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > MAX_JSON_ITEMS:
        raise RequestTooLargeError("the request has too many spans or attributes")
    try:
        request = json.loads(body)
        if _SURROGATE.search(body):
            request = _whole(request)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is no JSON that can be read: {error}") from error
    received = Received()
    for of_resource in _objects(_object(request, "the body"), "resourceSpans"):
        resource = _json_attributes(_child(of_resource, "resource"))
        service = str(resource.get("service.name", ""))
        for of_scope in _objects(of_resource, "scopeSpans"):
            scope = _text(_string(_child(of_scope, "scope"), "name"), MAX_NAME)
            for span in _objects(of_scope, "spans"):
                received.add(_json_span(span, resource, service, scope))
    for of_resource in _objects(_object(request, "the body"), "resourceLogs"):
        resource = _json_attributes(_child(of_resource, "resource"))
        service = str(resource.get("service.name", ""))
        for of_scope in _objects(of_resource, "scopeLogs"):
            scope = _text(_string(_child(of_scope, "scope"), "name"), MAX_NAME)
            for record in _objects(of_scope, "logRecords"):
                received.add_log(_json_log(record, _Origin(resource, service, scope)))
    return received


def _json_log(record: Mapping[str, Any], of: _Origin) -> LogRecord:
    attributes = _json_attributes(record)
    return LogRecord(
        trace_id=_id_or_none(_string(record, "traceId").lower(), _TRACE_ID),
        span_id=_id_or_none(_string(record, "spanId").lower(), _SPAN_ID),
        name=_event_name(_string(record, "eventName"), attributes),
        time=_time(record, "timeUnixNano") or _time(record, "observedTimeUnixNano"),
        severity=_text(_string(record, "severityText"), MAX_NAME),
        body=_json_value(_child(record, "body"), 0),
        service=of.service,
        scope=of.scope,
        attributes=attributes,
        resource=of.resource,
    )


def _json_span(span: Mapping[str, Any], resource: dict[str, Any], service: str, scope: str) -> Span:
    status = _child(span, "status")
    return Span(
        trace_id=_string(span, "traceId").lower(),
        span_id=_string(span, "spanId").lower(),
        parent_id=_parent(_string(span, "parentSpanId").lower()),
        name=_text(_string(span, "name"), MAX_NAME),
        kind=_json_enum(span, "kind", KINDS, "SPAN_KIND_"),
        start=_time(span, "startTimeUnixNano"),
        end=_time(span, "endTimeUnixNano"),
        status=_json_enum(status, "code", STATUSES, "STATUS_CODE_"),
        status_message=_text(_string(status, "message")),
        service=service,
        scope=scope,
        attributes=_json_attributes(span),
        resource=resource,
        events=tuple(map(_json_event, _some(_objects(span, "events")))),
        links=tuple(map(_json_link, _some(_objects(span, "links")))),
    )


def _json_event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _text(_string(event, "name"), MAX_NAME),
        "time": min(_time(event, "timeUnixNano"), MAX_TIME),
        "attributes": _json_attributes(event),
    }


def _json_link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trace_id": _string(link, "traceId").lower()[:32],
        "span_id": _string(link, "spanId").lower()[:16],
        "attributes": _json_attributes(link),
    }


def _json_enum(thing: Mapping[str, Any], key: str, names: tuple[str, ...], prefix: str) -> str:
    """An enum's value, a number. Some senders write its name, against the protocol."""
    value = thing.get(key)
    if value is None:
        return names[0]
    if isinstance(value, int):
        return _of(names, value)
    if isinstance(value, str):
        name = value.removeprefix(prefix)
        return name if name in names else names[0]
    raise InvalidRequestError(f"{key} must be a number")


def _json_attributes(thing: Mapping[str, Any], key: str = "attributes", depth: int = 0) -> Any:
    pairs = _objects(thing, key)
    attributes = {
        _text(_string(pair, "key"), MAX_NAME): _json_value(_child(pair, "value"), depth)
        for pair in _some(pairs)
    }
    return _mark(attributes, len(pairs))


def _json_value(value: Mapping[str, Any], depth: int) -> Any:
    """The value of the first known key. Unknown keys are ignored, as in protobuf."""
    for key, read in _JSON_VALUES.items():
        if value.get(key) is not None:
            return read(value, key, depth)
    return None


def _json_bool(value: Mapping[str, Any], key: str, _depth: int) -> bool:
    truth = value[key]
    if not isinstance(truth, bool):
        raise InvalidRequestError(f"{key} must be true or false")
    return truth


def _json_double(value: Mapping[str, Any], key: str, _depth: int) -> float | str:
    number = value[key]
    if isinstance(number, bool) or not isinstance(number, (int, float, str)):
        raise InvalidRequestError(f"{key} must be a number")
    try:
        return _number(float(number))
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(f"{key} must be a number") from error


def _json_list(value: Mapping[str, Any], key: str, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _TOO_DEEP
    values = _some(_objects(_child(value, key), "values"))
    return [_json_value(item, depth + 1) for item in values]


def _json_map(value: Mapping[str, Any], key: str, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _TOO_DEEP
    return _json_attributes(_child(value, key), "values", depth + 1)


_JSON_VALUES: dict[str, Callable[[Mapping[str, Any], str, int], Any]] = {
    "stringValue": lambda value, key, _depth: _text(_string(value, key)),
    "intValue": lambda value, key, _depth: _integer(value, key, _INT64),
    "boolValue": _json_bool,
    "doubleValue": _json_double,
    "arrayValue": _json_list,
    "kvlistValue": _json_map,
    "bytesValue": lambda value, key, _depth: _text(_string(value, key)),
}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{name} must be an object")
    return value


def _child(thing: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = thing.get(key)
    return {} if value is None else _object(value, key)


def _objects(thing: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = thing.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequestError(f"{key} must be a list")
    for item in value:
        _object(item, f"each of {key}")
    return value


def _string(thing: Mapping[str, Any], key: str) -> str:
    value = thing.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key} must be a string")
    return value


def _integer(thing: Mapping[str, Any], key: str, allowed: range) -> int:
    """A whole number of 64 bits. The protocol writes it as a string; a number is read too."""
    value = thing[key]
    if isinstance(value, str) and len(value) <= 20:  # noqa: PLR2004 - digits of 64 bits, and a sign
        try:
            value = int(value)
        except ValueError:
            value = None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise InvalidRequestError(f"{key} must be a whole number of 64 bits")
    return value


def _time(thing: Mapping[str, Any], key: str) -> int:
    return 0 if thing.get(key) is None else _integer(thing, key, range(2**64))


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot, by replacement characters."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


# Writing.


def to_json(spans: Iterable[Span]) -> dict[str, Any]:
    """Write spans as OTLP/JSON, an `ExportTraceServiceRequest`.

    Bytes, infinity and NaN are kept as text, and are written as text. Log records among the spans'
    events are left out.
    """
    return {"resourceSpans": _grouped(spans, "scopeSpans", "spans", _span_json)}


def logs_to_json(logs: Iterable[LogRecord]) -> dict[str, Any]:
    """Write log records as OTLP/JSON, an `ExportLogsServiceRequest`."""
    return {"resourceLogs": _grouped(logs, "scopeLogs", "logRecords", _log_json)}


_Item = TypeVar("_Item", Span, LogRecord)


def _grouped(
    items: Iterable[_Item], scopes: str, name: str, write: Callable[[_Item], dict[str, Any]]
) -> list[dict[str, Any]]:
    # Groups items by resource and scope. Attributes may hold lists, so their JSON is the key.
    groups: dict[str, dict[str, Any]] = {}
    for item in items:
        resource = json.dumps(item.resource, sort_keys=True)
        of_resource = groups.setdefault(
            resource, {"resource": {"attributes": _pairs(item.resource)}, "scopes": {}}
        )
        of_resource["scopes"].setdefault(item.scope, []).append(write(item))
    return [
        {
            "resource": group["resource"],
            scopes: [
                {"scope": {"name": scope}, name: of_scope}
                for scope, of_scope in group["scopes"].items()
            ],
        }
        for group in groups.values()
    ]


def _log_json(record: LogRecord) -> dict[str, Any]:
    written: dict[str, Any] = {
        "timeUnixNano": str(record.time),
        "body": _any_value(record.body),
        "attributes": _pairs(record.attributes),
    }
    named = {
        "traceId": record.trace_id,
        "spanId": record.span_id,
        "eventName": record.name,
        "severityText": record.severity,
    }
    return {**written, **{name: value for name, value in named.items() if value}}


def _span_json(span: Span) -> dict[str, Any]:
    status: dict[str, Any] = {"code": STATUSES.index(span.status)}
    if span.status_message:
        status["message"] = span.status_message
    written: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id or "",
        "name": span.name,
        "kind": KINDS.index(span.kind),
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.end),
        "attributes": _pairs(span.attributes),
        "status": status,
    }
    events = [event for event in span.events if not event.get("is_log")]
    if events:
        written["events"] = [
            {
                "name": event["name"],
                "timeUnixNano": str(event["time"]),
                "attributes": _pairs(event["attributes"]),
            }
            for event in events
        ]
    if span.links:
        written["links"] = [
            {
                "traceId": link["trace_id"],
                "spanId": link["span_id"],
                "attributes": _pairs(link["attributes"]),
            }
            for link in span.links
        ]
    return written


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Any) -> dict[str, Any]:  # noqa: PLR0911 - one answer for each type
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _pairs(value)}}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"stringValue": str(value)}
