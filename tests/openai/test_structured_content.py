"""Content on spans as structured values instead of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry import version
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from support.client_versions import needs
from support.signals import Signals

from orq_otel import thread

WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"a": [1, None]}}}
MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]},
]

structures = needs("opentelemetry-api", "1.45", "structured attributes of spans")


@pytest.fixture(autouse=True)
def structured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch it on."""
    monkeypatch.setenv("ORQ_OTEL_STRUCTURED_CONTENT", "true")
    monkeypatch.setenv("ORQ_OTEL_TOOL_SCHEMAS", "true")


@pytest.fixture
def signals() -> Iterator[Signals]:
    """An instrumented client with content everywhere."""
    signals = Signals().instrument(capture_content="SPAN_AND_EVENT")
    yield signals
    signals.close()


def ask(client: openai.OpenAI, **more: Any) -> Any:
    with thread("support-42", tags=["support"]):
        return client.chat.completions.create(model="m", messages=MESSAGES, tools=[WEATHER], **more)


@structures
@pytest.mark.parametrize("stream", [False, True])
def test_spans_have_what_events_have(signals: Signals, client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, stream=stream)
    if stream:
        list(answer)
    (span,) = signals.spans
    told: dict[str, Any] = dict(span.attributes or {})
    ((_, event),) = signals.events()
    assert told == event
    assert told["gen_ai.input.messages"] == (
        {"role": "system", "parts": ({"type": "text", "content": "Be brief."},)},
        {"role": "user", "parts": ({"type": "text", "content": "Where is it?"},)},
    )
    assert told["gen_ai.tool.definitions"] == (
        {"type": "function", "name": "weather", "parameters": {"a": (1, None)}},
    )
    assert told["thread.tags"] == ("support",)
    assert told["gen_ai.output.messages"][0]["role"] == "assistant"


@structures
def test_they_can_be_exported(signals: Signals, client: openai.OpenAI) -> None:
    ask(client)
    (resource,) = encode_spans(signals.spans).resource_spans
    (span,) = resource.scope_spans[0].spans
    sent = {one.key: one.value for one in span.attributes}
    message = sent["gen_ai.input.messages"].array_value.values[1].kvlist_value
    assert [one.key for one in message.values] == ["role", "parts"]


@structures
def test_the_limit_of_the_sdk_holds_for_each_text(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    signals = Signals().instrument(capture_content=True)
    ask(client)
    signals.close()
    messages = (signals.spans[0].attributes or {})["gen_ai.input.messages"]
    assert messages[0]["parts"][0]["content"] == "Be br"  # type: ignore[index,call-overload]


def test_an_older_opentelemetry_has_json(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(version, "__version__", "1.44.0")
    signals = Signals().instrument(capture_content=True)
    ask(client)
    signals.close()
    told = json.loads(str((signals.spans[0].attributes or {})["gen_ai.input.messages"]))
    assert told[0]["parts"] == [{"type": "text", "content": "Be brief."}]
    (line,) = caplog.messages
    assert line.startswith("ORQ_OTEL_STRUCTURED_CONTENT needs OpenTelemetry 1.45, and 1.44.0 is")
    assert line.endswith("[ORQ-S05]")
