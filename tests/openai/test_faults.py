"""Whatever our code does wrong, the caller gets what it would have got, and one log line tells."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer
from support.openai_versions import responses_api
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread
from orq_otel.payloads import chat, embeddings, responses

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]


class Broken(Exception):
    """What our code raises in these tests."""


def broken(*_: Any, **__: Any) -> Any:
    """A function of ours that fails."""
    raise Broken("with content in its text")


def use_everything(client: openai.OpenAI) -> list[Any]:
    """Call every operation in every way; what the caller gets, without ids and times."""
    completions = client.chat.completions
    got: list[Any] = []
    got.append(completions.create(model="m", messages=MESSAGES).choices[0].message.content)
    got.append(
        [
            chunk.choices[0].delta.content
            for chunk in completions.create(model="m", messages=MESSAGES, stream=True)
        ]
    )
    got.append(completions.with_raw_response.create(model="m", messages=MESSAGES).parse().model)
    with completions.with_streaming_response.create(model="m", messages=MESSAGES) as response:
        got.append(len(list(response.iter_lines())))
    if hasattr(client, "responses"):  # an older client has none
        create = client.responses.create
        made = create(model="m", input="x")
        got.append(made.output_text)
        got.append([event.type for event in create(model="m", input="x", stream=True)])
        got.append(client.responses.retrieve(made.id).status)
    got.append(client.embeddings.create(model="e", input="x", dimensions=4).data[0].embedding)
    try:
        completions.create(model="", messages=MESSAGES)
    except openai.BadRequestError as error:
        got.append(error.status_code)
    return got


@pytest.fixture
def bare(client: openai.OpenAI) -> list[Any]:
    """What the caller gets without us."""
    assert not OpenAIInstrumentor().is_instrumented_by_opentelemetry
    return use_everything(client)


#: Everything of ours that runs within a call, by module and name.
PLACES = [
    ("orq_otel.openai.instrumentor", "find"),
    ("orq_otel.openai.instrumentor", "request_fields"),
    ("orq_otel.openai.instrumentor", "start_attributes"),
    ("orq_otel.openai.instrumentor", "current_thread"),
    ("orq_otel.openai.instrumentor", "start_call"),
    ("orq_otel.genai.streams", "StreamProxy"),
    ("orq_otel.openai.instrumentor", "RawResponseProxy"),
    ("orq_otel.openai.instrumentor", "respond_with_body"),
    ("orq_otel.openai.raw", "parse_long_json"),
    ("orq_otel.genai.wrapping", "covers_call"),
    ("orq_otel.genai.wrapping", "is_wrapped"),
    ("orq_otel.genai.wrapping", "set_span_in_context"),
    ("orq_otel.genai.wrapping", "labels"),
    ("orq_otel.genai.call", "put"),
    ("orq_otel.labels.attributes", "put"),
    ("orq_otel.labels.span_processor", "scoped_thread"),
    ("orq_otel.labels.span_processor", "stamp"),
    ("orq_otel.payloads.usage", "fields"),
    ("orq_otel.payloads.chat", "sampling"),
    pytest.param("orq_otel.payloads.responses", "sampling", marks=responses_api),
    ("orq_otel.payloads.chat", "read_completion_usage"),
    pytest.param("orq_otel.payloads.responses", "read_response_usage", marks=responses_api),
]


@pytest.mark.parametrize(("module", "name"), PLACES)
def test_a_function_of_ours_fails(
    bare: list[Any],
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
    name: str,
) -> None:
    # Where a wrapper is imported, every call looks for it on the stack.
    monkeypatch.setitem(sys.modules, "langfuse.openai", ModuleType("langfuse.openai"))
    monkeypatch.setattr(importlib.import_module(module), name, broken)
    tracer = instrumented.provider.get_tracer("own")
    with thread("t-1"), tracer.start_as_current_span("own"):
        assert use_everything(client) == bare

    lines = [record for record in caplog.records if record.name == "orq_otel"]
    assert lines
    assert len({record.getMessage() for record in lines}) == len(lines)  # each place once
    assert all("Broken at test_faults.py" in record.getMessage() for record in lines)
    assert "with content" not in caplog.text
    assert all(record.levelno == logging.WARNING for record in lines)


async def use_everything_async(client: openai.AsyncOpenAI) -> list[Any]:
    """The same with the asynchronous client, where it differs."""
    completions = client.chat.completions
    got: list[Any] = []
    got.append((await completions.create(model="m", messages=MESSAGES)).choices[0].message.content)
    stream = await completions.create(model="m", messages=MESSAGES, stream=True)
    got.append([chunk.choices[0].delta.content async for chunk in stream])
    stream = await completions.create(model="m", messages=MESSAGES, stream=True)
    got.append((await stream.__anext__()).object)
    await stream.close()
    create = completions.with_streaming_response.create
    async with create(model="m", messages=MESSAGES, stream=True) as response:
        got.append(len([line async for line in response.iter_lines()]))
    return got


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("orq_otel.openai.instrumentor", "start_call"),
        ("orq_otel.genai.streams", "AsyncStreamProxy"),
        ("orq_otel.genai.long_json", "parse_json"),
        ("orq_otel.payloads.chat", "StreamReader.feed"),
    ],
)
async def test_a_function_of_ours_fails_in_asynchronous_code(
    instrumented: Telemetry,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
    name: str,
) -> None:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        bare = await use_everything_async(client)
        monkeypatch.setattr(f"{module}.{name}", broken)
        assert await use_everything_async(client) == bare

    assert "Broken at test_faults.py" in caplog.text


@pytest.mark.parametrize(
    ("place", "error_type"),
    [("genai.errors.identifier", "openai.BadRequestError"), ("genai.call.class_name", "_OTHER")],
)
def test_telling_of_an_error_fails(
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
    error_type: str,
) -> None:
    monkeypatch.setattr(f"orq_otel.{place}", broken)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="", messages=MESSAGES)

    assert instrumented.one().status.status_code is StatusCode.ERROR
    assert (instrumented.one().attributes or {})["error.type"] == error_type
    assert "while describing an error" in caplog.text


def test_attributes_that_the_sdk_refuses(
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from opentelemetry.sdk.trace import Span  # noqa: PLC0415

    monkeypatch.setattr(Span, "set_attributes", broken)
    assert client.chat.completions.create(model="m", messages=MESSAGES).choices

    assert instrumented.one().end_time
    assert "Broken at test_faults.py" in caplog.text


READERS = ["read_request", "read_response", "new_stream_reader"]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fails_late", [False, True])
def test_a_reader_fails(
    bare: list[Any],
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reader: str,
    fails_late: bool,
) -> None:
    from orq_otel.openai import instrumentor  # noqa: PLC0415

    class FailingLate:
        def feed(self, chunk: Any) -> None:
            """Goes well."""

        attributes = broken

    real = instrumentor.find
    fault = FailingLate if fails_late else broken
    monkeypatch.setattr(
        instrumentor,
        "find",
        lambda *args: (
            (found := real(*args))
            and found._replace(operation=replace(found.operation, **{reader: fault}))
        ),
    )
    assert use_everything(client) == bare

    # The span is still there, with what the other readers told.
    assert len(instrumented.spans) == len(bare)
    names = {name for span in instrumented.spans for name in (span.attributes or {})}
    assert "gen_ai.request.model" in names
    assert any(record.name == "orq_otel" for record in caplog.records)


class Processor(SpanProcessor):
    """A processor of the host's that fails."""

    def on_end(self, span: ReadableSpan) -> None:
        raise Broken


