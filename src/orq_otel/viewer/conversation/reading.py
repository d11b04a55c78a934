"""Turns the spans of a thread into a conversation: its messages, model calls and tool calls.

Every model call sends the complete conversation so far. A turn holds only the messages that no
earlier call had, so that the page shows each message once. If a call's history differs from the
conversation so far, the turn says how.

The code makes no assumptions about the shape of messages: any program can send spans.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from orq_otel.viewer.conversation import calls, handoffs
from orq_otel.viewer.conversation.empty_answers import empty_answers
from orq_otel.viewer.conversation.entries import Conversation, Failure, Step, Turn
from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.conversation.histories import (
    HISTORIES,
    INSTRUCTING,
    Comparison,
    Histories,
    Item,
    items_of,
)
from orq_otel.viewer.conversation.order import in_order
from orq_otel.viewer.conversation.parts import (
    RESULTS,
    Handoff,
    Message,
    Part,
    Text,
    ToolCall,
    decoded,
    ended_early,
    kind_of,
    result,
    shown,
)
from orq_otel.viewer.dialects import table
from orq_otel.viewer.dialects.genai import INPUT, INSTRUCTIONS, OUTPUT, content, instructions
from orq_otel.viewer.dialects.shapes import asked as messages_of
from orq_otel.viewer.formats import as_text
from orq_otel.viewer.model.facts import SUMMARIES
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span

__all__ = ["INPUT", "INSTRUCTIONS", "OUTPUT", "conversation", "failure"]

#: Operations that exchange messages, including calls that failed.
_WITH_MESSAGES: Final = frozenset(
    {"chat", "generate_content", "text_completion", "realtime_response"}
)
#: Model calls without messages.
_WITHOUT_MESSAGES: Final = frozenset({"embeddings", "rerank", "moderate", "classify"})
#: Operations that are steps also where they are around model calls. Other spans around model calls
#: repeat their messages.
_SHOWN_AROUND: Final = frozenset(
    {"execute_tool", "retrieval", *handoffs.GUARDRAILS, *_WITHOUT_MESSAGES}
)
#: What an agent or a workflow was asked, and what it answered.
_Story = tuple[list[Mapping[str, object]], list[Mapping[str, object]]]
#: Operations that are no steps of a conversation, but hold some, or are pieces of one.
_NO_STEPS: Final = frozenset({"invoke_workflow", "chunk"})
_TOOL: Final = "execute_tool"
_AGENT: Final = "invoke_agent"
#: What a user said, or all that was said, where a sender has a span for it.
_TOLD: Final = frozenset({"user_prompt", "list_messages"})


def conversation(thread_id: str | None, spans: Iterable[KeptSpan]) -> Conversation:
    """Returns the conversation of a thread.

    Args:
        thread_id: The thread's id, or None for spans without one.
        spans: All spans of the thread's traces, sorted by start.
    """
    own = _Own(thread_id, in_order(spans))
    reader = _Reader(own)
    for one in map(own.explained, own.spans):
        if _key(one.span) in own.enclosing or own.is_repeated(one):
            continue
        if own.has_messages(one):
            reader.turn(one)
        elif one.facts.operation == _TOOL:
            reader.tool(one)
        elif one.facts.operation is not None and (
            one.facts.operation not in _NO_STEPS or one.facts.is_error
        ):
            reader.step(one)
    entries = reader.entries()
    return Conversation(
        entries,
        reader.turns,
        any(entry.has_input or entry.has_output for entry in entries if isinstance(entry, Turn)),
    )


class _Own:
    """The spans of a thread, and how they belong together.

    Attributes:
        spans: Those of the thread, with the facts that count.
        enclosing: The keys of those around model calls, whose messages they repeat.
    """

    def __init__(self, thread_id: str | None, everything: list[KeptSpan]) -> None:
        self._nodes = {
            _key(one.span): calls.node_of(one.span, read(one.span, is_brief=True))
            for one in everything
        }
        calls.decide(list(self._nodes.values()))
        self._twins: dict[tuple[str, str], list[KeptSpan]] = {}
        self._by_key = {_key(one.span): one for one in everything}
        self.spans: list[KeptSpan] = []
        for one in everything:
            node = self._nodes[_key(one.span)]
            # A store may know more spans of the trace than there are here.
            if thread_id in {node.thread, one.facts.thread_id}:
                self.spans.append(calls.decided(one, node))
                if node.twin is not None:
                    self._twins.setdefault(node.twin, []).append(one)
        self._last_inside: dict[tuple[str, str], tuple[str, str]] = {}
        self._stories: dict[tuple[str, str], _Story] = {}
        self._asked_by: dict[tuple[str, str], tuple[str, str]] = {}
        turns = [one for one in self.spans if self.has_messages(one) and not self.is_repeated(one)]
        told = {one.span.trace_id for one in turns if not self._tells_usage_alone(one)}
        told.update(key[0] for key, node in self._nodes.items() if calls.is_model_call(node))
        self._stories = self._find_stories(thread_id, told)
        turns += [one for one in self.spans if _key(one.span) in self._stories]
        self.enclosing = self._enclosing(turns)

    def is_repeated(self, kept: KeptSpan) -> bool:
        """Whether another span is there for the same call, or the same tool's execution."""
        node = self._nodes[_key(kept.span)]
        if node.twin is not None and node.twin in self._by_key:
            return True
        above = self._above(kept)
        return (
            kept.facts.operation == _TOOL
            and above is not None
            and self._nodes[_key(above.span)].operation == _TOOL
        )

    def has_messages(self, kept: KeptSpan) -> bool:
        """Whether a span exchanges messages with a model."""
        operation = kept.facts.operation
        if _key(kept.span) in self._stories:
            return True
        if operation == _TOOL or operation in _WITHOUT_MESSAGES or operation == "chunk":
            return False
        node = self._nodes[_key(kept.span)]
        return (
            (node.is_call and operation not in SUMMARIES)
            or node.counts
            or operation in _WITH_MESSAGES
            or bool(content(kept.span, OUTPUT))
            or (operation in _TOLD and bool(table.asked(kept.span)))
            # An agent repeats its question, and its answer in another span.
            or (
                (operation not in SUMMARIES or kept.facts.is_error)
                and bool(content(kept.span, INPUT))
            )
        )

    def _tells_usage_alone(self, kept: KeptSpan) -> bool:
        """Whether a span around calls counts for them, and has no messages as a call has."""
        is_around = kept.facts.operation in table.AROUND
        return is_around and not content(kept.span, OUTPUT) and not content(kept.span, INPUT)

    def _find_stories(
        self, thread_id: str | None, told: Container[str]
    ) -> dict[tuple[str, str], _Story]:
        """Returns what agents and workflows say of traces whose calls have no spans.

        Args:
            thread_id: The thread's id, or None.
            told: The traces with calls.
        """
        found: dict[tuple[str, str], _Story] = {}
        # LangSmith may have an agent in one trace, and its calls in another one.
        elsewhere = [
            node
            for node in self._nodes.values()
            if node.thread == thread_id and calls.is_model_call(node)
        ]
        for one in self.spans:
            operation = one.facts.operation
            if one.span.trace_id in told or operation not in table.AROUND:
                continue
            if any(
                call.scope == one.span.scope
                and call.start >= one.span.start
                and call.end <= one.span.end
                for call in elsewhere
            ):
                continue
            if any(_key(above.span) in found for above in self.around(one)):
                continue
            asked, answered = table.asked(one.span), table.answered(one.span)
            if any(message["role"] != "assistant" for message in answered):
                # It returns all of the conversation.
                end = len(answered) - (answered[-1]["role"] == "assistant")
                asked, answered = answered[:end], answered[end:]
            if asked and (answered or one.facts.is_error or operation == _AGENT):
                found[_key(one.span)] = list(asked), list(answered)
            elif not asked and one.facts.is_error:  # it failed before it reported its question
                above = map(table.asked, (outer.span for outer in self.around(one)))
                if asked := next(filter(None, above), []):
                    found[_key(one.span)] = list(asked), []
        return found

    def asked(self, kept: KeptSpan) -> list[Mapping[str, object]]:
        """Returns what a call was asked, if need be by the spans around it."""
        story = self._stories.get(_key(kept.span))
        if story is not None:
            return story[0]
        for one in self._tellers(kept):
            found = table.asked(one.span)
            if any(message["role"] not in INSTRUCTING for message in found):
                self._asked_by.setdefault(_key(one.span), _key(kept.span))
                if all(message["role"] not in INSTRUCTING for message in found):
                    return [*self.instructions(kept), *found]
                return list(found)
        return list(table.asked(kept.span))

    def instructions(self, kept: KeptSpan) -> list[Mapping[str, object]]:
        """Returns the instructions of a call, where they stand apart from its messages.

        They may stand on the span of the agent alone, and are of no other agent.
        """
        for one in (kept, *self.around(kept)):
            found = instructions(one.span)
            if found or one.facts.operation == _AGENT:
                return list(found)
        return []

    def is_asked_again(self, kept: KeptSpan) -> bool:
        """Whether a span around a call has what the call was asked, but for another call."""
        return not self._has_own_input(kept) and any(
            self._asked_by.get(_key(one.span), _key(kept.span)) != _key(kept.span)
            for one in self.around(kept)
        )

    def _has_own_input(self, kept: KeptSpan) -> bool:
        return self._asked_by.get(_key(kept.span)) == _key(kept.span) or any(
            self._asked_by.get(_key(one.span)) == _key(kept.span)
            for one in self._twins.get(_key(kept.span), ())
        )

    def answered(self, kept: KeptSpan) -> list[Mapping[str, object]]:
        """Returns what a call answered."""
        story = self._stories.get(_key(kept.span))
        if story is not None:
            return story[1]
        for one in (kept, *self._twins.get(_key(kept.span), ())):
            found = table.answered(one.span)
            if found and not (kept.facts.is_error and _is_none(found)):
                return list(found)
        if kept.facts.is_error:
            return []
        for one in self.around(kept):
            if self._last_inside.get(_key(one.span)) != _key(kept.span):
                return []
            found = table.answered(one.span)
            if found:
                return list(found)
        return []

    def empty_answers(self, kept: KeptSpan) -> tuple[Message, ...]:
        """Returns the answers of a call in which nothing was said, if its sender says so."""
        told = map(_empty_answers, (kept, *self._twins.get(_key(kept.span), ())))
        return next(filter(None, told), ())

    def agent(self, kept: KeptSpan) -> str | None:
        """Returns the name of the agent that made a call: its own, or of the nearest around it."""
        for one in (kept, *self.around(kept)):
            found = table.read(one.span).agent
            if found is not None:
                return found
        return None

    def handoff(self, call: ToolCall, kept: KeptSpan) -> Handoff | None:
        """Returns the handoff that a tool's call is, which a span reports; None for others."""
        if "to" not in call.name:  # nearly always
            return None
        return handoffs.of_tool(call, self.agent(kept), self._agents)

    @cached_property
    def _agents(self) -> set[str]:
        """The names of all agents."""
        found = (table.read(one.span).agent for one in self._by_key.values())
        return {one for one in found if one is not None}

    def explained(self, kept: KeptSpan) -> KeptSpan:
        """Returns a failed span with the reason that a span around it reports, if it has none."""
        if not kept.facts.is_error:
            return self._broken_off(kept)
        if kept.span.status_message or kept.span.events:
            return kept
        if table.failure(kept.span):
            return kept
        for one in self.around(kept):
            if one.span.status_message:
                reason = _exception(one.span)[1] or one.span.status_message
                return replace(kept, span=replace(kept.span, status_message=reason))
        return kept

    def _broken_off(self, kept: KeptSpan) -> KeptSpan:
        """Returns a call without an answer as failed, if an agent around it reports that it did."""
        if kept.facts.operation not in _WITH_MESSAGES or self._nodes[_key(kept.span)].has_usage:
            return kept
        failed = next(
            (one for one in self.around(kept) if self._nodes[_key(one.span)].is_failure), None
        )
        if failed is None or self.answered(kept):
            return kept
        told = failure(replace(failed, facts=replace(failed.facts, is_error=True)))
        return replace(
            kept,
            facts=replace(kept.facts, is_error=True),
            span=replace(kept.span, status_message=told.message if told else ""),
        )

    def _tellers(self, kept: KeptSpan) -> Iterator[KeptSpan]:
        """Yields the spans that may have a call's messages: itself, its twins, those around it."""
        yield kept
        yield from self._twins.get(_key(kept.span), ())
        yield from self.around(kept)

    def around(self, kept: KeptSpan) -> Iterator[KeptSpan]:
        """Yields the spans around a call, up to a tool that made it."""
        seen = {_key(kept.span)}
        above = self._above(kept)
        while above is not None and _key(above.span) not in seen:
            if self._nodes[_key(above.span)].operation == _TOOL:
                return
            yield above
            seen.add(_key(above.span))
            above = self._above(above)

    def _above(self, kept: KeptSpan) -> KeptSpan | None:
        parent = self._nodes[_key(kept.span)].parent
        return None if parent is None else self._by_key.get((kept.span.trace_id, parent))

    def _enclosing(self, turns: Sequence[KeptSpan]) -> set[tuple[str, str]]:
        """Returns the keys of spans around calls, whose messages the spans inside have."""
        seen = self._last_inside
        for one in reversed(turns):
            trace_id, parent = one.span.trace_id, self._nodes[_key(one.span)].parent
            while parent is not None and (trace_id, parent) not in seen:  # there may be a circle
                seen[trace_id, parent] = _key(one.span)
                above = self._nodes.get((trace_id, parent))
                parent = None if above is None else above.parent
        return {
            key
            for key in seen
            if (kept := self._by_key.get(key)) is not None
            and (not self._nodes[key].counts or self._is_told_inside(kept))
            and key not in self._twins
            and kept.facts.operation not in _SHOWN_AROUND
        }

    def _is_told_inside(self, kept: KeptSpan) -> bool:
        """Whether an agent counts for its usage alone: the calls inside have what was said."""
        last = self._by_key.get(self._last_inside[_key(kept.span)])
        is_around = kept.facts.operation in table.AROUND
        return is_around and last is not None and bool(table.answered(last.span))


