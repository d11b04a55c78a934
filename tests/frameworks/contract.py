"""What holds with every framework. An adapter says how it is done with one of them.

A test class of a framework inherits from one of these classes, and is parametrised by `way`: the
API that the framework asks, or whatever else it can be asked by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeAlias

import openai
import pytest
from stand_ins.model_server import Fail, ModelServer, Reply, ToolCall
from support.recorded import Telemetry

from .conversations import (
    CONVERSATIONS,
    MODEL,
    TURN,
    UNCOUNTED,
    Counts,
    Orders,
    Told,
    answered,
    answers_order,
    answers_question,
    async_client_of,
    call,
    event_loop,
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

#: Asks the question of a conversation. Asynchronously, it returns an awaitable.
Ask: TypeAlias = Callable[[int], Any]


class Conversations:
    """A framework that asks a model, for conversations at the same time."""

    def asking(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AbstractContextManager[Ask]:
        """How to ask, from OS threads."""
        raise NotImplementedError

    def asking_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AbstractAsyncContextManager[Ask]:
        """How to ask, from tasks."""
        raise NotImplementedError

    def reply(self, way: str) -> Reply | None:
        """What the model answers, if it is not what it says by itself."""
        return None

    def is_right(self, answer: Any, number: int) -> bool:
        """Whether this is the answer that the model gave in that conversation."""
        return answers_question(answer, number)

    def asked(self, answer: Any, number: int, way: str) -> Told:
        """The call that brought the answer."""
        return answered(number)

    def test_conversations_in_threads(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        with self.asking(instrumented, model_server, way) as ask:
            model_server.script(*meeting(reply=self.reply(way)))
            answers = in_worker_threads(instrumented, ask)
        self._check(answers, told(instrumented, model_server), way)

    async def test_conversations_in_tasks(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        async with self.asking_async(instrumented, model_server, way) as ask:
            model_server.script(*meeting(reply=self.reply(way)))
            answers = await in_tasks(instrumented, ask)
        self._check(answers, told(instrumented, model_server), way)

    def _check(self, answers: dict[int, Any], spans: dict[str | None, Any], way: str) -> None:
        assert all(self.is_right(answer, n) for n, answer in answers.items())
        assert spans == {
            f"t-{n}": [TURN, self.asked(answer, n, way)] for n, answer in answers.items()
        }


class Streams:
    """A framework that streams answers, for conversations at the same time."""

    #: The chunks of each answer that are sent before any of them goes on.
    chunks = 3

    def streaming(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AbstractContextManager[Ask]:
        """How to ask from OS threads, and get the text of a whole stream."""
        raise NotImplementedError

    def streaming_async(
        self, telemetry: Telemetry, server: ModelServer, way: str
    ) -> AbstractAsyncContextManager[Ask]:
        """The same from tasks."""
        raise NotImplementedError

    def test_streams_in_threads(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        with self.streaming(instrumented, model_server, way) as ask:
            model_server.script(*meeting(after_chunks=self.chunks))
            answers = in_worker_threads(instrumented, ask, traced=False)
        self._check_streams(answers, told(instrumented, model_server))

    async def test_streams_in_tasks(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        async with self.streaming_async(instrumented, model_server, way) as ask:
            model_server.script(*meeting(after_chunks=self.chunks))
            answers = await in_tasks(instrumented, ask, traced=False)
        self._check_streams(answers, told(instrumented, model_server))

    def _check_streams(self, answers: dict[int, str], spans: dict[str | None, Any]) -> None:
        assert all(answers_question(text, n) for n, text in answers.items())
        assert spans == {f"t-{n}": [answered(n, parent=None, streamed=True)] for n in CONVERSATIONS}


class Runs:
    """A framework of agents, which run until all tools that the model wants are called."""

    #: What the caller of a run gets where the model's server fails.
    error: type[Exception] = openai.InternalServerError
    #: The argument of an agent that is the tool of another.
    argument = "text"

    def agent(
        self, client: openai.AsyncOpenAI, way: str, tools: Sequence[Callable[..., Any]] = ()
    ) -> Any:
        """An agent with these functions, each called "find", as tools."""
        raise NotImplementedError

    def asking_another(self, client: openai.AsyncOpenAI, helper: Any) -> Any:
        """An agent with another one for its tool "ask"."""
        raise NotImplementedError

    def run_sync(self, agent: Any, text: str) -> Any:
        """Run an agent in an OS thread that has an event loop."""
        raise NotImplementedError

    def run(self, agent: Any, text: str) -> Awaitable[Any]:
        """Run an agent."""
        raise NotImplementedError

    async def run_streamed(self, agent: Any, text: str) -> tuple[str, Any]:
        """Run an agent, and read its streamed answer."""
        raise NotImplementedError

    def text(self, result: Any) -> str:
        """The answer of a run."""
        raise NotImplementedError

    def counts(self, result: Any) -> list[Counts]:
        """What the framework was told that each answer of a run took."""
        raise NotImplementedError

    def test_runs_in_threads(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        model_server.script(*meeting(), *meeting(), *meeting())
        orders = Orders(instrumented, model_server)

        def ask(number: int) -> Any:
            with event_loop() as loop:
                client = async_client_of(model_server)
                result = self.run_sync(self.agent(client, way, [orders.find]), order(number))
                loop.run_until_complete(client.close())
            return result

        self._check(in_worker_threads(instrumented, ask), told(instrumented, model_server))

    @pytest.mark.parametrize("find", ["find", "find_async"])
    async def test_runs_in_tasks(
        self, instrumented: Telemetry, model_server: ModelServer, way: str, find: str
    ) -> None:
        model_server.script(*meeting(), *meeting(), *meeting())
        tool = getattr(Orders(instrumented, model_server), find)
        async with async_client_of(model_server) as client:
            agent = self.agent(client, way, [tool])
            results = await in_tasks(instrumented, lambda n: self.run(agent, order(n)))
        self._check(results, told(instrumented, model_server))

    async def test_streamed_runs_in_tasks(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        model_server.script(*meeting(after_chunks=2), *meeting(), *meeting(after_chunks=5))
        orders = Orders(instrumented, model_server)
        async with async_client_of(model_server) as client:
            agent = self.agent(client, way, [orders.find])
            results = await in_tasks(instrumented, lambda n: self.run_streamed(agent, order(n)))
        assert all(answers_order(text, n) for n, (text, _) in results.items())
        assert told(instrumented, model_server) == {
            f"t-{n}": looked_up(n, self.counts(result), streamed=True)
            for n, (_, result) in results.items()
        }

    async def test_tools_that_run_at_once(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        model_server.script(*tools_at_once())
        orders = Orders(instrumented, model_server)
        async with async_client_of(model_server) as client:
            with turn(instrumented, 7):
                result = await self.run(self.agent(client, way, [orders.find]), question(7))
        spans = told(instrumented, model_server)
        assert spans.keys() == {"t-7"}
        assert Counter(spans["t-7"]) == ran_at_once(self.counts(result))

    async def test_an_agent_as_the_tool_of_another(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        model_server.script(Reply(tool_calls=[ToolCall("ask", {self.argument: question(2)})]))
        async with async_client_of(model_server) as client:
            agent = self.asking_another(client, self.agent(client, way))
            with turn(instrumented, 7):
                result = await self.run(agent, question(7))
        first, last = self.counts(result)
        assert told(instrumented, model_server) == {
            "t-7": [TURN, call(first, "tool_calls"), answered(2), call(last)]
        }

    async def test_a_run_that_fails(
        self, instrumented: Telemetry, model_server: ModelServer, way: str
    ) -> None:
        model_server.script(Fail(500))
        async with async_client_of(model_server) as client:
            with turn(instrumented, 3):
                with pytest.raises(self.error):
                    await self.run(self.agent(client, way), question(3))
        failed = Told(f"chat {MODEL}", "turn", UNCOUNTED, error="openai.InternalServerError")
        assert told(instrumented, model_server) == {"t-3": [TURN, failed]}

    def _check(self, results: dict[int, Any], spans: dict[str | None, Any]) -> None:
        assert all(answers_order(self.text(result), n) for n, result in results.items())
        assert spans == {
            f"t-{n}": looked_up(n, self.counts(result)) for n, result in results.items()
        }
