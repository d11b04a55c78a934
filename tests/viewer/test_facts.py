"""What is read off a span."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.facts import MODEL_CALLS, Facts
from orq_otel.viewer.model.telemetry import Span

from .sample_spans import call, messages, span


def facts(**attributes: Any) -> Facts:
    return read(span(**attributes))


def test_of_a_span_that_says_nothing() -> None:
    assert facts() == Facts(thread_id=None)


def test_of_a_call() -> None:
    told = read(call("a", tags=("x",), says="Hi"))
    assert told == Facts(
        thread_id="a",
        tags=("x",),
        operation="chat",
        model="gpt-4o-mini",
        provider="openai",
        input_tokens=1000,
        output_tokens=100,
        cost=pytest.approx(0.00021),
        is_model_call=True,
        is_error=False,
        title="Hi",
    )


def test_of_an_operation_that_is_this_projects_own() -> None:
    told = facts(
        orq_otel__operation__name="realtime_response",
        orq_otel__provider__name="openai",
        orq_otel__request__model="gpt-4o-mini",
        orq_otel__usage__input_tokens=10,
        orq_otel__usage__output_tokens=20,
    )
    assert (told.operation, told.provider, told.model) == (
        "realtime_response",
        "openai",
        "gpt-4o-mini",
    )
    assert (told.input_tokens, told.output_tokens, told.is_model_call) == (10, 20, True)
    assert told.cost == pytest.approx((10 * 0.15 + 20 * 0.6) / 1e6)


def test_of_openinference() -> None:
    told = facts(
        openinference__span__kind="LLM",
        session__id="a",
        llm__model_name="gpt-4o-mini",
        llm__provider="openai",
        llm__token_count__prompt=10,
        llm__token_count__completion=20,
        tag__tags=["x"],
    )
    assert (told.thread_id, told.tags, told.operation) == ("a", ("x",), "chat")
    assert (told.input_tokens, told.output_tokens, told.is_model_call) == (10, 20, True)


@pytest.mark.parametrize("operation", ["invoke_agent", "fetch_response", "realtime_session"])
def test_a_summary_does_not_count_again(operation: str) -> None:
    told = replace(call("a"), kind="INTERNAL")
    told = replace(told, attributes={**told.attributes, "gen_ai.operation.name": operation})
    found = read(told)
    assert (found.input_tokens, found.cost, found.is_model_call) == (None, None, False)
    assert found.model == "gpt-4o-mini"


def test_an_agent_elsewhere_counts() -> None:
    told = call("a")
    told = replace(told, attributes={**told.attributes, "gen_ai.operation.name": "invoke_agent"})
    assert read(told).is_model_call
    assert not facts(gen_ai__operation__name="invoke_agent").is_model_call


@pytest.mark.parametrize("operation", sorted(MODEL_CALLS))
def test_a_call_that_fails_before_it_is_counted_is_none_that_costs(operation: str) -> None:
    assert facts(gen_ai__operation__name=operation).is_model_call
    assert not facts(gen_ai__operation__name=operation, status="ERROR").is_model_call


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        ("6", 6),
        (5.0, 5),
        (0, 0),
        (-1, None),
        ("x", None),
        (True, None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (2**70, None),
        ([5], None),
        ("", None),
    ],
)
def test_counts(value: object, expected: int | None) -> None:
    told = facts(gen_ai__usage__input_tokens=value)
    assert told.input_tokens == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b"], ("a", "b")),
        (("a", "a"), ("a",)),
        ('["a", "b"]', ("a", "b")),
        (["a", 1, None, "", ["b"]], ("a",)),
        (["graph:step:1", "a", "seq:step:2", "langsmith:hidden"], ("a",)),  # LangChain's own
        ("a", ()),
        ('{"a": 1}', ()),
        ("[" * 100_000, ()),
        (5, ()),
    ],
)
def test_tags(value: object, expected: tuple[str, ...]) -> None:
    assert facts(thread__tags=value).tags == expected
    assert facts(orq__tags=value).tags == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (messages("Hello"), "Hello"),
        (messages("  Two\n\n lines "), "Two lines"),
        (messages("x" * 5000), "x" * 200),
        (messages(""), None),
        (json.dumps([{"role": "user", "content": "Plain"}]), "Plain"),
        (json.dumps([{"role": "user", "content": [{"type": "text", "text": "Part"}]}]), "Part"),
        ([{"role": "user", "parts": [{"type": "text", "content": "A list"}]}], "A list"),
        (
            json.dumps(
                [
                    {"role": "user", "parts": [{"type": "blob", "content": "AAAA"}]},
                    {"role": "user", "parts": [{"type": "text", "content": "After an image"}]},
                ]
            ),
            "After an image",
        ),
        (
            json.dumps(
                [{"role": "user", "content": '[{"type": "image_url", "image_url": {"url": "x"}}]'}]
            ),
            None,
        ),
        (
            messages('[{"type": "text", "text": "See"}, {"type": "file", "file_id": "f"}]'),
            "See",
        ),
        (messages('[{"type": "no part"}]'), '[{"type": "no part"}]'),
        (messages("Before a cut")[:-1] + ', {"role": "assis', "Before a cut"),
        ("[" * 100_000, None),
        ("no JSON", None),
        ("[]", None),
        ('[1, null, "x"]', None),
        ('{"role": "user"}', None),
    ],
)
def test_titles(value: object, expected: str | None) -> None:
    assert facts(gen_ai__input__messages=value).title == expected


def test_a_title_in_an_event() -> None:
    event = {"name": "x", "time": 1, "attributes": {"gen_ai.input.messages": messages("Hello")}}
    assert read(replace(span(), events=(event,))).title == "Hello"


_NAMES = [
    "thread.id",
    "thread.tags",
    "orq.tags",
    "gen_ai.operation.name",
    "openinference.span.kind",
    "gen_ai.response.model",
    "gen_ai.provider.name",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "orq.billing.total_cost",
    "gen_ai.input.messages",
    "gen_ai.usage.audio.input_tokens",
]
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["gpt-4o", "openai", "chat", messages("x")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "parts", "type", "content"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON | _JSON.map(json.dumps)))
def test_anything_can_be_read(attributes: dict[str, Any]) -> None:
    told: Span = replace(span(), attributes=attributes)
    found = read(told)
    assert found.cost is None or found.cost >= 0
    assert found.thread_id is None or found.thread_id
