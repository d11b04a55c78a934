"""Whatever arrives, in whatever order: both stores tell what a plain recount does."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clickhouse_server import ClickHouseServer

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.dialects.genai import DETAILS
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord, Span
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store import sqlite_groups
from orq_otel.viewer.store.clickhouse import ClickHouseStore
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conftest import fresh_database
from .sample_spans import MINUTE, NOON, SECOND, call, span
from .sqlite_checks import rollup_errors

_THREADS = st.sampled_from([None, "a", "b", "Ünïcode"])


@st.composite
def _spans(draw: st.DrawFn) -> Span:
    options: dict[str, Any] = {
        "start": NOON + draw(st.integers(0, 5)) * MINUTE,
        "seconds": draw(st.sampled_from([0, 0.5, 90])),
        "trace": f"{draw(st.integers(1, 4)):032x}",
        "span_id": f"{draw(st.integers(1, 12)):016x}",
        "tags": tuple(draw(st.lists(st.sampled_from("xyz"), max_size=2))),
        "status": draw(st.sampled_from(["UNSET", "OK", "ERROR"])),
    }
    if draw(st.booleans()):
        return span(draw(_THREADS), **options)
    return call(
        draw(_THREADS),
        model=draw(st.sampled_from(["gpt-4o", "gpt-4o-mini", "unheard-of"])),
        tokens=draw(st.sampled_from([None, (10, 1), (0, 7)])),
        cost=draw(st.sampled_from([None, 0, 0.25])),
        says=draw(st.sampled_from([None, "Hello", "What now?"])),
        **options,
    )


_BATCHES = st.lists(st.lists(_spans(), min_size=1, max_size=8), min_size=1, max_size=5)


def recount(batches: list[list[Span]]) -> dict[str, Thread]:
    """Threads, counted as simply as can be."""
    kept: dict[tuple[str, str], KeptSpan] = {}
    for one in itertools.chain(*batches):
        kept.setdefault((one.trace_id, one.span_id), KeptSpan(one, read(one)))
    threads: dict[str, list[KeptSpan]] = {}
    for found in sorted(kept.values(), key=lambda kept: (kept.span.start, kept.span.span_id)):
        if found.facts.thread_id is not None:
            threads.setdefault(found.facts.thread_id, []).append(found)
    return {name: thread(name, spans) for name, spans in threads.items()}


def thread(name: str, spans: list[KeptSpan]) -> Thread:
    facts = [kept.facts for kept in spans]
    costs = [one.cost for one in facts if one.cost is not None]
    titled = [
        (kept.span.start, kept.span.span_id, kept.facts.title)
        for kept in spans
        if kept.facts.title is not None
    ]
    tags = sorted(
        (kept.span.start, place, tag) for kept in spans for place, tag in enumerate(kept.facts.tags)
    )
    models = sorted((kept.span.start, kept.facts.model) for kept in spans if kept.facts.model)
    return Thread(
        id=name,
        title=min(titled)[2] if titled else None,
        tags=tuple(dict.fromkeys(tag for _, _, tag in tags)),
        started=min(kept.span.start for kept in spans),
        last_active=max(kept.span.end for kept in spans),
        traces=len({kept.span.trace_id for kept in spans}),
        spans=len(spans),
        errors=sum(one.is_error for one in facts),
        models=tuple(dict.fromkeys(model for _, model in models)),
        input_tokens=sum(one.input_tokens or 0 for one in facts),
        output_tokens=sum(one.output_tokens or 0 for one in facts),
        cost=pytest.approx(sum(costs)) if costs else None,
        unpriced=sum(one.is_model_call and one.cost is None for one in facts),
    )


@given(_BATCHES, st.sampled_from([1, 2, 1000]))
@settings(max_examples=100, deadline=None)
def test_sqlite_tells_what_a_recount_does(batches: list[list[Span]], many: int) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_groups, "MANY", many)  # threads with a label whose sums are kept
        store = SQLiteStore(Path(directory) / "spans.db")
        for batch in batches:
            store.write([KeptSpan(one, read(one)) for one in batch])
        assert rollup_errors(store) == []
        check(store, recount(batches))
        # What is left after some are deleted adds up as well.
        store.delete_oldest(NOON + 2 * MINUTE)
        assert rollup_errors(store) == []
        store.close()


_KINDS: dict[str, dict[str, Any]] = {
    "call": {"gen_ai__operation__name": "chat", "gen_ai__response__model": "gpt-4o"},
    "agent": {"gen_ai__operation__name": "invoke_agent"},
    "tool": {"gen_ai__operation__name": "execute_tool"},
    "request": {"http__request__method": "POST"},
}


@st.composite
def _trace(draw: st.DrawFn) -> list[Span | LogRecord]:
    """The spans of a trace, each within its parent, with log records that tell of them."""
    things: list[Span | LogRecord] = []
    made: list[Span] = []
    is_one = draw(st.booleans())  # thread that all of it may belong to
    for number in range(1, draw(st.integers(2, 6)) + 1):
        parent = draw(st.sampled_from([None, *made]))
        told = dict(_KINDS[draw(st.sampled_from([*_KINDS]))])
        if usage := draw(st.sampled_from([None, (1000, 100), (7, 1)])):
            told["gen_ai__usage__input_tokens"], told["gen_ai__usage__output_tokens"] = usage
        if session := draw(st.sampled_from([None, None if is_one else "s"])):
            told["session__id"] = session
        one = span(
            draw(st.sampled_from([None, None, "a", "a" if is_one else "b"])),
            start=NOON + number * SECOND,
            seconds=60 - number * 2,
            trace=f"{1:032x}",
            span_id=f"{number:016x}",
            status=draw(st.sampled_from(["UNSET", "UNSET", "ERROR"])),
            **told,
        )
        resource = draw(st.sampled_from([{}, {} if is_one else {"session.id": "r"}]))
        parent_id = parent and parent.span_id
        scope = draw(st.sampled_from(["ours", "theirs"]))
        made.append(replace(one, parent_id=parent_id, scope=scope, resource=resource))
        told = {f"gen_ai.usage.{name}_tokens": 50 for name in ("input", "output")}
        verdict = {f"gen_ai.evaluation.{name}": "pass" for name in ("name", "score.label")}
        for name, said in ((DETAILS, told), *([(EVALUATION, verdict)] if is_one else ())):
            if draw(st.integers(0, 5)) == 0:
                key = (one.trace_id, one.span_id)
                things.append(LogRecord(*key, name, one.end, "", None, "shop", "tests", said))
    return [*made, *things]


@given(_trace(), st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_depends_on_how_a_trace_arrives(
    things: list[Span | LogRecord], data: st.DataObject
) -> None:
    """Neither on its order, nor on batches, nor on what is sent again."""
    arriving = data.draw(st.permutations([*things, *things[: data.draw(st.integers(0, 3))]]))
    sizes = st.lists(st.integers(1, 4), min_size=len(arriving), max_size=len(arriving))
    pieces = iter(arriving)
    batches = [list(itertools.islice(pieces, size)) for size in data.draw(sizes)]
    assert arrived(batches) == arrived([things])


def arrived(batches: list[list[Span | LogRecord]]) -> list[Thread]:
    """Threads, with their feedback, after some batches."""
    with tempfile.TemporaryDirectory() as directory:
        store = SQLiteStore(Path(directory) / "spans.db")
        for batch in batches:
            spans = [KeptSpan(one, read(one)) for one in batch if isinstance(one, Span)]
            records = [one for one in batch if isinstance(one, LogRecord)]
            store.write(spans, records)
            assert rollup_errors(store) == []
        found = store.threads(ThreadQuery()).threads
        store.close()
        return sorted(found, key=lambda one: one.id)


@pytest.mark.slow
@given(batches=_BATCHES, is_rolled_up=st.booleans(), earlier=st.integers(0, 5))
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_clickhouse_tells_what_a_recount_does(
    clickhouse: ClickHouseServer, batches: list[list[Span]], is_rolled_up: bool, earlier: int
) -> None:
    # Which of two spans with one id is told is not settled.
    first: dict[tuple[str, str], Span] = {}
    batches = [
        [first.setdefault((one.trace_id, one.span_id), one) for one in batch] for batch in batches
    ]
    with fresh_database(clickhouse) as database, database.store() as store:
        for number, batch in enumerate(batches):
            if is_rolled_up and number == earlier:
                store.create_rollup()
            database.insert([KeptSpan(one, read(one)) for one in batch])
        check(store, recount(batches))


def check(store: SQLiteStore | ClickHouseStore, expected: dict[str, Thread]) -> None:
    found = {thread.id: thread for thread in store.threads(ThreadQuery()).threads}
    assert found == expected
    for name, one in expected.items():
        assert store.thread(name) == one
    overview = store.overview(ThreadQuery())
    assert overview.threads == len(expected)
    assert overview.spans == sum(one.spans for one in expected.values())
    assert overview.spans == sum(bucket.spans for bucket in overview.buckets)
    assert overview.unpriced == sum(one.unpriced for one in expected.values())
    for tag, count in overview.tags:
        assert count == sum(tag in one.tags for one in expected.values())
        tagged = store.threads(ThreadQuery(tags=(tag,))).threads
        assert {one.id for one in tagged} == {
            one.id for one in expected.values() if tag in one.tags
        }
