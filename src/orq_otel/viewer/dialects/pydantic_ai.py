"""Pydantic AI: messages as events in JSON (version 1), or as the GenAI conventions have them.

https://ai.pydantic.dev/logfire/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, first
from orq_otel.viewer.dialects.shapes import answered, asked, message
from orq_otel.viewer.model.telemetry import Span

_CHOICE: Final = "gen_ai.choice"
_ALL: Final = ("pydantic_ai.all_messages", "all_messages_events", "all_messages")


def _events(span: Span) -> list[Any]:
    found = first(span.attributes, ("events",))
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _asked(span: Span) -> Messages:
    found = asked([one for one in _events(span) if one.get("event.name") != _CHOICE])
    if found:
        return found
    every = asked(first(span.attributes, _ALL))
    # An agent's messages end with its answer.
    return every[:-1] if every and every[-1]["role"] == "assistant" else every


def _answered(span: Span) -> Messages:
    choices = [one for one in _events(span) if one.get("event.name") == _CHOICE]
    found = [read for one in choices if (read := message(one, "assistant"))]
    return found or answered(first(span.attributes, ("final_result",)))


PYDANTIC_AI: Final = Dialect(
    name="Pydantic AI",
    marks=("events", "final_result", "tool_arguments", "tool_response", *_ALL),
    is_genai=False,
    agents=("agent_name",),
    models=("model_name",),
    tool={"arguments": ("tool_arguments",), "result": ("tool_response",)},
    asked=_asked,
    answered=_answered,
)
