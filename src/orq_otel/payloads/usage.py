"""A server's usage as the conventions name it: token counts, and the cost that some report.

Pure functions. In the conventions, counts of input tokens include cached ones, and counts of output
tokens include reasoning, as in OpenAI's usage. Servers that are compatible with OpenAI's differ:

- xAI counts reasoning outside the output: total = prompt + completion + reasoning.
- Perplexity has the reasoning beside the output, not in its details.
- Gemini, and gateways to it, have it in the total alone: total > prompt + completion.
- Cached tokens are `prompt_cache_hit_tokens` (DeepSeek), `cached_tokens` (Kimi, Together),
  `num_cached_tokens` (Mistral) or `cache_read_input_tokens` (LiteLLM) beside the input.
- Some have the Responses API's names in chats, or the names of chats in the Responses API.
- Groq's streams have usage in `x_groq`, Moonshot's in the choice.
- OpenRouter and LiteLLM report a cost in `cost`, Orq in `total_cost`, Perplexity in an object, and
  xAI in `cost_in_usd_ticks`.

Counts of a part of the tokens (cached, reasoning, text, audio, image) are left out if they are
zero, as the conventions ask, and so is any count that is not a whole number.

Written out rather than looped over tables, because it runs on every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from orq_otel.genai.fields import MOST_CHOICES, Attributes, fields, get, number
from orq_otel.genai.semconv import (
    USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,
    USAGE_AUDIO_INPUT_TOKENS,
    USAGE_AUDIO_OUTPUT_TOKENS,
    USAGE_CACHE_READ_INPUT_TOKENS,
    USAGE_CACHE_WRITE_INPUT_TOKENS,
    USAGE_COST,
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
_INT64: Final = 2**63

#: The fields of OpenAI's own usage, by API. Any other is a compatible server's.
_OF_COMPLETIONS: Final = frozenset(
    {
        "completion_tokens",
        "completion_tokens_details",
        "prompt_tokens",
        "prompt_tokens_details",
        "total_tokens",
    }
)
_OF_RESPONSES: Final = frozenset(
    {
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    }
)
_OF_AUDIO: Final = frozenset(
    {
        "input_token_details",
        "input_tokens",
        "output_token_details",
        "output_tokens",
        "total_tokens",
        "type",
    }
)

#: The names of counts and their details in a chat and in the Responses API.
_NAMES: Final = (
    ("prompt_tokens", "prompt_tokens_details", "completion_tokens", "completion_tokens_details"),
    ("input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"),
)

#: Other servers' names for cached tokens, beside the input tokens.
_CACHE_READ: Final = (
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "cache_read_input_tokens",
)
_CACHE_WRITE: Final = "cache_creation_input_tokens"

#: xAI's unit. Source: https://docs.x.ai/developers/cost-tracking.
_TICKS_IN_A_DOLLAR: Final = 10**10


def read_completion_usage(usage: Any, attributes: Attributes) -> None:
    """Add the usage of a completion, of embeddings or of a run to `attributes`."""
    counts = fields(usage)
    _read_input(counts, "prompt_tokens", "prompt_tokens_details", attributes)
    _read_output(counts, "completion_tokens", "completion_tokens_details", attributes)
    if not _OF_COMPLETIONS.issuperset(counts):
        _read_others(counts, attributes)


def read_response_usage(usage: Any, attributes: Attributes) -> None:
    """Add the usage of the Responses API, or of an API newer than it, to `attributes`."""
    counts = fields(usage)
    _read_input(counts, "input_tokens", "input_tokens_details", attributes)
    _read_output(counts, "output_tokens", "output_tokens_details", attributes)
    if not _OF_RESPONSES.issuperset(counts):
        _read_others(counts, attributes)


def read_audio_usage(usage: Any, attributes: Attributes) -> None:
    """Add the usage of speech, of a transcript or of realtime to `attributes`.

    Its details are called `input_token_details`. Models that are billed by time count no tokens.
    """
    counts = fields(usage)
    _read_input(counts, "input_tokens", "input_token_details", attributes)
    _read_output(counts, "output_tokens", "output_token_details", attributes)
    if not _OF_AUDIO.issuperset(counts):
        _read_others(counts, attributes)


def usage_elsewhere(completion: Any, of_choices: dict[int, Any] | None = None) -> Any:
    """The usage of a completion or a chunk that has none in `usage`, or None.

    Groq's is in `x_groq`, Moonshot's in each choice. That of a chunk is added to `of_choices`, the
    usage of each choice so far.
    """
    values = fields(completion)
    usage = get(values.get("x_groq"), "usage")
    choices = values.get("choices")
    if usage is not None or not isinstance(choices, list):
        return usage
    so_far = {} if of_choices is None else of_choices
    for position, choice in enumerate(choices[:MOST_CHOICES]):
        index = get(choice, "index")
        index = index if type(index) is int and 0 <= index < MOST_CHOICES else position
        usage = later(so_far.get(index), get(choice, "usage"))
        if usage is not None:
            so_far[index] = usage
    return _of_all(list(so_far.values()))


def _of_all(usages: list[Any]) -> Any:
    """One usage for several choices: all have read the same input, and each has its own output."""
    if len(usages) < 2:  # noqa: PLR2004 - nothing to add up
        return usages[0] if usages else None
    outputs = [_count(get(usage, "completion_tokens")) for usage in usages]
    total = _count(get(usages[0], "total_tokens")) + sum(outputs[1:])
    return {**fields(usages[0]), "completion_tokens": sum(outputs), "total_tokens": total}


def later(known: Any, usage: Any) -> Any:
    """The usage of a stream so far: the later counts, where there are any.

    A later usage may be empty or all zero, or have only what the one before lacked: gateways to
    Anthropic send the input first and the output last, and some send the cost by itself.
    """
    if known is None or usage is None:
        return known if usage is None else usage
    counts = fields(usage)
    if not any(count for count in counts.values() if type(count) in (int, float)):
        return known
    return {**fields(known), **{name: count for name, count in counts.items() if count}}


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
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_CACHE_READ_INPUT_TOKENS] = count
    # LiteLLM and Orq have the second name, Alibaba the third.
    count = (
        counts.get("cache_write_tokens")
        or counts.get("cache_creation_tokens")
        or counts.get("cache_creation_input_tokens")
    )
    if count and type(count) is int and 0 < count < _INT64:
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
    totals: Mapping[str, Any], total: str, details: str, attributes: Attributes
) -> None:
    output = totals.get(total)
    if not (type(output) is int and 0 <= output < _INT64):
        return
    attributes[USAGE_OUTPUT_TOKENS] = output
    more = totals.get(details)
    if more is None:
        every = totals.get("total_tokens")
        if type(every) is int and every > attributes.get(USAGE_INPUT_TOKENS, every) + output:
            _add_rest(every, totals, attributes)
        return
    counts = fields(more)
    count = counts.get("reasoning_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_REASONING_OUTPUT_TOKENS] = count
        both = attributes.get(USAGE_INPUT_TOKENS, 0) + output
        if count > output or totals.get("total_tokens") != both:  # the output may lack them
            _add_reasoning(count, totals, attributes)
    count = counts.get("audio_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_AUDIO_OUTPUT_TOKENS] = count
    count = counts.get("image_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_IMAGE_OUTPUT_TOKENS] = count
    count = counts.get("text_tokens")
    if count and type(count) is int and 0 < count < _INT64:
        attributes[USAGE_TEXT_OUTPUT_TOKENS] = count


def _add_reasoning(count: int, totals: Mapping[str, Any], attributes: Attributes) -> None:
    """Add the count of reasoning tokens, and add them to the output if that lacks them."""
    attributes[USAGE_REASONING_OUTPUT_TOKENS] = count
    output = attributes.get(USAGE_OUTPUT_TOKENS, 0)
    every = attributes.get(USAGE_INPUT_TOKENS, 0) + output + count
    if count > output or totals.get("total_tokens") == every:
        attributes[USAGE_OUTPUT_TOKENS] = output + count


def _add_rest(every: int, totals: Mapping[str, Any], attributes: Attributes) -> None:
    """Add what a total has beyond input and output as reasoning, if no other count may explain it.

    Those that may are of tokens read from a cache and of citations.
    """
    if _OF_COMPLETIONS.issuperset(totals) or _OF_RESPONSES.issuperset(totals):
        known = attributes[USAGE_INPUT_TOKENS] + attributes[USAGE_OUTPUT_TOKENS]
        if every < _INT64:
            _add_reasoning(every - known, totals, attributes)


def _read_others(counts: Mapping[str, Any], attributes: Attributes) -> None:
    """Add what compatible servers have beside the fields of OpenAI's usage."""
    _read_other_names(counts, attributes)
    if USAGE_INPUT_TOKENS in attributes:
        if USAGE_CACHE_READ_INPUT_TOKENS not in attributes:
            for name in _CACHE_READ:
                count = _count(counts.get(name))
                if count:
                    attributes[USAGE_CACHE_READ_INPUT_TOKENS] = count
                    break
        count = _count(counts.get(_CACHE_WRITE))
        if count:
            attributes.setdefault(USAGE_CACHE_WRITE_INPUT_TOKENS, count)
    if USAGE_OUTPUT_TOKENS in attributes and USAGE_REASONING_OUTPUT_TOKENS not in attributes:
        count = _count(counts.get("reasoning_tokens"))
        if count:
            _add_reasoning(count, counts, attributes)
    cost = _cost(counts)
    # A gateway that knows no tokens reports zero, which is not what the call cost.
    if cost or (cost is not None and attributes.get(USAGE_INPUT_TOKENS)):
        attributes[USAGE_COST] = cost


