"""Read what is judged in moderations and decisions, and what the judgement is. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import Content, Part, generic, message
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES
from orq_otel.payloads.parts import content_parts, items, unknown_part
from orq_otel.payloads.responses_content import input_messages


def read_moderation_request(body: Mapping[str, Any]) -> Content:
    """What `POST /moderations` asks about: a message for each text, or one of several parts."""
    given = body.get("input")
    texts = items(given)
    each = texts if texts and all(isinstance(one, str) for one in texts) else [given]
    told = [message("user", parts) for one in each if (parts := content_parts(one))]
    return {INPUT_MESSAGES: told} if told else {}


def read_moderation(response: Any) -> Content:
    """What was found: a message for each text, or one."""
    told = [
        message("assistant", [_found(fields(one))], finish_reason="stop")
        for one in items(get(response, "results"))
    ]
    return {OUTPUT_MESSAGES: told} if told else {}


def read_decision_request(body: Mapping[str, Any]) -> Content:
    """What `POST /decisions` says, and as another message what it asks about that."""
    told = input_messages(body.get("input"))
    asked = [part for question in items(body.get("questions")) for part in _question(question)]
    if asked:
        told.append(message("user", asked))
    return {INPUT_MESSAGES: told} if told else {}


def read_decision(response: Any) -> Content:
    """What a decision says: one message, with a part for each answer."""
    answers = [unknown_part(answer) for answer in items(get(response, "answers"))]
    if not answers:
        return {}
    return {OUTPUT_MESSAGES: [message("assistant", answers, finish_reason="stop")]}


def _found(result: Mapping[str, Any]) -> Part:
    """Whether anything is wrong, and what.

    A model of the client has `self_harm_intent`, and may have `self-harm/intent` besides.
    """
    names = {
        name.replace("/", "_").replace("-", "_")
        for name, is_found in fields(result.get("categories")).items()
        if is_found is True and isinstance(name, str)
    }
    flagged = result.get("flagged") is True
    return generic("moderation", {"flagged": flagged, "categories": sorted(names)})


def _question(given: Any) -> list[Part]:
    """The instructions of a question, and what else it says: its name, its choices."""
    question = dict(fields(given))
    if not question:
        return [unknown_part(given)]
    parts = content_parts(question.pop("instructions", None))
    if not question.keys() <= {"type"} or not parts:
        parts.append(unknown_part(question))
    return parts
