"""Reads the texts of a span that people search for: messages, tools with what they got, errors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orq_otel.viewer.conversation.histories import INSTRUCTING
from orq_otel.viewer.conversation.parts import (
    MOST_PARTS,
    Other,
    Text,
    ToolCall,
    part_of,
    raw_parts,
    shown,
)
from orq_otel.viewer.dialects import table
from orq_otel.viewer.dialects.dialect import ToolUse
from orq_otel.viewer.model.facts import Facts
from orq_otel.viewer.model.telemetry import Span

#: How many characters of a text can be found.
MOST: Final = 20_000


def texts_of(span: Span, facts: Facts, tool: ToolUse | None = None) -> dict[int, str]:
    """Returns the texts of a span, each by its digest, which is the same wherever it is repeated.

    Instructions are not among them: all threads of an agent have the same.

    Args:
        span: The span.
        facts: What it says, as it is read when it arrives.
        tool: What `tool_use` has returned, if it was asked.
    """
    said = facts.said
    found: list[str] = []
    if said is None or said.is_genai or span.events:
        messages = table.asked(span)[-MOST_PARTS:] if said is None or said.may_ask else []
        if said is None or said.may_answer:
            messages += table.answered(span)
        for message in messages:
            if message.get("role") not in INSTRUCTING:
                found += _of_message(message)
        if facts.operation == "execute_tool":
            use = tool or table.tool_use(span)
            values = (use.arguments, use.result)
            found.append(" ".join((use.name or "", *(shown(one) for one in values if one))))
    if facts.is_error:
        found.append(span.status_message or table.failure(span) or "")
    return {_digest(text): text[:MOST] for one in found if (text := one.strip())}


def _of_message(message: Mapping[str, Any]) -> Iterator[str]:
    for raw in raw_parts(message):
        if raw.get("type") == "text" and isinstance(text := raw.get("content"), str):
            yield text  # as most
            continue
        part = part_of(raw)
        if isinstance(part, ToolCall):
            yield f"{part.name} {part.arguments or ''}"
        elif isinstance(part, Text) or (isinstance(part, Other) and part.kind == "tool result"):
            yield part.content


def tool_use(span: Span, facts: Facts) -> ToolUse | None:
    """Returns what a span says of the tool that it executes, or None if it executes none."""
    return table.tool_use(span) if facts.operation == "execute_tool" else None


def tool_of(span: Span, facts: Facts) -> str | None:
    """Returns the name of the tool that a span executes, or None."""
    use = tool_use(span, facts)
    return None if use is None else use.name


def _digest(text: str) -> int:
    """Returns a number that a row of SQLite can have."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
