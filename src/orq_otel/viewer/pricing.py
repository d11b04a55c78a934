"""What a call cost, in US dollars. None where that is unknown: an unknown price is never zero.

What is told on the span comes first: `orq.billing.total_cost` is what Orq billed. Then the prices
that `genai-prices` brings along: nothing is asked of any server.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final

#: Where a span tells its cost, in US dollars.
REPORTED: Final = ("orq.billing.total_cost", "gen_ai.usage.cost", "llm.cost.total")
#: More than this for one call is a mistake, and would spoil every sum.
MOST: Final = 1_000_000.0

CACHE_READ: Final = ("gen_ai.usage.cache_read.input_tokens",)
CACHE_WRITE: Final = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
)
_AUDIO: Final = {
    "gen_ai.usage.audio.input_tokens": "input_audio_tokens",
    "gen_ai.usage.audio.output_tokens": "output_audio_tokens",
    "gen_ai.usage.audio.cache_read.input_tokens": "cache_audio_read_tokens",
}
#: Providers that `genai-prices` has under another name than the conventions.
_PROVIDERS: Final = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}
#: Prices change with the time of day, at the earliest after so many nanoseconds.
_STEADY: Final = 15 * 60 * 10**9
_NANOSECONDS: Final = 10**9
#: What a price that depends on nothing but the count of tokens consists of.
_SIMPLE: Final = frozenset({"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"})
#: What else a price may hold without a bearing on tokens that are counted here.
_UNCOUNTED: Final = frozenset(
    {
        "cache_audio_read_mtok",
        "cache_image_read_mtok",
        "cache_write_1h_mtok",
        "input_audio_mtok",
        "input_image_mtok",
        "input_video_mtok",
        "output_audio_mtok",
        "output_image_mtok",
        "output_video_mtok",
        "storage_searches_kcount",
        "web_searches_kcount",
    }
)


@dataclass(frozen=True, slots=True)
class Price:
    """What a token costs, in US dollars.

    Attributes:
        input: One that was sent.
        output: One that came back.
        cache_read: One that was sent, and read from a cache.
        cache_write: One that was sent, and written to a cache.
        is_all: Whether nothing else matters. Prices may rise with the length of a prompt: these are
            the ones of a short one.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float
    is_all: bool

    def of(self, input_tokens: int, output_tokens: int, read: int = 0, written: int = 0) -> float:
        """The cost of a call. Tokens read from a cache or written to it are input tokens, too."""
        plain = input_tokens - read - written
        return (
            plain * self.input
            + read * self.cache_read
            + written * self.cache_write
            + output_tokens * self.output
        )


def cost(  # noqa: PLR0913, PLR0917 - what a price depends on
    attributes: Mapping[str, Any],
    provider: str | None,
    model: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    start: int,
) -> float | None:
    """What a call of a model cost.

    Args:
        attributes: Of its span, which may tell the cost, and how many tokens were cached.
        provider: As the conventions name it, or None.
        model: Its name.
        input_tokens: How many, if that is known.
        output_tokens: The same.
        start: When, in nanoseconds since the epoch: prices change.
    """
    told = _reported(attributes)
    # Orq reports a zero where it knows no count.
    if told or (told is not None and (input_tokens or output_tokens)):
        return told
    if model is None or (input_tokens is None and output_tokens is None):
        return None
    return _listed(attributes, provider, model, input_tokens or 0, output_tokens or 0, start)


def _reported(attributes: Mapping[str, Any]) -> float | None:
    for name in REPORTED:
        value = attributes.get(name)
        if value is not None and not isinstance(value, bool):
            try:
                told = float(value)
            except (ValueError, TypeError, OverflowError):
                continue
            if 0 <= told <= MOST:
                return told
    return None


def _listed(  # noqa: PLR0913, PLR0917 - as above
    attributes: Mapping[str, Any],
    provider: str | None,
    model: str,
    input_tokens: int,
    output_tokens: int,
    start: int,
) -> float | None:
    steady = start - start % _STEADY
    price = unit_price(provider, model, steady)
    if price is None:
        return None
    read, written = _count(attributes, CACHE_READ), _count(attributes, CACHE_WRITE)
    if price.is_all and not any(name in attributes for name in _AUDIO):
        if read + written > input_tokens:
            return None
        return price.of(input_tokens, output_tokens, read, written)
    counts = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        **{usage: _count(attributes, (name,)) for name, usage in _AUDIO.items()},
    }
    return _calculated(provider, model, steady, {name: n for name, n in counts.items() if n})


def _count(attributes: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            try:
                return max(int(value), 0)
            except (ValueError, TypeError, OverflowError):
                continue
    return 0


@functools.lru_cache(maxsize=4096)
def unit_price(provider: str | None, model: str, time: int) -> Price | None:
    """The price of a model's tokens at a time, or None where it is unknown."""
    calculated = _look_up(provider, model, time, {"input_tokens": 1, "output_tokens": 1})
    if calculated is None:
        return None
    prices = {name: told for name, told in vars(calculated.model_price).items() if told is not None}
    is_all = not (prices.keys() - _SIMPLE - _UNCOUNTED)
    each: dict[str, float] = {}
    for name in _SIMPLE & prices.keys():
        told = prices[name]
        if not isinstance(told, Decimal):
            told, is_all = told.base, False
        each[name] = float(told) / 1_000_000
    paid = each.get("input_mtok", 0.0)
    return Price(
        input=paid,
        output=each.get("output_mtok", 0.0),
        cache_read=each.get("cache_read_mtok", paid),
        cache_write=each.get("cache_write_mtok", paid),
        is_all=is_all,
    )


def _calculated(
    provider: str | None, model: str, time: int, counts: dict[str, int]
) -> float | None:
    calculated = _look_up(provider, model, time, counts)
    return None if calculated is None else float(calculated.total_price)


def _look_up(provider: str | None, model: str, time: int, counts: dict[str, int]) -> Any:
    """What `genai-prices` says, or None where it does not know the model."""
    # Imported when a price is asked for first: it reads some megabytes of prices.
    import genai_prices  # noqa: PLC0415

    when = datetime.fromtimestamp(time / _NANOSECONDS, timezone.utc)
    usage = genai_prices.Usage(**counts)
    for vendor, name in _names(provider, model):
        try:
            return genai_prices.calc_price(
                usage, name, provider_id=vendor, genai_request_timestamp=when
            )
        except (LookupError, ValueError):  # noqa: PERF203 - one name is the rule
            continue
    return None


def _names(provider: str | None, model: str) -> list[tuple[str | None, str]]:
    """By which vendor and name a price may be listed, the most certain first.

    A router's model tells its vendor: "openai/gpt-4o".
    """
    known = provider.lower() if provider else None
    names: list[tuple[str | None, str]] = []
    if known and known != "orq":
        names.append((_PROVIDERS.get(known, known), model))
    if "/" in model:
        vendor, _, name = model.partition("/")
        names.append((vendor, name))
    if known in {None, "orq"}:
        names.append((None, model))
    return names
