"""Numbers of very many threads are those that looking at each call would give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.model.sums import Group, Numbers
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store import buckets, sqlite_groups, sqlite_many, sqlite_numbers
from orq_otel.viewer.store.sqlite import SQLiteStore

from .browsing import Site, site
from .sample_spans import MINUTE, NOON, SECOND, call, new_trace, span
from .sqlite_checks import rollup_errors
from .test_finding import evaluation

__all__ = ["site"]

HOUR = 60 * MINUTE
#: As many threads as it takes for a label's sums to be kept.
MANY = 10


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteStore]:
    """240 threads over ten days."""
    store = SQLiteStore(tmp_path_factory.mktemp("numbers") / "spans.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_groups, "MANY", MANY)
        for number in range(0, 240, 3):
            write(store, *turn(number), *turn(number + 1), *turn(number + 2))
        store.write([], [evaluation("thumbs_down", NOON, **{"thread.id": "t1"})])
    assert rollup_errors(store) == []
    yield store
    store.close()


@pytest.fixture
def store(sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLiteStore]:
    monkeypatch.setattr(sqlite_groups, "MANY", MANY)
    yield sqlite
    assert rollup_errors(sqlite) == []


def write(store: SQLiteStore, *spans: Span) -> None:
    store.write([KeptSpan(one, read(one)) for one in spans])


def turn(number: int, **more: Any) -> list[Span]:
    """A thread's calls of two models, an hour apart, the second of which fails in some."""
    options: dict[str, Any] = {
        "tags": ("all", f"third-{number % 3}", f"tenth-{number % 10}"),
        "user__id": f"user-{number % 4}",
        **more,
    }
    start = NOON + number * HOUR
    is_error = number % 5 == 0
    second = {"status": "ERROR", "tokens": None} if is_error else {"cost": 0.25}
    return [
        call(f"t{number}", start=start, seconds=number, cost=0.5, **options),
        call(f"t{number}", start=start + HOUR, seconds=2, model="large", **second, **options),
        span(f"t{number}", start=start + HOUR, status="ERROR", **options),
    ]


def both(
    store: SQLiteStore, query: ThreadQuery, by: Kind, names: tuple[str, ...] = ()
) -> tuple[Numbers, Numbers]:
    """Returns what looking at each call gives, and what sums do."""
    with pytest.MonkeyPatch.context() as patch:
        exact = store.numbers(query, by, names)
        patch.setattr(sqlite_numbers, "_COUNTABLE", -1)
        return exact, store.numbers(query, by, names)


def without_times(found: Numbers) -> tuple[object, ...]:
    """Returns groups without their course: it may be less fine."""
    return (*(replace(one, slices=()) for one in found.groups), found.more)


QUERIES = {
    "all": ThreadQuery(),
    "some days": ThreadQuery(since=NOON + 20 * HOUR, until=NOON + 70 * HOUR),
    "days and parts of days": ThreadQuery(since=NOON + 5 * HOUR + 20 * MINUTE),
    "a tag": ThreadQuery(tags=("third-1",)),
    "a tag and a time": ThreadQuery(tags=("third-1",), since=NOON + 20 * HOUR),
    "a text": ThreadQuery(text="t1"),
    "nothing": ThreadQuery(text="nowhere"),
}
KINDS: tuple[Kind, ...] = ("model", "tag", "user", "service", "agent")


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("by", KINDS)
def test_sums_are_those_of_all_calls(filled: SQLiteStore, query: ThreadQuery, by: Kind) -> None:
    exact, summed = both(filled, query, by)
    if by == "model" and query.since is not None:
        # Those that were active in that time count, one of which had called the model before.
        counts = {one.name: one.threads for one in exact.groups}
        assert all(one.threads - counts[one.name] in {0, 1} for one in summed.groups)
        groups = tuple(replace(one, threads=counts[one.name]) for one in summed.groups)
        summed = replace(summed, groups=groups)
    assert without_times(summed) == without_times(exact)
    for one, other in zip(exact.groups, summed.groups, strict=True):
        assert by_day(one) == by_day(other)


