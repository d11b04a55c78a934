"""Whatever the far end repeats, or a hook raises, nothing of it leaves the process unasked."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import openai
import pytest
from pydantic import BaseModel
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.client_versions import needs
from support.echoes import (
    CREDENTIALS,
    ECHO,
    PROMPT,
    SIGNED,
    assert_no_credential_leaked,
    assert_nothing_leaked,
    error,
    headers,
    messages,
    refusal,
    switching_on,
    tools,
)
from support.openai_versions import chat_helpers, chat_helpers_api, responses_api
from support.signals import Signals

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own

Ask = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def secrets_all_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for hosts that nobody calls here, and events with all that they may tell."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CREDENTIALS['environment']}@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Signals]]:
    """Switches on an instrumentation with all signals."""
    with switching_on() as switch:
        yield switch


@pytest.fixture
def signals(switch_on: Callable[..., Signals]) -> Signals:
    """All signals, without content."""
    return switch_on(capture_content=False)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="orq_otel")
    return caplog


def url_of(server: ByteServer) -> str:
    """With a user's name and password."""
    user = f"{CREDENTIALS['user']}:{quote(CREDENTIALS['password'], safe='')}@"
    return server.base_url.replace("http://", f"http://{user}")


def options(server: ByteServer, **more: Any) -> dict[str, Any]:
    return {
        "api_key": CREDENTIALS["key"],
        "organization": CREDENTIALS["organization"],
        "base_url": url_of(server),
        "default_headers": headers(),
        "default_query": {"sig": CREDENTIALS["query"]},
        "max_retries": 0,
        **more,
    }


def proxied(kind: Any) -> Any:
    """An HTTP client with a proxy, for hosts that nobody calls here."""
    from openai import DefaultHttpxClient  # noqa: PLC0415

    transport = type(DefaultHttpxClient()._transport)
    mounts = {
        "all://proxied.example": transport(proxy=f"http://me:{CREDENTIALS['proxy']}@p.example")
    }
    return kind(mounts=mounts)


@pytest.fixture
def client(server: ByteServer) -> Iterator[openai.OpenAI]:
    """A client with every kind of credential that it may have."""
    http_client = proxied(openai.DefaultHttpxClient)
    with openai.OpenAI(**options(server, http_client=http_client)) as client:
        yield client


def more() -> dict[str, Any]:
    """What a single request may add to them."""
    return {
        "extra_headers": {"X-More": CREDENTIALS["more header"]},
        "extra_query": {"more": CREDENTIALS["more query"]},
    }


def chat(client: Any, **given: Any) -> Any:
    return client.chat.completions.create(
        model="m", messages=messages(), tools=tools(), **more(), **given
    )


def streamed(client: Any) -> Any:
    return list(chat(client, stream=True))


def raw(client: Any) -> Any:
    completions = client.chat.completions.with_raw_response
    return completions.create(model="m", messages=messages(), **more()).parse()


def streaming_raw(client: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(
        model="m", messages=messages(), stream=True, **more()
    ) as response:
        return list(response.iter_lines())


def respond(client: Any, **given: Any) -> Any:
    return client.responses.create(model="m", input=PROMPT, **more(), **given)


def streamed_response(client: Any) -> Any:
    return list(respond(client, stream=True))


def fetched(client: Any) -> Any:
    return client.responses.retrieve("resp_1", **more())


def run(client: Any) -> Any:
    return client.beta.threads.runs.create(thread_id="t", assistant_id="a", **more())


def run_with_instructions(client: Any) -> Any:
    return client.beta.threads.runs.create(thread_id="t", assistant_id="a", instructions=PROMPT)


def streamed_run(client: Any) -> Any:
    return list(
        client.beta.threads.runs.create(thread_id="t", assistant_id="a", stream=True, **more())
    )


def embed(client: Any) -> Any:
    return client.embeddings.create(model="m", input=PROMPT, **more())


def moderate(client: Any) -> Any:
    return client.moderations.create(input=PROMPT, **more())


def imagine(client: Any) -> Any:
    return client.images.generate(prompt=PROMPT, **more())


def complete(client: Any) -> Any:
    return client.completions.create(model="m", prompt=PROMPT, **more())


def batch(client: Any) -> Any:
    return client.batches.create(
        input_file_id="f", endpoint="/v1/embeddings", completion_window="24h", **more()
    )


def events(*given: Any, **how: Any) -> bytes:
    return http(sse(given, **how), content_type="text/event-stream")


def chunk(**choice: Any) -> dict[str, Any]:
    whole = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None, **choice}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [whole],
    }


