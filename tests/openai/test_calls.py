"""What the span of each operation says, to the letter."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel
from stand_ins.model_server import ModelServer, Reply
from support.openai_versions import call, chat_helpers, chat_helpers_api, responses_api, since
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, thread
from orq_otel.payloads import chat

MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is my parcel?"},
]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "find_parcel",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    }
]
#: Made up by the server anew for each answer.
RANDOM = {"gen_ai.response.id", "openai.response.system_fingerprint"}
#: Measured.
TIMES = {"gen_ai.response.time_to_first_chunk"}


class Parcel(BaseModel):
    """A structured answer."""

    place: str
    days: int


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes that do not change from run to run; the others are checked to be there."""
    told = dict(span.attributes or {})
    for name in RANDOM & told.keys():
        assert isinstance(told[name], str)
        del told[name]
    for name in TIMES & told.keys():
        assert 0 < told.pop(name) < 10
    return told


def server(client: openai.OpenAI | openai.AsyncOpenAI) -> dict[str, Any]:
    """The attributes of the stand-in server."""
    return {"server.address": "127.0.0.1", "server.port": client.base_url.port}


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "openai.api.type": "chat_completions",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.response.model": "gpt-5-mini-2026-08-01",
    "gen_ai.response.finish_reasons": ("stop",),
    "openai.response.service_tier": "default",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.cache_read.input_tokens": 5,
    "gen_ai.usage.output_tokens": 4,
}
RESPONSES = {
    **CHAT,
    "openai.api.type": "responses",
}
LABELS = {
    "thread.id": "t-1",
    "thread.tags": ("a", "b"),
    "orq.thread_id": "t-1",
    "orq.tags": '["a", "b"]',
    "gen_ai.conversation.id": "t-1",
}
FOUR_WORDS = Reply(text="It is on its")


@pytest.fixture(autouse=True)
def short_answers(model_server: ModelServer) -> None:
    """Every test's first answer is four words long."""
    model_server.script(FOUR_WORDS)


def test_a_chat_completion(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with thread("t-1", tags=["a", "b"]):
        completion = client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)

    span = instrumented.one()
    assert completion.choices[0].message.content == "It is on its"
    assert span.name == "chat gpt-5-mini"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events
    assert attributes(span) == {**CHAT, **LABELS, **server(client)}
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "orq_otel.openai"


def test_every_request_parameter(instrumented: Telemetry, client: openai.OpenAI) -> None:
    call(
        client.chat.completions.create,
        model="gpt-5-mini",
        messages=MESSAGES,
        temperature=1,
        top_p=0.5,
        frequency_penalty=0.25,
        presence_penalty=-1,
        max_completion_tokens=50,
        stop=["END", "."],
        seed=7,
        n=2,
        reasoning_effort="low",
        service_tier="flex",
        response_format={"type": "json_object"},
        extra_body={"top_k": 40},
    )

    told = attributes(instrumented.one())
    requested = {
        name: value for name, value in told.items() if ".request." in name or "output.type" in name
    }
    assert requested == {
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.frequency_penalty": 0.25,
        "gen_ai.request.presence_penalty": -1.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.stop_sequences": ("END", "."),
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.top_k": 40,
        "gen_ai.output.type": "json",
        "openai.request.service_tier": "flex",
    }
    assert isinstance(told["gen_ai.request.temperature"], float)
    assert told["gen_ai.response.finish_reasons"] == ("stop", "stop")
    assert told["gen_ai.usage.reasoning.output_tokens"] == 16 * 2


def test_older_and_default_parameters(instrumented: Telemetry, client: openai.OpenAI) -> None:
    call(
        client.chat.completions.create,
        model="gpt-5-mini",
        messages=MESSAGES,
        max_tokens=9,
        stop=".",
        n=1,
        service_tier="auto",
    )

    told = attributes(instrumented.one())
    assert told["gen_ai.request.max_tokens"] == 9
    assert told["gen_ai.request.stop_sequences"] == (".",)
    assert "gen_ai.request.choice.count" not in told
    assert "openai.request.service_tier" not in told
    assert "gen_ai.request.stream" not in told


def test_a_tool_call(instrumented: Telemetry, client: openai.OpenAI) -> None:
    client.embeddings.create(model="e", input="uses up the scripted answer")
    instrumented.take()
    client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, tools=TOOLS)

    assert attributes(instrumented.one())["gen_ai.response.finish_reasons"] == ("tool_calls",)


