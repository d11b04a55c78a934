"""Spans of the HTTP client are children of the call's span, one for each attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from stand_ins.model_server import Fail, ModelServer
from support.recorded import Telemetry

from orq_otel import thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]

# Newer clients come with httpx2, and say that they take httpx for the time being.
pytestmark = pytest.mark.filterwarnings("ignore:.*httpx.*")


@pytest.fixture
def traced(instrumented: Telemetry) -> Iterator[Telemetry]:
    """Instrumentations of both clients, ours and that of httpx."""
    HTTPXClientInstrumentor().instrument(tracer_provider=instrumented.provider)
    yield instrumented
    HTTPXClientInstrumentor().uninstrument()


def check(telemetry: Telemetry, attempts: int) -> None:
    """One model span, and as many HTTP spans within it, all in the thread."""
    *inner, outer = telemetry.spans
    assert outer.name == "chat gpt-5-mini"
    assert [span.name for span in inner] == ["POST"] * attempts
    for span in inner:
        assert span.parent is not None
        assert outer.context is not None
        assert span.parent.span_id == outer.context.span_id
    for span in telemetry.spans:
        assert thread_of(span) == "support-42"


def thread_of(span: ReadableSpan) -> Any:
    return (span.attributes or {}).get("thread.id")


def test_a_call_and_its_retries(traced: Telemetry, model_server: ModelServer) -> None:
    model_server.script(Fail(500), Fail(429))
    with openai.OpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, http_client=httpx.Client()
    ) as client:
        quick = client.with_options(max_retries=2)
        quick._calculate_retry_timeout = lambda *_: 0.0  # type: ignore[method-assign]
        with thread("support-42"):
            quick.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    check(traced, attempts=3)


def test_a_stream(traced: Telemetry, model_server: ModelServer) -> None:
    with openai.OpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, http_client=httpx.Client()
    ) as client:
        with thread("support-42"):
            stream = client.chat.completions.create(
                model="gpt-5-mini", messages=MESSAGES, stream=True
            )
        list(stream)
    check(traced, attempts=1)


async def test_an_asynchronous_call(traced: Telemetry, model_server: ModelServer) -> None:
    async with openai.AsyncOpenAI(
        api_key="sk-test-key", base_url=model_server.base_url, http_client=httpx.AsyncClient()
    ) as client:
        with thread("support-42"):
            await client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    check(traced, attempts=1)


def test_a_router_gets_the_span_of_the_http_client_as_its_parent(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orq_otel import OpenAIInstrumentor  # noqa: PLC0415

    url = f"{model_server.url}/v3/router"
    monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", url)
    HTTPXClientInstrumentor().instrument(tracer_provider=telemetry.provider)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with openai.OpenAI(
            api_key="sk-test-key", base_url=url, http_client=httpx.Client()
        ) as client:
            client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    finally:
        OpenAIInstrumentor().uninstrument()
        HTTPXClientInstrumentor().uninstrument()
    inner, _ = telemetry.spans
    assert inner.context is not None
    (request,) = model_server.requests
    assert request.headers["traceparent"].split("-")[2] == f"{inner.context.span_id:016x}"
    assert request.headers["tracestate"] == "orq=1"
