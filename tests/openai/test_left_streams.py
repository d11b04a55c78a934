"""A stream that its consumer leaves ends at once, and is no error of the model's."""

from __future__ import annotations

import asyncio
import collections.abc
import copy
import inspect
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer
from support.leaving_streams import (
    Mistake,
    break_off,
    close,
    close_the_iterator,
    leave_its_block,
    raise_in_its_block,
    raise_within,
    return_within,
    throw_into_the_iterator,
    without_collector,
)
from support.openai_streams import MESSAGES, both, chat
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread


def is_left(span: ReadableSpan) -> bool:
    """Whether a span ended without an error of the model's."""
    return span.status.status_code is StatusCode.UNSET and "error.type" not in (
        span.attributes or {}
    )


@pytest.fixture(autouse=True)
def nothing_is_collected() -> Iterator[None]:
    with without_collector():
        yield


# ---- Ways to leave a stream -----------------------------------------------------------------


def stop_in_a_generator(stream: Any) -> None:
    def texts() -> Iterator[Any]:
        yield from stream

    items = texts()
    next(items)
    items.close()


def read_nothing(_: Any) -> None:
    """It is made, and dropped."""


WAYS = [
    break_off,
    return_within,
    raise_within,
    close,
    leave_its_block,
    raise_in_its_block,
    close_the_iterator,
    throw_into_the_iterator,
    stop_in_a_generator,
    read_nothing,
]

#: Those that say that a stream is left, though somebody keeps it.
EXPLICIT = [close, leave_its_block, raise_in_its_block, close_the_iterator, throw_into_the_iterator]


@pytest.mark.one_in(2)
@both
@pytest.mark.parametrize("leave", WAYS)
def test_a_stream_that_is_left(
    instrumented: Telemetry,
    client: openai.OpenAI,
    start: Callable[[Any], Any],
    leave: Callable[[Any], None],
) -> None:
    with thread("support-42"):
        stream = start(client)
    leave(stream)
    del stream

    span = instrumented.one()
    assert is_left(span)
    assert (span.attributes or {})["thread.id"] == "support-42"


@pytest.mark.parametrize("leave", EXPLICIT)
def test_a_kept_stream_that_is_left(
    instrumented: Telemetry, client: openai.OpenAI, leave: Callable[[Any], None]
) -> None:
    stream = chat(client)
    leave(stream)

    assert is_left(instrumented.one())
    del stream
    assert len(instrumented.spans) == 1


def test_a_loop_over_a_temporary(instrumented: Telemetry, client: openai.OpenAI) -> None:
    for _ in chat(client):
        assert instrumented.spans == []
        break

    assert is_left(instrumented.one())


def test_an_iterator_keeps_the_stream_open(instrumented: Telemetry, client: openai.OpenAI) -> None:
    items = iter(chat(client))
    next(items)
    assert instrumented.spans == []
    del items

    assert is_left(instrumented.one())


def test_a_kept_response_keeps_nothing_open(instrumented: Telemetry, client: openai.OpenAI) -> None:
    stream = chat(client)
    response = stream.response
    del stream

    assert is_left(instrumented.one())
    response.close()
    assert response.is_closed


