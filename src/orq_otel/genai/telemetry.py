"""The signals that an instrumentor makes of its calls, and where they go."""

from __future__ import annotations

from dataclasses import dataclass, replace

from opentelemetry.trace import Tracer

from orq_otel.foundations.reaches import is_collected
from orq_otel.genai.content import Capture
from orq_otel.genai.errors import Errors
from orq_otel.genai.events import Events
from orq_otel.genai.metrics import Metrics


@dataclass(frozen=True)
class Telemetry:
    """The signals that an instrumentor makes of its calls. None stands for one that is not made."""

    tracer: Tracer
    errors: Errors
    events: Events | None = None
    metrics: Metrics | None = None
    capture: Capture | None = None

    def limited(self, length: int) -> Telemetry:
        """The same for a call on whose span the SDK cuts every text to `length` characters."""
        name = f"_limited_{length}"
        cached: Telemetry | None = self.__dict__.get(name)
        if cached is None:
            capture = self.capture and replace(self.capture, span_limit=length)
            cached = self.__dict__[name] = replace(self, capture=capture)
        return cached

    def reads(self, operation: str) -> bool:
        """Whether requests and responses of an operation are read for metrics or events."""
        if self.metrics is not None:
            return True
        return self.events is not None and self.events.have_details(operation)

    @property
    def unrecorded(self) -> Telemetry | None:
        """The same for a call whose span is not sampled. None if that leaves nothing to make.

        Metrics and events are of all calls, sampled or not, unless a setting says otherwise.
        """
        metrics, events = self.metrics, self.events
        if metrics is not None and not is_collected(metrics.duration):
            metrics = None
        if events is not None and (events.only_sampled or events.find_logger() is None):
            events = None
        if metrics is None and events is None:
            return None
        # Not a functools.cached_property, which up to Python 3.11 holds a lock. A process that is
        # forked meanwhile would wait for it forever.
        name = f"_unrecorded_{metrics is None}_{events is None}"
        cached: Telemetry | None = self.__dict__.get(name)
        if cached is None:
            capture = self.capture
            if events is None or capture is None or not (capture.on_event or capture.hook):
                capture = None
            else:  # without the event, nothing would refer to what a hook stores
                hook = capture.hook if events.details_wanted else None
                capture = replace(capture, on_span=False, hook=hook)
            cached = replace(self, metrics=metrics, events=events, capture=capture)
            self.__dict__[name] = cached
        return cached
