"""What a call costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from orq_otel.viewer.conversation import pricing
from orq_otel.viewer.conversation.facts import explained, read
from orq_otel.viewer.model.facts import Facts
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sample_spans import NOON, SECOND, call, span

MILLION = 1_000_000


def cost(
    provider: str | None,
    model: str,
    tokens: tuple[int | None, int | None] = (MILLION, 0),
    start: int = NOON,
    **attributes: object,
) -> float | None:
    told = {name.replace("__", "."): value for name, value in attributes.items()}
    return pricing.cost(told, provider, model, *tokens, start)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", 0.15),
        ("azure.ai.openai", "gpt-4o-mini", 0.15),
        ("orq", "openai/gpt-4o-mini", 0.15),
        ("orq", "gpt-4o-mini", 0.15),
        (None, "gpt-4o-mini", 0.15),
        ("unheard-of", "openai/gpt-4o-mini", 0.15),
        ("strands-agents", "gpt-4o-mini", 0.15),
        ("az.ai.inference", "gpt-4o-mini", 0.15),
        ("openai.chat", "gpt-4o-mini", 0.15),
        ("gcp.vertex.agent", "openai/gpt-4o-mini", 0.15),
        ("gcp.vertex.agent", "gemini-2.5-flash", 0.3),
        ("openai", "openai/gpt-4o-mini", 0.15),
        ("openai", "gpt-4o-mini-2099-01-01", 0.15),
        ("azure", "gpt-4o-mini-prod", 0.15),
        ("azure", "contoso_gpt-41-mini", 0.4),
        ("azure", "gpt-4o-mini-vision-eu", None),
        ("azure", "support-bot", None),
        ("anthropic", "gpt-4o-mini", None),
        ("openai", "anthropic/claude-sonnet-4-5", None),
        ("ollama", "gpt-4o-mini", None),
        ("openai", "llama-3-on-my-desk", None),
        ("openai", "", None),
    ],
)
def test_which_price(provider: str | None, model: str, expected: float | None) -> None:
    assert cost(provider, model) == (None if expected is None else pytest.approx(expected))


#: Tokens of each kind under the conventions' names, and as `genai-prices` counts them.
_COUNTS = {
    "gen_ai.usage.cache_read.input_tokens": "cache_read_tokens",
    "gen_ai.usage.cache_creation.input_tokens": "cache_write_tokens",
    "gen_ai.usage.audio.input_tokens": "input_audio_tokens",
    "gen_ai.usage.audio.output_tokens": "output_audio_tokens",
    "gen_ai.usage.audio.cache_read.input_tokens": "cache_audio_read_tokens",
    "gen_ai.usage.image.input_tokens": "input_image_tokens",
    "gen_ai.usage.image.output_tokens": "output_image_tokens",
    "gen_ai.usage.reasoning.output_tokens": "output_reasoning_tokens",
}


def _by_library(
    provider: str, model: str, usage: dict[str, int], when: datetime, tier: str | None
) -> float | None:
    context = {"processing": tier} if tier == "batch" else {"service_tier": tier} if tier else None
    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(**{name: n for name, n in usage.items() if n}),
            model,
            provider_id=provider,
            genai_request_timestamp=when,
            price_context=context,
        )
    except (LookupError, ValueError):
        return None
    return float(found.total_price)


@pytest.mark.parametrize("tier", [None, "flex", "priority", "batch"])
def test_every_listed_price_is_as_the_list_says(tier: str | None) -> None:
    start = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    calls: list[dict[str, int]] = [
        {"input_tokens": 1000, "output_tokens": 500},
        {"input_tokens": 300_000, "output_tokens": 3},
        {"input_tokens": 1000, "output_tokens": 10, "cache_read_tokens": 300},
        {
            "input_tokens": 1000,
            "output_tokens": 10,
            "cache_read_tokens": 300,
            "cache_write_tokens": 200,
        },
        {"input_tokens": 900, "output_tokens": 90, "output_reasoning_tokens": 60},
        {
            "input_tokens": 1000,
            "output_tokens": 500,
            "input_audio_tokens": 800,
            "output_audio_tokens": 400,
            "cache_read_tokens": 500,
            "cache_audio_read_tokens": 400,
        },
        {"input_tokens": 700, "output_tokens": 60, "input_image_tokens": 600},
        {"input_tokens": 10, "output_tokens": 4000, "output_image_tokens": 4000},
    ]
    seen = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            variants = {value for one in model.price_variants or () for value in one.when.values()}
            if tier is not None and tier not in variants:
                continue
            for usage in calls:
                expected = _by_library(provider.id, model.id, usage, start, tier)
                if not expected:
                    continue
                attributes: dict[str, object] = {
                    name: usage[count] for name, count in _COUNTS.items() if count in usage
                }
                if tier:
                    attributes["openai.response.service_tier"] = tier
                found = pricing.cost(
                    attributes,
                    provider.id,
                    model.id,
                    usage["input_tokens"],
                    usage["output_tokens"],
                    int(start.timestamp()) * SECOND,
                )
                assert found == pytest.approx(expected, rel=1e-9), (provider.id, model.id, usage)
                seen += 1
    assert seen > (5000 if tier is None else 100)


def test_a_price_that_rises_with_the_length_of_a_prompt() -> None:
    shorter = cost("gcp.gemini", "gemini-2.5-pro", (50_000, 0))
    short = cost("gcp.gemini", "gemini-2.5-pro", (100_000, 0))
    long = cost("gcp.gemini", "gemini-2.5-pro", (400_000, 0))
    assert shorter is not None
    assert short == pytest.approx(2 * shorter)
    assert long is not None
    assert long > 8 * shorter


def test_sound_has_a_price_of_its_own() -> None:
    model = "gpt-4o-realtime-preview"
    text = cost("openai", model, (1000, 0))
    sound = cost("openai", model, (1000, 0), gen_ai__usage__audio__input_tokens=1000)
    assert text is not None
    assert sound is not None
    assert sound > text


def test_what_was_billed_comes_first() -> None:
    assert cost("openai", "gpt-4o-mini", orq__billing__total_cost=0.5) == 0.5
    assert cost("openai", "gpt-4o-mini", orq__billing__total_cost="0.5") == 0.5
    assert cost("openai", "gpt-4o-mini", gen_ai__usage__cost=0.5) == 0.5
    assert cost("openai", "gpt-4o-mini", orq__billing__total_cost=0) == 0
    assert cost("x", "y", (None, None), orq__billing__total_cost=0.5) == 0.5


@pytest.mark.parametrize("told", [-1, float("nan"), float("inf"), 1e12, "much", True, [1], None])
def test_what_cannot_be_a_cost(told: object) -> None:
    assert cost("x", "y", orq__billing__total_cost=told) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("litellm.cost.total", 0.5),
        ("operation.cost", 0.5),
        ("orq_otel.usage.cost", 0.5),
        ("llm.cost.total", 0.5),
        ("langfuse.observation.cost_details", '{"input": 0.2, "total": 0.5}'),
        ("langfuse.observation.cost_details", '{"input": 0.25, "output": "0.25", "web": null}'),
        ("mlflow.llm.cost", '{"total_cost": 0.5}'),
        ("ai.response.providerMetadata", '{"gateway": {"cost": "0.5"}}'),
    ],
)
def test_the_cost_that_a_sender_reports_wins(name: str, value: object) -> None:
    told: dict[str, Any] = {name: value}
    assert cost("openai", "gpt-4o-mini", **told) == 0.5
    told[name] = "much"
    assert cost("openai", "gpt-4o-mini", **told) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"openai.response.service_tier": "flex"}, 0.125),
        ({"openai.response.service_tier": "priority"}, 0.45),
        ({"orq_otel.response.service_tier": "priority"}, 0.45),
        ({"openai.response.service_tier": "default"}, 0.25),
        ({"openai.request.service_tier": "flex", "openai.response.service_tier": "default"}, 0.25),
        ({"gen_ai.openai.response.service_tier": "FLEX"}, 0.125),
        ({"gen_ai.response.service_tier": "batch"}, 0.125),
        ({"llm.invocation_parameters": '{"service_tier": "flex"}'}, 0.125),
        ({"ai.response.providerMetadata": '{"openai": {"serviceTier": "priority"}}'}, 0.45),
    ],
)
# The list has tiers since October 2026. They are older than that.
@pytest.mark.parametrize("start", [NOON, NOON - 150 * 86_400 * SECOND])
def test_service_tiers(told: dict[str, Any], expected: float, start: int) -> None:
    found = cost("openai", "gpt-5-mini-2025-08-07", start=start, **told)
    assert found == pytest.approx(expected)


def _explained(provider: str, model: str, **attributes: object) -> pricing.Cost:
    told = {name.replace("__", "."): value for name, value in attributes.items()}
    told |= {"gen_ai.provider.name": provider, "gen_ai.response.model": model}
    told |= {"gen_ai.usage.input_tokens": MILLION, "gen_ai.usage.output_tokens": 1000}
    one = span(gen_ai__operation__name="chat")
    one = replace(one, attributes={**told, **one.attributes})
    found = explained(KeptSpan(one, read(one)))
    assert found is not None
    return found


def test_a_cost_explains_itself() -> None:
    found = _explained(
        "openai",
        "gpt-5-mini",
        openai__response__service_tier="flex",
        server__address="api.openai.com",
        gen_ai__usage__cache_read__input_tokens=400_000,
        gen_ai__usage__reasoning__output_tokens=600,
    )
    assert [(one.name, one.tokens, one.price) for one in found.parts] == [
        ("input", 600_000, 0.125),
        ("cached input", 400_000, 0.0125),
        ("output", 400, 1.0),
        ("reasoning", 600, 1.0),
    ]
    assert found.total == pytest.approx(sum(one.cost for one in found.parts))
    assert found.source == f"genai-prices {version('genai-prices')}"
    assert (found.provider, found.model, found.tier) == ("OpenAI", "gpt-5-mini", "flex")
    assert found.list_date is not None
    assert found.list_date <= datetime.now(timezone.utc).date()
    assert not found.doubts
    assert not found.is_reported


def test_a_reported_cost_says_where() -> None:
    found = _explained("openai", "gpt-4o-mini", litellm__cost__total=0.5)
    assert (found.total, found.source, found.is_reported) == (0.5, "litellm.cost.total", True)
    assert found.parts == ()


def test_a_cost_by_an_earlier_list_claims_no_parts() -> None:
    one = span(gen_ai__response__model="gpt-4o-mini")
    kept = KeptSpan(one, Facts(None, model="gpt-4o-mini", input_tokens=1000, cost=0.5))
    found = explained(kept)
    assert found == pricing.Cost(0.5, "another span of the call, or an earlier price list")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "192.168.1.7",
        "fd00::1",
        "vllm",
        "gpu.local",
        "host.docker.internal",
        "169.254.1.1",
    ],
)
def test_a_price_for_a_model_nearby_is_an_estimate(host: str) -> None:
    found = _explained("openai", "gpt-4o-mini", server__address=host)
    assert found.doubts == (
        f"it was served from {host}, a private address; this is what OpenAI asks",
    )
    assert cost("openai", "qwen-on-my-desk", server__address=host) is None
    assert _explained("openai", "gpt-4o-mini", server__address="api.openai.com").doubts == ()


def test_a_tier_that_the_list_lacks_makes_an_estimate() -> None:
    found = _explained("openai", "gpt-4o-mini-2024-07-18", openai__response__service_tier="scale")
    assert found.doubts == ("the price list has none for scale; this is the standard price",)


@pytest.mark.parametrize(
    ("host", "model", "provider"),
    [
        ("openrouter.ai", "anthropic/claude-sonnet-4.5", "OpenRouter"),
        ("api.deepseek.com", "deepseek-chat", "Deepseek"),
        ("contoso.openai.azure.com", "gpt-4o-mini", "Microsoft Azure"),
        ("us-central1-aiplatform.googleapis.com", "google/gemini-2.5-flash", "Google"),
        ("generativelanguage.googleapis.com", "models/gemini-2.5-flash", "Google"),
        ("api.openai.com", "openai/gpt-4o-mini", "OpenAI"),
    ],
)
def test_the_address_says_more_than_the_name(host: str, model: str, provider: str) -> None:
    found = _explained("openai", model, server__address=host)
    assert (found.provider, found.doubts) == (provider, ())
    assert cost("openai", "gpt-4o-mini", server__address="api.deepseek.com") is None


def test_the_served_model_comes_before_the_requested_one() -> None:
    found = cost("azure", "gpt-4o-mini-2024-07-18", gen_ai__request__model="gpt-4o")
    assert found == pytest.approx(0.15)
    found = cost("azure", "unlisted", gen_ai__request__model="gpt-4o-mini")
    assert found == pytest.approx(0.15)
    assert _explained("azure", "gpt-4o-mini-prod").doubts


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
        "orq_otel.usage.cache_read.input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    ],
)
def test_cached_tokens_under_every_name(name: str) -> None:
    told: dict[str, Any] = {name: MILLION}
    assert cost("openai", "gpt-4o-mini", **told) == pytest.approx(0.075)


def test_sound_that_is_cached_is_found_among_what_is_cached() -> None:
    told = {
        "gen_ai.usage.audio.input_tokens": 900,
        "gen_ai.usage.cache_read.input_tokens": 500,
    }
    found = pricing.cost(told, "openai", "gpt-realtime", 1000, 0, NOON)
    # 100 tokens of text and 400 of sound come from the cache, at 0.40 each; 500 of sound do not.
    assert found == pytest.approx((500 * 32 + 500 * 0.4) / MILLION)


def test_a_count_below_zero_is_none() -> None:
    found = cost("openai", "gpt-4o-mini", gen_ai__usage__cache_read__input_tokens=-1000)
    assert found == cost("openai", "gpt-4o-mini")


def test_a_sender_that_knows_no_price_reports_zero() -> None:
    listed = cost("openai", "gpt-4o-mini")
    assert listed
    assert cost("openai", "gpt-4o-mini", gen_ai__usage__cost=0.0) == listed
    assert cost("x", "y", gen_ai__usage__cost=0.0) == 0


def test_an_unknown_price_is_never_zero() -> None:
    assert cost("openai", "gpt-4o-mini", (None, None)) is None
    assert cost("x", "y", (None, None), orq__billing__total_cost=0) is None
    assert cost("openai", "gpt-4o-mini", (5, 1), gen_ai__usage__cache_read__input_tokens=6) is None


def test_prices_are_loaded_when_they_are_needed() -> None:
    program = (
        "import sys, orq_otel.viewer.conversation.facts, orq_otel.viewer.store;"
        "print('genai_prices' in sys.modules, 'clickhouse_connect' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert run.stdout.split() == ["False", "False"]


def test_costs_that_must_be_mistakes_fill_no_store(sqlite: SQLiteStore) -> None:
    """A sender may tell another unit: that is no cost, and the spans are written."""
    for cost in (10_000.0, 1_000_000.0):
        spans = [call(f"t {cost}", start=NOON + number, cost=cost) for number in range(512)]
        sqlite.write([KeptSpan(one, read(one)) for one in spans])
    threads = sqlite.threads(ThreadQuery(sort="cost")).threads
    listed = 0.10752  # what their tokens cost
    assert [(one.cost, one.spans) for one in threads] == [(5_120_000.0, 512), (listed, 512)]
    assert sqlite.overview(ThreadQuery()).cost == 5_120_000.0 + listed
