"""The log records of a call: what it failed with, and its details where they are asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from opentelemetry._logs import SeverityNumber
from stand_ins.model_server import DropAfter, Fail, Hold, ModelServer
from support.client_versions import is_below
from support.signals import Signals

from orq_otel import OpenAIInstrumentor, thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
DETAILS = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"

Switch = Callable[..., Signals]


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, **more)


def test_an_error_of_the_api_is_a_log_record_of_its_span(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    model_server.script(Fail(429))
    with pytest.raises(openai.RateLimitError):
        ask(client)
    (span,) = signals.spans
    (log,) = signals.logs
    record = log.log_record
    assert span.context is not None
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    assert record.event_name == EXCEPTION
    assert record.severity_number is SeverityNumber.WARN
    stacktrace = record.attributes.pop("exception.stacktrace")
    assert dict(record.attributes) == {
        "exception.type": "openai.RateLimitError",
        "exception.message": span.status.description,
    }
    assert stacktrace.startswith("Traceback (most recent call last):\n  File ")
    assert "in request" in stacktrace
    assert log.instrumentation_scope.name == "orq_otel.openai"
    assert "gen-ai" in log.instrumentation_scope.schema_url


def test_it_carries_the_thread_of_the_call(
    switch_on: Switch, client: openai.OpenAI, model_server: ModelServer
) -> None:
    signals = switch_on()
    model_server.script(DropAfter(1))
    with thread("support-42", tags=["support"]):
        stream = ask(client, stream=True)
    with thread("another"), pytest.raises(Exception):  # noqa: B017, PT011
        list(stream)
    ((_, attributes),) = signals.events()
    assert attributes["thread.id"] == "support-42"
    assert attributes["thread.tags"] == ("support",)
    assert attributes["gen_ai.conversation.id"] == "support-42"


def test_neither_keys_nor_content_reach_it(
    switch_on: Switch, model_server: ModelServer, client: openai.OpenAI
) -> None:
    signals = switch_on()
    model_server.script(Fail(401, message="Incorrect API key provided: sk-test-key."))
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-test-key").chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "a secret of mine"}]
        )
    ((_, attributes),) = signals.events()
    assert attributes["exception.message"] == "Error code: 401 - invalid_request_error"
    assert "sk-test-key" not in str(attributes)
    assert "a secret of mine" not in str(attributes)


async def test_a_cancelled_call_is_told_too(switch_on: Switch, model_server: ModelServer) -> None:
    signals = switch_on()
    hold = Hold()
    model_server.script(hold)
    async with openai.AsyncOpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, max_retries=0
    ) as client:
        task = asyncio.ensure_future(
            client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
        )
        await asyncio.to_thread(hold.reached.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    hold.release()
    ((_, attributes),) = signals.events()
    assert attributes["exception.type"] == "asyncio.exceptions.CancelledError"


def test_a_good_call_has_no_events(switch_on: Switch, client: openai.OpenAI) -> None:
    signals = switch_on()
    ask(client)
    list(ask(client, stream=True))
    assert signals.events() == []


def test_details_tell_what_the_span_tells(
    switch_on: Switch, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    signals = switch_on()
    with thread("support-42", tags=["support"]):
        ask(client, temperature=0.5)
        client.embeddings.create(model="e", input="x")
    ((name, attributes),) = signals.events()
    assert name == DETAILS
    span = signals.spans[0]
    assert attributes == dict(span.attributes or {})
    record = signals.logs[0].log_record
    assert span.context is not None
    assert record.span_id == span.context.span_id


def test_lists_of_values_of_different_types_are_kept(
    switch_on: Switch, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry's SDK dropped them before 1.45, and said so on each call."""
    arguments = {"at": [52, 4.5], "of": [1, "b", None], "in": [{"a": [True, 0]}], "to": [1, 2]}
    asked: Any = {"name": "find", "arguments": json.dumps(arguments)}
    calls: Any = [{"id": "c-1", "type": "function", "function": asked}]
    signals = switch_on(capture_content="EVENT_ONLY")
    client.chat.completions.create(
        model="gpt-5-mini",
        messages=[
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c-1", "content": "found"},
        ],
    )
    (log,) = signals.logs
    (called, _) = log.log_record.attributes["gen_ai.input.messages"]
    (part,) = called["parts"]
    if is_below("opentelemetry-api", "1.45"):
        mixed = {"at": "[52,4.5]", "of": '[1,"b",null]', "in": [{"a": "[true,0]"}]}
        arguments = {**arguments, **mixed}
    assert json.loads(json.dumps(part["arguments"])) == arguments
    assert caplog.messages == []


def test_a_failed_call_has_details_too(
    switch_on: Switch,
    client: openai.OpenAI,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    signals = switch_on()
    model_server.script(Fail(500))
    with pytest.raises(openai.InternalServerError):
        ask(client)
    events = dict(signals.events())
    assert events.keys() == {DETAILS, EXCEPTION}
    assert events[DETAILS]["error.type"] == "openai.InternalServerError"


def test_without_a_logger_provider_there_are_no_events(
    client: openai.OpenAI, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    signals = Signals()
    OpenAIInstrumentor().instrument(tracer_provider=signals.tracer_provider)
    model_server.script(Fail(500))
    with pytest.raises(openai.InternalServerError):
        ask(client)
    signals.close()
    assert len(signals.spans) == 1
    assert signals.logs == []
    assert not caplog.records


def test_an_event_that_fails_leaves_span_and_error_alone(
    switch_on: Switch,
    client: openai.OpenAI,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    signals = switch_on()
    monkeypatch.setattr("orq_otel.genai.events._stack_trace", broken)
    model_server.script(Fail(429))
    with pytest.raises(openai.RateLimitError):
        ask(client)
    assert len(signals.spans) == 1
    (record,) = [one for one in caplog.records if one.name == "orq_otel"]
    assert "RuntimeError" in record.message
