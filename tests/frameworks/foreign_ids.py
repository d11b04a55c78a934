"""Programs of frameworks that have ids of conversations of their own, each in a process of its own.

    python foreign_ids.py PROGRAM [THREAD]

A program has a conversation in each of its ways: outside of every thread, inside of the thread t-1,
and there again with the labels of all presets. Prints JSON, as its last line: for each way, its
spans and the number of requests that models had. With a thread, the program has each conversation
in that one only, and its spans go to where OpenTelemetry's variables say, over HTTP.

Many instrumentations cannot be switched off again, so no two programs share a process.
"""

# ruff: noqa: PLC0415 - each program imports only what it is about

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stand_ins.model_server import ModelServer, Reply, ToolCall

from orq_otel import OpenAIInstrumentor, thread, use_labels
from orq_otel.labels.presets import PRESETS

THEIRS = "theirs-7"
OURS = "t-1"
#: Where a conversation is had.
OUTSIDE, INSIDE, LABELLED = "outside", "inside", "labelled"
MODEL, INNER_MODEL = "gpt-5-mini", "gpt-5-nano"
QUESTION = "please find order 3"
OPENAI: Any = {"api_key": "sk-test-key", "max_retries": 0}

#: What has the conversation: synchronously, or as a coroutine.
Way: TypeAlias = Callable[[], Any]

_exporter = InMemorySpanExporter()
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))
_tracer = _provider.get_tracer("app")


class Program:
    """What programs share: the model server, clients of it, and a tool that asks another model."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        #: Whether an agent has the conversation, which uses the tool.
        self.has_agent = False
        self.client = openai.OpenAI(base_url=server.base_url, **OPENAI)
        self.async_client = openai.AsyncOpenAI(base_url=server.base_url, **OPENAI)

    def find(self, order_id: str) -> str:
        """Find an order."""
        with _tracer.start_as_current_span("find"), _tracer.start_as_current_span("look"):
            self.ask()
        return f"order {order_id} is here"

    def ask(self, **arguments: Any) -> None:
        """Ask a model without the framework."""
        self.client.chat.completions.create(
            model=INNER_MODEL, messages=[{"role": "user", "content": QUESTION}], **arguments
        )

    async def ask_async(self) -> None:
        """The same asynchronously."""
        await self.async_client.chat.completions.create(
            model=INNER_MODEL, messages=[{"role": "user", "content": QUESTION}]
        )

    def script(self) -> None:
        """The model wants the tool, which asks another one, and answers then."""
        wanted = Reply(tool_calls=[ToolCall("find", {"order_id": "3"})])
        self.server.script(wanted, Reply(text="It is here."), Reply(text="It has come."))


# ---- LangGraph ------------------------------------------------------------------------------


def langgraph(program: Program, callbacks: list[Any] | None = None) -> dict[str, Way]:
    """An agent of LangGraph, on LangChain's chat model."""
    from langchain.agents import create_agent
    from langchain_core.tools import StructuredTool
    from langchain_openai import ChatOpenAI

    program.has_agent = True
    find = StructuredTool.from_function(program.find, name="find")
    config: Any = {"configurable": {"thread_id": THEIRS}, "callbacks": callbacks}
    asked: Any = {"messages": [("user", QUESTION)]}
    agents = {
        api: create_agent(
            ChatOpenAI(
                model=MODEL,
                base_url=program.server.base_url,
                use_responses_api=api == "responses",
                stream_usage=True,
                **OPENAI,
            ),
            [find],
        )
        for api in ("chat", "responses")
    }

    async def stream_async(agent: Any) -> None:
        async for _ in agent.astream(asked, config, stream_mode="messages"):
            pass

    ways: dict[str, Way] = {}
    for api, agent in agents.items():
        ways |= {
            f"{api}, sync": lambda agent=agent: agent.invoke(asked, config),
            f"{api}, async": lambda agent=agent: agent.ainvoke(asked, config),
            f"{api}, stream": lambda agent=agent: [
                *agent.stream(asked, config, stream_mode="messages")
            ],
            f"{api}, async stream": lambda agent=agent: stream_async(agent),
        }
    return ways


def langgraph_genai(program: Program) -> dict[str, Way]:
    """With OpenTelemetry's instrumentation."""
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=_provider)
    return langgraph(program)


def langgraph_openinference(program: Program) -> dict[str, Way]:
    """With OpenInference's."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=_provider)
    return langgraph(program)


def langgraph_openllmetry(program: Program) -> dict[str, Way]:
    """With OpenLLMetry's."""
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=_provider)
    return langgraph(program)


