"""Token counts of every API as the conventions name them. Pure functions.

Counts of input tokens include cached ones, counts of output tokens include reasoning: OpenAI's
numbers are already what the conventions want. Audio and image counts are kept where there are any.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from orq_otel.genai import semconv
from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import get

#: A field, its attribute, and whether a zero says anything.
_Counts: TypeAlias = tuple[tuple[str, str, bool], ...]

_INPUT: _Counts = (
    ("cached_tokens", semconv.USAGE_CACHE_READ_INPUT_TOKENS, True),
    ("cache_write_tokens", semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, True),
    ("audio_tokens", semconv.USAGE_AUDIO_INPUT_TOKENS, False),
    ("image_tokens", semconv.USAGE_IMAGE_INPUT_TOKENS, False),
    ("text_tokens", semconv.USAGE_TEXT_INPUT_TOKENS, False),
)
_OUTPUT: _Counts = (
    ("reasoning_tokens", semconv.USAGE_REASONING_OUTPUT_TOKENS, True),
    ("audio_tokens", semconv.USAGE_AUDIO_OUTPUT_TOKENS, False),
    ("text_tokens", semconv.USAGE_TEXT_OUTPUT_TOKENS, False),
)


def read_completion_usage(usage: Any) -> Attributes:
    """Counts of a chat completion or of embeddings."""
    return _read(usage, "prompt_tokens", "completion_tokens")


def read_response_usage(usage: Any) -> Attributes:
    """Counts of a response of the Responses API."""
    return _read(usage, "input_tokens", "output_tokens")


def _read(usage: Any, inputs: str, outputs: str) -> Attributes:
    attributes: Attributes = {}
    for total, name, counts in (
        (inputs, semconv.USAGE_INPUT_TOKENS, _INPUT),
        (outputs, semconv.USAGE_OUTPUT_TOKENS, _OUTPUT),
    ):
        value = get(usage, total)
        if type(value) is not int:
            continue
        attributes[name] = value
        details = get(usage, total + "_details")
        if details is not None:
            for field, detail, zero_counts in counts:
                value = get(details, field)
                if type(value) is int and (value or zero_counts):
                    attributes[detail] = value
    return attributes
