"""The processes of `service.py`: the model, a chat service under one peer, and those who ask it.

Each is `.venvs/ENVIRONMENT/bin/python service_roles.py ROLE`. It tells what it has to say first,
and then answers each line on standard input until that ends.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-unimported"

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from children import tell
from environments import CHECKOUT, SERVING, VENVS
from peers import OURS, PEERS
from traffic import ANSWER, REQUESTS

if TYPE_CHECKING:
    from pipeline import Pipeline

TAGS = ["beta", "nl"]
TAG_STRING = ",".join(TAGS)
PATIENCE = 30.0  # seconds after which a request is given up
# Clients look through all their connections at each request. After a rush that opened hundreds,
# that would be what is measured. Who finds none waits for one, and that counts.
CONNECTIONS = 16

Session = Callable[[str], AbstractContextManager[Any]]


# ------------------------------------------------------------------ the model
def play_vendor() -> None:
    """Stand in for the model: the same answer for everyone, at once; a stream in words."""
    sys.path.insert(0, str(CHECKOUT / "examples"))
    model_server: Any = importlib.import_module("stand_ins.model_server")
    vendor = model_server.ModelServer()
    vendor.arrived = lambda _: model_server.Reply(ANSWER)  # its own keeps every request
    with vendor:
        tell(vendor.base_url)
        sys.stdin.read()


# ------------------------------------------------------------------ the service
def session_of(name: str, pipeline: Pipeline) -> Session:
    """Return how a peer's user labels what belongs to a conversation; many have nothing for it."""
    if name == OURS:
        from orq_otel import thread

        return lambda conversation: thread(conversation, tags=TAGS)
    if name == "openinference":
        from openinference.instrumentation import using_attributes

        return lambda conversation: using_attributes(session_id=conversation, tags=TAGS)
    if name == "langfuse":
        from langfuse import propagate_attributes

        return lambda conversation: propagate_attributes(session_id=conversation, tags=TAGS)
    if name == "logfire":
        import logfire

        return lambda conversation: logfire.set_baggage(session_id=conversation, tags=TAG_STRING)
    if name == "traceloop":
        return _traceloop(pipeline)
    return lambda _: nullcontext()


def _traceloop(pipeline: Pipeline) -> Session:
    """Set up the SDK with its own provider; leaving a session attaches the earlier context."""
    from opentelemetry import context, trace
    from traceloop.sdk import Traceloop

    Traceloop.init(processor=pipeline.batch_processor(), telemetry_enabled=False, instruments=set())
    provider: Any = trace.get_tracer_provider()
    pipeline.tp = provider

    @contextmanager
    def session(conversation: str) -> Iterator[None]:
        earlier = context.get_current()
        Traceloop.set_association_properties({"session_id": conversation, "tags": TAG_STRING})
        try:
            yield
        finally:
            context.attach(earlier)

    return session


def serve(name: str, vendor: str) -> None:
    """Serve under a peer; tell each line of standard input the spans and processor time so far."""
    libraries = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    sys.path.append(str(VENVS / SERVING / libraries))

    from adapters import ADAPTERS
    from pipeline import Pipeline
    from scenarios import SCENARIOS
    from worker import quiet

    quiet()
    peer = PEERS[name]
    os.environ.update(peer.variables(content=True))
    pipeline = Pipeline(SCENARIOS["chat_async"], own=peer.own_provider, logs=peer.logs)
    session = session_of(name, pipeline)
    ADAPTERS[name](pipeline)

    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    tell("http://{}:{}".format(*listener.getsockname()))

    def answer_orders() -> None:
        for _ in sys.stdin:
            pipeline.flush()
            tell([pipeline.spans(), time.process_time()])
        os._exit(0)

    threading.Thread(target=answer_orders, daemon=True).start()
    config = uvicorn.Config(_application(session, vendor), log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _application(session: Session, vendor: str) -> Any:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=vendor, api_key="sk-x", max_retries=0)
    create: Any = client.chat.completions.create
    # Only calls of the model are traced: some peers' global provider would trace requests as well.
    service = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @service.post("/chat")
    async def chat(conversation: str) -> dict[str, str]:
        with session(conversation):
            answer = await create(**REQUESTS["chat"].arguments)
        return {"text": answer.choices[0].message.content}

    @service.post("/chat_stream", response_model=None)
    async def chat_stream(conversation: str) -> Any:
        async def events() -> AsyncIterator[str]:
            with session(conversation):
                async for chunk in await create(**REQUESTS["chat_stream"].arguments):
                    if chunk.choices and (text := chunk.choices[0].delta.content):
                        yield f"data: {json.dumps(text)}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    _ = chat, chat_stream
    return service


# ------------------------------------------------------------------ the load
async def generate() -> None:
    """Carry out the orders on standard input, and tell how many seconds each answer took.

    An order says when users come to which address, in seconds from now, and for how long each asks
    again as soon as it has its answer. A request that fails takes None.
    """
    import httpx2

    tell("ready")
    numbers = itertools.count()

    async def ask(client: httpx2.AsyncClient, url: str) -> float | None:
        began = time.perf_counter()
        request = client.stream("POST", url, params={"conversation": f"c-{next(numbers)}"})
        try:
            async with request as answer:
                answer.raise_for_status()
                async for _ in answer.aiter_raw():
                    pass
        except httpx2.HTTPError:
            return None
        return time.perf_counter() - began

    async def use(
        client: httpx2.AsyncClient, url: str, due: float, end: float
    ) -> list[float | None]:
        await asyncio.sleep(due)
        took = [await ask(client, url)]
        while time.perf_counter() < end:
            took.append(await ask(client, url))
        return took

    while line := sys.stdin.readline():
        order = json.loads(line)
        limits = httpx2.Limits(max_connections=CONNECTIONS)
        async with httpx2.AsyncClient(limits=limits, timeout=PATIENCE) as client:
            began = time.perf_counter()
            end = began + order["seconds"]
            users = (use(client, order["url"], due, end) for due in order["due"])
            took = itertools.chain.from_iterable(await asyncio.gather(*users))
            tell([time.perf_counter() - began, list(took)])


if __name__ == "__main__":
    role, *given = sys.argv[1:]
    if role == "vendor":
        play_vendor()
    elif role == "serve":
        serve(*given)
    else:
        asyncio.run(generate())
