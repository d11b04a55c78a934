"""One trace on both sides of Orq: its own client sends the trace of a call to Orq's hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from stand_ins.orq_api import OrqServer, Request, Status
from support.client_versions import needs
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, OrqInstrumentor, thread

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

ASKED = [{"role": "user", "content": "Where is it?"}]
SwitchOn = Callable[..., Telemetry]


@pytest.fixture
def switch_on(
    api: OrqServer, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SwitchOn]:
    """Switches the instrumentation on, with Orq on loopback. Returns what it records."""

    def switch_on(provider: Any = None, **environment: str) -> Telemetry:
        for name, value in {"ORQ_BASE_URL": api.url, **environment}.items():
            monkeypatch.setenv(name, value)
        OrqInstrumentor().instrument(tracer_provider=provider or telemetry.provider)
        return telemetry

    yield switch_on
    OrqInstrumentor().uninstrument()


def invoke(orq: Any, **more: Any) -> Any:
    return orq.deployments.invoke(key="support", messages=ASKED, **more)


def parent(span: ReadableSpan) -> str:
    """The `traceparent` that makes a span the parent."""
    context = span.context
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def check(request: Request, span: ReadableSpan) -> None:
    assert request.headers["traceparent"] == parent(span)
    assert request.headers["tracestate"] == "orq=1"


def trace_of(request: Request) -> dict[str, str]:
    return {k: v for k, v in request.headers.items() if k in ("traceparent", "tracestate")}


@pytest.mark.parametrize("is_in_thread", [True, False])
def test_a_call_carries_its_trace(
    switch_on: SwitchOn, api: OrqServer, orq: Any, is_in_thread: bool
) -> None:
    telemetry = switch_on()
    with thread("support-42") if is_in_thread else nullcontext():
        invoke(orq)
    check(api.requests[0], telemetry.one())


async def test_every_way_to_call_carries_it(switch_on: SwitchOn, api: OrqServer, orq: Any) -> None:
    telemetry = switch_on()
    list(orq.deployments.stream(key="support", messages=ASKED))
    await orq.deployments.invoke_async(key="support", messages=ASKED)
    events = await orq.deployments.stream_async(key="support", messages=ASKED)
    async for _ in events:
        pass
    orq.deployments.get_config(key="support")
    assert len(api.requests) == len(telemetry.spans) == 4
    for request, span in zip(api.requests, telemetry.spans, strict=True):
        check(request, span)


@needs("orq-ai-sdk", "4.2", "client.router")
def test_the_router_carries_it(switch_on: SwitchOn, api: OrqServer, orq: Any) -> None:
    telemetry = switch_on()
    orq.router.chat.completions.create(model="openai/gpt-5-mini", messages=ASKED)
    check(api.requests[0], telemetry.one())


def test_a_trace_state_that_is_there_is_kept(switch_on: SwitchOn, api: OrqServer, orq: Any) -> None:
    switch_on()
    around = SpanContext(
        1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "x")])
    )
    with trace.use_span(NonRecordingSpan(around)):
        invoke(orq)
    (request,) = api.requests
    assert request.headers["traceparent"].split("-")[1] == f"{1:032x}"
    assert request.headers["tracestate"] == "orq=1,vendor=x"


def test_a_trace_that_the_caller_sends_stays(switch_on: SwitchOn, api: OrqServer, orq: Any) -> None:
    switch_on()
    given = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    invoke(orq, http_headers={"Traceparent": given})
    assert trace_of(api.requests[0]) == {"traceparent": given}


@pytest.mark.parametrize(
    "environment",
    [
        {"ORQ_OTEL_ROUTER_TRACE_CONTEXT": "false"},
        {"ORQ_BASE_URL": "https://orq.example.com"},  # another host than the client's
    ],
    ids=["switched off", "another host"],
)
def test_otherwise_a_call_is_byte_for_byte_what_it_was(
    switch_on: SwitchOn, api: OrqServer, orq: Any, environment: dict[str, str]
) -> None:
    invoke(orq)
    switch_on(**environment)
    invoke(orq)
    before, after = api.requests
    assert (before.headers, before.body) == (after.headers, after.body)


def test_a_call_that_is_not_recorded_carries_nothing(
    switch_on: SwitchOn, api: OrqServer, orq: Any
) -> None:
    invoke(orq)
    switch_on(TracerProvider(sampler=ALWAYS_OFF))
    invoke(orq)
    before, after = api.requests
    assert (before.headers, before.body) == (after.headers, after.body)


def test_with_a_trace_only_its_headers_are_new(
    switch_on: SwitchOn, api: OrqServer, orq: Any
) -> None:
    invoke(orq)
    switch_on()
    invoke(orq)
    before, after = api.requests
    assert before.body == after.body
    assert {**before.headers, **trace_of(after)} == after.headers


@needs("orq-ai-sdk", "4.2", "client.router")
def test_retries_carry_the_same_trace(switch_on: SwitchOn, api: OrqServer, orq: Any) -> None:
    from orq_ai_sdk.utils import BackoffStrategy, RetryConfig  # noqa: PLC0415

    telemetry = switch_on()
    api.faults.append(Status(503, retry_after=0))
    orq.router.chat.completions.create(
        model="openai/gpt-5-mini",
        messages=ASKED,
        retries=RetryConfig("backoff", BackoffStrategy(1, 1, 1.0, 60_000), False),
    )
    assert len(api.requests) == 2
    for request in api.requests:
        check(request, telemetry.one())


def test_an_instrumented_http_client_is_in_the_same_trace(
    switch_on: SwitchOn, api: OrqServer, orq: Any
) -> None:
    telemetry = switch_on()
    HTTPXClientInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=api.url) as client:
            invoke(client)
    finally:
        HTTPXClientInstrumentor().uninstrument()
    inner, outer = telemetry.spans
    assert (inner.name, outer.name) == ("POST", "chat")
    assert inner.parent is not None
    assert inner.parent == outer.context
    check(api.requests[0], inner)


# ---- Orq's own decorator ----------------------------------------------------------------------


@pytest.fixture
def traced(api: OrqServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Orq's `@traced` without a global provider; in the end, its patch of httpx is undone."""
    traced = pytest.importorskip("orq_ai_sdk.traced")
    monkeypatch.setenv("ORQ_API_KEY", "orq-test-key")
    monkeypatch.setenv("ORQ_API_URL", api.url)
    for kind in (httpx.Client, httpx.AsyncClient):
        monkeypatch.setattr(kind, "send", kind.send)
    if find_spec("orq_ai_sdk.traced.http_propagation"):
        monkeypatch.setattr("orq_ai_sdk.traced.http_propagation._INSTALLED", False)
    monkeypatch.setattr("orq_ai_sdk.traced.config._config", None)
    # Other tests may have set a provider, which can be done only once.
    monkeypatch.setattr("orq_ai_sdk.traced.otel_integration.OTEL_AVAILABLE", False)
    yield traced
    from orq_ai_sdk.traced import client  # noqa: PLC0415

    if client._client is not None:
        client._client.shutdown()
        client._client = None


