"""A gRPC server, synchronous or of asyncio. Its threads come from its requests.

Requests and answers are JSON, so that no code has to be generated for them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import turns
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer, GrpcInstrumentorServer

from orq_otel import thread


class Service:
    """The methods of the service, for the threads of a server."""

    @thread("{request.conversation}", tags=["load"])
    def answer(self, request: Any, context: Any) -> str:
        """Answer at once."""
        return turns.answer(request.conversation, request.turn)

    @thread("{request.conversation}", tags=["load"])
    def stream(self, request: Any, context: Any) -> Iterator[str]:
        """Answer word by word."""
        yield from turns.stream(request.conversation, request.turn)

    def report(self, request: Any, context: Any) -> Any:
        """What is left."""
        return turns.report()


class AsyncService:
    """The same, for asyncio."""

    @thread("{request.conversation}", tags=["load"])
    async def answer(self, request: Any, context: Any) -> str:
        """Answer at once."""
        return await turns.answer_async(request.conversation, request.turn)

    @thread("{request.conversation}", tags=["load"])
    async def stream(self, request: Any, context: Any) -> AsyncIterator[str]:
        """Answer word by word."""
        async for word in turns.stream_async(request.conversation, request.turn):
            yield word

    async def report(self, request: Any, context: Any) -> Any:
        """What is left."""
        return turns.report()


def handlers(service: Any) -> Any:
    """The methods by their names, with how to read their requests and write their answers."""

    def read(data: bytes) -> Any:
        return SimpleNamespace(**json.loads(data))

    def write(answer: Any) -> bytes:
        # With asyncio, gRPC has encoded text already.
        return json.dumps(answer.decode() if isinstance(answer, bytes) else answer).encode()

    one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    methods = {
        "answer": one(service.answer, read, write),
        "stream": many(service.stream, read, write),
        "report": one(service.report, read, write),
    }
    return grpc.method_handlers_generic_handler("support", methods)


def serve() -> None:
    """Serve until the standard input ends."""
    GrpcInstrumentorServer().instrument()  # type: ignore[no-untyped-call]
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((handlers(Service()),))
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)  # noqa: T201
        server.start()
        sys.stdin.read()
        server.stop(None).wait()


async def serve_async() -> None:
    """The same, with asyncio."""
    GrpcAioInstrumentorServer().instrument()  # type: ignore[no-untyped-call]
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(AsyncService()),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)  # noqa: T201
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    if sys.argv[1] == "aio":
        asyncio.run(serve_async())
    else:
        serve()
