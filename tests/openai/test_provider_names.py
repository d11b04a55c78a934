"""Whose telemetry a call is: the provider by the client and by the host, and what follows."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from stand_ins.model_server import ModelServer
from support.byte_server import Answer, ByteServer, http, sse
from support.openai_versions import call, responses_api, since
from support.recorded import Telemetry

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]

HOSTS = {
    "api.openai.com": "openai",
    "eu.api.openai.com": "openai",
    "my.orq.ai": "openai",
    "api.orq.ai": "openai",
    "example.com": "openai",
    "openrouter.ai.example.com": "openai",
    "openai.azure.com.example.com": "openai",
    "me.openai.azure.com": "azure.ai.openai",
    "me.openai.azure.us": "azure.ai.openai",
    "me.services.ai.azure.com": "azure.ai.openai",
    "me.cognitiveservices.azure.com": "azure.ai.openai",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "me.eastus2.models.ai.azure.com": "azure.ai.inference",
    "bedrock-runtime.us-east-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime.cn-north-1.amazonaws.com.cn": "aws.bedrock",
    "bedrock-mantle.eu-west-1.api.aws": "aws.bedrock",
    "vpce-0a1b-c2d3.bedrock-runtime.eu-west-1.vpce.amazonaws.com": "aws.bedrock",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "europe-west4-aiplatform.googleapis.com": "gcp.vertex_ai",
    "aiplatform.eu.rep.googleapis.com": "gcp.vertex_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "us-east-1.api.x.ai": "x_ai",
    "us-south.ml.cloud.ibm.com": "ibm.watsonx.ai",
    # Those that the conventions have no value for.
    "dashscope.aliyuncs.com": "alibaba_cloud",
    "dashscope-intl.aliyuncs.com": "alibaba_cloud",
    "dashscope-us.aliyuncs.com": "alibaba_cloud",
    "ws-1.ap-southeast-1.maas.aliyuncs.com": "alibaba_cloud",
    "oss.aliyuncs.com": "openai",
    "api.cerebras.ai": "cerebras",
    "dbc-1.cloud.databricks.com": "databricks",
    "1.2.gcp.databricks.com": "databricks",
    "adb-1.2.azuredatabricks.net": "databricks",
    "api.fireworks.ai": "fireworks",
    "models.github.ai": "github",
    "router.huggingface.co": "huggingface",
    "abc.us-east-1.aws.endpoints.huggingface.cloud": "huggingface",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "integrate.api.nvidia.com": "nvidia",
    "ollama.com": "ollama",
    "openrouter.ai": "openrouter",
    "eu.openrouter.ai": "openrouter",
    "api.sambanova.ai": "sambanova",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
}


def provider(telemetry: Telemetry) -> str:
    """The provider on the only span, and that it alone decides about the attributes of OpenAI's."""
    told = telemetry.one().attributes or {}
    name = told["gen_ai.provider.name"]
    assert isinstance(name, str)
    owned = sorted(key for key in told if key.startswith("openai."))
    assert owned == (
        [
            "openai.api.type",
            "openai.request.service_tier",
            "openai.response.service_tier",
            "openai.response.system_fingerprint",
        ]
        if name == "openai"
        else []
    )
    return name


def server(telemetry: Telemetry) -> tuple[Any, Any]:
    """The server on the only span."""
    told = telemetry.one().attributes or {}
    return told.get("server.address"), told.get("server.port")


def ask(client: openai.OpenAI) -> None:
    """A chat completion that has everything of OpenAI's own."""
    call(client.chat.completions.create, model="m", messages=MESSAGES, service_tier="flex")


