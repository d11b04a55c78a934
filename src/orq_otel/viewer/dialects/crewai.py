"""CrewAI: a crew's span has its tasks, and with Traceloop what came of them.

https://docs.crewai.com/en/observability/overview
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, answered_in, first, usage_of
from orq_otel.viewer.dialects.printed import unprinted
from orq_otel.viewer.dialects.shapes import asked
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_TASKS: Final = ("crew_tasks", "crewai.crew.tasks")


def _asked(span: Span) -> Messages:
    tasks = first(span.attributes, _TASKS)
    if not isinstance(tasks, list):
        return []
    return asked([one.get("description") for one in tasks if isinstance(one, Mapping)])


def _usage(span: Span) -> Usage | None:
    metrics = span.attributes.get("crewai.crew.usage_metrics")
    return usage_of(unprinted(metrics)) if isinstance(metrics, str) else None


CREWAI: Final = Dialect(
    name="CrewAI",
    marks=_TASKS,
    read_usage=_usage,
    asked=_asked,
    answered=answered_in("crewai.crew.result"),
)
