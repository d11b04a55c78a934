"""What all applications do in a turn of a conversation: ask the model, and note that they work.

Whose turn it is goes into each span, apart from the thread: `app.conversation`, and the seed of a
call of the model. So a span that got the thread of another conversation shows.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
from opentelemetry import trace

import orq_otel
from orq_otel.threads.frames import Frame

orq_otel.configure()
tracer = trace.get_tracer("app")
client = openai.OpenAI(max_retries=0, timeout=60)
async_client = openai.AsyncOpenAI(max_retries=0, timeout=60)


def request(conversation: str, turn: int) -> Any:
    """What is asked in a turn of conversation "c-7"."""
    return {
        "model": "gpt-5-mini",
        "messages": [{"role": "user", "content": f"turn {turn} of {conversation}"}],
        "max_completion_tokens": 4,
        "seed": 100 * int(conversation.removeprefix("c-")) + turn,
    }


def note(conversation: str, what: str) -> None:
    """A span of the application."""
    tracer.start_span(what, attributes={"app.conversation": conversation}).end()


def answer(conversation: str, turn: int) -> str:
    """The model's answer."""
    note(conversation, "work")
    completion = client.chat.completions.create(**request(conversation, turn))
    note(conversation, "done")
    return completion.choices[0].message.content or ""


def stream(conversation: str, turn: int) -> Iterator[str]:
    """The same, word by word."""
    note(conversation, "work")
    with client.chat.completions.create(**request(conversation, turn), stream=True) as chunks:
        for chunk in chunks:
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""
    note(conversation, "done")


async def answer_async(conversation: str, turn: int) -> str:
    """The model's answer."""
    note(conversation, "work")
    completion = await async_client.chat.completions.create(**request(conversation, turn))
    note(conversation, "done")
    return completion.choices[0].message.content or ""


async def stream_async(conversation: str, turn: int) -> AsyncIterator[str]:
    """The same, word by word."""
    note(conversation, "work")
    asked = request(conversation, turn)
    async with await async_client.chat.completions.create(**asked, stream=True) as chunks:
        async for chunk in chunks:
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""
    note(conversation, "done")


def report() -> dict[str, Any]:
    """Which process this is, and what there is of threads outside all conversations."""
    frames = [one for one in gc.get_objects() if isinstance(one, Frame)]
    return {
        "pid": os.getpid(),
        "thread": repr(orq_otel.current_thread()),
        "open": sum(getattr(frame, "token", None) is not None for frame in frames),
    }


def pid() -> dict[str, str]:
    """A header that tells which process answers."""
    return {"x-pid": str(os.getpid())}
