"""What a collector received, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1 import metrics_pb2

#: The attributes that say which thread a span or a log record belongs to.
LABELS = ("thread.id", "thread.tags", "orq.thread_id", "orq.tags", "gen_ai.conversation.id")


@dataclass(frozen=True)
class Labelled:
    """Something that may belong to a thread."""

    attributes: dict[str, Any]

    @property
    def thread_id(self) -> str | None:
        """The thread that it says it belongs to."""
        return self.attributes.get("thread.id")

    @property
    def labels(self) -> dict[str, Any]:
        """Those of its attributes that say which thread it belongs to."""
        return {key: self.attributes[key] for key in LABELS if key in self.attributes}


@dataclass(frozen=True)
class Span(Labelled):
    """A span that was received."""

    name: str
    kind: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes


@dataclass(frozen=True)
class Log(Labelled):
    """A log record that was received."""

    body: str
    event: str
    span_id: bytes


@dataclass(frozen=True)
class Metric:
    """A metric that was received."""

    name: str
    unit: str
    points: list[dict[str, Any]]


def as_span(span: trace_pb2.Span) -> Span:
    """Read a span as it was sent."""
    return Span(
        attributes=_attributes(span.attributes),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id,
    )


def as_log(record: LogRecord) -> Log:
    """Read a log record as it was sent."""
    return Log(
        attributes=_attributes(record.attributes),
        body=record.body.string_value,
        event=record.event_name,
        span_id=record.span_id,
    )


def as_metric(metric: metrics_pb2.Metric) -> Metric:
    """Read a metric as it was sent: the attributes of its points."""
    data = getattr(metric, metric.WhichOneof("data") or "sum")
    points = [_attributes(point.attributes) for point in data.data_points]
    return Metric(name=metric.name, unit=metric.unit, points=points)


def _attributes(pairs: Any) -> dict[str, Any]:
    """Fail if a key is there twice: a collector may then keep either."""
    given: list[KeyValue] = list(pairs)
    attributes = {pair.key: _value(pair.value) for pair in given}
    if len(attributes) < len(given):
        raise AssertionError(f"an attribute came twice: {sorted(pair.key for pair in given)}")
    return attributes


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)
