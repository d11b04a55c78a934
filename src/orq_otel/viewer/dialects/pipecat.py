"""Pipecat: a span for each turn of a voice conversation, and for its model, ears and voice.

https://docs.pipecat.ai/server/utilities/opentelemetry
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, answered_in, asked_in

PIPECAT: Final = Dialect(
    name="Pipecat",
    # Its names are common ones, so that it is known by those that stand beside them.
    marks=("conversation.type", "turn.number", "metrics.ttfb", "param.", "settings."),
    is_genai=False,
    thread_ids=("conversation.id",),
    users=("user_id",),
    asked=asked_in("input"),
    answered=answered_in("output", "text_output"),
)
