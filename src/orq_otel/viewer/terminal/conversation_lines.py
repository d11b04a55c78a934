"""Formats the conversation of a thread as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from orq_otel.viewer.conversation import (
    Conversation,
    Media,
    Message,
    Other,
    Part,
    Text,
    ToolCall,
    Turn,
    failure,
)
from orq_otel.viewer.conversation.facts import explained
from orq_otel.viewer.dialects.capturing import settings
from orq_otel.viewer.formats import count, one_line, shortened, visible
from orq_otel.viewer.terminal.formatting import cost_text, duration_text, token_counts
from orq_otel.viewer.terminal.tables import plain, wrapped

#: How many characters of a message part are shown. An export has all of them.
_MOST = 4000
_ROLE = 11  # cells


def conversation_lines(conversation: Conversation, width: int | None) -> Iterator[str]:
    """Yields the lines of a conversation, with roles on the left.

    Args:
        conversation: The conversation.
        width: The width of the terminal in cells. None: unlimited.
    """
    if not conversation.has_content:
        if conversation.turns:
            switches = " and ".join(settings(conversation.senders))
            yield from wrapped(f"No messages were sent. Programs send them with {switches}", width)
        return
    for entry in conversation.entries:
        if isinstance(entry, Turn):
            for message in (*entry.asked, *entry.answered):
                yield from _message(message, width)
            yield from _beside("", _call(entry), width)
        elif entry.tool is not None:
            yield from _part("tool", entry.tool, width)
        error = failure(entry.kept)
        if error is not None:
            yield from _beside("ERROR", one_line(f"{error.kind} {error.message}".strip()), width)


def _message(message: Message, width: int | None) -> Iterator[str]:
    for number, part in enumerate(message.parts):
        yield from _part(message.role if number == 0 else "", part, width)


def _part(who: str, part: Part, width: int | None) -> Iterator[str]:
    match part:
        case Text(content, is_reasoning):
            yield from _beside(who, f"(thinking) {content}" if is_reasoning else content, width)
        case Media(modality, mime_type, size):
            facts = [modality, mime_type, f"{count(size)} bytes" if size is not None else None]
            yield from _beside(who, f"[{', '.join(filter(None, facts))}]", width)
        case Other(kind, content):
            yield from _beside(who, f"[{kind}] {content}", width)
        case ToolCall():
            yield from _beside(who, f"{part.name}({part.arguments or ''})", width)
            for result in part.result or ():
                yield from _part("-> result", result, width)


def _call(turn: Turn) -> str:
    """Returns the model, duration, tokens and cost of a call."""
    span, facts, cost = turn.kept.span, turn.kept.facts, explained(turn.kept)
    values = [
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
