"""What a sample of a peer's telemetry shows: how much it emits, and whether it holds content.

A peer that records less is faster, so every figure stands beside what it bought.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from scenarios import Mode, Scenario
from traffic import REQUESTS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from pipeline import Pipeline

ENCODINGS = 15


def describe(
    pipeline: Pipeline, scenario: Scenario, spans: Sequence[ReadableSpan], calls: int
) -> dict[str, Any]:
    """Describe the spans of so many calls: names, attributes, events, content and metrics."""
    per_call = len(spans) / calls
    last = spans[-max(1, int(per_call)) :] if spans else []
    found: dict[str, Any] = {
        "spans_per_call": per_call,
        "names": sorted({span.name for span in last}),
        "attributes": [len(span.attributes or {}) for span in last],
        "events": [len(span.events) for span in last],
        "dropped_attributes": [span.dropped_attributes for span in last],
        "sample": {k: str(v)[:60] for span in last for k, v in (span.attributes or {}).items()},
    }
    texts = REQUESTS[scenario.request].content
    if spans and texts:
        everything = "\n".join(_texts(last, pipeline))
        found["content"] = all(text in everything for text in texts)
    if pipeline.metric_reader is not None and scenario.mode is Mode.SDK:
        found["metric_points"] = _metric_points(pipeline.metric_reader.get_metrics_data())
    if spans:
        found |= _encoding(spans, per_call)
    return found


def _texts(spans: Sequence[ReadableSpan], pipeline: Pipeline) -> Iterator[str]:
    """Every value that these spans, their events and the log records of all calls hold."""
    for span in spans:
        yield from map(str, (span.attributes or {}).values())
        for event in span.events:
            yield from map(str, (event.attributes or {}).values())
    if pipeline.log_exporter is not None:
        for record in pipeline.log_exporter.kept or ():
            yield f"{record.log_record.body} {record.log_record.attributes}"


def _metric_points(data: Any) -> int:
    """How many points there are, not counting what the SDK says about itself."""
    return sum(
        len(metric.data.data_points)
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if not metric.name.startswith("otel.sdk")
    )


def _encoding(spans: Sequence[ReadableSpan], per_call: float) -> dict[str, Any]:
    """Size and cost of the spans of one call as OTLP.

    It happens on the export thread, but holds the interpreter's lock while it does.
    """
    encoded = encode_spans(spans)
    size = sum(
        span.ByteSize()
        for resource in encoded.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )
    fastest = 0
    for _ in range(ENCODINGS):
        start = perf_counter_ns()
        encode_spans(spans).SerializeToString()
        taken = perf_counter_ns() - start
        fastest = min(fastest, taken) if fastest else taken
    return {
        "otlp_bytes_per_call": round(size / len(spans) * per_call),
        "otlp_encode_ns_per_call": round(fastest / len(spans) * per_call),
    }
