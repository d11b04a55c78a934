"""One of the processes among which the traces of many conversations are shared."""

import random
import sys

from opentelemetry import trace

import orq_otel
from orq_otel import thread

CONVERSATIONS = 6_000
PROCESSES = 3


def traces_of(number: int) -> int:
    """How many traces a conversation has, from 1 to 20."""
    return number * 7 % 20 + 1


def turns(process: int) -> list[tuple[int, int]]:
    """The traces of a process, by conversation and turn, in an order of its own."""
    found = [
        (number, turn)
        for number in range(CONVERSATIONS)
        for turn in range(traces_of(number))
        if (number + turn) % PROCESSES == process
    ]
    random.Random(process).shuffle(found)
    return found


def main(process: int) -> None:
    """Have all turns."""
    handle = orq_otel.configure()
    tracer = trace.get_tracer("app")
    for number, turn in turns(process):
        with thread(f"conversation-{number}"):
            with tracer.start_as_current_span("turn", attributes={"app.turn": turn}):
                tracer.start_span("work").end()
    handle.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