def _is_none(answered: Iterable[Mapping[str, object]]) -> bool:
    """Whether an answer is Python's `None` as a text, as of a call that failed."""
    return all(one["parts"] == [{"type": "text", "content": "None"}] for one in answered)


def failure(kept: KeptSpan) -> Failure | None:
    """Returns why a span failed, from its status or its last exception; None if it did not."""
    if not kept.facts.is_error:
        return None
    span = kept.span
    kind, message = str(span.attributes.get("error.type") or ""), span.status_message
    message = message or table.failure(span) or ""
    raised, reason, told = _exception(span)
    return Failure(kind or raised or "Error", reason or message or told)


def _exception(span: Span) -> tuple[str, str, str]:
    """Returns a span's last exception: its type, the reason beside its message, and its message.

    MLflow keeps what the Agents SDK reports in the place of the stack: `{"error": "..."}`.
    """
    for event in reversed(span.events):
        attributes = event.get("attributes")
        if event.get("name") == "exception" and isinstance(attributes, Mapping):
            stack = decoded(attributes.get("exception.stacktrace"))
            reason = stack.get("error") if isinstance(stack, dict) else None
            return (
                str(attributes.get("exception.type") or ""),
                reason if isinstance(reason, str) else "",
                str(attributes.get("exception.message") or ""),
            )
    return "", "", ""


