"""Read calls of Orq's Deployments: requests, responses and streams. Pure functions.

A Deployment is a named, versioned prompt. Which model answers is known from the answer only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, get
from orq_otel.genai.semconv import (
    PROMPT_NAME,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
    USAGE_CACHE_READ_INPUT_TOKENS,
    USAGE_INPUT_TOKENS,
    USAGE_OUTPUT_TOKENS,
    USAGE_REASONING_OUTPUT_TOKENS,
)


def read_invoke_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `deployments.invoke`."""
    key = arguments.get("key")
    return {PROMPT_NAME: key} if isinstance(key, str) else {}


def read_stream_request(arguments: Mapping[str, Any]) -> Attributes:
    """Attributes of the arguments of `deployments.stream`."""
    return {**read_invoke_request(arguments), REQUEST_STREAM: True}


def read_response(response: Any) -> Attributes:
    """Attributes of what a Deployment answered, or of one chunk of it."""
    answer = fields(response)
    attributes: Attributes = {}
    for field, name in (("id", RESPONSE_ID), ("model", RESPONSE_MODEL)):
        value = answer.get(field)
        if isinstance(value, str) and value:
            attributes[name] = value
    reasons = tuple(_finish_reasons(answer.get("choices") or ()))
    if reasons:
        attributes[RESPONSE_FINISH_REASONS] = reasons
    usage = answer.get("usage")
    if usage is not None:
        _read_usage(usage, attributes)
    return attributes


class ChunkReader:
    """Reads the events of one streamed answer. Later ones repeat and complete earlier ones."""

    __slots__ = ("_attributes",)

    def __init__(self) -> None:
        self._attributes: Attributes = {}

    def feed(self, event: Any) -> None:
        """Take in the next event."""
        self._attributes.update(read_response(get(event, "data")))

    def attributes(self) -> Attributes:
        """What the events told so far."""
        return self._attributes


def _finish_reasons(choices: Any) -> list[str]:
    reasons = [get(choice, "finish_reason") for choice in choices]
    return [reason for reason in reasons if isinstance(reason, str)]


def _read_usage(usage: Any, attributes: Attributes) -> None:
    """Token counts, which Orq gives as floats."""
    for holder, field, name in (
        (usage, "prompt_tokens", USAGE_INPUT_TOKENS),
        (get(usage, "prompt_tokens_details"), "cached_tokens", USAGE_CACHE_READ_INPUT_TOKENS),
        (usage, "completion_tokens", USAGE_OUTPUT_TOKENS),
        (
            get(usage, "completion_tokens_details"),
            "reasoning_tokens",
            USAGE_REASONING_OUTPUT_TOKENS,
        ),
    ):
        count = get(holder, field)
        if isinstance(count, (int, float)):
            attributes[name] = int(count)
