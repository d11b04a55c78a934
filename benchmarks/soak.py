#!/usr/bin/env python3
"""Run mixed traffic for a while, and see that no span is lost or mixed up and that nothing grows.

    .venv/bin/python benchmarks/soak.py --minutes 30

Both clients, synchronous and asynchronous, against stand-ins on loopback in processes of their own:
20 % of the streams are left in one of four ways, 5 % of the calls are refused, some are cancelled,
the collector goes and returns, and the process forks. It ends by itself, prints a line of figures a
minute, and exits with 1 if spans started, ended, and exported or dropped do not agree, or if a span
carries another conversation's thread. It needs what the job `test` installs.
"""

# ruff: noqa: ARG002, D102, D103, PLR2004 - the SDK's names, ways to leave, and shares of the traffic

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import json
import logging
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import openai
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from orq_ai_sdk import Orq
from orq_otel import OpenAIInstrumentor, OrqInstrumentor, thread

ROOT = Path(__file__).resolve().parents[1]
THREADS, TASKS = 6, 6
PAUSE = 0.02  # seconds between two calls of a thread or task: some 300 calls a second
FORK_EVERY, COLLECTOR_UP, COLLECTOR_DOWN = 60.0, 50.0, 10.0
PATIENCE = 60.0  # seconds that a forked child may take
CONVERSATION = re.compile(r"[ac]-\d+-\d+")

SERVE = """
import sys, threading
from {module} import {server}
with {server}() as server:
    print(server.{url}, flush=True)
    sys.stdin.read()
"""

COLLECT = """
import http.server, sys
class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector)
print(server.server_port, flush=True)
server.serve_forever()
"""


def asking(conversation: str) -> Any:
    """Messages that name a conversation."""
    return [{"role": "user", "content": f"Where is {conversation}?"}]


