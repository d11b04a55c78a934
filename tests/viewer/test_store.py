"""What every store does, whatever it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orq_otel.viewer.model.facts import Estimate
from orq_otel.viewer.model.queries import SORTS, ThreadQuery
from orq_otel.viewer.model.store import InvalidCursorError
from orq_otel.viewer.model.threads import Thread

from .conftest import Place
from .sample_spans import MINUTE, NOON, SECOND, call, new_trace, span

HOUR = 60 * MINUTE


def ids(place: Place, **query: object) -> list[str]:
    return [thread.id for thread in place.store.threads(ThreadQuery(**query)).threads]  # type: ignore[arg-type]


def test_an_empty_store(place: Place) -> None:
    assert place.store.threads(ThreadQuery()).threads == ()
    assert place.store.threads(ThreadQuery()).next_cursor is None
    assert place.store.thread("nobody") is None
    assert place.store.spans("nobody") == []
    overview = place.store.overview(ThreadQuery())
    assert (overview.threads, overview.spans, overview.cost) == (0, 0, None)
    assert (overview.buckets, overview.latencies, overview.tags) == ((), (), ())


def test_a_thread_sums_up_its_spans(place: Place) -> None:
    trace = new_trace()
    place.add(
        call("a", trace=trace, start=NOON, seconds=2, tags=("vip", "eu"), says="Hello  there"),
        span("a", trace=trace, start=NOON + SECOND, seconds=5, status="ERROR", tags=("eu", "eu2")),
        call("a", start=NOON + 10 * SECOND, model="gpt-4o", says="Later"),
        span("b", start=NOON),
    )
    assert place.store.thread("a") == Thread(
        id="a",
        title="Hello there",
        tags=("vip", "eu", "eu2"),
        started=NOON,
        last_active=NOON + 11 * SECOND,
        traces=2,
        spans=3,
        errors=1,
        models=("gpt-4o-mini", "gpt-4o"),
        input_tokens=2000,
        output_tokens=200,
        cost=pytest.approx(0.00021 + 0.0035),
        unpriced=0,
    )
    assert place.store.threads(ThreadQuery(text="a")).threads == (place.store.thread("a"),)


def test_order_is_that_of_time_and_not_of_arrival(place: Place) -> None:
    place.add(call("a", start=NOON + MINUTE, says="Second", tags=("y",), model="gpt-4o"))
    place.add(call("a", start=NOON, says="First", tags=("z",), model="gpt-4o-mini"))
    place.add(span("a", start=NOON - MINUTE))
    thread = place.store.thread("a")
    assert thread is not None
    assert (thread.title, thread.tags, thread.started) == ("First", ("z", "y"), NOON - MINUTE)
    assert thread.models == ("gpt-4o-mini", "gpt-4o")


def test_a_cost_is_told_or_known_or_unknown(place: Place) -> None:
    place.add(
        call("told", cost=0.25),
        call("told", cost=0.5, tokens=None),
        call("mixed", cost=0.25),
        call("mixed", model="nobody-knows-this"),
        call("unknown", model="nobody-knows-this"),
        call("no tokens", tokens=None),
        call("free", cost=0),
        call("zero of nothing", cost=0, tokens=None),
        call("failed", tokens=None, status="ERROR"),
        span("no call"),
    )
    told = {
        thread.id: (thread.cost, thread.unpriced)
        for thread in place.store.threads(ThreadQuery()).threads
    }
    assert told == {
        "told": (0.75, 0),
        "mixed": (0.25, 1),
        "unknown": (None, 1),
        "no tokens": (None, 1),
        "free": (0.0, 0),
        "zero of nothing": (None, 1),
        "failed": (None, 0),
        "no call": (None, 0),
    }
    overview = place.store.overview(ThreadQuery())
    assert (overview.cost, overview.unpriced) == (1.0, 4)


def test_sums_tell_how_much_of_them_is_an_estimate(place: Place) -> None:
    """A model on one's own machine costs what its maker asks: what nobody may have paid."""
    near = call("a", server__address="10.0.0.5", tags=("x",))
    place.add(
        near,
        call("a", tags=("x",)),
        call("b", cost=0.5, model="gpt-4o", server__address="10.0.0.5", tags=("x",)),
    )
    estimate = 0.00021
    store = place.store
    told = {one.id: (one.cost, one.estimated) for one in store.threads(ThreadQuery()).threads}
    assert told == {
        "a": (pytest.approx(2 * estimate), pytest.approx(estimate)),
        "b": (0.5, 0.0),
    }
    for query in (ThreadQuery(), ThreadQuery(text="a")):
        assert store.overview(query).estimated == pytest.approx(estimate)
    assert store.overview(ThreadQuery(text="b")).estimated == 0
    for kind, names in (("model", ("gpt-4o-mini", "gpt-4o")), ("tag", ("x",))):
        groups = store.numbers(ThreadQuery(), kind).groups  # type: ignore[arg-type]
        assert tuple(one.name for one in groups) == names
        assert groups[0].estimated == pytest.approx(estimate)
        assert all(one.estimated == 0 for one in groups[1:])
    kept = store.spans("a")
    assert [isinstance(one.facts.cost, Estimate) for one in kept].count(True) == 1