@contextmanager
def client_of(host: str, model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """A client of that host, whose calls a proxy takes to the stand-in."""
    http = openai.DefaultHttpxClient(proxy=model_server.url, trust_env=False)
    with openai.OpenAI(
        api_key="k", base_url=f"http://{host}/v1", http_client=http, max_retries=0
    ) as client:
        yield client


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_tells_the_provider(
    instrumented: Telemetry, model_server: ModelServer, host: str
) -> None:
    with client_of(host, model_server) as client:
        ask(client)

    assert model_server.requests[0].headers["host"] == host
    assert provider(instrumented) == HOSTS[host]
    assert (instrumented.one().attributes or {})["server.address"] == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "gpu.example.com"])
def test_ollama_is_told_by_its_port(
    instrumented: Telemetry, model_server: ModelServer, host: str
) -> None:
    with client_of(f"{host}:11434", model_server) as client:
        ask(client)

    assert provider(instrumented) == "ollama"
    assert server(instrumented) == (host, 11434)


def test_a_vendor_on_that_port(instrumented: Telemetry, model_server: ModelServer) -> None:
    with client_of("api.groq.com:11434", model_server) as client:
        ask(client)

    assert provider(instrumented) == "groq"


def test_a_private_host(instrumented: Telemetry, model_server: ModelServer) -> None:
    with client_of("llm.internal.example.com:8000", model_server) as client:
        ask(client)

    assert provider(instrumented) == "openai"
    assert server(instrumented) == ("llm.internal.example.com", 8000)


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("me.openai.azure.com", "Microsoft.CognitiveServices"),
        ("me.eastus2.models.ai.azure.com", "Microsoft.CognitiveServices"),
        ("api.openai.com", None),
    ],
)
def test_azures_service(
    instrumented: Telemetry, model_server: ModelServer, host: str, namespace: str | None
) -> None:
    with client_of(host, model_server) as client:
        ask(client)

    told = instrumented.one().attributes or {}
    assert told.get("azure.resource_provider.namespace") == namespace


#: What a deployment calls itself, and the model behind it.
DEPLOYMENT, SERVED = "my-deployment", "gpt-5-mini-2026-08-01"

CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": DEPLOYMENT,
    "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": DEPLOYMENT,
    "status": "completed",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
COMPLETED = {"type": "response.completed", "sequence_number": 0, "response": RESPONSE}


def streamed_chat(client: openai.OpenAI) -> object:
    return list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))


def raw_streamed_chat(client: openai.OpenAI) -> object:
    create = client.chat.completions.with_raw_response.create
    return list(create(model="m", messages=MESSAGES, stream=True).parse())


def chat_read_along(client: openai.OpenAI) -> object:
    create = client.chat.completions.with_streaming_response.create
    with create(model="m", messages=MESSAGES, stream=True) as response:
        return list(response.iter_lines())


def streamed_response(client: openai.OpenAI) -> object:
    return list(client.responses.create(model="m", input="x", stream=True))


def left_response(client: openai.OpenAI) -> object:
    with client.responses.create(model="m", input="x", stream=True) as stream:
        return next(iter(stream))


def raw_response(client: openai.OpenAI) -> object:
    return client.responses.with_raw_response.create(model="m", input="x")


def parsed_response(client: openai.OpenAI) -> object:
    return client.responses.create(model="m", input="x")


def parsed_with_headers(client: openai.OpenAI) -> object:
    return client.responses.create(model="m", input="x", extra_headers={"x-ms-served-model": "x"})


@contextmanager
def azure_answering(body: Any, served: str) -> Iterator[openai.AzureOpenAI]:
    """A client of an Azure that names the model in a header, or of one that does not."""
    kind = "text/event-stream" if isinstance(body, list) else "application/json"
    header = [f"x-ms-served-model: {served}"]
    whole = sse(body) if isinstance(body, list) else json.dumps(body).encode()
    with ByteServer() as server:
        server.script(Answer(http(whole, content_type=kind, headers=header)))
        url = server.base_url.removesuffix("/v1")
        with openai.AzureOpenAI(
            api_key="k", azure_endpoint=url, api_version="2026-01-01", max_retries=0
        ) as client:
            yield client


