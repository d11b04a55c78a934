"""Whose a response is: the thread that asked for it, and the request that it answers."""

from __future__ import annotations

import openai
from support.client_versions import needs
from support.recorded import Telemetry
from support.vendor_websockets import SILENCE, WebsocketServer
from support.websocket_sessions import (
    ask,
    attributes,
    connect,
    every,
    in_session,
    newer,
    realtime,
    reasons,
    responses,
    wait,
)

from orq_otel import thread

pytestmark = needs("openai", "1.58", "websockets")


@every
def test_a_response_belongs_to_the_thread_in_which_it_was_asked_for(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with thread("session"):
        manager = connect(client, api)
        connection = manager.enter()
    ask(connection, api)
    wait(connection)
    with thread("turn"):
        ask(connection, api)
    with thread("reader"):
        wait(connection)
    connection.close()

    answers, session = in_session(instrumented)
    assert [attributes(answer)["thread.id"] for answer in answers] == ["session", "turn"]
    assert attributes(session)["thread.id"] == "session"


@realtime
def test_the_server_begins_a_response_by_itself(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with thread("session"), connect(client, api) as connection:
        with thread("talking"):
            connection.input_audio_buffer.append(audio=SILENCE)
        with thread("reader"):
            wait(connection)

    (answer,), _ = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert attributes(answer)["thread.id"] == "session"
    assert answer.name == "realtime_response gpt-realtime"


@realtime
def test_a_response_that_nobody_asked_for_is_not_taken_for_another(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        connection.input_audio_buffer.append(audio=SILENCE)
        with thread("beside"):
            ask(connection, api, conversation="none", metadata={"topic": "weather"})
        first = wait(connection)
        second = wait(connection)

    unasked, asked = in_session(instrumented)[0]
    assert attributes(unasked)["gen_ai.response.id"] == first.response.id
    assert "thread.id" not in attributes(unasked)
    assert attributes(asked)["gen_ai.response.id"] == second.response.id
    assert attributes(asked)["thread.id"] == "beside"
    assert attributes(asked)["gen_ai.conversation.id"] == "beside"


@realtime
def test_realtime_responses_at_the_same_time(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        with thread("held"):
            ask(connection, api, "hold", conversation="none", metadata={"topic": "a"})
        held = wait(connection, "response.created")
        with thread("quick"):
            ask(connection, api, metadata={"topic": "b"})
        quick = wait(connection)
        assert wait(connection).response.id == held.response.id

    answers, _ = in_session(instrumented)
    assert {
        attributes(answer)["thread.id"]: attributes(answer)["gen_ai.response.id"]
        for answer in answers
    } == {"quick": quick.response.id, "held": held.response.id}
    assert all("gen_ai.response.time_to_first_chunk" in (a.attributes or {}) for a in answers)


@realtime
def test_a_server_that_does_not_repeat_metadata(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    server.repeats_metadata = False
    with connect(client, api) as connection:
        with thread("turn"):
            ask(connection, api, metadata={"topic": "a"})
        wait(connection)

    (answer,), _ = in_session(instrumented)
    assert attributes(answer)["thread.id"] == "turn"
    assert reasons(answer) == ("stop",)


@responses
def test_responses_at_the_same_time_each_in_its_lane(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        with thread("held"):
            ask(connection, api, "hold", stream_id="one")
        held = wait(connection, "response.created")
        with thread("quick"):
            ask(connection, api, stream_id="two")
        quick = wait(connection)
        assert wait(connection).response.id == held.response.id

    answers, _ = in_session(instrumented)
    assert {
        attributes(answer)["thread.id"]: attributes(answer)["gen_ai.response.id"]
        for answer in answers
    } == {"quick": quick.response.id, "held": held.response.id}


def test_a_response_that_is_steered(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with connect(client, "responses") as connection:
        newer(connection.response, "steer")
        with thread("turn"):
            ask(connection, "responses", "hold")
        held = wait(connection, "response.created")
        connection.response.steer(input="No, wait.", previous_response_id=held.response.id)
        wait(connection)
        wait(connection)

    (steered, successor), _ = in_session(instrumented)
    assert attributes(steered)["gen_ai.response.id"] == held.response.id
    assert reasons(steered) == ("steered",)
    assert reasons(successor) == ("stop",)
    assert attributes(successor)["thread.id"] == "turn"  # as the one that it goes on with
    assert successor.name == "chat gpt-5-mini"