def langgraph_langfuse(program: Program) -> dict[str, Way]:
    """With Langfuse's callbacks."""
    _langfuse()
    from langfuse.langchain import CallbackHandler

    return langgraph(program, [CallbackHandler()])


# ---- OpenAI's Agents SDK --------------------------------------------------------------------


def agents_group(program: Program) -> dict[str, Way]:
    """With a group, and OpenTelemetry's instrumentation."""
    import agents
    from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor

    agents.set_trace_processors([])  # its own would send to OpenAI
    OpenAIAgentsInstrumentor().instrument(tracer_provider=_provider)
    return _agents(program, run_config=agents.RunConfig(group_id=THEIRS))


def agents_trace(program: Program) -> dict[str, Way]:
    """With a group of a trace around, and no instrumentation."""
    import agents

    agents.set_trace_processors([])
    return _agents(program, lambda: agents.trace("workflow", group_id=THEIRS))


def agents_session(program: Program) -> dict[str, Way]:
    """With a session, and no tracing."""
    import agents

    agents.set_tracing_disabled(True)
    return _agents(program, session=agents.SQLiteSession(THEIRS, ":memory:"))


def agents_conversation(program: Program) -> dict[str, Way]:
    """With a conversation that OpenAI keeps."""
    import agents

    agents.set_tracing_disabled(True)
    return _agents(program, conversation_id=THEIRS)


def _agents(
    program: Program,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    **arguments: Any,
) -> dict[str, Way]:
    import agents

    program.has_agent = True
    models = {
        "chat": agents.OpenAIChatCompletionsModel(MODEL, program.async_client),
        "responses": agents.OpenAIResponsesModel(MODEL, program.async_client),
    }
    if "conversation_id" in arguments:
        del models["chat"]

    async def run(agent: Any) -> None:
        with around():
            await agents.Runner.run(agent, QUESTION, **arguments)

    async def stream(agent: Any) -> None:
        with around():
            result = agents.Runner.run_streamed(agent, QUESTION, **arguments)
        async for _ in result.stream_events():
            pass

    ways: dict[str, Way] = {}
    for api, model in models.items():
        tool = agents.function_tool(program.find, name_override="find")
        agent: Any = agents.Agent(name="assistant", model=model, tools=[tool])
        ways[f"{api}, async"] = lambda agent=agent: run(agent)
        ways[f"{api}, async stream"] = lambda agent=agent: stream(agent)
    return ways


# ---- Pydantic AI ----------------------------------------------------------------------------


def pydantic_ai(program: Program, **tracing: Any) -> dict[str, Way]:
    """Without its own tracing."""
    from pydantic_ai import Agent, Tool
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    program.has_agent = True
    provider = OpenAIProvider(openai_client=program.async_client)

    async def stream(agent: Any) -> None:
        async with agent.run_stream(QUESTION, conversation_id=THEIRS) as result:
            async for _ in result.stream_text():
                pass

    ways: dict[str, Way] = {}
    for api, kind in (("chat", OpenAIChatModel), ("responses", OpenAIResponsesModel)):
        model: Any = kind(MODEL, provider=provider)
        agent = Agent(model, name="assistant", tools=[Tool(program.find, name="find")], **tracing)
        ways[f"{api}, async"] = lambda agent=agent: agent.run(QUESTION, conversation_id=THEIRS)
        ways[f"{api}, async stream"] = lambda agent=agent: stream(agent)
    return ways


def pydantic_ai_traced(program: Program) -> dict[str, Way]:
    """With its own tracing."""
    from pydantic_ai import InstrumentationSettings
    from pydantic_ai.capabilities import Instrumentation

    settings = InstrumentationSettings(tracer_provider=_provider)
    return pydantic_ai(program, capabilities=[Instrumentation(settings)])


# ---- Sessions around calls ------------------------------------------------------------------


def openinference_session(program: Program) -> dict[str, Way]:
    """OpenInference's session, without its instrumentation."""
    from openinference.instrumentation import using_session

    return _around(program, lambda: using_session(THEIRS))


def openinference_session_traced(program: Program) -> dict[str, Way]:
    """The same with its instrumentation of the client."""
    from openinference.instrumentation.openai import OpenAIInstrumentor as Theirs

    Theirs().instrument(tracer_provider=_provider)
    return openinference_session(program)


def langfuse_session(program: Program) -> dict[str, Way]:
    """Langfuse's session around an observation."""
    langfuse = _langfuse()
    from langfuse import propagate_attributes

    @contextmanager
    def around() -> Iterator[None]:
        with (
            propagate_attributes(session_id=THEIRS),
            langfuse.start_as_current_observation(name="answer", as_type="agent"),
        ):
            yield

    return _around(program, around)


