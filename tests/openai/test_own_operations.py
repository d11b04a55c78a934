"""Operations with names of ours: their attributes and metrics are those of the conventions."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from support.signals import Signals

from orq_otel import thread
from orq_otel.genai.fields import get

PICTURE = ("parcel.png", b"\x89PNG\r\n\x1a\n")


@pytest.fixture(params=[ALWAYS_ON, ALWAYS_OFF], ids=["sampled", "not sampled"])
def signals(request: pytest.FixtureRequest) -> Iterator[Signals]:
    """An instrumented client, whose spans are sampled or not."""
    signals = Signals(request.param).instrument(capture_content="SPAN_AND_EVENT")
    yield signals
    signals.close()


def test_images_have_tokens_on_the_span_and_in_metrics(
    signals: Signals, client: openai.OpenAI
) -> None:
    with thread("support-42"):
        made = client.images.generate(model="gpt-image-2", prompt="A parcel")
        client.images.edit(model="gpt-image-2", prompt="A parcel", image=PICTURE)
    assert made.usage is not None
    for span in signals.spans[:1]:  # none if it is not sampled
        told = span.attributes or {}
        assert told["gen_ai.operation.name"] == "generate_image"
        assert told["gen_ai.request.model"] == "gpt-image-2"
        assert told["gen_ai.conversation.id"] == told["thread.id"] == "support-42"
        assert told["gen_ai.usage.input_tokens"] == get(made.usage, "input_tokens")
        (message,) = json.loads(str(told["gen_ai.input.messages"]))
        assert message["parts"] == [{"type": "text", "content": "A parcel"}]
        assert not [name for name in told if name.startswith("orq_otel.")]
    metrics = signals.metrics()
    operations = ["generate_image", "edit_image"]
    durations = metrics["gen_ai.client.operation.duration"]
    assert [one.attributes["gen_ai.operation.name"] for one in durations] == operations
    tokens = metrics["gen_ai.client.inference.operation.output_tokens"]
    assert [one.attributes["gen_ai.operation.name"] for one in tokens] == operations
    assert tokens[0].sum == get(made.usage, "output_tokens")
    counted = metrics["gen_ai.client.inference.usage.input_tokens"]
    assert {one.attributes["gen_ai.token.modality"] for one in counted} >= {"text"}
    assert "gen_ai.client.inference.duration" not in metrics


def test_without_tokens_there_is_the_duration(signals: Signals, client: openai.OpenAI) -> None:
    client.moderations.create(input="x")
    (duration,) = signals.metrics()["gen_ai.client.operation.duration"]
    assert duration.attributes["gen_ai.operation.name"] == "moderate"
    assert duration.count == 1
    assert len(signals.metrics()) == 1


def test_the_tokens_of_embeddings_are_in_no_metric(signals: Signals, client: openai.OpenAI) -> None:
    client.embeddings.create(model="e", input="x")
    assert signals.metrics().keys() == {"gen_ai.client.operation.duration"}
