"""A Litestar application whose handlers open the threads, and hand back streams and tasks."""

from __future__ import annotations

from typing import Any

import turns
from litestar import Litestar, Response, get
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.response import Stream
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from orq_otel import thread

in_conversation = thread("{conversation}", tags=["load"])


@get("/report")
async def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()


@get("/{conversation:str}/{turn:int}")
@in_conversation
async def answer(conversation: str, turn: int) -> Response[str]:
    """Answer at once."""
    return Response(
        await turns.answer_async(conversation, turn),
        media_type="text/plain",
        headers=turns.pid(),
        background=BackgroundTask(turns.note, conversation, "later"),
    )


@get("/{conversation:str}/{turn:int}/stream", sync_to_thread=False)
@in_conversation
def stream(conversation: str, turn: int) -> Stream:
    """Answer word by word, from a generator or from the function that makes it."""
    if turn % 2:
        content: Any = turns.stream(conversation, turn)
    else:
        content = lambda: turns.stream_async(conversation, turn)  # noqa: E731
    later = BackgroundTasks([BackgroundTask(turns.note, conversation, "later")])
    return Stream(content, headers=turns.pid(), background=later)


app = OpenTelemetryMiddleware(Litestar([report, answer, stream]), exclude_spans=["receive", "send"])
