"""A Starlette application. Its threads come from a function that looks them up."""

from __future__ import annotations

import asyncio
from typing import Any

import turns
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from orq_otel.asgi import ThreadMiddleware
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from orq_otel import Thread


async def look_up(scope: Any) -> Thread | None:
    """The thread of a request, as a store of sessions would give it."""
    await asyncio.sleep(0)
    name = scope["path"].split("/")[1]
    return Thread(name, ("load",)) if name.startswith("c-") else None


def answer(request: Request) -> Response:
    """Answer at once, in a worker thread."""
    conversation, turn = request.path_params["conversation"], request.path_params["turn"]
    later = BackgroundTask(turns.note, conversation, "background task")
    answer = turns.answer(conversation, turn)
    return PlainTextResponse(answer, headers=turns.pid(), background=later)


async def stream(request: Request) -> Response:
    """Answer word by word."""
    conversation, turn = request.path_params["conversation"], request.path_params["turn"]
    return StreamingResponse(turns.stream_async(conversation, turn), headers=turns.pid())


async def report(request: Request) -> Response:
    """What is left."""
    return JSONResponse(turns.report())


app = OpenTelemetryMiddleware(
    Starlette(
        routes=[
            Route("/report", report),
            Route("/{conversation}/{turn:int}", answer),
            Route("/{conversation}/{turn:int}/stream", stream),
        ],
        middleware=[Middleware(ThreadMiddleware, thread=look_up)],
    )
)
