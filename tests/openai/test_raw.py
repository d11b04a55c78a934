"""Raw and streaming responses: the body is the caller's, the span is complete all the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from opentelemetry.trace import StatusCode
from stand_ins.model_server import DropAfter, Malformed, ModelServer
from support.openai_versions import responses_api
from support.recorded import Telemetry

CALL: Any = {
    "model": "gpt-5-mini",
    "messages": [{"role": "user", "content": "Where is my parcel?"}],
}


def is_complete(telemetry: Telemetry) -> bool:
    """Whether the only span tells everything of the response."""
    span = telemetry.one()
    told = span.attributes or {}
    return (
        span.status.status_code is StatusCode.UNSET
        and told["gen_ai.response.model"] == "gpt-5-mini-2026-08-01"
        and told["gen_ai.response.finish_reasons"] == ("stop",)
    )


def test_a_raw_response(instrumented: Telemetry, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**CALL)

    assert is_complete(instrumented)
    assert (instrumented.one().attributes or {})["gen_ai.usage.input_tokens"] == 7
    assert raw.headers["x-request-id"]
    assert isinstance(raw.parse(), ChatCompletion)
    assert len(instrumented.spans) == 1


def test_a_raw_response_that_is_streamed(instrumented: Telemetry, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**CALL, stream=True)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert instrumented.spans == []
    stream = raw.parse()
    assert isinstance(stream, openai.Stream)
    del raw
    assert list(stream)

    assert is_complete(instrumented)


def test_a_raw_response_of_embeddings(instrumented: Telemetry, client: openai.OpenAI) -> None:
    client.embeddings.with_raw_response.create(model="e", input="x")

    assert (instrumented.one().attributes or {})["gen_ai.usage.input_tokens"] == 1


@responses_api
def test_a_raw_response_of_responses(instrumented: Telemetry, client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="gpt-5-mini", input="x")
    client.responses.with_raw_response.retrieve(raw.parse().id)

    responses, fetched = (span.attributes or {} for span in instrumented.spans)
    assert responses["gen_ai.response.finish_reasons"] == ("stop",)
    assert fetched["gen_ai.response.status"] == "completed"


class Custom(openai.BaseModel):
    """What a caller makes of a body."""

    id: str


#: Ways to read a body, each giving something that is not empty.
READERS: dict[str, Callable[[Any], Any]] = {
    "parse": lambda response: response.parse(),
    "parse to": lambda response: response.parse(to=Custom),
    "read": lambda response: response.read(),
    "text": lambda response: response.text(),
    "json": lambda response: response.json(),
    "iter_bytes": lambda response: list(response.iter_bytes()),
    "iter_bytes in pieces": lambda response: list(response.iter_bytes(10)),
    "iter_text": lambda response: list(response.iter_text()),
    "iter_lines": lambda response: list(response.iter_lines()),
    "http_response": lambda response: response.http_response.read(),
    "http_response.iter_lines": lambda response: list(response.http_response.iter_lines()),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_streaming_response(
    instrumented: Telemetry, client: openai.OpenAI, read: Callable[[Any], Any]
) -> None:
    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        assert not response.is_closed
        assert response.status_code == 200
        assert instrumented.spans == []
        assert read(response)

    assert is_complete(instrumented)


EVENT_READERS = {
    name: read for name, read in READERS.items() if name.startswith(("iter", "http", "read"))
}


@pytest.mark.parametrize("read", EVENT_READERS.values(), ids=EVENT_READERS)
def test_a_streaming_response_of_events(
    instrumented: Telemetry, client: openai.OpenAI, read: Callable[[Any], Any]
) -> None:
    with client.chat.completions.with_streaming_response.create(**CALL, stream=True) as response:
        assert read(response)

    assert is_complete(instrumented)
    assert "gen_ai.response.time_to_first_chunk" in (instrumented.one().attributes or {})


def test_a_streaming_response_parsed_into_a_stream(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with client.chat.completions.with_streaming_response.create(**CALL, stream=True) as response:
        stream = response.parse()
        assert isinstance(stream, openai.Stream)
        assert list(stream)

    assert is_complete(instrumented)


@responses_api
def test_a_streaming_response_parsed_into_a_stream_of_responses(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with client.responses.with_streaming_response.create(
        model="gpt-5-mini", input="x", stream=True
    ) as response:
        stream = response.parse()
        assert isinstance(stream, openai.Stream)
        assert [event.type for event in stream][-1] == "response.completed"

    assert is_complete(instrumented)


def test_a_body_that_nobody_reads(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        assert response.headers

    told = instrumented.one().attributes or {}
    assert instrumented.one().status.status_code is StatusCode.UNSET
    assert "gen_ai.response.model" not in told


def test_raw_bytes_are_passed_on_unread(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        assert list(response.http_response.iter_raw())

    assert len(instrumented.spans) == 1


def test_a_body_that_is_broken_off(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**CALL, stream=True) as response:
        for _ in response.iter_lines():
            break

    assert instrumented.one().status.status_code is StatusCode.UNSET


def test_a_response_that_is_dropped(instrumented: Telemetry, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**CALL, stream=True)
    raw.http_response.__wrapped__.close()  # past us, so that no connection is left
    assert instrumented.spans == []
    del raw
    gc.collect()

    assert instrumented.one().status.status_code is StatusCode.UNSET


def test_a_body_that_breaks_off(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(DropAfter(3))
    with client.chat.completions.with_streaming_response.create(**CALL, stream=True) as response:
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of it
            list(response.iter_lines())

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert "error.type" in (span.attributes or {})


def test_a_body_that_is_not_json(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    model_server.script(Malformed(), Malformed())
    raw = client.chat.completions.with_raw_response.create(**CALL)
    assert instrumented.take()[0].status.status_code is StatusCode.UNSET
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter|property"):
        raw.parse()

    with client.chat.completions.with_streaming_response.create(**CALL) as response:
        with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter|property"):
            response.parse()
    assert instrumented.one().status.status_code is StatusCode.ERROR


async def test_the_asynchronous_client(instrumented: Telemetry, model_server: ModelServer) -> None:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        completions = client.chat.completions
        raw = await completions.with_raw_response.create(**CALL)
        assert isinstance(raw.parse(), ChatCompletion)
        assert is_complete(instrumented)
        instrumented.take()

        raw_stream = await completions.with_raw_response.create(**CALL, stream=True)
        assert [chunk async for chunk in raw_stream.parse()]
        assert is_complete(instrumented)
        instrumented.take()

        async with completions.with_streaming_response.create(**CALL) as response:
            assert isinstance(await response.parse(), ChatCompletion)
        assert is_complete(instrumented)
        instrumented.take()

        async with completions.with_streaming_response.create(**CALL) as response:
            assert [line async for line in response.iter_lines()]
        assert is_complete(instrumented)
        instrumented.take()

        async with completions.with_streaming_response.create(**CALL) as response:
            assert await response.json()
        assert is_complete(instrumented)
        instrumented.take()

        async with completions.with_streaming_response.create(**CALL, stream=True) as response:
            assert [chunk async for chunk in await response.parse()]
        assert is_complete(instrumented)
        instrumented.take()

        async with completions.with_streaming_response.create(**CALL) as response:
            assert await response.http_response.aread()
        assert is_complete(instrumented)
        instrumented.take()

        async with completions.with_streaming_response.create(**CALL, stream=True) as response:
            async for _ in response.iter_lines():
                break
        assert instrumented.one().status.status_code is StatusCode.UNSET


async def test_the_asynchronous_client_whose_server_hangs_up(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(DropAfter(3), DropAfter(3), Malformed())
    async with openai.AsyncOpenAI(
        api_key="k", base_url=model_server.base_url, max_retries=0
    ) as client:
        create = client.chat.completions.with_streaming_response.create
        async with create(**CALL, stream=True) as response:
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of it
                async for _ in response.iter_lines():
                    pass
        async with create(**CALL, stream=True) as response:
            with pytest.raises(Exception):  # noqa: B017, PT011
                await response.read()
        async with create(**CALL) as response:
            with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter|property"):
                await response.parse()

    assert [span.status.status_code for span in instrumented.spans] == [StatusCode.ERROR] * 3
