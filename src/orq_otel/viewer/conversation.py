"""Turns the spans of a thread into a conversation: its messages, model calls and tool calls.

Every model call sends the complete conversation so far. A turn holds only the messages that no
earlier call had, so that the page shows each message once. If a call's history differs from the
conversation so far, the turn says how.

The code makes no assumptions about the shape of messages: any program can send spans.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

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

#: How many histories are kept. Agents that take turns have one each.
_HISTORIES = 12
#: At most this many messages of a call are read, and parts of them: the latest.
_MOST_PARTS = 2000


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a message, or a model's reasoning."""

    content: str
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound or document. The viewer shows a placeholder for it.

    Attributes:
        modality: "image", "audio", "video", "document"...
        mime_type: Such as "image/png", or None if unknown.
        size: In bytes, or None if unknown.
        reference: Its URL or file id. The viewer never fetches it.
    """

    modality: str
    mime_type: str | None = None
    size: int | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """A part of an unknown kind, as JSON."""

    kind: str
    content: str


@dataclass(slots=True)
class ToolCall:
    """A tool call that a model asked for, and its result if a later span has it.

    Attributes:
        id: The call's id, which its result refers to.
        name: The tool's name.
        arguments: As text, or None if they were not captured.
        result: The tool's result, or None if no span has it.
        execution: The span of the tool's execution, or None.
        is_of_provider: Whether the model's provider ran the tool.
    """

    id: str | None
    name: str
    arguments: str | None = None
    result: tuple[Part, ...] | None = None
    execution: KeptSpan | None = None
    is_of_provider: bool = False


Part: TypeAlias = Text | Media | Other | ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the conversation."""

    role: str
    parts: tuple[Part, ...]
    name: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A model call: its new messages and its answer.

    Attributes:
        number: The turn's number, from 1.
        kept: The call's span.
        asked: The input messages that no earlier call had.
        answered: The output messages: one, or several alternatives.
        has_input: Whether the input messages were captured.
        has_output: Whether the output messages were captured.
        repeated: How many message parts repeat the conversation so far.
        left_out: How many message parts of the conversation so far this call does not send.
        is_rewritten: Whether new messages stand between earlier ones.
        is_repeat: Whether the call sends exactly the messages of an earlier call.
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


@dataclass(frozen=True, slots=True)
class Step:
    """Another operation between turns, such as a tool's execution or a retrieval of documents.

    Attributes:
        kept: The operation's span.
        tool: The tool call, if the operation executes a tool.
    """

    kept: KeptSpan
    tool: ToolCall | None = None


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


class _Item:
    """A part of a message, with a mark to find the same part in other calls."""

    __slots__ = ("finish_reason", "is_hidden", "mark", "name", "part", "position", "raw", "role")

    def __init__(self, message: Mapping[str, Any], position: int, raw: Mapping[str, Any]) -> None:
        role = message.get("role")
        self.role = role if isinstance(role, str) and role else "user"
        name = message.get("name")
        self.name = name if isinstance(name, str) else None
        reason = message.get("finish_reason")
        self.finish_reason = reason if isinstance(reason, str) else None
        self.position = position
        self.raw = raw
        self.is_hidden = _kind(raw) == "reasoning"  # few callers send it back
        self.mark = _mark(self.role, raw)
        self.part = _part(raw)


@dataclass(slots=True)
class _History:
    """A conversation so far: the marks of a call's input messages, and of all messages."""

    asked: list[int]
    marks: list[int]
    counting: list[bool]  # whether a part counts as left out if a later call lacks it
    failed: bool
    places: dict[int, list[int]] = field(default_factory=dict)

    def index(self) -> dict[int, list[int]]:
        if not self.places:
            for place, mark in enumerate(self.marks):
                self.places.setdefault(mark, []).append(place)
        return self.places


@dataclass(slots=True)
class _Comparison:
    """Which parts of a call's input are new. The other attributes are those of `Turn`."""

    new: list[bool]
    left_out: int = 0
    is_rewritten: bool = False
    is_repeat: bool = False


