"""Celery tasks. Their threads come from their arguments."""

from __future__ import annotations

import os
from typing import Any

import turns
from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from orq_otel import thread

CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]

app = Celery("app", broker="filesystem://", backend="file://" + os.environ["CELERY_FOLDER"])
app.conf.broker_transport_options = {
    "polling_interval": 0.02,
    "data_folder_in": os.environ["CELERY_FOLDER"],
    "data_folder_out": os.environ["CELERY_FOLDER"],
    "control_folder": os.environ["CELERY_FOLDER"],
}


@app.task
@thread("{conversation}", tags=["load"])
def answer(conversation: str, turn: int) -> int:
    """Answer at once."""
    turns.answer(conversation, turn)
    return os.getpid()


@app.task
@thread("{conversation}", tags=["load"])
def stream(conversation: str, turn: int) -> int:
    """Answer word by word."""
    for _ in turns.stream(conversation, turn):
        pass
    return os.getpid()


@app.task
def report() -> dict[str, Any]:
    """What is left."""
    return turns.report()
