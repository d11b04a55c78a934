"""Checks whether a model made a file: attributes and content. Pure functions.

The request is a file, which is not in its body and is not content.
"""

from __future__ import annotations

from typing import Any

from orq_otel.genai.errors import add_error
from orq_otel.genai.fields import Attributes, fields, get
from orq_otel.genai.messages import Content, message
from orq_otel.genai.semconv import OUTPUT_MESSAGES
from orq_otel.payloads.parts import items, unknown_part


def response_attributes(response: Any) -> Attributes:
    """An error, if a compatible server sends one with the status 200. What was found is content."""
    attributes: Attributes = {}
    add_error(fields(response), attributes)
    return attributes


def response_content(response: Any) -> Content:
    """The results, one for each kind of mark: one message, with a part for each."""
    found = [unknown_part(one) for one in items(get(response, "results"))]
    if not found:
        return {}
    return {OUTPUT_MESSAGES: [message("assistant", found, finish_reason="stop")]}
