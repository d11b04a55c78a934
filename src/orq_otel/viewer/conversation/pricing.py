"""The cost of a model call in US dollars. An unknown cost is None, never zero.

A cost on the span comes first: `orq.billing.total_cost` is the amount that Orq billed. Otherwise
the prices in the package `genai-prices` are used, without any network access.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final

#: Attributes with a span's cost in US dollars.
REPORTED: Final = ("orq.billing.total_cost", "gen_ai.usage.cost", "llm.cost.total")
#: A higher cost of one call must be a mistake, and would falsify every sum.
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
#: The names in `genai-prices` of providers that the conventions call otherwise.
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
#: Some prices depend on the time of day. They change after this many nanoseconds at the earliest.
_STEADY: Final = 15 * 60 * 10**9
_NANOSECONDS: Final = 10**9
#: The fields of a price that depends only on the number of tokens.
_SIMPLE: Final = frozenset({"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"})
#: Fields of a price that do not apply to the tokens counted here.
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
    """The price of one token in US dollars.

    Attributes:
        input: Of an input token.
        output: Of an output token.
        cache_read: Of an input token that is read from a cache.
        cache_write: Of an input token that is written to a cache.
        is_all: Whether the cost depends on nothing else. If the prices rise with the length of the
            prompt, these are the ones for short prompts.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float
    is_all: bool

    def of(self, input_tokens: int, output_tokens: int, read: int = 0, written: int = 0) -> float:
        """Returns the cost of a call. `input_tokens` includes those of `read` and `written`."""
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
    """Returns the cost of a model call in US dollars, or None if it is unknown.

    Args:
        attributes: The span's attributes, which may have the cost and the number of cached tokens.
        provider: The provider's name in the conventions, or None.
        model: The model's name, or None.
        input_tokens: The number of input tokens, or None if unknown.
        output_tokens: The number of output tokens, or None if unknown.
        start: When the call began, in nanoseconds since the epoch: prices change.
    """
    reported = _reported(attributes)
    # Orq reports zero if it does not know the number of tokens.
    if reported or (reported is not None and (input_tokens or output_tokens)):
        return reported
    if model is None or (input_tokens is None and output_tokens is None):
        return None
    return _listed(attributes, provider, model, input_tokens or 0, output_tokens or 0, start)


def _reported(attributes: Mapping[str, Any]) -> float | None:
    for name in REPORTED:
        value = attributes.get(name)
        if value is not None and not isinstance(value, bool):
            try:
                reported = float(value)
            except (ValueError, TypeError, OverflowError):
                continue
            if 0 <= reported <= MOST:
                return reported
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
    """Returns the price of a model's tokens at a time, or None if it is unknown."""
    calculated = _look_up(provider, model, time, {"input_tokens": 1, "output_tokens": 1})
    if calculated is None:
        return None
    fields = vars(calculated.model_price).items()
    prices = {name: price for name, price in fields if price is not None}
    is_all = not (prices.keys() - _SIMPLE - _UNCOUNTED)
    each: dict[str, float] = {}
    for name in _SIMPLE & prices.keys():
        price = prices[name]
        if not isinstance(price, Decimal):
            price, is_all = price.base, False
        each[name] = float(price) / 1_000_000
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
    """Returns the price that `genai-prices` calculates, or None if it does not know the model."""
    # Imported at the first use, because it loads some megabytes of prices.
    import genai_prices  # noqa: PLC0415

    when = datetime.fromtimestamp(time / _NANOSECONDS, timezone.utc)
    usage = genai_prices.Usage(**counts)
    for vendor, name in _names(provider, model):
        try:
            return genai_prices.calc_price(
                usage, name, provider_id=vendor, genai_request_timestamp=when
            )
        except (LookupError, ValueError):  # noqa: PERF203 - usually the first name is known
            continue
    return None


def _names(provider: str | None, model: str) -> list[tuple[str | None, str]]:
    """Returns the vendors and names that a price may be listed under, the most likely first.

    The model of a router names its vendor, such as "openai/gpt-4o".
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