def test_a_processor_of_the_hosts_fails(bare: list[Any], client: openai.OpenAI) -> None:
    provider = TracerProvider()
    provider.add_span_processor(Processor())
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    try:
        assert use_everything(client) == bare
    finally:
        OpenAIInstrumentor().uninstrument()


ALL_READERS = [
    chat.request_attributes,
    chat.response_attributes,
    responses.request_attributes,
    responses.response_attributes,
    responses.fetched_response_attributes,
    embeddings.request_attributes,
    embeddings.response_attributes,
]


@pytest.mark.parametrize("reader", ALL_READERS, ids=lambda r: f"{r.__module__}.{r.__name__}")
def test_a_reader_of_nothing_says_nothing(reader: Any) -> None:
    assert reader({}) == {}
    assert reader({"unknown": 1, "usage": None, "choices": [], "model": None}) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
PARAMETERS = [
    "temperature", "top_p", "seed", "n", "stop", "max_tokens", "max_completion_tokens",
    "response_format", "modalities", "service_tier", "reasoning_effort", "top_k", "orq",
    "frequency_penalty", "presence_penalty", "conversation", "reasoning", "text", "prompt",
    "previous_response_id", "max_output_tokens",
]  # fmt: skip


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ModelServer]:
    """One server for many examples."""
    with ModelServer() as server:
        yield server


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(extra=st.dictionaries(st.sampled_from(PARAMETERS), JSON, max_size=6))
def test_any_request_gets_what_it_would_have_got(
    instrumented: Telemetry, shared_server: ModelServer, extra: dict[str, Any]
) -> None:
    def outcome() -> Any:
        with openai.OpenAI(api_key="k", base_url=shared_server.base_url, max_retries=0) as client:
            try:
                completion = client.chat.completions.create(
                    model="m", messages=MESSAGES, extra_body=extra
                )
            except Exception as error:  # noqa: BLE001 - compared with the bare client's
                return type(error), str(error)
            return completion.model_dump(exclude={"id", "created"})

    instrumented.take()
    with_us = outcome()
    assert len(instrumented.take()) == 1
    OpenAIInstrumentor().uninstrument()
    try:
        assert outcome() == with_us
    finally:
        OpenAIInstrumentor().instrument(tracer_provider=instrumented.provider)