def langfuse_session_alone(program: Program) -> dict[str, Way]:
    """Langfuse's session around nothing of Langfuse's."""
    _langfuse()
    from langfuse import propagate_attributes

    return _around(program, lambda: propagate_attributes(session_id=THEIRS))


def _langfuse() -> Any:
    from langfuse import Langfuse

    return Langfuse(
        public_key="pk-lf-test",
        secret_key="sk-lf-test",
        base_url="http://127.0.0.1:9",
        tracer_provider=_provider,
        span_exporter=InMemorySpanExporter(),
    )


def traceloop(program: Program) -> dict[str, Way]:
    """Traceloop's association properties in its workflows."""
    return _traceloop(program, set())


def traceloop_traced(program: Program) -> dict[str, Way]:
    """The same with its instrumentation of the client."""
    from traceloop.sdk.instruments import Instruments

    return _traceloop(program, {Instruments.OPENAI})


def _traceloop(program: Program, instruments: set[Any]) -> dict[str, Way]:
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import workflow

    trace.set_tracer_provider(_provider)
    Traceloop.init(
        app_name="app",
        exporter=InMemorySpanExporter(),
        disable_batch=True,
        telemetry_enabled=False,
        instruments=instruments,
    )

    @contextmanager
    def around() -> Iterator[None]:
        Traceloop.set_association_properties({"session_id": THEIRS})
        yield

    return {name: workflow(name="answer")(way) for name, way in _around(program, around).items()}


def _around(program: Program, around: Callable[[], AbstractContextManager[Any]]) -> dict[str, Way]:
    def sync() -> None:
        with around():
            program.ask()
            program.find("3")

    def stream() -> None:
        with around():
            asked: Any = [{"role": "user", "content": QUESTION}]
            for _ in program.client.chat.completions.create(
                model=MODEL, messages=asked, stream=True
            ):
                pass

    async def asynchronous() -> None:
        with around():
            await program.ask_async()

    return {"sync": sync, "stream": stream, "async": asynchronous}


# ---- The Responses API ----------------------------------------------------------------------


def responses(program: Program) -> dict[str, Way]:
    """A conversation that a call names."""
    arguments: Any = {"model": MODEL, "input": QUESTION, "conversation": THEIRS}

    def stream() -> None:
        for _ in program.client.responses.create(stream=True, **arguments):
            pass

    return {
        "sync": lambda: program.client.responses.create(**arguments),
        "async": lambda: program.async_client.responses.create(**arguments),
        "stream": stream,
    }


PROGRAMS: Mapping[str, Callable[[Program], dict[str, Way]]] = {
    one.__name__: one
    for one in (
        langgraph,
        langgraph_genai,
        langgraph_openinference,
        langgraph_openllmetry,
        langgraph_langfuse,
        agents_group,
        agents_trace,
        agents_session,
        agents_conversation,
        pydantic_ai,
        pydantic_ai_traced,
        openinference_session,
        openinference_session_traced,
        langfuse_session,
        langfuse_session_alone,
        traceloop,
        traceloop_traced,
        responses,
    )
}


async def main(name: str, thread_id: str | None = None) -> None:
    """Have the conversations of a program."""
    OpenAIInstrumentor().instrument(tracer_provider=_provider)
    places = (OUTSIDE, INSIDE, LABELLED)
    if thread_id is not None:
        places = (INSIDE,)
        _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    told: dict[str, dict[str, Any]] = {place: {} for place in places}
    with ModelServer() as server:
        program = Program(server)
        for way, have in PROGRAMS[name](program).items():
            for place, of_place in told.items():
                before = len(server.requests)
                if program.has_agent:
                    program.script()
                if thread_id is None:
                    use_labels([*PRESETS] if place == LABELLED else ())
                inside = None if place == OUTSIDE else thread(thread_id or OURS)
                # In a task, since some libraries leave what they set in its context.
                await asyncio.create_task(_have(have, inside or nullcontext()))
                spans = _exporter.get_finished_spans()
                _exporter.clear()
                of_place[way] = {
                    "requests": len(server.requests) - before,
                    "spans": [_shown(span) for span in spans],
                }
    _provider.shutdown()
    sys.stdout.write(f"\n{json.dumps(told)}")


async def _have(have: Way, scope: AbstractContextManager[Any]) -> None:
    with scope:
        result = have()
        if isinstance(result, Awaitable):
            await result


def _shown(span: ReadableSpan) -> dict[str, Any]:
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "trace": None if span.context is None else f"{span.context.trace_id:032x}",
        "scope": None if scope is None else scope.name,
        "attributes": dict(span.attributes or {}),
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
