"""What an instrumentor makes of its calls: the signals that are switched on, and who takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from opentelemetry.trace import Tracer

from orq_otel.genai.content import Capture
from orq_otel.genai.errors import Errors
from orq_otel.genai.events import Events
from orq_otel.genai.metrics import Metrics


@dataclass(frozen=True)
class Telemetry:
    """What an instrumentor makes of its calls.

    Attributes:
        tracer: Makes their spans.
        errors: Reads the errors of its client.
        events: Emits their log records, or None for none.
        metrics: Measures them, or None.
        capture: What to do with their content, or None to leave it alone.
    """

    tracer: Tracer
    errors: Errors
    events: Events | None = None
    metrics: Metrics | None = None
    capture: Capture | None = None

    @property
    def unrecorded(self) -> Telemetry:
        """The same for a call whose span is not sampled: it is measured, and nothing else."""
        # Kept without functools.cached_property, which up to Python 3.11 holds a lock. A process
        # that is forked meanwhile would wait for it forever.
        known: Telemetry | None = self.__dict__.get("_unrecorded")
        if known is None:
            known = self.__dict__["_unrecorded"] = replace(self, events=None, capture=None)
        return known
