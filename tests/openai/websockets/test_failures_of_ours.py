"""A failure of ours changes nothing for the caller."""

from __future__ import annotations

import contextlib
from typing import Any

import openai
import pytest
from support.client_versions import needs
from support.recorded import Telemetry
from support.websocket_sessions import (
    ENDS,
    ask,
    both,
    connect,
    question,
    wait_async,
)
from websockets.exceptions import ConnectionClosedError

from orq_otel import OpenAIInstrumentor, thread

pytestmark = needs("openai", "1.58", "websockets")


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
            except ConnectionClosedError as error:
                got.append(type(error).__name__)
            got.append(f"after {wish}")
        with contextlib.suppress(ConnectionClosedError):
            ask(connection, api)
            got.append("sent")
    return got


PLACES = [
    ("openai.websockets", "traced_context"),
    ("openai.websockets", "Websocket"),
    ("openai.websockets", "websocket_of"),
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
    assert all("Broken at test_failures_of_ours.py" in line for line in lines)
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

    assert "Broken at test_failures_of_ours.py" in caplog.text
