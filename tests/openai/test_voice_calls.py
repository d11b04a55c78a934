"""Calls by voice that are set up, taken or forked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from support.client_calls import Method, own, server, told
from support.recorded import Telemetry
from support.signals import Signals

from orq_otel import thread

WEBRTC = {"type": "webrtc", "sdp": "v=0"}
SESSION = {"model": "gpt-live", "instructions": "Be brief."}
CALL = {"type": "realtime", "model": "gpt-realtime", "max_output_tokens": 99}


@pytest.fixture
def captured() -> Iterator[Signals]:
    """An instrumented client, with content on spans."""
    signals = Signals().instrument(capture_content=True)
    yield signals
    signals.close()


@pytest.mark.parametrize(
    ("method", "model", "more"),
    [
        (
            Method("realtime.calls.accept", {"call_id": "call_1", **CALL}),
            "gpt-realtime",
            {"orq_otel.session.id": "call_1", "gen_ai.request.max_tokens": 99},
        ),
        (
            Method("live.create", {"session": SESSION, "transport": WEBRTC}),
            "gpt-live",
            {"orq_otel.session.id": "live_*"},
        ),
        (
            Method("live.sessions.accept", {"session_id": "live_1", "session": SESSION}),
            "gpt-live",
            {"orq_otel.session.id": "live_1"},
        ),
        (
            Method("live.sessions.fork", {"session_id": "live_1", "transport": WEBRTC}),
            None,
            {"orq_otel.session.id": "live_*"},
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["", "with_raw_response"])
def test_a_call(
    instrumented: Telemetry,
    client: openai.OpenAI,
    method: Method,
    model: str | None,
    more: dict[str, Any],
    way: str,
) -> None:
    with thread("t-1"):
        method.of(client, way)(**method.given)

    span = instrumented.one()
    assert span.name == ("start_call" if model is None else f"start_call {model}")
    assert told(span) == {
        **own("start_call", model),
        **more,
        "thread.id": "t-1",
        "orq.thread_id": "t-1",
        "gen_ai.conversation.id": "t-1",
        **server(client),
    }


def test_a_call_whose_settings_are_in_a_form(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    create = Method("realtime.calls.create").of(client)
    assert create(sdp="v=0", session=CALL).read()

    assert told(instrumented.one()) == {**own("start_call"), **server(client)}


def test_content_of_a_call(captured: Signals, client: openai.OpenAI) -> None:
    tools = [{"type": "function", "name": "find_parcel", "parameters": {}}]
    accept = Method("realtime.calls.accept").of(client)
    accept("call_1", **CALL, instructions="Be brief.", tools=tools)

    (span,) = captured.spans
    attributes = span.attributes or {}
    instructions = json.loads(str(attributes["gen_ai.system_instructions"]))
    assert instructions == [{"type": "text", "content": "Be brief."}]
    found = json.loads(str(attributes["gen_ai.tool.definitions"]))
    assert found == [{"type": "function", "name": "find_parcel"}]
