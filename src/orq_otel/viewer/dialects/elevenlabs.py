"""ElevenLabs Agents: a trace for each conversation, a span for what each side said.

ElevenLabs hands traces out as OTLP/JSON, by a webhook, its API and a websocket, to be passed on.
The resource has the conversation's id; `elevenlabs.llm_usage.<model>.<part>` holds a number of
tokens and its price in US dollars, as Python prints them.

https://elevenlabs.io/docs/eleven-agents/customization/opentelemetry-traces
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.dialects.dialect import (
    Dialect,
    ToolUse,
    answered_in,
    asked_in,
    first,
    first_text,
    number,
    tokens,
)
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import Span

_ID: Final = "elevenlabs.conversation_id"
_USER: Final = "elevenlabs.user.text"
_AGENT: Final = "elevenlabs.agent.text"
_USAGE: Final = "elevenlabs.llm_usage."
_TOOL: Final = "elevenlabs.tool."
#: What came from a cache, or went into it, is counted beside the rest of the input.
_INPUT: Final = ("input", "input_cache_read", "input_cache_write")
#: A number with its price is shorter.
_LONGEST: Final = 1000


def _id(span: Span) -> str | None:
    return first_text(span.resource, (_ID,)) if span.resource else None


def _operation(span: Span) -> str | None:
    names = span.attributes.keys()
    if span.name.startswith(_TOOL):
        return "execute_tool"
    if _AGENT in names or any(name.startswith(_USAGE) for name in names):
        return "chat"
    return "user_prompt" if _USER in names else "invoke_workflow"


def _usage(span: Span) -> Usage | None:
    """Adds up the usage of all models that an answer took."""
    counts: dict[str, int] = {}
    models: dict[str, None] = {}
    prices: list[float] = []
    for name, value in span.attributes.items():
        if not name.startswith(_USAGE):
            continue
        model, _, part = name.removeprefix(_USAGE).rpartition(".")
        told = _printed(value)
        count = tokens(told.get("tokens"))
        if not model or count is None:
            continue
        models[model] = None
        counts[part] = counts.get(part, 0) + count
        price = number(told.get("price"))
        if price is not None:
            prices.append(price)
    if not counts:
        return None
    return Usage(
        input_tokens=sum(counts.get(part, 0) for part in _INPUT),
        output_tokens=counts.get("output_total"),
        cache_read=counts.get("input_cache_read"),
        cache_write=counts.get("input_cache_write"),
        cost=sum(prices) if prices else None,
        model=next(iter(models)) if len(models) == 1 else None,
    )


def _printed(value: Any) -> Mapping[str, Any]:
    """Returns a number of tokens with its price, or nothing."""
    if not isinstance(value, str):
        return {"tokens": value}
    if len(value) > _LONGEST:
        return {}
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    return found if isinstance(found, Mapping) else {"tokens": found}


def _tool(span: Span) -> ToolUse | None:
    if not span.name.startswith(_TOOL):
        return None
    attributes = span.attributes
    return ToolUse(
        first_text(attributes, (_TOOL + "name",)) or span.name.removeprefix(_TOOL),
        first_text(attributes, (_TOOL + "call_id", _TOOL + "request_id")),
        first(attributes, (_TOOL + "arguments", _TOOL + "parameters", _TOOL + "input")),
        first(attributes, (_TOOL + "result", _TOOL + "output", _TOOL + "response")),
    )


ELEVENLABS: Final = Dialect(
    name="ElevenLabs Agents",
    marks=("elevenlabs.",),
    scopes=("elevenlabs.convai",),
    thread_ids=(_ID,),
    users=("elevenlabs.user_id",),
    agents=("elevenlabs.agent_name",),
    models=("elevenlabs.producing_llm",),
    read_id=_id,
    read_operation=_operation,
    read_usage=_usage,
    read_tool=_tool,
    asked=asked_in(_USER),
    answered=answered_in(_AGENT),
)
