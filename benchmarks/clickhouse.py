#!/usr/bin/env python3
"""Measure the viewer over ClickHouse: what pages cost as data grows, and what sums cost to make.

    python3 benchmarks/clickhouse.py                        a million spans of 30 days, in a minute
    python3 benchmarks/clickhouse.py --sets 1:30 10:30      ten times as many spans on each day
    python3 benchmarks/clickhouse.py --sets 1:3 10:30       ten times as many days
    python3 benchmarks/clickhouse.py --sets 1:3 1:30 10:30 50:30 --markdown benchmarks/README.md

Sets are millions of spans and days. Of those with the same days, and of those with as many spans a
day, a table says how costs grow, which `--markdown` writes between its markers. It runs in the
viewer's environment (`.venvs/viewer`). The engine is `chdb` behind HTTP, as in the tests. Spans are
made in the engine: 25 in each thread, 5 in each trace, over the days before now. The viewer sums up
some thousand of them, which says how long that takes. SQL makes the same rows of all, which are
compared where the viewer has made them. Of the spans themselves, those of the last two days are
made: no page reads others.
"""
# ruff: noqa: S608 - numbers alone are put into the SQL

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT / "tests"), str(CHECKOUT / "src")]

from orq_otel.viewer.model.queries import ThreadQuery  # noqa: E402
from orq_otel.viewer.store import visits  # noqa: E402
from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: E402
from orq_otel.viewer.store.clickhouse_activity import Tables  # noqa: E402
from orq_otel.viewer.store.clickhouse_address import Address  # noqa: E402
from orq_otel.viewer.store.clickhouse_days import Days  # noqa: E402
from orq_otel.viewer.store.clickhouse_server import Server  # noqa: E402
from orq_otel.viewer.store.clickhouse_tables import Table  # noqa: E402
from support.clickhouse_server import ClickHouseServer  # noqa: E402 - found by the path
from viewer.clickhouse_tables import LOGS, TABLE, TIMES  # noqa: E402

from report import add_markdown, write_between_markers  # noqa: E402 - a neighbour

SECTION = "clickhouse"
DAY = 86_400
#: Traces of a thread, one a minute, and spans of a trace, one a second.
TURNS, STEPS = 5, 5
EACH = TURNS * STEPS
#: How many spans the viewer itself sums up, and how many one statement makes.
SUMMED_UP, AT_ONCE = 25_000, 500_000
#: What a conversation has beside its question: instructions, and tools.
REST = json.dumps([{"type": "text", "content": "You help customers of a shop. " * 30}])
COST = 228_000_000

