"""Mirascope: the GenAI conventions, with sessions and usage under names of its own.

https://mirascope.com/docs/ops, `mirascope/ops/_internal`.
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, usage_of
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span


def _usage(span: Span) -> Usage | None:
    return usage_of(span.attributes.get("mirascope.response.usage"))


MIRASCOPE: Final = Dialect(
    name="Mirascope",
    marks=("mirascope.response.", "mirascope.ops.", "mirascope.trace."),
    is_genai=False,  # it marks any function that is traced
    labels=("mirascope.ops.",),
    thread_ids=("mirascope.ops.session.id",),
    tags=("mirascope.trace.tags",),
    read_usage=_usage,
)