@pytest.mark.parametrize(
    ("ask", "body"),
    [
        (streamed_chat, [CHUNK]),
        (raw_streamed_chat, [CHUNK]),
        (chat_read_along, [CHUNK]),
        pytest.param(streamed_response, [COMPLETED], marks=responses_api),
        pytest.param(left_response, [COMPLETED], marks=responses_api),
        pytest.param(raw_response, RESPONSE, marks=responses_api),
    ],
)
def test_azure_names_the_model_behind_a_deployment(
    instrumented: Telemetry, ask: Callable[[openai.OpenAI], object], body: Any
) -> None:
    with azure_answering(body, SERVED) as client:
        assert ask(client)

    assert (instrumented.one().attributes or {})["gen_ai.response.model"] == SERVED


@pytest.mark.parametrize("tier", [None, "default", "priority"])
def test_azures_service_tier_has_a_name_of_ours(instrumented: Telemetry, tier: Any) -> None:
    with azure_answering([{**CHUNK, "service_tier": tier}], SERVED) as client:
        assert streamed_chat(client)

    told = instrumented.one().attributes or {}
    tiers = {name: value for name, value in told.items() if name.endswith("service_tier")}
    expected = {"orq_otel.response.service_tier": "priority"} if tier == "priority" else {}
    assert tiers == expected


@pytest.mark.parametrize(
    ("ask", "body", "served"),
    [
        (streamed_chat, [CHUNK], " "),
        pytest.param(parsed_response, RESPONSE, SERVED, marks=responses_api),
        pytest.param(parsed_with_headers, RESPONSE, SERVED, marks=responses_api),
    ],
)
def test_a_model_that_azure_names_in_no_header_at_hand(
    instrumented: Telemetry, ask: Callable[[openai.OpenAI], object], body: Any, served: str
) -> None:
    with azure_answering(body, served) as client:
        assert ask(client)

    assert (instrumented.one().attributes or {})["gen_ai.response.model"] == DEPLOYMENT


def test_that_header_from_another_server(instrumented: Telemetry) -> None:
    header = [f"x-ms-served-model: {SERVED}"]
    with ByteServer() as server:
        server.script(Answer(http(sse([CHUNK]), content_type="text/event-stream", headers=header)))
        with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
            assert streamed_chat(client)

    assert (instrumented.one().attributes or {})["gen_ai.response.model"] == DEPLOYMENT


BEDROCK = "bedrock-runtime.us-east-1.amazonaws.com"


@pytest.mark.parametrize("host", [BEDROCK, "api.openai.com"])
def test_the_guardrail_of_a_request(
    instrumented: Telemetry, model_server: ModelServer, host: str
) -> None:
    with client_of(host, model_server) as client:
        client.chat.completions.create(
            model="m", messages=MESSAGES, extra_headers={"X-Amzn-Bedrock-GuardrailIdentifier": "g1"}
        )

    told = instrumented.one().attributes or {}
    assert told.get("aws.bedrock.guardrail.id") == ("g1" if host == BEDROCK else None)


def test_the_guardrail_of_a_client(instrumented: Telemetry, model_server: ModelServer) -> None:
    with client_of(BEDROCK, model_server) as client:
        ask(client.with_options(default_headers={"x-amzn-bedrock-guardrailidentifier": "g2"}))
        ask(client)

    first, second = [span.attributes or {} for span in instrumented.spans]
    assert first["aws.bedrock.guardrail.id"] == "g2"
    assert "aws.bedrock.guardrail.id" not in second


