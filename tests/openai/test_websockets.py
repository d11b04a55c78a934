"""A connection is one span, and each response in it one inside, however either comes about."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import importlib.util
import itertools
import json
import operator
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from client_versions import lacking, needs
from conformance.checker import check_logs, check_metrics, check_spans
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode, get_current_span
from recorded import Telemetry
from signals import Signals

from orq_otel import OpenAIInstrumentor, bind, thread

websockets = pytest.importorskip("websockets", minversion="13")

from vendor_websockets import SECRET, SILENCE, WebsocketServer  # noqa: E402 - needs it, too

pytestmark = needs("openai", "1.58", "websockets")

REALTIME = ["realtime", "beta.realtime"]
RESPONSES = ["responses", "beta.responses"]
ENDS = {"response.done", "response.completed", "response.incomplete", "response.failed", "error"}

realtime = pytest.mark.parametrize("api", REALTIME)
responses = pytest.mark.parametrize("api", RESPONSES)
#: One of either kind. The oldest clients have realtime only in beta.
GENERAL = "realtime" if importlib.util.find_spec("openai.resources.realtime") else REALTIME[1]
both = pytest.mark.parametrize("api", [GENERAL, "responses"])
every = pytest.mark.parametrize("api", [*REALTIME, *RESPONSES])

LABELS = {
    "thread.id": "t-1",
    "thread.tags": ("a", "b"),
    "orq.thread_id": "t-1",
    "orq.tags": '["a", "b"]',
}


@pytest.fixture
def server() -> Iterator[WebsocketServer]:
    """The vendor's websockets on loopback."""
    with WebsocketServer() as server:
        yield server


def urls(server: WebsocketServer) -> dict[str, Any]:
    """What a client is made with."""
    return {
        "api_key": "sk-test-key",
        "base_url": server.base_url.replace("ws:", "http:"),
        "websocket_base_url": server.base_url,
    }


@pytest.fixture
def client(server: WebsocketServer) -> Iterator[openai.OpenAI]:
    """A real client of it."""
    with openai.OpenAI(**urls(server)) as client:
        yield client


@pytest.fixture
async def async_client(server: WebsocketServer) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asynchronous client."""
    async with openai.AsyncOpenAI(**urls(server)) as client:
        yield client


def api_of(client: Any, name: str) -> Any:
    """One of the APIs of a client. What an older client lacks is not tested with it."""
    try:
        found = operator.attrgetter(name)(client)
    except AttributeError:
        found = None
    if not hasattr(found, "connect"):
        lacking("openai", f"client.{name}.connect")
    return found


def newer(thing: Any, name: str) -> None:
    """Skip what needs a method that an older client lacks."""
    if not hasattr(thing, name):
        lacking("openai", f"{type(thing).__name__}.{name}")


def module_of(api: str) -> str:
    """The client's module."""
    return f"openai.resources.{api}.{api.rpartition('.')[2]}"


def connect(client: Any, api: str, **more: Any) -> Any:
    """A connection's manager."""
    return api_of(client, api).connect(
        **({"model": "gpt-realtime"} if "realtime" in api else {}), **more
    )


def question(api: str, wish: str = "", **more: Any) -> dict[str, Any]:
    """The event that asks for a response."""
    if "realtime" in api:
        return {"type": "response.create", "response": {"instructions": wish, **more}}
    return {"type": "response.create", "model": "gpt-5-mini", "input": wish, **more}


def ask(connection: Any, api: str, wish: str = "", **more: Any) -> None:
    """Ask for a response."""
    connection.send(question(api, wish, **more))


def wait(connection: Any, *kinds: str) -> Any:
    """Receive until there is an event of one of these kinds: the end of a response."""
    while True:
        event = connection.recv()
        if event.type in (kinds or ENDS):
            return event


