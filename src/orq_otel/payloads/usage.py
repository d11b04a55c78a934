"""A server's usage as the conventions name it: token counts, and the cost that some report.

Pure functions. In the conventions, counts of input tokens include cached ones, and counts of output
tokens include reasoning, as in OpenAI's usage. Servers that are compatible with OpenAI's differ:

- xAI counts reasoning outside the output: total = prompt + completion + reasoning.
- Perplexity has the reasoning beside the output, not in its details.
- Gemini, and gateways to it, have it in the total alone: total > prompt + completion.
- Cached tokens are `prompt_cache_hit_tokens` (DeepSeek), `cached_tokens` (Kimi, Together),
  `num_cached_tokens` (Mistral) or `cache_read_input_tokens` (LiteLLM) beside the input.
- Gateways to Anthropic leave cached tokens out of the input, as Anthropic does.
- Some have the Responses API's names in chats, or the names of chats in the Responses API. Details
  are `prompt_token_details` with Doubao and Mistral.
- Cohere's counts are floats, and some gateways write numbers as texts.
- Groq's streams have usage in `x_groq`, Moonshot's in the choice, and llama.cpp's in `timings`.
- OpenRouter and LiteLLM report a cost in `cost`, Orq in `total_cost`, DeepInfra in
  `estimated_cost`, LLM Gateway in `cost_usd_total`, Perplexity in an object, and xAI in
  `cost_in_usd_ticks`.

Counts of a part of the tokens (cached, reasoning, text, audio, image) are left out if they are
zero, as the conventions ask, and so is any count that is no whole number.

Written out rather than looped over tables, because it runs on every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
#: Stands for a count that is less than a part of it. It differs from any total.
_ODD: Final = -(2**70)
#: As many digits as no such integer has.
_DIGITS: Final = 20

#: The names of counts and their details: in a chat, in the Responses API and elsewhere.
_NAMES: Final = (
    ("prompt_tokens", "prompt_tokens_details", "completion_tokens", "completion_tokens_details"),
    ("input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"),
    ("prompt_tokens", "prompt_token_details", "completion_tokens", "completion_token_details"),
    ("input_tokens", "input_token_details", "output_tokens", "output_token_details"),
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


def _reader(
    sent_name: str, sent_details: str, made_name: str, made_details: str, *others: str
) -> Callable[[Any, Attributes], None]:
    """Makes what adds usage to attributes in which OpenAI has these names, and `others`.

    Any other name is a compatible server's.
    """
    names = frozenset({sent_name, sent_details, made_name, made_details, "total_tokens", *others})

    def read(usage: Any, attributes: Attributes) -> None:
        counts = fields(usage)
        sent = _read_input(counts, sent_name, sent_details, attributes)
        made = _read_output(counts, made_name, made_details, attributes)
        if sent + made != counts.get("total_tokens") or not names.issuperset(counts):
            _settle(counts, names, made_details, attributes)

    return read


#: Adds the usage of a completion, of embeddings or of a run to attributes.
read_completion_usage: Final = _reader(*_NAMES[0])
#: The same for the Responses API, and for APIs newer than it.
read_response_usage: Final = _reader(*_NAMES[1])
#: The same for speech, a transcript and realtime. What is billed by time counts no tokens.
read_audio_usage: Final = _reader(*_NAMES[3], "type")


def usage_elsewhere(completion: Any, of_choices: dict[int, Any] | None = None) -> Any:
    """The usage of a completion or a chunk that has none in `usage`, or None.

    Groq's is in `x_groq`, Moonshot's in each choice, and llama.cpp's in `timings` beside the end of
    each. That of a chunk is added to `of_choices`, the usage of each choice so far.
    """
    values = fields(completion)
    usage = get(values.get("x_groq"), "usage")
    choices = values.get("choices")
    if usage is not None or not isinstance(choices, list):
        return usage
    so_far = {} if of_choices is None else of_choices
    timed = _timed(values)
    for position, choice in enumerate(choices[:MOST_CHOICES]):
        index = get(choice, "index")
        index = index if type(index) is int and 0 <= index < MOST_CHOICES else position
        usage = later(so_far.get(index), get(choice, "usage") or timed)
        if usage is not None:
            so_far[index] = usage
    return _of_all(list(so_far.values()))


def _timed(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage of which llama.cpp says how long it took, unless it says it in `usage` as well.

    What it read is told apart from what it had in its cache, but by its older servers.
    """
    timings = fields(values.get("timings"))
    if "cache_n" not in timings or values.get("usage") is not None:
        return None
    cached, made = _whole(timings["cache_n"]), _whole(timings.get("predicted_n"))
    read = _whole(timings.get("prompt_n"))
    if min(cached, read, made) < 0:
        return None
    return {
        "prompt_tokens": cached + read,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens": made,
        "total_tokens": cached + read + made,
    }


