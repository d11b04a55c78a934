"""A conversation as the pages show it: its model calls, and the steps between them."""

from __future__ import annotations

from dataclasses import dataclass

from orq_otel.viewer.conversation.handoffs import Guardrail
from orq_otel.viewer.conversation.parts import Handoff, Message, ToolCall
from orq_otel.viewer.model.kept_spans import KeptSpan


@dataclass(frozen=True, slots=True)
class Turn:
    """A model call: its new messages and its answer.

    Attributes:
        number: The turn's number, from 1.
        kept: The call's span.
        asked: The input messages that no earlier call had.
        answered: The output messages: one, or several alternatives. They have no parts if the
            model said nothing, or if only the reason is known for which it ended early.
        has_input: Whether the input messages were captured.
        has_output: Whether the output messages were captured.
        repeated: How many message parts repeat the conversation so far.
        left_out: How many message parts of the conversation so far this call does not send.
        is_rewritten: Whether new messages stand between earlier ones.
        is_repeat: Whether the call sends exactly the messages of an earlier call.
        agent: The name of the agent that made the call, or None.
    """

    number: int
    kept: KeptSpan
    asked: tuple[Message, ...]
    answered: tuple[Message, ...]
    has_input: bool
    has_output: bool
    repeated: int = 0
    left_out: int = 0
    is_rewritten: bool = False
    is_repeat: bool = False
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Another operation between turns, such as a tool's execution or a retrieval of documents.

    Attributes:
        kept: The operation's span.
        tool: The tool call, if the operation executes a tool.
        handoff: The handoff to another agent, if it is one.
        guardrail: What a guardrail decided, if it is one.
    """

    kept: KeptSpan
    tool: ToolCall | None = None
    handoff: Handoff | None = None
    guardrail: Guardrail | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a span failed."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The conversation of a thread, in chronological order.

    Attributes:
        entries: Model calls, and the steps between them.
        turns: The number of model calls.
        has_content: Whether any message was captured.
    """

    entries: tuple[Turn | Step, ...]
    turns: int
    has_content: bool

    @property
    def senders(self) -> list[str]:
        """The instrumentation scopes of its model calls, one for each."""
        return [entry.kept.span.scope for entry in self.entries if isinstance(entry, Turn)]
