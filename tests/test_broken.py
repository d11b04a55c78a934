"""Whatever function of ours breaks, the user's program gets what it would get without us.

Each function that runs is broken in turn, and each is interrupted by a signal whose handler raises,
as the time limits of task queues do: that has to reach the program.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

import httpx
import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from stand_ins.orq_api import OrqServer
from support import every_function
from support.vendor import VendorServer

from orq_otel import OpenAIInstrumentor, OrqInstrumentor, bind, thread

orq_ai_sdk = pytest.importorskip("orq_ai_sdk")

MESSAGES: Any = [{"role": "user", "content": "x"}]


class TimeLimit(Exception):
    """What the host's signal handler raises."""


class Mistake(Exception):
    """What the user's code raises."""


def unused_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@dataclass
class World:
    """Clients of both vendors, and a loop."""

    openai: openai.OpenAI
    async_openai: openai.AsyncOpenAI
    router: openai.OpenAI
    orq: Any
    loop: asyncio.AbstractEventLoop
    tracer: Any

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)


# ---- What a program does --------------------------------------------------------------------


def answered(world: World) -> Any:
    create = world.openai.chat.completions.create
    return create(model="m", messages=MESSAGES).choices[0].message.content


def streamed(world: World) -> Any:
    stream = world.openai.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    return [chunk.choices[0].delta.content for chunk in stream]


def read_with_next(world: World) -> Any:
    create = world.openai.chat.completions.create
    with create(model="m", messages=MESSAGES, stream=True) as stream:
        return next(stream).object


def read_as_itself(world: World) -> Any:
    create = world.openai.beta.agents.sessions.create
    stream = create(environment={"type": "none"}, input="x", stream=True)
    return [event.type for event in stream.with_result_collection()]


def left(world: World) -> Any:
    stream = world.openai.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    kinds = []
    for chunk in stream:
        kinds.append(chunk.object)
        stream.close()
        break
    return kinds


