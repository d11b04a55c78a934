"""What Orq's client records of LangChain and of OpenAI's Agents SDK is in the thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from stand_ins.model_server import ModelServer
from stand_ins.orq_api import OrqServer
from support.recorded import Telemetry

from orq_otel import OrqInstrumentor, thread

pytest.importorskip("langchain_openai")
pytest.importorskip("agents")
pytest.importorskip("orq_ai_sdk.langchain._client", reason="of a newer orq-ai-sdk")

import agents
from langchain_openai import ChatOpenAI
from orq_ai_sdk import langchain
from orq_ai_sdk.langchain._global import _handler_var
from orq_ai_sdk.openai_agents_instrumentation import OpenAIAgentsInstrumentor

MODEL = "gpt-5-mini"


@pytest.fixture
def with_orq(instrumented: Telemetry) -> Iterator[Telemetry]:
    OrqInstrumentor().instrument(tracer_provider=instrumented.provider)
    yield instrumented
    OrqInstrumentor().uninstrument()


def posted(api: OrqServer) -> list[dict[str, Any]]:
    """The attributes of each span that Orq's client has posted, as OTLP has them."""
    return [
        {one["key"]: one["value"] for one in span["attributes"]}
        for request in api.requests
        for resource in request.json["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_langchain(with_orq: Telemetry, model_server: ModelServer, is_async: bool) -> None:
    model = ChatOpenAI(model=MODEL, base_url=model_server.base_url, api_key="sk-test-key")
    chain = model | (lambda message: message.content)
    with OrqServer() as api:
        langchain.setup(api_key="orq-test-key", api_url=api.url)
        handler = _handler_var.get()
        try:
            metadata: Any = {"plan": "pro", "seats": 3, "rate": 0.5, "paid": True}
            with thread("support-42", tags=["vip"], user="ada", metadata=metadata):
                if is_async:
                    await chain.ainvoke("Where is it?")
                else:
                    chain.invoke("Where is it?")
            handler._client.flush()
            spans = posted(api)
        finally:
            langchain.teardown()
            handler._client.close()
    assert len(spans) == 3
    for attributes in spans:
        assert attributes["orq.thread_id"] == {"stringValue": "support-42"}
        assert attributes["thread.tags"] == {"arrayValue": {"values": [{"stringValue": "vip"}]}}
        assert attributes["orq.tags"] == {"stringValue": '["vip"]'}
        assert attributes["user.id"] == {"stringValue": "ada"}
        assert {name: attributes[f"thread.metadata.{name}"] for name in metadata} == {
            "plan": {"stringValue": "pro"},
            "seats": {"intValue": "3"},
            "rate": {"doubleValue": 0.5},
            "paid": {"boolValue": True},
        }


async def test_agents(with_orq: Telemetry, model_server: ModelServer) -> None:
    agents.set_tracing_disabled(False)
    OpenAIAgentsInstrumentor().instrument(tracer_provider=with_orq.provider)
    try:
        async with openai.AsyncOpenAI(api_key="sk", base_url=model_server.base_url) as client:
            model = agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
            agent = agents.Agent(name="assistant", model=model)
            with thread("support-42", tags=["vip"]):
                await agents.Runner.run(agent, "Where is it?")
    finally:
        OpenAIAgentsInstrumentor().uninstrument()
        agents.set_tracing_disabled(True)
    names = {span.name for span in with_orq.spans}
    assert len(names) > 1
    for span in with_orq.spans:
        assert (span.attributes or {})["thread.id"] == "support-42", span.name
