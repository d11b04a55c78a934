"""One block that calls a Deployment, an Agent, the router by OpenAI's client, and a function.

One thread on both sides: in what is exported over OTLP, and in what Orq's server groups by. The
examples of Orq's documentation of threads are here as well, as its users write them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from stand_ins.orq_api import OrqServer
from stand_ins.otlp_receiver import OtlpReceiver, Span
from support.client_versions import needs

from orq_otel import OpenAIInstrumentor, OrqInstrumentor, thread

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own
with_agents = needs("orq-ai-sdk", "4.2", "client.agents.responses")

MESSAGE = {"role": "user", "parts": [{"kind": "text", "text": "Hello!"}]}
QUESTION: Any = [{"role": "user", "content": "Where is it?"}]


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A collector."""
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
def provider(
    receiver: OtlpReceiver, api: OrqServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TracerProvider]:
    """Both clients instrumented, and their spans sent to the collector."""
    monkeypatch.setenv("ORQ_BASE_URL", api.url)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(receiver.endpoint)))
    for kind in (OpenAIInstrumentor, OrqInstrumentor):
        kind().instrument(tracer_provider=provider)
    yield provider
    for kind in (OpenAIInstrumentor, OrqInstrumentor):
        kind().uninstrument()
    provider.shutdown()


@pytest.fixture
def router(api: OrqServer) -> Iterator[openai.OpenAI]:
    """OpenAI's client of Orq's router."""
    with openai.OpenAI(
        api_key="orq-test-key", base_url=f"{api.url}/v3/router", max_retries=0
    ) as client:
        yield client


def of_thread(spans: list[Span], thread_id: str) -> list[tuple[str, list[str]]]:
    """Name and tags of each span of a thread."""
    return [
        (span.name, span.attributes["thread.tags"])
        for span in spans
        if span.attributes.get("thread.id") == thread_id
    ]


@with_agents
def test_one_thread_on_both_sides(
    provider: TracerProvider, receiver: OtlpReceiver, api: OrqServer, orq: Any, router: Any
) -> None:
    with thread("order-88", tags=["shop"], user="ada", metadata={"plan": "pro"}):
        orq.deployments.invoke(key="greeting")
        orq.agents.responses.create(agent_key="keeper", message=MESSAGE, background=False)
        router.chat.completions.create(model="openai/gpt-5-mini", messages=QUESTION)
        with provider.get_tracer("shop").start_as_current_span("reserve"):
            pass

    assert of_thread(receiver.spans, "order-88") == [
        ("chat", ["shop"]),
        ("invoke_agent keeper", ["shop"]),
        ("chat openai/gpt-5-mini", ["shop"]),
        ("reserve", ["shop"]),
    ]
    assert len(receiver.spans) == 4
    (on_orqs_side,) = api.threads.values()
    assert (on_orqs_side.id, on_orqs_side.tags) == ("order-88", ["shop"])
    assert len(on_orqs_side.requests) == 3
    for span in receiver.spans:
        assert (span.attributes["user.id"], span.attributes["thread.metadata.plan"]) == (
            "ada",
            "pro",
        )
    if "identity" in inspect.signature(orq.deployments.invoke).parameters:
        for request in on_orqs_side.requests[:2]:
            assert (request.json["identity"], request.json["metadata"]) == (
                {"id": "ada"},
                {"plan": "pro"},
            )
    # Orq's spans are in the caller's traces, and the caller's spans say so.
    assert [span.trace_id for span in receiver.spans[:3]] == on_orqs_side.traces
    assert [span.attributes["orq.trace_id"] for span in receiver.spans[:2]] == (
        on_orqs_side.traces[:2]
    )


