"""Where nothing is to be recorded, nothing is in the way."""

from __future__ import annotations

import importlib.util
from typing import Any

import openai
import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider
from support.client_versions import needs
from support.recorded import Telemetry
from support.signals import Signals
from support.vendor_websockets import WebsocketServer
from support.websocket_sessions import (
    api_of,
    ask,
    both,
    connect,
    every,
    in_session,
    module_of,
    name_of,
    reasons,
    wait,
)

from orq_otel import OpenAIInstrumentor, thread

pytestmark = needs("openai", "1.58", "websockets")


@every
def test_suppressed(instrumented: Telemetry, client: openai.OpenAI, api: str) -> None:
    manager = connect(client, api)
    with suppress_instrumentation(), manager as connection:
        assert type(connection._connection).__module__.startswith("websockets")
        ask(connection, api)
        wait(connection)
    token = context.attach(context.set_value("suppress_instrumentation", True))
    with connect(client, api) as connection:
        ask(connection, api)
        wait(connection)
    context.detach(token)

    assert instrumented.spans == []


@both
def test_a_manager_that_is_entered_again(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    manager = connect(client, api)
    with manager as connection:
        ask(connection, api)
        wait(connection)
    with suppress_instrumentation(), manager as connection:
        ask(connection, api)
        wait(connection)
    with manager as connection:
        ask(connection, api)
        wait(connection)

    assert [name_of(span).endswith("session") for span in instrumented.spans] == [False, True] * 2


@both
def test_one_response_is_suppressed(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        with suppress_instrumentation():
            ask(connection, api)
        wait(connection)
        ask(connection, api, max_output_tokens=3)
        wait(connection)

    answers, _ = in_session(instrumented)
    assert [reasons(answer) for answer in answers] == [("length",)]


@every
def test_uninstrumented(telemetry: Telemetry, client: openai.OpenAI, api: str) -> None:
    api_of(client, api)
    module: Any = importlib.import_module(module_of(api))
    names = [name for name in vars(module) if name.endswith("ConnectionManager")]
    assert len(names) == 2

    def methods() -> list[type]:
        return [type(value) for name in names for value in vars(getattr(module, name)).values()]

    before = methods()
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    assert methods() != before
    with connect(client, api) as connection:
        ask(connection, api, "hold")
        wait(connection, "response.created")
        OpenAIInstrumentor().uninstrument()
        assert methods() == before
        lane = {"conversation": "none"} if "realtime" in api else {"stream_id": "two"}
        ask(connection, api, **lane)
        wait(connection)
        wait(connection)
    with connect(client, api) as connection:
        ask(connection, api)
        wait(connection)

    answers, _ = in_session(telemetry)  # which had begun before
    assert [reasons(answer) for answer in answers] == [("stop",)]


@both
def test_not_sampled(server: WebsocketServer, client: openai.OpenAI, api: str) -> None:
    manager = connect(client, api)
    signals = Signals(sampler=ALWAYS_OFF).instrument()
    with thread("t-1"), manager as connection:
        ask(connection, api)
        wait(connection)
    metrics = signals.metrics()
    signals.close()

    assert signals.spans == []
    assert ("gen_ai.client.inference.duration" in metrics) == (api == "responses")


@both
@pytest.mark.parametrize("mode", ["", "EVENT_ONLY"])
def test_events_of_a_session_that_is_not_sampled(
    client: openai.OpenAI, server: WebsocketServer, api: str, mode: str
) -> None:
    manager = connect(client, api)
    signals = Signals(sampler=ALWAYS_OFF)
    OpenAIInstrumentor().instrument(
        tracer_provider=signals.tracer_provider,
        logger_provider=signals.logger_provider,
        capture_content=mode or None,
    )
    with thread("t-1"), manager as connection:
        ask(connection, api)
        wait(connection)
    signals.close()

    assert signals.spans == []
    if not mode or "realtime" in api:
        assert signals.events() == []
    else:
        ((name, told),) = signals.events()
        assert name == "gen_ai.client.inference.operation.details"
        assert told["thread.id"] == "t-1"
        assert "gen_ai.output.messages" in told


def test_metrics(client: openai.OpenAI, server: WebsocketServer) -> None:
    manager = connect(client, "responses")
    signals = Signals().instrument()
    with thread("t-1"), manager as connection:
        ask(connection, "responses")
        wait(connection)
    with connect(client, "realtime") as connection:
        ask(connection, "realtime")
        wait(connection)
    metrics = signals.metrics()
    signals.close()

    tokens = metrics["gen_ai.client.inference.operation.output_tokens"]
    assert {point.attributes["gen_ai.operation.name"]: point.sum for point in tokens} == {
        "chat": 4,
        "realtime_response": 17,
    }
    assert tokens[0].attributes["gen_ai.response.model"] == "gpt-5-mini-2026-08-01"
    durations = metrics["gen_ai.client.operation.duration"]
    assert {point.attributes["gen_ai.operation.name"] for point in durations} == {
        "responses_session",
        "realtime_response",
        "realtime_session",
    }
    (point,) = metrics["gen_ai.client.inference.time_per_output_chunk"]
    assert point.count == 5  # of six events


@both
def test_without_an_sdk(client: openai.OpenAI, server: WebsocketServer, api: str) -> None:
    manager = connect(client, api)
    OpenAIInstrumentor().instrument(tracer_provider=NoOpTracerProvider())
    with thread("t-1"), manager as connection:
        assert type(connection._connection).__module__.startswith("websockets")
        ask(connection, api)
        wait(connection)
    OpenAIInstrumentor().uninstrument()
