"""OpenAI's Agents SDK: runs, streamed runs, tools, agents that hand over and agents as tools."""

from __future__ import annotations

from collections import Counter
from typing import Any

import openai
import pytest
from model_server import Fail, ModelServer, Reply, ToolCall
from support.recorded import Telemetry

from .conversations import (
    CONVERSATIONS,
    KEY,
    MODEL,
    TURN,
    UNCOUNTED,
    Orders,
    Told,
    answered,
    answers_order,
    answers_question,
    call,
    event_loop,
    found,
    in_tasks,
    in_worker_threads,
    looked_up,
    meeting,
    order,
    question,
    told,
    turn,
)

pytest.importorskip("agents")

import agents

CHAT, RESPONSES = "chat completions", "responses"
APIS = pytest.mark.parametrize("api", [CHAT, RESPONSES])


@pytest.fixture(autouse=True)
def tracing_at_openai_is_off() -> None:
    agents.set_tracing_disabled(True)


def client_of(server: ModelServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)


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


@APIS
def test_runs_in_threads(instrumented: Telemetry, model_server: ModelServer, api: str) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    orders = Orders(instrumented, model_server)

    def ask(number: int) -> Any:
        with event_loop() as loop:
            client = client_of(model_server)
            assistant = agent(client, api, tools=[agents.function_tool(orders.find)])
            result = agents.Runner.run_sync(assistant, order(number))
            loop.run_until_complete(client.close())
        return result

    results = in_worker_threads(instrumented, ask)
    assert all(answers_order(result.final_output, n) for n, result in results.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(result)) for n, result in results.items()
    }


@APIS
@pytest.mark.parametrize("find", ["find", "find_async"])
async def test_runs_in_tasks(
    instrumented: Telemetry, model_server: ModelServer, api: str, find: str
) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    tool = agents.function_tool(getattr(Orders(instrumented, model_server), find))
    async with client_of(model_server) as client:
        assistant = agent(client, api, tools=[tool])
        results = await in_tasks(instrumented, lambda n: agents.Runner.run(assistant, order(n)))
    assert all(answers_order(result.final_output, n) for n, result in results.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(result)) for n, result in results.items()
    }


@APIS
async def test_streamed_runs_in_tasks(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    model_server.script(*meeting(after_chunks=2), *meeting(), *meeting(after_chunks=5))
    tool = agents.function_tool(Orders(instrumented, model_server).find)

    async def ask(number: int) -> Any:
        result = agents.Runner.run_streamed(assistant, order(number))
        async for _ in result.stream_events():
            pass
        return result

    async with client_of(model_server) as client:
        assistant = agent(client, api, tools=[tool])
        results = await in_tasks(instrumented, ask)
    assert all(answers_order(result.final_output, n) for n, result in results.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(result), streamed=True) for n, result in results.items()
    }


@APIS
async def test_a_streamed_run_stays_in_the_thread_in_which_it_began(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    async with client_of(model_server) as client:
        with turn(instrumented, 3, traced=False):
            result = agents.Runner.run_streamed(agent(client, api), question(3))
        async for _ in result.stream_events():
            pass
    assert answers_question(result.final_output, 3)
    assert told(instrumented, model_server) == {"t-3": [answered(3, parent=None, streamed=True)]}


async def test_tools_that_run_at_once(instrumented: Telemetry, model_server: ModelServer) -> None:
    wanted = Reply(tool_calls=[ToolCall("find", {"order_id": str(n)}) for n in CONVERSATIONS])
    model_server.script(wanted, *meeting())
    tool = agents.function_tool(Orders(instrumented, model_server).find)
    async with client_of(model_server) as client:
        with turn(instrumented, 7):
            result = await agents.Runner.run(agent(client, tools=[tool]), question(7))
    first, last = counts(result)
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == Counter(
        [TURN, call(first, "tool_calls"), call(last)]
        + [span for n in CONVERSATIONS for span in found(n)]
    )


async def test_an_agent_as_the_tool_of_another(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(Reply(tool_calls=[ToolCall("ask", {"input": question(2)})]))
    async with client_of(model_server) as client:
        tool = agent(client).as_tool(tool_name="ask", tool_description="Ask somebody else.")
        with turn(instrumented, 7):
            result = await agents.Runner.run(agent(client, tools=[tool]), question(7))
    first, last = counts(result)
    assert told(instrumented, model_server) == {
        "t-7": [TURN, call(first, "tool_calls"), answered(2), call(last)]
    }


async def test_an_agent_that_hands_over_to_another(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(Reply(tool_calls=[ToolCall("transfer_to_expert")]))
    async with client_of(model_server) as client:
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

    async with client_of(model_server) as client:
        checker = agent(client)
        guarded = agent(client, input_guardrails=[agents.InputGuardrail(ask)])
        with turn(instrumented, 7):
            await agents.Runner.run(guarded, question(7))
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == Counter([TURN, answered(2), answered(7)])


@APIS
async def test_a_run_that_fails(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    model_server.script(Fail(500))
    async with client_of(model_server) as client:
        with turn(instrumented, 3):
            with pytest.raises(openai.InternalServerError):
                await agents.Runner.run(agent(client, api), question(3))
    failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.InternalServerError")
    assert told(instrumented, model_server) == {"t-3": [TURN, failed]}