@dataclass(slots=True)
class _Draft:
    """A turn whose messages are not joined yet."""

    kept: KeptSpan
    asked: list[Item]
    answered: list[Item]
    found: Comparison
    has_input: bool
    #: In the place of an answer in which nothing was found.
    silent: tuple[Message, ...]
    is_empty: bool  # as its sender reports


class _Reader:
    """Reads one call after the other, and keeps what was said for comparison."""

    def __init__(self, own: _Own) -> None:
        self.turns = 0
        self._own = own
        self._read: list[_Draft | KeptSpan] = []
        self._histories = Histories()
        self._texts: list[tuple[str, list[Item]]] = []
        self._tools = _Tools()
        self._told: set[str] = set()

    def turn(self, kept: KeptSpan) -> None:
        """Read a call's messages, and find those that are new."""
        self.turns += 1
        items = self._input_items(kept)
        self._told.update(
            one.part.id for one in items if isinstance(one.part, ToolCall) and one.part.id
        )
        answered = items_of(self._own.answered(kept))
        answer = [one for one in answered if not self._is_told(one)]
        marks = self._histories.marks(items)
        if self._own.is_asked_again(kept):
            found = Comparison([False] * len(items))
        elif "gen_ai.request.previous_response.id" in kept.span.attributes and not any(
            item.role == "assistant" for item in items
        ):
            # The provider keeps the conversation so far, so that the call sends new messages only.
            found = Comparison([True] * len(items))
        else:
            found = self._histories.compare(items, marks)
        asked = [item for item, is_new in zip(items, found.new, strict=True) if is_new]
        self._histories.remember(items, answer, marks, failed=kept.facts.is_error)
        self._histories.show((*asked, *answer))
        is_silent = not (answered or kept.facts.is_error or _ends_with_tools(kept.span))
        empty = self._own.empty_answers(kept) if is_silent else ()
        silent = empty or (_cut_off(kept.span) if is_silent and items else ())
        self._read.append(_Draft(kept, asked, answer, found, bool(items), silent, bool(empty)))

    def _is_told(self, item: Item) -> bool:
        """Whether a tool call was an answer before: some senders write several calls' answers."""
        call_id = item.part.id if isinstance(item.part, ToolCall) else None
        is_told = call_id is not None and call_id in self._told
        if call_id is not None:
            self._told.add(call_id)
        return is_told

    def tool(self, kept: KeptSpan) -> None:
        """Note a tool's execution."""
        self._read.append(kept)

    def step(self, kept: KeptSpan) -> None:
        """Note another operation."""
        self._read.append(kept)

    def entries(self) -> tuple[Turn | Step, ...]:
        """Returns all that was read. A text that was cut at first is whole by now."""
        entries: list[Turn | Step] = []
        agents: dict[tuple[str, str], int] = {}  # the places of agents' turns
        number = 0
        for one in self._read:
            if isinstance(one, _Draft):
                number += 1
                if one.kept.facts.operation in SUMMARIES:
                    agents[_key(one.kept.span)] = len(entries)
                entries.append(self._turn(one, number))
            elif one.facts.operation == _TOOL:
                tool = _executed(one)
                tool.handoff = self._own.handoff(tool, one)
                if self._tools.attach(one, tool) or self._tools.hand_over(one, tool.handoff):
                    continue
                place = next(
                    (
                        place
                        for above in self._own.around(one)
                        if (place := agents.get(_key(above.span))) is not None
                    ),
                    None,
                )
                if place is None:
                    place = _place_of_call(entries, one, tool)
                turn = None if place is None else entries[place]
                if place is not None and isinstance(turn, Turn):
                    entries[place] = _with_tool(turn, tool)
                    self._tools.untold.append(tool)
                else:
                    entries.append(Step(one, tool))
            else:
                handoff = handoffs.of_span(one)
                if not self._tools.hand_over(one, handoff):
                    handoff = handoff if handoff and handoff.target else None
                    entries.append(Step(one, None, handoff, handoffs.guardrail(one)))
        return tuple(one for one in entries if not self._is_told_later(one))

    def _is_told_later(self, entry: Turn | Step) -> bool:
        """Whether a tool's call was reported after its execution, by the next call's history."""
        return (
            isinstance(entry, Step)
            and entry.tool is not None
            and self._tools.attach_late(entry.kept, entry.tool)
        )

    def _turn(self, draft: _Draft, number: int) -> Turn:
        asked = self._tools.messages(draft.asked)
        answered = self._tools.messages(draft.answered) or draft.silent
        for part in (part for message in (*asked, *answered) for part in message.parts):
            if isinstance(part, ToolCall):
                part.handoff = self._own.handoff(part, draft.kept)
        self._tools.open(draft.kept.span.trace_id, (*asked, *answered))
        found = draft.found
        return Turn(
            number,
            draft.kept,
            asked,
            answered,
            has_input=draft.has_input,
            has_output=bool(draft.answered) or draft.is_empty,
            repeated=len(found.new) - sum(found.new),
            left_out=found.left_out,
            is_rewritten=found.is_rewritten,
            is_repeat=found.is_repeat,
            agent=self._own.agent(draft.kept),
        )

    def _input_items(self, kept: KeptSpan) -> list[Item]:
        """Returns all input messages of a call.

        Usually their JSON begins with that of an earlier call. Then only the rest is decoded, which
        reads a thread of 400 turns in a tenth of the time.
        """
        span = kept.span
        text = next((text for name in INPUT if (text := span.attributes.get(name))), None)
        if not (isinstance(text, str) and text.startswith("[") and text.endswith("]")):
            return items_of(self._own.asked(kept))
        items: list[Item] | None = None
        for before, known in reversed(self._texts):
            if text.startswith(before[:-1]) and text[len(before) - 1 :].startswith(","):
                rest = decoded("[" + text[len(before) :])
                if isinstance(rest, list):
                    items = known + items_of(messages_of(rest), known[-1].position + 1)
                    break
        if items is None:
            items = items_of(messages_of(text))
        if not items:
            return items_of(self._own.asked(kept))
        self._texts.append((text, items))
        del self._texts[:-HISTORIES]
        if items[0].role in INSTRUCTING:
            return items
        return items_of(self._own.instructions(kept)) + items