@needs("orq-ai-sdk", "4.17", "the patch of httpx")
@pytest.mark.parametrize("comes_first", ["traced", "ours"])
def test_the_clients_own_decorator(
    switch_on: SwitchOn, traced: Any, api: OrqServer, orq: Any, comes_first: str
) -> None:
    telemetry = switch_on() if comes_first == "ours" else None

    @traced.traced
    def work() -> None:
        invoke(orq)

    if comes_first == "traced":
        work()  # which patches httpx, though not in the pre-releases of 4.18
        if find_spec("orq_ai_sdk.traced.http_propagation"):
            assert "traceparent" in api.requests[0].headers
        telemetry = switch_on()
        api.requests.clear()
    work()
    assert telemetry is not None
    (request,) = [one for one in api.requests if one.operation == "deployments.invoke"]
    check(request, telemetry.one())


def test_a_decorated_function_of_orqs_is_in_the_thread(
    switch_on: SwitchOn, traced: Any, api: OrqServer
) -> None:
    @traced.traced(attributes={"thread.tags": "mine"})
    def work() -> None:
        """Nothing."""

    work()
    switch_on()
    with thread("support-42", tags=["vip"]):
        work()
    OrqInstrumentor().uninstrument()
    with thread("support-43"):
        work()
    first, second, third = (span for one in api.requests for span in one.json["spans"])
    assert "orq.thread_id" not in {**first["attributes"], **third["attributes"]}
    attributes = second["attributes"]
    assert attributes["thread.id"] == attributes["orq.thread_id"] == "support-42"
    assert attributes["thread.tags"] == "mine"
    assert attributes["orq.tags"] == '["vip"]'


def test_no_thread_is_on_such_spans_where_none_goes_to_orq(
    switch_on: SwitchOn, traced: Any, api: OrqServer
) -> None:
    switch_on(ORQ_OTEL_ROUTER_THREAD="none")
    with thread("support-42"):
        traced.traced(lambda: None)()
    assert b"support-42" not in b"".join(request.body for request in api.requests)


# ---- docs/orq.md ------------------------------------------------------------------------------


@needs("orq-ai-sdk", "4.2", "client.router")
def test_the_example(switch_on: SwitchOn, api: OrqServer) -> None:
    pytest.importorskip("openai")
    page = (Path(__file__).parents[2] / "docs" / "orq.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    telemetry = switch_on()
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    names: dict[str, Any] = {"key": "orq-test-key", "url": api.url, "messages": ASKED}
    try:
        exec(compile(code, "docs/orq.md", "exec"), names)
    finally:
        OpenAIInstrumentor().uninstrument()
        names["router"].close()
    for request, span in zip(api.requests, telemetry.spans, strict=True):
        check(request, span)
    (on_orqs_side,) = api.threads.values()
    assert (on_orqs_side.id, on_orqs_side.tags) == ("support-42", ["vip"])
    assert len(on_orqs_side.requests) == 2