def _of_all(usages: list[Any]) -> Any:
    """One usage for several choices: all have read the same input, and each has its own output."""
    if len(usages) < 2:  # noqa: PLR2004 - nothing to add up
        return usages[0] if usages else None
    outputs = [max(_whole(get(usage, "completion_tokens")), 0) for usage in usages]
    total = max(_whole(get(usages[0], "total_tokens")), 0) + sum(outputs[1:])
    return {**fields(usages[0]), "completion_tokens": sum(outputs), "total_tokens": total}


def later(known: Any, usage: Any) -> Any:
    """The usage of a stream so far: the later counts, where there are any.

    A later usage may be empty or all zero, or have only what the one before lacked: gateways to
    Anthropic send the input first and the output last, and some send the cost by itself. The same
    holds for the details in it.
    """
    if known is None or usage is None:
        return known if usage is None else usage
    counts = fields(usage)
    if not any(count for count in counts.values() if type(count) is float or _whole(count) > 0):
        return known
    merged = {**fields(known)}
    for name, count in counts.items():
        if count:
            merged[name] = later(merged.get(name), count) if fields(count) else count
    return merged


def _read_input(counts: Mapping[str, Any], total: str, details: str, attributes: Attributes) -> int:
    """Add the counts of the input. Returns that of all of it, or `_ODD` if it is less than a part.

    Zero if there is none.
    """
    sent = counts.get(total)
    if type(sent) is not int:
        sent = _whole(sent)
    if not 0 <= sent < _INT64:
        return 0
    attributes[USAGE_INPUT_TOKENS] = sent
    more = counts.get(details)
    if more is None:
        return sent
    counts = fields(more)
    result = sent
    count = counts.get("cached_tokens")
    if count and _put(count, USAGE_CACHE_READ_INPUT_TOKENS, attributes) > sent:
        result = _ODD
    # LiteLLM and Orq have the second name, Alibaba the third.
    count = (
        counts.get("cache_write_tokens")
        or counts.get("cache_creation_tokens")
        or counts.get("cache_creation_input_tokens")
    )
    if count and _put(count, USAGE_CACHE_WRITE_INPUT_TOKENS, attributes) > sent:
        result = _ODD
    count = counts.get("audio_tokens")
    if count:
        _put(count, USAGE_AUDIO_INPUT_TOKENS, attributes)
    count = counts.get("image_tokens")
    if count:
        _put(count, USAGE_IMAGE_INPUT_TOKENS, attributes)
    count = counts.get("text_tokens")
    if count:
        _put(count, USAGE_TEXT_INPUT_TOKENS, attributes)
    more = counts.get("cached_tokens_details")
    if more is not None:
        counts = fields(more)
        _put(counts.get("audio_tokens"), USAGE_AUDIO_CACHE_READ_INPUT_TOKENS, attributes)
        _put(counts.get("image_tokens"), USAGE_IMAGE_CACHE_READ_INPUT_TOKENS, attributes)
        _put(counts.get("text_tokens"), USAGE_TEXT_CACHE_READ_INPUT_TOKENS, attributes)
    return result


def _read_output(
    counts: Mapping[str, Any], total: str, details: str, attributes: Attributes
) -> int:
    """Add the counts of the output. Returns what `_read_input` returns of the input."""
    made = counts.get(total)
    if type(made) is not int:
        made = _whole(made)
    if not 0 <= made < _INT64:
        return 0
    attributes[USAGE_OUTPUT_TOKENS] = made
    more = counts.get(details)
    if more is None:
        return made
    counts = fields(more)
    result = made
    count = counts.get("reasoning_tokens")
    if count and _put(count, USAGE_REASONING_OUTPUT_TOKENS, attributes) > made:
        result = _ODD
    count = counts.get("audio_tokens")
    if count:
        _put(count, USAGE_AUDIO_OUTPUT_TOKENS, attributes)
    count = counts.get("image_tokens")
    if count:
        _put(count, USAGE_IMAGE_OUTPUT_TOKENS, attributes)
    count = counts.get("text_tokens")
    if count:
        _put(count, USAGE_TEXT_OUTPUT_TOKENS, attributes)
    return result


