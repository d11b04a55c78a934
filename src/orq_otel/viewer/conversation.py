"""The spans of a thread, read as a conversation: who said what, and what each answer took.

Every call of a model brings the whole conversation so far. What was told before is not told again:
a turn holds what its call says that no call before it did. Where a call's history differs from what
was said, the turn tells that.

Nothing here trusts what the messages look like: they come from anybody's spans.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from orq_otel.viewer.formats import as_text
from orq_otel.viewer.model import KeptSpan, Span

#: Of the conventions, and of this project's own operations.
INPUT: Final = ("gen_ai.input.messages", "orq_otel.input.messages")
OUTPUT: Final = ("gen_ai.output.messages", "orq_otel.output.messages")
INSTRUCTIONS: Final = ("gen_ai.system_instructions",)

#: Calls in which somebody says something, whether or not they came to an end.
_SPOKEN: Final = frozenset({"chat", "generate_content", "text_completion", "realtime_response"})
#: Calls of models in which nobody does.
_SILENT: Final = frozenset({"embeddings", "rerank", "moderate", "classify"})
#: What an agent's or a workflow's own span is called. It repeats what the calls in it say.
_AROUND: Final = ("invoke_", "create_agent", "handle_conversation_turn", "run_assistant")
_TOOL: Final = "execute_tool"

#: How many histories are remembered: agents that take turns have one each.
_HISTORIES = 12
#: Messages of one call, and parts of them, that are looked at: the latest.
_MOST_PARTS = 2000


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody said, or what a model thought."""

    content: str
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound or a document, of which a placeholder is shown.

    Attributes:
        modality: "image", "audio", "video", "document"...
        mime_type: "image/png", if it is known.
        size: In bytes, if it is known.
        reference: Its URL or the id of a file. Never followed.
    """

    modality: str
    mime_type: str | None = None
    size: int | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """A part of a kind that is not known, as JSON."""

    kind: str
    content: str


@dataclass(slots=True)
class ToolCall:
    """A tool that a model asked for, and how that went as far as later spans tell.

    Attributes:
        id: By which its result names it.
        name: The tool.
        arguments: As text; None where none were captured.
        result: What it answered; None where nothing tells.
        execution: The span that ran it.
        is_of_provider: Whether the provider ran it.
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
    """Somebody says something."""

    role: str
    parts: tuple[Part, ...]
    name: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A call of a model: what is new in it, and what came back.

    Attributes:
        number: From 1 on.
        kept: Its span.
        asked: The messages that no call before had.
        answered: The answer, or several to choose from.
        has_input: Whether what was asked was captured.
        has_output: Whether the answer was.
        repeated: How many parts of messages are those of the conversation so far.
        left_out: How many parts of the conversation so far its history lacks.
        is_rewritten: Whether new messages stand between those told before.
        is_repeat: Whether it asks what was asked before, and nothing else.
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
    """Something else that was done in between: a tool was run, documents were looked up...

    Attributes:
        kept: Its span.
        tool: What was run, where it is a tool.
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
    """What was said in a thread, by time.

    Attributes:
        entries: Calls of models, and steps in between.
        turns: How many calls there are.
        has_content: Whether any message was captured.
    """

    entries: tuple[Turn | Step, ...]
    turns: int
    has_content: bool


def conversation(thread_id: str, spans: Iterable[KeptSpan]) -> Conversation:
    """What was said in a thread.

    Args:
        thread_id: Its id.
        spans: Its spans, and others of its traces, by their start.
    """
    everything = list(spans)
    own = [one for one in everything if one.facts.thread_id == thread_id]
    around = _around(everything, [one for one in own if _speaks(one)])
    reader = _Reader()
    entries: list[Turn | Step] = []
    for one in own:
        if _key(one.span) in around:
            continue
        if _speaks(one):
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
    """Why a span failed, in the words of its status or of the last exception in it."""
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


def _speaks(kept: KeptSpan) -> bool:
    """Whether somebody says something in a span."""
    facts = kept.facts
    if facts.operation == _TOOL or facts.operation in _SILENT:
        return False
    return (
        facts.is_model_call
        or facts.operation in _SPOKEN
        or bool(_content(kept.span, INPUT) or _content(kept.span, OUTPUT))
    )


def _around(spans: Sequence[KeptSpan], speaking: Sequence[KeptSpan]) -> set[tuple[str, str]]:
    """Spans around those in which somebody speaks. What they say is told by those already."""
    by_key = {_key(one.span): one for one in spans}
    seen: set[tuple[str, str]] = set()
    for one in speaking:
        trace_id, parent = one.span.trace_id, one.span.parent_id
        while parent is not None and (trace_id, parent) not in seen:  # parents may form a circle
            seen.add((trace_id, parent))
            above = by_key.get((trace_id, parent))
            parent = None if above is None else above.span.parent_id
    return {
        key
        for key in seen
        if (kept := by_key.get(key)) is not None
        and (_speaks(kept) or str(kept.facts.operation).startswith(_AROUND))
    }


def _key(span: Span) -> tuple[str, str]:
    return span.trace_id, span.span_id


class _Item:
    """A part of a message, with what tells whether it was said before."""

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
    """A conversation so far: the marks of what was asked in the latest call, and of its answer."""

    asked: list[int]
    marks: list[int]
    counting: list[bool]  # whether it is missed where a later call lacks it
    failed: bool
    places: dict[int, list[int]] = field(default_factory=dict)

    def index(self) -> dict[int, list[int]]:
        if not self.places:
            for place, mark in enumerate(self.marks):
                self.places.setdefault(mark, []).append(place)
        return self.places


@dataclass(slots=True)
class _Comparison:
    """Which parts of what a call says are new; the rest as in `Turn`."""

    new: list[bool]
    left_out: int = 0
    is_rewritten: bool = False
    is_repeat: bool = False


class _Reader:
    """Reads one call after the other, and remembers what was said."""

    def __init__(self) -> None:
        self.turns = 0
        self._histories: list[_History] = []
        self._texts: list[tuple[str, list[_Item]]] = []
        self._calls: dict[str, ToolCall] = {}
        self._open: list[tuple[str, ToolCall]] = []  # with the trace, the latest last

    def turn(self, kept: KeptSpan) -> Turn:
        self.turns += 1
        given = _instructions(kept.span) + self._asked(kept.span)
        answer = _items(_messages(kept.span, OUTPUT))
        marks = [item.mark for item in given]
        if "gen_ai.request.previous_response.id" in kept.span.attributes:
            found = _Comparison([True] * len(given))  # the provider has the conversation so far
        else:
            found = self._compared(given, marks)
        new = found.new
        asked = self._messages([item for item, is_new in zip(given, new, strict=True) if is_new])
        answered = self._messages(answer)
        self._remember(kept, given, answer, marks)
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
            has_input=bool(given),
            has_output=bool(answer),
            repeated=len(new) - sum(new),
            left_out=found.left_out,
            is_rewritten=found.is_rewritten,
            is_repeat=found.is_repeat,
        )

    def attach(self, kept: KeptSpan, executed: ToolCall) -> bool:
        """Tell the call of a tool how it went. False where no call is known."""
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

    def _asked(self, span: Span) -> list[_Item]:
        """What a call was asked, with the conversation so far.

        That is most of it as a rule, and in the same words: then only the rest is decoded. A thread
        of 400 turns is read in a tenth of the time.
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

    def _compared(self, given: list[_Item], marks: list[int]) -> _Comparison:
        """What a call says, compared with what was said before."""
        history, new = self._known(given, marks)
        found = _Comparison(new)
        if history is None or _is_beginning(given, new):
            return found
        if marks and not any(new):
            if marks == history.asked and (history.failed or _is_continued(given)):
                found.is_repeat = True
            else:  # a question in the same words as an earlier one
                found.new = _latest_question(given)
                return found
        if marks[: len(history.marks)] != history.marks:
            found.left_out = _left_out(history, marks, new)
            last_known = max((place for place, one in enumerate(new) if not one), default=-1)
            found.is_rewritten = any(new[:last_known])
        return found

    def _known(self, given: list[_Item], marks: list[int]) -> tuple[_History | None, list[bool]]:
        """The history that a call goes on with, and which of its parts are new."""
        exact = [one for one in self._histories if marks[: len(one.marks)] == one.marks]
        if exact:
            best = max(exact, key=lambda one: len(one.marks))
            known = len(best.marks)
            return best, [False] * known + [True] * (len(marks) - known)
        found: tuple[_History | None, list[bool]] = None, [True] * len(given)
        for one in reversed(self._histories):
            new = _new(one, marks)
            if sum(new) < sum(found[1]):
                found = one, new
        return found

    def _remember(
        self, kept: KeptSpan, given: list[_Item], answer: list[_Item], marks: list[int]
    ) -> None:
        if not marks and not answer:
            return
        said = marks + [item.mark for item in answer]
        # One of several answers at most goes on; the others are not missed.
        counting = [not item.is_hidden and item.role != "system" for item in given]
        counting += [not item.is_hidden and item.position == 0 for item in answer]
        self._histories.append(_History(marks, said, counting, kept.facts.is_error))
        del self._histories[:-_HISTORIES]

    def _messages(self, items: Iterable[_Item]) -> tuple[Message, ...]:
        """Messages of parts. What a tool answered goes to the call of it, where that was told."""
        told: list[tuple[_Item, list[Part]]] = []
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
            last = told[-1][0] if told else None
            if last is not None and last.position == item.position and last.role == item.role:
                told[-1][1].append(part)
            else:
                told.append((item, [part]))
        return tuple(
            Message(item.role, tuple(parts), item.name, item.finish_reason) for item, parts in told
        )


