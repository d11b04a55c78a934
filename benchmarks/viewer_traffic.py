"""What the viewers are sent: conversations as OTLP, and the senders of it.

Spans look as an agent's do: a request, in which the agent calls a model, a tool, and the model
again, each call with a question and an answer in words as frequent as those of a language. Five
spans of ten attributes make a trace, five traces a thread, and 200 threads talk at a time, so a
batch of 512 spans has spans of a hundred threads. All is encoded before a clock starts.
"""

from __future__ import annotations

import http.client
import itertools
import json
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from viewer_ingest import BATCH, PER_THREAD, PER_TRACE, SECOND, put

BUSY = 200
TURNS = PER_THREAD // PER_TRACE
#: The threads are as old as a week, so that plots over time have something to show.
WEEK = 7 * 24 * 3600 * SECOND
SENDERS = 4
#: Who is told to come back later, waits so long. Seconds.
_AGAIN_AFTER = 0.1
_TIMEOUT = 60.0
_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


#: As many words as somebody uses, the second half as often as the first, and so on.
_LETTERS = "etaoinshrdlucmfw"
WORDS = [
    "".join(_LETTERS[number >> shift & 15] for shift in (0, 4, 8, 12)) for number in range(20_000)
]
_WEIGHTS = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(WORDS))))


def said(seed: int, words: int) -> str:
    """So many words, the same for each seed."""
    dice = random.Random(seed)  # noqa: S311 - the same texts each time
    return " ".join(dice.choices(WORDS, cum_weights=_WEIGHTS, k=words))


def thread_name(number: int) -> str:
    """The id of a thread, from 0 on."""
    return f"ticket-{number:06d}"


def encode(requests: int) -> list[bytes]:
    """So many requests: protobuf, 512 spans each. Done by all processors."""
    spans = requests * BATCH
    step = WEEK // max(spans // PER_TRACE, 1)
    begin = time.time_ns() - WEEK
    parts = [(first, begin, step) for first in range(0, spans, BATCH)]
    with multiprocessing.get_context("fork").Pool() as pool:
        return pool.map(_request, parts, chunksize=32)


def _request(part: tuple[int, int, int]) -> bytes:
    """A request with the spans from a number on."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    first, begin, step = part
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    put(of_resource.resource.attributes, {"service.name": "support", "service.version": "1"})
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "benchmark"
    for number in range(first, first + BATCH):
        trace, place = divmod(number, PER_TRACE)
        thread, turn = _whose(trace)
        name, kind, attributes = _SHAPES[place](thread, turn)
        start = begin + trace * step + place * SECOND // 4
        span = of_scope.spans.add(
            trace_id=(trace + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=(trace * PER_TRACE + 1).to_bytes(8, "big") if place else b"",
            name=name,
            kind=kind,
            start_time_unix_nano=start,
            end_time_unix_nano=start + (SECOND // 5 if place else 2 * SECOND),
        )
        put(span.attributes, {**_labels(thread), **attributes})
        if place == PER_TRACE - 1 and thread % 50 == 0:
            span.status.code = 2
            span.status.message = "rate limit"
    return request.SerializeToString()


def _whose(trace: int) -> tuple[int, int]:
    """Which thread a trace belongs to, and which of its turns it is."""
    block, inside = divmod(trace, BUSY * TURNS)
    turn, one = divmod(inside, BUSY)
    return block * BUSY + one, turn


def _labels(thread: int) -> dict[str, Any]:
    # Ours groups by the first, and the others by the second.
    return {
        "thread.id": thread_name(thread),
        "gen_ai.conversation.id": thread_name(thread),
        "thread.tags": ["support", f"tier-{thread % 3}"],
    }


def _agent(thread: int, turn: int) -> tuple[str, int, dict[str, Any]]:
    return (
        "invoke_agent support",
        1,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.agent.name": "support",
            "gen_ai.agent.id": "agent-7",
            "app.turn": turn,
            "app.customer": thread % 500,
            "app.channel": "chat",
        },
    )


def _call(thread: int, turn: int) -> tuple[str, int, dict[str, Any]]:
    text = f"What about my order {thread}? {said(2 * (thread * TURNS + turn), 12)}"
    messages = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    answer = [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": said(2 * (thread * TURNS + turn) + 1, 40)}],
        }
    ]
    return (
        "chat gpt-4o-mini",
        3,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.usage.input_tokens": 200 + thread % 100,
            "gen_ai.usage.output_tokens": 50 + turn,
            "gen_ai.input.messages": json.dumps(messages),
            "gen_ai.output.messages": json.dumps(answer),
            "user.id": f"user-{thread % 5000}",
        },
    )


def _tool(thread: int, turn: int) -> tuple[str, int, dict[str, Any]]:
    return (
        "execute_tool look_up_order",
        1,
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look_up_order",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": f"call_{thread}_{turn}",
            "app.order": thread,
            "app.cached": "no",
            "server.address": "orders.example",
        },
    )


_SHAPES = (_agent, _call, _tool, _call, _tool)


@dataclass
class Sent:
    """What became of requests: spans acknowledged, in how long, and how often a sender waited."""

    spans: int = 0
    seconds: float = 0.0
    postponed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Spans a second."""
        return self.spans / self.seconds if self.seconds else 0.0


def load(port: int, requests: Sequence[bytes], seconds: float) -> Sent:
    """Send requests in their order over four connections, until all are sent or time is over."""
    sent = Sent()
    waiting = iter(requests)
    lock = threading.Lock()
    began = time.perf_counter()

    def is_over() -> bool:
        return time.perf_counter() - began > seconds

    def sender() -> None:
        connection = _connection(port)
        while not is_over():
            with lock:
                body = next(waiting, None)
            if body is None or not _deliver(connection, body, sent, is_over):
                return

    threads = [threading.Thread(target=sender) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.seconds = time.perf_counter() - began
    return sent


@contextmanager
def arriving(port: int, requests: Sequence[bytes], rate: int) -> Iterator[Sent]:
    """Send so many spans a second meanwhile, from a process of its own.

    What is yielded is filled in at the end.
    """
    context = multiprocessing.get_context("fork")
    stop, answers = context.Event(), context.Queue()
    process = context.Process(target=_arrive, args=(port, requests, rate, stop, answers))
    process.start()
    sent = Sent()
    try:
        yield sent
    finally:
        stop.set()
        done = answers.get(timeout=2 * _TIMEOUT)
        sent.__dict__.update(done.__dict__)
        process.join()


def _arrive(port: int, requests: Sequence[bytes], rate: int, stop: Any, answers: Any) -> None:
    sent = Sent()
    connection = _connection(port)
    began = time.perf_counter()
    for number, body in enumerate(requests):
        due = began + number * BATCH / rate
        if stop.wait(max(due - time.perf_counter(), 0)):
            break
        if not _deliver(connection, body, sent, stop.is_set):
            break
    else:
        sent.problems.append("nothing left to send")
    sent.seconds = time.perf_counter() - began
    answers.put(sent)


def _deliver(
    connection: http.client.HTTPConnection, body: bytes, sent: Sent, is_over: Callable[[], bool]
) -> bool:
    """Send a request until it is acknowledged, as exporters do. Whether it was."""
    headers = {"content-type": "application/x-protobuf"}
    while True:
        try:
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            sent.problems.append(type(error).__name__)
            return False
        if answer.status == HTTPStatus.OK:
            sent.spans += BATCH
            return True
        if answer.status not in _LATER:
            sent.problems.append(str(answer.status))
            return False
        sent.postponed += 1
        if is_over():
            return False
        time.sleep(_AGAIN_AFTER)


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
