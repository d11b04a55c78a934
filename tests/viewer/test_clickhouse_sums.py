"""Sums in ClickHouse: what a page reads of them, what can be asked, and where they are made."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store import clickhouse_numbers, clickhouse_texts
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_address import Address
from orq_otel.viewer.store.clickhouse_server import Server
from orq_otel.viewer.store.clickhouse_tables import Table

from .clickhouse_tables import Database
from .sample_spans import MINUTE, NOON, call

DAYS, EACH = 12, 60
#: As many as an id may have of them before it is a long one.
QUOTES = "'" * 190


def answer(text: str) -> str:
    return json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}])


def fill(database: Database, last: int) -> None:
    """Threads of many days, as many on each."""
    database.insert(
        KeptSpan(one, read(one))
        for day in range(DAYS)
        for number in range(EACH)
        for one in [
            call(
                f"{day}-{number}",
                start=last - day * DAY + number * SECOND,
                tags=("x",),
                says="Where is my parcel?",
                gen_ai__output__messages=answer(f"In depot {day}."),
            )
        ]
    )


@pytest.mark.slow
def test_a_list_of_any_time_goes_back_no_further_than_it_has_to(database: Database) -> None:
    fill(database, time.time_ns() - HOUR)
    with database.store() as store:
        store.create_rollup()
        store.threads(ThreadQuery(limit=1))
        before = database.server.logged()
        assert len(store.threads(ThreadQuery(limit=5)).threads) == 5
        read_rows = [one.get("rows", 0) for one in database.server.log(before)]
        assert max(read_rows) <= 5 * EACH


def test_a_list_of_any_time_judges_threads_by_all_that_they_did(database: Database) -> None:
    now = time.time_ns()
    spans = [
        call("long", start=now - 3 * DAY, status="ERROR", cost=50, tags=("x",), enduser__id="ada"),
        call("long", start=now - HOUR, cost=0.001),
        *(
            call(f"t{number}", start=now - number * HOUR, status="ERROR", cost=0.001, tags=("x",))
            for number in range(1, 6)
        ),
    ]
    database.insert(KeptSpan(one, read(one)) for one in spans)
    with database.store() as store:
        store.create_rollup()

        def ids(**asked: object) -> set[str]:
            query = ThreadQuery(limit=2, **asked)  # type: ignore[arg-type]
            found = [page := store.threads(query)]
            while page.next_cursor is not None:
                found.append(page := store.threads(replace(query, cursor=page.next_cursor)))
            names = [one.id for page in found for one in page.threads]
            assert store.overview(query).threads == len(names) == len({*names})
            return {*names}

        others = {f"t{number}" for number in range(1, 6)}
        assert ids(errors=True) == {"long", *others}
        assert ids(tags=("x",)) == {"long", *others}
        assert ids(labels=(("user", "ada"),)) == {"long"}
        assert ids(most_cost=1) == others
        assert ids(least_cost=1) == {"long"}
        assert ids(most_duration=HOUR) == others
        assert ids(until=now - 2 * DAY, errors=True) == {"long"}


def test_a_list_goes_back_in_steps_and_leaves_nobody_out(database: Database) -> None:
    now = time.time_ns()
    # A clock that is a little ahead counts as now, and one that is far ahead for nothing.
    ages = (-30, 10, 50, 70, 600, 1_300, 3_000, 14_000, 140_000, -700_000, -600_000)
    # The latest of these is of the last hour, and the thread began before.
    long = [("long", ago) for ago in (20, 400, 9_000)]
    database.insert(
        KeptSpan(one, read(one))
        for name, ago in [*((f"t{ago}", ago) for ago in ages), *long]
        for one in [call(name, start=now - ago * MINUTE, seconds=1)]
    )
    latest = ["t-30", "t10", "long", "t50"]
    today = [*latest, "t70", "t600", "t1300"]
    before = ["t3000", "t14000", "t140000", "t-700000", "t-600000"]
    expected: list[tuple[dict[str, int], list[str]]] = [
        ({}, [*today, *before]),
        ({"since": now - DAY}, today),
        ({"since": now - HOUR}, latest),
        ({"until": now - 3 * HOUR}, ["long", "t600", "t1300", *before[:3]]),
    ]
    with database.store() as store:
        store.create_rollup()
        for limit in (1, 3, 50):
            for of_time, ids in expected:
                query = ThreadQuery(limit=limit, **of_time)  # type: ignore[arg-type]
                found = [page := store.threads(query)]
                while page.next_cursor is not None:
                    found.append(page := store.threads(replace(query, cursor=page.next_cursor)))
                pages = [[one.id for one in page.threads] for page in found]
                assert pages == [ids[at : at + limit] for at in range(0, len(ids), limit)], query


def test_a_list_misses_no_thread_that_began_the_day_before(database: Database) -> None:
    midnight = (time.time_ns() - DAY - HOUR) // DAY * DAY  # of the first day that is looked at
    spans = (
        call("late", start=midnight - SECOND, seconds=1800),
        *(call(f"t{n}", start=midnight + n * SECOND) for n in (1, 2)),
    )
    database.insert([KeptSpan(one, read(one)) for one in spans])
    with database.store() as store:
        store.create_rollup()
        found, query = [], ThreadQuery(limit=1)
        for _ in spans:
            page = store.threads(query)
            found += [one.id for one in page.threads]
            query = replace(query, cursor=page.next_cursor)
        assert found == ["late", "t2", "t1"]


@pytest.mark.slow
def test_a_search_has_a_budget(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    last = time.time_ns() - HOUR
    fill(database, last)
    monkeypatch.setattr(clickhouse_texts, "BUDGET", 5 * EACH)  # each says two texts
    with database.store() as store:
        store.create_rollup()
        # All of a thread's days that are looked through, and none of the others.
        for day, threads in ((0, EACH), (DAYS - 1, 0)):
            query = ThreadQuery(text=f"depot {day}", limit=1000)
            page = store.threads(query)
            assert page.is_partial
            assert store.overview(query).is_partial
            assert len(page.threads) == len(page.hits) == threads
        since = last - DAY // 2
        assert not store.threads(ThreadQuery(text="depot 0", since=since)).is_partial


def test_numbers_have_a_budget(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    last = time.time_ns() - HOUR
    fill(database, last)
    monkeypatch.setattr(clickhouse_numbers, "BUDGET", 5 * EACH)
    with database.store() as store:
        store.create_rollup()
        found = store.numbers(ThreadQuery(), "tag")
        assert (found.groups[0].calls, found.is_partial) == (5 * EACH, True)
        # Those of some days, or of some threads, are all counted.
        some = store.numbers(ThreadQuery(since=last - 3 * DAY - HOUR), "tag")
        assert (some.groups[0].calls, some.is_partial) == (4 * EACH, False)
        tagged = store.numbers(ThreadQuery(tags=("x",)), "model")
        assert (tagged.groups[0].calls, tagged.is_partial) == (DAYS * EACH, False)


#: A real server refuses longer parameters.
LONGEST = 128 * 2**10


@pytest.mark.slow
def test_no_parameter_is_too_long(database: Database) -> None:
    """Whatever ids and labels there are: also those of quotes, which are escaped."""
    many, few, long = 5999, 400, 50
    database.insert(
        KeptSpan(one, read(one))
        for one in (
            *(call(f"t{n}", start=NOON + n, tags=("many",)) for n in range(many)),
            *(call(f"{n}{QUOTES}", start=NOON + n, tags=("few",)) for n in range(few)),
            *(
                call(f"{n}{'é' * 3000}", start=NOON + HOUR, tags=("long", f"{n}{'é' * 5000}"))
                for n in range(long)
            ),
        )
    )
    with database.store() as store:
        store.create_rollup()
        before = database.server.logged()
        page = store.threads(ThreadQuery(limit=500))
        every = [*page.threads]
        while page.next_cursor is not None:
            page = store.threads(ThreadQuery(limit=500, cursor=page.next_cursor))
            every += page.threads
        assert len(every) == len({one.id for one in every}) == many + few + long
        for tag, threads in (("many", many), ("few", few), ("long", long)):
            found = store.overview(ThreadQuery(tags=(tag,)))
            assert (found.threads, found.spans) == (threads, threads)
        groups = store.numbers(ThreadQuery(tags=("long",)), "tag")
        assert (groups.groups[0].name, groups.groups[0].threads) == ("long", long)
        assert len(groups.groups) + groups.more == 1 + long
        sizes = [
            len(value.encode())
            for one in database.server.log(before)
            for name, value in one["how"].items()
            if name.startswith("param_")
        ]
        assert 100_000 < max(sizes) <= LONGEST


def test_filters_of_sums(database: Database) -> None:
    told = call("a", cost=0.5, seconds=4, enduser__id="anna", gen_ai__agent__name="helper")
    other = call("b", cost=0.1, seconds=1, start=NOON + 60 * SECOND, model="gpt-4o")
    database.insert([KeptSpan(one, read(one)) for one in (told, other)])
    with database.store() as store:
        store.create_rollup()

        def ids(**query: object) -> list[str]:
            return [one.id for one in store.threads(ThreadQuery(**query)).threads]  # type: ignore[arg-type]

        assert ids(least_cost=0.2) == ["a"]
        assert ids(most_cost=0.2) == ["b"]
        assert ids(least_duration=2 * SECOND) == ["a"]
        assert ids(labels=(("agent", "helper"),)) == ["a"]
        assert ids(labels=(("model", "gpt-4o"), ("model", "gpt-4o-mini"))) == ["b", "a"]
        assert ids(labels=(("model", "gpt-4o"), ("agent", "helper"))) == []
        assert ids(text="HELPER") == ["a"]
        assert store.labels("model") == (("gpt-4o", 1), ("gpt-4o-mini", 1))
        assert store.labels("agent", "elp") == (("helper", 1),)


def test_a_thread_has_one_title_however_many_days_it_takes(database: Database) -> None:
    spans = (call("a", says=says, start=NOON + n * DAY) for n, says in enumerate(("one?", "_two!")))
    database.insert([KeptSpan(one, read(one)) for one in spans])
    with database.store() as store:
        store.create_rollup()
        assert store.threads(ThreadQuery()).threads[0].title == "one?"
        # No words are looked for in messages here.
        assert [len(store.threads(ThreadQuery(text=text)).threads) for text in "?_"] == [1, 0]


@pytest.fixture
def server(database: Database) -> Server:
    return Server(Address.parse(database.url(cluster="prod")))


def test_replicated_tables_have_replicated_sums(database: Database, server: Server) -> None:
    spans = Table(
        *(database.name, "otel_traces", {}, "ReplicatedMergeTree"),
        "ReplicatedMergeTree('/t/{shard}', '{replica}') ORDER BY Timestamp"
        " TTL toDate(Timestamp) + toIntervalDay(7) SETTINGS index_granularity = 8192",
    )
    made = [one for one in Tables(server, spans, None).statements() if one.startswith("CREATE")]
    assert len(made) == 8
    assert all(" ON CLUSTER `prod` " in one for one in made)
    activity, days, dates, messages, feedback, arrivals, state, view = made
    assert "ENGINE = ReplicatedReplacingMergeTree(version, is_deleted)" in activity
    assert "TTL toDate(hour) + toIntervalDay(7)" in dates
    for one in (activity, days, messages, feedback):  # what users say, and what they think of it
        assert "TTL toDate(hour) + toIntervalDay(7)" in one
        assert "PARTITION BY toDate(hour)" in one
    assert "ENGINE = ReplicatedMergeTree PARTITION" in arrivals
    assert "ENGINE = ReplicatedReplacingMergeTree(version)" in state
    assert f"TO `{database.name}`.`otel_traces_orq_arrivals` AS" in view
    server.close()


def test_distributed_tables_have_distributed_sums(database: Database, server: Server) -> None:
    spans = Table(
        *(database.name, "all_traces", {}, "Distributed"),
        f"Distributed('prod', '{database.name}', 'otel_traces', rand())",
    )
    made = [one for one in Tables(server, spans, None).statements() if one.startswith("CREATE")]
    assert all(" ON CLUSTER `prod` " in one for one in made)
    distributed = [one for one in made if "ENGINE = Distributed(" in one]
    assert [one.rpartition(", ")[2] for one in distributed] == [
        *["cityHash64(thread_id))"] * 5,
        "cityHash64(trace_id))",
        "cityHash64(key))",
    ]
    # What arrives is noted where it is written.
    assert f"FROM `{database.name}`.`otel_traces` WHERE" in made[-1]
    assert "TO" in made[-1]
    assert "`all_traces_orq_arrivals_local`" in made[-1]
    server.close()
