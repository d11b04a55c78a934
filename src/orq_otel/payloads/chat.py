"""Read chat completions: requests, responses and streams. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import (
    NO_CHUNK,
    REASONS,
    UNUSUAL,
    fields,
    get,
    is_whole,
    pick,
    stop_reason,
)
from orq_otel.genai.semconv import (
    OPENAI_RESPONSE_SERVICE_TIER,
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
    OUTPUT_TYPE,
    REQUEST_CHOICE_COUNT,
    REQUEST_MAX_TOKENS,
    REQUEST_REASONING_LEVEL,
    REQUEST_STREAM,
    RESPONSE_FINISH_REASONS,
    RESPONSE_ID,
    RESPONSE_MODEL,
)
from orq_otel.payloads.parameters import output_type, sampling, service_tier, stop_sequences
from orq_otel.payloads.usage import read_completion_usage

#: What a completion and each of its chunks have in common.
_HEAD = (
    ("id", RESPONSE_ID),
    ("model", RESPONSE_MODEL),
    ("service_tier", OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)

#: More than the API makes for any request, and not so many that a wrong number does harm.
MOST_CHOICES = 4096


def read_request(body: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /chat/completions`."""
    attributes = sampling(body)
    limit = body.get("max_completion_tokens")
    if limit is None:
        limit = body.get("max_tokens")
    if is_whole(limit):
        attributes[REQUEST_MAX_TOKENS] = limit
    stop = body.get("stop")
    if stop is not None:
        attributes.update(stop_sequences(stop))
    if "n" in body and is_whole(body["n"]) and body["n"] != 1:
        attributes[REQUEST_CHOICE_COUNT] = body["n"]
    effort = body.get("reasoning_effort")
    if type(effort) is str:
        attributes[REQUEST_REASONING_LEVEL] = effort
    response_format = body.get("response_format")
    if response_format is not None:
        attributes.update(output_type(response_format))
    elif body.get("modalities"):
        attributes.update(_modality(body["modalities"]))
    if "service_tier" in body:
        attributes.update(service_tier(body["service_tier"]))
    if body.get("stream"):
        attributes[REQUEST_STREAM] = True
    return attributes


def read_response(response: Any) -> Attributes:
    """Attributes of a chat completion."""
    completion = fields(response)
    attributes = pick(completion, _HEAD)
    read_choices(completion.get("choices"), attributes)
    usage = completion.get("usage")
    if usage is not None:
        read_completion_usage(usage, attributes)
    return attributes


def read_choices(choices: Any, attributes: Attributes) -> None:
    """Add why each choice stopped to `attributes`."""
    if choices and type(choices) is list:
        first = islice(choices, MOST_CHOICES)
        try:
            reasons = [_reason(choice.finish_reason) for choice in first]
        except AttributeError:  # something among them is no choice
            first = islice(choices, MOST_CHOICES)
            reasons = [_reason(get(choice, "finish_reason")) for choice in first]
        attributes[RESPONSE_FINISH_REASONS] = tuple(reasons)


class ChunkReader:
    """Reads the chunks of one chat completion.

    A choice that was seen and never ended was broken off: its reason is "error".
    """

    __slots__ = ("_head", "_index", "_reasons", "_usage")

    def __init__(self) -> None:
        self._head: Attributes | None = None
        self._reasons: dict[int, str | None] = {}  # of each choice, None as long as it goes on
        self._usage: Any = None
        self._index: Any = None  # of the choice that came last

    def feed(self, chunk: Any) -> None:
        """Take in the next chunk. It runs hot: most hold a piece of the only choice."""
        try:
            chunk_fields = chunk.__dict__
            (choice,) = chunk_fields["choices"]
            given = choice.__dict__
            if (
                given["finish_reason"] is None
                and chunk_fields["usage"] is None
                and given["index"] == self._index
            ):
                return
        except UNUSUAL:
            pass
        self._feed_any(chunk)

    def _feed_any(self, chunk: Any) -> None:
        """Take in a chunk of any form."""
        try:
            chunk_fields = chunk.__dict__
            choices = chunk_fields["choices"]
            if choices:
                if self._head is None:  # Azure begins with one without choices, id and model
                    self._begin(chunk)
                for choice in choices:
                    given = choice.__dict__
                    self._see(given.get("index"), given.get("finish_reason"))
            usage = chunk_fields.get("usage")
            if usage is not None:
                self._usage = usage
        except NO_CHUNK:
            return

    def _begin(self, chunk: Any) -> None:
        """Note what each chunk repeats."""
        self._head = pick(fields(chunk), _HEAD)

    def _see(self, index: Any, reason: Any) -> None:
        """Note a choice, and why it stopped if it did, unless it is none that there can be."""
        self._index = index
        if type(index) is int and 0 <= index < MOST_CHOICES:
            if isinstance(reason, str):
                self._reasons[index] = _reason(reason)
            else:
                self._reasons.setdefault(index, None)

    def attributes(self) -> Attributes:
        """What the chunks told so far."""
        attributes: Attributes = {} if self._head is None else self._head.copy()
        reasons = self._finish_reasons()
        if reasons:
            attributes[RESPONSE_FINISH_REASONS] = reasons
        if self._usage is not None:
            read_completion_usage(self._usage, attributes)
        return attributes

    def _finish_reasons(self) -> tuple[str, ...]:
        reasons = self._reasons
        return tuple(
            [reasons.get(index) or "error" for index in range(max(reasons, default=0) + 1)]
        )


def _reason(reason: Any) -> str:
    """Why a choice stopped. One without a reason is broken."""
    if type(reason) is str and reason:
        return reason if reason in REASONS else stop_reason(reason)
    return "error"


def _modality(modalities: Any) -> Attributes:
    """The output that is not text. Images are asked for of compatible servers only."""
    for modality, kind in (("audio", "speech"), ("image", "image")):
        if modality in modalities:
            return {OUTPUT_TYPE: kind}
    return {}