@dataclass(slots=True)
class _Tools:
    """Brings together the call of a tool, its execution and its result."""

    _calls: dict[str, ToolCall] = field(default_factory=dict)
    _open: list[tuple[str, ToolCall]] = field(default_factory=list)  # with the trace
    _unanswered: list[ToolCall] = field(default_factory=list)  # of the latest message with some

    #: Executions of calls that no message has.
    untold: list[ToolCall] = field(default_factory=list)

    def open(self, trace_id: str, answered: Iterable[Message]) -> None:
        """Note the tool calls that a model asked for."""
        self._open += [
            (trace_id, part)
            for message in answered
            for part in message.parts
            if isinstance(part, ToolCall)
        ]

    def attach(self, kept: KeptSpan, executed: ToolCall) -> bool:
        """Add an execution to the tool call that asked for it. Returns False if there is none."""
        call = self._calls.get(executed.id) if executed.id else None
        if call is None or call.execution is not None:
            call = self._told_twice(kept, executed)
            if call is not None:
                return True
            call = next(
                (
                    one
                    for trace_id, one in self._open
                    if trace_id == kept.span.trace_id
                    and _is_same_tool(one.name, executed.name)
                    and one.execution is None
                    and not (one.id and executed.id and one.id != executed.id)
                ),
                self._elsewhere(executed),
            )
        if call is None:
            return False
        self._execute(call, kept, executed)
        return True

    def _told_twice(self, kept: KeptSpan, executed: ToolCall) -> ToolCall | None:
        """Returns the call whose execution another instrumentation reports at the same time."""
        span = kept.span
        return next(
            (
                one
                for trace_id, one in self._open
                if trace_id == span.trace_id
                and one.execution is not None
                and one.execution.span.scope != span.scope
                and max(one.execution.span.start, span.start)
                <= min(one.execution.span.end, span.end)
                and (_is_same_tool(one.name, executed.name))
            ),
            None,
        )

    def hand_over(self, kept: KeptSpan, handoff: Handoff | None) -> bool:
        """Add a handoff's span to the tool call that asked for it. False if there is none."""
        if handoff is None:
            return False
        for trace_id, one in self._open:
            if (
                trace_id == kept.span.trace_id
                and one.execution is None
                and one.handoff is not None
                and handoffs.is_same(one.handoff, handoff)
            ):
                one.execution = kept
                one.handoff = Handoff(
                    handoff.source or one.handoff.source, handoff.target or one.handoff.target
                )
                return True
        return False

    def attach_late(self, kept: KeptSpan, executed: ToolCall) -> bool:
        """Add an execution to a call with the same arguments that was reported after it.

        Or to one with another id, as Google's ADK makes them up for messages and for tools.
        """
        for trace_id, one in self._open:
            if (
                trace_id == kept.span.trace_id
                and one.execution is None
                and _is_same_tool(one.name, executed.name)
                and (
                    executed.arguments is None
                    or decoded(one.arguments) == decoded(executed.arguments)
                )
            ):
                self._execute(one, kept, executed)
                return True
        return False

    @staticmethod
    def _execute(call: ToolCall, kept: KeptSpan, executed: ToolCall) -> None:
        call.execution = kept
        if call.arguments is None:
            call.arguments = executed.arguments
        if call.result is None:
            call.result = executed.result

    def _elsewhere(self, executed: ToolCall) -> ToolCall | None:
        """Returns the latest open call of a tool in any trace, where no id can tell."""
        return next(
            (
                one
                for _, one in reversed(self._open)
                if _is_same_tool(one.name, executed.name)
                and one.execution is None
                and not (one.id and executed.id)
            ),
            None,
        )

    def messages(self, items: Iterable[Item]) -> tuple[Message, ...]:
        """Joins parts into messages. A tool's result is added to its call instead, if known."""
        joined: list[tuple[Item, list[Part]]] = []
        calling: int | None = None  # the position of the latest message with calls
        for item in items:
            part = item.part
            if kind_of(item.raw) in RESULTS:
                call = self._answered_by(item)
                if call is not None:
                    if call.result is None or call.execution is not None:
                        call.result = result(item.raw)
                    continue
                told = _values(result(item.raw))
                if any(told == _values(one.result) for one in self.untold):
                    continue
            elif isinstance(part, ToolCall):
                if calling != item.position:
                    calling, self._unanswered = item.position, []
                self._unanswered.append(part)
                if part.id:
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

    def _answered_by(self, item: Item) -> ToolCall | None:
        """Returns the call that a result belongs to: by its id, or by the order of the calls.

        Some vendors have no ids for calls, and some senders leave them out on one side.
        """
        call_id, name = item.raw.get("id"), item.raw.get("name") or item.name
        found = self._calls.get(str(call_id))
        if found is None:
            open_calls = [one for one in self._unanswered if name in {None, "", one.name}]
            found = next(
                (one for one in open_calls if not (one.id and call_id)),
                # Traceloop names a call by the id of its item where the result has the call's.
                next(iter(open_calls), None),
            )
        self._unanswered = [one for one in self._unanswered if one is not found]
        return found


