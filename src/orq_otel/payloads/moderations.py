"""Moderations: attributes and content of requests and responses. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.errors import add_error, add_page, add_said
from orq_otel.genai.fields import Attributes, fields, get, read_strings
from orq_otel.genai.messages import Content, Part, generic, message
from orq_otel.genai.semconv import INPUT_MESSAGES, OUTPUT_MESSAGES, RESPONSE_ID, RESPONSE_MODEL
from orq_otel.payloads.parts import content_parts, items
from orq_otel.payloads.usage import read_response_usage


def response_attributes(response: Any) -> Attributes:
    """Attributes of a moderation. OpenAI counts no tokens for it, a gateway may."""
    values = fields(response)
    attributes = read_strings(values, (("id", RESPONSE_ID), ("model", RESPONSE_MODEL)))
    add_error(values, attributes)
    add_said(values, attributes, "results", "answers")
    add_page(response, attributes)
    read_response_usage(values.get("usage"), attributes)
    return attributes


def request_content(body: Mapping[str, Any]) -> Content:
    """The input of `POST /moderations`: a message for each text, or one of several parts."""
    value = body.get("input")
    texts = items(value)
    each = texts if texts and all(isinstance(one, str) for one in texts) else [value]
    messages = [message("user", parts) for one in each if (parts := content_parts(one))]
    return {INPUT_MESSAGES: messages} if messages else {}


def response_content(response: Any) -> Content:
    """The results: a message for each text, or one."""
    messages = [
        message("assistant", [_result(fields(one))], finish_reason="stop")
        for one in items(get(response, "results"))
    ]
    return {OUTPUT_MESSAGES: messages} if messages else {}


def _result(result: Mapping[str, Any]) -> Part:
    """Whether the input was flagged, and the categories that it falls into.

    The client's models name a category `self_harm_intent`, and may have the API's
    `self-harm/intent` as well.
    """
    names = {
        name.replace("/", "_").replace("-", "_")
        for name, is_found in fields(result.get("categories")).items()
        if is_found is True and isinstance(name, str)
    }
    flagged = result.get("flagged") is True
    return generic("moderation", {"flagged": flagged, "categories": sorted(names)})