@with_agents
async def test_conversations_at_once_do_not_mix(
    provider: TracerProvider, receiver: OtlpReceiver, api: OrqServer, orq: Any
) -> None:
    async with openai.AsyncOpenAI(
        api_key="orq-test-key", base_url=f"{api.url}/v3/router", max_retries=0
    ) as router:

        async def converse(name: str) -> None:
            async with thread(name, tags=[f"tag-{name}"]):
                await orq.deployments.invoke_async(key=name)
                await orq.agents.responses.create_async(
                    agent_key=name, message=MESSAGE, background=False
                )
                await router.chat.completions.create(model=name, messages=QUESTION)

        await asyncio.gather(*(converse(f"c-{number}") for number in range(20)))

    assert len(receiver.spans) == 60
    for number in range(20):
        name, tags = f"c-{number}", [f"tag-c-{number}"]
        assert of_thread(receiver.spans, name) == [
            ("chat", tags),
            (f"invoke_agent {name}", tags),
            (f"chat {name}", tags),
        ]
        assert (api.threads[name].tags, len(api.threads[name].requests)) == (tags, 3)


def test_the_deployment_of_orqs_documentation(
    provider: TracerProvider, receiver: OtlpReceiver, api: OrqServer
) -> None:
    # Clients since 4.10 do not take the environment any more, which the page still gives.
    takes = inspect.signature(orq_ai_sdk.Orq).parameters
    environment = {"environment": "production"} if "environment" in takes else {}
    with orq_ai_sdk.Orq(api_key="orq-test-key", server_url=api.url, **environment) as client:
        generation = client.deployments.invoke(
            key="deployment-demo",
            context={"environments": []},
            metadata={"custom-field-name": "custom-metadata-value"},
            thread={"id": "<unique-thread-id>", "tags": ["tag1", "tag2"]},
        )

    assert generation.choices[0].message.content
    assert of_thread(receiver.spans, "<unique-thread-id>") == [("chat", ["tag1", "tag2"])]
    assert api.threads["<unique-thread-id>"].tags == ["tag1", "tag2"]


@with_agents
def test_the_agent_of_orqs_documentation(
    provider: TracerProvider, receiver: OtlpReceiver, api: OrqServer, orq: Any
) -> None:
    response = orq.agents.responses.create(
        agent_key="agent-demo",
        background=False,
        message=MESSAGE,
        thread={"id": "<unique-thread-id>", "tags": ["tag1", "tag2"]},
    )

    assert response.task_id
    assert of_thread(receiver.spans, "<unique-thread-id>") == [
        ("invoke_agent agent-demo", ["tag1", "tag2"])
    ]
    assert api.threads["<unique-thread-id>"].tags == ["tag1", "tag2"]


def test_the_router_of_orqs_documentation(
    provider: TracerProvider, receiver: OtlpReceiver, api: OrqServer, router: Any
) -> None:
    tags = ["education", "ml-basics", "beginner"]
    router.chat.completions.create(
        model="openai/gpt-4o",
        messages=[{"role": "user", "content": "Explain machine learning basics"}],
        extra_body={"orq": {"thread": {"id": "conversation-1", "tags": tags}}},
    )

    assert of_thread(receiver.spans, "conversation-1") == [("chat openai/gpt-4o", tags)]
    assert api.threads["conversation-1"].tags == tags
    assert "thread" not in api.requests[0].json


@with_agents
@needs("orq-ai-sdk", "4.2", "the argument identity")
def test_the_user_and_the_metadata_are_on_both_sides(
    provider: TracerProvider, receiver: OtlpReceiver, api: OrqServer, orq: Any, router: Any
) -> None:
    with thread("order-89", user="ada", metadata={"plan": "pro", "seats": 3}):
        orq.deployments.invoke(key="greeting")
        orq.agents.responses.create(agent_key="keeper", message=MESSAGE, background=False)
        router.chat.completions.create(model="openai/gpt-5-mini", messages=QUESTION)
        with provider.get_tracer("shop").start_as_current_span("reserve"):
            pass

    assert len(receiver.spans) == 4
    for span in receiver.spans:
        assert (span.attributes["thread.id"], span.attributes["user.id"]) == ("order-89", "ada")
        assert span.attributes["thread.metadata.plan"] == "pro"
        assert span.attributes["thread.metadata.seats"] == 3
    (on_orqs_side,) = api.threads.values()
    assert [request.fields["identity"] for request in on_orqs_side.requests] == [{"id": "ada"}] * 3
    assert [request.fields["metadata"] for request in on_orqs_side.requests] == [
        {"plan": "pro", "seats": 3},
        {"plan": "pro", "seats": 3},
        {"plan": "pro", "seats": "3"},
    ]
