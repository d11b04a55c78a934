"""A FastAPI application whose handlers open the threads, and hand back streams and tasks."""

from __future__ import annotations

from typing import Any

import turns
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask

from orq_otel import thread

app = FastAPI()
in_conversation = thread("{conversation}", tags=["load"])


@app.get("/report")
async def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()


@app.get("/{conversation}/{turn}")
@in_conversation
async def answer(conversation: str, turn: int, later: BackgroundTasks) -> PlainTextResponse:
    """Answer at once."""
    later.add_task(turns.note, conversation, "later")
    return PlainTextResponse(await turns.answer_async(conversation, turn), headers=turns.pid())


@app.get("/{conversation}/{turn}/stream")
@in_conversation
def stream(conversation: str, turn: int) -> StreamingResponse:
    """Answer word by word, from an asynchronous generator or from one in a worker thread."""
    make = turns.stream_async if turn % 2 else turns.stream
    later = BackgroundTask(turns.note, conversation, "later")
    return StreamingResponse(make(conversation, turn), headers=turns.pid(), background=later)
