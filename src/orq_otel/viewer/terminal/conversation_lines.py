"""Formats the conversation of a thread as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orq_otel.viewer.conversation.entries import Conversation, Failure, Step, Turn
from orq_otel.viewer.conversation.facts import explained
from orq_otel.viewer.conversation.parts import (
    Handoff,
    Media,
    Message,
    Other,
    Part,
    Text,
    ToolCall,
    ended_early,
)
from orq_otel.viewer.conversation.reading import failure
from orq_otel.viewer.dialects.capturing import settings
from orq_otel.viewer.formats import count, one_line, shortened, visible
from orq_otel.viewer.terminal.formatting import (
    clock_of,
    cost_text,
    day_of,
    duration_text,
    token_counts,
)
from orq_otel.viewer.terminal.tables import plain, wrapped

#: How many characters of a message part are shown. An export has all of them.
_MOST = 4000
_ROLE = 11  # cells


def conversation_lines(
    conversation: Conversation, width: int | None, limit: int | None = None
) -> Iterator[str]:
    """Yields the lines of a conversation, with roles on the left.

    Args:
        conversation: The conversation.
        width: The width of the terminal in cells. None: unlimited.
        limit: Only so many of its latest calls and steps. None: all.
    """
    if not conversation.has_content:
        if conversation.turns:
            switches = " and ".join(settings(conversation.senders))
            yield from wrapped(f"No messages were sent. Programs send them with {switches}", width)
        return
    days = {day_of(entry.kept.span.start) for entry in conversation.entries}
    day = None
    for entry in conversation.entries[-limit if limit else 0 :]:
        if len(days) > 1 and day != (day := day_of(entry.kept.span.start)):
            yield f"-- {day} --"
        yield from entry_lines(entry, width)


def entry_lines(entry: Turn | Step, width: int | None) -> Iterator[str]:
    """Yields the lines of a model call or of a step."""
    if isinstance(entry, Turn):
        for message in entry.asked:
            yield from _message(message, width)
        for message in entry.answered:
            yield from _message(message, width)
            if not message.parts:
                what = "(empty answer)" if entry.has_output else "(answer not captured)"
                yield from _beside(message.role, what, width)
            if ended_early(message.finish_reason):
                yield from _beside("", f"(ended: {one_line(message.finish_reason, 40)})", width)
        yield from _beside("", _call(entry), width)
    elif entry.tool is not None:
        yield from _part("tool", entry.tool, width)
    elif entry.handoff is not None:
        yield from _beside("handoff", handoff_text(entry.handoff), width)
    elif entry.guardrail is not None:
        verdict = "TRIPPED" if entry.guardrail.has_tripped else "passed"
        yield from _beside("guardrail", f"{entry.guardrail.name}: {verdict}", width)
    error = failure(entry.kept)
    # A tool's own error stands with its call.
    if error is not None and not (isinstance(entry, Step) and entry.tool is not None):
        yield from _beside("ERROR", _reason(error), width)


def _reason(error: Failure) -> str:
    return one_line(f"{error.kind} {error.message}".strip())


def _message(message: Message, width: int | None) -> Iterator[str]:
    for number, part in enumerate(message.parts):
        yield from _part(message.role if number == 0 else "", part, width)


def _part(who: str, part: Part, width: int | None) -> Iterator[str]:
    yield from _beside(who, _content(part), width)
    if isinstance(part, ToolCall) and part.handoff is not None:
        yield from _beside("handoff", handoff_text(part.handoff), width)
    if isinstance(part, ToolCall):
        error = None if part.execution is None else failure(part.execution)
        for result in part.result or ():
            yield from _part("-> result" if error is None else "-> FAILED", result, width)
        if error is not None:
            yield from _beside("" if part.result else "-> FAILED", _reason(error), width)


def _content(part: Part) -> str:
    match part:
        case Text(content, is_reasoning):
            return f"(thinking) {content}" if is_reasoning else content
        case Media(modality, mime_type, size):
            facts = [modality, mime_type, f"{count(size)} bytes" if size is not None else None]
            return f"[{', '.join(filter(None, facts))}]"
        case Other(kind, content):
            return f"[{kind}] {content}"
        case ToolCall():
            return f"{part.name}({part.arguments or ''})"


def handoff_text(handoff: Handoff) -> str:
    """Returns a handoff as a sentence."""
    source = f" from {handoff.source}" if handoff.source else ""
    return one_line(f"handed over{source} to {handoff.target}")


def text_of(parts: Iterable[Part]) -> str:
    """Returns the parts of a message as one text, which is not cut."""
    texts = []
    for part in parts:
        texts.append(_content(part))
        if isinstance(part, ToolCall):
            texts += [f"-> {_content(result)}" for result in part.result or ()]
    return "\n".join(texts)


def _call(turn: Turn) -> str:
    """Returns the time, model, duration, tokens and cost of a call."""
    span, facts, cost = turn.kept.span, turn.kept.facts, explained(turn.kept)
    values = [
        clock_of(span.start),
        turn.agent or "",
        facts.model or "a model",
        duration_text((span.end - span.start) / 1e6),
        f"{used} tokens" if (used := token_counts(facts.input_tokens, facts.output_tokens)) else "",
        ("≈" if cost.doubts else "") + cost_text(cost.total) if cost is not None else "",
    ]
    return f"[{', '.join(filter(None, values))}]"


def _beside(who: str, text: str, width: int | None) -> Iterator[str]:
    """Yields a text in lines beside a label."""
    label = plain(shortened(who, _ROLE - 2))
    shown = visible(shortened(text, _MOST)).replace("\t", " ")
    cells = None if width is None else max(width - _ROLE, _ROLE)
    for number, line in enumerate(wrapped(shown, cells)):
        yield f"{label if number == 0 else '':{_ROLE}}{line}".rstrip()
