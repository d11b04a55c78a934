"""Whatever Orq's server repeats, nothing of it leaves the process unasked."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.client_versions import lacking
from support.echoes import (
    CREDENTIALS,
    ECHO,
    PROMPT,
    assert_no_credential_leaked,
    assert_nothing_leaked,
    echo,
    error,
    headers,
    refusal,
    switching_on,
)
from support.signals import Signals

from orq_otel import OrqInstrumentor

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

#: All of a call of this client.
SAID = echo("token", "organization", "more query", "tool", "tool header")

Ask = Callable[[Any], Any]
MESSAGES = [{"role": "user", "content": PROMPT}]
AGENT_MESSAGE = {"role": "user", "parts": [{"kind": "text", "text": PROMPT}]}


@pytest.fixture
def orq(server: ByteServer) -> Iterator[Any]:
    """A client with every kind of credential that it may have."""
    user = f"{CREDENTIALS['user']}:{quote(CREDENTIALS['password'], safe='')}@"
    transport = httpx.HTTPTransport(proxy=f"http://me:{CREDENTIALS['proxy']}@proxy.example")
    with (
        httpx.Client(
            headers=headers(),
            params={"sig": CREDENTIALS["query"]},
            mounts={"all://proxied.example": transport},
        ) as client,
        orq_ai_sdk.Orq(
            api_key=CREDENTIALS["key"],
            server_url=server.base_url.removesuffix("/v1").replace("//", f"//{user}"),
            client=client,
        ) as orq,
    ):
        yield orq


@pytest.fixture
def switch_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Signals]]:
    """Switches on an instrumentation with all signals."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CREDENTIALS['environment']}@proxy.example:3128")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    with switching_on(OrqInstrumentor) as switch:
        yield switch


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="orq_otel")
    return caplog


def more() -> dict[str, Any]:
    """What a single request may add."""
    return {"http_headers": {"X-More": CREDENTIALS["more header"]}}


def invoke(orq: Any) -> Any:
    return orq.deployments.invoke(key="support", messages=MESSAGES, **more())


def stream(orq: Any) -> Any:
    return list(orq.deployments.stream(key="support", messages=MESSAGES, **more()))


def operation(orq: Any, path: str) -> Any:
    """A method of the client. Older ones have no agents that answer, and no router."""
    try:
        return operator.attrgetter(path)(orq)
    except AttributeError:
        lacking("orq-ai-sdk", path)


def ask_agent(orq: Any, **given: Any) -> Any:
    create = operation(orq, "agents.responses.create")
    return create(agent_key="support", message=AGENT_MESSAGE, **given, **more())


def stream_agent(orq: Any) -> Any:
    return list(ask_agent(orq, stream=True))


def chat(orq: Any) -> Any:
    create = operation(orq, "router.chat.completions.create")
    return create(model="openai/m", messages=MESSAGES, **more())


def search(orq: Any) -> Any:
    return operation(orq, "knowledge.search")(knowledge_id="k", query=PROMPT, **more())


def failed(code: Any) -> bytes:
    data = {"type": "response.failed", "data": {"error": ECHO, "code": code, "message": ECHO}}
    return http(
        sse([{"event": "response.failed", "data": data, **data}]), content_type="text/event-stream"
    )


WAYS: dict[str, tuple[bytes, Ask]] = {
    "an error": (refusal({"error": error()}), invoke),
    "at the top level": (refusal(error()), invoke),
    "of a stream": (refusal(error()), stream),
    "of an agent": (refusal(error(), "404 X"), ask_agent),
    "of an agent's stream": (refusal(error(), "500 X"), stream_agent),
    "of the router": (refusal({"error": error()}, "429 X"), chat),
    "of a search": (refusal({"error": error()}, "422 X"), search),
    "nothing but a text": (refusal({"error": ECHO}), chat),
    "a list": (refusal([ECHO]), invoke),
    "plain text": (http(ECHO.encode(), status="500 X", content_type="text/plain"), invoke),
    "a good status and text": (http(ECHO.encode(), content_type="text/plain"), invoke),
    "an answer that breaks off": (http(as_json({"id": ECHO})[:-3]), invoke),
    "an answer that does not fit": (http(as_json({"choices": ECHO, "id": [ECHO]})), invoke),
    "a redirection": (
        http(b"", status="307 X", headers=["location: http://127.0.0.1:1/?sig=SIGNEDSECRET"]),
        invoke,
    ),
    "a failure in a stream": (failed(ECHO), stream_agent),
    "a key for a code": (failed(CREDENTIALS["key"]), stream_agent),
    "a header for a code": (failed(CREDENTIALS["more header"]), stream_agent),
    "a password for a code": (refusal({"error": error(CREDENTIALS["user"])}), chat),
    "a proxy for a code": (refusal({"error": error(CREDENTIALS["proxy"])}), chat),
}


@pytest.mark.parametrize(("answer", "ask"), WAYS.values(), ids=WAYS)
def test_what_a_server_repeats(
    switch_on: Callable[..., Signals],
    orq: Any,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    answer: bytes,
    ask: Ask,
) -> None:
    signals = switch_on(capture_content=False)
    server.script(Answer(answer))
    with suppress(Exception):  # whatever the client makes of it
        ask(orq)
    assert_nothing_leaked(signals, log.text)


def test_the_message_goes_where_content_goes(
    switch_on: Callable[..., Signals],
    orq: Any,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
) -> None:
    signals = switch_on(capture_content="SPAN_ONLY")
    server.script(Answer(refusal({"error": {"message": SAID, "code": "c-1"}})))
    with pytest.raises(orq_ai_sdk.models.OrqError):
        invoke(orq)

    assert_no_credential_leaked(signals, log.text)
    (span,) = signals.spans
    assert str(span.status.description).startswith(f"Error code: 400 - code c-1: {PROMPT} | ")
    (exception,) = [told for name, told in signals.events() if name and name.endswith("exception")]
    assert exception["exception.message"] == "Error code: 400 - code c-1"
