"""Calls of Orq's Deployments through the real client, against a stand-in server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import orq_server
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode
from recorded import Telemetry

from orq_otel import OpenAIInstrumentor, OrqInstrumentor, configure, thread

pytestmark = pytest.mark.filterwarnings("default")  # the client's own
orq_ai_sdk = pytest.importorskip("orq_ai_sdk")


@pytest.fixture
def server() -> Iterator[Any]:
    """Orq's API on loopback."""
    with orq_server.OrqServer() as running:
        yield running


@pytest.fixture
def orq(server: Any) -> Iterator[Any]:
    """A real client of that API."""
    with orq_ai_sdk.Orq(api_key="orq-key", server_url=server.url) as client:
        yield client


@pytest.fixture
def instrumented(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Spans of the Orq client, in memory."""
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    yield telemetry
    OrqInstrumentor().uninstrument()


def expected(server: Any) -> dict[str, Any]:
    """The attributes of every answered call."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "orq",
        "gen_ai.prompt.name": "support",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "gen_ai.response.id": orq_server.ANSWER["id"],
        "gen_ai.response.model": "gpt-5-mini",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }


LABELS = {"thread.id": "t-1", "orq.thread_id": "t-1", "gen_ai.conversation.id": "t-1"}


def test_invoke(instrumented: Telemetry, orq: Any, server: Any) -> None:
    with thread("t-1"):
        answer = orq.deployments.invoke(key="support")

    assert answer.choices[0].message.content == "It is on its way."
    span = instrumented.one()
    assert (span.name, span.kind) == ("chat", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {**expected(server), **LABELS}


def test_stream(instrumented: Telemetry, orq: Any, server: Any) -> None:
    stream = orq.deployments.stream(key="support")
    assert instrumented.spans == []
    assert len(list(stream)) == len(orq_server.EVENTS)

    told = dict(instrumented.one().attributes or {})
    assert told.pop("gen_ai.response.time_to_first_chunk") > 0
    assert told == {**expected(server), "gen_ai.request.stream": True}


def test_a_stream_that_is_broken_off(instrumented: Telemetry, orq: Any) -> None:
    with orq.deployments.stream(key="support") as stream:
        next(stream)

    assert instrumented.one().status.status_code is StatusCode.UNSET


async def test_the_asynchronous_methods(instrumented: Telemetry, orq: Any, server: Any) -> None:
    await orq.deployments.invoke_async(key="support")
    assert dict(instrumented.take()[0].attributes or {}) == expected(server)

    async with await orq.deployments.stream_async(key="support") as stream:
        assert [event async for event in stream]
    assert instrumented.one().name == "chat"


def test_a_thread_in_the_call_wins(instrumented: Telemetry, orq: Any, server: Any) -> None:
    with thread("t-1"):
        orq.deployments.invoke(key="support", thread={"id": "t-2", "tags": ["x"]})

    told = instrumented.one().attributes or {}
    assert told["thread.id"] == "t-2"
    assert told["thread.tags"] == ("x",)
    assert server.requests[0][1]["thread"] == {"id": "t-2", "tags": ["x"]}


def test_an_error_of_the_api(instrumented: Telemetry, orq: Any) -> None:
    with pytest.raises(orq_ai_sdk.models.OrqError) as raised:
        orq.deployments.invoke(key="missing")

    span = instrumented.one()
    kind = type(raised.value)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Error code: 404"
    assert (span.attributes or {})["error.type"] == f"{kind.__module__}.{kind.__qualname__}"
    assert "my secret" not in span.to_json()


def test_uninstrumented(telemetry: Telemetry, orq: Any) -> None:
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    OrqInstrumentor().uninstrument()
    orq.deployments.invoke(key="support")

    assert telemetry.spans == []
    deployments = sys.modules["orq_ai_sdk.deployments"].Deployments
    assert not hasattr(deployments.invoke, "__wrapped__")


def test_suppressed(instrumented: Telemetry, orq: Any) -> None:
    with suppress_instrumentation():
        assert orq.deployments.invoke(key="support")

    assert instrumented.spans == []


@pytest.mark.parametrize("place", ["start_call", "stream_proxy"])
def test_a_function_of_ours_fails(
    instrumented: Telemetry,
    orq: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(f"orq_otel.orq.instrumentor.{place}", broken)
    assert orq.deployments.invoke(key="support").model == "gpt-5-mini"
    assert len(list(orq.deployments.stream(key="support"))) == len(orq_server.EVENTS)

    assert "orq-otel failed" in caplog.text


def test_configure_switches_on_both_instrumentors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    handle = configure()
    on = [kind().is_instrumented_by_opentelemetry for kind in (OpenAIInstrumentor, OrqInstrumentor)]
    handle.shutdown()

    assert on == [True, True]
    assert not OpenAIInstrumentor().is_instrumented_by_opentelemetry
    assert not OrqInstrumentor().is_instrumented_by_opentelemetry