class _Reader:
    """Reads one call after the other, and keeps the histories for comparison."""

    def __init__(self) -> None:
        self.turns = 0
        self._histories: list[_History] = []
        self._texts: list[tuple[str, list[_Item]]] = []
        self._calls: dict[str, ToolCall] = {}
        self._open: list[tuple[str, ToolCall]] = []  # with the trace, the latest last

    def turn(self, kept: KeptSpan) -> Turn:
        self.turns += 1
        items = _instructions(kept.span) + self._input_items(kept.span)
        answer = _items(_messages(kept.span, OUTPUT))
        marks = [item.mark for item in items]
        if "gen_ai.request.previous_response.id" in kept.span.attributes:
            # The provider keeps the conversation so far, so that the call sends new messages only.
            found = _Comparison([True] * len(items))
        else:
            found = self._compared(items, marks)
        new = found.new
        asked = self._messages([item for item, is_new in zip(items, new, strict=True) if is_new])
        answered = self._messages(answer)
        self._remember(kept, items, answer, marks)
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

    def _input_items(self, span: Span) -> list[_Item]:
        """Returns all input messages of a call.

        Usually their JSON begins with that of an earlier call. Then only the rest is decoded, which
        reads a thread of 400 turns in a tenth of the time.
        """
        text = _content(span, INPUT)
        if not isinstance(text, str):
            return _items(_messages(span, INPUT))
        items: list[_Item] | None = None
        for before, known in reversed(self._texts):
            if text.startswith(before[:-1]) and text[len(before) - 1 :].startswith(","):
                rest = _decoded("[" + text[len(before) :])
                if isinstance(rest, list):
                    items = known + _items(rest, known[-1].position + 1)
                    break
        if items is None:
            items = _items(_messages(span, INPUT))
        if items and text.startswith("[") and text.endswith("]"):
            self._texts.append((text, items))
            del self._texts[:-_HISTORIES]
        return items

    def _compared(self, items: list[_Item], marks: list[int]) -> _Comparison:
        """Compares the input of a call with the histories."""
        history, new = self._known(items, marks)
        found = _Comparison(new)
        if history is None or _is_beginning(items, new):
            return found
        if marks and not any(new):
            if marks == history.asked and (history.failed or _is_continued(items)):
                found.is_repeat = True
            else:  # the user repeats an earlier question
                found.new = _latest_question(items)
                return found
        if marks[: len(history.marks)] != history.marks:
            found.left_out = _left_out(history, marks, new)
            last_known = max((place for place, one in enumerate(new) if not one), default=-1)
            found.is_rewritten = any(new[:last_known])
        return found

    def _known(self, items: list[_Item], marks: list[int]) -> tuple[_History | None, list[bool]]:
        """Returns the history that a call continues, and which parts of its input are new."""
        exact = [one for one in self._histories if marks[: len(one.marks)] == one.marks]
        if exact:
            best = max(exact, key=lambda one: len(one.marks))
            known = len(best.marks)
            return best, [False] * known + [True] * (len(marks) - known)
        found: tuple[_History | None, list[bool]] = None, [True] * len(items)
        for one in reversed(self._histories):
            new = _new(one, marks)
            if sum(new) < sum(found[1]):
                found = one, new
        return found

    def _remember(
        self, kept: KeptSpan, items: list[_Item], answer: list[_Item], marks: list[int]
    ) -> None:
        if not marks and not answer:
            return
        all_marks = marks + [item.mark for item in answer]
        # The conversation continues with at most one of several answers. The others do not count.
        counting = [not item.is_hidden and item.role != "system" for item in items]
        counting += [not item.is_hidden and item.position == 0 for item in answer]
        self._histories.append(_History(marks, all_marks, counting, kept.facts.is_error))
        del self._histories[:-_HISTORIES]

    def _messages(self, items: Iterable[_Item]) -> tuple[Message, ...]:
        """Joins parts into messages. A tool's result is added to its call instead, if known."""
        joined: list[tuple[_Item, list[Part]]] = []
        for item in items:
            part = item.part
            if _kind(item.raw) in _RESULTS:
                call = self._calls.get(str(item.raw.get("id")))
                if call is not None:
                    if call.result is None or call.execution is not None:
                        call.result = _result(item.raw)
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


