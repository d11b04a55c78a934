"""Telemetry as plain values, out of every form that it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conformance.checker import otlp

_KINDS: Final = {
    0: "unspecified",
    1: "internal",
    2: "server",
    3: "client",
    4: "producer",
    5: "consumer",
}
_STATUSES: Final = {0: "unset", 1: "ok", 2: "error"}
_INSTRUMENTS: Final = (
    "histogram",
    "sum",
    "gauge",
    "exponentialHistogram",
    "exponential_histogram",
)


@dataclass
class SpanEvent:
    """An event of a span."""

    name: str
    attributes: dict[str, Any]


@dataclass
class Span:
    """A finished span.

    Attributes:
        name: Its name.
        kind: "internal", "client" and so on.
        attributes: Its attributes, lists instead of tuples.
        status: "unset", "ok" or "error".
        description: The status' description.
        events: Its events.
        trace_id: Its trace's id as its source wrote it: hexadecimal, from protobuf base64.
        span_id: Its own id, likewise.
        scope: The name of the instrumentation scope.
    """

    name: str
    kind: str
    attributes: dict[str, Any]
    status: str = "unset"
    description: str | None = None
    events: list[SpanEvent] = field(default_factory=list)
    trace_id: str = ""
    span_id: str = ""
    scope: str = ""


@dataclass
class Point:
    """A data point of a metric.

    Attributes:
        attributes: Its attributes.
        bounds: A histogram's bucket boundaries.
        value: The value, of a histogram the sum.
    """

    attributes: dict[str, Any]
    bounds: list[float] | None
    value: Any


@dataclass
class Metric:
    """A metric with its data points.

    Attributes:
        name: Its name.
        unit: Its unit.
        instrument: "counter", "updowncounter", "histogram" and so on.
        points: Its data points.
    """

    name: str
    unit: str
    instrument: str
    points: list[Point]


@dataclass
class LogRecord:
    """A log record, which is an event if it has a name.

    Attributes:
        name: The event's name.
        attributes: Its attributes.
        severity: The severity's number, or its name in OTLP.
        body: Its body.
        span_id: The span that was current, if any.
    """

    name: str | None
    attributes: dict[str, Any]
    severity: Any
    body: Any
    span_id: Any


def load_spans(source: Any) -> list[Span]:
    """Spans.

    Args:
        source: An OTLP document, a span in JSON, or a sequence of such, SDK spans or `Span`.
    """
    source = otlp.from_message(source)
    if isinstance(source, Mapping):
        if "resourceSpans" in source or "resource_spans" in source:
            return [_span_of_json(span, scope) for span, scope in otlp.walk(source, otlp.SPANS)]
        return [_span_of_json(source)] if "name" in source else []
    spans: list[Span] = []
    for given in source:
        one = otlp.from_message(given)
        if isinstance(one, Span):
            spans.append(one)
        elif isinstance(one, Mapping):
            spans += load_spans(one)
        else:
            spans.append(_span_of_sdk(one))
    return spans


def dump_spans(spans: Any) -> dict[str, Any]:
    """Spans as an OTLP/JSON document, with one resource and each scope once."""
    scopes: dict[str, list[dict[str, Any]]] = {}
    for span in load_spans(spans):
        scopes.setdefault(span.scope, []).append(_json_of_span(span))
    found = [{"scope": {"name": name}, "spans": own} for name, own in scopes.items()]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": found}]}


def load_metrics(source: Any) -> list[Metric]:
    """Metrics.

    Args:
        source: `MetricsData`, an OTLP document, a list of such, or None for no metrics.
    """
    source = otlp.from_message(source)
    if source is None:
        return []
    if isinstance(source, (list, tuple)):
        return [metric for one in source for metric in load_metrics(one)]
    if isinstance(source, Mapping):
        return [
            _metric_of_json(metric, instrument)
            for metric, _ in otlp.walk(source, otlp.METRICS)
            for instrument in _INSTRUMENTS
            if instrument in metric
        ]
    return [
        _metric_of_sdk(metric)
        for resource in source.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def load_logs(source: Any) -> list[LogRecord]:
    """Log records.

    Args:
        source: An OTLP document, or a sequence of such or of what an in-memory exporter returns.
    """
    source = otlp.from_message(source)
    if isinstance(source, Mapping):
        return [_record_of_json(record) for record, _ in otlp.walk(source, otlp.LOGS)]
    records: list[LogRecord] = []
    for one in source or ():
        if isinstance(one, Mapping):
            records += load_logs(one)
        else:
            records.append(_record_of_sdk(one))
    return records


def kind_name(kind: Any) -> str:
    """A span's kind, from its number, the SDK's enumeration or its name in OTLP."""
    if isinstance(kind, int):
        return _KINDS.get(kind, str(kind))
    return _short_name(kind, "SPAN_KIND_")


def _status_name(status: Any) -> str:
    if status is None:
        return "unset"
    if isinstance(status, int):
        return _STATUSES[status]
    return _short_name(status, "STATUS_CODE_")


def _short_name(member: Any, prefix: str) -> str:
    """The name of an enumeration's member: also "client" for `SpanKind.CLIENT`, a string."""
    name = str(getattr(member, "name", member))
    return name.replace(prefix, "").split(".")[-1].lower()


