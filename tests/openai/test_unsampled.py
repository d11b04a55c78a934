"""Calls whose spans are not sampled: they have events and metrics all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import NoOpTracerProvider
from stand_ins.model_server import DropAfter, Fail, ModelServer
from support.signals import Signals

from orq_otel import OpenAIInstrumentor, thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
DETAILS = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"
#: Attributes that differ from call to call.
PASSING = {"gen_ai.response.id", "gen_ai.response.time_to_first_chunk", "exception.stacktrace"}

Switch = Callable[..., Signals]
Events = list[tuple[str | None, dict[str, Any]]]


@pytest.fixture
def switch_on() -> Iterator[Switch]:
    """Switches on an instrumentation with all signals, sampled or not."""
    made: list[Signals] = []

    def switch(sampler: Any = ALWAYS_OFF, **more: Any) -> Signals:
        if made:
            made.pop().close()
        made.append(Signals(sampler).instrument(**more))
        return made[-1]

    yield switch
    for signals in made:
        signals.close()


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more)


def use(client: openai.OpenAI, server: ModelServer) -> None:
    """A call, a stream, an error and a stream that breaks."""
    with thread("support-42", tags=["support"]):
        ask(client, temperature=0.5)
        list(ask(client, stream=True))
        server.script(Fail(429))
        with pytest.raises(openai.RateLimitError):
            ask(client)
        server.script(DropAfter(2))
        with pytest.raises(Exception):  # noqa: B017, PT011 - httpx's or the client's, by its version
            list(ask(client, stream=True))
        client.embeddings.create(model="e", input="x")


def lasting(signals: Signals) -> Events:
    """The events without what differs from call to call."""
    return [
        (name, {key: value for key, value in attributes.items() if key not in PASSING})
        for name, attributes in signals.events()
    ]


@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"])
def test_events_are_those_of_sampled_calls(
    switch_on: Switch,
    client: openai.OpenAI,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    signals = switch_on(ALWAYS_ON, capture_content=mode)
    use(client, model_server)
    sampled = lasting(signals)
    signals = switch_on(ALWAYS_OFF, capture_content=mode)
    use(client, model_server)
    assert signals.spans == []
    assert lasting(signals) == sampled
    assert [name for name, _ in sampled] == [DETAILS] * 2 + [EXCEPTION, DETAILS] * 2
    assert ("gen_ai.input.messages" in sampled[0][1]) == ("EVENT" in mode)
    assert all(attributes["thread.id"] == "support-42" for _, attributes in sampled)
    assert all(one.log_record.trace_id for one in signals.logs)


def test_errors_have_their_event_where_details_are_off(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    use(client, model_server)
    assert [(name, attributes["thread.id"]) for name, attributes in signals.events()] == [
        (EXCEPTION, "support-42")
    ] * 2
    assert signals.events()[0][1]["exception.message"].startswith("Error code: 429")


def test_without_a_meter_provider(client: openai.OpenAI, model_server: ModelServer) -> None:
    signals = Signals(ALWAYS_OFF)
    OpenAIInstrumentor().instrument(
        tracer_provider=signals.tracer_provider, logger_provider=signals.logger_provider
    )
    use(client, model_server)
    signals.close()
    assert [name for name, _ in signals.events()] == [EXCEPTION] * 2


def test_calls_without_a_tracer_provider_have_events(
    client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = Signals()
    OpenAIInstrumentor().instrument(
        tracer_provider=NoOpTracerProvider(),
        logger_provider=signals.logger_provider,
        capture_content="EVENT_ONLY",
    )
    use(client, model_server)
    signals.close()
    assert [name for name, _ in signals.events()] == [DETAILS] * 2 + [EXCEPTION, DETAILS] * 2


def test_one_setting_ties_events_to_the_sampling(
    switch_on: Switch,
    client: openai.OpenAI,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORQ_OTEL_SAMPLE_EVENTS", "true")
    signals = switch_on(ALWAYS_OFF, capture_content="EVENT_ONLY")
    use(client, model_server)
    assert signals.events() == []
    assert "gen_ai.client.inference.duration" in signals.metrics()
    signals = switch_on(ALWAYS_ON, capture_content="EVENT_ONLY")
    use(client, model_server)
    assert len(signals.events()) == 6
