"""What the spans of a thread say together: a conversation, and what it cost."""

from __future__ import annotations

from orq_otel.viewer.conversation.entries import Conversation, Failure, Step, Turn
from orq_otel.viewer.conversation.evaluations import Evaluation, evaluation
from orq_otel.viewer.conversation.exchanges import Agent, Exchange, exchanges, with_prompts
from orq_otel.viewer.conversation.handoffs import Guardrail
from orq_otel.viewer.conversation.parts import Handoff, Media, Message, Other, Part, Text, ToolCall
from orq_otel.viewer.conversation.reading import (
    INPUT,
    INSTRUCTIONS,
    OUTPUT,
    conversation,
    failure,
)

__all__ = [
    "INPUT",
    "INSTRUCTIONS",
    "OUTPUT",
    "Agent",
    "Conversation",
    "Evaluation",
    "Exchange",
    "Failure",
    "Guardrail",
    "Handoff",
    "Media",
    "Message",
    "Other",
    "Part",
    "Step",
    "Text",
    "ToolCall",
    "Turn",
    "conversation",
    "evaluation",
    "exchanges",
    "failure",
    "with_prompts",
]