def test_cached_tokens_cost_less(place: Place) -> None:
    place.add(call("a", gen_ai__usage__cache_read__input_tokens=400))
    thread = place.store.thread("a")
    assert thread is not None
    assert thread.cost == pytest.approx((600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1e6)


def test_ids_are_found_by_rank(place: Place) -> None:
    place.add(
        span("one", orq__thread_id="two", gen_ai__conversation__id="three", session__id="four"),
        span(orq__thread_id="two", gen_ai__conversation__id="three", session__id="four"),
        span(gen_ai__conversation__id="three", session__id="four"),
        span(session__id="four", gen_ai__operation__name="chat"),
        span(),
        # An operating system's thread, as OpenTelemetry has it.
        span(thread__id=4711, session__id="five", gen_ai__operation__name="chat"),
        span(thread__id=4711),
    )
    assert sorted(ids(place)) == ["five", "four", "one", "three", "two"]


def test_tags_are_read_in_each_form(place: Place) -> None:
    place.add(
        span("a", start=NOON, orq__tags='["json","both"]', tags=("list", "both")),
        span("a", start=NOON + 1, tag__tags=["openinference"]),
        span("a", start=NOON + 2, orq__tags="no JSON"),
    )
    thread = place.store.thread("a")
    assert thread is not None
    assert thread.tags == ("list", "both", "json", "openinference")


def test_a_trace_with_two_threads_is_in_both(place: Place) -> None:
    trace = new_trace()
    root, mine, yours = (
        span(trace=trace, start=NOON, name="root"),
        span("mine", trace=trace, start=NOON + 1, name="mine"),
        span("yours", trace=trace, start=NOON + 2, name="yours"),
    )
    place.add(yours, root, mine, span("other"))
    assert [kept.span.name for kept in place.store.spans("mine")] == ["root", "mine", "yours"]
    assert place.store.spans("mine") == place.store.spans("yours")
    thread = place.store.thread("mine")
    assert thread is not None
    assert (thread.spans, thread.traces) == (1, 1)
    assert [kept.facts.thread_id for kept in place.store.spans("mine")] == [None, "mine", "yours"]


def test_spans_come_back_as_they_were(place: Place) -> None:
    sent = replace(
        call("a", says="Grüße 👋 \x00 'quoted' \\", url="https://example.org/?a=b"),
        parent_id="00000000000000ff",
        status="ERROR",
        status_message='It\'s "broken"\n',
        kind="SERVER",
        events=({"name": "exception", "time": NOON + 5, "attributes": {"exception.type": "Boom"}},),
        links=({"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "2", "attributes": {"a": "b"}},),
    )
    place.add(sent)
    (kept,) = place.store.spans("a")
    texts = {name: str(value) for name, value in sent.attributes.items()}
    assert {name: str(value) for name, value in kept.span.attributes.items()} == texts
    assert replace(kept.span, attributes={}) == replace(sent, attributes={})
    assert kept.facts.thread_id == "a"
    assert (kept.facts.input_tokens, kept.facts.output_tokens) == (1000, 100)
    assert kept.facts.cost == pytest.approx(0.00021)


def test_spans_have_a_limit(place: Place) -> None:
    place.add(*(span("a", start=NOON + n, name=str(n)) for n in range(10)))
    assert [kept.span.name for kept in place.store.spans("a", limit=3)] == ["0", "1", "2"]


def test_filters(place: Place) -> None:
    place.add(
        span("a", start=NOON, tags=("x", "y"), status="ERROR"),
        call("b", start=NOON + HOUR, tags=("x",), says="Where is my ORDER? 50% off_"),
        span("c", start=NOON + 2 * HOUR, tags=("y", "it's")),
        span("Order", start=NOON + 3 * HOUR),
    )
    assert ids(place) == ["Order", "c", "b", "a"]
    assert ids(place, tags=("x",)) == ["b", "a"]
    assert ids(place, tags=("x", "y")) == ["a"]
    assert ids(place, tags=("x", "x")) == ["b", "a"]
    assert ids(place, tags=("x", "y"), match="any") == ["c", "b", "a"]
    assert ids(place, tags=("it's",)) == ["c"]
    assert ids(place, tags=("nobody",)) == []
    assert ids(place, text="order") == ["Order", "b"]
    assert ids(place, text="50% OFF_") == ["b"]
    assert ids(place, text="%") == ["b"]
    assert ids(place, text="'; DROP TABLE threads; --") == []
    assert ids(place, errors=True) == ["a"]
    assert ids(place, since=NOON + HOUR) == ["Order", "c", "b"]
    assert ids(place, since=NOON + HOUR + SECOND) == ["Order", "c", "b"]
    assert ids(place, since=NOON + HOUR + SECOND + 1) == ["Order", "c"]
    assert ids(place, until=NOON + HOUR) == ["a"]
    assert ids(place, since=2**80) == ids(place, until=-(2**80)) == []
    assert ids(place, since=-(2**80), until=2**80) == ["Order", "c", "b", "a"]
    assert place.store.overview(ThreadQuery(since=-(2**80), until=2**80)).threads == 4
    assert ids(place, since=NOON + 1, until=NOON + HOUR + 1) == ["b", "a"]
    assert ids(place, tags=("x",), errors=True, text="A", since=NOON) == ["a"]


def test_labels_are_found_in_any_case(place: Place) -> None:
    place.add(call("a", tags=("MALMÖ",), enduser__id="Émile"), call("b", tags=("İstanbul",)))
    for text, tags, threads in (
        *((one, ["MALMÖ"], ["a"]) for one in ("malmö", "MALMÖ", "alm")),
        *((one, ["İstanbul"], ["b"]) for one in ("İstanbul", "STAN")),
    ):
        assert [tag for tag, _ in place.store.labels("tag", text)] == tags
        assert ids(place, text=text) == threads
    assert place.store.labels("user", "émi") == (("Émile", 1),)
    assert ids(place, text="ÉMILE") == ["a"]


def test_sorts(place: Place) -> None:
    place.add(
        call("cheap", start=NOON, cost=0.1, tokens=(10, 1), seconds=60),
        call("dear", start=NOON + SECOND, cost=0.3, tokens=(5, 1), seconds=30, status="ERROR"),
        call("unknown", start=NOON + 2 * SECOND, model="?", tokens=(20, 1), seconds=1),
        span("unknown", start=NOON + 2 * SECOND, seconds=0),
    )
    assert {sort: ids(place, sort=sort) for sort in SORTS} == {
        "last_active": ["cheap", "dear", "unknown"],
        "started": ["unknown", "dear", "cheap"],
        "duration": ["cheap", "dear", "unknown"],
        "spans": ["unknown", "dear", "cheap"],
        "tokens": ["unknown", "cheap", "dear"],
        "cost": ["dear", "cheap", "unknown"],
        "errors": ["dear", "unknown", "cheap"],
    }
    for sort in SORTS:
        assert ids(place, sort=sort, ascending=True) == ids(place, sort=sort)[::-1]


def test_pages_hold_each_thread_once_while_others_arrive(place: Place) -> None:
    names = [f"t{n:02}" for n in range(11)]
    # Many are alike in what they are sorted by.
    place.add(*(span(name, start=NOON + (n // 4) * MINUTE) for n, name in enumerate(names)))
    for number, sort in enumerate(SORTS):
        ascending = bool(number % 2)
        whole = ids(place, sort=sort, ascending=ascending, until=NOON + HOUR)
        query = ThreadQuery(sort=sort, ascending=ascending, limit=4, until=NOON + HOUR)
        seen: list[str] = []
        while True:
            page = place.store.threads(query)
            assert len(page.threads) <= 4
            seen += [thread.id for thread in page.threads]
            place.add(span(f"new-{sort}-{len(seen)}", start=NOON + 2 * HOUR))
            if page.next_cursor is None:
                break
            query = replace(query, cursor=page.next_cursor)
        assert seen == whole
        assert sorted(seen) == names


@pytest.mark.one_in(3)
@pytest.mark.parametrize("cursor", ["", "x", "e30", "WzFd", "ü", "=", "a" * 10_000, "W" * 5])
def test_what_is_no_cursor(place: Place, cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        place.store.threads(ThreadQuery(cursor=cursor))


def test_a_cursor_is_of_one_order(place: Place) -> None:
    place.add(span("a"), span("b"))
    cursor = place.store.threads(ThreadQuery(limit=1)).next_cursor
    with pytest.raises(InvalidCursorError):
        place.store.threads(ThreadQuery(cursor=cursor, sort="cost"))
    with pytest.raises(InvalidCursorError):
        place.store.threads(ThreadQuery(cursor=cursor, ascending=True))


def test_an_overview_adds_up(place: Place) -> None:
    place.add(
        call("a", start=NOON, cost=0.5, seconds=0.25, tags=("x", "y")),
        call("a", start=NOON + 9 * MINUTE, model="?", seconds=3),
        call("b", start=NOON + 3 * MINUTE, cost=0.25, seconds=0.2, tags=("x",)),
        span("c", start=NOON + 3 * MINUTE, status="ERROR"),
        span(start=NOON),
    )
    whole = place.store.overview(ThreadQuery(), 10)
    assert (whole.threads, whole.spans, whole.errors, whole.unpriced) == (3, 4, 1, 1)
    assert (whole.input_tokens, whole.output_tokens, whole.cost) == (3000, 300, 0.75)
    assert [(b.start - NOON, b.end - b.start) for b in whole.buckets] == [
        (n * MINUTE, MINUTE) for n in range(10)
    ]
    assert [b.spans for b in whole.buckets] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert [b.errors for b in whole.buckets] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert [b.cost for b in whole.buckets] == [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0]
    assert whole.buckets[3].input_tokens == 1000
    assert whole.buckets[3].output_tokens == 100
    assert whole.latencies == (
        (200_000_000, 1),
        (500_000_000, 1),
        (SECOND, 0),
        (2 * SECOND, 0),
        (5 * SECOND, 1),
    )
    assert whole.tags == (("x", 2), ("y", 1))

    some = place.store.overview(ThreadQuery(tags=("y",)), 10)
    assert (some.threads, some.spans, some.cost) == (1, 2, 0.5)
    assert [b.spans for b in some.buckets] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert some.tags == whole.tags

    late = place.store.overview(ThreadQuery(since=NOON + 5 * MINUTE), 10)
    assert (late.threads, late.spans) == (1, 2)
    assert sum(bucket.spans for bucket in late.buckets) == 1

    assert place.store.overview(ThreadQuery(errors=True), 10).buckets[0].errors == 1
    assert place.store.overview(ThreadQuery(text="nobody"), 10).buckets == ()


def test_a_change_is_seen(place: Place) -> None:
    before = place.store.change()
    assert place.store.change() == before
    place.add(span("a"))
    assert place.store.thread("a") is not None  # sums change as somebody reads, at the latest
    assert place.store.change() != before


def test_odd_ids_are_only_text(place: Place) -> None:
    names = ["'", '"', "\\", "a\nb\tc", "%", "{x:String}", "%(x)s", "?", "\U0001f600", "x" * 5000]
    place.add(*(span(name, tags=(name,)) for name in names))
    assert sorted(ids(place)) == sorted(names)
    for name in names:
        thread = place.store.thread(name)
        assert thread is not None
        assert (thread.id, thread.tags) == (name, (name,))
        assert ids(place, tags=(name,)) == [name]
        assert len(place.store.spans(name)) == 1