def _settle(
    counts: Mapping[str, Any], names: frozenset[str], details: str, attributes: Attributes
) -> None:
    """Add what differs from OpenAI's usage, whose fields are `names`, some of them `details`."""
    is_openai = names.issuperset(counts)
    if not is_openai:
        _read_others(counts, attributes)
    sent, made = attributes.get(USAGE_INPUT_TOKENS, 0), attributes.get(USAGE_OUTPUT_TOKENS, 0)
    rest = _whole(counts.get("total_tokens")) - sent - made
    if not (USAGE_INPUT_TOKENS in attributes and USAGE_OUTPUT_TOKENS in attributes):
        rest = 0
    others = [1 for name, count in counts.items() if name not in names and _whole(count) > 0]
    _include(rest, attributes, may_think=not others and counts.get(details) is None)


def _include(rest: int, attributes: Attributes, *, may_think: bool) -> None:
    """Add to the input and the output what a server counts beside them, or in the total alone.

    The rest is what the total has beyond both. `may_think` says whether it is reasoning where
    nothing else explains it: a server's other counts may, such as those of citations.
    """
    sent, made = attributes.get(USAGE_INPUT_TOKENS, 0), attributes.get(USAGE_OUTPUT_TOKENS, 0)
    thoughts = attributes.get(USAGE_REASONING_OUTPUT_TOKENS, 0)
    read = attributes.get(USAGE_CACHE_READ_INPUT_TOKENS, 0)
    written = attributes.get(USAGE_CACHE_WRITE_INPUT_TOKENS, 0)
    cached = read + written
    if sent + made + thoughts + cached + max(rest, 0) >= _INT64:
        return
    if thoughts and (thoughts > made or rest in {thoughts, thoughts + cached}):
        attributes[USAGE_OUTPUT_TOKENS] = made + thoughts
        rest -= thoughts
    if cached and (max(read, written) > sent or rest == cached):
        attributes[USAGE_INPUT_TOKENS] = sent + cached
    elif rest > 0 and may_think:
        attributes[USAGE_REASONING_OUTPUT_TOKENS] = rest
        attributes[USAGE_OUTPUT_TOKENS] = made + rest


def _read_others(counts: Mapping[str, Any], attributes: Attributes) -> None:
    """Add what compatible servers have beside the fields of OpenAI's usage."""
    for of_input, more_of_input, of_output, more_of_output in _NAMES:
        # Details may have other names than the count that they belong to.
        sent = attributes.get(USAGE_INPUT_TOKENS) or counts.get(of_input)
        made = attributes.get(USAGE_OUTPUT_TOKENS) or counts.get(of_output)
        _read_input({**counts, of_input: sent}, of_input, more_of_input, attributes)
        _read_output({**counts, of_output: made}, of_output, more_of_output, attributes)
    if USAGE_INPUT_TOKENS in attributes:
        for name in _CACHE_READ:
            _put(counts.get(name), USAGE_CACHE_READ_INPUT_TOKENS, attributes)
        _put(counts.get(_CACHE_WRITE), USAGE_CACHE_WRITE_INPUT_TOKENS, attributes)
    if USAGE_OUTPUT_TOKENS in attributes:
        _put(counts.get("reasoning_tokens"), USAGE_REASONING_OUTPUT_TOKENS, attributes)
    cost = _cost(counts)
    # A gateway that knows no tokens reports zero, which is not what the call cost.
    if cost or (cost is not None and attributes.get(USAGE_INPUT_TOKENS)):
        attributes[USAGE_COST] = cost


def _put(value: Any, name: str, attributes: Attributes) -> int:
    """Add the count of a part of the tokens, unless it is there, or zero. Returns it, or zero."""
    count = value if type(value) is int else _whole(value)
    if not 0 < count < _INT64:
        return 0
    attributes.setdefault(name, count)
    return count


def _whole(value: Any) -> int:
    """A count, which some servers send as a float or as text. -1 for anything else."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    is_text = type(value) is str and value.isascii() and value.isdecimal() and len(value) < _DIGITS
    return int(value) if is_text else -1


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
    for value in (
        usage.get("cost"),
        usage.get("total_cost"),
        usage.get("estimated_cost"),
        usage.get("cost_usd_total"),
        parts.get("total_cost"),
        parts.get("total"),
    ):
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
    """A number that can be an amount of money, even if it is written as text, or None."""
    try:
        cost = number(float(value) if type(value) is str else value)
    except ValueError:
        return None
    return cost if cost is not None and 0 <= cost < inf else None
