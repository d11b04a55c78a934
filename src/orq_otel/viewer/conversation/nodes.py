"""What is known of a span to decide with which thread and which calls it counts for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from orq_otel.viewer.conversation.facts import reported_cost
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.facts import MODEL_CALLS, SUMMARIES, Facts, Reported, Usage
from orq_otel.viewer.model.telemetry import Span

#: The ids of a trace and a span.
Key = tuple[str, str]

TOOL: Final = "execute_tool"
#: Operations that ask again for an answer that an earlier call has brought.
FETCHES: Final = frozenset({"fetch_response"})
#: Operations that are made of calls.
AGENTS: Final = SUMMARIES - FETCHES - {TOOL, "chunk"}


class Before(NamedTuple):
    """What was decided on a span before.

    Attributes:
        thread: The thread that it belonged to, or None.
        counts: Whether its tokens, its cost and its call counted.
        is_failure: Whether its error counted.
    """

    thread: str | None
    counts: bool
    is_failure: bool


@dataclass(slots=True)
class Node:
    """What is known of a span to decide with, and what was decided.

    Attributes:
        key: The ids of its trace and the span.
        parent: The id of its parent, or None. If that has not come, an agent's that was at work.
        start: In nanoseconds since the epoch.
        end: In nanoseconds since the epoch.
        scope: Its instrumentation scope.
        own: The thread's id on the span itself, or None.
        session: An id that is the thread's if spans about generative AI below have none, or None.
        is_genai: Whether it is about generative AI.
        operation: "chat", "execute_tool"..., or None.
        model: The model, or None.
        response: The id of the model's response, or None.
        input: Its number of input tokens, or None.
        output: Its number of output tokens, or None.
        usage: All that it says of its usage, or None.
        is_call: Whether it is a model call by itself.
        is_error: Whether it failed by itself.
        is_record: Whether it was made after a call, to record what that has answered.
        span: The span, for what is seldom needed.
        before: What was decided on it before, or None.
        is_partial: Whether spans are missing here that it was decided on with before.
        thread: The thread that it belongs to, or None. This and the rest is decided.
        counts: Whether its tokens, its cost and its call count.
        is_failure: Whether its error counts.
        twin: The key of the span that counts in its place, or None.
        cost: The cost that another span of the same call reports, or None.
    """

    key: Key
    parent: str | None
    start: int
    end: int
    scope: str
    own: str | None
    session: str | None
    is_genai: bool
    operation: str | None
    model: str | None
    response: str | None
    input: int | None
    output: int | None
    usage: Usage | None
    is_call: bool
    is_error: bool
    is_record: bool
    span: Span = field(repr=False)
    before: Before | None = None
    is_partial: bool = False
    thread: str | None = None
    counts: bool = False
    is_failure: bool = False
    twin: Key | None = None
    cost: Reported | None = None

    @property
    def has_usage(self) -> bool:
        """Whether it reports how many tokens were used."""
        return bool(self.input or self.output)

    @property
    def details(self) -> int:
        """How many numbers of its usage it reports, beside the usual ones."""
        if self.usage is None:
            return 0
        counts = (self.usage.cache_read, self.usage.cache_write, self.usage.reasoning)
        return sum(one is not None for one in counts)

    @property
    def reported(self) -> Reported | None:
        """The cost that it reports itself, or None."""
        return reported_cost(self.span, self.usage)

    @property
    def is_told_elsewhere(self) -> bool:
        """Whether another span counted in its place, which may be missing here."""
        return (
            self.is_partial and self.is_call and self.before is not None and not self.before.counts
        )

    @property
    def question(self) -> str:
        """The text of the last message that it was asked, or ""."""
        asked = table.asked(self.span)
        parts = asked[-1]["parts"] if asked else ()
        return " ".join(
            " ".join(str(one.get("content", one.get("response"))) for one in parts).split()
        )


def node_of(span: Span, facts: Facts) -> Node:
    """Returns the node of a span, by its facts alone."""
    said = facts.said or table.read(span)
    usage = said.usage
    is_told = usage is not None and facts.operation in SUMMARIES
    return Node(
        key=(span.trace_id, span.span_id),
        parent=span.parent_id,
        start=span.start,
        end=max(span.start, span.end),
        scope=span.scope,
        own=facts.thread_id,
        session=said.session_id,
        is_genai=said.is_genai or facts.is_model_call,
        operation=facts.operation,
        model=said.model,
        response=said.response_id,
        input=usage.input_tokens if is_told and usage is not None else facts.input_tokens,
        output=usage.output_tokens if is_told and usage is not None else facts.output_tokens,
        usage=usage,
        is_call=facts.is_model_call,
        is_error=facts.is_error,
        is_record=said.is_record,
        span=span,
    )


def is_model_call(node: Node) -> bool:
    """Whether a span is about a call that exchanges messages, or that has usage, or failed."""
    if node.operation in SUMMARIES:
        return False
    return node.is_call or node.operation in MODEL_CALLS
