"""What every application does whose requests are sampled: some work, and a report of warnings."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace

from orq_otel import current_thread
from orq_otel.foundations import guard


def work() -> str:
    """A span inside of the request."""
    trace.get_tracer("app").start_span("work").end()
    return repr(current_thread())


def report() -> dict[str, Any]:
    """How often each warning and each failure of ours occurred."""
    return {one.code: one.count for one in guard.occurrences()}
