"""LangChain: models, chains and agents, with the worker threads of LangChain and LangGraph."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import openai
import pytest
from stand_ins.model_server import Fail, ModelServer
from support.client_versions import needs
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
    answered,
    answers_order,
    answers_question,
    call,
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

pytest.importorskip("langchain")
pytest.importorskip("langchain_openai")

from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@pytest.fixture(autouse=True)
def langsmith_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING_V2", "false")


def make(server: ModelServer, api: str, **connections: Any) -> Any:
    """A chat model. LangChain would never close connections that it makes itself."""
    return ChatOpenAI(
        model=MODEL,
        base_url=server.base_url,
        api_key=KEY,
        max_retries=0,
        stream_usage=True,
        use_responses_api=api == RESPONSES,
        **connections,
    )


@contextmanager
def chat_model(server: ModelServer, api: str = CHAT) -> Iterator[Any]:
    with openai.DefaultHttpxClient() as http:
        yield make(server, api, http_client=http)


@asynccontextmanager
async def async_chat_model(server: ModelServer, api: str = CHAT) -> AsyncIterator[Any]:
    async with openai.DefaultAsyncHttpxClient() as http:
        yield make(server, api, http_async_client=http)


def agent(model: Any, orders: Orders) -> Any:
    find = StructuredTool.from_function(orders.find, orders.find_async, name="find")
    return create_agent(model, [find])


def asked(text: str) -> Any:
    """The state with which an agent begins."""
    return {"messages": [("user", text)]}


def counts(messages: list[Any]) -> list[Any]:
    """What LangChain was told that each answer took."""
    used = [message.usage_metadata for message in messages if message.type == "ai"]
    return [(one["input_tokens"], one["output_tokens"]) for one in used]


@pytest.mark.parametrize("way", [CHAT, RESPONSES])
class TestModels(Conversations, Streams):
    @contextmanager
    def asking(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        with chat_model(server, way) as model:
            yield lambda n: model.invoke(question(n)).text

    @asynccontextmanager
    async def asking_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async with async_chat_model(server, way) as model:

            async def ask(number: int) -> str:
                return (await model.ainvoke(question(number))).text

            yield ask

    @contextmanager
    def streaming(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        with chat_model(server, way) as model:
            yield lambda n: "".join(chunk.text for chunk in model.stream(question(n)))

    @asynccontextmanager
    async def streaming_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async with async_chat_model(server, way) as model:

            async def ask(number: int) -> str:
                return "".join([chunk.text async for chunk in model.astream(question(number))])

            yield ask


# ---- Models ---------------------------------------------------------------------------------


async def test_the_events_of_a_chain(instrumented: Telemetry, model_server: ModelServer) -> None:
    async with async_chat_model(model_server) as model:
        chain = RunnableLambda(question) | model
        with turn(instrumented, 3):
            kinds = {event["event"] async for event in chain.astream_events(3)}
    assert {"on_chat_model_stream", "on_chain_end"} <= kinds
    assert told(instrumented, model_server) == {"t-3": [TURN, answered(3, streamed=True)]}


def test_a_stream_that_is_given_up(instrumented: Telemetry, model_server: ModelServer) -> None:
    with chat_model(model_server) as model, turn(instrumented, 3):
        with closing(model.stream(question(3))) as chunks:
            next(chunks)
            next(chunks)
        assert len(instrumented.spans) == 1
    given_up = Told(f"chat {MODEL}", "turn", UNCOUNTED, "error", streamed=True)
    assert told(instrumented, model_server) == {"t-3": [TURN, given_up]}


@APIS
def test_a_structured_answer(instrumented: Telemetry, model_server: ModelServer, api: str) -> None:
    with chat_model(model_server, api) as model, turn(instrumented, 3):
        structured = model.with_structured_output(Parcel, include_raw=True)
        answer = structured.invoke(question(3))
    assert isinstance(answer["parsed"], Parcel)
    (tokens,) = counts([answer["raw"]])
    assert told(instrumented, model_server) == {"t-3": [TURN, call(tokens)]}


def test_embeddings(instrumented: Telemetry, model_server: ModelServer) -> None:
    with openai.DefaultHttpxClient() as http:
        embeddings = OpenAIEmbeddings(
            model="text-embedding-3-small",
            base_url=model_server.base_url,
            api_key=KEY,
            http_client=http,
            # To count tokens it would download a vocabulary.
            check_embedding_ctx_length=False,
        )
        with turn(instrumented, 3):
            vectors = embeddings.embed_documents([question(3), question(2)])
    assert len(vectors) == 2
    embedded = Told("embeddings text-embedding-3-small", "turn", (5, None))
    assert told(instrumented, model_server) == {"t-3": [TURN, embedded]}


def test_a_retry_is_a_call_of_its_own(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(Fail(500))
    with chat_model(model_server) as model, turn(instrumented, 3):
        patient = model.with_retry(wait_exponential_jitter=False, stop_after_attempt=2)
        assert answers_question(patient.invoke(question(3)).text, 3)
    failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.InternalServerError")
    assert told(instrumented, model_server) == {"t-3": [TURN, failed, answered(3)]}


# ---- Worker threads of LangChain's ----------------------------------------------------------


def test_a_batch_runs_in_the_thread_of_its_caller(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*meeting())
    with chat_model(model_server) as model, turn(instrumented, 7):
        answers = model.batch([question(n) for n in CONVERSATIONS])
    assert len(answers) == len(CONVERSATIONS)
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == Counter([TURN, *map(answered, CONVERSATIONS)])


def test_batches_in_threads(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(*meeting(2 * len(CONVERSATIONS)))
    with chat_model(model_server) as model:
        answers = in_worker_threads(
            instrumented, lambda n: list(model.batch_as_completed([question(n)] * 2))
        )
    assert all(len(both) == 2 for both in answers.values())
    assert told(instrumented, model_server) == {
        f"t-{n}": [TURN, answered(n), answered(n)] for n in CONVERSATIONS
    }


async def test_batches_in_tasks(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(*meeting(2 * len(CONVERSATIONS)))
    async with async_chat_model(model_server) as model:
        answers = await in_tasks(instrumented, lambda n: model.abatch([question(n)] * 2))
    assert all(len(both) == 2 for both in answers.values())
    assert told(instrumented, model_server) == {
        f"t-{n}": [TURN, answered(n), answered(n)] for n in CONVERSATIONS
    }


def test_branches_in_threads(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(*meeting(3 * len(CONVERSATIONS)))
    with chat_model(model_server) as model:
        branches = RunnableParallel(
            model=model,
            function=RunnableLambda(lambda text: model.invoke(text).text),
            stream=RunnableLambda(lambda text: [*model.stream(text)]),
        )
        in_worker_threads(instrumented, lambda n: branches.invoke(question(n)))
    spans = told(instrumented, model_server)
    assert {name: Counter(those) for name, those in spans.items()} == {
        f"t-{n}": Counter([TURN, answered(n), answered(n), answered(n, streamed=True)])
        for n in CONVERSATIONS
    }


async def test_synchronous_branches_of_chains_in_tasks(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*meeting(2 * len(CONVERSATIONS)))
    with chat_model(model_server) as model:
        async with async_chat_model(model_server) as async_model:
            branches = RunnableParallel(
                model=async_model,
                function=RunnableLambda(lambda text: model.invoke(text).text),
            )
            await in_tasks(instrumented, lambda n: branches.ainvoke(question(n)))
    assert told(instrumented, model_server) == {
        f"t-{n}": [TURN, answered(n), answered(n)] for n in CONVERSATIONS
    }


# ---- Agents ---------------------------------------------------------------------------------


@APIS
def test_agents_in_threads(instrumented: Telemetry, model_server: ModelServer, api: str) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    with chat_model(model_server, api) as model:
        graph = agent(model, Orders(instrumented, model_server))
        states = in_worker_threads(instrumented, lambda n: graph.invoke(asked(order(n))))
    assert all(answers_order(state["messages"][-1].text, n) for n, state in states.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(state["messages"])) for n, state in states.items()
    }


@needs("Python", "3.11", "what LangGraph streams with")
@APIS
async def test_streaming_agents_in_tasks(
    instrumented: Telemetry, model_server: ModelServer, api: str
) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    async with async_chat_model(model_server, api) as model:
        graph = agent(model, Orders(instrumented, model_server))

        async def ask(number: int) -> Any:
            modes = ["messages", "values"]
            async for mode, part in graph.astream(asked(order(number)), stream_mode=modes):
                if mode == "values":
                    state = part
            return state

        states = await in_tasks(instrumented, ask)
    assert all(answers_order(state["messages"][-1].text, n) for n, state in states.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(state["messages"]), streamed=True)
        for n, state in states.items()
    }


def test_tools_that_an_agent_runs_at_once(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*tools_at_once())
    with chat_model(model_server) as model, turn(instrumented, 7):
        graph = agent(model, Orders(instrumented, model_server))
        messages = graph.invoke(asked(question(7)))["messages"]
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == ran_at_once(counts(messages))
