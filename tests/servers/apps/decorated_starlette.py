"""A Starlette application whose endpoints open the threads, and hand back streams and tasks."""

from __future__ import annotations

import turns
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from orq_otel import thread

in_conversation = thread("{request.path_params[conversation]}", tags=["load"])


@in_conversation
def answer(request: Request) -> PlainTextResponse:
    """Answer at once, in a worker thread."""
    conversation, turn = request.path_params.values()
    later = BackgroundTask(turns.note, conversation, "later")
    return PlainTextResponse(
        turns.answer(conversation, turn), headers=turns.pid(), background=later
    )


@in_conversation
async def stream(request: Request) -> StreamingResponse:
    """Answer word by word."""
    conversation, turn = request.path_params.values()
    make = turns.stream_async if turn % 2 else turns.stream
    later = BackgroundTask(turns.note, conversation, "later")
    return StreamingResponse(make(conversation, turn), headers=turns.pid(), background=later)


def report(_: Request) -> JSONResponse:
    """What is left."""
    return JSONResponse(turns.report())


routes = [
    Route("/report", report),
    Route("/{conversation}/{turn:int}", answer),
    Route("/{conversation}/{turn:int}/stream", stream),
]
app = OpenTelemetryMiddleware(Starlette(routes=routes), exclude_spans=["receive", "send"])
