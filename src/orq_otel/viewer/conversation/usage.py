"""Reads how many tokens of each kind a call used, under the names that senders give them.

Input tokens include those from and to a cache, and those of sound and images; output tokens include
those of reasoning. Sources of the names: OpenTelemetry's GenAI conventions and their earlier
generations, OpenInference, Traceloop, Vercel's AI SDK, pydantic-ai, Langtrace, and the APIs of
model vendors, which several senders pass on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from operator import itemgetter
from typing import Any, Final

#: More tokens in one call must be a mistake, and would falsify every sum.
MOST_TOKENS: Final = 2**40

CACHE_READ: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "orq_otel.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.input_tokens_cached",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "gen_ai.usage.input_cached_tokens",
    "llm.token_count.prompt_details.cache_read",
    "llm.usage.cache_read_input_tokens",
    "ai.usage.inputTokenDetails.cacheReadTokens",
    "ai.usage.cachedInputTokens",
)
CACHE_WRITE: Final = (
    "gen_ai.usage.cache_write.input_tokens",
    "orq_otel.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.input_tokens.cache_write",
    "gen_ai.usage.details.cache_write_tokens",
    "llm.token_count.prompt_details.cache_write",
    "llm.usage.cache_creation_input_tokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
)
_REASONING: Final = (
    "gen_ai.usage.reasoning.output_tokens",
    "orq_otel.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.details.reasoning_tokens",
    "gen_ai.usage.completion_tokens_details.reasoning_tokens",
    "gen_ai.usage.reasoning_output_tokens",
    "llm.token_count.completion_details.reasoning",
    "llm.usage.reasoning_tokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
    "ai.usage.reasoningTokens",
)
_AUDIO_INPUT: Final = (
    "gen_ai.usage.audio.input_tokens",
    "orq_otel.usage.audio.input_tokens",
    "gen_ai.usage.input_audio_tokens",
    "gen_ai.usage.details.input_audio_tokens",
    "gen_ai.usage.prompt_tokens_details.audio_tokens",
    "llm.token_count.prompt_details.audio",
)
_AUDIO_OUTPUT: Final = (
    "gen_ai.usage.audio.output_tokens",
    "orq_otel.usage.audio.output_tokens",
    "gen_ai.usage.output_audio_tokens",
    "gen_ai.usage.details.output_audio_tokens",
    "gen_ai.usage.completion_tokens_details.audio_tokens",
    "llm.token_count.completion_details.audio",
)
_AUDIO_CACHE_READ: Final = (
    "gen_ai.usage.audio.cache_read.input_tokens",
    "orq_otel.usage.audio.cache_read.input_tokens",
    "gen_ai.usage.details.cache_audio_read_tokens",
)
_IMAGE_INPUT: Final = (
    "gen_ai.usage.image.input_tokens",
    "orq_otel.usage.image.input_tokens",
    "llm.token_count.prompt_details.image",
)
_IMAGE_OUTPUT: Final = (
    "gen_ai.usage.image.output_tokens",
    "orq_otel.usage.image.output_tokens",
    "llm.token_count.completion_details.image",
)
_IMAGE_CACHE_READ: Final = (
    "gen_ai.usage.image.cache_read.input_tokens",
    "orq_otel.usage.image.cache_read.input_tokens",
)


#: The names of each kind of tokens.
_NAMES: Final = {
    "read": CACHE_READ,
    "written": CACHE_WRITE,
    "reasoning": _REASONING,
    "audio": _AUDIO_INPUT,
    "audio_output": _AUDIO_OUTPUT,
    "audio_read": _AUDIO_CACHE_READ,
    "image": _IMAGE_INPUT,
    "image_output": _IMAGE_OUTPUT,
    "image_read": _IMAGE_CACHE_READ,
}

#: For each kind of tokens, the attributes that have their number.
Places = tuple[tuple[str, tuple[str, ...]], ...]


#: Tokens by what they cost, in words, with the names of their price in `genai-prices`: the most
#: exact first.
KINDS: Final = {
    "input": ("input_mtok",),
    "cached input": ("cache_read_mtok", "input_mtok"),
    "cache writes": ("cache_write_mtok", "input_mtok"),
    "audio input": ("input_audio_mtok", "input_mtok"),
    "cached audio input": (
        "cache_audio_read_mtok",
        "cache_read_mtok",
        "input_audio_mtok",
        "input_mtok",
    ),
    "image input": ("input_image_mtok", "input_mtok"),
    "cached image input": (
        "cache_image_read_mtok",
        "cache_read_mtok",
        "input_image_mtok",
        "input_mtok",
    ),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "audio output": ("output_audio_mtok", "output_mtok"),
    "image output": ("output_image_mtok", "output_mtok"),
}


def places(names: Collection[str]) -> Places:
    """Returns where a span with some attributes has the numbers of tokens of each kind."""
    return tuple(
        (kind, found)
        for kind, wanted in _NAMES.items()
        if (found := tuple(name for name in wanted if name in names))
    )


def kinds(
    attributes: Mapping[str, Any], places: Places, input_tokens: int, output_tokens: int
) -> list[tuple[str, int]]:
    """Splits a call's tokens by what they cost: names of `KINDS`, with their number.

    Raises:
        ValueError: The numbers contradict each other.
    """
    if not places:  # as most calls are
        return [("input", input_tokens), ("output", output_tokens)]
    counts = {kind: count for kind, names in places if (count := _count(attributes, names))}
    found = _input(counts, input_tokens)
    found += _output(counts, output_tokens)
    if min(map(_NUMBER, found)) < 0:
        raise ValueError("some kinds of tokens are more than all of them")
    return found


_NUMBER: Final = itemgetter(1)
_OF_INPUT: Final = frozenset({"read", "written"})


def _input(counts: Mapping[str, int], tokens: int) -> list[tuple[str, int]]:
    read, written = counts.get("read", 0), counts.get("written", 0)
    audio, image = counts.get("audio", 0), counts.get("image", 0)
    if not (audio or image):
        plain = tokens - read - written
        return [("input", plain), ("cached input", read), ("cache writes", written)]
    audio_read = min(counts.get("audio_read", 0), audio, read)
    image_read = min(counts.get("image_read", 0), image, read - audio_read)
    # If more is cached than there is text, sound and images must be among it.
    beyond = read - audio_read - image_read - max(tokens - audio - image, 0)
    if beyond > 0:
        more = min(beyond, audio - audio_read)
        audio_read, beyond = audio_read + more, beyond - more
        image_read += min(beyond, image - image_read)
    audio, image, read = audio - audio_read, image - image_read, read - audio_read - image_read
    return [
        ("input", tokens - read - written - audio - audio_read - image - image_read),
        ("cached input", read),
        ("cache writes", written),
        ("audio input", audio),
        ("cached audio input", audio_read),
        ("image input", image),
        ("cached image input", image_read),
    ]


def _output(counts: Mapping[str, int], tokens: int) -> list[tuple[str, int]]:
    if counts.keys() <= _OF_INPUT:
        return [("output", tokens)]
    audio, image = counts.get("audio_output", 0), counts.get("image_output", 0)
    reasoning = min(counts.get("reasoning", 0), max(tokens - audio - image, 0))
    return [
        ("output", tokens - audio - image - reasoning),
        ("reasoning", reasoning),
        ("audio output", audio),
        ("image output", image),
    ]


def _count(attributes: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = attributes[name]
        if value is not None:
            try:
                return min(max(int(value), 0), MOST_TOKENS)
            except (ValueError, TypeError, OverflowError):
                continue
    return 0
