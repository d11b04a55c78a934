"""Spans that a test expects to see, with values that no registry knows of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.checker.findings import Finding, violation
from conformance.checker.telemetry import Span, load_spans


def expect(spans: Any, cases: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """What is not as expected.

    Args:
        spans: Whatever `load_spans` takes.
        cases: Expected spans, each `{"name": str, "attributes": {name: value}, "absent": [name],
            "kind": str}`, all but the name optional. A value may be a function that judges it. A
            case is about the first span of its name that no earlier case was about.
    """
    left = load_spans(spans)
    found: list[Finding] = []
    for case in cases:
        span = next((span for span in left if span.name == case["name"]), None)
        if span is None:
            found.append(violation("expected_span_absent", case["name"]))
            continue
        left.remove(span)
        found += _compare(span, case)
    return found


def _compare(span: Span, case: Mapping[str, Any]) -> Iterator[Finding]:
    for name, wanted in case.get("attributes", {}).items():
        got = span.attributes.get(name, "<absent>")
        if not (wanted(got) if callable(wanted) else got == wanted):
            yield violation("expected_value", span.name, name, f"got {got!r}, want {wanted!r}")
    for name in case.get("absent", ()):
        if name in span.attributes:
            yield violation("expected_absent", span.name, name)
    if "kind" in case and span.kind != case["kind"]:
        yield violation("span_kind", span.name, detail=span.kind)
