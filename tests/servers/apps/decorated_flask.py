"""A Flask application whose handlers open the threads, and hand back bodies and callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import turns
from flask import Flask, Response, stream_with_context
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

from orq_otel import thread

app = Flask(__name__)
in_conversation = thread("{conversation}", tags=["load"])


@app.get("/<conversation>/<int:turn>")
@in_conversation
def answer(conversation: str, turn: int) -> Response:
    """Answer when the handler has returned."""

    def body() -> Iterator[str]:
        yield turns.answer(conversation, turn)

    response = Response(body(), headers=turns.pid())
    response.call_on_close(lambda: turns.note(conversation, "later"))
    return response


@app.get("/<conversation>/<int:turn>/stream")
@in_conversation
def stream(conversation: str, turn: int) -> Any:
    """Answer word by word."""
    words = turns.stream(conversation, turn)
    return stream_with_context(words) if turn % 3 else words, turns.pid()


@app.get("/report")
def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()


app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app)  # type: ignore[method-assign]