def response(**more: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "model": "m", "output": [], **more}


def ended_run(**more: Any) -> dict[str, Any]:
    return {"id": "r", "object": "thread.run", "status": "failed", **more}


COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
}

#: What a server answers, and how it is asked.
WAYS: dict[str, tuple[bytes, Ask]] = {
    "an error": (refusal({"error": error()}), chat),
    "of a streamed call": (refusal({"error": error()}), streamed),
    "of a raw call": (refusal({"error": error()}), raw),
    "of a raw and streamed call": (refusal({"error": error()}), streaming_raw),
    "of an unknown status": (refusal({"error": error()}, f"499 {PROMPT}"), chat),
    "of the server's own": (refusal({"error": error()}, "503 Busy"), chat),
    "of the key": (refusal({"error": error()}, "401 Unauthorized"), chat),
    "at the top level": (refusal(error()), chat),
    "nothing but a text": (refusal({"error": ECHO}), chat),
    "a list": (refusal([{"msg": ECHO, "loc": [ECHO], "input": ECHO}]), chat),
    "details of a validation": (refusal({"detail": [{"loc": [ECHO], "input": ECHO}]}), chat),
    "fields of other types": (refusal({"error": error({"a": [ECHO]})}), chat),
    "lists of texts": (refusal({"error": error([ECHO])}), chat),
    "names of fields": (refusal({"error": {ECHO: ECHO, "innererror": {"code": ECHO}}}), chat),
    "plain text": (http(ECHO.encode(), status="502 X", content_type="text/plain"), chat),
    "a page": (http(f"<p>{ECHO}</p>".encode(), status="502 X", content_type="text/html"), chat),
    "JSON that breaks off": (refusal(as_json({"error": error()})[:-2]), chat),
    "headers": (http(b"{}", status="400 X", headers=[f"x-error: {ECHO}"]), chat),
    "a good status and JSON that breaks off": (http(as_json({"a": ECHO})[:-2]), chat),
    "a good status and an error": (http(as_json({"error": error()})), chat),
    "a redirection": (
        http(b"", status="307 X", headers=["location: http://127.0.0.1:1/?sig=SIGNEDSECRET"]),
        chat,
    ),
    "an error in a stream": (events(chunk(), {"error": error()}), streamed),
    "a text for an error in a stream": (events(chunk(), {"error": ECHO}), streamed),
    "an error in a raw stream": (events(chunk(), {"error": error()}), streaming_raw),
    "a chunk that breaks off": (events(chunk(), b'{"choices": "' + ECHO.encode()), streamed),
    "a reason in a stream": (events(chunk(finish_reason=ECHO)), streamed),
    "a reason": (
        http(
            as_json(
                {**COMPLETION, "choices": [{**COMPLETION["choices"][0], "finish_reason": ECHO}]}
            )
        ),  # type: ignore[index, dict-item]
        chat,
    ),
    "an error of a completion": (refusal({"error": error()}), complete),
    "an error of embeddings": (refusal({"error": error()}), embed),
    "an error of a moderation": (refusal({"error": error()}), moderate),
    "an error of images": (refusal({"error": error()}), imagine),
    "a run that failed": (
        http(as_json(ended_run(last_error={"code": ECHO, "message": ECHO}))),
        run,
    ),
    "a run that is incomplete": (
        http(as_json(ended_run(status="incomplete", incomplete_details={"reason": ECHO}))),
        run,
    ),
    "a streamed run that failed": (
        events({"type": "thread.run.failed", **ended_run(last_error={"code": ECHO})}, names=True),
        streamed_run,
    ),
    "a batch that failed": (
        http(as_json({"id": "b", "status": "failed", "errors": {"data": [error()]}})),
        batch,
    ),
}
RESPONSES_WAYS: dict[str, tuple[bytes, Ask]] = {
    "an error": (refusal({"error": error()}), respond),
    "an error in a stream": (events({"type": "error", **error()}, names=True), streamed_response),
    "nested": (events({"type": "error", "error": error()}, names=True), streamed_response),
    "failed": (
        http(as_json(response(status="failed", error={"code": ECHO, "message": ECHO}))),
        respond,
    ),
    "failed in a stream": (
        events(
            {
                "type": "response.failed",
                "response": response(status="failed", error={"code": ECHO, "message": ECHO}),
            },
            names=True,
        ),
        streamed_response,
    ),
    "incomplete": (
        http(as_json(response(status="incomplete", incomplete_details={"reason": ECHO}))),
        respond,
    ),
    "fetched and failed": (
        http(as_json(response(status="failed", error={"code": ECHO, "message": ECHO}))),
        fetched,
    ),
}


