"""A service of two: it answers with what it got and made, after asking another one if told to.

Instrumented by OpenTelemetry's own packages. Its one line of output is its port.

    GET /ask?url=...    asks there, from inside a thread with `thread=...`, and hands the answer on
    GET /spans          the attributes of the spans that have ended, by their names

With "stock" as an argument it has nothing of orq-otel, but OpenTelemetry's processor that puts
baggage on spans, as services in other languages do.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import nullcontext
from typing import Any

import httpx
import uvicorn
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

IS_STOCK = "stock" in sys.argv

exporter = InMemorySpanExporter()
provider = TracerProvider()
trace.set_tracer_provider(provider)
if IS_STOCK:
    from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor

    provider.add_span_processor(BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS))
else:
    from orq_otel import current_thread, thread
    from orq_otel.propagation.start import start

    start()
provider.add_span_processor(SimpleSpanProcessor(exporter))
HTTPXClientInstrumentor().instrument()
client = httpx.AsyncClient(trust_env=False)


async def ask(request: Request) -> JSONResponse:
    """Say what came in, and what the next one said, in the order of the services."""
    told = {"baggage": request.headers.getlist("baggage"), "thread": None}
    asked = request.query_params
    scope = nullcontext() if IS_STOCK or "thread" not in asked else thread(asked["thread"])
    with scope, trace.get_tracer("service").start_as_current_span("work"):
        if not IS_STOCK and (current := current_thread()):
            told["thread"] = current.to_dict()
        answers = []
        if "url" in asked:
            answers = (await client.get(asked["url"])).json()
    return JSONResponse([told, *answers])


async def spans(_: Request) -> JSONResponse:
    """Tell the labels of each span that has ended, and forget them."""
    told = [[span.kind.name, dict(span.attributes or {})] for span in exporter.get_finished_spans()]
    exporter.clear()
    return JSONResponse(told)


#: Held by a request, so that the spans of the one before have all ended.
lock = asyncio.Lock()
instrumented = OpenTelemetryMiddleware(
    Starlette(routes=[Route("/ask", ask), Route("/spans", spans)]),
    exclude_spans=["receive", "send"],
    excluded_urls="/spans",
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve one request after the other."""
    async with lock:
        await instrumented(scope, receive, send)


with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - for who started it
    uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None)).run([listener])
