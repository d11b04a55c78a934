"""Token counts of every API as the conventions name them. Pure functions.

Counts of input tokens include cached ones, and counts of output tokens include reasoning, in
OpenAI's usage as in the conventions. Counts of text, audio and image tokens are left out if they
are zero, and so is any count that is not a whole number.

Written out rather than looped over tables, because it runs on every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.fields import Attributes, fields
from orq_otel.genai.semconv import (
    USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,
    USAGE_AUDIO_INPUT_TOKENS,
    USAGE_AUDIO_OUTPUT_TOKENS,
    USAGE_CACHE_READ_INPUT_TOKENS,
    USAGE_CACHE_WRITE_INPUT_TOKENS,
    USAGE_IMAGE_CACHE_READ_INPUT_TOKENS,
    USAGE_IMAGE_INPUT_TOKENS,
    USAGE_IMAGE_OUTPUT_TOKENS,
    USAGE_INPUT_TOKENS,
    USAGE_OUTPUT_TOKENS,
    USAGE_REASONING_OUTPUT_TOKENS,
    USAGE_TEXT_CACHE_READ_INPUT_TOKENS,
    USAGE_TEXT_INPUT_TOKENS,
    USAGE_TEXT_OUTPUT_TOKENS,
)

#: OTLP has integers of 64 bits.
_INT64 = 2**63


def read_completion_usage(usage: Any, attributes: Attributes) -> None:
    """Add the token counts of a completion, of embeddings or of a run to `attributes`."""
    counts = fields(usage)
    _read_input(counts, "prompt_tokens", "prompt_tokens_details", attributes)
    _read_output(counts, "completion_tokens", "completion_tokens_details", attributes)


def read_response_usage(usage: Any, attributes: Attributes) -> None:
    """Add the token counts of the Responses API, or of an API newer than it, to `attributes`."""
    counts = fields(usage)
    _read_input(counts, "input_tokens", "input_tokens_details", attributes)
    _read_output(counts, "output_tokens", "output_tokens_details", attributes)


def read_audio_usage(usage: Any, attributes: Attributes) -> None:
    """Add the token counts of speech, of a transcript or of realtime to `attributes`.

    Their details are called `input_token_details`. Models that are billed by time count no tokens.
    """
    counts = fields(usage)
    _read_input(counts, "input_tokens", "input_token_details", attributes)
    _read_output(counts, "output_tokens", "output_token_details", attributes)


def _read_input(
    counts: Mapping[str, Any], total: str, details: str, attributes: Attributes
) -> None:
    count = counts.get(total)
    if not (type(count) is int and 0 <= count < _INT64):
        return
    attributes[USAGE_INPUT_TOKENS] = count
    more = counts.get(details)
    if more is None:
        return
    counts = fields(more)
    count = counts.get("cached_tokens")
    if count is not None and type(count) is int and 0 <= count < _INT64:
        attributes[USAGE_CACHE_READ_INPUT_TOKENS] = count
    count = counts.get("cache_write_tokens")
    if count is not None and type(count) is int and 0 <= count < _INT64:
        attributes[USAGE_CACHE_WRITE_INPUT_TOKENS] = count
    count = counts.get("audio_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_AUDIO_INPUT_TOKENS] = count
    count = counts.get("image_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_IMAGE_INPUT_TOKENS] = count
    count = counts.get("text_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_TEXT_INPUT_TOKENS] = count
    more = counts.get("cached_tokens_details")
    if more is not None:
        _read_cached(fields(more), attributes)


def _read_cached(counts: Mapping[str, Any], attributes: Attributes) -> None:
    count = counts.get("audio_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_AUDIO_CACHE_READ_INPUT_TOKENS] = count
    count = counts.get("image_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_IMAGE_CACHE_READ_INPUT_TOKENS] = count
    count = counts.get("text_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_TEXT_CACHE_READ_INPUT_TOKENS] = count


def _read_output(
    counts: Mapping[str, Any], total: str, details: str, attributes: Attributes
) -> None:
    count = counts.get(total)
    if not (type(count) is int and 0 <= count < _INT64):
        return
    attributes[USAGE_OUTPUT_TOKENS] = count
    more = counts.get(details)
    if more is None:
        return
    counts = fields(more)
    count = counts.get("reasoning_tokens")
    if type(count) is int and 0 <= count < _INT64:
        attributes[USAGE_REASONING_OUTPUT_TOKENS] = count
    count = counts.get("audio_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_AUDIO_OUTPUT_TOKENS] = count
    count = counts.get("image_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_IMAGE_OUTPUT_TOKENS] = count
    count = counts.get("text_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_TEXT_OUTPUT_TOKENS] = count
