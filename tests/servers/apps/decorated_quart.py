"""A Quart application whose handlers open the threads, and hand back bodies and tasks."""

from __future__ import annotations

from typing import Any

import turns
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from quart import Quart, Response, stream_with_context

from orq_otel import thread

app = Quart(__name__)
in_conversation = thread("{conversation}", tags=["load"])


@app.get("/report")
async def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()


@app.get("/<conversation>/<int:turn>")
@in_conversation
async def answer(conversation: str, turn: int) -> Any:
    """Answer at once."""
    app.add_background_task(turns.note, conversation, "later")
    return await turns.answer_async(conversation, turn), turns.pid()


@app.get("/<conversation>/<int:turn>/stream")
@in_conversation
async def stream(conversation: str, turn: int) -> Any:
    """Answer word by word."""
    app.add_background_task(turns.note, conversation, "later")
    if turn % 3 == 0:
        return turns.stream_async(conversation, turn), turns.pid()
    if turn % 3 == 1:
        return Response(turns.stream(conversation, turn), headers=turns.pid())
    return Response(
        stream_with_context(turns.stream_async)(conversation, turn), headers=turns.pid()
    )


app.asgi_app = OpenTelemetryMiddleware(  # type: ignore[method-assign]
    app.asgi_app, exclude_spans=["receive", "send"]
)
