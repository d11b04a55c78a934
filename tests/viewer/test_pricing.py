"""What a call costs."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from orq_otel.viewer.conversation import pricing

from .sample_spans import NOON, SECOND

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
        ("unheard-of", "gpt-4o-mini", None),
        ("openai", "llama-3-on-my-desk", None),
        ("openai", "", None),
    ],
)
def test_which_price(provider: str | None, model: str, expected: float | None) -> None:
    assert cost(provider, model) == (None if expected is None else pytest.approx(expected))


def test_every_listed_price_is_as_the_list_says() -> None:
    """The short way for prices that depend on counts alone gives what the library does."""
    when = datetime.fromtimestamp(NOON / SECOND, timezone.utc)
    seen = 0
    counts = [(1000, 500, 0, 0), (0, 3, 0, 0), (1000, 1, 300, 0), (1000, 10, 300, 200)]
    for provider in get_snapshot().providers:
        for model in provider.models:
            price = pricing.unit_price(provider.id, model.id, NOON)
            if price is None or not price.is_all:
                continue
            for sent, answered, read, written in counts:
                usage = {
                    "input_tokens": sent,
                    "output_tokens": answered,
                    "cache_read_tokens": read,
                    "cache_write_tokens": written,
                }
                expected = genai_prices.calc_price(
                    genai_prices.Usage(**{name: n for name, n in usage.items() if n}),
                    model.id,
                    provider_id=provider.id,
                    genai_request_timestamp=when,
                )
                found = price.of(sent, answered, read, written)
                assert found == pytest.approx(float(expected.total_price), abs=1e-12)
                seen += 1
    assert seen > 1000


def test_a_price_that_rises_with_the_length_of_a_prompt() -> None:
    price = pricing.unit_price("google", "gemini-2.5-pro", NOON)
    assert price is not None
    assert not price.is_all
    short = cost("gcp.gemini", "gemini-2.5-pro", (100_000, 0))
    long = cost("gcp.gemini", "gemini-2.5-pro", (400_000, 0))
    assert short == pytest.approx(100_000 * price.input)
    assert long is not None
    assert long > 4 * 100_000 * price.input


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


def test_a_count_below_zero_is_none() -> None:
    found = cost("openai", "gpt-4o-mini", gen_ai__usage__cache_read__input_tokens=-1000)
    assert found == cost("openai", "gpt-4o-mini")


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