class Counts(SpanProcessor):
    """Counts spans, and those that are in another conversation than they say.

    Every call names its conversation in what it asks.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.of: Counter[str] = Counter()

    def count(self, name: str, number: int = 1) -> None:
        with self.lock:
            self.of[name] += number

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.count("started")

    def on_end(self, span: ReadableSpan) -> None:
        told = span.attributes or {}
        asked = CONVERSATION.search(str(told.get("gen_ai.input.messages", told.get("soak"))))
        self.count("ended")
        if asked is None or told.get("thread.id") != asked[0]:
            self.count("mixed")
        if "error.type" in told:
            self.count("errors")


class Counting(SpanExporter):
    """Exports, and counts what was taken and what was not."""

    def __init__(self, exporter: SpanExporter, counts: Counts) -> None:
        self.exporter, self.counts = exporter, counts

    def export(self, spans: Any) -> SpanExportResult:
        result = self.exporter.export(spans)
        taken = result is SpanExportResult.SUCCESS
        self.counts.count("exported" if taken else "dropped", len(spans))
        return result

    def shutdown(self) -> None:
        self.exporter.shutdown()


class Traffic:
    """Calls of both clients, until it is stopped."""

    def __init__(self, openai_url: str, orq_url: str, tracer: Any) -> None:
        self.openai_url, self.orq_url, self.tracer = openai_url, orq_url, tracer
        self.stopped = threading.Event()
        self.calls: Counter[str] = Counter()
        self.dice: dict[int, random.Random] = {}

    @contextmanager
    def clients(self) -> Iterator[tuple[openai.OpenAI, Orq]]:
        """Clients for some calls: they keep the connection of each stream that is left open."""
        with (
            openai.OpenAI(api_key="k", base_url=self.openai_url, max_retries=0) as client,
            httpx.Client() as http,
        ):
            yield client, Orq(api_key="k", server_url=self.orq_url, client=http)

    def one(self, client: openai.OpenAI, orq: Orq, dice: random.Random, worker: int) -> None:
        """Make one call in a conversation of its own."""
        conversation = f"c-{worker}-{dice.randrange(10**9)}"
        with thread(conversation, tags=["soak"]):
            kind = dice.random()
            if kind < 0.05:
                self.calls["refused"] += 1
                with suppress(openai.OpenAIError):
                    client.chat.completions.create(model="", messages=asking(conversation))
            elif kind < 0.45:
                self.calls["streamed"] += 1
                create = client.chat.completions.create
                stream = create(model="m", messages=asking(conversation), stream=True)
                if dice.random() < 0.2:
                    self.calls["left"] += 1
                    dice.choice(LEAVE)(stream)
                else:
                    list(stream)
            elif kind < 0.65:
                self.calls["orq"] += 1
                with self.tracer.start_as_current_span("turn") as turn:
                    turn.set_attribute("soak", conversation)
                    orq.deployments.invoke(key="k", messages=asking(conversation))
            elif kind < 0.75:
                self.calls["orq streamed"] += 1
                stream = orq.deployments.stream(key="k", messages=asking(conversation))
                if dice.random() < 0.2:
                    self.calls["left"] += 1
                    dice.choice(LEAVE)(stream)
                else:
                    list(stream)
            else:
                self.calls["asked"] += 1
                client.responses.create(model="m", input=f"Where is {conversation}?")

    def in_thread(self, worker: int) -> None:
        """What one thread does."""
        dice = random.Random(worker)  # noqa: S311 - traffic
        while not self.stopped.is_set():
            with self.clients() as (client, orq):
                for _ in range(100):
                    if self.stopped.wait(PAUSE):
                        break
                    self.one(client, orq, dice, worker)

    def in_loop(self) -> None:
        """What the thread with an event loop does."""
        asyncio.run(self.tasks())

    async def tasks(self) -> None:
        """Several tasks, until the end."""
        while not self.stopped.is_set():
            async with openai.AsyncOpenAI(
                api_key="k", base_url=self.openai_url, max_retries=0
            ) as client:
                await asyncio.gather(*(self.task(client, THREADS + n) for n in range(TASKS)))

    async def task(self, client: openai.AsyncOpenAI, worker: int) -> None:
        """What one task does."""
        dice = self.dice.setdefault(worker, random.Random(worker))  # noqa: S311 - traffic
        for _ in range(100):
            if self.stopped.is_set():
                return
            await asyncio.sleep(PAUSE)
            conversation = f"a-{worker}-{dice.randrange(10**9)}"
            with thread(conversation, tags=["soak"]):
                kind = dice.random()
                create = client.chat.completions.create
                if kind < 0.1:
                    self.calls["cancelled"] += 1
                    waiting = create(model="m", messages=asking(conversation))
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(waiting, dice.random() * 0.004)
                elif kind < 0.7:
                    self.calls["streamed"] += 1
                    stream = await create(model="m", messages=asking(conversation), stream=True)
                    leaves = dice.random() < 0.2
                    self.calls["left"] += leaves
                    async for _ in stream:
                        if leaves:
                            break
                    if leaves and dice.random() < 0.5:
                        Cycle(stream)
                    del stream
                else:
                    self.calls["asked"] += 1
                    await create(model="m", messages=asking(conversation))


class Cycle:
    """Garbage that only a collection finds."""

    def __init__(self, kept: Any) -> None:
        self.kept, self.me = kept, self


def break_off(stream: Any) -> None:
    for _ in stream:
        break


def close(stream: Any) -> None:
    for _ in stream:
        stream.close()
        break


def leave_in_a_cycle(stream: Any) -> None:
    next(iter(stream))
    Cycle(stream)


def ignore(_: Any) -> None:
    """Nothing of it is read."""


LEAVE: tuple[Callable[[Any], None], ...] = (break_off, close, leave_in_a_cycle, ignore)


@contextmanager
def child(*command: str) -> Iterator[tuple[Any, str]]:
    """A process of our own, and the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'examples'}:{ROOT / 'tests'}"},
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def collect(port: int, stopped: threading.Event) -> None:
    """A collector that goes and returns."""
    while not stopped.is_set():
        with child(COLLECT, str(port)):
            if stopped.wait(COLLECTOR_UP):
                return  # it stays until the last spans are there
        stopped.wait(COLLECTOR_DOWN)


