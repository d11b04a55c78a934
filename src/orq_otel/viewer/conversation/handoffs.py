"""Reads where one agent hands over to another, and what guardrails decided.

A handoff is a span of its own, with `gen_ai.handoff.*` of the OpenAI Agents SDK's instrumentations,
or a tool that does nothing else: `transfer_to_<agent>` in the OpenAI Agents SDK, LangGraph and
AutoGen, `transfer_to_agent` in Google's ADK, `handoff_to_agent` in Strands. Often it is both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orq_otel.viewer.conversation.parts import Handoff, ToolCall, decoded
from orq_otel.viewer.dialects.dialect import first_text
from orq_otel.viewer.model.kept_spans import KeptSpan

#: The operations of spans that only hand over.
HANDOFFS: Final = frozenset({"agent_handoff", "handoff"})
#: The operations of guardrails.
GUARDRAILS: Final = frozenset({"guardrail", "guardrail_check"})

_SOURCES: Final = ("gen_ai.handoff.from_agent", "gen_ai.handoff.from_agent.name", "from_agent")
_TARGETS: Final = ("gen_ai.handoff.to_agent", "gen_ai.handoff.to_agent.name", "to_agent")
_TOOL: Final = re.compile(r"(?:.*[-.])?(?:transfer|hand_?off)(?:_back)?[_ ]to[_ ](.+)", re.DOTALL)
#: What a tool that hands over to any agent calls the agent.
_ARGUMENTS: Final = ("agent_name", "agentName", "agent", "target_agent", "to_agent", "name")
_TRIGGERED: Final = ("gen_ai.guardrail.triggered", "triggered", "tripwire_triggered")
_NAMES: Final = ("gen_ai.guardrail.name", "guardrail.name", "guardrail_name", "name")


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A check of what is asked or answered.

    Attributes:
        name: Its name.
        has_tripped: Whether it stopped something.
    """

    name: str
    has_tripped: bool


def of_span(kept: KeptSpan) -> Handoff | None:
    """Returns the handoff that a span reports, or None.

    Its target is "" if it is not known yet when the span is made, as with Traceloop.
    """
    if kept.facts.operation not in HANDOFFS:
        return None
    attributes = kept.span.attributes
    source, target = first_text(attributes, _SOURCES), first_text(attributes, _TARGETS)
    return Handoff(source, target or "") if source or target else None


def of_tool(call: ToolCall, source: str | None, agents: Collection[str]) -> Handoff | None:
    """Returns the handoff that a tool's call is, or None if it does something else.

    Other tools have such names, too: `transfer_to_savings` moves money. One that names its agent
    hands over if it is given nothing else to do, or if there is an agent of that name.

    Args:
        call: The call.
        source: The agent that made it, or None.
        agents: The names of the agents in the conversation.
    """
    found = _TOOL.fullmatch(call.name)
    if found is None:
        return None
    given = decoded(call.arguments)
    if found[1] == "agent":
        named = first_text(given, _ARGUMENTS) if isinstance(given, Mapping) else None
        return Handoff(source, named) if named else None
    agent = next((one for one in agents if _plain(one) == _plain(found[1])), None)
    is_a_spans_name = " to " in call.name  # no model calls a tool so
    if agent is None and not is_a_spans_name and (call.arguments is None or given):
        return None
    return Handoff(source, agent or found[1])


def is_same(tool: Handoff, span: Handoff) -> bool:
    """Whether a tool and a span report the same handoff, each in its spelling."""
    if not span.target:
        return _plain(tool.source or "") == _plain(span.source or "")
    return _plain(tool.target) == _plain(span.target)


def guardrail(kept: KeptSpan) -> Guardrail | None:
    """Returns what a guardrail's span decided, or None for other spans."""
    if kept.facts.operation not in GUARDRAILS:
        return None
    attributes = kept.span.attributes
    return Guardrail(
        first_text(attributes, _NAMES) or kept.span.name,
        kept.facts.is_error or any(_is_true(attributes.get(name)) for name in _TRIGGERED),
    )


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _plain(name: str) -> str:
    """Returns a name as it is in the name of a tool: "Billing Agent" is `billing_agent`."""
    return re.sub(r"\W+", "_", name).strip("_").lower()