def test_the_provider_of_an_operation_that_is_ours(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    with client_of("api.groq.com", model_server) as client:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"))

    told = instrumented.one().attributes or {}
    assert told["gen_ai.provider.name"] == "groq"
    assert not [name for name in told if name.startswith("openai.")]


def test_azures_client(instrumented: Telemetry, model_server: ModelServer) -> None:
    with openai.AzureOpenAI(
        api_key="k", azure_endpoint=model_server.url, api_version="2026-01-01", max_retries=0
    ) as client:
        ask(client)

    assert provider(instrumented) == "azure.ai.openai"


def test_azures_client_for_other_operations(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    with openai.AzureOpenAI(
        api_key="k", azure_endpoint=model_server.url, api_version="2026-01-01", max_retries=0
    ) as client:
        client.images.generate(model="draw", prompt="A parcel")
        client.audio.transcriptions.create(model="hear", file=("a.wav", b"RIFF"))
        client.audio.speech.create(model="say", input="Hello", voice="alloy")
        client.completions.create(model="write", prompt="Once")

    assert [request.path for request in model_server.requests] == [
        "/openai/deployments/draw/images/generations",
        "/openai/deployments/hear/audio/transcriptions",
        "/openai/deployments/say/audio/speech",
        "/openai/deployments/write/completions",
    ]
    assert [span.name for span in instrumented.spans] == [
        "generate_image draw",
        "transcribe hear",
        "generate_speech say",
        "text_completion write",
    ]
    *ours, completion = [span.attributes or {} for span in instrumented.spans]
    assert {told["gen_ai.provider.name"] for told in ours} == {"azure.ai.openai"}
    assert completion["gen_ai.provider.name"] == "azure.ai.openai"


def test_azures_client_with_a_deployment_of_its_own(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    with openai.AzureOpenAI(
        api_key="k",
        azure_endpoint=model_server.url,
        azure_deployment="mine",
        api_version="2026-01-01",
        max_retries=0,
    ) as client:
        ask(client)

    assert model_server.requests[0].path == "/openai/deployments/mine/chat/completions"
    assert provider(instrumented) == "azure.ai.openai"


@since("2.40", "BedrockOpenAI")
def test_bedrocks_client(instrumented: Telemetry, model_server: ModelServer) -> None:
    bedrock = importlib.import_module("openai.lib.bedrock")
    with bedrock.BedrockOpenAI(
        api_key="k", aws_region="eu-west-1", base_url=model_server.base_url, max_retries=0
    ) as client:
        ask(client)

    assert provider(instrumented) == "aws.bedrock"


@since("2.44", "providers")
def test_bedrock_as_the_provider(instrumented: Telemetry, model_server: ModelServer) -> None:
    bedrock = importlib.import_module("openai.providers.bedrock").bedrock
    given = bedrock(base_url=model_server.base_url, region="eu-west-1", api_key="k")
    with openai.OpenAI(provider=given, max_retries=0) as client:
        ask(client)

    assert provider(instrumented) == "aws.bedrock"


@since("2.44", "providers")
async def test_bedrock_as_the_provider_of_the_asynchronous_client(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    bedrock = importlib.import_module("openai.providers.bedrock").bedrock
    given = bedrock(base_url=model_server.base_url, region="eu-west-1", api_key="k")
    async with openai.AsyncOpenAI(provider=given, max_retries=0) as client:
        await client.chat.completions.create(model="m", messages=MESSAGES, service_tier="flex")

    assert provider(instrumented) == "aws.bedrock"


@since("3.36.1", "Vertex AI as a provider")
def test_vertex_as_the_provider(instrumented: Telemetry, model_server: ModelServer) -> None:
    vertex = importlib.import_module("openai.providers.vertex").vertex
    given = vertex(base_url=model_server.base_url, token_provider=lambda: "token")
    with openai.OpenAI(provider=given, max_retries=0) as client:
        client.responses.create(model="m", input="Where is my parcel?")

    assert provider(instrumented) == "gcp.vertex_ai"


def test_a_client_that_moves_elsewhere(instrumented: Telemetry, model_server: ModelServer) -> None:
    with client_of("api.groq.com", model_server) as client:
        ask(client)
        ask(client.with_options(base_url="http://api.mistral.ai/v1"))
        client.base_url = "http://api.openai.com/v1"
        ask(client)

    told = [(span.attributes or {})["gen_ai.provider.name"] for span in instrumented.spans]
    assert told == ["groq", "mistral_ai", "openai"]
