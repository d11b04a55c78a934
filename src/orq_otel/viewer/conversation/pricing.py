"""The cost of a model call in US dollars. An unknown cost is None, never zero.

A cost on the span comes first: `orq.billing.total_cost` is the amount that Orq billed, and other
senders have names of their own. Otherwise the prices in the package `genai-prices` are used,
without any network access.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from orq_otel.viewer.conversation import sellers, usage
from orq_otel.viewer.model.facts import Estimate, Reported
from orq_otel.viewer.model.kept_spans import KeptSpan

#: Attributes with a span's cost in US dollars.
REPORTED: Final = (
    "orq.billing.total_cost",
    "gen_ai.usage.cost",
    "orq_otel.usage.cost",
    "llm.cost.total",
    "litellm.cost.total",
    "gen_ai.usage.total_cost",
    "gen_ai.cost.total_cost",
    "operation.cost",
)
#: Those of them with an amount that was billed, which may well be zero.
_BILLED: Final = frozenset(
    {"ai.response.providerMetadata", "orq.billing.total_cost", "orq_otel.usage.cost"}
)
#: The same inside of JSON: the attribute, and the paths of the cost.
_REPORTED_IN_JSON: Final = (
    ("langfuse.observation.cost_details", ("total",)),
    ("mlflow.llm.cost", ("total_cost",)),
    ("ai.response.providerMetadata", ("gateway/cost", "openrouter/usage/cost")),
)
#: A higher cost of one call must be a mistake, and would falsify every sum. As many of them as are
#: written together fit into an integer of a store.
MOST: Final = 10_000.0

_REQUESTED: Final = (
    "gen_ai.request.model",
    "orq_otel.request.model",
    "ai.model.id",
    "llm.request.model",
)
_TIERS: Final = (
    "openai.response.service_tier",
    "orq_otel.response.service_tier",
    "gen_ai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.usage.service_tier",
    "openai.request.service_tier",
    "gen_ai.request.service_tier",
    "gen_ai.openai.request.service_tier",
)
#: JSON that may have the tier: parameters of a request, and what a provider says besides.
_WITH_TIERS: Final = (
    "ai.response.providerMetadata",
    "response_data",
    "llm.invocation_parameters",
    "langfuse.observation.model.parameters",
    "request_data",
)
_TIER: Final = re.compile(r'"service_?[tT]ier"\s*:\s*"([a-z_]{1,40})"')
_STANDARD: Final = frozenset({"", "auto", "default", "on_demand", "standard", "standard_only"})
#: Some prices depend on the time of day. They change after this many nanoseconds at the earliest.
_STEADY: Final = 15 * 60 * 10**9
_NANOSECONDS: Final = 10**9
#: Prices of tokens.
_TOKENS: Final = frozenset(name for names in usage.KINDS.values() for name in names)
#: A price for each thousand requests, beside that of their tokens.
_REQUESTS: Final = "requests_kcount"
_MILLION: Final = 1_000_000


class Part(NamedTuple):
    """A part of a cost.

    Attributes:
        name: What was paid for, such as "cached input".
        tokens: How many tokens. A fee for the request counts as one.
        price: In US dollars for a million of them.
    """

    name: str
    tokens: int
    price: float

    @property
    def cost(self) -> float:
        """What the part costs in US dollars."""
        return self.tokens * self.price / _MILLION


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost that explains itself.

    Attributes:
        total: In US dollars.
        source: The attribute in which the sender reported it, or the name and version of the list.
        is_reported: Whether the sender reported it.
        parts: What it is made of, or () if the sender reported it, or it is not known.
        provider: Who asks these prices, or None.
        model: The model's name in the list, or None.
        tier: The service tier, such as "flex", or None for the standard one.
        list_date: The date of the newest price in the list, or None.
        doubts: Why it is an estimate. () if it is none.
    """

    total: float
    source: str
    is_reported: bool = False
    parts: tuple[Part, ...] = ()
    provider: str | None = None
    model: str | None = None
    tier: str | None = None
    list_date: date | None = None
    doubts: tuple[str, ...] = ()


class _Plan(NamedTuple):
    """Where a span with some attributes has what its cost depends on."""

    reported: tuple[str, ...]
    reported_in_json: tuple[tuple[str, tuple[str, ...]], ...]
    requested: tuple[str, ...]
    tiers: tuple[str, ...]
    with_tiers: tuple[str, ...]
    addresses: tuple[str, ...]
    tokens: usage.Places


