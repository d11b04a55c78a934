"""An aiohttp server whose handlers open the threads, and hand back bodies."""

from __future__ import annotations

import socket
import sys

import turns
from aiohttp import web
from opentelemetry.trace import SpanKind

from orq_otel import thread

in_conversation = thread("{request.match_info[conversation]}", tags=["load"])


@in_conversation
async def answer(request: web.Request) -> web.Response:
    """Answer at once."""
    conversation, turn = request.match_info["conversation"], int(request.match_info["turn"])
    text = await turns.answer_async(conversation, turn)
    return web.Response(text=text, headers=turns.pid())


@in_conversation
async def stream(request: web.Request) -> web.StreamResponse:
    """Answer word by word, in the handler or when it has returned."""
    conversation, turn = request.match_info["conversation"], int(request.match_info["turn"])
    words = (word.encode() async for word in turns.stream_async(conversation, turn))
    if turn % 2:
        return web.Response(body=words, headers=turns.pid())
    response = web.StreamResponse(headers=turns.pid())
    await response.prepare(request)
    async for word in words:
        await response.write(word)
    return response


async def report(_: web.Request) -> web.Response:
    """What is left."""
    return web.json_response(turns.report())


@web.middleware
async def traced(request: web.Request, handler: web.Handler) -> web.StreamResponse:
    """The span of a request."""
    with turns.tracer.start_as_current_span(f"GET {request.path}", kind=SpanKind.SERVER):
        return await handler(request)


app = web.Application(middlewares=[traced])
app.router.add_get("/report", report)
app.router.add_get("/{conversation}/{turn}", answer)
app.router.add_get("/{conversation}/{turn}/stream", stream)

if __name__ == "__main__":
    web.run_app(app, sock=socket.socket(fileno=int(sys.argv[1])), print=None)
