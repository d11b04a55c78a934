"""LiteLLM, for models that it reaches through the OpenAI client, and its own worker threads."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openai
import pytest
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from stand_ins.model_server import Fail, ModelServer
from support.recorded import Telemetry

from .contract import Ask, Conversations, Streams
from .conversations import (
    CHAT,
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
    in_tasks,
    in_worker_threads,
    looked_up,
    meeting,
    messages,
    order,
    question,
    told,
    turn,
)

with pytest.MonkeyPatch.context() as environment:
    # It would fetch the prices of models when it is imported.
    environment.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    pytest.importorskip("litellm")

import litellm

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*using the `ReadOnly` qualifier:UserWarning:pydantic"),
    pytest.mark.filterwarnings(
        "ignore:Accessing the 'model_.*' attribute on the instance:DeprecationWarning:litellm"
    ),
]

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
        },
    }
]
USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(autouse=True)
def litellm_tidies_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    # Until somebody has set one or none, asking for this thread's event loop would make one.
    asyncio.set_event_loop(None)
    yield
    clients = litellm.in_memory_llm_clients_cache
    for client in clients.cache_dict.values():
        if isinstance(client, openai.OpenAI):
            client.close()
    clients.flush_cache()


def at(server: ModelServer) -> dict[str, Any]:
    """The arguments that every call has."""
    return {
        "model": f"openai/{MODEL}",
        "api_base": server.base_url,
        "api_key": KEY,
        "max_retries": 0,
    }


def meet_first(telemetry: Telemetry, server: ModelServer) -> None:
    """Have LiteLLM make its client. Several calls at once would each make one, and close none."""
    litellm.completion(messages=messages("Hello!"), **at(server))
    assert len(telemetry.take()) == 1


def text_of(response: Any) -> str:
    return response.choices[0].message.content


def piece_of(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def counts(*responses: Any) -> list[Any]:
    """What LiteLLM was told that each answer took."""
    usages = [response.usage for response in responses]
    return [(usage.prompt_tokens, usage.completion_tokens) for usage in usages]


def continued(number: int, response: Any, results: list[str]) -> Any:
    """The messages of a conversation in which the tools have been called."""
    calls = response.choices[0].message.tool_calls
    answers = [
        {"role": "tool", "tool_call_id": call.id, "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return [*messages(order(number)), response.choices[0].message.model_dump(), *answers]


def order_ids(response: Any) -> list[str]:
    calls = response.choices[0].message.tool_calls
    return [json.loads(call.function.arguments)["order_id"] for call in calls]


@pytest.mark.parametrize("way", [CHAT])
class TestModels(Conversations, Streams):
    @contextmanager
    def asking(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        meet_first(telemetry, server)
        yield lambda n: text_of(litellm.completion(messages=messages(question(n)), **at(server)))

    @asynccontextmanager
    async def asking_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async def ask(number: int) -> str:
            answer = await litellm.acompletion(messages=messages(question(number)), **at(server))
            return text_of(answer)

        yield ask
        await litellm.close_litellm_async_clients()

    @contextmanager
    def streaming(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        def ask(number: int) -> str:
            asked = messages(question(number))
            chunks = litellm.completion(messages=asked, **at(server), **USAGE)
            return "".join(map(piece_of, chunks))

        meet_first(telemetry, server)
        yield ask

    @asynccontextmanager
    async def streaming_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async def ask(number: int) -> str:
            asked = messages(question(number))
            chunks = await litellm.acompletion(messages=asked, **at(server), **USAGE)
            return "".join([piece_of(chunk) async for chunk in chunks])

        yield ask
        await litellm.close_litellm_async_clients()


def test_tools_in_threads(instrumented: Telemetry, model_server: ModelServer) -> None:
    meet_first(instrumented, model_server)
    model_server.script(*meeting(), *meeting(), *meeting())
    orders = Orders(instrumented, model_server)

    def ask(number: int) -> list[Any]:
        wanted = litellm.completion(
            messages=messages(order(number)), tools=TOOLS, **at(model_server)
        )
        results = [orders.find(order_id) for order_id in order_ids(wanted)]
        said = continued(number, wanted, results)
        return [wanted, litellm.completion(messages=said, tools=TOOLS, **at(model_server))]

    answers = in_worker_threads(instrumented, ask)
    assert all(answers_order(text_of(last), n) for n, (_, last) in answers.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(*both)) for n, both in answers.items()
    }


async def test_tools_in_tasks(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(*meeting(), *meeting(), *meeting())
    orders = Orders(instrumented, model_server)

    async def ask(number: int) -> list[Any]:
        wanted = await litellm.acompletion(
            messages=messages(order(number)), tools=TOOLS, **at(model_server)
        )
        results = [await orders.find_async(order_id) for order_id in order_ids(wanted)]
        said = continued(number, wanted, results)
        return [wanted, await litellm.acompletion(messages=said, tools=TOOLS, **at(model_server))]

    answers = await in_tasks(instrumented, ask)
    await litellm.close_litellm_async_clients()
    assert all(answers_order(text_of(last), n) for n, (_, last) in answers.items())
    assert told(instrumented, model_server) == {
        f"t-{n}": looked_up(n, counts(*both)) for n, both in answers.items()
    }


async def test_embeddings(instrumented: Telemetry, model_server: ModelServer) -> None:
    arguments = {**at(model_server), "model": "openai/text-embedding-3-small"}
    with turn(instrumented, 3):
        litellm.embedding(input=[question(3), question(2)], **arguments)
        await litellm.aembedding(input=[question(4)], **arguments)
    await litellm.close_litellm_async_clients()
    assert told(instrumented, model_server) == {
        "t-3": [
            TURN,
            Told("embeddings text-embedding-3-small", "turn", (5, None)),
            Told("embeddings text-embedding-3-small", "turn", (4, None)),
        ]
    }


def test_a_call_that_fails(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(Fail(400))
    with turn(instrumented, 3):
        with pytest.raises(litellm.BadRequestError):
            litellm.completion(messages=messages(question(3)), **at(model_server))
    failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.BadRequestError")
    assert told(instrumented, model_server) == {"t-3": [TURN, failed]}


# ---- Routers and worker threads -------------------------------------------------------------


def router(server: ModelServer, **arguments: Any) -> Any:
    deployment = {"model_name": "any", "litellm_params": at(server)}
    return litellm.Router(model_list=[deployment], **arguments)


async def test_a_router_that_tries_again(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(*[Fail(500)] * len(CONVERSATIONS), *meeting())
    routing = router(model_server, num_retries=1, retry_after=0, disable_cooldowns=True)
    answers = await in_tasks(
        instrumented, lambda n: routing.acompletion("any", messages(question(n)))
    )
    await litellm.close_litellm_async_clients()
    assert all(answers_question(text_of(answer), n) for n, answer in answers.items())
    failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.InternalServerError")
    assert told(instrumented, model_server) == {
        f"t-{n}": [TURN, failed, answered(n)] for n in CONVERSATIONS
    }


def test_a_batch_runs_in_threads_that_carry_nothing(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    meet_first(instrumented, model_server)
    model_server.script(*meeting())
    with turn(instrumented, 7):
        litellm.batch_completion(
            messages=[messages(question(n)) for n in CONVERSATIONS], **at(model_server)
        )
    spans = told(instrumented, model_server)
    assert spans.keys() == {None, "t-7"}
    assert spans["t-7"] == [TURN]
    assert Counter(spans[None]) == Counter(answered(n, parent=None) for n in CONVERSATIONS)


def test_a_batch_runs_in_the_thread_of_its_caller_where_threads_carry_contexts(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    meet_first(instrumented, model_server)
    model_server.script(*meeting())
    ThreadingInstrumentor().instrument()
    try:
        with turn(instrumented, 7):
            litellm.batch_completion(
                messages=[messages(question(n)) for n in CONVERSATIONS], **at(model_server)
            )
    finally:
        ThreadingInstrumentor().uninstrument()
    spans = told(instrumented, model_server)
    assert spans.keys() == {"t-7"}
    assert Counter(spans["t-7"]) == Counter([TURN, *map(answered, CONVERSATIONS)])
