"""Read spans and log records from the JSON form of OTLP."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.receive.cut_texts import MAX_NAME, cut_text, cut_value
from orq_otel.viewer.receive.received import (
    KINDS,
    MAX_DEPTH,
    MAX_JSON_ITEMS,
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

_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)
#: As many as the largest double has.
_MOST_DIGITS: Final = 309
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def from_json(body: bytes) -> Received:
    """Read an `ExportTraceServiceRequest` or `ExportLogsServiceRequest` in its JSON form, or both.

    Raises:
        InvalidRequestError: The body is not such a request.
        RequestTooLargeError: Reading it would take too much memory.
    """
    try:
        request = _object(read_json(body), "the body")
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidRequestError):
            raise
        raise InvalidRequestError(f"the body is no JSON that can be read: {error}") from error
    received = Received()
    for of, scope in _scopes(request, "resourceSpans", "scopeSpans"):
        for span in _objects(scope, "spans"):
            try:
                received.add(_json_span(span, of.resource, of.service, of.scope))
            except InvalidRequestError as error:  # noqa: PERF203 - the other spans are kept
                received.reject(f"span {str(span.get('name') or '')[:100]!r}: {error}")
    for of, scope in _scopes(request, "resourceLogs", "scopeLogs"):
        for record in _objects(scope, "logRecords"):
            try:
                received.add_log(_json_log(record, of))
            except InvalidRequestError as error:  # noqa: PERF203 - the same
                received.reject(f"log record: {error}")
    return received


def read_json(body: bytes) -> Any:
    """Read JSON, also with texts that are not UTF-8 or have halves of characters.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply.
        RequestTooLargeError: Reading it would take too much memory.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > MAX_JSON_ITEMS:
        raise RequestTooLargeError("the request has too many values")
    text = body.decode(json.detect_encoding(body), "replace")
    value = json.loads(text)
    return _whole(value) if _SURROGATE.search(text) else value


def field_of(thing: Mapping[str, Any], name: str) -> Any:
    """A field, by its name in JSON or else in protobuf, as protobuf's parsers take both."""
    value = thing.get(name)
    return thing.get(_snake(name)) if value is None else value


@functools.cache
def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name)


def _scopes(
    request: Mapping[str, Any], of_resources: str, of_scopes: str
) -> Iterator[tuple[Origin, Mapping[str, Any]]]:
    for of_resource in _objects(request, of_resources):
        resource = _json_attributes(_child(of_resource, "resource"))
        service = str(resource.get("service.name", ""))
        for of_scope in _objects(of_resource, of_scopes):
            scope = cut_text(_string(_child(of_scope, "scope"), "name"), MAX_NAME)
            yield Origin(resource, service, scope), of_scope


def _json_log(record: Mapping[str, Any], of: Origin) -> LogRecord:
    attributes = _json_attributes(record)
    return LogRecord(
        trace_id=id_or_none(_string(record, "traceId").lower(), TRACE_ID),
        span_id=id_or_none(_string(record, "spanId").lower(), SPAN_ID),
        name=event_name(_string(record, "eventName"), attributes),
        time=_time(record, "timeUnixNano") or _time(record, "observedTimeUnixNano"),
        severity=cut_text(_string(record, "severityText"), MAX_NAME),
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
        parent_id=parent_of(_string(span, "parentSpanId").lower()),
        name=cut_text(_string(span, "name"), MAX_NAME),
        kind=_json_enum(span, "kind", KINDS, "SPAN_KIND_"),
        start=_time(span, "startTimeUnixNano"),
        end=_time(span, "endTimeUnixNano"),
        status=_json_enum(status, "code", STATUSES, "STATUS_CODE_"),
        status_message=cut_text(_string(status, "message")),
        service=service,
        scope=scope,
        attributes=_json_attributes(span),
        resource=resource,
        events=tuple(map(_json_event, some(_objects(span, "events")))),
        links=tuple(map(_json_link, some(_objects(span, "links")))),
    )


def _json_event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": cut_text(_string(event, "name"), MAX_NAME),
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
        return name_of(names, value)
    if isinstance(value, str):
        name = value.removeprefix(prefix)
        return name if name in names else names[0]
    raise InvalidRequestError(f"{key} must be a number")


def _json_attributes(thing: Mapping[str, Any], key: str = "attributes", depth: int = 0) -> Any:
    pairs = _objects(thing, key)
    chosen = kept(pairs, lambda pair: _string(pair, "key"))
    attributes = {
        cut_text(_string(pair, "key"), MAX_NAME): _json_value(_child(pair, "value"), depth)
        for pair in chosen
    }
    return marked(attributes, len(pairs) - len(chosen))


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


def _json_integer(value: Mapping[str, Any], key: str, _depth: int) -> int | str:
    """A whole number, or its digits if it has more than 64 bits, as some of JavaScript's have."""
    number = _integer(value[key], key)
    return number if number in _INT64 else str(number)


def _json_double(value: Mapping[str, Any], key: str, _depth: int) -> float | str:
    number = value[key]
    if isinstance(number, bool) or not isinstance(number, (int, float, str)):
        raise InvalidRequestError(f"{key} must be a number")
    try:
        return json_number(float(number))
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(f"{key} must be a number") from error


def _json_list(value: Mapping[str, Any], key: str, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    values = some(_objects(_child(value, key), "values"))
    return [_json_value(item, depth + 1) for item in values]


def _json_map(value: Mapping[str, Any], key: str, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    return _json_attributes(_child(value, key), "values", depth + 1)


_JSON_VALUES: dict[str, Callable[[Mapping[str, Any], str, int], Any]] = {
    "stringValue": lambda value, key, _depth: cut_value(_string(value, key)),
    "intValue": _json_integer,
    "boolValue": _json_bool,
    "doubleValue": _json_double,
    "arrayValue": _json_list,
    "kvlistValue": _json_map,
    "bytesValue": lambda value, key, _depth: cut_text(_string(value, key)),
}
_JSON_VALUES |= {_snake(key): read for key, read in _JSON_VALUES.items()}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{name} must be an object")
    return value


def _child(thing: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = field_of(thing, key)
    return {} if value is None else _object(value, key)


def _objects(thing: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = field_of(thing, key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequestError(f"{key} must be a list")
    for item in value:
        _object(item, f"each of {key}")
    return value


def _string(thing: Mapping[str, Any], key: str) -> str:
    value = field_of(thing, key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key} must be a string")
    return value


def _integer(value: Any, key: str) -> int:
    """A whole number. The protocol writes it as a string; a number is read too."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS:
        try:
            value = int(value)
        except ValueError:
            value = None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(f"{key} must be a whole number")
    return value


def _time(thing: Mapping[str, Any], key: str) -> int:
    value = field_of(thing, key)
    time = 0 if value is None else _integer(value, key)
    if time not in _UINT64:
        raise InvalidRequestError(f"{key} must be a whole number of 64 bits")
    return time


def _whole(value: Any) -> Any:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot, by replacement characters."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
