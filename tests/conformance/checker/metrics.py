"""Rules for metrics: name, unit, instrument, buckets, attributes, and which ones there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from conformance.checker.attributes import check_attribute
from conformance.checker.findings import Finding, info, violation, warning, without_allowed
from conformance.checker.names import (
    ERROR_TYPE,
    INFERENCE,
    OPERATION,
    OWN,
    PROVIDER,
    RESPONSE_MODEL,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from conformance.checker.registry import Registry, Row, registry
from conformance.checker.telemetry import Metric, Point, load_metrics

#: By profile, the metrics of an inference.
_OF_INFERENCE: Final = {
    "main": (
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    ),
    "2026-08": ("gen_ai.client.operation.duration", "gen_ai.client.token.usage"),
}

#: By profile, the metrics that an inference has if it streams.
_OF_STREAM: Final = {
    "main": (
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.time_per_output_chunk",
    ),
    "2026-08": (
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
    ),
}

#: The metrics of an embedding, of which any one will do.
_OF_EMBEDDINGS: Final = ("gen_ai.client.operation.duration", "gen_ai.client.embeddings.duration")


def check_metrics(
    data: Any,
    profile: str = "main",
    operations: Iterable[str] | None = None,
    streamed: bool = False,
    allow: Iterable[str] = (),
) -> list[Finding]:
    """What is wrong with metrics.

    Args:
        data: Whatever `load_metrics` takes.
        profile: The state of the conventions.
        operations: The operations that were called, to tell which metrics there should be. None
            for those that the metrics speak of.
        streamed: Whether answers were streamed.
        allow: Findings to leave out, as `CODE` or `CODE:KEY`.
    """
    conventions = registry(profile)
    metrics = load_metrics(data)
    found = [finding for metric in metrics for finding in _check_metric(conventions, metric)]
    called = _called(metrics) if operations is None else set(operations)
    seen = {metric.name for metric in metrics}
    found += [
        warning("missing_metric", name)
        for name in _wanted(profile, called, seen, streamed=streamed)
        if name not in seen
    ]
    return without_allowed(found, allow)


def _called(metrics: Iterable[Metric]) -> set[str]:
    """The operations that metrics speak of."""
    told = [point.attributes.get(OPERATION) for one in metrics for point in one.points]
    return {operation for operation in told if isinstance(operation, str)}


def _wanted(profile: str, called: set[str], seen: set[str], *, streamed: bool) -> list[str]:
    """The metrics that these operations should have led to."""
    wanted: list[str] = []
    if called & INFERENCE:
        wanted += _OF_INFERENCE[profile]
        if streamed:
            wanted += _OF_STREAM[profile]
    if "embeddings" in called and seen.isdisjoint(_OF_EMBEDDINGS):
        wanted.append(_OF_EMBEDDINGS[0])
    return wanted


def _check_metric(registry: Registry, metric: Metric) -> Iterator[Finding]:
    row = registry.metrics.get(metric.name)
    if row is None:
        yield _judge_unknown(registry, metric.name)
        return
    if metric.unit != row["unit"]:
        detail = f"{metric.unit!r}, expected {row['unit']!r}"
        yield violation("metric_unit", metric.name, detail=detail)
    if metric.instrument != row["instrument"]:
        detail = f"{metric.instrument}, expected {row['instrument']}"
        yield violation("metric_instrument", metric.name, detail=detail)
    # What holds for several points is said once.
    found = {
        finding for point in metric.points for finding in _check_point(registry, metric, row, point)
    }
    yield from sorted(found, key=_order)


def _order(finding: Finding) -> str:
    return str((finding.level, finding.code, finding.key, finding.detail))


def _judge_unknown(registry: Registry, name: str) -> Finding:
    """What to say of a metric that the registry does not have."""
    if name in registry.removed_metrics:
        return violation("removed_metric", name, detail=registry.removed_metrics[name])
    if name.startswith(OWN):
        return violation("unknown_metric", name)
    if name.startswith("llm."):
        return violation("unknown_metric", name, detail="non-semconv LLM metric")
    return info("vendor_metric", name)


def _check_point(registry: Registry, metric: Metric, row: Row, point: Point) -> Iterator[Finding]:
    yield from _check_values(metric, row, point)
    operation = point.attributes.get(OPERATION)
    if operation in registry.metric_not_for.get(metric.name, ()):
        detail = f"{operation}: use the inference metric"
        yield violation("metric_not_for_operation", metric.name, detail=detail)
    declared = dict(row["attributes"])
    if point.attributes.get(PROVIDER) == "openai":
        for refinement in registry.metric_refinements.get(metric.name, {}).values():
            declared.update(refinement)
    yield from _check_attributes(registry, metric, point, declared)
    yield from _check_missing(metric, point, declared)


def _check_values(metric: Metric, row: Row, point: Point) -> Iterator[Finding]:
    has_buckets = row.get("buckets") and metric.instrument == "histogram"
    bounds = point.bounds or []
    if has_buckets and [float(bound) for bound in bounds] != row["buckets"]:
        yield violation("metric_buckets", metric.name, detail=f"{bounds[:6]}...")
    is_measured = row.get("value_type") == "double" and isinstance(point.value, (int, float))
    if is_measured and point.value < 0:
        yield violation("metric_negative", metric.name)


def _check_attributes(
    registry: Registry, metric: Metric, point: Point, declared: dict[str, Row]
) -> Iterator[Finding]:
    for name, value in point.attributes.items():
        for finding in check_attribute(registry, metric.name, name, value):
            if finding.level != "info":
                yield finding
        if name not in declared:
            detail = "not declared on this metric"
            yield violation("metric_undeclared_attribute", metric.name, name, detail)


def _check_missing(metric: Metric, point: Point, declared: dict[str, Row]) -> Iterator[Finding]:
    for name, row in declared.items():
        if name in point.attributes:
            continue
        if row["level"] == "required":
            detail = f"operation {point.attributes.get(OPERATION)}"
            yield violation("missing_required", metric.name, name, detail)
        elif name == SERVER_PORT and SERVER_ADDRESS in point.attributes:
            yield violation("missing_conditionally_required", metric.name, name)
        elif name == SERVER_ADDRESS or (
            name == RESPONSE_MODEL and ERROR_TYPE not in point.attributes
        ):
            yield warning("missing_recommended", metric.name, name)
