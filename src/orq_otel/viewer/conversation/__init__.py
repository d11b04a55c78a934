"""What the spans of a thread say together: a conversation, and what it cost.

Its names are imported when they are asked for: whoever stores spans needs none of them. None may be
that of a module here, which would stand in its place once that is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orq_otel.viewer.conversation import exchanges as exchanges
    from orq_otel.viewer.conversation import facts as facts
    from orq_otel.viewer.conversation import media as media
    from orq_otel.viewer.conversation import texts as texts
    from orq_otel.viewer.conversation.entries import Conversation, Failure, Step, Turn
    from orq_otel.viewer.conversation.evaluations import Evaluation, evaluation
    from orq_otel.viewer.conversation.exchanges import Agent, Exchange, with_prompts
    from orq_otel.viewer.conversation.handoffs import Guardrail
    from orq_otel.viewer.conversation.parts import (
        Handoff,
        Media,
        Message,
        Other,
        Part,
        Text,
        ToolCall,
    )
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
    "failure",
    "with_prompts",
]

#: Modules that are imported likewise.
_LATER: Final = ("exchanges", "facts", "media", "texts")
_MODULES: Final = ("reading", "entries", "evaluations", "exchanges", "handoffs", "parts")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in _MODULES:
        # Imported names are in several modules, and are the same everywhere.
        found = getattr(import_module(f"{__name__}.{module}"), name, None)
        if found is not None:
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