def _new(history: _History, marks: list[int]) -> list[bool]:
    """Returns which parts are not in a history, comparing in order."""
    places, at, new = history.index(), 0, []
    for mark in marks:
        there = places.get(mark, ())
        place = bisect_left(there, at)
        new.append(place == len(there))
        if place < len(there):
            at = there[place] + 1
    return new


def _left_out(history: _History, marks: list[int], new: list[bool]) -> int:
    known: dict[int, int] = {}
    for mark, is_new in zip(marks, new, strict=True):
        if not is_new:
            known[mark] = known.get(mark, 0) + 1
    missing = 0
    for mark, counts in zip(history.marks, history.counting, strict=True):
        if known.get(mark):
            known[mark] -= 1
        elif counts:
            missing += 1
    return missing


def _is_beginning(items: list[_Item], new: list[bool]) -> bool:
    """Whether only the instructions are repeated: a new conversation begins in the thread."""
    return any(new) and all(
        is_new or item.role in _INSTRUCTING for item, is_new in zip(items, new, strict=True)
    )


def _is_continued(items: list[_Item]) -> bool:
    """Whether the input has an answer in it."""
    return any(item.role not in _INSTRUCTING and item.role != "user" for item in items)


def _latest_question(items: list[_Item]) -> list[bool]:
    """Marks the user's messages after the last answer as new."""
    new = [False] * len(items)
    for place in range(len(items) - 1, -1, -1):
        if items[place].role != "user":
            break
        new[place] = True
    return new


_INSTRUCTING: Final = frozenset({"system", "developer"})
_RESULTS: Final = frozenset({"tool_call_response", "server_tool_call_response"})


def _content(span: Span, names: Sequence[str]) -> Any:
    """Returns the first of some attributes, from the span or, as some senders do, its events."""
    events = (event.get("attributes") for event in span.events)
    for attributes in (span.attributes, *events):
        if isinstance(attributes, Mapping):
            for name in names:
                if attributes.get(name):
                    return attributes[name]
    return None