def _new(history: _History, marks: list[int]) -> list[bool]:
    """Which parts a history does not have, in its order."""
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


def _is_beginning(given: list[_Item], new: list[bool]) -> bool:
    """Whether nothing but the instructions is the same: a new conversation in the same thread."""
    return any(new) and all(
        is_new or item.role in _INSTRUCTING for item, is_new in zip(given, new, strict=True)
    )


def _is_continued(given: list[_Item]) -> bool:
    """Whether there is an answer among the messages."""
    return any(item.role not in _INSTRUCTING and item.role != "user" for item in given)


def _latest_question(given: list[_Item]) -> list[bool]:
    """What was said after the last answer is asked again."""
    new = [False] * len(given)
    for place in range(len(given) - 1, -1, -1):
        if given[place].role != "user":
            break
        new[place] = True
    return new


_INSTRUCTING: Final = frozenset({"system", "developer"})
_RESULTS: Final = frozenset({"tool_call_response", "server_tool_call_response"})


def _content(span: Span, names: Sequence[str]) -> Any:
    """An attribute with content, on a span or, as some senders have it, on an event of it."""
    events = (event.get("attributes") for event in span.events)
    for attributes in (span.attributes, *events):
        if isinstance(attributes, Mapping):
            for name in names:
                if attributes.get(name):
                    return attributes[name]
    return None


