"""Token counts, from whatever an API and an installed client make of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage

from orq_otel.payloads.usage import read_audio_usage, read_completion_usage, read_response_usage

COMPLETION = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "prompt_tokens_details": {
        "cached_tokens": 40,
        "cache_write_tokens": 10,
        "audio_tokens": 20,
        "image_tokens": 30,
        "text_tokens": 50,
        "cached_tokens_details": {"audio_tokens": 7, "image_tokens": 8, "text_tokens": 25},
    },
    "completion_tokens_details": {
        "reasoning_tokens": 15,
        "audio_tokens": 5,
        "image_tokens": 15,
        "text_tokens": 30,
    },
}
EVERYTHING = {
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_write.input_tokens": 10,
    "gen_ai.usage.audio.input_tokens": 20,
    "gen_ai.usage.image.input_tokens": 30,
    "gen_ai.usage.text.input_tokens": 50,
    "gen_ai.usage.audio.cache_read.input_tokens": 7,
    "gen_ai.usage.image.cache_read.input_tokens": 8,
    "gen_ai.usage.text.cache_read.input_tokens": 25,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.reasoning.output_tokens": 15,
    "gen_ai.usage.audio.output_tokens": 5,
    "gen_ai.usage.image.output_tokens": 15,
    "gen_ai.usage.text.output_tokens": 30,
}


def read(reader: Any, usage: Any) -> dict[str, Any]:
    """What a reader adds to nothing."""
    attributes: dict[str, Any] = {}
    reader(usage, attributes)
    return attributes


def namespaces(thing: Any) -> Any:
    """JSON as raw responses are read."""
    if isinstance(thing, dict):
        return SimpleNamespace(**{name: namespaces(value) for name, value in thing.items()})
    return thing


@pytest.mark.parametrize(
    "usage",
    [
        COMPLETION,
        namespaces(COMPLETION),
        # As a client makes it that does not know of the details: they are kept as extras.
        CompletionUsage.construct(total_tokens=150, **COMPLETION),
    ],
    ids=["dict", "namespace", "model"],
)
def test_every_count_of_a_completion(usage: Any) -> None:
    assert read(read_completion_usage, usage) == EVERYTHING


@pytest.mark.parametrize(
    ("reader", "details"),
    [(read_response_usage, "tokens_details"), (read_audio_usage, "token_details")],
)
def test_every_count_of_a_response(reader: Any, details: str) -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        f"input_{details}": COMPLETION["prompt_tokens_details"],
        f"output_{details}": COMPLETION["completion_tokens_details"],
    }
    assert read(reader, usage) == EVERYTHING


def test_zeros_of_parts_are_left_out() -> None:
    zeros = {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "prompt_tokens_details": {
            **dict.fromkeys(COMPLETION["prompt_tokens_details"], 0),
            "cached_tokens_details": {"text_tokens": 0},
        },
        "completion_tokens_details": dict.fromkeys(COMPLETION["completion_tokens_details"], 0),
    }
    assert read(read_completion_usage, zeros) == {
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
    }


@pytest.mark.parametrize("count", ["1.5", "-12", "twelve", "9" * 20, 12.5, True, [12], {}, None])
def test_what_is_no_whole_number_is_no_count(count: Any) -> None:
    spoilt = {
        "prompt_tokens": 1,
        "completion_tokens": count,
        "prompt_tokens_details": dict.fromkeys(COMPLETION["prompt_tokens_details"], count),
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert read(read_completion_usage, spoilt) == {"gen_ai.usage.input_tokens": 1}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": st.none() | st.integers(0, 9),
            "completion_tokens": st.none() | st.integers(0, 9),
            "prompt_tokens_details": st.none()
            | st.dictionaries(
                st.sampled_from(list(COMPLETION["prompt_tokens_details"])),
                st.none() | st.integers(0, 9),
            ),
            "completion_tokens_details": st.none()
            | st.dictionaries(
                st.sampled_from(list(COMPLETION["completion_tokens_details"])),
                st.none() | st.integers(0, 9),
            ),
        },
    )
)
def test_counts_that_are_missing_are_left_out(usage: dict[str, Any]) -> None:
    counts = read(read_completion_usage, usage)

    assert counts.keys() <= EVERYTHING.keys()
    assert all(type(count) is int for count in counts.values())
    for total, name in (("prompt_tokens", "input"), ("completion_tokens", "output")):
        of_this_kind = [key for key in counts if key.endswith(f"{name}_tokens")]
        assert bool(of_this_kind) == (usage.get(total) is not None)
