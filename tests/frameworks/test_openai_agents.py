"""OpenAI's Agents SDK: runs, streamed runs, tools, agents that hand over and agents as tools."""

from __future__ import annotations

from collections import Counter
from typing import Any

import openai
import pytest
from stand_ins.model_server import ModelServer, Reply, ToolCall
from support.recorded import Telemetry

from .contract import Runs
from .conversations import (
    APIS,
    CHAT,
    MODEL,
    RESPONSES,
    TURN,
    answered,
    answers_question,
    async_client_of,
    call,
    meeting,
    question,
    told,
    turn,
)

pytest.importorskip("agents")

import agents


@pytest.fixture(autouse=True)
def tracing_at_openai_is_off() -> None:
    agents.set_tracing_disabled(True)


def agent(client: openai.AsyncOpenAI, api: str = CHAT, **arguments: Any) -> Any:
    models = {CHAT: agents.OpenAIChatCompletionsModel, RESPONSES: agents.OpenAIResponsesModel}
    return agents.Agent(
        name="assistant",
        model=models[api](model=MODEL, openai_client=client),
        model_settings=agents.ModelSettings(include_usage=True),
        **arguments,
    )


def counts(result: Any) -> list[Any]:
    """What the SDK was told that each answer of a run took."""
    usages = [response.usage for response in result.raw_responses]
    return [(usage.input_tokens, usage.output_tokens) for usage in usages]


@pytest.mark.parametrize("way", [CHAT, RESPONSES])
class TestRuns(Runs):
    argument = "input"

    def agent(self, client: openai.AsyncOpenAI, way: str, tools: Any = ()) -> Any:
        named = [agents.function_tool(tool, name_override="find") for tool in tools]
        return agent(client, way, tools=named)

    def asking_another(self, client: openai.AsyncOpenAI, helper: Any) -> Any:
        tool = helper.as_tool(tool_name="ask", tool_description="Ask somebody else.")
        return agent(client, tools=[tool])

    def run_sync(self, agent: Any, text: str) -> Any:
        return agents.Runner.run_sync(agent, text)

    def run(self, agent: Any, text: str) -> Any:
        return agents.Runner.run(agent, text)

    async def run_streamed(self, agent: Any, text: str) -> Any:
        result = agents.Runner.run_streamed(agent, text)
        async for _ in result.stream_events():
            pass
        return result.final_output, result

    def text(self, result: Any) -> Any:
        return result.final_output

    def counts(self, result: Any) -> Any:
        return counts(result)


@APIS
async def test_a_streamed_run_stays_in_the_thread_in_which_it_began(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    async with async_client_of(model_server) as client:
        with turn(instrumented, 3, traced=False):
            result = agents.Runner.run_streamed(agent(client, api), question(3))
        async for _ in result.stream_events():
            pass
    assert answers_question(result.final_output, 3)
    assert told(instrumented, model_server) == {"t-3": [answered(3, parent=None, streamed=True)]}


async def test_an_agent_that_hands_over_to_another(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(Reply(tool_calls=[ToolCall("transfer_to_expert")]))
    async with async_client_of(model_server) as client:
        expert = agent(client, RESPONSES).clone(name="expert")
        with turn(instrumented, 7):
            result = await agents.Runner.run(agent(client, handoffs=[expert]), question(7))
    assert result.last_agent is expert
    first, last = counts(result)
    assert told(instrumented, model_server) == {
        "t-7": [TURN, call(first, "tool_calls"), call(last)]
    }


async def test_a_guardrail_that_asks_a_model_beside_the_run(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*meeting(2))

    async def ask(context: Any, assistant: Any, text: Any) -> Any:
        await agents.Runner.run(checker, question(2))
        return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    async with async_client_of(model_server) as client:
        checker = agent(client)
        guarded = agent(client, input_guardrails=[agents.InputGuardrail(ask)])
        with turn(instrumented, 7):
            await agents.Runner.run(guarded, question(7))
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == Counter([TURN, answered(2), answered(7)])
