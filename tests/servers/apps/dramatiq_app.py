"""Dramatiq actors. Their threads come from their arguments.

The only broker that needs no server is inside a process, so this one sends the messages as well:
for each line that it reads, "answer c-7 3".
"""

from __future__ import annotations

import json
import sys

import dramatiq
import turns
from dramatiq.brokers.stub import StubBroker
from opentelemetry.trace import SpanKind

from orq_otel import thread

broker = StubBroker()
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=0)
def answer(conversation: str, turn: int) -> None:
    """Answer at once, inside the span of a message."""
    with turns.tracer.start_as_current_span(f"process {conversation}", kind=SpanKind.CONSUMER):
        in_thread(conversation, turn)


@thread("{conversation}", tags=["load"])
def in_thread(conversation: str, turn: int) -> None:
    """What an actor does."""
    turns.answer(conversation, turn)


@dramatiq.actor(max_retries=0)
@thread("{conversation}", tags=["load"])
def stream(conversation: str, turn: int) -> None:
    """Answer word by word."""
    with turns.tracer.start_as_current_span(f"process {conversation}", kind=SpanKind.CONSUMER):
        for _ in turns.stream(conversation, turn):
            pass


@dramatiq.actor(max_retries=0)
def report() -> None:
    """What is left."""
    print(json.dumps(turns.report()), flush=True)  # noqa: T201


if __name__ == "__main__":
    worker = dramatiq.Worker(broker, worker_threads=16, worker_timeout=10)
    worker.start()
    for line in sys.stdin:
        name, conversation, number = line.split()
        {"answer": answer, "stream": stream}[name].send(conversation, int(number))
    broker.join("default", timeout=60_000)
    worker.join()
    report.send()
    broker.join("default", timeout=60_000)
    worker.stop()