def attempt(ask: Ask, client: Any) -> None:
    with suppress(Exception):  # whatever the client makes of it
        ask(client)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        *(pytest.param(*way, id=name) for name, way in WAYS.items()),
        *(
            pytest.param(*way, id=f"{name}, of responses", marks=responses_api)
            for name, way in RESPONSES_WAYS.items()
        ),
    ],
)
def test_what_a_server_repeats(
    signals: Signals,
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    answer: bytes,
    ask: Ask,
) -> None:
    server.script(Answer(answer))
    attempt(ask, client)
    assert_nothing_leaked(signals, log.text)


#: Answers with one name in every place where the API has one.
NAMED: dict[str, tuple[Callable[[str], bytes], Ask]] = {
    "an error": (lambda name: refusal({"error": {**error(name), "message": "no"}}), chat),
    "an error in a stream": (lambda name: events(chunk(), {"error": error(name)}), streamed),
    "a run": (lambda name: http(as_json(ended_run(last_error={"code": name}))), run),
}
RESPONSES_NAMED: dict[str, tuple[Callable[[str], bytes], Ask]] = {
    "a response": (
        lambda name: http(as_json(response(status="failed", error={"code": name}))),
        respond,
    ),
    "a streamed response": (
        lambda name: events({"type": "error", "code": name}, names=True),
        streamed_response,
    ),
}
#: Those that are in every request.
OF_EVERY_CALL = [
    one for name, one in CREDENTIALS.items() if name not in ("token", "tool", "tool header")
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", [*OF_EVERY_CALL, PROMPT, SIGNED])
@pytest.mark.parametrize(("answer", "ask"), NAMED.values(), ids=NAMED)
def test_a_credential_for_a_name(
    signals: Signals,
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    answer: Callable[[str], bytes],
    ask: Ask,
    name: str,
) -> None:
    for part in (name, name[:-2], f"x-{name}", name.lower()):
        server.script(Answer(answer(part)))
        attempt(ask, client)
    assert len(signals.spans) == 4
    assert_nothing_leaked(signals, log.text)


@pytest.mark.one_in(2)
@responses_api
@pytest.mark.parametrize("name", [*OF_EVERY_CALL, PROMPT, SIGNED])
@pytest.mark.parametrize(("answer", "ask"), RESPONSES_NAMED.values(), ids=RESPONSES_NAMED)
def test_a_credential_for_a_name_in_a_response(
    signals: Signals,
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    answer: Callable[[str], bytes],
    ask: Ask,
    name: str,
) -> None:
    server.script(Answer(answer(name)))
    attempt(ask, client)
    assert_nothing_leaked(signals, log.text)


@pytest.mark.parametrize(
    "name",
    ["PROMPTSECRET", "promptsecret", "diagnosis", "bad_PROMPTSECRET", "body[0].PROMPTSECRET.x"],
)
@pytest.mark.parametrize(("answer", "ask"), NAMED.values(), ids=NAMED)
def test_a_word_of_the_prompt_for_a_name(
    signals: Signals,
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    answer: Callable[[str], bytes],
    ask: Ask,
    name: str,
) -> None:
    if ask is run:
        ask = run_with_instructions
    server.script(Answer(answer(name)))
    attempt(ask, client)
    assert_nothing_leaked(signals, log.text)
    assert "diagnosis" not in signals.spans[0].to_json()


@pytest.mark.parametrize("name", ["tool", "tool header"])
def test_a_credential_for_somebody_else(
    signals: Signals,
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    name: str,
) -> None:
    server.script(Answer(refusal({"error": error(CREDENTIALS[name])})))
    attempt(chat, client)
    assert_nothing_leaked(signals, log.text)


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("is_provided", [False, True])
def test_an_azure_token(
    switch_on: Callable[..., Signals],
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    capture: bool,
    is_provided: bool,
) -> None:
    signals = switch_on(capture_content=capture)
    token = CREDENTIALS["token"]
    given: Any = (
        {"azure_ad_token_provider": lambda: token} if is_provided else {"azure_ad_token": token}
    )
    client = openai.AzureOpenAI(
        azure_endpoint=server.base_url.removesuffix("/v1"),
        api_version="2024-10-21",
        max_retries=0,
        **given,
    )
    with client:
        for said in (f"The token {token} expired.", token):
            server.script(Answer(refusal({"error": error(said)}, "401 Unauthorized")))
            with pytest.raises(openai.AuthenticationError):
                client.embeddings.create(model="m", input="Hi")
    assert_nothing_leaked(signals, log.text)
    assert signals.spans[0].status.description == (
        "Error code: 401 - The token *** expired." if capture else "Error code: 401"
    )


async def test_an_asynchronous_call(
    signals: Signals, server: ByteServer, log: pytest.LogCaptureFixture
) -> None:
    async with openai.AsyncOpenAI(**options(server)) as client:
        for answer in (refusal({"error": error()}), events(chunk(), {"error": error()})):
            server.script(Answer(answer))
            with suppress(openai.APIError):
                async for _ in await chat(client, stream=True):
                    pass
    assert len(signals.spans) == 2
    assert_nothing_leaked(signals, log.text)


def test_a_server_that_is_not_there(
    signals: Signals, server: ByteServer, log: pytest.LogCaptureFixture
) -> None:
    url = url_of(server).rpartition(":")[0] + ":1"
    with openai.OpenAI(**options(server, base_url=url)) as client:
        for ask in (chat, streamed):
            with pytest.raises(openai.APIConnectionError):
                ask(client)
    assert_nothing_leaked(signals, log.text)


@pytest.mark.parametrize("hook", ["request", "response"])
@pytest.mark.parametrize("capture", [False, True])
def test_a_hook_of_the_http_client(
    switch_on: Callable[..., Signals],
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    hook: str,
    capture: bool,
) -> None:
    def fail(_: Any) -> None:
        raise ValueError(ECHO)

    signals = switch_on(capture_content=capture)
    server.script(Answer(refusal({"error": error()})))
    http_client = openai.DefaultHttpxClient(event_hooks={hook: [fail]})
    with openai.OpenAI(**options(server, http_client=http_client)) as client:
        with pytest.raises((openai.APIError, ValueError)):
            embed(client)
    assert_no_credential_leaked(signals, log.text)
    assert PROMPT not in str(signals.spans[0].status.description)


def noted() -> BaseException:
    """An exception of a class whose name holds a secret, with all that an exception may have."""
    error: BaseException = type(ECHO, (RuntimeError,), {})(ECHO)
    error.__dict__.update(__notes__=[ECHO], code=ECHO, body={"code": ECHO}, message=ECHO)
    error.__cause__ = KeyError(ECHO)
    return error


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize(
    ("mistake", "error_type"),
    [
        (noted(), "RuntimeError"),
        (openai.OpenAIError(ECHO), "openai.OpenAIError"),
        (asyncio.CancelledError(ECHO), "asyncio.exceptions.CancelledError"),
    ],
    ids=["noted", "the client's", "cancelled"],
)
def test_a_token_provider_that_fails(
    switch_on: Callable[..., Signals],
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    mistake: BaseException,
    error_type: str,
    capture: bool,
) -> None:
    def provide() -> str:
        raise mistake

    signals = switch_on(capture_content=capture)
    client = openai.AzureOpenAI(
        azure_endpoint=url_of(server), api_version="1", azure_ad_token_provider=provide
    )
    with client, pytest.raises(type(mistake)):
        client.embeddings.create(model="m", input="Hi")
    assert (signals.spans[0].attributes or {})["error.type"] == error_type
    if not (capture and isinstance(mistake, openai.OpenAIError)):  # which has a message to tell
        assert_nothing_leaked(signals, log.text)


def test_a_redaction_hook_that_fails(
    switch_on: Callable[..., Signals],
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
) -> None:
    def redact(part: Any) -> Any:
        raise ValueError(f"{part} {ECHO}")

    signals = switch_on(capture_content="SPAN_AND_EVENT", redact=redact)
    server.script(Answer(refusal({"error": {"message": ECHO, "code": "no"}})))
    attempt(chat, client)
    assert_nothing_leaked(signals, log.text)
    assert signals.spans[0].status.description == "Error code: 400 - code no"
    assert "ValueError" in log.text


def test_a_name_of_a_host_that_is_a_url(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    from orq_otel.foundations.settings import Settings  # noqa: PLC0415
    from orq_otel.propagation import propagator  # noqa: PLC0415

    monkeypatch.setenv("ORQ_OTEL_PROPAGATE_TO", "https://me:PASSWORDSECRET@a.example?k=KEYSECRET")
    assert propagator._hosts(Settings.read()) == ()
    assert "a.example" in log.text
    assert "SECRET" not in log.text


@chat_helpers_api
def test_an_answer_that_does_not_fit(
    signals: Signals, client: openai.OpenAI, server: ByteServer, log: pytest.LogCaptureFixture
) -> None:
    class Wanted(BaseModel):
        number: int

    message = {"role": "assistant", "content": json.dumps({"number": ECHO})}
    answer = {**COMPLETION, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    server.script(Answer(http(as_json(answer))))
    with pytest.raises(ValueError, match="SECRET"):
        chat_helpers(client).parse(model="m", messages=messages(), response_format=Wanted)
    assert_nothing_leaked(signals, log.text)


# --- with content --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "on_span", "on_event"),
    [
        ("NO_CONTENT", False, False),
        ("SPAN_ONLY", True, False),
        ("EVENT_ONLY", False, True),
        ("SPAN_AND_EVENT", True, True),
    ],
)
@pytest.mark.parametrize(
    ("answer", "ask", "head"),
    [
        (refusal({"error": {"message": ECHO, "code": "c-1"}}), chat, "Error code: 400 - code c-1"),
        (
            events(chunk(), {"error": {"message": ECHO, "code": "c-1"}}),
            streamed,
            "Error - code c-1",
        ),
    ],
    ids=["an error", "an error in a stream"],
)
def test_the_message_goes_where_content_goes(
    switch_on: Callable[..., Signals],
    client: openai.OpenAI,
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    mode: str,
    on_span: bool,
    on_event: bool,
    answer: bytes,
    ask: Ask,
    head: str,
) -> None:
    signals = switch_on(capture_content=mode)
    server.script(Answer(answer))
    attempt(ask, client)

    assert_no_credential_leaked(signals, log.text)
    (exception,) = [told for name, told in signals.events() if name and name.endswith("exception")]
    whole = f"{head}: {PROMPT} | https://files.example/scan.png?*** | *** | "
    for told, is_told in (
        (signals.spans[0].status.description, on_span),
        (exception["exception.message"], on_event),
    ):
        assert told is not None
        assert told.startswith(whole) if is_told else told == head


def test_the_message_is_redacted_like_content(
    switch_on: Callable[..., Signals], client: openai.OpenAI, server: ByteServer
) -> None:
    def redact(part: Any) -> Any:
        return {**part, "content": part["content"].replace("diagnosis", "[...]")}

    signals = switch_on(capture_content=True, redact=redact)
    server.script(Answer(refusal({"error": {"message": "My diagnosis is no input."}})))
    attempt(embed, client)
    assert signals.spans[0].status.description == "Error code: 400 - My [...] is no input."


@pytest.mark.parametrize(
    "said", ["A" * 5_000_000, "*" * 5_000_000, "a://b@" * 1_000_000, "KEYSECRET-" * 500_000]
)
def test_a_message_of_megabytes_is_cut(
    switch_on: Callable[..., Signals], client: openai.OpenAI, server: ByteServer, said: str
) -> None:
    signals = switch_on(capture_content=True)
    server.script(Answer(refusal({"error": {"message": said}})))
    attempt(embed, client)
    assert len(signals.spans[0].status.description or "") < 1100


def test_a_credential_is_not_cut_in_two(
    switch_on: Callable[..., Signals], client: openai.OpenAI, server: ByteServer
) -> None:
    signals = switch_on(capture_content=True)
    key = CREDENTIALS["key"]
    for before in range(900, 1060, 3):
        server.script(Answer(refusal({"error": {"message": "." * before + key + "." * 5000}})))
        attempt(embed, client)
    assert not [one for one in signals.spans if "KEYS" in str(one.status.description)]


def test_a_short_credential_turns_no_text_into_stars(
    switch_on: Callable[..., Signals], server: ByteServer
) -> None:
    signals = switch_on(capture_content=True)
    server.script(Answer(refusal({"error": {"message": "An apple a day.", "type": "late"}})))
    with openai.OpenAI(
        base_url=server.base_url.replace("//", "//a:e@"),
        api_key="a",
        default_query={"p": "ap"},
        max_retries=0,
    ) as client:
        attempt(embed, client)
    assert signals.spans[0].status.description == "Error code: 400 - late: An apple a day."


# --- websockets ----------------------------------------------------------------------------------


@pytest.fixture
def speaking() -> Iterator[Any]:
    """A websocket server that answers everything with what is put into its list."""
    import threading  # noqa: PLC0415

    from websockets.sync.server import serve  # noqa: PLC0415

    answers: list[Any] = []

    def handle(connection: Any) -> None:
        for _ in connection:
            for answer in answers:
                connection.send(json.dumps(answer))

    with serve(handle, "127.0.0.1", 0) as listening:
        worker = threading.Thread(target=listening.serve_forever)
        worker.start()
        host, port = listening.socket.getsockname()[:2]
        yield answers, f"ws://{host}:{port}/v1"
        listening.shutdown()
        worker.join()


REALTIME_ENDS: dict[str, list[Any]] = {
    "an error": [{"type": "error", "error": {**error(), "event_id": "e"}}],
    "a key for a code": [
        {"type": "error", "error": {**error(CREDENTIALS["key"]), "event_id": "e"}}
    ],
    "a header for a code": [
        {"type": "error", "error": {"code": CREDENTIALS["more header"], "event_id": "e"}}
    ],
    "failed": [
        {"type": "response.created", "response": {"id": "r"}},
        {
            "type": "response.done",
            "response": {"id": "r", "status": "failed", "status_details": {"error": error()}},
        },
    ],
    "cancelled": [
        {"type": "response.created", "response": {"id": "r"}},
        {
            "type": "response.done",
            "response": {"id": "r", "status": "cancelled", "status_details": {"reason": ECHO}},
        },
    ],
}


@needs("openai", "1.103", "client.realtime")
@pytest.mark.parametrize("said", REALTIME_ENDS.values(), ids=REALTIME_ENDS)
def test_what_is_repeated_over_a_websocket(
    signals: Signals, speaking: Any, log: pytest.LogCaptureFixture, said: list[Any]
) -> None:
    pytest.importorskip("websockets", minversion="13")
    answers, url = speaking
    answers[:] = said
    given = {
        "api_key": CREDENTIALS["key"],
        "websocket_base_url": url,
        "default_headers": headers(),
    }
    with (
        openai.OpenAI(**given) as client,
        client.realtime.connect(model="m", **more()) as connection,
    ):
        connection.send({"type": "response.create", "event_id": "e"})
        for _ in said:
            connection.recv()
    assert len(signals.spans) == 2
    assert_nothing_leaked(signals, log.text)


@needs("openai", "1.103", "client.realtime")
@pytest.mark.parametrize("capture", [False, True])
def test_a_websocket_that_is_refused(
    switch_on: Callable[..., Signals],
    server: ByteServer,
    log: pytest.LogCaptureFixture,
    capture: bool,
) -> None:
    pytest.importorskip("websockets", minversion="13")
    signals = switch_on(capture_content=capture)
    server.script(Answer(refusal({"error": error()}, "403 Forbidden")))
    url = server.base_url.replace("http:", "ws:")
    with openai.OpenAI(api_key=CREDENTIALS["key"], websocket_base_url=url) as client:
        with pytest.raises(Exception), client.realtime.connect(model="m", **more()):  # noqa: B017, PT011
            pass
    assert_nothing_leaked(signals, log.text)