def thrown_into(world: World) -> Any:
    items = iter(world.openai.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    next(items)
    with pytest.raises(Mistake):
        items.throw(Mistake())  # type: ignore[attr-defined]


def raw(world: World) -> Any:
    completions = world.openai.chat.completions
    with completions.with_streaming_response.create(model="m", messages=MESSAGES) as response:
        lines = len(list(response.iter_lines()))
    return lines, completions.with_raw_response.create(model="m", messages=MESSAGES).parse().model


def responded(world: World) -> Any:
    create = world.openai.responses.create
    return create(model="m", input="x").output_text, [
        event.type for event in create(model="m", input="x", stream=True)
    ]


def embedded(world: World) -> Any:
    return len(world.openai.embeddings.create(model="e", input="x", dimensions=4).data)


def refused(world: World) -> Any:
    with pytest.raises(openai.BadRequestError) as raised:
        world.openai.chat.completions.create(model="", messages=MESSAGES)
    return raised.value.status_code


def routed(world: World) -> Any:
    create = world.router.chat.completions.create
    return create(model="m", messages=MESSAGES).choices[0].message.content


def asynchronous(world: World) -> Any:
    async def use() -> Any:
        create = world.async_openai.chat.completions.create
        stream = await create(model="m", messages=MESSAGES, stream=True)
        texts = [chunk.choices[0].delta.content async for chunk in stream]
        async with await create(model="m", messages=MESSAGES, stream=True) as left:
            texts.append((await left.__anext__()).object)
        with pytest.raises(openai.BadRequestError):
            await create(model="", messages=MESSAGES)
        return (await create(model="m", messages=MESSAGES)).choices[0].message.content, texts

    return world.run(use())


def asynchronous_raw(world: World) -> Any:
    async def use() -> Any:
        create = world.async_openai.chat.completions.with_streaming_response.create
        async with create(model="m", messages=MESSAGES, stream=True) as response:
            return len([line async for line in response.iter_lines()])

    return world.run(use())


def deployed(world: World) -> Any:
    deployments = world.orq.deployments
    with deployments.stream(key="k") as stream:
        events = len(list(stream))
    answer = deployments.invoke(key="k")
    later = world.run(deployments.invoke_async(key="k"))
    return events, answer.choices[0].message.content, type(later)


def deployment_refused(world: World) -> Any:
    with pytest.raises(httpx.ConnectError) as raised:
        world.orq.deployments.invoke(key="k", server_url=f"http://127.0.0.1:{unused_port()}")
    return type(raised.value)


def requested(world: World) -> Any:
    with world.tracer.start_as_current_span("request", kind=SpanKind.SERVER), thread("support-1"):
        return 1


PIECES: Final[dict[str, Callable[[World], Any]]] = {
    piece.__name__: piece
    for piece in (
        answered,
        streamed,
        read_with_next,
        *([read_as_itself] if hasattr(openai.resources.beta, "Agents") else []),
        left,
        thrown_into,
        raw,
        responded,
        embedded,
        refused,
        routed,
        asynchronous,
        asynchronous_raw,
        deployed,
        deployment_refused,
        requested,
    )
}


def nested(world: World) -> Any:
    with thread("a"), thread("b", tags=["x"]), thread("b", tags=["y"]):
        return 1


def decorated(world: World) -> Any:
    @thread("t-{number}", tags=["k", "{number}"])
    def plain(number: int) -> int:
        return number

    @thread(lambda number: number)
    def steps(number: int) -> Iterator[int]:
        yield number

    @thread("t-{number}")
    async def later(number: int) -> int:
        return number

    @thread("z")
    async def steps_later(number: int) -> Any:
        yield number

    async def use() -> Any:
        return await later(3), [one async for one in steps_later(4)]

    return plain(1), list(steps(2)), world.run(use())


def bound(world: World) -> Any:
    with thread("a"):
        work = bind(lambda: 1)
    return work()


SCOPES: Final[dict[str, Callable[[World], Any]]] = {
    piece.__name__: piece for piece in (nested, decorated, bound)
}

#: Frames of ours with code of the client's inside, or that the user or the SDK calls directly. What
#: breaks in them can be caught by nobody, so they hold next to nothing.
OUTERMOST: Final = {
    "orq_otel.genai.streams:_Proxy.__getattr__",
    "orq_otel.genai.streams:StreamProxy.__iter__",
    "orq_otel.genai.streams:StreamProxy.__next__",
    "orq_otel.genai.streams:StreamProxy.__enter__",
    "orq_otel.genai.streams:StreamProxy.__exit__",
    "orq_otel.genai.streams:AsyncStreamProxy.__aiter__",
    "orq_otel.genai.streams:AsyncStreamProxy.__anext__",
    "orq_otel.genai.streams:AsyncStreamProxy.__aenter__",
    "orq_otel.genai.streams:AsyncStreamProxy.__aexit__",
    "orq_otel.genai.streams:Iteration.__iter__",
    "orq_otel.genai.streams:Iteration.__getattr__",
    "orq_otel.genai.streams:AsyncIteration.__aiter__",
    "orq_otel.genai.streams:_closing",
    "orq_otel.genai.streams:_closing_soon",
    "orq_otel.genai.streams:over",
    "orq_otel.genai.streams:_end",
    "orq_otel.threads.handlers:_opened",
    "orq_otel.threads.handlers:_kept",
    "orq_otel.threads.handlers:_lent",
    "orq_otel.threads.handlers:_keep_lent",
    "orq_otel.threads.handlers:_steps_in",
    "orq_otel.threads.handlers:_in_frame",
    "orq_otel.threads.handlers:_holding",
    "orq_otel.threads.handlers:_first_step",
    "orq_otel.threads.frames:Steps.enter",
    "orq_otel.threads.frames:Steps.leave",
    "orq_otel.threads.scope:thread",
    "orq_otel.threads.scope:Scope.set_up",
    "orq_otel.threads.scope:Scope.__enter__",
    "orq_otel.threads.scope:Scope.__exit__",
    "orq_otel.threads.scope:Scope.__call__",
    "orq_otel.threads.scope:_lacks_parentheses",
    "orq_otel.threads.bind:bind",
    "orq_otel.threads.frames:current_thread",  # which bind asks before it has anything to run
    "orq_otel.threads.handlers:scoped",  # which makes the frame around the user's function, as
    "orq_otel.threads.handlers:_scoped_function",  # this one does for bind
    "orq_otel.openai.raw:RawResponseProxy.__getattr__",
    "orq_otel.openai.raw:RawResponseProxy._self_run",
    "orq_otel.openai.raw:RawResponseProxy._self_await",
    "orq_otel.openai.raw:RawResponseProxy._self_iterate",
    "orq_otel.labels.span_processor:ThreadSpanProcessor.on_start",
    "orq_otel.labels.span_processor:ThreadSpanProcessor._on_ending",
    "orq_otel.labels.span_processor:ThreadSpanProcessor.on_end",
}

#: Where a decorator takes in what it was given. What raises here is refused where it is written.
REFUSING: Final = {
    "orq_otel.foundations.caching:Uncached.__init__",
    "orq_otel.threads.details:as_text",
    "orq_otel.threads.details:plain",
    "orq_otel.threads.frames:as_id",
    "orq_otel.threads.frames:as_tags",
    "orq_otel.threads.frames:check_tag",
    "orq_otel.threads.frames:checked",
    "orq_otel.threads.frames:make_thread",
    "orq_otel.threads.frames:plain_thread",
    "orq_otel.threads.frames:validated",
    "orq_otel.threads.scope:_Arguments.is_fixed",
    "orq_otel.threads.scope:_copied",
    "orq_otel.threads.scope:_is_definition",
    "orq_otel.threads.scope:_is_plain_thread",
    "orq_otel.threads.scope:_thread_of",
}

EVERY: Final = every_function.functions()
MODULES: Final = sorted({name.partition(":")[0] for name in EVERY})


def collect_what_broke(times: int = 1) -> None:
    """Sockets that nobody closed, coroutines that nobody awaited: no other test is to blame."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(times):
                gc.collect()
    finally:
        sys.unraisablehook = before


@pytest.fixture(autouse=True)
def what_broke_is_collected(step: int) -> Iterator[None]:
    """Where much breaks in one test: else a sixth of a second would be most of what it takes."""
    yield
    if step == 1:
        collect_what_broke()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Servers on loopback, clients of them, and their results without us."""
    with ExitStack() as stack:
        vendor = stack.enter_context(VendorServer())
        api = stack.enter_context(OrqServer())
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        options: Any = {"api_key": "k", "max_retries": 0}
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
        async_client = openai.AsyncOpenAI(base_url=vendor.base_url, **options)
        stack.callback(lambda: loop.run_until_complete(async_client.close()))
        world = World(
            stack.enter_context(openai.OpenAI(base_url=vendor.base_url, **options)),
            async_client,
            stack.enter_context(
                openai.OpenAI(base_url=vendor.base_url.replace("127.0.0.1", "localhost"), **options)
            ),
            orq_ai_sdk.Orq(api_key="k", server_url=api.url),
            loop,
            provider.get_tracer("own"),
        )
        yield world
        world.__dict__.clear()
    collect_what_broke(3)  # one holds the next


@pytest.fixture(scope="module")
def bare(world: World) -> dict[str, Any]:
    """What each piece gets without us."""
    return {name: piece(world) for name, piece in (PIECES | SCOPES).items()}


@pytest.fixture(scope="module")
def instrumented(world: World, bare: dict[str, Any]) -> Iterator[dict[str, set[Any]]]:
    """The code that runs in each piece, with both clients instrumented."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ORQ_OTEL_ROUTER_URL", str(world.router.base_url))
    meters = MeterProvider([InMemoryMetricReader()])
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    world.tracer = provider.get_tracer("own")
    instrumentors = (OpenAIInstrumentor(), OrqInstrumentor())
    for one in instrumentors:
        one.instrument(tracer_provider=provider, meter_provider=meters, capture_content=True)
    # What fails again and again is not logged anew a thousand times.
    logger = logging.getLogger("orq_otel")
    logger.disabled = True
    ran: dict[str, set[Any]] = {}
    for name, piece in (PIECES | SCOPES).items():
        with (
            thread("support-42", tags=["support"]),
            every_function.recording(ran.setdefault(name, set())),
        ):
            assert piece(world) == bare[name]
    yield ran
    logger.disabled = False
    for one in instrumentors:
        one.uninstrument()
    provider.shutdown()
    patch.undo()


def each(
    module: str, ran: dict[str, set[Any]], step: int, turn: int
) -> Iterator[tuple[str, FunctionType, str, Callable[[World], Any]]]:
    """Every function of a module that runs, with each piece in `step` in which it does.

    Where not every piece is tried, each test has half of the functions: its turn is 0 or 1.
    """
    for number, (name, function) in enumerate(EVERY.items()):
        if step > 1 and number % 2 != turn:
            continue
        if name.startswith(f"{module}:") and name not in OUTERMOST:
            pieces = [
                piece
                for piece, codes in ran.items()
                if function.__code__ in codes and (name not in REFUSING or piece != "decorated")
            ]
            first = number % step if len(pieces) >= step else 0
            for piece in pieces[first::step]:
                yield name, function, piece, (PIECES | SCOPES)[piece]


#: To break every function in every piece takes minutes.
every_module = pytest.mark.parametrize(
    ("module", "step"),
    [
        *((module, 48) for module in MODULES),
        *(pytest.param(module, 1, marks=pytest.mark.slow) for module in MODULES),
    ],
)


@pytest.mark.filterwarnings("ignore")
@every_module
def test_the_program_gets_the_same(
    world: World, bare: dict[str, Any], instrumented: dict[str, set[Any]], module: str, step: int
) -> None:
    wrong = {}
    for name, function, piece, use in each(module, instrumented, step, 0):
        with thread("support-42", tags=["support"]), every_function.broken(function):
            try:
                got = contextvars.copy_context().run(use, world)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is wrong
                got = error
        if got != bare[piece]:
            wrong[f"{name} in {piece}"] = got

    assert wrong == {}, "what fails in these reaches the program: call them inside a guard"


#: Where nothing can be raised: in finalizers, which Python does not let raise, and in our thread,
#: beside which the handler runs wherever the main thread is.
SILENT: Final = {
    "orq_otel.genai.call:Call.__del__",
    "orq_otel.genai.call:Call.end",
    "orq_otel.foundations.unfinished:_watch",
    "orq_otel.foundations.unfinished:is_collecting",
    "orq_otel.foundations.unfinished:take_notes",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this machine has no such signal")
@every_module
def test_a_signals_exception_reaches_the_program(
    world: World, bare: dict[str, Any], instrumented: dict[str, set[Any]], module: str, step: int
) -> None:
    fired = []

    def time_is_up(*_: Any) -> None:
        fired.append(1)
        raise TimeLimit

    before = signal.signal(signal.SIGUSR1, time_is_up)
    held_back = []
    try:
        for name, function, piece, use in each(module, instrumented, step, 1):
            fired.clear()
            try:
                with every_function.broken(function, by_signal=signal.SIGUSR1):
                    contextvars.copy_context().run(use, world)
            except TimeLimit:
                continue
            if fired and name not in SILENT:  # what is cached does not run again
                held_back.append(f"{name} in {piece}")
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert held_back == [], "a signal's exception is kept from the program: catch only Exception"
