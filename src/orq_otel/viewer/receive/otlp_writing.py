"""Write spans and log records as OTLP/JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.receive.received import KINDS, STATUSES


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
