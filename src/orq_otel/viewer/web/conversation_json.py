"""A conversation as the API shows it: its turns and steps, with the parts of the conventions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, cast

from orq_otel.viewer.conversation.entries import Conversation, Step, Turn
from orq_otel.viewer.conversation.exchanges import Exchange
from orq_otel.viewer.conversation.parts import Media, Message, Other, Part, Text, ToolCall
from orq_otel.viewer.conversation.reading import failure
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.times import rfc_3339
from orq_otel.viewer.web import answers
from orq_otel.viewer.web.api_json import EVERY_DIGIT


def conversation(
    conversation: Conversation, exchanges: Iterable[Exchange], next_cursor: str | None
) -> answers.Conversation:
    """Returns a conversation as JSON, in chronological order.

    Args:
        conversation: The conversation.
        exchanges: Its exchanges, which say what each entry is in them.
        next_cursor: That of what follows, or None at the end.
    """
    places = {id(one): each for each in exchanges for one in each.entries}
    return {
        "entries": [_entry(one, _place(one, places[id(one)])) for one in conversation.entries],
        "turns": conversation.turns,
        "has_content": conversation.has_content,
        "truncated": next_cursor is not None,
        "next_cursor": next_cursor,
    }


def _place(entry: Turn | Step, exchange: Exchange) -> answers.Place:
    return {
        "exchange": exchange.number,
        "asks": entry is exchange.question,
        "answers": any(entry is one for one in exchange.answers),
    }


def _entry(entry: Turn | Step, place: answers.Place) -> answers.Turn | answers.Step:
    return _turn(entry, place) if isinstance(entry, Turn) else _step(entry, place)


def _turn(turn: Turn, place: answers.Place) -> answers.Turn:
    return {
        "type": "turn",
        **_span(turn.kept),
        **place,
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


def _step(step: Step, place: answers.Place) -> answers.Step:
    found = cast("answers.Step", {"type": "step", **_span(step.kept), **place})
    if step.tool is not None:
        found["tool_call"] = _tool_call(step.tool)
    if step.handoff is not None:
        found["handoff"] = {"source": step.handoff.source, "target": step.handoff.target}
    if step.guardrail is not None:
        found["guardrail"] = {
            "name": step.guardrail.name,
            "has_tripped": step.guardrail.has_tripped,
        }
    return found


def _span(kept: KeptSpan) -> answers.Run:
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


def _message(message: Message) -> answers.Message:
    found: answers.Message = {
        "role": message.role,
        "parts": [_part(one) for one in message.parts],
    }
    if message.name is not None:
        found["name"] = message.name
    if message.finish_reason is not None:
        found["finish_reason"] = message.finish_reason
    return found


def _part(part: Part) -> answers.Part:
    match part:
        case Text():
            kind: Literal["text", "reasoning"] = "reasoning" if part.is_reasoning else "text"
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
            return _tool_call(part)
        case Other():
            return {"type": "other", "kind": part.kind, "content": part.content}


def _tool_call(call: ToolCall) -> answers.ToolCallPart:
    run = call.execution
    found: answers.ToolCallPart = {
        "type": "tool_call",
        "id": call.id,
        "name": call.name,
        "arguments": _decoded(call.arguments),
        "result": None if call.result is None else [_part(one) for one in call.result],
        "executed_by": None if run is None else _span(run),
    }
    if call.handoff is not None:
        found["handoff"] = {"source": call.handoff.source, "target": call.handoff.target}
    return found


def _decoded(text: str | None) -> Any:
    """Returns JSON in a text, or the text if it is none, as with a number that is infinite."""
    try:
        value = None if text is None else json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return value
