"""Content beyond a limit: of ours, or of the SDK's for attributes."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orq_otel import OpenAIInstrumentor, thread

CONTENT = ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages")
QUESTION = "Where is my parcel?"


def instrumented(**limits: Any) -> InMemorySpanExporter:
    """An instrumented client, whose spans have these limits."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(**limits) if limits else None)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider, capture_content=True)
    return exporter


def ask(client: openai.OpenAI, *history: Any, stream: bool = False) -> Any:
    """Ask a question at the end of a conversation. The answer repeats it."""
    messages: Any = [*history, {"role": "user", "content": QUESTION}]
    with thread("support-42"):
        answer = client.chat.completions.create(model="m", messages=messages, stream=stream)
        return list(answer) if stream else answer


def content(span: ReadableSpan) -> dict[str, Any]:
    """The content of a span."""
    return {
        name: json.loads(str(value))
        for name, value in (span.attributes or {}).items()
        if name in CONTENT
    }


LONG = [{"role": "system", "content": 'say "s" ' * 800}, {"role": "user", "content": "u\n" * 3000}]


@pytest.mark.parametrize("length", [100, 255, 2048, 4095, 12000])
@pytest.mark.parametrize("how", ["all attributes", "of spans", "in code", "of spans, in code"])
def test_json_fits_the_limits_of_the_sdk(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, length: int, how: str
) -> None:
    limits = {}
    if how == "all attributes":
        monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", str(length))
    elif how == "of spans":
        monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "50")
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", str(length))
    elif how == "in code":
        limits = {"max_attribute_length": length}
    else:
        limits = {"max_span_attribute_length": length, "max_attribute_length": 50}
    exporter = instrumented(**limits)
    ask(client, *LONG)
    ask(client, *LONG, stream=True)
    OpenAIInstrumentor().uninstrument()

    for span in exporter.get_finished_spans():
        told = content(span)
        assert told.keys() == {"gen_ai.input.messages", "gen_ai.output.messages"}
        assert all(len(str((span.attributes or {})[name])) <= length for name in told)
        if length > 100:
            (part,) = told["gen_ai.input.messages"][-1]["parts"]
            assert part == {"type": "text", "content": QUESTION}


def test_what_fits_in_no_way_is_left_out(client: openai.OpenAI) -> None:
    exporter = instrumented(max_span_attribute_length=1)
    ask(client)
    OpenAIInstrumentor().uninstrument()
    (span,) = exporter.get_finished_spans()
    assert content(span) == {}


def test_events_do_not_have_the_limits_of_spans(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.signals import Signals  # noqa: PLC0415 - the limits are read when providers are made

    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1000")
    signals = Signals().instrument(capture_content="SPAN_AND_EVENT")
    ask(client, *LONG)
    signals.close()
    (span,) = signals.spans
    assert len(str((span.attributes or {})["gen_ai.input.messages"])) <= 1000
    ((_, event),) = signals.events()
    said = [one["parts"][0]["content"] for one in event["gen_ai.input.messages"]]
    assert said == [LONG[0]["content"], LONG[1]["content"], QUESTION]


def test_a_message_is_the_same_text_in_every_request(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_CONTENT_MAX_LENGTH", "2000")
    exporter = instrumented()
    history: list[Any] = []
    for number in range(12):
        history.append({"role": "user", "content": f"{number} " + "word " * (50 * number)})
        ask(client, *history)
    OpenAIInstrumentor().uninstrument()

    texts: dict[str, set[str]] = {}
    for span in exporter.get_finished_spans():
        *before, question = content(span)["gen_ai.input.messages"]
        assert question["parts"][0]["content"] == QUESTION
        if before and before[0]["parts"][0]["content"].endswith(" items cut]"):
            note = before.pop(0)
            left_out = int(note["parts"][0]["content"][1:].split()[0])
            assert left_out + len(before) <= 12
        for one in before:
            text = one["parts"][0]["content"]
            texts.setdefault(text.split()[0], set()).add(text)
    assert texts.keys() == {str(number) for number in range(12)}
    assert all(len(one) == 1 for one in texts.values())
    assert any(text.endswith(" characters cut]") for one in texts.values() for text in one)
