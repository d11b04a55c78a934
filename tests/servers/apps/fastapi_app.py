"""A FastAPI application, which traces its requests itself. Its threads come from a header."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import turns
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from orq_otel.asgi import ThreadMiddleware
from starlette.requests import Request

from orq_otel import current_thread

app = FastAPI()
app.add_middleware(ThreadMiddleware, header="x-conversation", tags=["load"])


async def session(conversation: str) -> AsyncIterator[None]:
    """A dependency that works before and after its handler."""
    turns.note(conversation, "dependency opens")
    yield
    turns.note(conversation, "dependency closes")


@app.get("/{conversation}/{turn}", dependencies=[Depends(session)])
async def answer(conversation: str, turn: int, later: BackgroundTasks) -> PlainTextResponse:
    """Answer at once."""
    later.add_task(turns.note, conversation, "background task")
    return PlainTextResponse(await turns.answer_async(conversation, turn), headers=turns.pid())


@app.get("/{conversation}/{turn}/stream", dependencies=[Depends(session)])
async def stream(conversation: str, turn: int) -> StreamingResponse:
    """Answer word by word, from an asynchronous generator or from one in a worker thread."""
    make = turns.stream_async if turn % 2 else turns.stream
    return StreamingResponse(make(conversation, turn), headers=turns.pid())


@app.get("/report")
async def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()


@app.post("/upload")
async def upload(request: Request) -> str:
    """How much was sent, and in which thread."""
    return f"{len(await request.body())} {current_thread()!r}"


@app.get("/thread")
async def thread() -> str:
    """Which thread a request is in."""
    return repr(current_thread())


@app.websocket("/{conversation}")
async def chat(websocket: WebSocket, conversation: str) -> None:
    """Answer one turn after the other."""
    await websocket.accept(headers=[(b"x-pid", turns.pid()["x-pid"].encode())])
    turns.note(conversation, "connection")
    async for turn in websocket.iter_text():
        async for word in turns.stream_async(conversation, int(turn)):
            await websocket.send_text(word)
        await websocket.send_text("END")