def _decoded(value: Any) -> Any:
    """Decodes JSON in a string. Returns any other value unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _messages(span: Span, names: Sequence[str]) -> list[Any]:
    value = _decoded(_content(span, names))
    if value is None:
        return []
    return list(value)[-_MOST_PARTS:] if isinstance(value, (list, tuple)) else [value]


def _instructions(span: Span) -> list[_Item]:
    """Returns the parts of `gen_ai.system_instructions`, as a message with the role `system`."""
    parts = _messages(span, INSTRUCTIONS)
    return _items([{"role": "system", "parts": parts}]) if parts else []


def _items(messages: Iterable[Any], first: int = 0) -> list[_Item]:
    """Returns the parts of messages. `first` is the position of the first message in its call."""
    items: list[_Item] = []
    for position, message in enumerate(messages, first):
        if isinstance(message, Mapping):
            items += [_Item(message, position, raw) for raw in _raw_parts(message)]
        else:
            items.append(_Item({}, position, _as_part(message)))
    return items[-_MOST_PARTS:]


def _raw_parts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = message.get("parts", message.get("content"))
    for part in parts if isinstance(parts, (list, tuple)) else (parts,):
        raw = _as_part(part)
        if not (_kind(raw) == "text" and not _text_of(raw)):
            yield raw


def _as_part(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return {"type": "text", "content": "" if value is None else as_text(value)}


def _mark(role: str, raw: Mapping[str, Any]) -> int:
    """Returns the same number for a part of an answer and its repetition in a later call."""
    kind = _kind(raw)
    if kind == "tool_call":
        content: Any = (raw.get("name"), _decoded(raw.get("arguments")))
        role = ""
    elif kind in _RESULTS:
        content, role = (raw.get("id"), raw.get("response")), ""
    elif kind in {"text", "reasoning"}:
        return hash((kind, _normalized_role(role), _text_of(raw).strip()))
    else:
        content = dict(raw)
    return hash((kind, _normalized_role(role), as_text(content)))


def _kind(raw: Mapping[str, Any]) -> str | None:
    """Returns the type of a part: "text" also if only its text is there."""
    kind = raw.get("type")
    if kind is None and isinstance(raw.get("content", raw.get("text")), str):
        return "text"
    return kind if isinstance(kind, str) else None


def _text_of(raw: Mapping[str, Any]) -> str:
    """Returns a part's text. Some senders use the vendor's field, `text`, instead of `content`."""
    words = raw.get("content", raw.get("text"))
    return "" if words is None else as_text(words)


def _normalized_role(role: str) -> str:
    return "system" if role in _INSTRUCTING else role


def _part(raw: Mapping[str, Any]) -> Part:
    kind = _kind(raw)
    if kind in {"text", "reasoning"}:
        return Text(_text_of(raw), is_reasoning=kind == "reasoning")
    if kind == "tool_call":
        arguments = raw.get("arguments")
        return ToolCall(
            _text(raw.get("id")),
            _text(raw.get("name")) or "tool",
            None if arguments is None else as_text(_decoded(arguments)),
        )
    if kind == "server_tool_call":
        return ToolCall(
            _text(raw.get("id")),
            _text(raw.get("name")) or "tool",
            as_text(_decoded(raw.get("server_tool_call", {}))),
            is_of_provider=True,
        )
    if kind in {"blob", "uri", "file"}:
        return _media(raw)
    if kind in _RESULTS:
        return Other("tool result", as_text(_decoded(raw.get("response", raw.get(str(kind))))))
    name = _text(raw.get("kind")) if kind == "generic" else _text(kind)
    rest = {key: value for key, value in raw.items() if key not in {"type", "kind"}}
    return Other(name or "part", as_text(rest.get("value", rest) if kind == "generic" else rest))


def _media(raw: Mapping[str, Any]) -> Media:
    size, content = raw.get("size"), raw.get("content")
    if isinstance(size, bool) or not isinstance(size, int):
        # The conventions encode content in base64: three bytes in four characters.
        known = isinstance(content, str) and bool(content)
        size = len(str(content).rstrip("=")) * 3 // 4 if known else None
    return Media(
        _text(raw.get("modality")) or "file",
        _text(raw.get("mime_type")),
        size,
        _text(raw.get("uri")) or _text(raw.get("file_id")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _result(raw: Mapping[str, Any]) -> tuple[Part, ...]:
    """Returns a tool's result: parts of a message, or its JSON as text."""
    value = raw.get("response", raw.get("result", raw.get(str(raw.get("type")))))
    if isinstance(value, (list, tuple)) and all(
        isinstance(one, Mapping) and _kind(one) in _RESULT_PARTS for one in value
    ):
        return tuple(_part(one) for one in value[:_MOST_PARTS])
    return (Text(as_text(_decoded(value))),)


_RESULT_PARTS: Final = frozenset({"text", "blob", "uri", "file"})


def _executed(kept: KeptSpan) -> ToolCall:
    """Returns the tool call that a tool's span describes."""
    attributes = kept.span.attributes
    arguments = attributes.get("gen_ai.tool.call.arguments")
    result = attributes.get("gen_ai.tool.call.result")
    return ToolCall(
        _text(attributes.get("gen_ai.tool.call.id")),
        _text(attributes.get("gen_ai.tool.name")) or kept.span.name,
        None if arguments is None else as_text(_decoded(arguments)),
        None if result is None else (Text(as_text(_decoded(result))),),
        kept,
    )