#: The name of a thread, which says nothing of when it was: those of a day lie anywhere in a table.
_NAME = "lower(concat('thread-', hex(cityHash64(thread))))"
#: `number` is a span's. Each thread has a minute in which it begins.
_OF_SPAN = f"""
    intDiv(number, {EACH}) AS thread,
    intDiv(number % {EACH}, {STEPS}) AS turn,
    number % {STEPS} AS step,
    {{begin}} + intDiv(thread * {{width}}, 60) * 60 + turn * 60 + step AS second,
    lower(concat(leftPad(hex(thread), 24, '0'), leftPad(hex(turn), 8, '0'))) AS trace,
    lower(leftPad(hex(number + 1), 16, '0')) AS span,
    concat('Where is parcel ', toString(number), ' of customer ', toString(thread),
        ' please look into the depot of Rotterdam once more') AS question,
    2000000 + number % 900 * 1000000 AS took,
    number % 997 = 0 AS is_error
"""
SPANS = f"""
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
    ScopeName, SpanAttributes, Duration, StatusCode)
WITH {_OF_SPAN}
SELECT fromUnixTimestamp64Nano(toInt64(second) * 1000000000), trace, span, '',
    if(step = 0, 'chat gpt-4o-mini', 'GET /parcels'), 'Client',
    concat('service-', toString(thread % 5)), 'benchmark',
    mapFromArrays(arrayConcat(['thread.id'], if(step = 0, ['thread.tags',
        'gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.response.model',
        'gen_ai.usage.input_tokens', 'gen_ai.usage.output_tokens', 'gen_ai.system_instructions',
        'gen_ai.input.messages'], ['http.request.method', 'url.path'])),
        arrayConcat([{_NAME}], if(step = 0, [
        concat('["tag-', toString(thread % 40), '","half-', toString(thread % 2), '"]'),
        'chat', 'openai', 'gpt-4o-mini', '1200', '80', {{rest}},
        concat('[{{{{"role":"user","parts":[{{{{"type":"text","content":"', question,
            '"}}}}]}}}}]')], ['GET', '/parcels']))),
    took, if(is_error, 'Error', 'Unset')
FROM numbers({{from}}, {{count}})
"""
#: The same as rows of the viewer's, `number` is that of a trace's first span.
_OF_TRACE = _OF_SPAN.replace("number", f"(trace_number * {STEPS})")
_HOUR = "intDiv(second, 3600) * 3600"
_ERRORS = f"arrayMap(s -> toInt64((trace_number * {STEPS} + s) % 997 = 0), range({STEPS}))"
ACTIVITY = f"""
INSERT INTO otel_traces_orq_activity (thread_id, hour, trace_id, service, started, last_active,
    spans, errors, input_tokens, output_tokens, cost, priced, unpriced, title, title_start,
    title_span, tags, models, facets, scopes, seconds, of_seconds, call_seconds, call_latencies,
    call_kinds, call_models, call_sums, of_trace, version, is_deleted)
WITH {_OF_TRACE}, toInt64(second) * 1000000000 AS start, {_ERRORS} AS errors,
    arrayMap(s -> toUInt16(second - {_HOUR} + s), range({STEPS})) AS seconds
SELECT {_NAME}, toDateTime({_HOUR}, 'UTC'), trace,
    concat('service-', toString(thread % 5)), start,
    arrayMax(arrayMap(s -> start + s * 1000000000 + 2000000
        + (trace_number * {STEPS} + s) % 900 * 1000000, range({STEPS}))),
    {STEPS}, arraySum(errors), 1200, 80, {COST}, 1, 0, question, start, span,
    [(concat('tag-', toString(thread % 40)), start, 0),
        (concat('half-', toString(thread % 2)), start, 1)],
    [('gpt-4o-mini', start)],
    [('model', 'gpt-4o-mini'), ('service', concat('service-', toString(thread % 5)))],
    ['benchmark'], seconds,
    arrayMap((e, s) -> (1, e, if(s = 0, 1200, 0), if(s = 0, 80, 0), if(s = 0, {COST}, 0)), errors,
        range({STEPS})),
    [seconds[1]], [took], [toUInt8(5 + 2 * is_error)], ['gpt-4o-mini'], [(1200, 80, {COST})],
    {STEPS}, 1, 0
FROM (SELECT number AS trace_number FROM numbers({{from}}, {{count}}))
"""
MESSAGES = f"""
INSERT INTO otel_traces_orq_messages (thread_id, hour, digest, trace_id, span_id, service, start,
    place, text, words, version, is_deleted)
WITH {_OF_TRACE}
SELECT {_NAME}, toDateTime({_HOUR}, 'UTC'),
    reinterpretAsInt64(cityHash64(question)), trace, span,
    concat('service-', toString(thread % 5)), toInt64(second) * 1000000000, 0,
    question, concat(' ', lower(question), ' '), 1, 0
FROM (SELECT number AS trace_number FROM numbers({{from}}, {{count}}))
"""
#: One in 25 threads is evaluated.
FEEDBACK = f"""
INSERT INTO otel_traces_orq_feedback (thread_id, hour, record, trace_id, service, verdict, version,
    is_deleted)
WITH {_OF_TRACE}
SELECT {_NAME}, toDateTime({_HOUR}, 'UTC'), toString(trace_number),
    trace, '', if(thread % 50 = 0, 1, -1), 1, 0
FROM (SELECT number AS trace_number FROM numbers({{from}}, {{count}}))
WHERE thread % 25 = 0 AND turn = 0
"""


