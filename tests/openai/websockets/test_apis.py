"""Other APIs, and other servers."""

from __future__ import annotations

import openai
import pytest
from support.client_versions import lacking, needs
from support.recorded import Telemetry
from support.vendor_websockets import WebsocketServer
from support.websocket_sessions import (
    GENERAL,
    LABELS,
    api_of,
    ask,
    at,
    attributes,
    both,
    connect,
    every,
    is_well,
    newer,
    urls,
    wait,
)

from orq_otel import thread

pytestmark = needs("openai", "1.58", "websockets")


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
        "gen_ai.operation.name": "live_session",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-live-1",
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
        "gen_ai.operation.name": "translation_session",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-realtime",
        "gen_ai.response.model": "gpt-realtime",
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
    assert attributes(session)["gen_ai.provider.name"] == "azure.ai.openai"
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
