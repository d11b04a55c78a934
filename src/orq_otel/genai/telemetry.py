"""The signals that an instrumentor makes of its calls, and where they go."""

from __future__ import annotations

from dataclasses import dataclass, replace

from opentelemetry.trace import Tracer

from orq_otel.genai.content import Capture
from orq_otel.genai.errors import Errors
from orq_otel.genai.events import Events
from orq_otel.genai.metrics import Metrics


@dataclass(frozen=True)
class Telemetry:
    """The signals that an instrumentor makes of its calls.

    Attributes:
        tracer: Makes spans.
        errors: Describes the client's errors.
        events: Emits log records, or None for none.
        metrics: Records metrics, or None for none.
        capture: Collects content, or None if it is not captured.
    """

    tracer: Tracer
    errors: Errors
    events: Events | None = None
    metrics: Metrics | None = None
    capture: Capture | None = None

    @property
    def unrecorded(self) -> Telemetry:
        """The same for a call whose span is not sampled: only its metrics are recorded."""
        # Not a functools.cached_property, which up to Python 3.11 holds a lock. A process that is
        # forked meanwhile would wait for it forever.
        cached: Telemetry | None = self.__dict__.get("_unrecorded")
        if cached is None:
            cached = self.__dict__["_unrecorded"] = replace(self, events=None, capture=None)
        return cached
