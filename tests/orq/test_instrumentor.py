"""Calls of Orq's client behave as they would without us, and end one span, whatever happens."""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from stand_ins.orq_api import Body, EarlyClose, ErrorEvent, Hang, Malformed, OrqServer, Status
from support.client_versions import needs
from support.recorded import Telemetry

from orq.cases import CLIENT
from orq_otel import OpenAIInstrumentor, OrqInstrumentor, bind, configure, thread

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own
orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

ASKED = [{"role": "user", "content": "Where is my parcel?"}]
#: What a stream of the answer to that consists of: its words, and the end.
EVENTS = 7


def invoke(orq: Any, **more: Any) -> Any:
    return orq.deployments.invoke(key="support", messages=ASKED, **more)


def stream(orq: Any, **more: Any) -> Any:
    return orq.deployments.stream(key="support", messages=ASKED, **more)


def read_stream(orq: Any, **more: Any) -> Any:
    return list(stream(orq, **more))


async def invoke_async(orq: Any, **more: Any) -> Any:
    return await orq.deployments.invoke_async(key="support", messages=ASKED, **more)


async def read_stream_async(orq: Any, **more: Any) -> Any:
    events = await orq.deployments.stream_async(key="support", messages=ASKED, **more)
    return [event async for event in events]


def status(span: ReadableSpan) -> StatusCode:
    return span.status.status_code


