"""A Flask application. Its threads come from a cookie."""

from __future__ import annotations

from typing import Any

import turns
from flask import Flask, Response, stream_with_context
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from orq_otel.wsgi import ThreadMiddleware

app = Flask(__name__)


@app.get("/<conversation>/<int:turn>")
def answer(conversation: str, turn: int) -> Response:
    """Answer at once."""
    return Response(turns.answer(conversation, turn), headers=turns.pid())


@app.get("/<conversation>/<int:turn>/stream")
def stream(conversation: str, turn: int) -> Response:
    """Answer word by word."""
    words = stream_with_context(turns.stream(conversation, turn))
    response = Response(words, headers=turns.pid())
    response.call_on_close(lambda: turns.note(conversation, "closing"))
    return response


@app.get("/report")
def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()


app.wsgi_app = ThreadMiddleware(app.wsgi_app, cookie="conversation", tags=["load"])  # type: ignore[method-assign]
app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app)  # type: ignore[method-assign]