def _values(parts: Iterable[Part] | None) -> list[Any]:
    """Returns what a tool's result says, however it was encoded."""
    return [decoded(one.content) if isinstance(one, Text) else one for one in parts or ()]


def _place_of_call(entries: Sequence[Turn | Step], kept: KeptSpan, tool: ToolCall) -> int | None:
    """Returns the place of the call that asked for a tool, where no message names it, or None.

    It is the one before, if it is known that a model asked: it ended with that reason, or the
    tool's execution has an id, which only a model gives. Its answer has nothing else in it.
    """
    for place in range(len(entries) - 1, -1, -1):
        turn = entries[place]
        if isinstance(turn, Step):
            continue
        before = turn.kept.span
        said = [part for message in turn.answered for part in message.parts]
        is_asked = _ends_with_tools(before) or (
            tool.id is not None and before.end <= kept.span.end and not _finish_reasons(before)
        )
        is_told = all(isinstance(part, ToolCall) and part.execution for part in said)
        is_near = before.trace_id == kept.span.trace_id or before.scope == kept.span.scope
        if turn.kept.facts.is_model_call and is_asked and is_told and is_near:
            return place
        return None
    return None


#: Why an answer ends that asks for tools, by the names of all vendors.
_WITH_TOOLS: Final = re.compile("tool[_-]?(?:call|use)|function_call", re.IGNORECASE)


