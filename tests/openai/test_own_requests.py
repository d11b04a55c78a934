"""Requests that users make themselves, with the client's `post`, `get` and `request`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai._models import FinalRequestOptions
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.byte_server import Answer, ByteServer, as_json, http, sse
from support.client_calls import told
from support.openai_versions import responses_api
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
BODY: Any = {"model": "m", "messages": MESSAGES}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Here."}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
COMPLETION = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1"}
SAID = {
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Here."}],
}
CHUNKS = [
    {**COMPLETION, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    for delta, reason in (({"content": "Here."}, None), ({}, "stop"))
]


@pytest.fixture
def server() -> Iterator[ByteServer]:
    """A vendor that has an answer to everything."""
    with ByteServer() as server:
        answer = {**COMPLETION, "choices": [CHOICE], "usage": USAGE}
        server.script(Answer(http(as_json(answer))))
        yield server


@pytest.fixture
def elsewhere(server: ByteServer) -> Iterator[openai.OpenAI]:
    """A client of another server, which is not asked."""
    url = "https://vendor.example:4433/v1"
    with openai.OpenAI(api_key="sk-test-key", base_url=url, max_retries=0) as client:
        yield client


def post(client: openai.OpenAI, path: str, **more: Any) -> Any:
    return client.post(path, cast_to=ChatCompletion, body=BODY, **more)


def attributes(telemetry: Telemetry) -> dict[str, Any]:
    """Those of the only span, which is called as that of any chat."""
    span = telemetry.one()
    assert span.name == "chat m"
    return told(span)


@pytest.mark.parametrize(
    "path",
    [
        "{base}/chat/completions",
        "{base}/chat/completions/",
        "{base}/chat/completions?api-version=1#top",
        "HTTP://127.0.0.1:{port}/openai/deployments/m/chat/completions?api-version=1",
        "http://127.0.0.1:{port}/client/v4/accounts/a-1/ai/v1/chat/completions",
        "http://127.0.0.1:{port}/chat/completions",
        "http://name:secret@127.0.0.1:{port}/v1/chat/completions",
    ],
)
def test_a_whole_url(
    instrumented: Telemetry, server: ByteServer, elsewhere: openai.OpenAI, path: str
) -> None:
    port = server.base_url.split(":")[2].partition("/")[0]
    with thread("support-42"):
        post(elsewhere, path.format(base=server.base_url, port=port))

    told_of_it = attributes(instrumented)
    assert told_of_it["server.address"] == "127.0.0.1"
    assert told_of_it["server.port"] == int(port)
    assert told_of_it["gen_ai.response.finish_reasons"] == ("stop",)
    assert told_of_it["gen_ai.usage.input_tokens"] == 4
    assert told_of_it["thread.id"] == "support-42"


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "chat/completions",
        "chat/completions/",
        "/chat/completions?api-version=1",
        "/v1/chat/completions",
        "/openai/deployments/m/chat/completions",
    ],
)
def test_a_path(instrumented: Telemetry, server: ByteServer, path: str) -> None:
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        post(client, "/chat/completions")
        (usual,) = instrumented.take()
        post(client, path)

    assert attributes(instrumented) == told(usual)


def test_the_model_of_a_deployment(instrumented: Telemetry, server: ByteServer) -> None:
    url = server.base_url.removesuffix("/v1")
    with openai.AzureOpenAI(api_key="k", azure_endpoint=url, api_version="1") as client:
        client.post(
            "/deployments/gpt%205/chat/completions",
            cast_to=ChatCompletion,
            body={"messages": MESSAGES},
        )

    span = instrumented.one()
    assert span.name == "chat gpt 5"
    assert told(span)["gen_ai.provider.name"] == "azure.ai.openai"


def test_a_stream_from_a_whole_url(
    instrumented: Telemetry, server: ByteServer, elsewhere: openai.OpenAI
) -> None:
    server.script(Answer(http(sse(CHUNKS), content_type="text/event-stream")))
    kind = openai.Stream[ChatCompletionChunk]
    url = f"{server.base_url}/chat/completions"
    body = {**BODY, "stream": True}
    chunks = elsewhere.post(
        url, cast_to=ChatCompletionChunk, body=body, stream=True, stream_cls=kind
    )

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Here.", None]
    told_of_it = attributes(instrumented)
    assert told_of_it["server.port"] == int(url.split(":")[2].partition("/")[0])
    assert told_of_it["gen_ai.response.finish_reasons"] == ("stop",)
    assert told_of_it["gen_ai.request.stream"] is True


def test_embeddings_as_plain_json(instrumented: Telemetry, server: ByteServer) -> None:
    body = {"model": "m-1", "data": [{"index": 0, "embedding": [0.5, 1.0]}]}
    server.script(Answer(http(as_json(body))))
    with openai.OpenAI(api_key="k", base_url=server.base_url) as client:
        client.post("/embeddings", cast_to=object, body={"model": "m", "input": "Where?"})

    assert told(instrumented.one())["gen_ai.embeddings.dimension.count"] == 2


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
async def test_a_stream_of_plain_json(
    telemetry: Telemetry, server: ByteServer, *, path: str, is_async: bool
) -> None:
    response = {"id": "r-1", "model": "m-1", "status": "completed", "output": [SAID]}
    event = {"type": "response.completed", "sequence_number": 0, "response": response}
    sent: list[Any] = CHUNKS if path.startswith("/chat") else [event]
    server.script(Answer(http(sse(sent), content_type="text/event-stream")))
    body = {**BODY, "input": "Where?", "stream": True}
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider, capture_content=True)
    try:
        if is_async:
            async with openai.AsyncOpenAI(api_key="k", base_url=server.base_url) as client:
                kind = openai.AsyncStream[object]
                chunks: Any = await client.post(
                    path, cast_to=object, body=body, stream=True, stream_cls=kind
                )
                assert [chunk async for chunk in chunks] == sent
        else:
            with openai.OpenAI(api_key="k", base_url=server.base_url) as client:
                chunks = client.post(
                    path, cast_to=object, body=body, stream=True, stream_cls=openai.Stream[object]
                )
                assert list(chunks) == sent
    finally:
        OpenAIInstrumentor().uninstrument()

    told_of_it = attributes(telemetry)
    assert told_of_it["gen_ai.response.finish_reasons"] == ("stop",)
    assert told_of_it["gen_ai.response.model"] == "m-1"
    (message,) = json.loads(told_of_it["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "Here."}]


@pytest.mark.parametrize("content_type", ["text/event-stream", "TEXT/Event-Stream; charset=UTF-8"])
def test_a_raw_stream(
    instrumented: Telemetry, server: ByteServer, elsewhere: openai.OpenAI, content_type: str
) -> None:
    server.script(Answer(http(sse(CHUNKS), content_type=content_type)))
    completions = elsewhere.with_options(base_url=server.base_url).chat.completions
    with completions.with_streaming_response.create(**BODY, stream=True) as response:
        assert len(list(response.iter_lines())) == 6

    assert attributes(instrumented)["gen_ai.response.finish_reasons"] == ("stop",)


async def test_a_whole_url_asynchronously(instrumented: Telemetry, server: ByteServer) -> None:
    url = "https://vendor.example/v1"
    async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
        await client.post(f"{server.base_url}/chat/completions", cast_to=ChatCompletion, body=BODY)

    assert attributes(instrumented)["server.address"] == "127.0.0.1"


def test_a_method_in_capitals(instrumented: Telemetry, server: ByteServer) -> None:
    options = FinalRequestOptions.construct(method="POST", url="/chat/completions", json_data=BODY)
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        client.request(ChatCompletion, options)

    assert attributes(instrumented)["gen_ai.response.finish_reasons"] == ("stop",)


@responses_api
def test_an_id_in_a_whole_url(
    instrumented: Telemetry, server: ByteServer, elsewhere: openai.OpenAI
) -> None:
    body = {"id": "r-1", "object": "response", "model": "m-1", "status": "completed", "output": []}
    server.script(Answer(http(as_json(body))))
    elsewhere.get(f"{server.base_url}/responses/r-1?include=x", cast_to=object)

    span = instrumented.one()
    assert span.name == "fetch_response"
    assert told(span)["gen_ai.response.id"] == "r-1"


@pytest.mark.parametrize(
    "path",
    [
        "{base}",
        "{base}/models",
        "{base}/chat/completions/c-1",
        "{base}/?to=/chat/completions",
        "http://completions@127.0.0.1:{port}/",
        "/responses/r-1/cancel",
        "",
        "/x" + "/" * 4096,
    ],
)
def test_what_ends_with_no_operation_has_no_span(
    instrumented: Telemetry, server: ByteServer, path: str
) -> None:
    port = server.base_url.split(":")[2].partition("/")[0]
    with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
        client.post(path.format(base=server.base_url, port=port), cast_to=object, body=BODY)

    assert instrumented.spans == []


@pytest.mark.parametrize("is_client_routers", [True, False])
@pytest.mark.parametrize(
    ("path", "is_router"),
    [
        ("{base}/router/chat/completions", True),
        ("{base}/router/chat/completions/?x=1", True),
        ("{base}/chat/completions", False),
        ("{base}/routers/chat/completions", False),
    ],
)
def test_a_whole_url_carries_its_thread_to_a_router_alone(
    telemetry: Telemetry,
    server: ByteServer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    path: str,
    is_router: bool,
    is_client_routers: bool,
) -> None:
    router = f"{server.base_url}/router"
    monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", router)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    url = router if is_client_routers else "https://vendor.example/v1"
    try:
        with openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client:
            with thread("support-42"):
                post(client, path.format(base=server.base_url))
    finally:
        OpenAIInstrumentor().uninstrument()

    (request,) = server.received
    assert (json.loads(request.body) != BODY) is is_router
    assert (b"support-42" in request.body) is is_router
    assert any(line.startswith(b"traceparent") for line in request.head) is is_router


@pytest.mark.parametrize("path", ["chat/completions", "/chat/completions?x=1"])
def test_a_path_at_a_router_carries_its_thread(
    telemetry: Telemetry, server: ByteServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", server.base_url)
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
            with thread("support-42"):
                post(client, path)
    finally:
        OpenAIInstrumentor().uninstrument()

    assert json.loads(server.received[0].body)["thread"] == {"id": "support-42"}