def test_a_stream_that_is_read_on_is_one_span_with_all_of_it(
    telemetry: Telemetry, client: openai.OpenAI
) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    try:
        whole = [chunk.choices[0].delta.content for chunk in chat(client) if chunk.choices]
        telemetry.take()
        stream, texts = chat(client), []
        for _ in range(3):
            for chunk in stream:
                texts.append(chunk.choices[0].delta.content)
                break
        texts.append(next(stream).choices[0].delta.content)
        texts += [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    finally:
        OpenAIInstrumentor().uninstrument()

    assert texts == whole
    told = telemetry.one().attributes or {}
    (message,) = json.loads(str(told["gen_ai.output.messages"]))
    assert message["parts"] == [{"type": "text", "content": "".join(filter(None, whole))}]
    assert told["gen_ai.response.finish_reasons"] == ("stop",)


def test_raw_iterators(instrumented: Telemetry, client: openai.OpenAI) -> None:
    create = client.chat.completions.with_streaming_response.create
    for leave in (break_off, raise_within, read_nothing):
        with create(model="m", messages=MESSAGES, stream=True) as response:
            leave(response.iter_lines())
        assert is_left(instrumented.take()[0])


def test_an_iterator_is_like_the_clients_own(telemetry: Telemetry, client: openai.OpenAI) -> None:
    bare = iter(chat(client))
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        ours = iter(chat(client))
    finally:
        OpenAIInstrumentor().uninstrument()

    assert inspect.isgenerator(ours)
    assert isinstance(ours, collections.abc.Generator)
    for name in dir(bare):
        assert hasattr(ours, name), name
    assert not hasattr(ours, "__anext__")
    assert iter(ours) is ours
    assert ours.send(None).object == bare.send(None).object
    assert ours.gi_frame is not None
    for broken in (bare, ours):
        with pytest.raises(TypeError):
            copy.copy(broken)
    for items in (bare, ours):
        items.close()
        assert next(items, None) is None


# ---- Asynchronous ---------------------------------------------------------------------------


async def async_break_off(stream: Any) -> None:
    async for _ in stream:
        break


async def async_return_within(stream: Any) -> None:
    async for _ in stream:
        return


async def async_raise_within(stream: Any) -> None:
    with pytest.raises(Mistake):
        async for _ in stream:
            raise Mistake


async def async_close(stream: Any) -> None:
    async for _ in stream:
        await stream.close()
        break


async def async_leave_its_block(stream: Any) -> None:
    async with stream:
        await stream.__anext__()


async def async_close_the_iterator(stream: Any) -> None:
    async with aclosing(aiter(stream)) as items:
        await anext(items)


async def async_throw_into_the_iterator(stream: Any) -> None:
    items = aiter(stream)
    await items.asend(None)
    with pytest.raises(Mistake):
        await items.athrow(Mistake())


async def async_read_nothing(_: Any) -> None:
    """It is made, and dropped."""


ASYNC_WAYS = [
    async_break_off,
    async_return_within,
    async_raise_within,
    async_close,
    async_leave_its_block,
    async_close_the_iterator,
    async_throw_into_the_iterator,
    async_read_nothing,
]


@pytest.mark.one_in(2)
@both
@pytest.mark.parametrize("leave", ASYNC_WAYS)
def test_an_asynchronous_stream_ends_without_its_loop(
    instrumented: Telemetry,
    model_server: ModelServer,
    start: Callable[[Any], Any],
    leave: Callable[[Any], Coroutine[Any, Any, None]],
) -> None:
    ended: list[int] = []

    async def use() -> None:
        async with openai.AsyncOpenAI(
            api_key="k", base_url=model_server.base_url, max_retries=0
        ) as client:
            stream = await start(client)
            await leave(stream)
            del stream
            ended.append(len(instrumented.spans))  # the loop has not run since

    asyncio.run(use())

    assert ended == [1]
    assert is_left(instrumented.one())  # and nothing was added at the end of the loop


async def test_an_asynchronous_stream_that_is_read_on(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    whole = [chunk async for chunk in await chat(async_client)]
    instrumented.take()
    stream = await chat(async_client)
    async for _ in stream:
        break
    await asyncio.sleep(0)  # the loop closes what was dropped
    rest = [chunk async for chunk in stream]

    assert len(rest) == len(whole) - 1
    assert is_left(instrumented.one())
    assert (instrumented.one().attributes or {})["gen_ai.response.finish_reasons"] == ("stop",)


async def test_an_asynchronous_iterator_is_like_the_clients_own(
    telemetry: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    bare = aiter(await chat(async_client))
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        stream = await chat(async_client)
    finally:
        OpenAIInstrumentor().uninstrument()
    ours = aiter(stream)

    assert inspect.isasyncgen(ours)
    assert isinstance(ours, collections.abc.AsyncGenerator)
    for name in dir(bare):
        assert hasattr(ours, name), name
    assert not hasattr(ours, "__next__")
    assert aiter(ours) is ours
    assert (await ours.asend(None)).object == (await bare.asend(None)).object
    task = asyncio.create_task(stream.__anext__())  # a coroutine, as the client's
    assert (await task).object == "chat.completion.chunk"
    for items in (bare, ours):
        await items.aclose()
        assert await anext(items, None) is None
