"""Some thousand spans of all senders, late, repeated, with odd clocks: as in SQLite's.

All of it happens in the past, and each thread on one day: of times to come, and of what a thread
did outside of the days that are asked for, the stores say different things on purpose.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.clickhouse_server import ClickHouseServer

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import FEEDBACK, KINDS, SORTS, Kind, ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord, Span
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.receive.otlp import from_json
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND
from orq_otel.viewer.store.clickhouse import ClickHouseStore
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conftest import fresh_database
from .sample_spans import call, messages, span
from .test_dialects import SENDERS, SENT

#: Some midnight.
MIDNIGHT = 1_795_219_200 * SECOND
DAYS = 3


def of_senders(day: int) -> Iterator[Span | LogRecord]:
    """What all senders send, with threads and traces of its own, on a day."""
    for sender in SENDERS:
        thread_id = json.loads((SENT / sender / "expected.json").read_text())["thread_id"]
        for file in ("traces.json", "logs.json"):
            path = SENT / sender / file
            if not path.exists():
                continue
            text = path.read_text().replace(thread_id, f"day-{day}-{thread_id}")
            received = from_json(text.encode())
            for one in received.spans:
                trace_id = f"{day}{one.trace_id[1:]}"
                start = MIDNIGHT + day * DAY + HOUR + one.start % (20 * HOUR)
                yield replace(one, trace_id=trace_id, start=start, end=start + one.end - one.start)
            for record in received.logs:
                trace = record.trace_id and f"{day}{record.trace_id[1:]}"
                time = MIDNIGHT + day * DAY + record.time % (20 * HOUR)
                yield replace(record, trace_id=trace, time=time)


def of_threads(chance: random.Random) -> Iterator[Span]:
    """Threads of our own, with tools, retries, errors, repeated usage and clocks that go wrong."""
    for number in range(200):
        start = MIDNIGHT + number % DAYS * DAY + chance.randrange(20 * HOUR)
        thread = f"thread-{number}"
        tags = tuple(f"tag-{chance.randrange(8)}" for _ in range(chance.randrange(3)))
        for turn in range(chance.randrange(1, 5)):
            begin = start + turn * 60 * SECOND
            root = span(
                thread if chance.random() < 0.5 else None, start=begin, tags=tags, seconds=9
            )
            yield root
            for step in range(chance.randrange(1, 4)):
                other = f"{thread}-too" if number % 9 == 0 else None  # of one trace, both
                one = call(
                    thread if chance.random() < 0.8 else other,
                    trace=root.trace_id,
                    start=begin + step * SECOND - chance.choice((0, 0, 3 * SECOND)),
                    seconds=chance.choice((0.2, 1.5, -0.1)),
                    status=chance.choice(("UNSET", "UNSET", "ERROR")),
                    model=chance.choice(("gpt-4o-mini", "gpt-4.1", "nobody-knows-this")),
                    tokens=chance.choice(((1000, 100), (250_000, 10), None)),
                    tags=tags,
                    gen_ai__input__messages=messages(f"Question {number}.{turn}"),
                    gen_ai__output__messages=said(
                        f"It left {chance.choice(PLACES)}, node-{number}"
                    ),
                    enduser__id=chance.choice(("ada", "bob", "")),
                    gen_ai__response__id=f"response-{number}-{turn}-{step}",
                )
                yield replace(one, parent_id=root.span_id)
                if number % 5 == 0:
                    yield call(None, trace=root.trace_id, start=begin, seconds=0.5)
                if chance.random() < 0.2:  # another instrumentation tells of the same call
                    twin = replace(one, span_id=f"{chance.getrandbits(64):016x}", scope="other")
                    yield replace(twin, parent_id=one.span_id)


def of_evaluators(spans: list[Span], chance: random.Random) -> Iterator[LogRecord]:
    """Evaluations that name a thread, a span, its trace, a response, or all of them at once."""
    for one in chance.sample([one for one in spans if one.scope == "tests"], 120):
        way = chance.choice(("thread", "span", "trace", "response", "nobody's", "all"))
        thread = one.attributes.get("thread.id")
        names = {
            "thread.id": thread if way in {"thread", "all"} else "nobody's",
            "gen_ai.response.id": one.attributes.get("gen_ai.response.id"),
        }
        score = chance.choice((1.0, 0.25, 0.5, 7.0, None))
        label = chance.choice(("thumbs_up", "Thumbs down", "so-so", None))
        yield LogRecord(
            trace_id=None if way in {"thread", "response"} else one.trace_id,
            span_id=one.span_id if way in {"span", "all"} else None,
            name=EVALUATION,
            time=one.end + chance.randrange(HOUR),
            severity="INFO",
            body=None,
            service="shop",
            scope="orq_otel",
            attributes={
                "gen_ai.evaluation.name": "user_feedback",
                **{
                    name: value
                    for name, value in names.items()
                    if value and (name == "thread.id") == (way in {"thread", "nobody's", "all"})
                },
                **({} if score is None else {"gen_ai.evaluation.score.value": score}),
                **({} if label is None else {"gen_ai.evaluation.score.label": label}),
            },
        )


def said(text: str) -> str:
    return json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}])


PLACES = ("Rotterdam", "Malmö at noon", "東京都", "the harbour_of-Gent")


class Stores(NamedTuple):
    clickhouse: ClickHouseStore
    sqlite: SQLiteStore


@pytest.fixture(scope="module")
def arrived() -> list[tuple[list[KeptSpan], list[LogRecord]]]:
    """Batches, in any order, some of it twice."""
    chance = random.Random(4711)
    everything: list[Span | LogRecord] = [one for day in range(DAYS) for one in of_senders(day)]
    everything += of_threads(chance)
    everything += of_evaluators([one for one in everything if isinstance(one, Span)], chance)
    everything += chance.sample(everything, len(everything) // 20)
    chance.shuffle(everything)
    batches = []
    while everything:
        some, everything = everything[:600], everything[600:]
        batches.append(
            (
                [KeptSpan(one, read(one)) for one in some if isinstance(one, Span)],
                [one for one in some if isinstance(one, LogRecord)],
            )
        )
    return batches


@pytest.fixture(scope="module", params=[pytest.param("spans", marks=pytest.mark.slow), "sums"])
def stores(
    request: pytest.FixtureRequest,
    clickhouse: ClickHouseServer,
    arrived: list[tuple[list[KeptSpan], list[LogRecord]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stores]:
    sqlite = SQLiteStore(Path(tmp_path_factory.mktemp("sqlite")) / "spans.db")
    with fresh_database(clickhouse) as database, database.store() as store:
        for number, batch in enumerate(arrived):
            if request.param == "sums" and number == len(arrived) // 2:
                store.create_rollup()
            database.insert(*batch)
            store.follow()
        # Decided on at once, whatever it does with what comes bit by bit.
        sqlite.write(
            [one for spans, _ in arrived for one in spans],
            [one for _, logs in arrived for one in logs],
        )
        yield Stores(store, sqlite)
    sqlite.close()


def test_there_are_some_thousand(stores: Stores) -> None:
    assert stores.sqlite.overview(ThreadQuery()).spans > 2000


QUERIES: list[dict[str, Any]] = [
    *({"sort": sort, "ascending": ascending} for sort in SORTS for ascending in (False, True)),
    {"errors": True},
    {"tags": ("tag-1",)},
    {"tags": ("tag-1", "tag-2")},
    {"tags": ("tag-1", "tag-2"), "match": "any"},
    {"text": "question 7"},
    {"text": "DAY-1"},
    *(
        {"text": text}
        for text in ("rotter", "malmo NOON", '"left rotterdam"', "京", "of gent", "node-7", "?!")
    ),
    {"text": "rotterdam", "since": MIDNIGHT + DAY, "tags": ("tag-1",)},
    *({"feedback": feedback} for feedback in FEEDBACK),
    {"feedback": "bad", "since": MIDNIGHT + 2 * DAY},
    {"since": MIDNIGHT + DAY},
    {"since": MIDNIGHT + DAY, "until": MIDNIGHT + 2 * DAY},
    {"until": MIDNIGHT + DAY, "errors": True, "sort": "cost"},
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_threads_and_sums(stores: Stores, asked: dict[str, Any]) -> None:
    query = ThreadQuery(**asked, limit=100)
    clickhouse, sqlite = stores
    of_sums, of_file = clickhouse.overview(query), sqlite.overview(query)
    # SQLite's store has the tags of all threads, and ClickHouse those of the time in question.
    assert replace(of_sums, tags=()) == replace(of_file, tags=())
    assert pages(clickhouse, query) == pages(sqlite, query)


def pages(store: Store, query: ThreadQuery) -> list[tuple[tuple[Thread, ...], list[str]]]:
    """All pages, each with the threads that have an excerpt of a message."""
    found = store.threads(query)
    page = found.threads, sorted(found.hits)
    if found.next_cursor is None:
        return [page]
    return [page, *pages(store, replace(query, cursor=found.next_cursor))]


@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"since": MIDNIGHT + DAY, "until": MIDNIGHT + DAY + 15 * HOUR},
        {"text": "rotterdam"},
        {"feedback": "good"},
        {"errors": True, "labels": (("user", "ada"),)},
    ],
    ids=str,
)
def test_numbers(stores: Stores, asked: dict[str, Any], by: Kind) -> None:
    query = ThreadQuery(**asked)
    of_sums, of_file = (one.numbers(query, by, limit=1000) for one in stores)
    assert of_sums == of_file
    assert of_file.groups or by in {"agent", "tool"}


def test_numbers_of_some(stores: Stores) -> None:
    of_sums, of_file = (
        one.numbers(ThreadQuery(), "tag", ["tag-1", "unheard-of", "tag-2"]) for one in stores
    )
    assert of_sums == of_file
    assert [group.name for group in of_file.groups][-1] == "unheard-of"


def test_traces_without_a_thread(stores: Stores) -> None:
    of_sums, of_file = (one.strays(100) for one in stores)
    assert of_sums == of_file
    assert 10 < len(of_file) < 100
    traces = [stores.sqlite.trace(one.trace_id) for one in of_file]
    assert not any(kept.facts.thread_id for spans in traces for kept in spans)
