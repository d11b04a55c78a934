"""What the server refuses ends one response, not the session."""

from __future__ import annotations

import openai
from opentelemetry.trace import StatusCode
from support.client_versions import needs
from support.recorded import Telemetry
from support.vendor_websockets import SECRET
from support.websocket_sessions import (
    ask,
    attributes,
    connect,
    in_session,
    is_well,
    question,
    realtime,
    reasons,
    responses,
    wait,
)

pytestmark = needs("openai", "1.58", "websockets")


@realtime
def test_a_request_that_is_refused(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        connection.send({**question(api, output_modalities=["smell"]), "event_id": "mine"})
        wait(connection)
        connection.send(question(api, output_modalities=["smell"]))
        wait(connection)
        ask(connection, api)
        wait(connection)

    answers, session = in_session(instrumented)
    assert [attributes(answer).get("error.type") for answer in answers] == [
        "invalid_value",
        "invalid_value",
        None,
    ]
    assert answers[0].status.status_code is StatusCode.ERROR
    assert is_well(answers[2])
    assert is_well(session)
    assert SECRET not in answers[0].to_json()


@realtime
def test_a_request_while_another_response_is_running(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "hold")
        wait(connection, "response.created")
        ask(connection, api)
        wait(connection)
        connection.response.cancel()
        wait(connection)

    (refused, cancelled), _ = in_session(instrumented)
    assert attributes(refused)["error.type"] == "conversation_already_has_active_response"
    assert attributes(cancelled)["gen_ai.response.status"] == "cancelled"
    assert reasons(cancelled) == ("error",)
    assert attributes(cancelled)["gen_ai.usage.output_tokens"] == 17
    assert is_well(cancelled)


@realtime
def test_an_error_about_something_else(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        connection.send({"type": "conversation.item.retrieve", "item_id": "none"})
        connection.response.cancel()
        connection.send(
            {"type": "conversation.item.retrieve", "item_id": "none", "event_id": "mine"}
        )
        ask(connection, api)
        assert [wait(connection).type for _ in range(4)] == ["error"] * 3 + ["response.done"]

    (answer,), _ = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert is_well(answer)


@responses
def test_a_response_that_cannot_be_made(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "hold", stream_id="one")
        wait(connection, "response.created")
        ask(connection, api, previous_response_id="resp_unknown", stream_id="one")
        wait(connection)
        ask(connection, api, "error")
        wait(connection)
        wait(connection)

    refused, broken, held = in_session(instrumented)[0]
    assert attributes(refused)["error.type"] == "previous_response_not_found"
    assert "gen_ai.response.id" not in attributes(refused)
    assert attributes(broken)["error.type"] == "server_error"
    assert attributes(broken)["gen_ai.response.model"] == "gpt-5-mini-2026-08-01"
    assert is_well(held)
    assert SECRET not in refused.to_json() + broken.to_json()
