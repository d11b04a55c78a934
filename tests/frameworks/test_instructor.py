"""Instructor: structured answers, and one call for each time that the model is asked for one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openai
import pytest
from stand_ins.model_server import Fail, ModelServer, Reply, ToolCall
from support.recorded import Telemetry

from orq_otel import current_thread

from .contract import Ask, Conversations
from .conversations import (
    CONVERSATIONS,
    KEY,
    MODEL,
    TURN,
    UNCOUNTED,
    Parcel,
    Told,
    added,
    call,
    in_tasks,
    in_worker_threads,
    meeting,
    messages,
    question,
    told,
    turn,
)

pytest.importorskip("instructor")

import instructor
from instructor.core.exceptions import InstructorRetryException

# The ways to ask for an answer: by a tool, by a schema, in words, and by the Responses API.
TOOLS, SCHEMA, WORDS, RESPONSES = "TOOLS", "JSON_SCHEMA", "MD_JSON", "RESPONSES_TOOLS"
MODES = pytest.mark.parametrize("mode", [TOOLS, SCHEMA, WORDS, RESPONSES])


HERE = {"place": "here", "days": 2}


def is_here(answer: Any) -> bool:
    return isinstance(answer, Parcel) and answer.model_dump() == HERE


def reply(mode: str, **answer: Any) -> Reply:
    """The model's answer, right or wrong."""
    if mode in (TOOLS, RESPONSES):
        return Reply(tool_calls=[ToolCall("Parcel", answer)])
    return Reply(
        text=f"```json\n{json.dumps(answer)}\n```" if mode == WORDS else json.dumps(answer)
    )


def right(mode: str) -> Reply:
    return reply(mode, **HERE)


def wrong(mode: str) -> Reply:
    return reply(mode, place="here")


def reason(mode: str) -> str:
    return "tool_calls" if mode in (TOOLS, RESPONSES) else "stop"


@contextmanager
def client_of(server: ModelServer, mode: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
        yield instructor.from_openai(client, mode=instructor.Mode[mode])


@asynccontextmanager
async def async_client_of(server: ModelServer, mode: str) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
        yield instructor.from_openai(client, mode=instructor.Mode[mode])


def asking(number: int, **arguments: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "response_model": Parcel,
        "messages": messages(question(number)),
        **arguments,
    }


def counts(completion: Any) -> tuple[int, int]:
    usage = completion.usage
    if hasattr(usage, "input_tokens"):
        return usage.input_tokens, usage.output_tokens
    return usage.prompt_tokens, usage.completion_tokens


@pytest.mark.parametrize("way", [TOOLS, SCHEMA, WORDS, RESPONSES])
class TestAnswers(Conversations):
    @contextmanager
    def asking(self, telemetry: Telemetry, server: ModelServer, way: str) -> Iterator[Ask]:
        with client_of(server, way) as client:
            yield lambda n: client.create_with_completion(**asking(n))

    @asynccontextmanager
    async def asking_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AsyncIterator[Ask]:
        async with async_client_of(server, way) as client:
            yield lambda n: client.create_with_completion(**asking(n))

    def reply(self, way: str) -> Reply:
        return right(way)

    def is_right(self, answer: Any, number: int) -> bool:
        return is_here(answer[0])

    def asked(self, answer: Any, number: int, way: str) -> Told:
        return call(counts(answer[1]), reason(way))


@MODES
def test_an_answer_that_is_not_valid_is_asked_for_again(
    instrumented: Telemetry, model_server: ModelServer, mode: str
) -> None:
    model_server.script(*meeting(reply=wrong(mode)), *meeting(reply=right(mode)))
    heard: dict[str, list[Any]] = {f"t-{n}": [] for n in CONVERSATIONS}

    def hear(completion: Any) -> None:
        now = current_thread()
        assert now is not None
        heard[now.id].append(counts(completion))

    with client_of(model_server, mode) as client:
        client.on("completion:response", hear)
        answers = in_worker_threads(
            instrumented, lambda n: client.create(**asking(n, max_retries=1))
        )
    assert all(is_here(parcel) for parcel in answers.values())
    assert told(instrumented, model_server) == {
        name: [TURN, call(first, reason(mode)), call(second, reason(mode))]
        for name, (first, second) in heard.items()
    }


async def test_answers_that_are_never_valid(
    instrumented: Telemetry, model_server: ModelServer
) -> None:
    model_server.script(wrong(TOOLS), wrong(TOOLS))
    async with async_client_of(model_server, TOOLS) as client:
        with turn(instrumented, 3):
            with pytest.raises(InstructorRetryException) as failure:
                await client.create(**asking(3, max_retries=1))
    assert failure.value.n_attempts == 2
    spans = told(instrumented, model_server)["t-3"]
    assert [(span.name, span.reason, span.error) for span in spans[1:]] == [
        (f"chat {MODEL}", "tool_calls", None)
    ] * 2


def test_a_call_that_fails(instrumented: Telemetry, model_server: ModelServer) -> None:
    model_server.script(Fail(400))
    with client_of(model_server, TOOLS) as client, turn(instrumented, 3):
        with pytest.raises(InstructorRetryException):
            client.create(**asking(3, max_retries=1))
    failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.BadRequestError")
    assert told(instrumented, model_server) == {"t-3": [TURN, failed]}


# ---- Answers in parts -----------------------------------------------------------------------

#: The tokens of an answer: words, and one for a call of a tool.
WRITTEN = {TOOLS: 5, SCHEMA: 4, WORDS: 6, RESPONSES: 5}


def asking_for_parts(number: int, mode: str) -> dict[str, Any]:
    usage = {} if mode == RESPONSES else {"stream_options": {"include_usage": True}}
    return asking(number, **usage)


def check_parts(spans: dict[str | None, list[Told]], mode: str) -> None:
    base = added(spans)
    assert spans == {
        f"t-{n}": [TURN, call((base + n, WRITTEN[mode]), reason(mode), streamed=True)]
        for n in CONVERSATIONS
    }


@MODES
def test_answers_in_parts_in_threads(
    instrumented: Telemetry, model_server: ModelServer, mode: str
) -> None:
    model_server.script(*meeting(reply=right(mode), after_chunks=3))
    with client_of(model_server, mode) as client:
        answers = in_worker_threads(
            instrumented, lambda n: [*client.create_partial(**asking_for_parts(n, mode))]
        )
    assert all(is_here(parcel) for *_, parcel in answers.values())
    check_parts(told(instrumented, model_server), mode)


@MODES
async def test_answers_in_parts_in_tasks(
    instrumented: Telemetry, model_server: ModelServer, mode: str
) -> None:
    model_server.script(*meeting(reply=right(mode), after_chunks=3))

    async def ask(number: int) -> Any:
        return [parcel async for parcel in client.create_partial(**asking_for_parts(number, mode))]

    async with async_client_of(model_server, mode) as client:
        answers = await in_tasks(instrumented, ask)
    assert all(is_here(parcel) for *_, parcel in answers.values())
    check_parts(told(instrumented, model_server), mode)
