"""However a stream comes to its end, its span ends once, with the right status."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, get_current_span
from stand_ins.model_server import DropAfter, ErrorEventAfter, Hold, ModelServer
from support.openai_streams import MESSAGES, both, chat, responses
from support.openai_versions import (
    chat_helpers,
    chat_helpers_api,
    overlooks_error_events,
    responses_api,
)
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread


def is_well(span: ReadableSpan) -> bool:
    """Whether the span ended without an error."""
    return (
        span.end_time is not None
        and span.status.status_code is StatusCode.UNSET
        and "error.type" not in (span.attributes or {})
    )


@both
def test_exhausted(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    stream = start(client)
    assert instrumented.spans == []
    list(stream)

    assert is_well(instrumented.one())
    assert list(stream) == []  # as an exhausted stream without us
    stream.close()
    assert len(instrumented.spans) == 1


@both
def test_exhausted_with_next(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    stream = start(client)
    while True:
        try:
            next(stream)
        except StopIteration:
            break

    assert is_well(instrumented.one())
    assert "gen_ai.response.id" in (instrumented.one().attributes or {})


@both
def test_broken_off_and_closed(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    stream = start(client)
    for _ in stream:
        break
    assert instrumented.spans == []  # it may be read on
    next(stream)
    stream.close()

    span = instrumented.one()
    assert is_well(span)
    seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert 0 < (span.attributes or {})["gen_ai.response.time_to_first_chunk"] <= seconds
    assert stream.response.is_closed


@both
def test_left_with_its_block(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    with start(client) as stream:
        next(stream)

    assert is_well(instrumented.one())
    assert stream.response.is_closed


@both
def test_a_stream_that_is_left_tells_that_it_never_ended(
    telemetry: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    for content in (True, False):
        OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=content)
        with start(client) as stream:
            for _ in zip(range(4), stream, strict=False):
                pass
        OpenAIInstrumentor().uninstrument()

    said, silent = (span.attributes or {} for span in telemetry.spans)
    assert said["gen_ai.response.finish_reasons"] == ("error",)
    assert silent["gen_ai.response.finish_reasons"] == ("error",)
    (message,) = json.loads(str(said["gen_ai.output.messages"]))
    assert message["finish_reason"] == "error"


@both
def test_an_error_of_the_consumer_is_not_the_calls(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    mistake = KeyError("of the consumer")
    with pytest.raises(KeyError) as raised, start(client) as stream:
        for _ in stream:
            raise mistake

    assert raised.value is mistake
    assert is_well(instrumented.one())


@both
def test_dropped_while_it_is_read(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    for _ in start(client):
        break
    gc.collect()

    assert is_well(instrumented.one())


@both
def test_never_read(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    stream = start(client)
    response = weakref.ref(stream.response)
    del stream
    gc.collect()

    assert is_well(instrumented.one())
    assert response() is None


@both
def test_the_response_is_closed_instead(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    stream = start(client)
    next(stream)
    stream.response.close()

    assert is_well(instrumented.one())


@chat_helpers_api
def test_a_helper_that_is_broken_off(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with chat_helpers(client).stream(model="m", messages=MESSAGES) as helper:
        next(helper)

    assert is_well(instrumented.one())


@responses_api
def test_a_helper_of_responses_that_is_broken_off(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with client.responses.stream(model="m", input="x") as helper:
        next(helper)

    assert is_well(instrumented.one())


@both
def test_the_connection_breaks(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    start: Callable[[Any], Any],
) -> None:
    model_server.script(DropAfter(4))
    stream = start(client)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever the client makes of it
        list(stream)

    span = instrumented.one()
    told = span.attributes or {}
    kind = type(raised.value)
    assert span.status.status_code is StatusCode.ERROR
    assert told["error.type"] == f"{kind.__module__}.{kind.__qualname__}"
    assert told["gen_ai.response.model"] == "gpt-5-mini-2026-08-01"


@both
def test_the_connection_breaks_under_next(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    start: Callable[[Any], Any],
) -> None:
    model_server.script(DropAfter(2))
    stream = start(client)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever the client makes of it
        while True:
            next(stream)

    kind = type(raised.value)
    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == f"{kind.__module__}.{kind.__qualname__}"


def test_the_server_reports_an_error_in_a_chat_stream(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(ErrorEventAfter(3, message="The server had an error."))
    with pytest.raises(openai.APIError) as raised:
        list(chat(client))

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert str(raised.value) == "The server had an error."
    assert span.status.description == "Error - server_error, code server_error"
    assert (span.attributes or {})["error.type"] == "openai.APIError"


@responses_api
@overlooks_error_events
def test_the_server_reports_an_error_in_a_response_stream(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(ErrorEventAfter(3, code="server_error"))
    events = list(responses(client))

    assert "error" in {events[-1].type, getattr(events[-1], "event", None)}  # no exception
    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "server_error"


@both
def test_type_and_attributes_are_those_of_the_stream(
    instrumented: Telemetry, client: openai.OpenAI, start: Callable[[Any], Any]
) -> None:
    stream = start(client)

    assert isinstance(stream, openai.Stream)
    assert type(stream.response).__name__ == "Response"
    assert vars(stream) is vars(stream.__wrapped__)
    assert stream.response.status_code == 200
    assert stream.response is stream.response
    assert stream._client is client
    assert set(dir(openai.Stream)) <= set(dir(stream))
    assert not hasattr(stream, "aclose")
    stream.note = "kept"
    assert stream.__wrapped__.note == "kept"
    list(stream)
    assert len(instrumented.spans) == 1


def test_the_span_is_not_current_while_a_stream_is_read(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    tracer = instrumented.provider.get_tracer("test")
    with tracer.start_as_current_span("own") as own:
        for _ in chat(client):
            assert get_current_span() is own

    model, own_span = instrumented.spans
    assert model.parent == own_span.context


def test_a_stream_that_somebody_else_changes_is_read_as_changed(
    instrumented: Telemetry, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(stream: Any) -> Iterator[Any]:
        yield from enumerate(stream._iterator)

    monkeypatch.setattr(openai.Stream, "__iter__", counted)
    items = list(chat(client))

    assert [count for count, _ in items] == list(range(len(items)))
    assert is_well(instrumented.one())


def test_labels_are_those_of_the_call_not_of_the_reader(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with thread("caller"):
        stream = chat(client)
    with thread("reader"):
        list(stream)

    assert (instrumented.one().attributes or {})["thread.id"] == "caller"


# --- asynchronous ------------------------------------------------------------------------------


@both
async def test_async_exhausted(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, start: Callable[[Any], Any]
) -> None:
    stream = await start(async_client)
    assert isinstance(stream, openai.AsyncStream)
    assert [chunk async for chunk in stream]

    assert is_well(instrumented.one())
    await stream.close()
    assert len(instrumented.spans) == 1


@both
async def test_async_exhausted_with_anext(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, start: Callable[[Any], Any]
) -> None:
    stream = await start(async_client)
    with pytest.raises(StopAsyncIteration):
        while True:
            await stream.__anext__()

    assert is_well(instrumented.one())


@both
@pytest.mark.parametrize("name", ["close", "aclose"])
async def test_async_broken_off_and_closed(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    start: Callable[[Any], Any],
    name: str,
) -> None:
    stream = await start(async_client)
    if not hasattr(openai.AsyncStream, name):
        assert not hasattr(stream, name)
        name = "close"
    async for _ in stream:
        break
    await getattr(stream, name)()

    assert is_well(instrumented.one())


@both
async def test_async_left_with_its_block(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, start: Callable[[Any], Any]
) -> None:
    async with await start(async_client) as stream:
        await stream.__anext__()

    assert is_well(instrumented.one())


@both
async def test_async_the_response_is_closed_instead(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, start: Callable[[Any], Any]
) -> None:
    stream = await start(async_client)
    await stream.response.aclose()

    assert is_well(instrumented.one())


@both
async def test_async_dropped(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, start: Callable[[Any], Any]
) -> None:
    stream = await start(async_client)
    await stream.__anext__()
    response = stream.response
    del stream
    await type(response).aclose(response)  # past us, so that no connection is left
    del response
    gc.collect()

    assert is_well(instrumented.one())


@both
async def test_async_cancelled_while_it_waits_for_a_chunk(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    model_server: ModelServer,
    start: Callable[[Any], Any],
) -> None:
    hold = Hold(after_chunks=3)
    model_server.script(hold)

    async def consume() -> None:
        async for _ in await start(async_client):
            pass

    task = asyncio.create_task(consume())
    assert await asyncio.to_thread(hold.reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hold.release()

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"


async def test_async_cancelled_before_the_answer(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, model_server: ModelServer
) -> None:
    hold = Hold()
    model_server.script(hold)
    task = asyncio.create_task(async_client.chat.completions.create(model="m", messages=MESSAGES))
    assert await asyncio.to_thread(hold.reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hold.release()

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"


@both
async def test_async_the_connection_breaks(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    model_server: ModelServer,
    start: Callable[[Any], Any],
) -> None:
    model_server.script(DropAfter(4))
    stream = await start(async_client)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever the client makes of it
        await stream.__anext__()
        async for _ in stream:
            pass

    kind = type(raised.value)
    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == f"{kind.__module__}.{kind.__qualname__}"


@both
async def test_async_the_connection_breaks_under_anext(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    model_server: ModelServer,
    start: Callable[[Any], Any],
) -> None:
    model_server.script(DropAfter(2))
    stream = await start(async_client)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of it
        while True:
            await stream.__anext__()

    assert instrumented.one().status.status_code is StatusCode.ERROR


@chat_helpers_api
async def test_async_a_helper_that_is_broken_off(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    async with chat_helpers(async_client).stream(model="m", messages=MESSAGES) as helper:
        await helper.__anext__()

    assert is_well(instrumented.one())


def test_many_abandoned_streams_leave_nothing_behind(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    proxies: list[weakref.ref[Any]] = []

    def abandon() -> Iterator[Any]:
        stream = chat(client)
        proxies.append(weakref.ref(stream.__wrapped__))
        return iter(stream)

    # A client's own stream is a reference cycle, and closes its connection when it is collected:
    # were that in the middle of the connection pool, it would wait for the pool's lock for ever.
    gc.disable()
    try:
        for _ in range(20):
            next(abandon())
        assert len(instrumented.spans) == 20  # each ended at once, without the collector
    finally:
        gc.collect()
        gc.enable()

    assert all(is_well(span) for span in instrumented.spans)
    assert not any(proxy() for proxy in proxies)


def test_a_second_reader_does_not_end_the_stream_of_the_first(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    hold = Hold(after_chunks=1)
    model_server.script(hold)
    stream = chat(client)
    chunks: list[Any] = []

    def read() -> None:
        for chunk in stream:
            chunks.append(chunk)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(read)
        while not (chunks and stream._iterator.gi_running):
            assert not first.done()
        with pytest.raises(ValueError, match="already executing"):
            read()
        assert instrumented.spans == []
        hold.release()
        first.result()

    assert is_well(instrumented.one())


async def test_neither_does_a_second_asynchronous_reader(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, model_server: ModelServer
) -> None:
    async def read() -> None:
        async for chunk in stream:
            chunks.append(chunk)

    hold = Hold(after_chunks=1)
    model_server.script(hold)
    stream = await chat(async_client)
    chunks: list[Any] = []
    first = asyncio.create_task(read())
    while not (chunks and stream._iterator.ag_running):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already running"):
        await read()
    assert instrumented.spans == []
    hold.release()
    await first

    assert is_well(instrumented.one())