def _decoded(value: Any) -> Any:
    """JSON in a string, or what is there."""
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
    """Instructions that stand beside the messages, as a message of the system."""
    parts = _messages(span, INSTRUCTIONS)
    return _items([{"role": "system", "parts": parts}]) if parts else []


def _items(messages: Iterable[Any], first: int = 0) -> list[_Item]:
    """The parts of messages, the first of which has this place among all of the call."""
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
        if not (_kind(raw) == "text" and not _words(raw)):
            yield raw


def _as_part(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return {"type": "text", "content": "" if value is None else as_text(value)}


def _mark(role: str, raw: Mapping[str, Any]) -> int:
    """The same number for the same part, in an answer and when a later call repeats it."""
    kind = _kind(raw)
    if kind == "tool_call":
        said: Any = (raw.get("name"), _decoded(raw.get("arguments")))
        role = ""
    elif kind in _RESULTS:
        said, role = (raw.get("id"), raw.get("response")), ""
    elif kind in {"text", "reasoning"}:
        return hash((kind, _same(role), _words(raw).strip()))
    else:
        said = dict(raw)
    return hash((kind, _same(role), as_text(said)))


def _kind(raw: Mapping[str, Any]) -> str | None:
    """What a part is. Text without a type is text."""
    kind = raw.get("type")
    if kind is None and isinstance(raw.get("content", raw.get("text")), str):
        return "text"
    return kind if isinstance(kind, str) else None


def _words(raw: Mapping[str, Any]) -> str:
    """The words of a text. Some senders leave them in the field that the vendor has them in."""
    words = raw.get("content", raw.get("text"))
    return "" if words is None else as_text(words)


def _same(role: str) -> str:
    return "system" if role in _INSTRUCTING else role


def _part(raw: Mapping[str, Any]) -> Part:
    kind = _kind(raw)
    if kind in {"text", "reasoning"}:
        return Text(_words(raw), is_reasoning=kind == "reasoning")
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
    told = _text(raw.get("kind")) if kind == "generic" else _text(kind)
    rest = {key: value for key, value in raw.items() if key not in {"type", "kind"}}
    return Other(told or "part", as_text(rest.get("value", rest) if kind == "generic" else rest))


def _media(raw: Mapping[str, Any]) -> Media:
    size, content = raw.get("size"), raw.get("content")
    if isinstance(size, bool) or not isinstance(size, int):
        # Base64, as the conventions have it: three bytes in four characters.
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
    """What a tool answered: parts of a message, or JSON."""
    value = raw.get("response", raw.get("result", raw.get(str(raw.get("type")))))
    if isinstance(value, (list, tuple)) and all(
        isinstance(one, Mapping) and _kind(one) in _SAID for one in value
    ):
        return tuple(_part(one) for one in value[:_MOST_PARTS])
    return (Text(as_text(_decoded(value))),)


_SAID: Final = frozenset({"text", "blob", "uri", "file"})


def _executed(kept: KeptSpan) -> ToolCall:
    """What the span of a tool tells of it."""
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
