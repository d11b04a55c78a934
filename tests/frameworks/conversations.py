"""What the tests of all frameworks share: conversations at the same time, and the spans they leave.

Conversation 3 asks a question of three words, so that its calls have other token counts than those
of conversation 4: a call that got the labels of another conversation shows.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from pydantic import BaseModel
from stand_ins.model_server import Hold, ModelServer, Reply, ToolCall
from support.recorded import Telemetry

from orq_otel import current_thread, thread

T = TypeVar("T")


class Parcel(BaseModel):
    """A structured answer."""

    place: str
    days: int


MODEL = "gpt-5-mini"
#: What tools and other code of the application ask.
INNER_MODEL = "gpt-5-nano"
KEY = "sk-test-key"
#: The APIs of OpenAI that frameworks ask.
CHAT, RESPONSES = "chat completions", "responses"
#: The conversations of a test that has several. Each goes on as the others do.
CONVERSATIONS = (1, 2, 3, 4)
#: On the spans of tools: the thread in which they run, to whatever code asks there.
SEEN = "test.current_thread"
#: The longest that anything may wait for something else, in seconds.
PATIENCE = 30


#: A test for each API.
APIS = pytest.mark.parametrize("api", [CHAT, RESPONSES])


# ---- Having a conversation ------------------------------------------------------------------


def question(number: int) -> str:
    """A question of that many words."""
    return " ".join(["please"] * number)


def order(number: int) -> str:
    """A question that takes a tool to answer, of two words more than that."""
    return f"{question(number)} order {number}"


def messages(text: str) -> Any:
    """A request for chat completions with that question."""
    return [{"role": "user", "content": text}]


def tracer(telemetry: Telemetry) -> Tracer:
    """What the application makes its own spans with."""
    return telemetry.provider.get_tracer("app")


@contextmanager
def turn(telemetry: Telemetry, number: int, *, traced: bool = True) -> Iterator[None]:
    """In the thread of a conversation, and in a span of the application if it has one."""
    with thread(f"t-{number}", tags=["test", f"tag-{number}"]):
        if not traced:
            yield
            return
        with tracer(telemetry).start_as_current_span("turn"):
            yield


class Orders:
    """What the tools of a test do: they ask another model, in a span of the application."""

    def __init__(self, telemetry: Telemetry, server: ModelServer) -> None:
        self._tracer = tracer(telemetry)
        self._url = server.base_url

    def find(self, order_id: str) -> str:
        """Find an order."""
        with self._span():
            with openai.OpenAI(api_key=KEY, base_url=self._url, max_retries=0) as client:
                client.chat.completions.create(
                    model=INNER_MODEL, messages=messages(question(int(order_id)))
                )
        return f"order {order_id} is here"

    async def find_async(self, order_id: str) -> str:
        """Find an order."""
        with self._span():
            async with openai.AsyncOpenAI(api_key=KEY, base_url=self._url, max_retries=0) as client:
                await client.chat.completions.create(
                    model=INNER_MODEL, messages=messages(question(int(order_id)))
                )
        return f"order {order_id} is here"

    def _span(self) -> Any:
        seen = current_thread()
        attributes = {SEEN: seen.id if seen else "none"}
        return self._tracer.start_as_current_span("find", attributes=attributes)


def async_client_of(server: ModelServer) -> openai.AsyncOpenAI:
    """A client of the model server, for frameworks that take one."""
    return openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)


def answers_question(text: str, number: int) -> bool:
    """Whether the model says this to `question(number)`."""
    return f'"{question(number)}"' in text


def answers_order(text: str, number: int) -> bool:
    """Whether the model says this to `order(number)`, once a tool has looked it up."""
    return f"I looked that up for you: order {number} is here." in text


# ---- Several at the same time ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Meet(Hold):
    """Answer when all requests of a meeting are there."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def wait(self, connection: Any) -> None:
        self.barrier.wait(PATIENCE)


def meeting(
    size: int = len(CONVERSATIONS), *, reply: Reply | None = None, after_chunks: int = 0
) -> Sequence[Meet]:
    """A script for that many requests: none gets on before all of them are as far."""
    return [Meet(after_chunks, reply or Reply(), barrier=threading.Barrier(size))] * size


def tools_at_once() -> Sequence[Reply]:
    """A script: the model wants a tool for each conversation, and all of them run together."""
    wanted = Reply(tool_calls=[ToolCall("find", {"order_id": str(n)}) for n in CONVERSATIONS])
    return [wanted, *meeting()]


def in_worker_threads(
    telemetry: Telemetry, work: Callable[[int], T], *, traced: bool = True
) -> dict[int, T]:
    """A turn of each conversation, all at once, each in a thread of the operating system."""

    def one(number: int) -> T:
        with turn(telemetry, number, traced=traced):
            return work(number)

    with ThreadPoolExecutor(len(CONVERSATIONS)) as pool:
        results = pool.map(one, CONVERSATIONS, timeout=PATIENCE)
        return dict(zip(CONVERSATIONS, results, strict=True))


