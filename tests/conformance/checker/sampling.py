"""Rules for what a span has to carry when it starts, which is all that a sampler gets to see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from conformance.checker.findings import Finding, warning
from conformance.checker.names import OPERATION
from conformance.checker.registry import Registry, registry
from conformance.checker.span_types import as_genai_span
from conformance.checker.telemetry import Span, kind_name, load_spans


@dataclass
class Start:
    """What a span carried when it started."""

    name: str
    kind: str
    attributes: dict[str, Any]


class Probe(Sampler):
    """A sampler that keeps every span, and notes what it carried when it started."""

    def __init__(self) -> None:
        self.starts: list[Start] = []

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        """Note what the span carries, and keep it."""
        self.starts.append(Start(name, kind_name(kind), dict(attributes or {})))
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """The sampler's name."""
        return "probe"


def make_probe() -> Probe:
    """A probe, to be given to `TracerProvider(sampler=...)`."""
    return Probe()


def check_sampling(probe: Probe, spans: Any, profile: str = "main") -> list[Finding]:
    """Attributes for samplers that finished spans have, and had not when they started.

    Args:
        probe: Saw the spans start.
        spans: The finished spans, whatever `load_spans` takes.
        profile: The state of the conventions.
    """
    conventions = registry(profile)
    starts = list(probe.starts)
    found: list[Finding] = []
    for span in load_spans(spans):
        start = next((start for start in starts if _is_start_of(span, start)), None)
        if start is not None:
            starts.remove(start)
            found += _check_late(conventions, span, start)
        elif OPERATION in span.attributes:
            found.append(warning("no_sampling_attributes", span.name, OPERATION))
    return found


def _is_start_of(span: Span, start: Start) -> bool:
    """Whether a span may have started so. Its name may have been completed since."""
    return (
        start.kind == span.kind
        and start.attributes.get(OPERATION) == span.attributes.get(OPERATION)
        and start.name.split(" ")[0] == span.name.split(" ")[0]
    )


def _check_late(registry: Registry, span: Span, start: Start) -> Iterator[Finding]:
    subject = as_genai_span(registry, span)
    if subject is None:
        return
    for name, requirement in subject.row["attributes"].items():
        is_late = name in span.attributes and name not in start.attributes
        if is_late and requirement.get("sampling_relevant"):
            yield warning("not_at_span_creation", span.name, name)