async def wait_async(connection: Any, *kinds: str) -> Any:
    """The same."""
    while True:
        event = await connection.recv()
        if event.type in (kinds or ENDS):
            return event


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes; the measured time is checked to be there."""
    told = dict(span.attributes or {})
    for name in ("orq_otel", "gen_ai"):
        seconds = told.pop(f"{name}.response.time_to_first_chunk", None)
        assert seconds is None or 0 < seconds < 10
    return told


def at(server: WebsocketServer) -> dict[str, Any]:
    """The attributes of the server."""
    host, port = server.address
    return {"server.address": host, "server.port": port}


def is_well(span: ReadableSpan) -> bool:
    """Whether the span ended without an error."""
    return (
        span.end_time is not None
        and span.status.status_code is StatusCode.UNSET
        and "error.type" not in (span.attributes or {})
    )


def names(api: str) -> tuple[str, str]:
    """The operations of a response and of a session."""
    if "realtime" in api:
        return "realtime_response", "realtime_session"
    return "chat", "responses_session"


def name_of(span: ReadableSpan) -> str:
    """The operation of a span."""
    return span.name.split()[0]


def in_session(telemetry: Telemetry) -> tuple[list[ReadableSpan], ReadableSpan]:
    """The responses, which ended first, and the session that they are all in."""
    *answers, session = telemetry.spans
    assert name_of(session) in ("realtime_session", "responses_session")
    assert name_of(answers[0]) in ("realtime_response", "chat") if answers else True
    for answer in answers:
        assert answer.parent == session.context
        assert answer.kind is session.kind is SpanKind.CLIENT
        assert (answer.start_time or 0) >= (session.start_time or 0)
        assert (answer.end_time or 0) <= (session.end_time or 0)
    return answers, session


def reasons(span: ReadableSpan) -> Any:
    """Why the model stopped."""
    told = span.attributes or {}
    for name in ("gen_ai", "orq_otel"):
        if f"{name}.response.finish_reasons" in told:
            return told[f"{name}.response.finish_reasons"]
    return None


# ---- What the spans say -------------------------------------------------------------------------


@realtime
def test_a_realtime_response(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    with thread("t-1", tags=["a", "b"]), connect(client, api) as connection:
        connection.response.create(response={"output_modalities": ["text"]})
        done = wait(connection)

    (answer,), session = in_session(instrumented)
    assert done.response.status == "completed"
    assert answer.name == "realtime_response gpt-realtime"
    assert attributes(answer) == {
        "orq_otel.operation.name": "realtime_response",
        "orq_otel.provider.name": "openai",
        "orq_otel.request.model": "gpt-realtime",
        "orq_otel.output.type": "text",
        "orq_otel.response.id": done.response.id,
        "orq_otel.conversation.id": "conv_1",
        "orq_otel.response.status": "completed",
        "orq_otel.response.finish_reasons": ("stop",),
        "orq_otel.usage.input_tokens": 30,
        "orq_otel.usage.text.input_tokens": 18,
        "orq_otel.usage.audio.input_tokens": 12,
        "orq_otel.usage.cache_read.input_tokens": 8,
        "orq_otel.usage.text.cache_read.input_tokens": 5,
        "orq_otel.usage.audio.cache_read.input_tokens": 3,
        "orq_otel.usage.output_tokens": 17,
        "orq_otel.usage.text.output_tokens": 5,
        "orq_otel.usage.audio.output_tokens": 12,
        **LABELS,
        **at(server),
    }
    assert "orq_otel.response.time_to_first_chunk" in (answer.attributes or {})
    assert session.name == "realtime_session gpt-realtime"
    assert attributes(session) == {
        "orq_otel.operation.name": "realtime_session",
        "orq_otel.provider.name": "openai",
        "orq_otel.request.model": "gpt-realtime",
        "orq_otel.response.model": "gpt-realtime",
        "orq_otel.session.id": "sess_1",
        **LABELS,
        **at(server),
    }
    assert session.parent is None
    assert is_well(session)
    assert is_well(answer)
    assert SECRET not in answer.to_json() + session.to_json()


def test_every_parameter_of_a_realtime_response(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with connect(client, "realtime") as connection:
        connection.send(
            question(
                "realtime",
                temperature=1,
                max_output_tokens=9,
                reasoning={"effort": "low"},
                prompt={"id": "pmpt_1", "version": "2"},
            )
        )
        wait(connection)

    (answer,), _ = in_session(instrumented)
    told = attributes(answer)
    assert told["orq_otel.request.temperature"] == 1.0
    assert told["orq_otel.request.max_tokens"] == 9
    assert told["orq_otel.request.reasoning.level"] == "low"
    assert told["orq_otel.prompt.name"] == "pmpt_1"
    assert told["orq_otel.prompt.version"] == "2"
    assert told["orq_otel.output.type"] == "speech"
    assert told["orq_otel.response.status"] == "incomplete"
    assert told["orq_otel.response.finish_reasons"] == ("length",)
    assert is_well(answer)


@responses
def test_a_response(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer, api: str
) -> None:
    with thread("t-1", tags=["a", "b"]), connect(client, api) as connection:
        connection.response.create(model="gpt-5-mini", input="Where is it?", temperature=1)
        done = wait(connection)

    (answer,), session = in_session(instrumented)
    assert answer.name == "chat gpt-5-mini"
    assert attributes(answer) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "openai.api.type": "responses",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.response.id": done.response.id,
        "gen_ai.response.model": "gpt-5-mini-2026-08-01",
        "gen_ai.response.finish_reasons": ("stop",),
        "openai.response.service_tier": "default",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.conversation.id": "t-1",
        **LABELS,
        **at(server),
    }
    assert "gen_ai.response.time_to_first_chunk" in (answer.attributes or {})
    assert session.name == "responses_session"
    assert attributes(session) == {
        "orq_otel.operation.name": "responses_session",
        "orq_otel.provider.name": "openai",
        **LABELS,
        **at(server),
    }
    assert SECRET not in answer.to_json() + session.to_json()


def test_a_conversation_and_a_thread_that_the_request_brings(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with thread("t-1"), connect(client, "responses") as connection:
        connection.send(question("responses", conversation="conv_9", previous_response_id="r"))
        wait(connection)
        connection.send(question("responses", orq={"thread": {"id": "t-2", "tags": ["x"]}}))
        wait(connection)

    (first, second), _ = in_session(instrumented)
    assert attributes(first)["gen_ai.conversation.id"] == "conv_9"
    assert attributes(first)["gen_ai.request.previous_response.id"] == "r"
    assert attributes(first)["thread.id"] == "t-1"
    assert attributes(second)["thread.id"] == "t-2"
    assert attributes(second)["thread.tags"] == ("x",)


@every
def test_several_responses_in_a_session(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    tools = [{"type": "function", "name": "find_parcel", "parameters": {}}]
    with connect(client, api) as connection:
        ask(connection, api)
        wait(connection)
        ask(connection, api, tools=tools)
        wait(connection)
        ask(connection, api, max_output_tokens=3)
        wait(connection)

    answers, session = in_session(instrumented)
    assert [reasons(answer) for answer in answers] == [
        ("stop",),
        ("tool_calls",),
        ("length",),
    ]
    assert len({attributes(answer).get("gen_ai.response.id") for answer in answers}) == (
        3 if "responses" in api else 1
    )
    assert all(is_well(span) for span in [*answers, session])


@every
def test_a_response_that_fails(instrumented: Telemetry, client: openai.OpenAI, api: str) -> None:
    with connect(client, api) as connection:
        ask(connection, api, "fail")
        wait(connection)

    (answer,), session = in_session(instrumented)
    code = "rate_limit_exceeded" if "realtime" in api else "server_error"
    assert answer.status.status_code is StatusCode.ERROR
    assert attributes(answer)["error.type"] == code
    assert reasons(answer) == ("error",)
    assert is_well(session)
    assert SECRET not in answer.to_json()


@realtime
def test_content_where_it_is_wanted(client: openai.OpenAI, api: str) -> None:
    tools = [{"type": "function", "name": "find_parcel"}]
    asked = {"type": "message", "role": "user"}
    spoken = {"type": "input_audio", "audio": "UklGRg=="}
    manager = connect(client, api)
    signals = Signals().instrument(capture_content=True)
    with manager as connection:
        ask(
            connection,
            api,
            "Be brief.",
            input=[
                {**asked, "content": [{"type": "input_text", "text": "Where is my parcel?"}]},
                {**asked, "content": [{**spoken, "transcript": "Well?"}]},
                {**asked, "content": [spoken]},
            ],
        )
        wait(connection)
        ask(connection, api, "x", tools=tools)
        wait(connection)
    signals.close()

    first, second, session = (dict(span.attributes or {}) for span in signals.spans)
    assert told_in(first) == {
        "system_instructions": [{"type": "text", "content": "Be brief."}],
        "input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]},
            {"role": "user", "parts": [{"type": "text", "content": "Well?"}]},
            {
                "role": "user",
                "parts": [
                    {
                        "type": "blob",
                        "modality": "audio",
                        "content": "",
                        "size": 4,
                        "digest": f"sha256:{hashlib.sha256(b'RIFF').hexdigest()}",
                    }
                ],
            },
        ],
        "output.messages": [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": f"It is a {SECRET}."}],
                "finish_reason": "stop",
            }
        ],
    }
    assert told_in(second) == {
        "system_instructions": [{"type": "text", "content": "x"}],
        "tool.definitions": tools,
        "output.messages": [
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "id": "call_1",
                        "name": "find_parcel",
                        "arguments": {"order": SECRET},
                    }
                ],
                "finish_reason": "tool_call",
            }
        ],
    }
    assert told_in(session) == {}


def told_in(given: dict[str, Any]) -> dict[str, Any]:
    """The content on a span of ours."""
    kinds = ("input.messages", "output.messages", "system_instructions", "tool.definitions")
    return {
        kind: json.loads(given[f"orq_otel.{kind}"]) for kind in kinds if f"orq_otel.{kind}" in given
    }


# ---- Whose a response is ------------------------------------------------------------------------


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
    assert attributes(unasked)["orq_otel.response.id"] == first.response.id
    assert "thread.id" not in attributes(unasked)
    assert attributes(asked)["orq_otel.response.id"] == second.response.id
    assert attributes(asked)["thread.id"] == "beside"
    assert "orq_otel.conversation.id" not in attributes(asked)


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
        attributes(answer)["thread.id"]: attributes(answer)["orq_otel.response.id"]
        for answer in answers
    } == {"quick": quick.response.id, "held": held.response.id}
    assert all("orq_otel.response.time_to_first_chunk" in (a.attributes or {}) for a in answers)


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


# ---- What the server refuses --------------------------------------------------------------------


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
    assert attributes(cancelled)["orq_otel.response.status"] == "cancelled"
    assert reasons(cancelled) == ("error",)
    assert attributes(cancelled)["orq_otel.usage.output_tokens"] == 17
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


# ---- However one receives and sends -------------------------------------------------------------


def by_bytes(connection: Any) -> None:
    """Receive bytes."""
    while json.loads(connection.recv_bytes())["type"] not in ENDS:
        pass


def by_parsing(connection: Any) -> None:
    """Receive bytes, and let the client parse them."""
    while connection.parse_event(connection.recv_bytes()).type not in ENDS:
        pass


def by_iterating(connection: Any) -> None:
    """Iterate."""
    for event in connection:
        if event.type in ENDS:
            return


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
def test_the_connection_is_the_clients_own(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        assert type(connection).__module__ == module_of(api)
        assert not hasattr(connection, "__wrapped__")
        websocket = connection._connection
        assert isinstance(websocket, websockets.sync.client.ClientConnection)
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


# ---- However it ends ----------------------------------------------------------------------------


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
    name = "orq_otel" if "realtime" in api else "gen_ai"
    assert told[f"{name}.response.id"] == held.response.id
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
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            wait(connection)
        assert len(instrumented.spans) == 2

    (answer,), session = in_session(instrumented)
    for span in (answer, session):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert attributes(span)["error.type"] == "websockets.exceptions.ConnectionClosedError"
    name = "orq_otel" if "realtime" in api else "gen_ai"
    assert f"{name}.response.id" in attributes(answer)


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
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            by_bytes(connection)
        with pytest.raises(websockets.exceptions.ConnectionClosed):
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


# ---- A connection that is made anew -------------------------------------------------------------


def reconnecting(client: Any, api: str, on_reconnecting: Callable[[Any], Any]) -> Any:
    """A manager whose connection is made anew where it breaks."""
    api_of(client, api)
    try:
        return connect(
            client, api, on_reconnecting=on_reconnecting, initial_delay=0.001, max_retries=2
        )
    except TypeError:
        lacking("openai", "reconnecting", "2.32")


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
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            by_iterating(connection)

    (answer,), session = in_session(instrumented)
    for span in (answer, session):
        assert attributes(span)["error.type"] == "websockets.exceptions.ConnectionClosedError"


# ---- Other APIs ---------------------------------------------------------------------------------


def test_a_live_session(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer
) -> None:
    with thread("t-1", tags=["a", "b"]), connect(client, "live") as connection:
        connection.session.start(session={"model": "gpt-live-1"})
        connection.response.create()
        connection.session.close()
        kinds = [event.type for event in connection]

    answer, session = instrumented.spans
    assert kinds[0] == "session.started"
    assert kinds[-1] == "session.closed"
    assert session.name == "live_session"
    assert attributes(session) == {
        "orq_otel.operation.name": "live_session",
        "orq_otel.provider.name": "openai",
        "orq_otel.response.model": "gpt-live-1",
        "orq_otel.session.id": "live_1",
        **LABELS,
        **at(server),
    }
    assert answer.parent == session.context
    assert answer.name == "chat"
    assert attributes(answer) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "openai.api.type": "responses",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": attributes(answer)["gen_ai.response.id"],
        "gen_ai.response.model": "gpt-5-mini-2026-08-01",
        "gen_ai.response.finish_reasons": ("stop",),
        "openai.response.service_tier": "default",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.conversation.id": "t-1",
        **LABELS,
        **at(server),
    }
    assert is_well(answer)
    assert is_well(session)


def test_a_session_that_runs_already(instrumented: Telemetry, client: openai.OpenAI) -> None:
    api_of(client, "live")
    with client.live.sideband.connect(session_id="live_7"):
        pass

    assert attributes(instrumented.one())["orq_otel.session.id"] == "live_7"


def test_a_translation(
    instrumented: Telemetry, client: openai.OpenAI, server: WebsocketServer
) -> None:
    api = "realtime.translations"
    with connect(client, api) as connection:
        connection.session.close()
        assert [event.type for event in connection][-1] == "session.closed"

    session = instrumented.one()
    assert attributes(session) == {
        "orq_otel.operation.name": "translation_session",
        "orq_otel.provider.name": "openai",
        "orq_otel.request.model": "gpt-realtime",
        "orq_otel.response.model": "gpt-realtime",
        "orq_otel.session.id": "sess_1",
        **at(server),
    }
    assert is_well(session)


@every
def test_websockets_may_have_a_server_of_their_own(
    instrumented: Telemetry, server: WebsocketServer, api: str
) -> None:
    given = {**urls(server), "base_url": "https://api.openai.com/v1"}
    with openai.OpenAI(**given) as client, connect(client, api) as connection:
        ask(connection, api)
        wait(connection)

    for span in instrumented.spans:
        assert at(server).items() <= attributes(span).items()


@both
def test_websockets_with_the_server_of_requests(
    instrumented: Telemetry, server: WebsocketServer, api: str
) -> None:
    with openai.OpenAI(**{**urls(server), "websocket_base_url": None}) as client:
        newer(connect(client, api), "send")  # older clients insist on TLS
        with connect(client, api) as connection:
            ask(connection, api)
            wait(connection)

    for span in instrumented.spans:
        assert at(server).items() <= attributes(span).items()


@both
def test_the_default_port(instrumented: Telemetry, api: str) -> None:
    # A name that is none, by RFC 6761.
    with openai.OpenAI(api_key="k", websocket_base_url="wss://model.invalid/v1") as client:
        with pytest.raises(OSError):  # noqa: PT011 - whatever the machine makes of it
            connect(client, api).enter()

    told = attributes(instrumented.one())
    assert told["server.address"] == "model.invalid"
    assert told["server.port"] == 443


@both
def test_azure(instrumented: Telemetry, api: str) -> None:
    with openai.AzureOpenAI(
        api_key="k", api_version="2026-08-01", azure_endpoint="https://model.invalid"
    ) as client:
        with pytest.raises(OSError):  # noqa: PT011 - whatever the machine makes of it
            connect(client, api).enter()

    session = instrumented.one()
    assert attributes(session)["orq_otel.provider.name"] == "azure.ai.openai"
    assert attributes(session)["server.address"] == "model.invalid"


def test_the_model_in_the_query(instrumented: Telemetry, client: openai.OpenAI) -> None:
    session = api_of(client, GENERAL)
    try:
        manager = session.connect(extra_query={"model": "gpt-realtime-mini"})
    except TypeError:
        lacking("openai", "realtime without a model")
    with manager as connection:
        ask(connection, GENERAL)
        wait(connection)

    assert [span.name.split()[1] for span in instrumented.spans] == ["gpt-realtime-mini"] * 2


# ---- Asynchronous -------------------------------------------------------------------------------


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
async def test_async_the_connection_breaks(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI, api: str
) -> None:
    async with connect(async_client, api) as connection:
        await connection.send(question(api, "break"))
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            await wait_async(connection)
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
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


# ---- Threads of the operating system ------------------------------------------------------------


@both
def test_one_thread_sends_and_another_receives(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection, ThreadPoolExecutor(1) as reader:
        for number in range(5):
            end = reader.submit(wait, connection)
            with thread(f"t-{number}"):
                ask(connection, api)
            end.result(timeout=10)
        with thread("bound"):
            send = bind(ask)
        end = reader.submit(wait, connection)
        threading.Thread(target=send, args=(connection, api)).start()
        end.result(timeout=10)

    answers, _ = in_session(instrumented)
    assert [attributes(answer)["thread.id"] for answer in answers] == [
        *(f"t-{number}" for number in range(5)),
        "bound",
    ]


@both
def test_it_is_closed_while_another_thread_receives(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection, ThreadPoolExecutor(1) as reader:
        ask(connection, api, "hold")
        wait(connection, "response.created")
        end = reader.submit(by_iterating, connection)
        connection.close()
        end.result(timeout=10)

    answers, session = in_session(instrumented)
    assert len(answers) == 1
    assert is_well(answers[0])
    assert is_well(session)


# ---- Switched off -------------------------------------------------------------------------------


@every
def test_suppressed(instrumented: Telemetry, client: openai.OpenAI, api: str) -> None:
    manager = connect(client, api)
    with suppress_instrumentation(), manager as connection:
        assert type(connection._connection).__module__.startswith("websockets")
        ask(connection, api)
        wait(connection)
    token = context.attach(context.set_value("suppress_instrumentation", True))
    with connect(client, api) as connection:
        ask(connection, api)
        wait(connection)
    context.detach(token)

    assert instrumented.spans == []


@both
def test_a_manager_that_is_entered_again(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    manager = connect(client, api)
    with manager as connection:
        ask(connection, api)
        wait(connection)
    with suppress_instrumentation(), manager as connection:
        ask(connection, api)
        wait(connection)
    with manager as connection:
        ask(connection, api)
        wait(connection)

    assert [name_of(span).endswith("session") for span in instrumented.spans] == [False, True] * 2


@both
def test_one_response_is_suppressed(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection:
        with suppress_instrumentation():
            ask(connection, api)
        wait(connection)
        ask(connection, api, max_output_tokens=3)
        wait(connection)

    answers, _ = in_session(instrumented)
    assert [reasons(answer) for answer in answers] == [("length",)]


@every
def test_uninstrumented(telemetry: Telemetry, client: openai.OpenAI, api: str) -> None:
    api_of(client, api)
    module: Any = importlib.import_module(module_of(api))
    names = [name for name in vars(module) if name.endswith("ConnectionManager")]
    assert len(names) == 2

    def methods() -> list[type]:
        return [type(value) for name in names for value in vars(getattr(module, name)).values()]

    before = methods()
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    assert methods() != before
    with connect(client, api) as connection:
        ask(connection, api, "hold")
        wait(connection, "response.created")
        OpenAIInstrumentor().uninstrument()
        assert methods() == before
        lane = {"conversation": "none"} if "realtime" in api else {"stream_id": "two"}
        ask(connection, api, **lane)
        wait(connection)
        wait(connection)
    with connect(client, api) as connection:
        ask(connection, api)
        wait(connection)

    answers, _ = in_session(telemetry)  # which had begun before
    assert [reasons(answer) for answer in answers] == [("stop",)]


@both
def test_not_sampled(server: WebsocketServer, client: openai.OpenAI, api: str) -> None:
    manager = connect(client, api)
    signals = Signals(sampler=ALWAYS_OFF).instrument()
    with thread("t-1"), manager as connection:
        ask(connection, api)
        wait(connection)
    metrics = signals.metrics()
    signals.close()

    assert signals.spans == []
    assert ("gen_ai.client.inference.duration" in metrics) == (api == "responses")


def test_metrics(client: openai.OpenAI, server: WebsocketServer) -> None:
    manager = connect(client, "responses")
    signals = Signals().instrument()
    with thread("t-1"), manager as connection:
        ask(connection, "responses")
        wait(connection)
    with connect(client, "realtime") as connection:
        ask(connection, "realtime")
        wait(connection)
    metrics = signals.metrics()
    signals.close()

    (point,) = metrics["gen_ai.client.inference.operation.output_tokens"]
    assert point.sum == 4
    assert point.attributes["gen_ai.response.model"] == "gpt-5-mini-2026-08-01"
    (point,) = metrics["gen_ai.client.inference.time_per_output_chunk"]
    assert point.count == 5  # of six events


@both
def test_without_an_sdk(client: openai.OpenAI, server: WebsocketServer, api: str) -> None:
    manager = connect(client, api)
    OpenAIInstrumentor().instrument(tracer_provider=NoOpTracerProvider())
    with thread("t-1"), manager as connection:
        assert type(connection._connection).__module__.startswith("websockets")
        ask(connection, api)
        wait(connection)
    OpenAIInstrumentor().uninstrument()


# ---- Mistakes of ours ---------------------------------------------------------------------------


class Broken(Exception):
    """What our code raises in these tests."""


def broken(*_: Any, **__: Any) -> Any:
    """A function of ours that fails."""
    raise Broken("with content in its text")


def use_everything(client: openai.OpenAI, api: str) -> list[str]:
    """What a caller receives in a session with a bit of everything, and what it ends with."""
    got = []
    with connect(client, api) as connection:
        for wish in ("", "fail", "error", "break"):
            ask(connection, api, wish)
            try:
                while not got or got[-1] not in ENDS:
                    got.append(connection.recv().type)
            except websockets.exceptions.ConnectionClosedError as error:
                got.append(type(error).__name__)
            got.append(f"after {wish}")
        with contextlib.suppress(websockets.exceptions.ConnectionClosedError):
            ask(connection, api)
            got.append("sent")
    return got


PLACES = [
    ("openai.websockets", "suppressed"),
    ("openai.websockets", "Websocket"),
    ("openai.sessions", "start_attributes"),
    ("openai.sessions", "start_call"),
    ("openai.sessions", "current_thread"),
    ("openai.sessions", "get"),
    ("openai.sessions", "fields"),
    ("openai.sessions", "_server"),
    ("openai.session_responses", "_first"),
    ("openai.session_responses", "_remove"),
    ("openai.session_responses", "SessionResponse.feed"),
    ("openai.session_responses", "SessionResponse.end"),
    ("openai.sessions", "Session.start"),
    ("openai.sessions", "Session.opened"),
    ("openai.session_responses", "OpenResponses.end"),
    ("payloads.realtime", "fields"),
]


@both
@pytest.mark.parametrize(("module", "name"), PLACES, ids=[f"{m}.{n}" for m, n in PLACES])
def test_a_function_of_ours_fails(
    telemetry: Telemetry,
    client: openai.OpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    api: str,
    module: str,
    name: str,
) -> None:
    bare = use_everything(client, api)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    monkeypatch.setattr(f"orq_otel.{module}.{name}", broken)
    with thread("t-1"):
        assert use_everything(client, api) == bare
    OpenAIInstrumentor().uninstrument()

    lines = [record.getMessage() for record in caplog.records if record.name == "orq_otel"]
    assert lines or (module == "payloads.realtime") == (api == "responses")
    assert all("Broken at test_websockets.py" in line for line in lines)
    assert "with content" not in caplog.text


@both
async def test_async_a_function_of_ours_fails(
    instrumented: Telemetry,
    async_client: openai.AsyncOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    api: str,
) -> None:
    for name in (
        "websockets.AsyncWebsocket",
        "sessions.start_call",
        "session_responses.SessionResponse.feed",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"orq_otel.openai.{name}", broken)
            async with connect(async_client, api) as connection:
                await connection.send(question(api))
                assert (await wait_async(connection)).type in ENDS

    assert "Broken at test_websockets.py" in caplog.text


@every
@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_AND_EVENT"])
def test_all_of_it_follows_the_conventions(client: openai.OpenAI, api: str, mode: str) -> None:
    """The checker of `tests/conformance` finds nothing, but for the string in `thread.id`."""
    signals = Signals().instrument(capture_content=mode)
    try:  # what a client lacks is skipped, and must not leave it instrumented
        with thread("t-1", tags=["a"]), connect(client, api) as connection:
            ask(connection, api)
            wait(connection)
            ask(connection, api, "fail")
            wait(connection)
        findings = [
            *check_spans(signals.spans, require_genai=api.endswith("responses")),
            *check_logs(signals.logs),
            *check_metrics(signals.metrics_data(), operations=()),
        ]
    finally:
        signals.close()
    allowed = ("thread.id", "core_type_conflict")
    wrong = [f for f in findings if f.level != "info" and (f.key, f.code) != allowed]
    assert len(signals.spans) == 3
    assert wrong == []


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
    prefix = "orq_otel" if is_realtime else "gen_ai"
    assert told[f"{prefix}.usage.output_tokens"] == 5
    assert f"{prefix}.response.finish_reasons" not in told  # it may have called a tool


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