def qualified(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def description(error: BaseException) -> Any:
    """All that a caller sees of an error, but for ids, which differ from call to call."""
    told = {name: getattr(error, name, None) for name in ("status_code", "body", "message")}
    texts = re.sub(r"[0-9A-Fa-f]{6,}", "id", f"{error} {told}")
    return type(error), texts, type(error.__cause__)


def raised(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is compared
        call()
    return caught.value


# Errors.

FAULTS = {
    "401": Status(401, "my secret"),
    "404": Status(404, "my secret"),
    "429": Status(429, "my secret", retry_after=0),
    "500": Status(500, "my secret"),
    "500 without JSON": Body(b"my secret", 500, "text/plain"),
    "JSON that breaks off": Malformed(),
    "JSON of another kind": Body({"my": "secret"}),
    "text": Body(b"my secret", content_type="text/plain"),
    "hung up before the head": EarlyClose(),
    "hung up in the body": EarlyClose(after=2),
    "no answer in time": Hang(),
}
faults = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
ways = pytest.mark.parametrize("call", [invoke, read_stream])
async_ways = pytest.mark.parametrize("call", [invoke_async, read_stream_async])


def limited(fault: Any) -> dict[str, Any]:
    """Arguments that end a call whose answer does not come."""
    return {"timeout_ms": 500} if isinstance(fault, Hang) else {}


@ways
@faults
def test_errors_are_what_they_are_without_us(
    telemetry: Telemetry, orq: Any, api: OrqServer, call: Callable[..., Any], fault: Any
) -> None:
    api.faults += [fault, fault]
    without = raised(lambda: call(orq, **limited(fault)))
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        error = raised(lambda: call(orq, **limited(fault)))
    finally:
        OrqInstrumentor().uninstrument()

    assert description(error) == description(without)
    span = telemetry.one()
    assert status(span) is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == qualified(error)
    code = getattr(error, "status_code", None)
    assert span.status.description == (f"Error code: {code}" if code else None)
    assert "my secret" not in span.to_json()


@async_ways
@faults
async def test_errors_of_asynchronous_calls(
    telemetry: Telemetry, orq: Any, api: OrqServer, call: Callable[..., Any], fault: Any
) -> None:
    api.faults += [fault, fault]
    with pytest.raises(Exception) as without:  # noqa: PT011 - which one is compared
        await call(orq, **limited(fault))
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await call(orq, **limited(fault))
    finally:
        OrqInstrumentor().uninstrument()

    assert description(caught.value) == description(without.value)
    span = telemetry.one()
    assert status(span) is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == qualified(caught.value)
    assert "my secret" not in span.to_json()


def test_a_refused_connection(telemetry: Telemetry) -> None:
    with OrqServer() as server:
        closed = server.url
    with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=closed) as client:
        without = raised(lambda: invoke(client))
        OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
        try:
            error = raised(lambda: invoke(client))
        finally:
            OrqInstrumentor().uninstrument()

    assert description(error) == description(without)
    assert (telemetry.one().attributes or {})["error.type"] == "httpx.ConnectError"


def test_arguments_that_the_client_refuses(telemetry: Telemetry, orq: Any) -> None:
    wrong = {"messages": 5, "inputs": [1], "extra_params": "x", "thread": {"id": 5}}
    without = raised(lambda: orq.deployments.invoke(key=None, **wrong))
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    try:
        error = raised(lambda: orq.deployments.invoke(key=None, **wrong))
    finally:
        OrqInstrumentor().uninstrument()

    assert description(error) == description(without)
    assert status(telemetry.one()) is StatusCode.ERROR


@pytest.mark.parametrize("fault", [ErrorEvent(2, "my secret"), Malformed(2), EarlyClose(2)])
def test_a_stream_that_fails_on_its_way(
    telemetry: Telemetry, orq: Any, api: OrqServer, fault: Any
) -> None:
    def read() -> tuple[list[Any], Exception]:
        seen: list[Any] = []
        with stream(orq) as events:
            error = raised(lambda: seen.extend(map(said, events)))
        return seen, error

    def said(event: Any) -> Any:
        return event.data.choices[0].message.content

    api.faults += [fault, fault]
    before, without = read()
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        seen, error = read()
    finally:
        OrqInstrumentor().uninstrument()

    assert seen == before == ["You ", "said: "]
    assert description(error) == description(without)
    span = telemetry.one()
    attributes = span.attributes or {}
    assert status(span) is StatusCode.ERROR
    assert attributes["error.type"] == qualified(error)
    assert attributes["gen_ai.response.model"] == "gpt-5-mini"
    assert "my secret" not in span.to_json()


@needs("orq-ai-sdk", "4.2", "client.router and retries of Deployments")
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_retries_are_one_call(
    instrumented: Telemetry, orq: Any, api: OrqServer, *, is_streamed: bool
) -> None:
    from orq_ai_sdk.utils import BackoffStrategy, RetryConfig  # noqa: PLC0415

    api.faults += [Status(429, retry_after=0), Status(429, retry_after=0)]
    backoff = BackoffStrategy(
        initial_interval=1, max_interval=2, exponent=1.0, max_elapsed_time=10_000
    )
    with thread("t-1"):
        result = orq.router.chat.completions.create(
            model="gpt-5-mini",
            messages=ASKED,
            stream=is_streamed,
            retries=RetryConfig("backoff", backoff, retry_connection_errors=False),
        )
    if is_streamed:
        list(result)

    assert [request.json["orq"]["thread"] for request in api.requests] == [{"id": "t-1"}] * 3
    span = instrumented.one()
    assert status(span) is StatusCode.UNSET
    assert (span.attributes or {})["gen_ai.response.model"] == "gpt-5-mini"


# Streams that are not read to their end.


def test_a_stream_whose_block_is_left(instrumented: Telemetry, orq: Any) -> None:
    with stream(orq) as events:
        next(events)
        assert instrumented.spans == []

    assert status(instrumented.one()) is StatusCode.UNSET


def test_a_stream_whose_block_fails(instrumented: Telemetry, orq: Any) -> None:
    with pytest.raises(ZeroDivisionError), stream(orq):
        _ = 1 / 0

    assert len(instrumented.spans) == 1


def test_a_stream_can_be_closed_only_where_the_clients_can(telemetry: Telemetry, orq: Any) -> None:
    bare = orq.deployments.stream(key="support")
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with orq.deployments.stream(key="support") as events:
            assert hasattr(events, "close") == hasattr(bare, "close") == (CLIENT >= (4, 13))
    finally:
        OrqInstrumentor().uninstrument()
        list(bare)


@needs("orq-ai-sdk", "4.13", "streams that can be closed")
async def test_a_stream_that_is_closed(instrumented: Telemetry, orq: Any) -> None:
    events = stream(orq)
    next(events)
    events.close()
    assert status(instrumented.take()[0]) is StatusCode.UNSET
    assert list(events) == []

    events = await orq.deployments.stream_async(key="support", messages=ASKED)
    await anext(events)
    await events.close()
    assert status(instrumented.one()) is StatusCode.UNSET


def test_a_stream_ends_once(instrumented: Telemetry, orq: Any) -> None:
    with stream(orq) as events:
        assert len(list(events)) == EVENTS
        assert len(instrumented.spans) == 1
        assert list(events) == []
    del events
    gc.collect()

    assert len(instrumented.spans) == 1


def test_a_stream_that_is_abandoned(instrumented: Telemetry, orq: Any) -> None:
    events = stream(orq)
    next(events)
    del events
    gc.collect()

    span = instrumented.one()
    assert status(span) is StatusCode.UNSET
    assert (span.attributes or {})["gen_ai.response.model"] == "gpt-5-mini"


async def test_an_asynchronous_stream_that_is_abandoned(instrumented: Telemetry, orq: Any) -> None:
    events = await orq.deployments.stream_async(key="support", messages=ASKED)
    await anext(events)
    del events
    gc.collect()

    assert status(instrumented.one()) is StatusCode.UNSET


async def test_an_asynchronous_stream_whose_block_is_left(
    instrumented: Telemetry, orq: Any
) -> None:
    async with await orq.deployments.stream_async(key="support", messages=ASKED) as events:
        await anext(events)
        assert instrumented.spans == []

    assert status(instrumented.one()) is StatusCode.UNSET


def test_a_stream_is_what_the_client_hands_out(telemetry: Telemetry, orq: Any) -> None:
    with stream(orq) as without:
        pass
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with stream(orq) as events:
            assert type(without) is events.__class__
            assert isinstance(events, type(without))
            assert events.response.status_code == 200
            assert iter(events) is not None
    finally:
        OrqInstrumentor().uninstrument()


# Cancellation.


@pytest.mark.parametrize("after", [None, 2], ids=["before the answer", "in the stream"])
async def test_a_cancelled_call(
    instrumented: Telemetry, orq: Any, api: OrqServer, after: int | None
) -> None:
    hang = Hang(after=after)
    api.faults.append(hang)
    task = asyncio.ensure_future(read_stream_async(orq) if after else invoke_async(orq))
    assert await asyncio.to_thread(hang.reached.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    span = instrumented.one()
    assert status(span) is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"


# Threads.


async def test_two_threads_in_tasks_do_not_mix(
    instrumented: Telemetry, orq: Any, api: OrqServer
) -> None:
    async def ask(name: str) -> None:
        with thread(name, tags=[f"{name}-tag"]):
            await orq.deployments.invoke_async(key=name)
            async for _ in await orq.deployments.stream_async(key=name):
                await asyncio.sleep(0)

    await asyncio.gather(*(ask(f"t-{number}") for number in range(8)))
    assert_not_mixed(instrumented, api, 16)


def test_two_threads_in_a_pool_do_not_mix(
    instrumented: Telemetry, orq: Any, api: OrqServer
) -> None:
    def ask(name: str) -> None:
        orq.deployments.invoke(key=name)
        list(orq.deployments.stream(key=name))

    with ThreadPoolExecutor(4) as pool:
        for number in range(8):
            with thread(f"t-{number}", tags=[f"t-{number}-tag"]):
                pool.submit(bind(ask), f"t-{number}")

    assert_not_mixed(instrumented, api, 16)


def assert_not_mixed(telemetry: Telemetry, api: OrqServer, calls: int) -> None:
    """Each call has the thread of its own name, on the wire and on the span."""
    assert len(telemetry.spans) == len(api.requests) == calls
    for request in api.requests:
        name = request.json["key"]
        assert request.json["thread"] == {"id": name, "tags": [f"{name}-tag"]}
    for span in telemetry.spans:
        told = span.attributes or {}
        name = told["gen_ai.prompt.name"]
        assert (told["thread.id"], told["thread.tags"]) == (name, (f"{name}-tag",))


def test_a_call_that_is_not_sampled_still_has_its_thread(
    telemetry: Telemetry, orq: Any, api: OrqServer
) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(telemetry.exporter))
    OrqInstrumentor().instrument(tracer_provider=provider)
    try:
        with thread("t-1", tags=["a"]):
            assert invoke(orq).model == "gpt-5-mini"
            assert len(read_stream(orq)) == EVENTS
    finally:
        OrqInstrumentor().uninstrument()

    told = [request.json["thread"] for request in api.requests]
    assert told == [{"id": "t-1", "tags": ["a"]}] * 2
    assert telemetry.spans == []


def test_an_id_that_has_no_utf8(instrumented: Telemetry, orq: Any, api: OrqServer) -> None:
    with thread("half-\ud800", tags=["\udfff", "whole"]):
        invoke(orq)

    assert api.requests[0].json["thread"] == {"id": "half-?", "tags": ["?", "whole"]}
    told = instrumented.one().attributes or {}
    assert (told["thread.id"], told["thread.tags"]) == ("half-?", ("?", "whole"))


def test_a_setting_keeps_threads_out_of_requests(
    telemetry: Telemetry, orq: Any, api: OrqServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_ROUTER_THREAD", "none")
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with thread("t-1"):
            invoke(orq)
    finally:
        OrqInstrumentor().uninstrument()

    assert "thread" not in api.requests[0].json
    assert (telemetry.one().attributes or {})["thread.id"] == "t-1"


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_the_default_port_of_a_server(
    instrumented: Telemetry, orq: Any, scheme: str, port: int
) -> None:
    # A name that is none, by RFC 6761.
    with pytest.raises(httpx.ConnectError):
        invoke(orq, server_url=f"{scheme}://orq.invalid")

    attributes = instrumented.one().attributes or {}
    assert attributes["server.address"] == "orq.invalid"
    assert attributes["server.port"] == port


# Switching on and off.


def test_uninstrumented(telemetry: Telemetry, orq: Any, api: OrqServer) -> None:
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    OrqInstrumentor().uninstrument()
    with thread("t-1"):
        invoke(orq)

    assert telemetry.spans == []
    assert "thread" not in api.requests[0].json
    assert not hasattr(type(orq.deployments).invoke, "__wrapped__")


def test_suppressed(instrumented: Telemetry, orq: Any) -> None:
    with suppress_instrumentation():
        assert invoke(orq)
        assert len(read_stream(orq)) == EVENTS

    assert instrumented.spans == []


@pytest.mark.parametrize(
    "place", ["start_call", "stream_proxy", "with_thread", "server_attributes"]
)
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
    with thread("t-1"):
        assert invoke(orq).model == "gpt-5-mini"
        assert len(read_stream(orq)) == EVENTS

    assert len([one for one in caplog.records if "called by orq-otel" in one.message]) == 1


def test_configure_switches_on_both_instrumentors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    handle = configure()
    on = [kind().is_instrumented_by_opentelemetry for kind in (OpenAIInstrumentor, OrqInstrumentor)]
    handle.shutdown()

    assert on == [True, True]
    assert not OpenAIInstrumentor().is_instrumented_by_opentelemetry
    assert not OrqInstrumentor().is_instrumented_by_opentelemetry


LOADED = """
import sys
{before}
assert not [name for name in sys.modules if name.startswith("orq_ai_sdk")]
from orq_ai_sdk import Orq
Orq(api_key="orq-test-key")
print(*sorted(name for name in sys.modules if name.startswith("orq_ai_sdk")))
"""
INSTRUMENTED = "from orq_otel import OrqInstrumentor\nOrqInstrumentor().instrument()"


def test_no_module_of_the_client_is_imported_for_us() -> None:
    def loaded(before: str) -> str:
        program = LOADED.format(before=before)
        return subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout

    without = loaded("")
    assert "orq_ai_sdk.sdk" in without.split()
    assert loaded(INSTRUMENTED) == without
