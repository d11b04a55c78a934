"""LlamaIndex: its models of OpenAI, its agents, and its asynchronous code called synchronously."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openai
import pytest
from stand_ins.model_server import Fail, ModelServer, Reply
from support.recorded import Telemetry

from .contract import Ask, Conversations, Streams
from .conversations import (
    APIS,
    CHAT,
    CONVERSATIONS,
    KEY,
    MODEL,
    RESPONSES,
    TURN,
    UNCOUNTED,
    Orders,
    Parcel,
    Told,
    added,
    answered,
    answers_order,
    answers_question,
    call,
    found,
    in_tasks,
    in_worker_threads,
    looked_up,
    meeting,
    order,
    question,
    ran_at_once,
    told,
    tools_at_once,
    turn,
)

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import AgentOutput, FunctionAgent
from llama_index.core.async_utils import run_async_tasks
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI, OpenAIResponses

pytestmark = [
    # Its agents look at all attributes of a model, and so at some that Pydantic would not keep.
    pytest.mark.filterwarnings("ignore:The `__fields.*` attribute:DeprecationWarning:inspect"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_.*:DeprecationWarning:inspect"),
]


def make(server: ModelServer, api: str, **connections: Any) -> Any:
    """A model. LlamaIndex would never close connections that it makes itself."""
    arguments = {
        "model": MODEL,
        "api_base": server.base_url,
        "api_key": KEY,
        "max_retries": 0,
        **connections,
    }
    if api == RESPONSES:
        return OpenAIResponses(**arguments)
    usage = {"stream_options": {"include_usage": True}}
    return OpenAI(**arguments, additional_kwargs=usage)


@contextmanager
def model_of(server: ModelServer, api: str = CHAT) -> Iterator[Any]:
    with openai.DefaultHttpxClient() as http:
        yield make(server, api, http_client=http)


@asynccontextmanager
async def async_model_of(server: ModelServer, api: str = CHAT) -> AsyncIterator[Any]:
    async with openai.DefaultAsyncHttpxClient() as http:
        yield make(server, api, async_http_client=http)


async def run(agent: Any, text: str) -> tuple[str, list[Any]]:
    """What an agent says in the end, and what LlamaIndex was told that its answers took."""
    handler = agent.run(text)
    counts = []
    async for event in handler.stream_events():
        if isinstance(event, AgentOutput):
            counts.append(count(event.raw.get("response", event.raw)["usage"]))
    return str(await handler), counts


def count(usage: dict[str, Any]) -> tuple[int, int]:
    if "input_tokens" in usage:
        return usage["input_tokens"], usage["output_tokens"]
    return usage["prompt_tokens"], usage["completion_tokens"]


@pytest.mark.parametrize("way", [CHAT, RESPONSES])
class TestModels(Conversations, Streams):
    chunks = 5

    @contextmanager
    def asking(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        with model_of(server, way) as model:
            yield lambda n: model.complete(question(n)).text

    @asynccontextmanager
    async def asking_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async with async_model_of(server, way) as model:

            async def ask(number: int) -> str:
                return (await model.acomplete(question(number))).text

            yield ask

    @contextmanager
    def streaming(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        with model_of(server, way) as model:
            yield lambda n: [*model.stream_complete(question(n))][-1].text

    @asynccontextmanager
    async def streaming_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async with async_model_of(server, way) as model:

            async def ask(number: int) -> str:
                stream = await model.astream_complete(question(number))
                return [part async for part in stream][-1].text

            yield ask


# ---- Models ---------------------------------------------------------------------------------


def test_a_structured_answer(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(Reply(text='{"place": "here", "days": 2}'))
    with model_of(model_server) as model, turn(instrumented, 3):
        parcel = model.structured_predict(Parcel, PromptTemplate(question(3)))
    assert parcel == Parcel(place="here", days=2)
    spans = told(instrumented, model_server)
    assert spans == {"t-3": [TURN, call((spans["t-3"][1].tokens[0], 4))]}


@APIS
def test_a_call_that_fails(instrumented: Telemetry, model_server: ModelServer, api: str) -> None:
    model_server.script(Fail(500))
    with model_of(model_server, api) as model, turn(instrumented, 3):
        with pytest.raises(openai.InternalServerError):
            model.complete(question(3))
    failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.InternalServerError")
    assert told(instrumented, model_server) == {"t-3": [TURN, failed]}


# ---- Asynchronous code that is called synchronously -----------------------------------------


async def test_tasks_in_a_loop_of_their_own_beside_one_that_runs(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    async def ask(number: int) -> Any:
        async with async_model_of(model_server) as model:
            return await model.acomplete(question(number))

    model_server.script(*meeting())
    with turn(instrumented, 7):
        answers = run_async_tasks([ask(n) for n in CONVERSATIONS])
    assert all(answers_question(a.text, n) for n, a in zip(CONVERSATIONS, answers, strict=True))
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == Counter([TURN, *map(answered, CONVERSATIONS)])


def test_tasks_in_threads_that_run_no_loop(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    async def ask(number: int) -> Any:
        async with async_model_of(model_server) as model:
            return await model.acomplete(question(number))

    model_server.script(*meeting(2 * len(CONVERSATIONS)))
    answers = in_worker_threads(instrumented, lambda n: run_async_tasks([ask(n), ask(n)]))
    assert all(answers_question(a.text, n) for n, both in answers.items() for a in both)
    assert told(instrumented, model_server) == {
        f"t-{n}": [TURN, answered(n), answered(n)] for n in CONVERSATIONS
    }


# ---- Agents and tools -----------------------------------------------------------------------


@APIS
@pytest.mark.parametrize("find", ["find", "find_async"])
async def test_agents_in_tasks(
    instrumented: Telemetry, model_server: ModelServer, api: str, find: str
) -> None:
    model_server.script(*meeting(after_chunks=2), *meeting(), *meeting(after_chunks=5))
    orders = Orders(instrumented, model_server)
    kind = {"find": "fn", "find_async": "async_fn"}[find]
    tool = FunctionTool.from_defaults(**{kind: getattr(orders, find)}, name="find")
    async with async_model_of(model_server, api) as model:
        results = await in_tasks(
            instrumented, lambda n: run(FunctionAgent(tools=[tool], llm=model), order(n))
        )
    assert all(answers_order(text, n) for n, (text, _) in results.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts, streamed=True) for n, (_, counts) in results.items()
    }


@APIS
def test_tools_in_threads(instrumented: Telemetry, model_server: ModelServer, api: str) -> None:
    model_server.script(*meeting(), *meeting())
    tool = FunctionTool.from_defaults(Orders(instrumented, model_server).find)
    with model_of(model_server, api) as model:
        results = in_worker_threads(
            instrumented, lambda n: model.predict_and_call([tool], order(n)).response
        )
    assert results == {n: f"order {n} is here" for n in CONVERSATIONS}
    spans = told(instrumented, model_server)
    base = added(spans)
    assert spans == {
        f"t-{n}": [TURN, call((base + n, 3), "tool_calls"), *found(n)] for n in CONVERSATIONS
    }


async def test_tools_that_run_at_once(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(*tools_at_once())
    tool = FunctionTool.from_defaults(Orders(instrumented, model_server).find)
    async with async_model_of(model_server) as model:
        with turn(instrumented, 7):
            _, counts = await run(FunctionAgent(tools=[tool], llm=model), question(7))
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == ran_at_once(counts, streamed=True)
