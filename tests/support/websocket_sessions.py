"""Sessions over websockets: ways to ask and to wait, and what their spans say."""

from __future__ import annotations

import importlib.util
import json
import operator
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from support.client_versions import lacking
from support.recorded import Telemetry
from support.vendor_websockets import WebsocketServer

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
    "gen_ai.conversation.id": "t-1",
}


def urls(server: WebsocketServer) -> dict[str, Any]:
    """What a client is made with."""
    return {
        "api_key": "sk-test-key",
        "base_url": server.base_url.replace("ws:", "http:"),
        "websocket_base_url": server.base_url,
    }


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
    return told.get("gen_ai.response.finish_reasons")


def by_bytes(connection: Any) -> None:
    """Receive bytes."""
    while json.loads(connection.recv_bytes())["type"] not in ENDS:
        pass


def by_iterating(connection: Any) -> None:
    """Iterate."""
    for event in connection:
        if event.type in ENDS:
            return


def reconnecting(client: Any, api: str, on_reconnecting: Callable[[Any], Any]) -> Any:
    """A manager whose connection is made anew where it breaks."""
    api_of(client, api)
    try:
        return connect(
            client, api, on_reconnecting=on_reconnecting, initial_delay=0.001, max_retries=2
        )
    except TypeError:
        lacking("openai", "reconnecting", "2.32")
