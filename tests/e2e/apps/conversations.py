"""A shop's assistant, written as an application would be: it knows threads, not telemetry.

The only OpenTelemetry in it are two spans of its own. Every conversation has two turns.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import AsyncOpenAI, OpenAI
from opentelemetry.trace import SpanKind, get_tracer

from orq_otel import bind, thread

MODEL = "gpt-4o-mini"
QUESTIONS = ("Where is my order?", "When does it arrive?")

client = OpenAI()
tracer = get_tracer("shop")


def turn(history: list[Any], question: str) -> None:
    """Put one question, with what was said before."""
    history.append({"role": "user", "content": question})
    completion = client.chat.completions.create(model=MODEL, messages=history)
    history.append({"role": "assistant", "content": completion.choices[0].message.content})


def streamed_turn(history: list[Any], question: str) -> None:
    """Do the same, and read the answer word by word."""
    history.append({"role": "user", "content": question})
    stream = client.chat.completions.create(
        model=MODEL, messages=history, stream=True, stream_options={"include_usage": True}
    )
    words = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    history.append({"role": "assistant", "content": "".join(words)})


def talk() -> list[Any]:
    """Have both turns."""
    history: list[Any] = []
    for question in QUESTIONS:
        turn(history, question)
    return history


def plain() -> list[Any]:
    """Two calls in a scope."""
    with thread("order-1001", tags=["orders", "größe"]):
        return talk()


def streamed() -> list[Any]:
    """Two streams in a scope."""
    history: list[Any] = []
    with thread("story-7", tags=["streamed"]):
        for question in QUESTIONS:
            streamed_turn(history, question)
    return history


@thread("ticket-{ticket_id}", tags=["support", "{priority}"])
def handle(ticket_id: int, priority: str) -> list[Any]:
    """Two calls in a handler that has a scope as decorator."""
    return talk()


def with_own_span() -> list[Any]:
    """Two calls in a span of the application's own, inside the scope."""
    with thread("refund-5", tags=["refunds"]), tracer.start_as_current_span("decide refund"):
        return talk()


def in_request() -> list[Any]:
    """Two calls in a scope that begins, as in a web server, inside the request's span."""
    with tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER), thread("web-77"):
        return talk()


def in_one_worker() -> list[Any]:
    """Two conversations that take turns in the same worker thread."""
    said: dict[str, list[Any]] = {"import-1": [], "import-2": []}
    with ThreadPoolExecutor(max_workers=1) as pool:
        for question in QUESTIONS:
            for name, history in said.items():
                with thread(name, tags=["batch"]):
                    work = bind(turn)
                pool.submit(work, history, question).result()
    return said["import-1"] + said["import-2"]


async def room(name: str, mine: asyncio.Event, other: asyncio.Event) -> list[Any]:
    """Two calls, the second only after the other room has had its first."""
    history: list[Any] = []
    async with AsyncOpenAI() as assistant, thread(name, tags=["rooms"]):
        for question in QUESTIONS:
            history.append({"role": "user", "content": question})
            completion = await assistant.chat.completions.create(model=MODEL, messages=history)
            history.append({"role": "assistant", "content": completion.choices[0].message.content})
            mine.set()
            await other.wait()
    return history


async def concurrently() -> list[Any]:
    """Two conversations at a time in one event loop."""
    a, b = asyncio.Event(), asyncio.Event()
    first, second = await asyncio.gather(room("room-a", a, b), room("room-b", b, a))
    return first + second


def outside() -> list[Any]:
    """One call and one span outside every scope."""
    history: list[Any] = []
    turn(history, QUESTIONS[0])
    with tracer.start_as_current_span("count stock"):
        return history


def hold_all() -> int:
    """Have every conversation, and say how many messages there were."""
    said = plain() + streamed() + handle(42, priority="high") + with_own_span() + in_request()
    said += in_one_worker() + asyncio.run(concurrently()) + outside()
    client.close()
    return len(said)
