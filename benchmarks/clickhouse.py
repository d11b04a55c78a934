#!/usr/bin/env python3
"""Measure the viewer over ClickHouse: what pages cost as data grows, and what sums cost to make.

    python3 benchmarks/clickhouse.py                         1,000,000 spans, in ten minutes
    python3 benchmarks/clickhouse.py --spans 100000          the same in short
    python3 benchmarks/clickhouse.py --spans 10000000        takes some gigabytes, and two hours

It runs in the viewer's environment (`.venvs/viewer`). The engine is `chdb` behind HTTP, as in the
tests. It makes the spans itself: 25 in each thread, 5 in each trace, over the month before now.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / "tests"), str(CHECKOUT / "src")]

from orq_otel.viewer.model import ThreadQuery  # noqa: E402
from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: E402
from support.clickhouse_server import ClickHouseServer  # noqa: E402 - found by the path
from viewer.clickhouse_tables import LOGS, TABLE, TIMES  # noqa: E402

MONTH = 30 * 86_400
#: Spans of a thread, and of a trace.
EACH, OF_TRACE = 25, 5
SAYS = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "My parcel is late. "}]}])
#: `number` is the span's number. Threads follow each other, 200 at a time.
SPANS = f"""
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
    ScopeName, SpanAttributes, Duration, StatusCode)
WITH intDiv(number, {EACH * 200}) * 200 + number % 200 AS thread,
    intDiv(number % {EACH * 200}, 200) AS place,
    lower(concat(leftPad(hex(thread), 24, '0'), leftPad(hex(intDiv(place, {OF_TRACE})), 8, '0')))
        AS trace,
    (place % {OF_TRACE}) = 0 AS is_call
SELECT fromUnixTimestamp64Nano(toInt64({{begin}} * 1e9 + number * {{step}})), trace,
    leftPad(lower(hex(number + 1)), 16, '0'), '',
    if(is_call, 'chat gpt-4o-mini', 'GET /parcels'), 'Client',
    concat('service-', toString(thread % 5)), 'benchmark',
    if(is_call, map('orq.thread_id', concat('thread-', toString(thread)),
        'thread.tags',
        concat('["tag-', toString(thread % 40), '","half-', toString(thread % 2), '"]'),
        'gen_ai.operation.name', 'chat', 'gen_ai.provider.name', 'openai',
        'gen_ai.response.model', 'gpt-4o-mini', 'gen_ai.usage.input_tokens', '1200',
        'gen_ai.usage.output_tokens', '80', 'gen_ai.input.messages', {{says}}),
        map('orq.thread_id', concat('thread-', toString(thread)),
        'http.request.method', 'GET', 'url.path', '/parcels')),
    2000000 + number % 900 * 1000000, if(number % 997 = 0, 'Error', 'Unset')
FROM numbers({{from_}}, {{count}})
"""  # noqa: S608 - numbers alone are put in


def fill(server: ClickHouseServer, spans: int) -> float:
    """Makes the spans, in steps that fit into memory. Returns how long it took in seconds."""
    began = time.perf_counter()
    now = int(time.time())
    step = MONTH * 10**9 // spans
    says = "'" + SAYS.replace("My parcel", "My parcel " + "is late and " * 20) + "'"
    for start in range(0, spans, 500_000):
        count = min(500_000, spans - start)
        sql = SPANS.replace("{begin}", str(now - MONTH)).replace("{step}", str(step))
        sql = sql.replace("{says}", says).replace("{from_}", str(start))
        server.command(sql.replace("{count}", str(count)))
    return time.perf_counter() - began


def questions(store: ClickHouseStore, spans: int) -> dict[str, Callable[[], object]]:
    """Returns what the pages ask."""
    day = int((time.time() - 86_400) * 1e9)
    thread = f"thread-{spans // EACH - 5}"

    def overview(**query: Any) -> Callable[[], object]:
        asked = ThreadQuery(is_brief=True, **query)
        return lambda: (store.overview(asked), store.threads(asked))

    return {
        "overview, last day": overview(since=day),
        "the same, with errors": overview(since=day, errors=True),
        "the same, a tag of one in 40": overview(since=day, tags=("tag-7",)),
        "the same, a tag of every second": overview(since=day, tags=("half-1",)),
        "the same, a text": overview(since=day, text="parcel"),
        "the same, by cost": overview(since=day, sort="cost"),
        "overview, any time": overview(),
        "list, any time": lambda: store.threads(ThreadQuery(is_brief=True)),
        "thread": lambda: (store.thread(thread), store.spans(thread)),
    }


def measure(server: ClickHouseServer, ask: Callable[[], object], times: int) -> tuple[float, int]:
    """Returns the median time in seconds, and the rows that were read."""
    ask()
    taken = []
    before = len(server.log())
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    rows = sum(one.get("rows", 0) for one in server.log()[before:]) // times
    return statistics.median(taken), rows


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure the viewer over ClickHouse.")
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        ClickHouseServer(Path(folder)) as server,
    ):
        for table in (TABLE, *TIMES, LOGS):
            server.command(table)
        print(f"{options.spans:,} spans made in {fill(server, options.spans):.1f} s", flush=True)
        store = ClickHouseStore.connect(server.url())
        began = time.perf_counter()
        store.create_rollup()
        print(f"summed up in {time.perf_counter() - began:.1f} s", flush=True)
        print("| | ms | rows read |\n|---|--:|--:|")
        for name, ask in questions(store, options.spans).items():
            seconds, rows = measure(server, ask, options.times)
            print(f"| {name} | {seconds * 1000:.0f} | {rows:,} |", flush=True)
        began = time.perf_counter()
        fill(server, 50_000)
        with_view = time.perf_counter() - began
        store.drop_rollup()
        began = time.perf_counter()
        fill(server, 50_000)
        alone = time.perf_counter() - began
        print(f"inserting costs {with_view / alone:.2f} times as much with the views")
        store.close()


if __name__ == "__main__":
    main()
