"""Measure the viewer's store: how fast it writes, and how long answers take meanwhile.

    python benchmarks/viewer_store.py --spans 1000000 --threads 40000

It fills a new SQLite file in batches of 512 spans of ten attributes each, facts and prices
included, then asks what the pages ask, while another thread writes 2,000 spans a second.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store import schema, sqlite_writing
from orq_otel.viewer.store.sqlite import SQLiteStore

from viewer_traffic import WORDS, said

BATCH = 512
SECOND = 10**9
#: Threads that talk at the same time.
BUSY = 200
SPANS_A_TRACE = 5
MONTH = 30 * 24 * 3600 * SECOND
MODEL = (("model", "gpt-4o-2024-08-06"),)


def conversations(threads: int, spans: int, end: int, seed: int = 7) -> Iterator[Span]:
    """Spans of so many threads, about in the order of their ends, over the month before `end`."""
    dice = random.Random(seed)  # noqa: S311 - the same data each time
    traces_each = max(spans // threads // SPANS_A_TRACE, 1)
    step = MONTH // max(spans // SPANS_A_TRACE, 1)
    now = end - MONTH
    waiting = iter(range(threads))
    busy = {f"thread-{n:08d}": traces_each for n in islice(waiting, BUSY)}
    while busy:
        thread = dice.choice(tuple(busy)) if len(busy) < BUSY else _any(busy, dice)
        yield from trace(thread, now, dice)
        now += step
        busy[thread] -= 1
        if not busy[thread]:
            del busy[thread]
            busy.update((f"thread-{n:08d}", traces_each) for n in islice(waiting, 1))


def _any(busy: dict[str, int], dice: random.Random) -> str:
    return next(islice(busy, dice.randrange(len(busy)), None))


def trace(thread: str, start: int, dice: random.Random) -> Iterator[Span]:
    """A turn: a request, in which an agent calls a model, a tool, and the model again."""
    trace_id = f"{dice.getrandbits(128):032x}"
    ids = [f"{dice.getrandbits(64):016x}" for _ in range(SPANS_A_TRACE)]
    number = int(thread[-8:])
    labels = {
        "thread.id": thread,
        "thread.tags": ["support", f"tier-{number % 3}", f"customer-{number % 500}"],
        "orq.thread_id": thread,
        "gen_ai.conversation.id": thread,
    }
    call = {
        **labels,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": dice.choice(("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06")),
        "gen_ai.usage.input_tokens": dice.randrange(50, 4000),
        "gen_ai.usage.output_tokens": dice.randrange(5, 800),
    }
    seed = int(trace_id[:8], 16)
    question = _message("user", f"What about order {number}? {said(seed, 12)}")
    answer = _message("assistant", said(seed + 1, 40))
    who = {"user.id": f"user-{number % 5000}"}
    request = {
        **labels,
        "http.request.method": "POST",
        "http.route": "/chat/{id}",
        "url.path": f"/chat/{number}",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
    }
    tool = {
        **labels,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up_order",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": f"call_{dice.getrandbits(64):016x}",
        "app.order": number,
        "app.cached": False,
    }
    agent = {**labels, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
    status = "ERROR" if dice.random() < 0.02 else "UNSET"  # noqa: PLR2004
    shapes: list[tuple[str, str, int | None, dict[str, Any]]] = [
        ("chat gpt-4o-mini", "CLIENT", 4, {**call, "gen_ai.input.messages": question, **who}),
        ("execute_tool look_up_order", "INTERNAL", 4, tool),
        ("chat gpt-4o-mini", "CLIENT", 4, {**call, "gen_ai.output.messages": answer}),
        ("POST /chat/{id}", "SERVER", None, request),
        ("invoke_agent support", "INTERNAL", 3, agent),
    ]
    for index, (name, kind, parent, attributes) in enumerate(shapes):
        took = int(dice.lognormvariate(0, 0.8) * SECOND)
        yield Span(
            trace_id=trace_id,
            span_id=ids[index],
            parent_id=None if parent is None else ids[parent],
            name=name,
            kind=kind,
            start=start + index * 1_000_000,
            end=start + index * 1_000_000 + took,
            status=status if index == 1 else "UNSET",
            status_message="",
            service="shop",
            scope="orq_otel.openai",
            attributes=attributes,
            resource=RESOURCE,
        )


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


RESOURCE = {
    "service.name": "shop",
    "service.version": "1.2.3",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "host.name": "one",
    "process.pid": 4711,
}


def fill(store: SQLiteStore, spans: Iterator[Span]) -> tuple[int, float, list[float]]:
    """Write all spans. How many, in how many seconds, and how many each batch took."""
    count, times = 0, []
    while batch := list(islice(spans, BATCH)):
        began = time.perf_counter()
        store.write([KeptSpan(span, read(span)) for span in batch])
        times.append(time.perf_counter() - began)
        count += len(batch)
    return count, sum(times), times


class Arriving:
    """Spans of threads old and new that arrive at a steady rate, in another thread."""

    def __init__(self, store: SQLiteStore, threads: int, rate: int) -> None:
        self._store, self._rate, self._threads = store, rate, threads
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0
        self.seconds = 0.0

    def __enter__(self) -> Arriving:
        self._began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._began

    def _run(self) -> None:
        dice = random.Random(8)  # noqa: S311 - as above
        while not self._stop.is_set():
            batch: list[KeptSpan] = []
            while len(batch) < BATCH:
                thread = f"thread-{dice.randrange(self._threads + 1000):08d}"
                batch += [KeptSpan(s, read(s)) for s in trace(thread, time.time_ns(), dice)]
            self._store.write(batch)
            self.written += len(batch)
            due = self._began + self.written / self._rate
            self._stop.wait(max(due - time.perf_counter(), 0))


def questions(store: SQLiteStore, threads: int, end: int) -> dict[str, Callable[[], object]]:
    """What the pages ask."""
    dice = random.Random(9)  # noqa: S311 - as above
    plain = ThreadQuery()
    tagged = replace(plain, tags=("tier-1",))
    rare = replace(plain, tags=("support", "customer-7"))
    found = replace(plain, text="ORDER 1234")
    failed = replace(plain, errors=True)
    day = replace(plain, since=end - 24 * 3600 * SECOND)
    second = replace(plain, cursor=store.threads(plain).next_cursor)

    expensive = replace(failed, tags=("tier-1",), labels=MODEL, least_cost=0.0001)

    def any_thread() -> str:
        return f"thread-{dice.randrange(threads):08d}"

    def words(count: int) -> ThreadQuery:
        """Looks for words that are said as often as any."""
        text = " ".join(said(dice.randrange(2**32), 1) for _ in range(count))
        return replace(plain, text=text)

    def of_a_user() -> ThreadQuery:
        return replace(plain, labels=(("user", f"user-{dice.randrange(5000)}"),))

    return {
        "threads()": lambda: store.threads(plain),
        "threads(), second page": lambda: store.threads(second),
        "threads(sort=cost)": lambda: store.threads(replace(plain, sort="cost")),
        "threads(sort=duration)": lambda: store.threads(replace(plain, sort="duration")),
        "threads(a frequent tag)": lambda: store.threads(tagged),
        "threads(a frequent and a rare tag)": lambda: store.threads(rare),
        "threads(a tag, sort=tokens)": lambda: store.threads(replace(tagged, sort="tokens")),
        "threads(text)": lambda: store.threads(found),
        "threads(text that nobody said)": lambda: store.threads(replace(plain, text="xyzzy")),
        "threads(a word)": lambda: store.threads(words(1)),
        "threads(two words)": lambda: store.threads(words(2)),
        "threads(the most frequent word)": lambda: store.threads(replace(plain, text=WORDS[0])),
        "threads(a user)": lambda: store.threads(of_a_user()),
        "threads(a model)": lambda: store.threads(replace(plain, labels=MODEL)),
        "threads(a tag, a model, errors, a cost)": lambda: store.threads(expensive),
        "threads(errors)": lambda: store.threads(failed),
        "threads(last day)": lambda: store.threads(day),
        "overview()": lambda: store.overview(plain),
        "overview(last day)": lambda: store.overview(day),
        "overview(a frequent tag)": lambda: store.overview(tagged),
        "overview(a tag of all threads)": lambda: store.overview(replace(plain, tags=("support",))),
        "overview(a frequent and a rare tag)": lambda: store.overview(rare),
        "overview(text)": lambda: store.overview(found),
        "overview(half of all threads)": lambda: store.overview(replace(plain, text="order 1")),
        "overview(a word)": lambda: store.overview(words(1)),
        "overview(a user)": lambda: store.overview(of_a_user()),
        "overview(a tag, a model, errors, a cost)": lambda: store.overview(expensive),
        "overview(errors)": lambda: store.overview(failed),
        "thread()": lambda: store.thread(any_thread()),
        "spans()": lambda: store.spans(any_thread()),
        "change()": store.change,
        "labels(a part of a user's name)": lambda: store.labels("user", "r-49"),
    }


def rarely_asked(store: SQLiteStore) -> dict[str, Callable[[], object]]:
    """What the page of numbers asks. It sums up all calls, one by one."""
    rare = ThreadQuery(tags=("customer-7",))
    return {
        "numbers(by model)": lambda: store.numbers(ThreadQuery(), "model"),
        "numbers(by tag)": lambda: store.numbers(ThreadQuery(), "tag"),
        "numbers(two tags)": lambda: store.numbers(ThreadQuery(), "tag", ("tier-1", "tier-2")),
        "numbers(by model, a rare tag)": lambda: store.numbers(rare, "model"),
    }


def measure(ask: Callable[[], object], times: int) -> dict[str, float]:
    """Milliseconds: the median, the 95th percentile and the longest.

    Also the 95th percentile of processor time, which others on the machine do not prolong.
    """
    took, used = [], []
    for _ in range(times):
        began, worked = time.perf_counter(), time.thread_time()
        ask()
        used.append((time.thread_time() - worked) * 1000)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    used.sort()
    return {
        "p50": round(statistics.median(took), 2),
        "p95": round(took[int(len(took) * 0.95)], 2),
        "max": round(took[-1], 2),
        "processor_p95": round(used[int(len(used) * 0.95)], 2),
    }


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=40_000)
    parser.add_argument("--rate", type=int, default=2_000, help="spans a second, meanwhile")
    parser.add_argument("--times", type=int, default=200, help="how often each is asked")
    parser.add_argument("--directory", type=Path, help="where the file is left")
    parser.add_argument(
        "--without-index", action="store_true", help="of messages: what it costs is the rest"
    )
    options = parser.parse_args()
    if options.without_index:
        schema._WORDS = "SELECT 1"
        sqlite_writing.texts_of = lambda *_: {}
    with tempfile.TemporaryDirectory() as temporary:
        path = (options.directory or Path(temporary)) / "bench.db"
        end = time.time_ns()
        is_there = path.exists()
        store = SQLiteStore(path)
        if not is_there:
            spans = conversations(options.threads, options.spans, end)
            worked = time.process_time()
            count, seconds, times = fill(store, spans)
            print(f"{count} spans in {seconds:.1f} s: {count / seconds:.0f} spans/s", flush=True)
            used = time.process_time() - worked
            print(f"{used / count * 1e6:.0f} µs of processor time a span", flush=True)
            quarter = max(len(times) // 4, 1)
            last = BATCH / statistics.mean(times[-quarter:])
            print(f"in the last quarter {last:.0f} spans/s; {path.stat().st_size >> 20} MiB")
            slow = sorted(times)[int(len(times) * 0.99)] * 1000
            print(f"99 of 100 batches took less than {slow:.0f} ms", flush=True)
        with Arriving(store, options.threads, options.rate) as arriving:
            for name, ask in questions(store, options.threads, end).items():
                figures = measure(ask, options.times)
                print(f"{name:40}{figures}", flush=True)
            for name, ask in rarely_asked(store).items():
                print(f"{name:40}{measure(ask, 5)}", flush=True)
        print(f"meanwhile {arriving.written / arriving.seconds:.0f} spans/s arrived")
        store.close()


if __name__ == "__main__":
    main()
