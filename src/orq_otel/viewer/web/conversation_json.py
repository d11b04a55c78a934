"""A conversation as the API shows it: its turns and steps, with the parts of the conventions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from orq_otel.viewer.conversation import (
    Conversation,
    Exchange,
    Media,
    Message,
    Other,
    Part,
    Step,
    Text,
    ToolCall,
    Turn,
    failure,
)
from orq_otel.viewer.model import KeptSpan
from orq_otel.viewer.times import rfc_3339
from orq_otel.viewer.web.api_json import EVERY_DIGIT


def conversation(
    told: Conversation, told_in: Iterable[Exchange], next_cursor: str | None
) -> dict[str, Any]:
    """Returns a conversation as JSON, in chronological order.

    Args:
        told: The conversation.
        told_in: Its exchanges, which say what each entry is in them.
        next_cursor: That of what follows, or None at the end.
    """
    places = {id(one): each for each in told_in for one in each.entries}
    return {
        "entries": [
            {
                **(_turn(one) if isinstance(one, Turn) else _step(one)),
                **_place(one, places[id(one)]),
            }
            for one in told.entries
        ],
        "turns": told.turns,
        "has_content": told.has_content,
        "truncated": next_cursor is not None,
        "next_cursor": next_cursor,
    }


def _place(entry: Turn | Step, exchange: Exchange) -> dict[str, Any]:
    return {
        "exchange": exchange.number,
        "asks": entry is exchange.question,
        "answers": any(entry is one for one in exchange.answers),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "type": "turn",
        **_span(turn.kept),
        "agent": turn.agent,
        "number": turn.number,
        "input": [_message(one) for one in turn.asked],
        "output": [_message(one) for one in turn.answered],
        "has_input": turn.has_input,
        "has_output": turn.has_output,
        "repeated_parts": turn.repeated,
        "left_out_parts": turn.left_out,
        "is_rewritten": turn.is_rewritten,
        "is_repeat": turn.is_repeat,
    }


def _step(step: Step) -> dict[str, Any]:
    found = {"type": "step", **_span(step.kept)}
    return found if step.tool is None else {**found, "tool_call": _part(step.tool)}


def _span(kept: KeptSpan) -> dict[str, Any]:
    span, facts, why = kept.span, kept.facts, failure(kept)
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "started_at": rfc_3339(span.start, EVERY_DIGIT),
        "ended_at": rfc_3339(span.end, EVERY_DIGIT),
        "operation": facts.operation,
        "model": facts.model,
        "provider": facts.provider,
        "input_tokens": facts.input_tokens,
        "output_tokens": facts.output_tokens,
        "cost_usd": facts.cost,
        "error": None if why is None else {"type": why.kind, "message": why.message},
    }


def _message(message: Message) -> dict[str, Any]:
    more = {"name": message.name, "finish_reason": message.finish_reason}
    return {
        "role": message.role,
        "parts": [_part(one) for one in message.parts],
        **{name: value for name, value in more.items() if value is not None},
    }


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            kind = "reasoning" if part.is_reasoning else "text"
            return {"type": kind, "content": part.content}
        case Media():
            return {
                "type": "media",
                "modality": part.modality,
                "mime_type": part.mime_type,
                "size": part.size,
                "uri": part.reference,
            }
        case ToolCall():
            run = part.execution
            return {
                "type": "tool_call",
                "id": part.id,
                "name": part.name,
                "arguments": _decoded(part.arguments),
                "result": None if part.result is None else [_part(one) for one in part.result],
                "executed_by": None if run is None else _span(run),
            }
        case Other():
            return {"type": "other", "kind": part.kind, "content": part.content}


def _decoded(text: str | None) -> Any:
    """Returns JSON in a text, or the text if it is none."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text
