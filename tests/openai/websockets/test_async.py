"""The same with the asynchronous client."""

from __future__ import annotations

import asyncio
import json
from contextvars import copy_context
from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode
from support.client_versions import needs
from support.recorded import Telemetry
from support.vendor_websockets import WebsocketServer
from support.websocket_sessions import (
    ENDS,
    GENERAL,
    attributes,
    both,
    connect,
    every,
    in_session,
    is_well,
    newer,
    question,
    reasons,
    reconnecting,
    wait_async,
)
from websockets.exceptions import ConnectionClosedError

from orq_otel import thread

pytestmark = needs("openai", "1.58", "websockets")


@every
async def test_async_a_session_with_responses(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    async with connect(async_client, api) as connection:
        assert not hasattr(connection, "__wrapped__")
        with thread("first"):
            await connection.send(question(api))
        await wait_async(connection)
        with thread("second"):
            await connection.send(question(api, "fail"))
        async for event in connection:
            if event.type in ENDS:
                break

    (first, second), session = in_session(instrumented)
    assert reasons(first) == ("stop",)
    assert attributes(first)["thread.id"] == "first"
    assert attributes(second)["thread.id"] == "second"
    assert second.status.status_code is StatusCode.ERROR
    assert is_well(session)


@both
async def test_async_however_one_sends_and_receives(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    manager = connect(async_client, api)
    newer(manager, "send")
    manager.send(question(api))
    async with manager as connection:
        await wait_async(connection)
        await connection.send_raw(json.dumps(question(api)))
        while json.loads(await connection.recv_bytes())["type"] not in ENDS:
            pass
        ended = []

        async def close(event: Any) -> None:
            ended.append(event)
            await connection.close()

        for kind in ENDS:
            connection.on(kind, close)
        asked = question(api)
        asked.pop("type")
        await connection.response.create(**asked)
        await connection.dispatch_events()

    assert len(ended) == 1
    answers, session = in_session(instrumented)
    assert [reasons(answer) for answer in answers] == [("stop",)] * 3
    assert is_well(session)


@both
async def test_async_the_websocket_itself_can_be_used(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    connection = await connect(async_client, api).enter()
    async with connection._connection as websocket:
        await websocket.send(json.dumps(question(api)))
        async for text in websocket:
            if json.loads(text)["type"] in ENDS:
                break
        assert len(instrumented.spans) == 1
    await connection.close()

    (answer,), session = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert is_well(session)


@both
async def test_async_one_may_stop_waiting_and_go_on_later(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    async with connect(async_client, api) as connection:
        await connection.send(question(api, "hold"))
        await wait_async(connection, "response.created")
        await wait_async(connection, "response.output_audio.delta", "response.output_text.delta")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.01)
        assert instrumented.spans == []
        lane = {"conversation": "none"} if "realtime" in api else {"stream_id": "two"}
        await connection.send(question(api, **lane))
        await wait_async(connection)
        await wait_async(connection)

    answers, session = in_session(instrumented)
    assert [reasons(answer) for answer in answers] == [("stop",)] * 2
    assert is_well(session)


@both
async def test_async_cancelled_in_the_middle_of_a_response(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    begun = asyncio.Event()
    manager = connect(async_client, api)

    async def talk() -> None:
        async with manager as connection:
            await connection.send(question(api, "hold"))
            await wait_async(connection, "response.created")
            begun.set()
            await wait_async(connection)

    task = asyncio.create_task(talk())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    answers, session = in_session(instrumented)
    assert len(answers) == 1
    assert is_well(session)


@both
async def test_async_cancelled_while_it_connects(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    accepted = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await hung_up.wait()
        writer.close()

    hung_up = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = async_client.with_options(websocket_base_url=f"ws://127.0.0.1:{port}")
        manager = connect(client, api)
        task = asyncio.create_task(manager.enter())
        await accepted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hung_up.set()

    session = instrumented.one()
    assert attributes(session)["error.type"] == "asyncio.exceptions.CancelledError"


@both
async def test_async_dropped_while_it_connects(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    api: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Such as with an event loop that is gone: it is closed in another context."""
    connecting = connect(async_client, api).enter()
    copy_context().run(connecting.send, None)
    copy_context().run(connecting.close)

    assert attributes(instrumented.one())["error.type"] == "GeneratorExit"
    assert [one for one in caplog.records if one.name.startswith("opentelemetry")] == []


@both
async def test_async_the_connection_breaks(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    async with connect(async_client, api) as connection:
        await connection.send(question(api, "break"))
        with pytest.raises(ConnectionClosedError):
            await wait_async(connection)
        with pytest.raises(ConnectionClosedError):
            await connection.send(question(api))

    assert len(instrumented.spans) == 3
    for span in instrumented.spans:
        assert attributes(span)["error.type"] == "websockets.exceptions.ConnectionClosedError"


@both
async def test_async_a_session_goes_on_over_a_new_websocket(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    server: WebsocketServer,
    api: str,
) -> None:
    tasks: list[asyncio.Task[None]] = []
    connections: list[Any] = []

    def again(_: Any) -> None:
        tasks.append(asyncio.create_task(connections[0].send(question(api))))

    async with reconnecting(async_client, api, again) as connection:
        connections.append(connection)
        await connection.send(question(api, "break"))
        async for event in connection:
            if event.type in ENDS:
                break
        await tasks[0]

    assert len(server.paths) == 2
    (broken, second), session = in_session(instrumented)
    assert attributes(broken)["error.type"] == "websockets.exceptions.ConnectionClosedError"
    assert reasons(second) == ("stop",)
    assert is_well(session)


async def test_async_many_sessions_at_once(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    apis = [GENERAL, "responses"] if hasattr(async_client.responses, "connect") else [GENERAL]

    async def talk(number: int) -> None:
        api = apis[number % len(apis)]
        async with thread(f"t-{number}"), connect(async_client, api) as connection:
            for _ in range(3):
                await connection.send(question(api))
                await wait_async(connection)

    await asyncio.gather(*(talk(number) for number in range(10)))

    sessions = {span.context.span_id: span for span in instrumented.spans if "session" in span.name}
    answers = [span for span in instrumented.spans if "session" not in span.name]
    assert len(sessions) == 10
    assert len(answers) == 30
    for answer in answers:
        assert answer.parent is not None
        session = sessions[answer.parent.span_id]
        assert attributes(answer)["thread.id"] == attributes(session)["thread.id"]
