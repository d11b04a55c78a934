"""Decisions: attributes and content of requests and responses. Pure functions.

A request asks questions about an input, each with a few possible answers. A response has the
attributes of a moderation's, and `moderations` reads them. A check whether a model made a file is
answered in the same way, with a result for each kind of mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import fields, get
from orq_otel.genai.messages import Content, Part, message
from orq_otel.genai.semconv import INPUT_MESSAGES
from orq_otel.payloads.parts import answered, content_parts, items, unknown_part
from orq_otel.payloads.responses import input_messages


def request_content(body: Mapping[str, Any]) -> Content:
    """The input of `POST /decisions`, and the questions about it as another message."""
    messages = input_messages(body.get("input"))
    questions = [part for question in items(body.get("questions")) for part in _question(question)]
    if questions:
        messages.append(message("user", questions))
    return {INPUT_MESSAGES: messages} if messages else {}


def response_content(response: Any, field: str = "answers") -> Content:
    """The answers, in this field: one message, with a part for each."""
    return answered([unknown_part(answer) for answer in items(get(response, field))])


def _question(value: Any) -> list[Part]:
    """The instructions of a question as text, and a part for the rest of it: its name, choices."""
    question = dict(fields(value))
    if not question:
        return [unknown_part(value)]
    parts = content_parts(question.pop("instructions", None))
    if not question.keys() <= {"type"} or not parts:
        parts.append(unknown_part(question))
    return parts
