"""However messages are received and sent, and whatever is in them."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from opentelemetry.trace import get_current_span
from support.client_versions import lacking, needs
from support.recorded import Telemetry
from support.vendor_websockets import WebsocketServer
from support.websocket_sessions import (
    ENDS,
    GENERAL,
    ask,
    attributes,
    both,
    by_bytes,
    by_iterating,
    connect,
    every,
    in_session,
    is_well,
    module_of,
    name_of,
    names,
    newer,
    question,
    reasons,
    wait,
)
from websockets.sync.client import ClientConnection

from orq_otel import thread

pytestmark = needs("openai", "1.58", "websockets")


def by_parsing(connection: Any) -> None:
    """Receive bytes, and let the client parse them."""
    while connection.parse_event(connection.recv_bytes()).type not in ENDS:
        pass


def by_handlers(connection: Any) -> None:
    """Let the client call handlers."""
    newer(connection, "dispatch_events")
    seen = []
    connection.on("event", seen.append)
    for kind in ENDS:
        connection.on(kind, lambda _: connection.close())
    connection.dispatch_events()
    assert seen


def by_lanes(connection: Any) -> None:
    """Let the client read in a thread of its own."""
    name = "openai.lib.responses_websocket"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        lacking("openai", name)
    limits = module.ResponsesWebSocketLimits(
        max_lanes=2,
        max_events_per_lane=64,
        max_events=64,
        max_bytes_per_lane=1_000_000,
        max_bytes=1_000_000,
    )
    with module.ResponsesWebSocketSession(connection, limits=limits) as session:
        lane = session.lane("conversation")
        lane.send(question("responses"))
        assert lane.get_final_response(timeout=10).status == "completed"


RECEIVERS = [by_bytes, by_parsing, by_iterating, by_handlers]


@pytest.mark.parametrize(
    ("api", "receive"),
    [*itertools.product([GENERAL, "responses"], RECEIVERS), ("responses", by_lanes)],
)
def test_however_one_receives(
    instrumented: Telemetry, client: openai.OpenAI, api: str, receive: Callable[[Any], None]
) -> None:
    with connect(client, api) as connection:
        if receive is not by_lanes:
            ask(connection, api)
        receive(connection)

    (answer,), session = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert is_well(answer)
    assert is_well(session)


def by_send(connection: Any, api: str) -> None:
    """Send an event as a dictionary."""
    connection.send(question(api))


def by_model(connection: Any, api: str) -> None:
    """Send an event as an object."""
    module: Any = importlib.import_module(
        f"openai.types.{api}.response_create_event"
        if "realtime" in api
        else "openai.types.responses.responses_client_event"
    )
    names = ("ResponseCreateEvent", "ResponseCreate", "ResponsesClientEvent")
    kind = next(getattr(module, name) for name in names if hasattr(module, name))
    connection.send(kind.model_construct(**question(api)))


def by_method(connection: Any, api: str) -> None:
    """Call the method for it."""
    asked = question(api)
    asked.pop("type")
    connection.response.create(**asked)


def by_text(connection: Any, api: str) -> None:
    """Send JSON as text."""
    newer(connection, "send_raw")
    connection.send_raw(json.dumps(question(api)))


def by_sending_bytes(connection: Any, api: str) -> None:
    """Send JSON as bytes."""
    newer(connection, "send_raw")
    connection.send_raw(json.dumps(question(api)).encode())


SENDERS = [by_send, by_model, by_method, by_text, by_sending_bytes]


@both
@pytest.mark.parametrize("send", SENDERS)
def test_however_one_sends(
    instrumented: Telemetry,
    client: openai.OpenAI,
    api: str,
    send: Callable[[Any, str], None],
) -> None:
    with connect(client, api) as connection:
        with thread("turn"):
            send(connection, api)
        wait(connection)

    (answer,), _ = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert attributes(answer)["thread.id"] == "turn"


@both
def test_what_was_sent_before_there_was_a_connection(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    manager = connect(client, api)
    newer(manager, "send")
    manager.send(question(api))
    with thread("session"), manager as connection:
        wait(connection)

    (answer,), _ = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert attributes(answer)["thread.id"] == "session"


@both
def test_messages_that_ask_for_nothing(
    instrumented: Telemetry,
    client: openai.OpenAI,
    server: WebsocketServer,
    caplog: pytest.LogCaptureFixture,
    api: str,
) -> None:
    with connect(client, api) as connection:
        connection.send({"type": "session.update", "session": {"instructions": "response.create"}})
        connection.send({"type": "note", "text": "response.create"})
        if hasattr(connection, "send_raw"):
            connection.send_raw('["response.create"]')
            connection.send_raw('"response.create", which is no JSON')
            connection.send_raw(b"\xff")
        ask(connection, api)
        wait(connection)

    assert server.received[-1]["type"] == "response.create"
    assert len(in_session(instrumented)[0]) == 1
    assert not [record for record in caplog.records if record.name == "orq_otel"]


#: What a server may send that is not what it should be.
JUNK = [
    "no JSON",
    "[]",
    '"response.created"',
    "{}",
    '{"type": null}',
    '{"type": ["response.done"]}',
    '{"type": "response.created"}',
    '{"type": "response.created", "response": "resp_1"}',
    '{"type": "response.created", "response": {"id": ["resp_1"], "metadata": [1]}}',
    '{"type": "response.done", "response": {"id": ["resp_1"], "status": ["completed"]}}',
    '{"type": "response.done", "response": {"id": "resp_0", "usage": "much"}}',
    '{"type": "response.completed", "response": {"output": 5}}',
    '{"type": "response.output_text.delta", "response_id": {}, "stream_id": []}',
    '{"type": "session.created", "session": [1]}',
    '{"type": "error"}',
    '{"type": "error", "error": "text"}',
    '{"type": "error", "status": 400, "error": {"code": 7, "event_id": {}, "param": []}}',
]


@every
def test_a_server_that_sends_something_else(
    instrumented: Telemetry,
    client: openai.OpenAI,
    caplog: pytest.LogCaptureFixture,
    api: str,
) -> None:
    with connect(client, api) as connection:
        if "realtime" in api:
            wait(connection, "session.created")
        ask(connection, api, "hold")
        wait(connection, "response.output_audio.delta", "response.output_text.delta")
        connection.send({"type": "say", "texts": JUNK})
        assert [connection.recv_bytes().decode() for _ in JUNK] == JUNK
        ask(connection, api, **({"conversation": "none"} if "realtime" in api else {}))
        by_bytes(connection)

    assert not [record for record in caplog.records if record.name == "orq_otel"]
    assert sum(name_of(span) == names(api)[1] for span in instrumented.spans) == 1


@both
def test_the_websocket_itself_can_be_used(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    connection = connect(client, api).enter()
    with connection._connection as websocket:
        websocket.send(json.dumps(question(api)))
        for text in websocket:
            if json.loads(text)["type"] in ENDS:
                break
        assert len(instrumented.spans) == 1
    connection.close()

    (answer,), session = in_session(instrumented)
    assert reasons(answer) == ("stop",)
    assert is_well(session)


@both
def test_a_method_of_the_websocket_that_is_replaced_may_call_what_it_replaces(
    instrumented: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    api: str,
) -> None:
    sent: list[Any] = []
    with connect(client, api) as connection:
        websocket = connection._connection
        original = websocket.send

        def noting(message: Any) -> None:
            sent.append(message)
            original(message)

        with monkeypatch.context() as patched:
            patched.setattr(websocket, "send", noting)
            ask(connection, api)
            wait(connection)
        assert websocket.send == original
        ask(connection, api)
        wait(connection)

    assert len(sent) == 1
    assert [name_of(span) for span in instrumented.spans] == [names(api)[0]] * 2 + [names(api)[1]]
    assert "orq-otel" not in caplog.text


@both
def test_the_connection_is_the_clients_own(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        assert type(connection).__module__ == module_of(api)
        assert not hasattr(connection, "__wrapped__")
        websocket = connection._connection
        assert isinstance(websocket, ClientConnection)
        assert websocket.remote_address[0] == "127.0.0.1"


def test_no_span_is_current_for_the_caller(instrumented: Telemetry, client: openai.OpenAI) -> None:
    tracer = instrumented.provider.get_tracer("test")
    with tracer.start_as_current_span("own") as own, connect(client, GENERAL) as connection:
        assert get_current_span() is own
        ask(connection, GENERAL)
        assert get_current_span() is own
        wait(connection)
        assert get_current_span() is own

    answer, session, own_span = instrumented.spans
    assert session.parent == own_span.context
    assert answer.parent == session.context


@both
def test_a_message_of_any_length_or_depth(
    instrumented: Telemetry,
    client: openai.OpenAI,
    caplog: pytest.LogCaptureFixture,
    api: str,
) -> None:
    is_realtime = "realtime" in api
    counts = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    with connect(client, api, websocket_connection_options={"max_size": None}) as connection:
        if is_realtime:
            wait(connection, "session.created")
        ask(connection, api, "hold")
        created = wait(connection, "response.created")
        wait(connection, "response.output_audio.delta", "response.output_text.delta")
        drawn = {"type": "image_generation_call", "result": "x" * (17 << 20)}
        response = {
            "id": created.response.id,
            "status": "completed",
            "output": [drawn],
            "usage": counts,
            "metadata": None,
        }
        done = {
            "type": "response.done" if is_realtime else "response.completed",
            "response": response,
        }
        texts = ["[" * 100_000, json.dumps({**done, "event_id": "event_1"})]
        connection.send({"type": "say", "texts": texts})
        assert [len(connection.recv_bytes()) for _ in texts] == [len(text) for text in texts]
        assert len(instrumented.spans) == 1

    assert not [record for record in caplog.records if record.name == "orq_otel"]
    told = instrumented.spans[0].attributes or {}
    assert told["gen_ai.usage.output_tokens"] == 5
    assert "gen_ai.response.finish_reasons" not in told  # it may have called a tool


@both
def test_responses_that_never_end_do_not_pile_up(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        if "realtime" in api:
            wait(connection, "session.created")
        begun = {"type": "response.created", "response": {"id": "r", "metadata": {"n": 1}}}
        texts = [json.dumps(begun)] * 1010
        connection.send({"type": "say", "texts": texts})
        for _ in texts:
            connection.recv_bytes()
        assert len(instrumented.spans) == 10
    assert len(instrumented.spans) == 1011