@functools.lru_cache(maxsize=4096)
def _plan(names: frozenset[str]) -> _Plan:
    """Most spans of a program have the same attributes, and few of all names."""

    def there(some: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in some if name in names)

    return _Plan(
        there(REPORTED),
        tuple(one for one in _REPORTED_IN_JSON if one[0] in names),
        there(_REQUESTED),
        there(_TIERS),
        there(_WITH_TIERS),
        there(sellers.ADDRESSES),
        usage.places(names),
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """The price of a million tokens, which rises with the length of a prompt.

    Attributes:
        base: The price for short prompts.
        steps: The price for prompts of more than so many tokens, the longest first.
    """

    base: float
    steps: tuple[tuple[int, float], ...] = ()

    def of(self, input_tokens: int) -> float:
        """Returns the price for the length of a prompt."""
        return next((price for start, price in self.steps if input_tokens > start), self.base)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the list has for a model: the price of each of `usage.KINDS`, and of a request."""

    provider: str
    model: str
    prices: Mapping[str, _Steps]
    fee: float
    tier: str | None = None
    doubts: tuple[str, ...] = ()

    def cost(self, kinds: list[tuple[str, int]], input_tokens: int) -> float:
        """Returns the cost of tokens, for prompts of some length."""
        prices, total = self.prices, self.fee
        for name, tokens in kinds:
            if tokens:
                price = prices[name]
                total += tokens * (price.of(input_tokens) if price.steps else price.base)
        return total / _MILLION

    def parts(self, kinds: list[tuple[str, int]], input_tokens: int) -> tuple[Part, ...]:
        """Returns the parts of this cost."""
        found = [
            Part(name, tokens, self.prices[name].of(input_tokens))
            for name, tokens in kinds
            if tokens
        ]
        if self.fee:
            found.append(Part("request", 1, self.fee))
        return tuple(found)


def cost(  # noqa: PLR0913, PLR0917 - what a price depends on
    attributes: Mapping[str, Any],
    provider: str | None,
    model: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    start: int,
) -> float | None:
    """Returns the cost of a model call in US dollars, or None if it is unknown.

    It is an `Estimate` where the list has no price for just this call.

    Args:
        attributes: The span's attributes, which may have the cost, the number of tokens of each
            kind, the service tier, and the address that answered.
        provider: The provider's name in any dialect, or None.
        model: The name of the model that was served, or None.
        input_tokens: The number of input tokens, or None if unknown.
        output_tokens: The number of output tokens, or None if unknown.
        start: When the call began, in nanoseconds since the epoch: prices change.
    """
    found = _calculated(attributes, provider, model, input_tokens, output_tokens, start)
    if found is None:
        return None
    amount, _, entry, _ = found
    return Estimate(amount) if entry is not None and entry.doubts else amount


def reported(attributes: Mapping[str, Any]) -> Reported | None:
    """Returns the cost that a span with tokens reports, if it knows the price, or None."""
    plan = _plan(frozenset(attributes))
    amount, name = _reported(attributes, plan)
    is_known = bool(amount) or name in _BILLED
    return Reported(amount, name) if amount is not None and is_known else None


def is_reported(attributes: Mapping[str, Any]) -> bool:
    """Whether a span's attributes report the cost."""
    plan = _plan(frozenset(attributes))
    return bool(plan.reported or plan.reported_in_json)


@functools.cache
def _version() -> str:
    return version("genai-prices")  # reads a file


def explained(kept: KeptSpan, attributes: Mapping[str, Any]) -> Cost | None:
    """Returns how the cost of a stored span came about, or None if it has none.

    A store does not keep which other span has reported it, and a list that came after the span may
    have other prices. Then the parts are left out.

    Args:
        kept: The span.
        attributes: What `cost` had when the span arrived.
    """
    facts = kept.facts
    if facts.cost is None:
        return None
    if isinstance(facts.cost, Reported):
        return Cost(float(facts.cost), facts.cost.source, is_reported=True)
    found = _calculated(
        attributes,
        facts.provider,
        facts.model,
        facts.input_tokens,
        facts.output_tokens,
        kept.span.start,
    )
    if found is None or not math.isclose(found[0], facts.cost, rel_tol=1e-6, abs_tol=1e-11):
        return Cost(facts.cost, "another span of the call, or an earlier price list")
    _, name, entry, kinds = found
    if entry is None:
        return Cost(facts.cost, name, is_reported=True)
    return Cost(
        facts.cost,
        f"genai-prices {_version()}",
        parts=entry.parts(kinds, facts.input_tokens or 0),
        provider=entry.provider,
        model=entry.model,
        tier=entry.tier,
        list_date=_list_date(),
        doubts=entry.doubts,
    )


def _calculated(  # noqa: PLR0913, PLR0917 - as `cost`
    attributes: Mapping[str, Any],
    provider: str | None,
    model: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    start: int,
) -> tuple[float, str, _Entry | None, list[tuple[str, int]]] | None:
    """Returns a cost, the attribute that reports it or "", the entry of the list, and tokens."""
    plan = _plan(frozenset(attributes))
    nothing: tuple[float, str, _Entry | None, list[tuple[str, int]]] | None = None
    if plan.reported or plan.reported_in_json:
        amount, name = _reported(attributes, plan)
        # Orq reports zero if it does not know the number of tokens.
        if amount or (amount is not None and (input_tokens or output_tokens)):
            if amount or name in _BILLED:
                return amount, name, None, []
            # Others report it for models whose price they do not know.
            nothing = (amount, name, None, [])
    if input_tokens is None and output_tokens is None:
        return None
    models = (model or "", _text(attributes, plan.requested) or "")
    address = _text(attributes, plan.addresses)
    entry = _entry(
        provider,
        models,
        address and sellers.host_of(address),
        _tier(attributes, plan) if plan.tiers or plan.with_tiers else None,
        start - start % _STEADY,
    )
    if entry is None:
        return nothing
    sent, answered = input_tokens or 0, output_tokens or 0
    try:
        kinds = usage.kinds(attributes, plan.tokens, sent, answered)
    except ValueError:
        return None
    return entry.cost(kinds, sent), "", entry, kinds


def _reported(attributes: Mapping[str, Any], plan: _Plan) -> tuple[float | None, str]:
    """Returns the cost that the sender reports, and the name of its attribute."""
    for name in plan.reported:
        if (amount := _amount(attributes[name])) is not None:
            return amount, name
    for name, paths in plan.reported_in_json:
        inner = _decoded(attributes[name])
        for path in paths:
            value = inner
            for key in path.split("/"):
                value = value.get(key) if isinstance(value, Mapping) else None
            if (amount := _amount(value)) is not None:
                return amount, name
        # Without a total, the numbers are its parts. Metadata of a provider may have others.
        values = inner.values() if isinstance(inner, Mapping) and name not in _BILLED else ()
        parts = [amount for one in values if (amount := _amount(one)) is not None]
        if parts:
            return _amount(sum(parts)), name
    return None, ""


def _amount(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return amount if 0 <= amount <= MOST else None


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _text(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = attributes[name]
        if value and isinstance(value, str):
            return value
    return ""


def _tier(attributes: Mapping[str, Any], plan: _Plan) -> str | None:
    """Returns the service tier of a call, or None for the standard one."""
    tier = _text(attributes, plan.tiers).lower()
    if not tier:
        for name in plan.with_tiers:
            value = attributes[name]
            if isinstance(value, str) and (found := _TIER.search(value)) is not None:
                tier = found[1]
                break
    return None if tier in _STANDARD else tier


@functools.lru_cache(maxsize=4096)
def _entry(
    provider: str | None, models: tuple[str, ...], host: str, tier: str | None, time: int
) -> _Entry | None:
    """Returns what the list has for a call, or None if it is not listed.

    The models are the one that was served, and the one that was asked for. Either may be "".
    """
    names = tuple(dict.fromkeys(filter(None, models)))
    seller = sellers.seller(provider, names, host)
    if seller is None:
        return None
    when = datetime.fromtimestamp(time / _NANOSECONDS, timezone.utc)
    doubts = [seller.doubt] if seller.doubt else []
    price, is_of_tier = _price(seller.model, when, tier)
    if not is_of_tier:
        doubts.append(f"the price list has none for {tier}; this is the standard price")
    listed = {name: value for name, value in vars(price).items() if value is not None}
    prices = {
        kind: next((_steps(listed[name]) for name in names if name in listed), _Steps(0.0))
        for kind, names in usage.KINDS.items()
    }
    if not listed.keys() & _TOKENS:
        return None
    fee = listed.get(_REQUESTS)
    return _Entry(
        provider=seller.provider.name,
        model=seller.model.id,
        prices=prices,
        fee=float(fee) * 1000 if isinstance(fee, Decimal) else 0.0,
        tier=tier,
        doubts=tuple(doubts),
    )


def _price(model: Any, when: datetime, tier: str | None) -> tuple[Any, bool]:
    """Returns the prices of a model, and whether they are those of the tier."""
    if tier is None:
        return model.get_prices(when), True
    context = {"processing": tier} if tier == "batch" else {"service_tier": tier}
    # Earlier releases of the list have no tiers.
    variants = [one for one in getattr(model, "price_variants", None) or () if one.when == context]
    if not variants:
        return model.get_prices(when), False
    starts = [getattr(one.constraint, "start_date", None) for one in variants]
    if all(start is not None and when.date() < start for start in starts):
        # The tier is older than its entry in the list.
        first = min(start for start in starts if start is not None)
        when = datetime(first.year, first.month, first.day, tzinfo=timezone.utc)
    return model.get_prices(when, context), True


def _steps(price: Any) -> _Steps:
    if isinstance(price, Decimal):
        return _Steps(float(price))
    steps = tuple((one.start, float(one.price)) for one in reversed(price.tiers))
    return _Steps(float(price.base), steps)


@functools.cache
def _list_date() -> date | None:
    """Returns the date of the newest price in the list that is in force.

    The package has no other date.
    """
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - loads some megabytes

    today = datetime.now(timezone.utc).date()
    starts = (
        getattr(one.constraint, "start_date", None)
        for provider in get_snapshot().providers
        for model in provider.models
        for one in (
            *(model.prices if isinstance(model.prices, list) else ()),
            *(getattr(model, "price_variants", None) or ()),
        )
    )
    return max((start for start in starts if start is not None and start <= today), default=None)
