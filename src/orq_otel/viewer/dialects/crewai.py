"""CrewAI under OpenInference: what a crew is to do stands on its span, before any model is asked.

https://docs.crewai.com/en/observability/overview
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, first
from orq_otel.viewer.dialects.shapes import asked
from orq_otel.viewer.model.telemetry import Span

_TASKS: Final = ("crew_tasks", "crewai.crew.tasks")


def _asked(span: Span) -> Messages:
    tasks = first(span.attributes, _TASKS)
    if not isinstance(tasks, list):
        return []
    return asked([one.get("description") for one in tasks if isinstance(one, Mapping)])


CREWAI: Final = Dialect(name="CrewAI", marks=_TASKS, asked=_asked)
