"""Turns the spans of a thread into a conversation: its messages, model calls and tool calls.

Every model call sends the complete conversation so far. A turn holds only the messages that no
earlier call had, so that the page shows each message once. If a call's history differs from the
conversation so far, the turn says how.

The code makes no assumptions about the shape of messages: any program can send spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from orq_otel.viewer.conversation.entries import Conversation, Failure, Step, Turn
from orq_otel.viewer.conversation.histories import HISTORIES, Comparison, Histories, Item, items_of
from orq_otel.viewer.conversation.parts import (
    MOST_PARTS,
    RESULTS,
    Message,
    Part,
    Text,
    ToolCall,
    decoded,
    kind_of,
    result,
    text_or_none,
)
from orq_otel.viewer.formats import as_text
from orq_otel.viewer.model import KeptSpan, Span

#: Attributes of OpenTelemetry's conventions, then those of this project's own operations.
INPUT: Final = ("gen_ai.input.messages", "orq_otel.input.messages")
OUTPUT: Final = ("gen_ai.output.messages", "orq_otel.output.messages")
INSTRUCTIONS: Final = ("gen_ai.system_instructions",)

#: Operations that exchange messages, including calls that failed.
_WITH_MESSAGES: Final = frozenset(
    {"chat", "generate_content", "text_completion", "realtime_response"}
)
#: Model calls without messages.
_WITHOUT_MESSAGES: Final = frozenset({"embeddings", "rerank", "moderate", "classify"})
#: Prefixes of the operations of agents and workflows. Their spans repeat messages of the model
#: calls inside of them.
_ENCLOSING: Final = ("invoke_", "create_agent", "handle_conversation_turn", "run_assistant")
_TOOL: Final = "execute_tool"


def conversation(thread_id: str, spans: Iterable[KeptSpan]) -> Conversation:
    """Returns the conversation of a thread.

    Args:
        thread_id: The thread's id.
        spans: All spans of the thread's traces, sorted by start.
    """
    everything = list(spans)
    own = [one for one in everything if one.facts.thread_id == thread_id]
    enclosing = _enclosing(everything, [one for one in own if _has_messages(one)])
    reader = _Reader()
    entries: list[Turn | Step] = []
    for one in own:
        if _key(one.span) in enclosing:
            continue
        if _has_messages(one):
            entries.append(reader.turn(one))
        elif one.facts.operation == _TOOL:
            tool = _executed(one)
            if not reader.attach(one, tool):
                entries.append(Step(one, tool))
        elif one.facts.operation is not None:
            entries.append(Step(one))
    return Conversation(
        tuple(entries),
        reader.turns,
        any(entry.has_input or entry.has_output for entry in entries if isinstance(entry, Turn)),
    )


def failure(kept: KeptSpan) -> Failure | None:
    """Returns why a span failed, from its status or its last exception; None if it did not."""
    if not kept.facts.is_error:
        return None
    span = kept.span
    kind, message = str(span.attributes.get("error.type") or ""), span.status_message
    for event in reversed(span.events):
        attributes = event.get("attributes")
        if event.get("name") == "exception" and isinstance(attributes, Mapping):
            kind = kind or str(attributes.get("exception.type") or "")
            message = message or str(attributes.get("exception.message") or "")
            break
    return Failure(kind or "Error", message)


def _has_messages(kept: KeptSpan) -> bool:
    """Whether a span exchanges messages with a model."""
    facts = kept.facts
    if facts.operation == _TOOL or facts.operation in _WITHOUT_MESSAGES:
        return False
    return (
        facts.is_model_call
        or facts.operation in _WITH_MESSAGES
        or bool(_content(kept.span, INPUT) or _content(kept.span, OUTPUT))
    )


def _enclosing(spans: Sequence[KeptSpan], calls: Sequence[KeptSpan]) -> set[tuple[str, str]]:
    """Returns the keys of agent and workflow spans whose messages the spans inside them have."""
    by_key = {_key(one.span): one for one in spans}
    seen: set[tuple[str, str]] = set()
    for one in calls:
        trace_id, parent = one.span.trace_id, one.span.parent_id
        while parent is not None and (trace_id, parent) not in seen:  # parents may form a circle
            seen.add((trace_id, parent))
            above = by_key.get((trace_id, parent))
            parent = None if above is None else above.span.parent_id
    return {
        key
        for key in seen
        if (kept := by_key.get(key)) is not None
        and (_has_messages(kept) or str(kept.facts.operation).startswith(_ENCLOSING))
    }


def _key(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id


class _Reader:
    """Reads one call after the other, and keeps the histories for comparison."""

    def __init__(self) -> None:
        self.turns = 0
        self._histories = Histories()
        self._texts: list[tuple[str, list[Item]]] = []
        self._calls: dict[str, ToolCall] = {}
        self._open: list[tuple[str, ToolCall]] = []  # with the trace, the latest last

    def turn(self, kept: KeptSpan) -> Turn:
        self.turns += 1
        items = _instructions(kept.span) + self._input_items(kept.span)
        answer = items_of(_messages(kept.span, OUTPUT))
        marks = [item.mark for item in items]
        if "gen_ai.request.previous_response.id" in kept.span.attributes:
            # The provider keeps the conversation so far, so that the call sends new messages only.
            found = Comparison([True] * len(items))
        else:
            found = self._histories.compare(items, marks)
        new = found.new
        asked = self._messages([item for item, is_new in zip(items, new, strict=True) if is_new])
        answered = self._messages(answer)
        self._histories.remember(items, answer, marks, failed=kept.facts.is_error)
        self._open += [
            (kept.span.trace_id, part)
            for message in answered
            for part in message.parts
            if isinstance(part, ToolCall)
        ]
        return Turn(
            self.turns,
            kept,
            asked,
            answered,
            has_input=bool(items),
            has_output=bool(answer),
            repeated=len(new) - sum(new),
            left_out=found.left_out,
            is_rewritten=found.is_rewritten,
            is_repeat=found.is_repeat,
        )

    def attach(self, kept: KeptSpan, executed: ToolCall) -> bool:
        """Add an execution to the tool call that asked for it. Returns False if there is none."""
        call = self._calls.get(executed.id) if executed.id else None
        if call is None or call.execution is not None:
            call = next(
                (
                    one
                    for trace_id, one in self._open
                    if trace_id == kept.span.trace_id
                    and one.name == executed.name
                    and one.execution is None
                    and not (one.id and executed.id and one.id != executed.id)
                ),
                None,
            )
        if call is None:
            return False
        call.execution = kept
        if call.arguments is None:
            call.arguments = executed.arguments
        if call.result is None:
            call.result = executed.result
        return True

    def _input_items(self, span: Span) -> list[Item]:
        """Returns all input messages of a call.

        Usually their JSON begins with that of an earlier call. Then only the rest is decoded, which
        reads a thread of 400 turns in a tenth of the time.
        """
        text = _content(span, INPUT)
        if not isinstance(text, str):
            return items_of(_messages(span, INPUT))
        items: list[Item] | None = None
        for before, known in reversed(self._texts):
            if text.startswith(before[:-1]) and text[len(before) - 1 :].startswith(","):
                rest = decoded("[" + text[len(before) :])
                if isinstance(rest, list):
                    items = known + items_of(rest, known[-1].position + 1)
                    break
        if items is None:
            items = items_of(_messages(span, INPUT))
        if items and text.startswith("[") and text.endswith("]"):
            self._texts.append((text, items))
            del self._texts[:-HISTORIES]
        return items

    def _messages(self, items: Iterable[Item]) -> tuple[Message, ...]:
        """Joins parts into messages. A tool's result is added to its call instead, if known."""
        joined: list[tuple[Item, list[Part]]] = []
        for item in items:
            part = item.part
            if kind_of(item.raw) in RESULTS:
                call = self._calls.get(str(item.raw.get("id")))
                if call is not None:
                    if call.result is None or call.execution is not None:
                        call.result = result(item.raw)
                    continue
            elif isinstance(part, ToolCall) and part.id:
                self._calls[part.id] = part
            last = joined[-1][0] if joined else None
            if last is not None and last.position == item.position and last.role == item.role:
                joined[-1][1].append(part)
            else:
                joined.append((item, [part]))
        return tuple(
            Message(item.role, tuple(parts), item.name, item.finish_reason)
            for item, parts in joined
        )


