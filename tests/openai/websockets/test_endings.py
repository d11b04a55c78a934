"""However a session ends, or goes on over a new websocket."""

from __future__ import annotations

import gc
from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode
from support.client_versions import needs
from support.recorded import Telemetry
from support.vendor_websockets import WebsocketServer
from support.websocket_sessions import (
    ask,
    attributes,
    both,
    by_bytes,
    by_iterating,
    connect,
    every,
    in_session,
    is_well,
    name_of,
    names,
    reasons,
    reconnecting,
    wait,
)
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

pytestmark = needs("openai", "1.58", "websockets")


@every
def test_it_is_closed_in_the_middle_of_a_response(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    connection = connect(client, api).enter()
    ask(connection, api, "hold")
    held = wait(connection, "response.created")
    assert instrumented.spans == []
    connection.close()
    connection.close()

    (answer,), session = in_session(instrumented)
    told = attributes(answer)
    assert told["gen_ai.response.id"] == held.response.id
    assert is_well(answer)
    assert is_well(session)


@both
def test_an_error_of_the_caller_is_not_the_sessions(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    mistake = KeyError("of the caller")
    with pytest.raises(KeyError) as raised, connect(client, api) as connection:
        ask(connection, api, "hold")
        wait(connection, "response.created")
        raise mistake

    assert raised.value is mistake
    assert all(is_well(span) for span in instrumented.spans)
    assert len(instrumented.spans) == 2


@every
def test_the_connection_breaks(instrumented: Telemetry, client: openai.OpenAI, api: str) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "break")
        with pytest.raises(ConnectionClosedError):
            wait(connection)
        assert len(instrumented.spans) == 2

    (answer,), session = in_session(instrumented)
    for span in (answer, session):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert attributes(span)["error.type"] == "websockets.exceptions.ConnectionClosedError"
    assert "gen_ai.response.id" in attributes(answer)


@both
def test_the_server_leaves_in_the_middle_of_a_response(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "leave")
        for _ in connection:  # just ends, then
            pass

    (answer,), session = in_session(instrumented)
    assert attributes(answer)["error.type"] == "websockets.exceptions.ConnectionClosedOK"
    assert is_well(session)


@both
def test_sending_on_a_connection_that_is_gone(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "break")
        with pytest.raises(ConnectionClosed):
            by_bytes(connection)
        with pytest.raises(ConnectionClosed):
            ask(connection, api)

    response, session = names(api)
    assert sorted(name_of(span) for span in instrumented.spans) == sorted(
        [response, response, session]
    )
    assert not any(is_well(span) for span in instrumented.spans)


@both
def test_there_is_nobody_to_connect_to(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    server.refuse()
    with pytest.raises(OSError) as raised:  # noqa: PT011 - whatever the machine makes of it
        connect(client, api).enter()

    session = instrumented.one()
    assert name_of(session) == names(api)[1]
    assert session.status.status_code is StatusCode.ERROR
    assert attributes(session)["error.type"] == type(raised.value).__name__


@both
def test_a_connection_that_is_dropped(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    connection = connect(client, api).enter()
    ask(connection, api, "hold")
    wait(connection, "response.created")
    websocket = connection._connection.__wrapped__
    del connection
    gc.collect()  # a finalizer only leaves a note here
    instrumented.provider.force_flush()
    websocket.close()  # past us, so that nothing is left

    assert {name_of(span) for span in instrumented.spans} == set(names(api))
    assert all(is_well(span) for span in instrumented.spans)


@both
def test_many_connections_leave_nothing_behind(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    from orq_otel.openai.session_responses import SessionResponse  # noqa: PLC0415
    from orq_otel.openai.sessions import Session  # noqa: PLC0415

    for _ in range(5):
        with connect(client, api) as connection:
            ask(connection, api)
            wait(connection)
    del connection
    gc.collect()

    assert len(instrumented.spans) == 10
    kinds = Session, SessionResponse
    kept = [thing for thing in gc.get_objects() if issubclass(type(thing), kinds)]
    assert kept == []


@both
def test_a_session_goes_on_over_a_new_websocket(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    connections: list[Any] = []
    with reconnecting(client, api, lambda _: ask(connections[0], api)) as connection:
        connections.append(connection)
        ask(connection, api, "break")
        by_iterating(connection)

    assert len(server.paths) == 2
    (broken, second), session = in_session(instrumented)
    assert attributes(broken)["error.type"] == "websockets.exceptions.ConnectionClosedError"
    assert reasons(second) == ("stop",)
    assert is_well(second)
    assert is_well(session)


@both
def test_no_new_websocket_can_be_made(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    with reconnecting(client, api, lambda _: server.refuse()) as connection:
        ask(connection, api, "break")
        with pytest.raises(ConnectionClosedError):
            by_iterating(connection)

    (answer,), session = in_session(instrumented)
    for span in (answer, session):
        assert attributes(span)["error.type"] == "websockets.exceptions.ConnectionClosedError"