def _read_other_names(counts: Mapping[str, Any], attributes: Attributes) -> None:
    """Add the counts by the names of whichever API, if those of its own API are missing."""
    if USAGE_INPUT_TOKENS in attributes or USAGE_OUTPUT_TOKENS in attributes:
        return
    for of_input, more_of_input, of_output, more_of_output in _NAMES:
        _read_input(counts, of_input, more_of_input, attributes)
        _read_output(counts, of_output, more_of_output, attributes)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value < _INT64 else 0


def _cost(usage: Mapping[str, Any]) -> float | None:
    """What the server says that the call cost, in US dollars. None if it does not, or not all.

    OpenRouter counts in credits, which are dollars. Where the key is the user's own, its `cost` is
    a fee, and the vendor's price comes on top. Source:
    https://openrouter.ai/docs/use-cases/usage-accounting.
    """
    parts = fields(usage.get("cost"))
    details = usage.get("cost_details")
    for currency in (usage.get("currency"), parts.get("currency"), get(details, "currency")):
        if currency is not None and currency not in ("USD", "usd"):
            return None
    for value in (usage.get("cost"), usage.get("total_cost"), parts.get("total_cost")):
        cost = amount(value)
        if cost is not None:
            break
    else:
        ticks = amount(usage.get("cost_in_usd_ticks"))
        return None if ticks is None else ticks / _TICKS_IN_A_DOLLAR
    if not usage.get("is_byok"):
        return cost
    price = amount(get(details, "upstream_inference_cost"))
    return None if price is None else cost + price


def amount(value: Any) -> float | None:
    """A JSON number that can be an amount of money, or None for anything else."""
    cost = number(value)
    return cost if cost is not None and 0 <= cost < inf else None
