"""A Sanic server whose handlers open the threads, send streams and start tasks."""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import turns
from opentelemetry.trace import SpanKind
from sanic import Request, Sanic, response
from sanic.response import ResponseStream

from orq_otel import thread

app = Sanic("app")
in_conversation = thread("{conversation}", tags=["load"])
Handler = Callable[..., Awaitable[Any]]


def traced(handler: Handler) -> Handler:
    """Give a request its span."""

    @wraps(handler)
    async def serve(request: Request, **values: Any) -> Any:
        with turns.tracer.start_as_current_span(f"GET {request.path}", kind=SpanKind.SERVER):
            return await handler(request, **values)

    return serve


async def note_later(conversation: str) -> None:
    """A task of the application."""
    turns.note(conversation, "later")


@app.get("/report")
async def report(_: Request) -> response.HTTPResponse:
    """What is left."""
    return response.json(turns.report())


@app.get("/<conversation:str>/<turn:int>")
@traced
@in_conversation
async def answer(request: Request, conversation: str, turn: int) -> response.HTTPResponse:
    """Answer at once."""
    request.app.add_task(note_later(conversation))
    return response.text(await turns.answer_async(conversation, turn), headers=turns.pid())


@app.get("/<conversation:str>/<turn:int>/stream")
@traced
@in_conversation
async def stream(request: Request, conversation: str, turn: int) -> Any:
    """Answer word by word, in the handler or when it has returned."""

    async def send(out: Any) -> None:
        async for word in turns.stream_async(conversation, turn):
            await out.write(word)

    if turn % 2:
        return ResponseStream(send, headers=turns.pid())
    out = await request.respond(headers=turns.pid())
    async for word in turns.stream_async(conversation, turn):
        await out.send(word)
    await out.eof()
    return None


if __name__ == "__main__":
    app.run(
        sock=socket.socket(fileno=int(sys.argv[1])),
        single_process=True,
        access_log=False,
        motd=False,
    )