def _span_of_json(row: Mapping[str, Any], scope: str = "") -> Span:
    status = row.get("status") or {}
    description = None
    if isinstance(status, Mapping):
        description = otlp.field(status, "message", "description")
        status = otlp.field(status, "code", "status_code")
    context = row.get("context") or {}
    trace_id = otlp.field(row, "traceId", "trace_id", default=context.get("trace_id", ""))
    span_id = otlp.field(row, "spanId", "span_id", default=context.get("span_id", ""))
    return Span(
        name=row.get("name", ""),  # protobuf leaves out what is empty
        kind=kind_name(row.get("kind", "internal")),
        attributes=otlp.read_attributes(row.get("attributes")),
        status=_status_name(status),
        description=description,
        events=[
            SpanEvent(event.get("name"), otlp.read_attributes(event.get("attributes")))
            for event in row.get("events") or ()
        ],
        trace_id=str(trace_id).removeprefix("0x"),
        span_id=str(span_id).removeprefix("0x"),
        scope=scope,
    )


def _span_of_sdk(span: Any) -> Span:
    context = span.get_span_context() if hasattr(span, "get_span_context") else span.context
    scope = getattr(span, "instrumentation_scope", None)
    return Span(
        name=span.name,
        kind=kind_name(span.kind),
        attributes=otlp.plain(dict(span.attributes or {})),
        status=_status_name(span.status.status_code),
        description=span.status.description,
        events=[
            SpanEvent(event.name, otlp.plain(dict(event.attributes or {}))) for event in span.events
        ],
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        scope=scope.name if scope else "",
    )


def _json_of_span(span: Span) -> dict[str, Any]:
    status = {"code": f"STATUS_CODE_{span.status.upper()}"}
    if span.description:
        status["message"] = span.description
    return {
        "name": span.name,
        "kind": f"SPAN_KIND_{span.kind.upper()}",
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "attributes": otlp.write_attributes(span.attributes),
        "status": status,
        "events": [
            {"name": event.name, "attributes": otlp.write_attributes(event.attributes)}
            for event in span.events
        ],
    }


def _metric_of_json(row: Mapping[str, Any], instrument: str) -> Metric:
    data = row[instrument]
    if instrument == "sum":
        is_monotonic = otlp.field(data, "isMonotonic", "is_monotonic")
        instrument = "counter" if is_monotonic else "updowncounter"
    points = [
        Point(
            attributes=otlp.read_attributes(point.get("attributes")),
            bounds=otlp.field(point, "explicitBounds", "explicit_bounds"),
            value=otlp.field(point, "sum", "asInt", "asDouble", "as_int", "as_double"),
        )
        for point in otlp.field(data, "dataPoints", "data_points", default=())
    ]
    return Metric(row.get("name", ""), row.get("unit", ""), instrument, points)


def _metric_of_sdk(metric: Any) -> Metric:
    instrument = type(metric.data).__name__.lower()
    if instrument == "sum":
        instrument = "counter" if metric.data.is_monotonic else "updowncounter"
    points = [
        Point(
            attributes=otlp.plain(dict(point.attributes or {})),
            bounds=list(getattr(point, "explicit_bounds", None) or ()) or None,
            value=getattr(point, "sum", getattr(point, "value", None)),
        )
        for point in metric.data.data_points
    ]
    return Metric(metric.name, metric.unit, instrument, points)


def _record_of_json(row: Mapping[str, Any]) -> LogRecord:
    return LogRecord(
        name=otlp.field(row, "eventName", "event_name"),
        attributes=otlp.read_attributes(row.get("attributes")),
        severity=otlp.field(row, "severityNumber", "severity_number"),
        body=otlp.read_value(row["body"]) if row.get("body") else None,
        span_id=otlp.field(row, "spanId", "span_id"),
    )


def _record_of_sdk(exported: Any) -> LogRecord:
    record = getattr(exported, "log_record", exported)
    attributes = record.attributes or {}
    severity = getattr(record, "severity_number", None)
    return LogRecord(
        name=getattr(record, "event_name", None) or attributes.get("event.name"),
        attributes=otlp.plain(dict(attributes)),
        severity=getattr(severity, "value", severity),
        body=record.body,
        span_id=getattr(record, "span_id", None),
    )