def fork(traffic: Traffic, counts: Counts, provider: TracerProvider) -> None:
    """A child that makes calls of its own, and tells its counts.

    Another thread may hold a lock as the process forks, which nobody ever lets go of in the child.
    If that is a lock of the client's or of Pydantic's, the child would wait without us as well.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=writing)
        try:
            counts.lock = threading.Lock()
            counts.of.clear()
            own = Traffic(traffic.openai_url, traffic.orq_url, traffic.tracer)
            with own.clients() as (client, orq):
                for number in range(10):
                    own.one(client, orq, random.Random(number), 99)  # noqa: S311 - traffic
            gc.collect()
            provider.shutdown()
            os.write(writing, json.dumps(counts.of).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        answer = told.read()
    if answer.startswith("{"):
        for name, number in json.loads(answer).items():
            counts.count(name, number)
    elif answer and not re.search(r'first\):\n  File "[^"]*/orq_otel/', answer):
        counts.count("children that waited for others' locks")
    else:
        print(answer)
        counts.count("failed children")
    os.waitpid(process, 0)
    counts.count("forks")


def state() -> str:
    """Memory, descriptors, allocated blocks and threads of this process.

    Not its objects: to list them fails what other threads do to a new tuple meanwhile.
    """
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    descriptors = [*Path("/proc/self/fd").iterdir()]
    return (
        f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f} MB, {len(descriptors)} descriptors, "
        f"{sys.getallocatedblocks()} blocks, "
        f"{threading.active_count()} threads"
    )


def main() -> int:
    """Run as long as was asked for, and judge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30.0)
    minutes = options.parse_args().minutes
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # of the collector that is gone
    said: Counter[str] = Counter()
    handler = logging.Handler()
    handler.emit = lambda record: said.update([record.getMessage()])  # type: ignore[method-assign]
    logging.getLogger("orq_otel").addHandler(handler)
    with ExitStack() as stack:
        serve = [
            SERVE.format(module="support.vendor", server="VendorServer", url="base_url"),
            SERVE.format(module="stand_ins.orq_api", server="OrqServer", url="url"),
        ]
        openai_url, orq_url = (stack.enter_context(child(one))[1] for one in serve)
        with child(COLLECT, "0") as (_, port):
            pass
        counts, stopped = Counts(), threading.Event()
        collector = threading.Thread(target=collect, args=(int(port), stopped))
        collector.start()
        provider = TracerProvider()
        provider.add_span_processor(counts)
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces", timeout=2)
        provider.add_span_processor(
            BatchSpanProcessor(Counting(exporter, counts), max_queue_size=2**17)
        )
        reader = InMemoryMetricReader()
        meters = MeterProvider([reader])
        for one in (OpenAIInstrumentor(), OrqInstrumentor()):
            one.instrument(tracer_provider=provider, meter_provider=meters, capture_content=True)
        traffic = Traffic(openai_url, orq_url, provider.get_tracer("soak"))
        workers = [threading.Thread(target=traffic.in_thread, args=(n,)) for n in range(THREADS)]
        workers.append(threading.Thread(target=traffic.in_loop))
        for worker in workers:
            worker.start()
        end = time.monotonic() + minutes * 60
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(FORK_EVERY, left))
            fork(traffic, counts, provider)
            reader.collect(timeout_millis=60_000)  # the machine may be busy
            print(
                f"{minutes - (end - time.monotonic()) / 60:5.1f} min  {state()}  {dict(counts.of)}",
                flush=True,
            )
        traffic.stopped.set()
        for worker in workers:
            worker.join()
        gc.collect()
        provider.shutdown()
        stopped.set()
        collector.join()
    of = counts.of
    agree = of["started"] == of["ended"] == of["exported"] + of["dropped"]
    print(f"calls {sum(traffic.calls.values())} {dict(traffic.calls)}")
    print(f"spans {dict(of)}, mixed {of['mixed']}, agree: {agree}; our log lines: {dict(said)}")
    print(f"end: {state()}")
    return 0 if agree and not of["mixed"] and not of["failed children"] else 1


if __name__ == "__main__":
    sys.exit(main())
