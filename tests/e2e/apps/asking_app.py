"""Ask two hosts with every client whose instrumentation injects, from inside a thread.

The argument is the port of a server that is both of them. Over gRPC it asks a server of its own,
and prints what that got, in JSON: the `baggage` metadata for each way to ask, "" without.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import grpc
import grpc.aio
import httpx
import requests
import urllib3
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib import URLLibInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider

from orq_otel import thread, thread_headers
from orq_otel.propagation.start import start

INSTRUMENTORS = (
    AioHttpClientInstrumentor,
    GrpcAioInstrumentorClient,
    GrpcInstrumentorClient,
    HTTPXClientInstrumentor,
    RequestsInstrumentor,
    URLLib3Instrumentor,
    URLLibInstrumentor,
)


def ask_in_line(base: str) -> None:
    """With the clients that are not asynchronous."""
    with httpx.Client(trust_env=False) as client:
        client.get(f"{base}/httpx")
    with requests.Session() as session:
        session.trust_env = False
        session.get(f"{base}/requests")
    with urllib3.PoolManager() as pool:
        pool.request("GET", f"{base}/urllib3")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"{base}/urllib").close()


async def ask(base: str) -> None:
    """With those that are."""
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"{base}/httpx-async")
    async with aiohttp.ClientSession() as session, session.get(f"{base}/aiohttp"):
        pass


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore]
    """Answers every call with the baggage that came with it."""

    def service(self, details: Any) -> Any:
        """How to answer a call."""
        told = dict(details.invocation_metadata).get("baggage", "")
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: told.encode())


async def ask_grpc(target: str) -> dict[str, str]:
    """Over gRPC in line, asynchronously, and with headers given by hand."""
    told = {}
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/shop.Orders/Get")
        told["grpc"] = call(b"").decode()
        told["by hand"] = call(b"", metadata=tuple(thread_headers().items())).decode()
    async with grpc.aio.insecure_channel(target) as channel:
        told["grpc-async"] = (await channel.unary_unary("/shop.Orders/Get")(b"")).decode()
    return told


def main() -> None:
    """Ask everybody."""
    trace.set_tracer_provider(TracerProvider())
    start()
    for kind in INSTRUMENTORS:
        kind().instrument()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with thread("support-42"):
        for host in ("127.0.0.1", "localhost"):
            ask_in_line(f"http://{host}:{sys.argv[1]}")
            asyncio.run(ask(f"http://{host}:{sys.argv[1]}"))
        told = asyncio.run(ask_grpc(f"127.0.0.1:{port}"))
    server.stop(None).wait()
    print(json.dumps(told))  # noqa: T201 - for who started it


main()