def _finish_reasons(span: Span) -> list[str]:
    found = decoded(span.attributes.get("gen_ai.response.finish_reasons") or [])
    return [as_text(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


def _ends_with_tools(span: Span) -> bool:
    return any(map(_WITH_TOOLS.search, _finish_reasons(span)))


def _empty_answers(kept: KeptSpan) -> tuple[Message, ...]:
    ends = empty_answers(kept.span)
    told = itertools.zip_longest(ends, _finish_reasons(kept.span)[: len(ends)])
    reasons = [reason or otherwise for reason, otherwise in told]
    if any(reason and _WITH_TOOLS.search(reason) for reason in reasons):
        return ()  # some senders tell the calls elsewhere
    return tuple(Message("assistant", (), None, reason) for reason in reasons)


def _cut_off(span: Span) -> tuple[Message, ...]:
    """Returns a message in the place of an answer of which only is known why it ended early."""
    reason = next(filter(ended_early, _finish_reasons(span)), None)
    return () if reason is None else (Message("assistant", (), None, reason),)


def _with_tool(turn: Turn, tool: ToolCall) -> Turn:
    """Returns a turn with a tool that was run, though no message of its own reports it."""
    answered = tuple(one for one in turn.answered if one.parts)
    says = answered and not any(isinstance(part, ToolCall) for part in answered[-1].parts)
    place = len(answered) - bool(says)  # before what it said in the end
    call = Message("assistant", (tool,))
    return replace(turn, answered=(*answered[:place], call, *answered[place:]), has_output=True)


def _is_same_tool(name: str, executed: str) -> bool:
    """Whether a tool was executed under its name, or that of an agent and its own."""
    return name == executed or executed.endswith((f".{name}", f" {name}", f"-{name}"))


def _executed(kept: KeptSpan) -> ToolCall:
    """Returns the tool call that a tool's span describes."""
    use = table.tool_use(kept.span)
    return ToolCall(
        use.id,
        use.name or kept.span.name,
        None if use.arguments is None else shown(use.arguments),
        None if use.result is None else (Text(shown(use.result)),),
        kept,
    )


def _key(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id