def test_a_streamed_completion(instrumented: Telemetry, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-5-mini",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    assert text == "It is on its"
    span = instrumented.one()
    assert "gen_ai.response.time_to_first_chunk" in (span.attributes or {})
    assert attributes(span) == {**CHAT, "gen_ai.request.stream": True, **server(client)}


def test_a_stream_of_several_choices_without_usage(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    for _ in client.chat.completions.create(
        model="gpt-5-mini", messages=MESSAGES, stream=True, n=2
    ):
        pass

    told = attributes(instrumented.one())
    assert told["gen_ai.response.finish_reasons"] == ("stop", "stop")
    assert not any(name.startswith("gen_ai.usage.") for name in told)


@chat_helpers_api
def test_a_parsed_completion(instrumented: Telemetry, client: openai.OpenAI) -> None:
    client.embeddings.create(model="e", input="uses up the scripted answer")
    instrumented.take()
    completion = chat_helpers(client).parse(
        model="gpt-5-mini", messages=MESSAGES, response_format=Parcel
    )

    assert isinstance(completion.choices[0].message.parsed, Parcel)
    told = attributes(instrumented.one())
    assert told["gen_ai.output.type"] == "json"
    assert told["gen_ai.response.finish_reasons"] == ("stop",)


@chat_helpers_api
def test_the_stream_helper(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with chat_helpers(client).stream(model="gpt-5-mini", messages=MESSAGES) as stream:
        final = stream.get_final_completion()

    assert final.choices[0].message.content == "It is on its"
    assert instrumented.one().name == "chat gpt-5-mini"
    assert attributes(instrumented.one())["gen_ai.response.finish_reasons"] == ("stop",)


@responses_api
def test_a_response(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with thread("t-1", tags=["a", "b"]):
        response = client.responses.create(
            model="gpt-5-mini", instructions="Be brief.", input="Where is my parcel?"
        )

    assert response.output_text == "It is on its"
    assert attributes(instrumented.one()) == {**RESPONSES, **LABELS, **server(client)}


@responses_api
def test_every_parameter_of_a_response(instrumented: Telemetry, client: openai.OpenAI) -> None:
    call(
        client.responses.create,
        model="gpt-5-mini",
        input="Where is my parcel?",
        temperature=0,
        top_p=1,
        max_output_tokens=2,
        previous_response_id="resp_before",
        reasoning={"effort": "high"},
        service_tier="priority",
        text={"format": {"type": "text"}},
        prompt={"id": "pmpt_1", "version": "3"},
    )

    told = attributes(instrumented.one())
    requested = {
        name: value
        for name, value in told.items()
        if ".request." in name or "output.type" in name or "prompt" in name
    }
    assert requested == {
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 2,
        "gen_ai.request.previous_response.id": "resp_before",
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.output.type": "text",
        "gen_ai.prompt.name": "pmpt_1",
        "gen_ai.prompt.version": "3",
        "openai.request.service_tier": "priority",
    }
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    assert told["gen_ai.usage.reasoning.output_tokens"] == 64


@responses_api
@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}])
def test_a_conversation_of_openai_is_kept_beside_the_thread(
    instrumented: Telemetry, client: openai.OpenAI, conversation: Any
) -> None:
    with thread("t-1"):
        call(
            client.responses.create,
            model="gpt-5-mini",
            input="Where is my parcel?",
            conversation=conversation,
        )

    told = attributes(instrumented.one())
    assert told["orq_otel.original.gen_ai.conversation.id"] == "conv_1"
    assert told["gen_ai.conversation.id"] == told["thread.id"] == told["orq.thread_id"] == "t-1"


@responses_api
def test_a_streamed_response(instrumented: Telemetry, client: openai.OpenAI) -> None:
    events = list(
        client.responses.create(
            model="gpt-5-mini", instructions="Be brief.", input="Where is my parcel?", stream=True
        )
    )

    assert events[-1].type == "response.completed"
    assert attributes(instrumented.one()) == {
        **RESPONSES,
        "gen_ai.request.stream": True,
        **server(client),
    }


@responses_api
def test_the_stream_helper_of_responses(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-5-mini", input="Where is my parcel?") as stream:
        final = stream.get_final_response()

    assert final.output_text == "It is on its"
    assert attributes(instrumented.one())["gen_ai.response.finish_reasons"] == ("stop",)


@responses_api
def test_a_parsed_response(instrumented: Telemetry, client: openai.OpenAI) -> None:
    client.embeddings.create(model="e", input="uses up the scripted answer")
    instrumented.take()
    response = client.responses.parse(
        model="gpt-5-mini", input="Where is my parcel?", text_format=Parcel
    )

    assert isinstance(response.output_parsed, Parcel)
    assert attributes(instrumented.one())["gen_ai.output.type"] == "json"


@responses_api
def test_a_stored_response(instrumented: Telemetry, client: openai.OpenAI) -> None:
    made = client.responses.create(model="gpt-5-mini", input="Where is my parcel?")
    instrumented.take()
    client.responses.retrieve(made.id)

    span = instrumented.one()
    assert span.name == "fetch_response"
    assert (span.attributes or {})["gen_ai.response.id"] == made.id
    assert attributes(span) == {
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.provider.name": "openai",
        "openai.api.type": "responses",
        "gen_ai.response.model": "gpt-5-mini-2026-08-01",
        "gen_ai.response.status": "completed",
        "gen_ai.response.finish_reasons": ("stop",),
        "openai.response.service_tier": "default",
        **server(client),
    }


@responses_api
@since("1.82", "responses.retrieve(stream=True)")
def test_a_stored_response_streamed_from_a_cursor(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    made = client.responses.create(model="gpt-5-mini", input="Where is my parcel?")
    instrumented.take()
    for _ in client.responses.retrieve(made.id, stream=True, starting_after=3):
        pass

    told = attributes(instrumented.one())
    assert told["gen_ai.request.stream_cursor"] == "3"
    assert told["gen_ai.response.status"] == "completed"
    assert not any(name.startswith("gen_ai.usage.") for name in told)


@responses_api
def test_other_requests_about_responses_have_no_span(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.input_items.list("resp_1")

    assert instrumented.spans == []


@responses_api
def test_a_response_that_failed(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    client.embeddings.create(model="e", input="uses up the scripted answer")
    instrumented.take()
    model_server.script(Reply(failure="The model is overloaded."))
    response = client.responses.create(model="gpt-5-mini", input="Where is my parcel?")

    assert response.status == "failed"
    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "server_error"
    assert (span.attributes or {})["gen_ai.response.finish_reasons"] == ("error",)


@responses_api
def test_fetching_a_response_that_failed_is_no_error(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    client.embeddings.create(model="e", input="uses up the scripted answer")
    model_server.script(Reply(failure="The model is overloaded."))
    made = client.responses.create(model="gpt-5-mini", input="Where is my parcel?")
    instrumented.take()
    client.responses.retrieve(made.id)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["gen_ai.response.status"] == "failed"
    assert "error.type" not in (span.attributes or {})


def test_a_choice_that_gives_no_reason_to_stop() -> None:
    chunks = chat.StreamReader()
    for index, reason in ((0, None), (1, "stop")):
        chunks.feed(ChatCompletionChunk.construct(choices=[choice(index, reason)], id="x"))
    whole = {"choices": [{"finish_reason": None}, {"finish_reason": "stop"}]}

    expected = {"gen_ai.response.finish_reasons": ("error", "stop")}
    assert chat.response_attributes(whole) == expected
    assert chunks.attributes() == {**expected, "gen_ai.response.id": "x"}


def choice(index: int, reason: str | None) -> Any:
    """A choice of a chunk."""
    return SimpleNamespace(index=index, finish_reason=reason)


@pytest.mark.parametrize("choices", [True, 7, "choices", {"index": 0}])
def test_choices_that_are_no_list(choices: Any) -> None:
    assert chat.response_attributes({"id": "1", "choices": choices}) == {"gen_ai.response.id": "1"}


def test_a_number_that_no_float_can_hold_is_left_out() -> None:
    assert chat.request_attributes({"temperature": 10**400, "top_p": 1}) == {
        "gen_ai.request.top_p": 1.0
    }


def test_embeddings(instrumented: Telemetry, client: openai.OpenAI) -> None:
    with thread("t-1", tags=["a", "b"]):
        client.embeddings.create(
            model="text-embedding-3-small",
            input=["one two", "three"],
            dimensions=8,
            encoding_format="float",
        )

    span = instrumented.one()
    assert span.name == "embeddings text-embedding-3-small"
    assert attributes(span) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.request.encoding_formats": ("float",),
        "gen_ai.embeddings.dimension.count": 8,
        "gen_ai.response.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 3,
        **LABELS,
        **server(client),
    }


def test_azure_has_its_own_provider_and_no_openai_attributes(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    with openai.AzureOpenAI(
        api_key="k", azure_endpoint=model_server.url, api_version="2026-01-01", max_retries=0
    ) as azure:
        create = azure.chat.completions.create
        call(create, model="my-deployment", messages=MESSAGES, service_tier="flex")
        for _ in create(model="my-deployment", messages=MESSAGES, stream=True):
            pass

    assert [request.path for request in model_server.requests] == [
        "/openai/deployments/my-deployment/chat/completions"
    ] * 2
    for span in instrumented.spans:
        told = span.attributes or {}
        assert span.name == "chat my-deployment"
        assert told["gen_ai.provider.name"] == "azure.ai.openai"
        assert told["gen_ai.response.finish_reasons"] == ("stop",)
        assert told["server.address"] == "127.0.0.1"
        assert not any(name.startswith("openai.") for name in told)


@pytest.mark.parametrize(
    ("base_url", "provider", "address", "port"),
    [
        ("https://api.openai.com/v1", "openai", "api.openai.com", 443),
        ("https://me.openai.azure.com/openai/v1", "azure.ai.openai", "me.openai.azure.com", 443),
        ("http://127.0.0.1/v1", "openai", "127.0.0.1", 80),
    ],
)
def test_provider_and_port_of_a_server(
    instrumented: Telemetry, base_url: str, provider: str, address: str, port: int
) -> None:
    # The proxy refuses every connection, so that nothing leaves the machine.
    refused = openai.DefaultHttpxClient(proxy="http://127.0.0.1:9", trust_env=False)
    with (
        openai.OpenAI(api_key="k", base_url=base_url, http_client=refused, max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(model="m", messages=MESSAGES)

    told = instrumented.one().attributes or {}
    assert told["gen_ai.provider.name"] == provider
    assert (told["server.address"], told["server.port"]) == (address, port)


def test_a_base_url_that_changes(instrumented: Telemetry, model_server: ModelServer) -> None:
    with openai.OpenAI(api_key="k", base_url=model_server.base_url, max_retries=0) as client:
        client.embeddings.create(model="e", input="x")
        client.base_url = model_server.base_url.replace("127.0.0.1", "localhost")
        client.embeddings.create(model="e", input="x")

    hosts = [(span.attributes or {})["server.address"] for span in instrumented.spans]
    assert hosts == ["127.0.0.1", "localhost"]


async def test_the_asynchronous_client(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    create = async_client.chat.completions.create
    async with thread("t-1", tags=["a", "b"]):
        await create(model="gpt-5-mini", messages=MESSAGES)
    assert attributes(instrumented.take()[0]) == {**CHAT, **LABELS, **server(async_client)}

    stream = await create(model="gpt-5-mini", messages=MESSAGES, stream=True)
    assert [chunk async for chunk in stream]
    assert attributes(instrumented.take()[0])["gen_ai.response.finish_reasons"] == ("stop",)

    await async_client.embeddings.create(model="e", input="x")
    assert instrumented.one().name == "embeddings e"


@chat_helpers_api
async def test_the_asynchronous_helpers(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    helpers = chat_helpers(async_client)
    async with helpers.stream(model="gpt-5-mini", messages=MESSAGES) as stream:
        await stream.get_final_completion()
    assert attributes(instrumented.take()[0])["gen_ai.request.stream"] is True

    await helpers.parse(model="gpt-5-mini", messages=MESSAGES, response_format=Parcel)
    assert attributes(instrumented.one())["gen_ai.output.type"] == "json"


@responses_api
async def test_the_asynchronous_client_with_responses(
    instrumented: Telemetry, async_client: openai.AsyncOpenAI
) -> None:
    responses = async_client.responses
    made = await responses.create(model="gpt-5-mini", input="x")
    await responses.retrieve(made.id)
    async for _ in await responses.create(model="gpt-5-mini", input="x", stream=True):
        pass
    async with responses.stream(model="gpt-5-mini", input="x") as helper:
        await helper.get_final_response()
    await responses.parse(model="gpt-5-mini", input="x", text_format=Parcel)

    assert [span.name for span in instrumented.spans] == [
        "chat gpt-5-mini",
        "fetch_response",
        "chat gpt-5-mini",
        "chat gpt-5-mini",
        "chat gpt-5-mini",
    ]


def test_the_module_level_client(
    instrumented: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "api_key", "k")
    monkeypatch.setattr(openai, "base_url", model_server.base_url + "/")
    openai.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)

    assert instrumented.one().name == "chat gpt-5-mini"


def test_a_thread_in_the_call_wins_over_the_block(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    with thread("t-1", tags=["a"]):
        client.chat.completions.create(
            model="gpt-5-mini",
            messages=MESSAGES,
            extra_body={"orq": {"thread": {"id": "t-2", "tags": ["b"]}}},
        )

    told = attributes(instrumented.one())
    assert told["thread.id"] == told["orq.thread_id"] == told["gen_ai.conversation.id"] == "t-2"
    assert told["thread.tags"] == ("b",)


@pytest.mark.parametrize("given", [{"id": ""}, {"id": True}, {"tags": ["x"]}, "t-2", None])
def test_a_thread_in_the_call_that_is_none_leaves_the_block_in_force(
    instrumented: Telemetry, client: openai.OpenAI, given: Any
) -> None:
    with thread("t-1"):
        client.chat.completions.create(
            model="gpt-5-mini", messages=MESSAGES, extra_body={"orq": {"thread": given}}
        )

    assert attributes(instrumented.one())["thread.id"] == "t-1"


# ---- Calls inside of calls ----------------------------------------------------------------------


def names(telemetry: Telemetry) -> list[tuple[str, Any]]:
    """The spans in the order in which they began, each with the tokens of its request."""
    spans = sorted(telemetry.spans, key=lambda span: span.start_time or 0)
    return [
        (span.name, (span.attributes or {}).get("gen_ai.usage.output_tokens")) for span in spans
    ]


def test_a_call_in_a_hook_of_the_http_client_has_a_span(
    instrumented: Telemetry, client: openai.OpenAI
) -> None:
    def guard(_: Any) -> None:
        client.chat.completions.create(model="guard", messages=MESSAGES)

    kind = type(client._client)
    with kind(event_hooks={"request": [guard]}) as http:
        client.with_options(http_client=http).chat.completions.create(
            model="gpt-5-mini", messages=MESSAGES
        )

    assert [name for name, _ in names(instrumented)] == ["chat gpt-5-mini", "chat guard"]
    assert all(tokens for _, tokens in names(instrumented))


async def test_the_calls_of_a_gateway_in_process_have_spans(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    options: Any = {"api_key": "k", "max_retries": 0}

    async def gateway(_: Any, receive: Any, send: Any) -> None:
        await receive()
        async with openai.AsyncOpenAI(base_url=model_server.base_url, **options) as upstream:
            for model in ("guard", "real"):
                answer = await upstream.chat.completions.create(model=model, messages=MESSAGES)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.model_dump_json().encode()})

    async with openai.AsyncOpenAI(base_url="http://gateway/v1", **options) as plain:
        kind = next(one for one in type(plain._client).__mro__ if one.__name__ == "AsyncClient")
        http = import_module(kind.__module__.partition(".")[0])
    async with http.AsyncClient(transport=http.ASGITransport(app=gateway)) as transport:
        client = openai.AsyncOpenAI(base_url="http://gateway/v1", http_client=transport, **options)
        await client.chat.completions.create(model="gateway", messages=MESSAGES)

    assert [name for name, _ in names(instrumented)] == ["chat gateway", "chat guard", "chat real"]


@pytest.mark.parametrize("again", [1, 2])
def test_a_wrapper_that_another_tool_has_kept_makes_no_second_span(
    telemetry: Telemetry, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    owner = next(kind for kind in type(client).__mro__ if "request" in vars(kind))
    monkeypatch.setattr(owner, "request", vars(owner)["request"])
    for _ in range(again):
        OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
        ours = vars(owner)["request"]

        def theirs(*args: Any, inner: Any = ours, **kwargs: Any) -> Any:
            return inner(*args, **kwargs)

        owner.request = theirs  # type: ignore[attr-defined]
        OpenAIInstrumentor().uninstrument()
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    finally:
        OpenAIInstrumentor().uninstrument()
    assert [span.name for span in telemetry.spans] == ["chat gpt-5-mini"]
