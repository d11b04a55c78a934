"""Read chat completions: requests, responses and streams. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai import semconv
from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get
from orq_otel.openai.parameters import output_type, sampling, service_tier
from orq_otel.openai.usage import read_completion_usage


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /chat/completions`."""
    attributes = sampling(body)
    limit = body.get("max_completion_tokens")
    if limit is None:
        limit = body.get("max_tokens")
    if type(limit) is int:
        attributes[semconv.REQUEST_MAX_TOKENS] = limit
    stop = body.get("stop")
    if stop is not None:
        attributes[semconv.REQUEST_STOP_SEQUENCES] = (stop,) if type(stop) is str else tuple(stop)
    choices = body.get("n")
    if type(choices) is int and choices != 1:
        attributes[semconv.REQUEST_CHOICE_COUNT] = choices
    effort = body.get("reasoning_effort")
    if type(effort) is str:
        attributes[semconv.REQUEST_REASONING_LEVEL] = effort
    response_format = body.get("response_format")
    if response_format is not None:
        attributes.update(output_type(response_format))
    elif "audio" in (body.get("modalities") or ()):
        attributes[semconv.OUTPUT_TYPE] = "speech"
    if "service_tier" in body:
        attributes.update(service_tier(body["service_tier"]))
    if body.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of a chat completion."""
    attributes = _head(response)
    choices = get(response, "choices")
    if choices:
        attributes[semconv.RESPONSE_FINISH_REASONS] = tuple(
            [get(choice, "finish_reason") or "error" for choice in choices]
        )
    usage = get(response, "usage")
    if usage is not None:
        attributes.update(read_completion_usage(usage))
    return attributes


class ChunkReader:
    """Reads the chunks of one chat completion."""

    __slots__ = ("_first", "_reasons", "_usage")

    def __init__(self) -> None:
        self._first: Any = None
        self._reasons: dict[int, str | None] = {}
        self._usage: Any = None

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk."""
        choices = chunk.choices
        if choices:
            # Azure begins with a chunk that has neither an id nor a model nor choices.
            if self._first is None:
                self._first = chunk
            for choice in choices:
                reason = choice.finish_reason
                if reason is not None:
                    self._reasons[choice.index] = reason
        usage = get(chunk, "usage")
        if usage is not None:
            self._usage = usage

    def attributes(self) -> Attributes:
        """What the chunks told so far."""
        attributes: Attributes = {} if self._first is None else _head(self._first)
        if self._reasons:
            reasons = self._reasons
            attributes[semconv.RESPONSE_FINISH_REASONS] = tuple(
                reasons.get(index) or "error" for index in range(max(reasons) + 1)
            )
        if self._usage is not None:
            attributes.update(read_completion_usage(self._usage))
        return attributes


def _head(response: Any) -> Attributes:
    """What a completion and each of its chunks have in common."""
    attributes: Attributes = {}
    for field, name in (
        ("id", semconv.RESPONSE_ID),
        ("model", semconv.RESPONSE_MODEL),
        ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
        ("system_fingerprint", semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
    ):
        value = get(response, field)
        if value:
            attributes[name] = value
    return attributes
