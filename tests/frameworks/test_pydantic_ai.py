"""Pydantic AI: runs, streamed runs, tools, answers that are asked for again, its own tracing."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from stand_ins.model_server import ModelServer, Reply, ToolCall
from support.recorded import Telemetry

from .contract import Runs
from .conversations import (
    APIS,
    CHAT,
    CONVERSATIONS,
    MODEL,
    RESPONSES,
    TURN,
    UNCOUNTED,
    Orders,
    Parcel,
    Told,
    answered,
    answers_question,
    async_client_of,
    call,
    event_loop,
    in_tasks,
    in_worker_threads,
    labels_of,
    looked_up,
    meeting,
    order,
    question,
    told,
    turn,
)

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, InstrumentationSettings, ModelHTTPError, Tool
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


def agent(client: openai.AsyncOpenAI, api: str = CHAT, **arguments: Any) -> Any:
    model = {CHAT: OpenAIChatModel, RESPONSES: OpenAIResponsesModel}[api]
    provider = OpenAIProvider(openai_client=client)
    return Agent(model(MODEL, provider=provider), **arguments)


def counts(result: Any) -> list[Any]:
    """What Pydantic AI was told that each answer of a run took."""
    answers = [message for message in result.all_messages() if message.kind == "response"]
    return [(answer.usage.input_tokens, answer.usage.output_tokens) for answer in answers]


@pytest.mark.parametrize("way", [CHAT, RESPONSES])
class TestRuns(Runs):
    error = ModelHTTPError

    def agent(self, client: openai.AsyncOpenAI, way: str, tools: Any = ()) -> Any:
        return agent(client, way, tools=[Tool(tool, name="find") for tool in tools])

    def asking_another(self, client: openai.AsyncOpenAI, helper: Any) -> Any:
        async def ask(text: str) -> str:
            """Ask somebody else."""
            return (await helper.run(text)).output

        return agent(client, tools=[ask])

    def run_sync(self, agent: Any, text: str) -> Any:
        return agent.run_sync(text)

    def run(self, agent: Any, text: str) -> Any:
        return agent.run(text)

    async def run_streamed(self, agent: Any, text: str) -> Any:
        async with agent.run_stream(text) as result:
            pieces = [piece async for piece in result.stream_text(delta=True)]
        return "".join(pieces), result

    def text(self, result: Any) -> Any:
        return result.output

    def counts(self, result: Any) -> Any:
        return counts(result)


@APIS
async def test_the_steps_of_runs_in_tasks(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    orders = Orders(instrumented, model_server)

    async def ask(number: int) -> Any:
        async with assistant.iter(order(number)) as run:
            assert len([step async for step in run]) > 3
        return run.result

    async with async_client_of(model_server) as client:
        assistant = agent(client, api, tools=[orders.find])
        results = await in_tasks(instrumented, ask)
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(result)) for n, result in results.items()
    }


def test_streams_that_are_read_synchronously(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*meeting(after_chunks=3))

    def ask(number: int) -> str:
        with event_loop() as loop:
            client = async_client_of(model_server)
            with agent(client).run_stream_sync(question(number)) as result:
                text = "".join(result.stream_text(delta=True))
            loop.run_until_complete(client.close())
        return text

    answers = in_worker_threads(instrumented, ask, traced=False)
    assert all(answers_question(text, n) for n, text in answers.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": [answered(n, parent=None, streamed=True)] for n in CONVERSATIONS
    }


async def test_a_stream_that_is_given_up(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    async with async_client_of(model_server) as client:
        with turn(instrumented, 3):
            async with agent(client).run_stream(question(3)) as result:
                async for _ in result.stream_text(debounce_by=None):
                    break
    given_up = Told(f"chat {MODEL}", "turn", UNCOUNTED, "error", streamed=True)
    assert told(instrumented, model_server) == {"t-3": [TURN, given_up]}


@APIS
async def test_an_answer_that_is_not_valid_is_asked_for_again(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    model_server.script(
        Reply(tool_calls=[ToolCall("final_result", {"place": "here"})]),
        Reply(tool_calls=[ToolCall("final_result", {"place": "here", "days": 2})]),
    )
    async with async_client_of(model_server) as client:
        with turn(instrumented, 3):
            result = await agent(client, api, output_type=Parcel).run(question(3))
    assert result.output == Parcel(place="here", days=2)
    first, second = counts(result)
    assert first[1] < second[1]
    assert told(instrumented, model_server) == {
        "t-3": [TURN, call(first, "tool_calls"), call(second, "tool_calls")]
    }


# ---- Its own tracing ------------------------------------------------------------------------


def traced_agent(client: openai.AsyncOpenAI, telemetry: Telemetry, **arguments: Any) -> Any:
    """An agent of which Pydantic AI makes spans: of its runs, its models and its tools."""
    settings = InstrumentationSettings(tracer_provider=telemetry.provider)
    tracing = Instrumentation(settings)
    return agent(client, name="assistant", capabilities=[tracing], **arguments)


async def test_a_model_that_pydantic_ai_traces_has_one_span_and_it_is_labelled(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    orders = Orders(instrumented, model_server)
    async with async_client_of(model_server) as client:
        assistant = traced_agent(client, instrumented, tools=[orders.find])
        await in_tasks(instrumented, lambda n: assistant.run(order(n), conversation_id=f"t-{n}"))
    spans = sorted(instrumented.take(), key=lambda span: span.start_time)
    theirs, ours, app = "pydantic-ai", "orq_otel.openai", "app"
    for number in CONVERSATIONS:
        labels = labels_of(f"t-{number}", "test", f"tag-{number}")
        own = [span for span in spans if labels.items() <= span.attributes.items()]
        assert [(span.instrumentation_scope.name, span.name) for span in own] == [
            (app, "turn"),
            (theirs, "invoke_agent assistant"),
            (theirs, "chat gpt-5-mini"),
            (theirs, "execute_tool find"),
            (app, "find"),
            (ours, "chat gpt-5-nano"),
            (theirs, "chat gpt-5-mini"),
        ]
    assert len(spans) == 7 * len(CONVERSATIONS)


async def test_the_id_that_pydantic_ai_makes_up_is_kept_beside_the_threads(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    async with async_client_of(model_server) as client:
        with turn(instrumented, 3, traced=False):
            result = await traced_agent(client, instrumented).run(question(3))
    expected = labels_of("t-3", "test", "tag-3")
    expected["orq_otel.original.gen_ai.conversation.id"] = result.conversation_id
    for span in instrumented.take():
        assert expected.items() <= span.attributes.items()