def _content(span: Span, names: Sequence[str]) -> Any:
    """Returns the first of some attributes, from the span or, as some senders do, its events."""
    events = (event.get("attributes") for event in span.events)
    for attributes in (span.attributes, *events):
        if isinstance(attributes, Mapping):
            for name in names:
                if attributes.get(name):
                    return attributes[name]
    return None


def _messages(span: Span, names: Sequence[str]) -> list[Any]:
    value = decoded(_content(span, names))
    if value is None:
        return []
    return list(value)[-MOST_PARTS:] if isinstance(value, (list, tuple)) else [value]


def _instructions(span: Span) -> list[Item]:
    """Returns the parts of `gen_ai.system_instructions`, as a message with the role `system`."""
    parts = _messages(span, INSTRUCTIONS)
    return items_of([{"role": "system", "parts": parts}]) if parts else []


def _executed(kept: KeptSpan) -> ToolCall:
    """Returns the tool call that a tool's span describes."""
    attributes = kept.span.attributes
    arguments = attributes.get("gen_ai.tool.call.arguments")
    result = attributes.get("gen_ai.tool.call.result")
    return ToolCall(
        text_or_none(attributes.get("gen_ai.tool.call.id")),
        text_or_none(attributes.get("gen_ai.tool.name")) or kept.span.name,
        None if arguments is None else as_text(decoded(arguments)),
        None if result is None else (Text(as_text(decoded(result))),),
        kept,
    )