async def in_tasks(
    telemetry: Telemetry, work: Callable[[int], Awaitable[T]], *, traced: bool = True
) -> dict[int, T]:
    """A turn of each conversation, all at once, each in a task of one event loop."""

    async def one(number: int) -> T:
        with turn(telemetry, number, traced=traced):
            return await work(number)

    everything = asyncio.gather(*map(one, CONVERSATIONS))
    return dict(zip(CONVERSATIONS, await asyncio.wait_for(everything, PATIENCE), strict=True))


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The loop that a framework's synchronous methods find in this thread. It is closed after."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


# ---- What came of it ------------------------------------------------------------------------


#: Input and output tokens.
Counts: TypeAlias = tuple[int | None, int | None]


class Told(NamedTuple):
    """What a span tells, as far as it differs in a test. Without tokens: it is not a model's."""

    name: str
    parent: str | None
    tokens: Counts | None = None
    reason: str | None = None
    streamed: bool = False
    error: str | None = None


TURN = Told("turn", None)
UNCOUNTED: Counts = (None, None)


def call(
    tokens: Counts, reason: str = "stop", *, parent: str | None = "turn", streamed: bool = False
) -> Told:
    """Any call of a model that went well."""
    return Told(f"chat {MODEL}", parent, tokens, reason, streamed)


def answered(number: int, *, parent: str | None = "turn", streamed: bool = False) -> Told:
    """The call of a model that answers `question(number)` and is asked nothing else."""
    return call(_counts(number), parent=parent, streamed=streamed)


def looked_up(number: int, tokens: Sequence[Counts], *, streamed: bool = False) -> list[Told]:
    """A turn in which the model has a tool look up `order(number)`, and what the tool does."""
    first, last = tokens
    return [
        TURN,
        call(first, "tool_calls", streamed=streamed),
        *found(number),
        call(last, streamed=streamed),
    ]


def found(number: int) -> list[Told]:
    """What a tool does to find an order."""
    return [
        Told("find", "turn"),
        Told(f"chat {INNER_MODEL}", "find", _counts(number), "stop"),
    ]


def ran_at_once(tokens: Sequence[Counts], *, streamed: bool = False) -> Counter[Told]:
    """A turn with the script of `tools_at_once`, in which tools come in any order."""
    first, last = tokens
    return Counter(
        [TURN, call(first, "tool_calls", streamed=streamed), call(last, streamed=streamed)]
        + [span for n in CONVERSATIONS for span in found(n)]
    )


def _counts(number: int) -> tuple[int, int]:
    """How the model server counts `question(number)` and its answer, which quotes it."""
    return 3 + number, 35 + number


def told(telemetry: Telemetry, server: ModelServer) -> dict[str | None, list[Told]]:
    """What the spans of each thread tell, in the order of their start.

    What must be the same for all spans is checked here: labels of the same thread everywhere, and
    for each call of a model its kind, operation, model, server and status.
    """
    spans = sorted(telemetry.take(), key=lambda span: span.start_time or 0)
    by_id = {span.context.span_id: span for span in spans}
    found: dict[str | None, list[Told]] = {}
    for span in spans:
        parent = by_id[span.parent.span_id] if span.parent else None
        if parent is not None:
            assert _labels(parent) == _labels(span)
        id = _labels(span).get("thread.id")  # noqa: A001
        expected = {} if id is None else labels_of(id, "test", id.replace("t-", "tag-"))
        assert _labels(span) == expected
        assert (span.attributes or {}).get(SEEN) in (None, id)
        found.setdefault(id, []).append(_tell(span, parent, server))
    return found


def added(spans: dict[str | None, list[Told]]) -> int:
    """The input tokens beyond those of a question's words, the same in every conversation."""
    first = {n: spans[f"t-{n}"][1].tokens for n in CONVERSATIONS}
    (base,) = {tokens[0] - n for n, tokens in first.items() if tokens and tokens[0]}
    return base


def labels_of(id: str, *tags: str) -> dict[str, Any]:  # noqa: A002
    """The attributes by which spans show their thread."""
    return {
        "thread.id": id,
        "thread.tags": tags,
        "orq.thread_id": id,
        "orq.tags": json.dumps(tags),
        "gen_ai.conversation.id": id,
    }


def _labels(span: ReadableSpan) -> dict[str, Any]:
    names = labels_of("").keys()
    return {name: value for name, value in (span.attributes or {}).items() if name in names}


def _tell(span: ReadableSpan, parent: ReadableSpan | None, server: ModelServer) -> Told:
    given = dict(span.attributes or {})
    parent_name = None if parent is None else parent.name
    operation = given.get("gen_ai.operation.name")
    if operation is None:
        return Told(span.name, parent_name)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "orq_otel.openai"
    assert span.kind is SpanKind.CLIENT
    assert given["gen_ai.provider.name"] == "openai"
    assert span.name == f"{operation} {given['gen_ai.request.model']}"
    assert server.url == f"http://{given['server.address']}:{given['server.port']}"
    error = given.get("error.type")
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)
    streamed = given.get("gen_ai.request.stream", False)
    if error is None:
        assert given["gen_ai.response.model"].startswith(given["gen_ai.request.model"])
        assert ("gen_ai.response.time_to_first_chunk" in given) is streamed
    (reason,) = given.get("gen_ai.response.finish_reasons", [None])
    tokens = given.get("gen_ai.usage.input_tokens"), given.get("gen_ai.usage.output_tokens")
    return Told(span.name, parent_name, tokens, reason, streamed, error)