class Filling:
    """Makes spans, of some number and days.

    Args:
        server: Where.
        spans: How many.
        days: How many days before now.
    """

    def __init__(self, server: ClickHouseServer, spans: int, days: float) -> None:
        self._server = server
        self._spans = spans
        self._values = {
            "begin": int(time.time() - days * DAY) // 3600 * 3600,
            "width": f"{days * DAY / (spans / EACH):.9f}",
            "rest": "'" + REST + "'",
        }

    def fill(self, statement: str, of_each: int, begin: int = 0, spans: int = 0) -> float:
        """Runs a statement over all spans, in pieces that fit into memory. Returns seconds."""
        began = time.perf_counter()
        spans = spans or self._spans
        for start in range(begin, begin + spans, AT_ONCE):
            count = min(AT_ONCE, begin + spans - start)
            values = {**self._values, "from": start // of_each, "count": count // of_each}
            self._server.command(statement.format(**values))
        return time.perf_counter() - began


def questions(store: ClickHouseStore, thread: str, spans: int) -> dict[str, Callable[[], object]]:
    """Returns what the pages ask, also of one of the latest of all threads."""
    day = int((time.time() - DAY) * 1e9)
    word = f"customer {spans // EACH - 7}"

    def overview(**query: Any) -> Callable[[], object]:
        asked = ThreadQuery(is_brief=True, **query)
        return lambda: (store.overview(asked), store.threads(asked))

    def listed(**query: Any) -> Callable[[], object]:
        return lambda: store.threads(ThreadQuery(is_brief=True, **query))

    return {
        "overview, last day": overview(since=day),
        "the same, with errors": overview(since=day, errors=True),
        "the same, a tag of one in 40": overview(since=day, tags=("tag-7",)),
        "the same, a tag of every second": overview(since=day, tags=("half-1",)),
        "the same, a text of one thread": overview(since=day, text=word),
        "the same, a text of all": overview(since=day, text="rotterdam"),
        "the same, bad feedback": overview(since=day, feedback="bad"),
        "the same, by cost": overview(since=day, sort="cost"),
        "list of 50, last day": listed(since=day),
        "numbers by model, last day": lambda: store.numbers(ThreadQuery(since=day), "model"),
        "numbers by tag, last day": lambda: store.numbers(ThreadQuery(since=day), "tag"),
        "thread": lambda: (store.thread(thread), store.spans(thread)),
        "list of 50, any time": listed(),
        "overview, any time": overview(),
        "a text of one thread, any time": overview(text=word),
    }


class Cost(NamedTuple):
    """What an answer costs: of the engine's processor time, in ms, the median; rows; queries."""

    processor: float
    rows: int
    queries: int


def measure(server: ClickHouseServer, ask: Callable[[], object], times: int) -> Cost:
    """Returns what a question costs that was asked before."""
    costs = []
    for _ in range(times + 1):
        before = server.logged()
        token = visits.current.set(visits.Visit())  # a page is one
        ask()
        visits.current.reset(token)
        log = server.log(before)
        rows, processor = (sum(one.get(key, 0) for one in log) for key in ("rows", "processor"))
        costs.append(Cost(processor * 1000, rows, len(log)))
    return sorted(costs[1:])[times // 2]


@contextmanager
def started() -> Iterator[ClickHouseServer]:
    """A server with the Collector's tables."""
    with tempfile.TemporaryDirectory() as folder, ClickHouseServer(Path(folder)) as server:
        for table in (TABLE, *TIMES, LOGS):
            server.command(table)
        yield server


def sum_up() -> None:
    """The viewer sums up some spans, and SQL makes the same of them."""
    with started() as server:
        filling = Filling(server, SUMMED_UP, 1)
        filling.fill(SPANS, 1)
        store = ClickHouseStore.connect(server.url())
        began, used = time.perf_counter(), time.process_time()
        engine = processor(server, store.create_rollup)
        taken, used = time.perf_counter() - began, time.process_time() - used
        print(
            f"{SUMMED_UP:,} spans summed up in {taken:.1f} s: {used:.1f} s of the viewer's"
            f" processor, {engine:.1f} s of the engine's",
            flush=True,
        )
        tables = {"activity": "version", "messages": "version, digest"}
        made = {name: rows(server, name, but) for name, but in tables.items()}
        for name in tables:
            server.command(f"TRUNCATE TABLE otel_traces_orq_{name}")
        filling.fill(ACTIVITY, STEPS)
        filling.fill(MESSAGES, STEPS)
        for name, but in tables.items():
            assert made[name] == rows(server, name, but), name
        follow(server, store, filling)
        store.close()


def rows(server: ClickHouseServer, name: str, but: str) -> list[Any]:
    """Returns the rows of one of the viewer's tables."""
    return server.rows(
        f"SELECT * EXCEPT ({but}) FROM otel_traces_orq_{name} FINAL ORDER BY thread_id, trace_id"
    )


def processor(server: ClickHouseServer, do: Callable[[], object]) -> float:
    """Returns the engine's processor time for something, in seconds."""
    before = server.logged()
    do()
    return float(sum(one.get("processor", 0) for one in server.log(before)))


def follow(server: ClickHouseServer, store: ClickHouseStore, filling: Filling) -> None:
    """What arrives is summed up, and inserted without the views."""
    filling.fill(SPANS, 1, SUMMED_UP, SUMMED_UP)  # the first time of anything takes longer
    store.follow()
    with_views = processor(server, lambda: filling.fill(SPANS, 1, 2 * SUMMED_UP, SUMMED_UP))
    used = time.process_time()
    engine = processor(server, store.follow)
    used = time.process_time() - used
    print(
        f"as many that arrived: {used:.1f} s of the viewer's processor, {engine:.1f} s of the"
        " engine's",
        flush=True,
    )
    store.drop_rollup()
    alone = processor(server, lambda: filling.fill(SPANS, 1, 3 * SUMMED_UP, SUMMED_UP))
    print(f"inserting takes {with_views / alone:.2f} times the processor time with views")


class Set(NamedTuple):
    """Some millions of spans, and the days that they are of."""

    millions: float
    days: float

    @classmethod
    def parse(cls, text: str) -> Set:
        """Reads `MILLIONS:DAYS`."""
        millions, _, days = text.partition(":")
        return cls(float(millions), float(days or 30))

    @property
    def spans(self) -> int:
        """How many spans there are."""
        return int(self.millions * 1_000_000)

    def __str__(self) -> str:
        return f"{self.millions:g}M of {self.days:g} days"


def pages(one: Set, times: int) -> dict[str, Cost]:
    """Prints and returns what pages cost over a set."""
    spans, days = one.spans, one.days
    with started() as server:
        filling = Filling(server, spans, days)
        store = ClickHouseStore.connect(server.url())
        store.create_rollup()
        server.command("DROP TABLE otel_traces_orq_arriving")  # all is summed up already
        latest = min(int(spans * 2 / days) // EACH * EACH, spans)
        filling.fill(SPANS, 1, spans - latest, latest)
        for statement in (ACTIVITY, MESSAGES, FEEDBACK):
            filling.fill(statement, STEPS)
        address = Server.open(Address.parse(server.url()))
        tables = Tables(address, Table.of_spans(address), Table.of_logs(address))
        tables.make()
        latest_day = int(time.time()) // DAY
        for day in range(latest_day - int(days) - 1, latest_day + 1):
            Days(address, tables).sum_up(day)
        address.close()
        server.command("SYSTEM STOP MERGES")  # they take the processor's time, too
        sizes = server.rows(
            "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active GROUP BY table"
        )
        ours = sum(int(size) for name, size in sizes if "_orq_" in name)
        print(f"\n{one}: {ours / spans:.0f} bytes a span in the tables of sums", flush=True)
        ((thread,),) = server.rows(f"SELECT {_NAME} FROM (SELECT {spans // EACH - 5} AS thread)")
        costs = {}
        for name, ask in questions(store, thread, spans).items():
            costs[name] = measure(server, ask, times)
            print(f"{name}: {costs[name]}", flush=True)
        store.close()
    return costs


def growth(costs: dict[Set, dict[str, Cost]]) -> str:
    """Returns a table of what answers cost over sets, each compared with the one before."""
    sets = list(costs)
    head = ["", *(f"ms, {one}" for one in sets), "growth", *(f"rows, {one}" for one in sets)]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for name in costs[sets[0]]:
        row = [costs[one][name] for one in sets]
        times = [
            f"{after.processor / before.processor:.1f}" for before, after in itertools.pairwise(row)
        ]
        lines.append(
            [
                *(name, *(f"{cost.processor:.0f}" for cost in row), ", ".join(times)),
                *(f"{cost.rows:,}" for cost in row),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description="Measure the viewer over ClickHouse.")
    parser.add_argument("--sets", type=Set.parse, nargs="*", default=[Set(1, 30)])
    parser.add_argument("--times", type=int, default=5)
    add_markdown(parser, SECTION)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="add the figures to those of earlier sets"
    )
    options = parser.parse_args()
    sum_up()
    costs: dict[Set, dict[str, Cost]] = {}
    if options.json and options.json.exists():
        for key, found in json.loads(options.json.read_text()).items():
            costs[Set.parse(key)] = {name: Cost(*cost) for name, cost in found.items()}
    for one in options.sets:
        costs[one] = pages(one, options.times)
        if options.json:
            kept = {f"{one.millions:g}:{one.days:g}": found for one, found in costs.items()}
            options.json.write_text(json.dumps(kept, indent=1) + "\n")
    alike: dict[str, list[Set]] = {}
    for one in sorted(costs):
        alike.setdefault(f"More spans on each of {one.days:g} days", []).append(one)
        a_day = f"More days with {one.spans / one.days:,.0f} spans on each"
        alike.setdefault(a_day, []).append(one)
    text = "\n\n".join(
        f"{title}:\n\n{growth({one: costs[one] for one in sets})}"
        for title, sets in alike.items()
        if len(sets) > 1
    )
    print(f"\n{text}")
    if options.markdown:
        write_between_markers(options.markdown, f"{text}\n", SECTION)


if __name__ == "__main__":
    main()
