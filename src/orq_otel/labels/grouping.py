"""Grouping attributes: the names in which backends look for the id of a conversation.

Other libraries write ids of their own into them. Inside a thread, the thread's id takes their place
when the span ends, and the original is kept beside it, as `orq_otel.original.<attribute>`. Else a
backend would show one conversation as two.

`presets.py` names the backends that read these, with the sources. The names of association
properties are those of https://www.traceloop.com/docs/openllmetry/tracing/association.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

#: What precedes the name of an attribute under which the id of another library is kept.
ORIGINAL: Final = "orq_otel.original."


class Spans(Enum):
    """On which spans an attribute is the id of a conversation."""

    ALL = "every span"
    MARKED = "spans of models and agents"
    CHOSEN = "spans whose labels have it"


class Grouping(NamedTuple):
    """A grouping attribute: on which spans the thread's id replaces another, and who writes it.

    Where the labels in force have the attribute, that is every span. The writers are in Markdown.
    """

    spans: Spans
    writers: str


_TRACELOOP: Final = Grouping(Spans.MARKED, "OpenLLMetry (Traceloop)")
_LANGSMITH: Final = Grouping(Spans.MARKED, "LangSmith")

GROUPING: Final[Mapping[str, Grouping]] = MappingProxyType(
    {
        "gen_ai.conversation.id": Grouping(
            Spans.ALL,
            "OpenTelemetry's instrumentations of LangChain and of the OpenAI Agents SDK, "
            "pydantic-ai, Google ADK, LiteLLM",
        ),
        "session.id": Grouping(
            Spans.MARKED,
            "OpenInference, Langfuse, Strands Agents, AG2; web sessions on other spans stay",
        ),
        "langfuse.session.id": Grouping(Spans.MARKED, "Langfuse"),
        "langsmith.metadata.conversation_id": _LANGSMITH,
        "langsmith.metadata.session_id": _LANGSMITH,
        "langsmith.metadata.thread_id": _LANGSMITH,
        "traceloop.association.properties.chat_id": _TRACELOOP,
        "traceloop.association.properties.conversation_id": _TRACELOOP,
        "traceloop.association.properties.session_id": _TRACELOOP,
        "traceloop.association.properties.thread_id": _TRACELOOP,
        "lmnr.association.properties.session_id": Grouping(Spans.MARKED, "Laminar"),
        "honeyhive.session_id": Grouping(Spans.MARKED, "HoneyHive"),
        "confident.trace.thread_id": Grouping(Spans.MARKED, "DeepEval (Confident AI)"),
        # Which no library writes by itself, as far as we know.
        "wandb.thread_id": Grouping(Spans.CHOSEN, "programs that send to Weave"),
        "$ai_session_id": Grouping(Spans.CHOSEN, "programs that send to PostHog"),
        "thread_id": Grouping(Spans.CHOSEN, "programs that send to Opik"),
    }
)

#: Attributes that only spans of models and agents have.
MARKS: Final = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "gen_ai.provider.name",
    "gen_ai.system",
    "gen_ai.request.model",
    "llm.request.type",
    "langfuse.observation.type",
    "langsmith.span.kind",
    "lmnr.span.type",
)

_MARKED: Final = frozenset(name for name, one in GROUPING.items() if one.spans is Spans.MARKED)


def marked_only(everywhere: tuple[str, ...]) -> frozenset[str]:
    """The attributes that group marked spans only, without those in `everywhere`."""
    return _MARKED.difference(everywhere)


def is_marked(attributes: Mapping[str, Any]) -> bool:
    """Whether a span's attributes mark it as one of a model or an agent."""
    return not attributes.keys().isdisjoint(MARKS)