def by_day(group: Group) -> dict[int, tuple[int, int, float]]:
    """Returns calls, tokens and cost of each day."""
    days: defaultdict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for part in group.slices:
        days[part.start // (24 * HOUR)].append((part.calls, part.tokens, part.cost))
    return {
        day: (sum(one[0] for one in some), sum(one[1] for one in some), sum(one[2] for one in some))
        for day, some in days.items()
    }


def test_two_tags_by_name(store: SQLiteStore) -> None:
    for number in range(40):
        write(store, *turn(number))
    exact, summed = both(store, ThreadQuery(), "tag", ("third-1", "unheard-of", "tenth-7"))
    assert without_times(summed) == without_times(exact)
    assert [(one.name, one.threads) for one in summed.groups if one.calls] == [
        ("third-1", 13),
        ("tenth-7", 4),
    ]


def test_what_comes_late_and_what_is_deleted(store: SQLiteStore) -> None:
    """A thread has a tag from its first span on, whichever span brings it."""
    for number in range(30):
        write(store, *turn(number, tags=("all",)))
    for number in range(0, 30, 2):
        write(store, span(f"t{number}", start=NOON + number * HOUR, tags=("late",), seconds=0))
        write(store, *turn(number + 100, tags=("all", "late")))
    assert rollup_errors(store) == []
    exact, summed = both(store, ThreadQuery(), "tag")
    assert without_times(summed) == without_times(exact)
    assert {one.name: one.threads for one in summed.groups} == {"all": 45, "late": 30}
    store.delete_oldest(NOON + 8 * HOUR + MINUTE)
    store.delete_thread("t100")
    assert rollup_errors(store) == []
    exact, summed = both(store, ThreadQuery(), "tag")
    assert without_times(summed) == without_times(exact)
    store.delete_oldest(NOON + 110 * HOUR)
    assert rollup_errors(store) == []  # also of labels that few have by now
    store.delete_oldest()
    left = store._file.read(lambda one: one.execute("SELECT * FROM group_sums").fetchall())
    assert left == store._file.read(lambda one: one.execute("SELECT * FROM kept_labels").fetchall())
    assert left == []


def test_what_an_agent_repeats(store: SQLiteStore) -> None:
    """The usage of an agent counts until the call arrives that it is of."""
    for number in range(20):
        write(store, *turn(number, tags=("all",)))
    options: dict[str, Any] = {"trace": new_trace(), "start": NOON, "tags": ("all",)}
    agent = call("t3", operation="invoke_agent", seconds=9, **options)
    write(store, agent)
    before, _ = both(store, ThreadQuery(), "tag")
    write(store, replace(call("t3", tokens=(1000, 101), **options), parent_id=agent.span_id))
    for by in KINDS:
        exact, summed = both(store, ThreadQuery(), by)
        assert without_times(summed) == without_times(exact)
    tagged, _ = both(store, ThreadQuery(), "tag")
    assert [(one.groups[0].calls, one.groups[0].output_tokens) for one in (before, tagged)] == [
        (37, 3700),
        (37, 3701),
    ]


def test_calls_of_a_model_without_a_name(store: SQLiteStore) -> None:
    write(store, span("a", gen_ai__operation__name="chat", gen_ai__usage__input_tokens=5))
    exact, summed = both(store, ThreadQuery(), "model")
    assert without_times(summed) == without_times(exact)
    assert [(one.name, one.threads, one.input_tokens) for one in summed.groups] == [(None, 1, 5)]


def test_very_many_calls_have_the_percentiles_of_a_sample(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_many, "_SAMPLE", 500)
    monkeypatch.setattr(sqlite_many, "_LEAST", 300)
    for number in range(1000):
        options = {"start": NOON + number * SECOND, "tags": ("all", f"third-{number % 3}")}
        write(store, call(f"t{number}", seconds=number, **options))
    exact, summed = both(store, ThreadQuery(), "tag")
    one, *_ = summed.groups
    assert (one.name, one.calls, exact.groups[0].sampled) == ("all", 1000, 0)
    for one, other in zip(summed.groups, exact.groups, strict=True):
        # What every third thread has is looked at as evenly as the rest.
        assert 200 < one.sampled < 450
        assert one.p50 == pytest.approx(other.p50, rel=0.1)
        assert one.p95 == pytest.approx(other.p95, rel=0.05)
    monkeypatch.setattr(sqlite_numbers, "_COUNTABLE", 50)
    assert store.numbers(ThreadQuery(is_exact=True), "tag").groups == exact.groups


def test_percentiles_may_be_of_a_minute_ago_while_little_changes(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_numbers, "_COUNTABLE", 0)
    monkeypatch.setattr(sqlite_many, "_SAMPLE", 500)
    monkeypatch.setattr(sqlite_many, "_LEAST", 300)

    def add(calls: int, seconds: int) -> None:
        write(store, *(call(f"t{n % 200}", seconds=seconds, tags=("a",)) for n in range(calls)))

    def told() -> tuple[int, int, int]:
        (one,) = store.numbers(ThreadQuery(), "tag").groups
        return one.calls, one.sampled, one.p95 // SECOND

    add(1_000, 1)
    calls, sampled, p95 = told()
    assert (calls, p95) == (1_000, 1)
    assert 0 < sampled < 1_000
    add(10, 60)
    assert told() == (1_010, sampled, 1)
    add(200, 60)
    calls, later, p95 = told()
    assert (calls, p95) == (1_210, 60)
    assert later != sampled
    add(12, 60)
    assert told() == (1_222, later, 60)
    monkeypatch.setattr(sqlite_many, "_FRESH", 0)
    assert told()[1] > later


def test_percentiles_of_all_calls_are_those_of_now(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_numbers, "_COUNTABLE", 0)
    write(store, *(call("t", seconds=1 if n < 950 else 60, tags=("a",)) for n in range(1_000)))
    (one,) = store.numbers(ThreadQuery(), "tag").groups
    write(store, call("t", seconds=60, tags=("a",)))
    (other,) = store.numbers(ThreadQuery(), "tag").groups
    assert (one.sampled, one.p95) == (0, SECOND)
    assert (other.sampled, other.p95) == (0, 60 * SECOND)


def test_the_page_says_what_is_a_sample(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_numbers, "_COUNTABLE", 50)
    monkeypatch.setattr(sqlite_many, "_SAMPLE", 50)
    monkeypatch.setattr(sqlite_many, "_LEAST", 50)
    assert isinstance(site.store, SQLiteStore)
    write(site.store, *(call(f"t{n}", seconds=3, tags=("a", "b")) for n in range(100)))
    for path in ("/numbers", "/numbers?a=a&b=b"):
        assert "of a sample" in httpx.get(site.url + path).text
        exact = httpx.get(f"{site.url}{path}{'&' if '?' in path else '?'}exact=true").text
        assert "of a sample" not in exact
        assert "exact=true" in exact  # its links keep to it
    (group,) = httpx.get(site.url + "/api/numbers").json()["groups"]
    assert (group["calls"], group["latency_ms"]) == (100, {"p50": 3000, "p95": 3000})
    assert 20 < group["sampled_calls"] < 90
    (group,) = httpx.get(site.url + "/api/numbers?exact=true").json()["groups"]
    assert (group["calls"], group["sampled_calls"]) == (100, 0)
    wrong = httpx.get(site.url + "/api/numbers?exact=yes")
    assert (wrong.status_code, "exact must be one of" in wrong.text) == (400, True)
    page = httpx.get(site.url + "/numbers?tag=nowhere").text
    assert "of a sample" not in page


@pytest.mark.parametrize(
    "latency", [0, 1, 63, 64, 127, 128, 129, 255, 256, 999_999, 2**62 - 1, 2**62]
)
def test_steps_of_latencies(latency: int) -> None:
    step = buckets.latency_step(latency)
    first, following = buckets.step_range(step)
    assert first <= latency < following
    assert following - first <= max(latency / 64, 1)
    assert buckets.latency_step(following) == step + 1
