"""The types of GenAI spans, which their operations tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.checker.names import INFERENCE, MEMORY, OPERATION, PROVIDER
from conformance.checker.registry import Registry, Row
from conformance.checker.telemetry import Span


@dataclass(frozen=True)
class GenAISpan:
    """A GenAI span of a known type.

    Attributes:
        span: The span.
        operation: What it did.
        base: Its type.
        row: What the registry says of the type: the provider's own row, if it has one.
    """

    span: Span
    operation: str
    base: str
    row: Row

    @property
    def attributes(self) -> dict[str, Any]:
        """The span's attributes."""
        return self.span.attributes

    @property
    def where(self) -> str:
        """The span's name, for findings."""
        return self.span.name

    @property
    def is_error(self) -> bool:
        """Whether what it did failed."""
        return self.span.status == "error"


def as_genai_span(registry: Registry, span: Span) -> GenAISpan | None:
    """A span with its type, if its operation tells it."""
    operation = span.attributes.get(OPERATION)
    if not isinstance(operation, str):
        return None
    base = _base_type(registry, span, operation)
    if base is None:
        return None
    return GenAISpan(span, operation, base, _row(registry, base, span.attributes.get(PROVIDER)))


def _row(registry: Registry, base: str, provider: Any) -> Row:
    if isinstance(provider, str):
        for name, refinement in registry.span_refinements.items():
            if refinement["ref"] == base and name.startswith(f"{provider}."):
                return refinement
    return registry.spans[base]


def _base_type(registry: Registry, span: Span, operation: str) -> str | None:
    if operation in INFERENCE:
        current, earlier = "gen_ai.client.inference", "gen_ai.inference.client"
        return current if current in registry.spans else earlier
    if operation in MEMORY:
        return "gen_ai.memory.client"
    if operation == "invoke_agent":
        side = "client" if span.kind == "client" else "internal"
        return f"gen_ai.invoke_agent.{side}"
    named = (name for name in registry.spans if name.startswith(f"gen_ai.{operation}."))
    return next(named, None)
