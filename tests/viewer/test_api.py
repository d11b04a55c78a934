"""The API, over HTTP: threads, their spans, and everything that can be asked of them."""

from __future__ import annotations

import csv
import http.client
import io
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from support.viewer_spans import NOON, SECOND, Api, chat, served, span

from orq_otel.viewer.store.sqlite import SQLiteStore

from .conftest import Place
from .sample_spans import call

IDS = [
    "support-42",
    "a/b",
    "a/spans",
    "a//",
    "/",
    "%2F",
    "a?b#c&d=e;f",
    "Größe 日本 🙂",
    "line\nend\r\n\ttab",
    "nul\x00inside",
    "\x1b[31mred",
    " ",
    "x" * 1000,
    "'; DROP TABLE threads; --",
    "[bracket]%_\\*",
]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Api, httpx.Client]]:
    app = Api()
    with served(app) as client:
        yield app, client


@pytest.fixture
def local(sqlite: SQLiteStore) -> Place:
    return Place(sqlite, sqlite.write)


@pytest.fixture
def api(local: Place, server: tuple[Api, httpx.Client]) -> httpx.Client:
    """The API on the store of one machine."""
    app, client = server
    app.store = local.store
    return client


@pytest.fixture
def any_api(place: Place, server: tuple[Api, httpx.Client]) -> httpx.Client:
    """The API on each kind of store."""
    app, client = server
    app.store = place.store
    return client


def found(api: httpx.Client, query: str = "") -> list[str]:
    answer = api.get(f"/api/threads?{query}")
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["threads"]]


def refused(api: httpx.Client, path: str, method: str = "GET", **more: Any) -> tuple[int, str, str]:
    answer = api.request(method, path, **more)
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error.keys() == {"code", "message"}
    return answer.status_code, error["code"], error["message"]


def test_a_thread_has_what_the_overview_shows(place: Place, any_api: httpx.Client) -> None:
    place.add(
        chat("support-42", text="Where is my parcel?", tags=["support", "priority-high"]),
        span("support-42", tags=["late"], start=NOON + 2 * SECOND, status="ERROR"),
        chat("support-42", model="nobody-knows-it", cost=None, start=NOON + 4_500_000_000),
    )
    thread = any_api.get("/api/threads/support-42").json()
    assert thread == {
        "id": "support-42",
        "title": "Where is my parcel?",
        "tags": ["support", "priority-high", "late"],
        "started_at": "2026-08-01T12:00:00.000Z",
        "last_active_at": "2026-08-01T12:00:05.500Z",
        "duration_ms": 5500.0,
        "traces": 3,
        "spans": 3,
        "errors": 1,
        "models": ["gpt-5-mini", "nobody-knows-it"],
        "input_tokens": 2000,
        "output_tokens": 200,
        "cost_usd": 0.125,
        "unpriced_calls": 1,
        "estimated_usd": 0.0,
    }
    assert any_api.get("/api/threads").json() == {"threads": [thread], "next_cursor": None}


def test_an_unknown_cost_is_null(place: Place, any_api: httpx.Client) -> None:
    place.add(chat("t", model="nobody-knows-it", cost=None))
    thread = any_api.get("/api/threads/t").json()
    assert (thread["cost_usd"], thread["unpriced_calls"], thread["title"]) == (None, 1, None)


def test_how_much_of_a_cost_is_an_estimate(place: Place, any_api: httpx.Client) -> None:
    place.add(
        call("t", cost=0.5, tags=("near",)), call("t", server__address="10.0.0.5", tags=("near",))
    )
    thread = any_api.get("/api/threads/t").json()
    told = (thread["cost_usd"], thread["estimated_usd"])
    assert told == (pytest.approx(0.50021), pytest.approx(0.00021))
    (group,) = any_api.get("/api/numbers?by=tag").json()["groups"]
    assert (group["cost_usd"], group["estimated_usd"]) == told
    (row,) = csv.DictReader(io.StringIO(any_api.get("/api/threads.csv").text))
    assert float(row["estimated_usd"]) == pytest.approx(0.00021)


def test_nothing_is_an_empty_list(api: httpx.Client) -> None:
    assert api.get("/api/threads").json() == {"threads": [], "next_cursor": None}


def test_threads_by_tag(place: Place, any_api: httpx.Client) -> None:
    place.add(
        span("one", tags=["a"]),
        span("two", tags=["a", "b & c"]),
        span("three", tags=["b & c"]),
        span("four"),
    )
    b = quote("b & c")
    assert sorted(found(any_api, "tag=a")) == ["one", "two"]
    assert found(any_api, f"tag=a&tag={b}") == ["two"]
    assert found(any_api, f"tag=a&tag={b}&match=all") == ["two"]
    assert sorted(found(any_api, f"tag=a&tag={b}&match=any")) == ["one", "three", "two"]
    assert found(any_api, "tag=nobody") == []


def test_threads_by_text(place: Place, any_api: httpx.Client) -> None:
    place.add(chat("order-1", text="Where is my LAMP?"), chat("lamp-2"), chat("100%_sure"))
    assert sorted(found(any_api, "q=lamp")) == ["lamp-2", "order-1"]
    assert found(any_api, f"q={quote('%_')}") == ["100%_sure"]
    assert found(any_api, "q=l%25mp") == []
    assert len(found(any_api, "q=")) == 3


def test_threads_by_time(place: Place, any_api: httpx.Client) -> None:
    place.add(span("early"), span("late", start=NOON + 3600 * SECOND))
    assert found(any_api, "since=2026-08-01T12:00:02Z") == ["late"]
    assert found(any_api, "since=2026-08-01T14:00:01%2B02:00") == ["late", "early"]
    assert found(any_api, "since=2026-08-01T14:00:02+02:00") == ["late"]  # as if it were escaped
    assert found(any_api, "until=2026-08-01T12:00:00.000000001Z") == ["early"]
    assert found(any_api, "until=2026-08-01T12:00:00Z") == []
    assert found(any_api, "since=1s") == []
    assert found(any_api, "since=9999999w") == ["late", "early"]
    assert found(any_api, "until=9999-12-31T23:59:60Z&since=0001-01-01t00:00:00z") == [
        "late",
        "early",
    ]


def test_relative_times_are_from_now(local: Place, api: httpx.Client) -> None:
    import time  # noqa: PLC0415

    local.add(span("new", start=time.time_ns() - 5 * 60 * SECOND))
    assert found(api, "since=10m") == found(api, "since=1h") == found(api, "since=7d") == ["new"]
    assert found(api, "since=2m") == []
    assert found(api, "until=2m") == ["new"]
    assert found(api, "until=10m") == []


def test_threads_with_errors(place: Place, any_api: httpx.Client) -> None:
    place.add(span("well"), span("failed", status="ERROR"))
    assert found(any_api, "errors=true") == ["failed"]
    assert sorted(found(any_api, "errors=false")) == ["failed", "well"]


@pytest.mark.parametrize(
    ("sort", "largest"),
    [
        ("last_active", "late"),
        ("started", "late"),
        ("duration", "long"),
        ("spans", "busy"),
        ("tokens", "talkative"),
        ("cost", "talkative"),
        ("errors", "wrong"),
    ],
)
def test_threads_in_order(local: Place, api: httpx.Client, sort: str, largest: str) -> None:
    local.add(
        span("late", start=NOON + 99 * SECOND),
        span("long", end=NOON + 90 * SECOND),
        *[span("busy") for _ in range(3)],
        chat("talkative"),
        span("wrong", status="ERROR"),
    )
    order = found(api, f"sort={sort}")
    assert order[0] == largest
    assert len(order) == 5
    upwards = found(api, f"sort={sort}&order=asc")
    assert upwards[-1] == largest
    assert sorted(upwards) == sorted(order)
    pages = []
    query = f"sort={sort}&order=asc&limit=2"
    cursor = ""
    while True:
        page = api.get(f"/api/threads?{query}{cursor}").json()
        pages.append([one["id"] for one in page["threads"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={quote(page['next_cursor'])}"
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == upwards


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_show_everything_once_while_spans_arrive(
    local: Place, api: httpx.Client, order: str
) -> None:
    before = [f"thread-{number:03}" for number in range(100)]
    local.add(*(span(name, start=NOON + n // 3 * SECOND) for n, name in enumerate(before)))
    stop = threading.Event()

    def arrive() -> None:
        number = 0
        while not stop.is_set():
            at = NOON + number % 40 * SECOND
            local.add(
                span(f"new-{number}", start=at),
                span(before[number % 100], start=NOON + 99 * SECOND),
            )
            number += 1

    seen: list[str] = []
    writer = threading.Thread(target=arrive)
    writer.start()
    try:
        cursor = ""
        while True:
            page = api.get(f"/api/threads?sort=started&order={order}&limit=7{cursor}").json()
            seen += [one["id"] for one in page["threads"] if one["id"].startswith("thread-")]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={quote(page['next_cursor'])}"
    finally:
        stop.set()
        writer.join()
    assert sorted(seen) == before


@pytest.mark.parametrize("thread_id", IDS)
def test_any_text_is_an_id(local: Place, api: httpx.Client, thread_id: str) -> None:
    local.add(span(thread_id, name="its own"), span(thread_id + "2", name="of another"))
    path = f"/api/threads/{quote(thread_id, safe='')}"
    assert api.get(path).json()["id"] == thread_id
    assert [one["name"] for one in api.get(f"{path}/spans").json()["spans"]] == ["its own"]
    assert api.get(f"{path}/export").json()["thread"]["id"] == thread_id
    assert thread_id in found(api, f"q={quote(thread_id, safe='')}")


def test_any_text_is_an_id_in_every_store(place: Place, any_api: httpx.Client) -> None:
    place.add(*(span(thread_id) for thread_id in IDS))
    assert sorted(found(any_api)) == sorted(IDS)
    for thread_id in ("Größe 日本 🙂", "nul\x00inside", "'; DROP TABLE threads; --"):
        spans = any_api.get(f"/api/threads/{quote(thread_id, safe='')}/spans").json()["spans"]
        assert [one["thread_id"] for one in spans] == [thread_id]


@pytest.mark.parametrize("thread_id", [".", ".."])
def test_dots_are_ids_where_the_client_leaves_them_alone(
    local: Place, api: httpx.Client, thread_id: str
) -> None:
    local.add(span(thread_id))
    connection = http.client.HTTPConnection(api.base_url.host, api.base_url.port or 0)
    connection.request("GET", f"/api/threads/{thread_id.replace('.', '%2E')}/spans")
    answer = json.load(connection.getresponse())
    connection.close()
    assert [one["thread_id"] for one in answer["spans"]] == [thread_id]


def test_a_slash_need_not_be_escaped(place: Place, any_api: httpx.Client) -> None:
    place.add(span("teams/a/42"))
    assert any_api.get("/api/threads/teams/a/42").json()["id"] == "teams/a/42"
    assert len(any_api.get("/api/threads/teams/a/42/spans").json()["spans"]) == 1


def test_spans_tell_everything(local: Place, api: httpx.Client) -> None:
    local.add(
        chat(
            "t",
            trace_id="ab" * 16,
            span_id="cd" * 8,
            parent_id="ef" * 8,
            start=NOON + 123_456_789,
            end=NOON + SECOND,
            status="ERROR",
            status_message="too slow",
            attributes={"deep": {"list": [1, 2.5, True, None, "ü"]}},
            events=[{"name": "retry", "time": NOON + 500_000_001, "attributes": {"n": 1}}],
            links=[{"trace_id": "12" * 16, "span_id": "34" * 8, "attributes": {}}],
        ),
    )
    answer = api.get("/api/threads/t/spans").json()
    (one,) = answer["spans"]
    assert answer["truncated"] is False
    assert one.pop("attributes")["deep"] == {"list": [1, 2.5, True, None, "ü"]}
    assert one == {
        "trace_id": "ab" * 16,
        "span_id": "cd" * 8,
        "parent_id": "ef" * 8,
        "thread_id": "t",
        "name": "chat gpt-5-mini",
        "kind": "CLIENT",
        "started_at": "2026-08-01T12:00:00.123456789Z",
        "ended_at": "2026-08-01T12:00:01.000000000Z",
        "duration_ms": 876.543,
        "ends_before_start": False,
        "status": "ERROR",
        "status_message": "too slow",
        "error": True,
        "operation": "chat",
        "model": "gpt-5-mini",
        "provider": "openai",
        "input_tokens": 1000,
        "output_tokens": 100,
        "cost_usd": 0.125,
        "cost_details": {
            "source": "gen_ai.usage.cost",
            "is_reported": True,
            "estimate": None,
            "provider": None,
            "model": None,
            "service_tier": None,
            "list_date": None,
            "parts": [],
        },
        "service": "shop",
        "scope": "tests",
        "resource": {"service.name": "shop"},
        "events": [
            {"name": "retry", "time": "2026-08-01T12:00:00.500000001Z", "attributes": {"n": 1}}
        ],
        "links": [{"trace_id": "12" * 16, "span_id": "34" * 8, "attributes": {}}],
    }


def test_spans_of_the_same_traces_come_along(place: Place, any_api: httpx.Client) -> None:
    trace = {"trace_id": "ab" * 16}
    place.add(
        span("other", name="third", start=NOON + 2, **trace),
        span(None, name="second", start=NOON + 1, **trace),
        span("t", name="first", **trace),
        span("other", name="elsewhere"),
    )
    spans = any_api.get("/api/threads/t/spans").json()["spans"]
    assert [(one["name"], one["thread_id"]) for one in spans] == [
        ("first", "t"),
        ("second", None),
        ("third", "other"),
    ]
    some = any_api.get("/api/threads/t/spans?limit=2").json()
    assert ([one["name"] for one in some["spans"]], some["truncated"]) == (
        ["first", "second"],
        True,
    )
    assert any_api.get("/api/threads/t/spans?limit=3").json()["truncated"] is False


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("tags=a", "invalid_parameter", "There is no parameter 'tags'. These are known: tag,"),
        ("tag=", "invalid_parameter", "tag must not be empty"),
        ("match=some", "invalid_parameter", "match must be one of all, any, not 'some'."),
        ("since=yesterday", "invalid_parameter", "such as 30m, 1h or 7d"),
        ("since=2026-08-01", "invalid_parameter", "such as 2026-08-01T12:00:00Z"),
        ("since=2026-08-01T12:00:00", "invalid_parameter", "with its zone"),
        ("until=2026-02-30T12:00:00Z", "invalid_parameter", "until is not a time"),
        ("until=", "invalid_parameter", "until is not a time"),
        ("since=1y", "invalid_parameter", "since is not a time"),
        ("since=-1h", "invalid_parameter", "since is not a time"),
        ("errors=maybe", "invalid_parameter", "errors must be one of true, false"),
        ("sort=name", "invalid_parameter", "sort must be one of last_active, started,"),
        ("order=up", "invalid_parameter", "order must be one of desc, asc"),
        ("limit=0", "invalid_parameter", "limit must be a number from 1 to 500, not '0'."),
        ("limit=501", "invalid_parameter", "limit must be a number"),
        ("limit=-1", "invalid_parameter", "limit must be a number"),
        ("limit=1e2", "invalid_parameter", "limit must be a number"),
        ("limit=%D9%A1", "invalid_parameter", "limit must be a number"),
        ("limit=1&limit=2", "invalid_parameter", "limit occurs 2 times. Give it once."),
        ("cursor=nonsense", "invalid_cursor", "cursor must be the next_cursor of a page"),
        ("cursor=", "invalid_cursor", "Leave it out to begin again."),
        ("cursor=%00%FF", "invalid_cursor", "cursor must be"),
    ],
)
def test_a_wrong_question_is_told_how_to_ask(
    api: httpx.Client, query: str, code: str, message: str
) -> None:
    status, told, text = refused(api, f"/api/threads?{query}")
    assert (status, told) == (400, code)
    assert message in text


def test_a_cursor_is_of_one_order(local: Place, api: httpx.Client) -> None:
    local.add(span("a"), span("b"))
    cursor = api.get("/api/threads?limit=1").json()["next_cursor"]
    assert refused(api, f"/api/threads?cursor={cursor}&sort=spans")[:2] == (400, "invalid_cursor")


@pytest.mark.parametrize("below", ["", "/spans", "/export"])
def test_a_thread_that_is_not_there(api: httpx.Client, below: str) -> None:
    status, code, message = refused(api, f"/api/threads/no%2Fsuch{below}")
    assert (status, code) == (404, "no_such_thread")
    assert "'no/such'" in message


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/thread", "/api/threads/", "/api/x/%0A"])
def test_a_path_that_is_not_there(api: httpx.Client, path: str) -> None:
    assert refused(api, path)[:2] == (404, "no_such_path")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/threads", "GET, HEAD"),
        ("PUT", "/api/threads/t", "GET, DELETE, HEAD"),
        ("OPTIONS", "/api/threads/t/spans", "GET, HEAD"),
        ("PUT", "/api/threads/t/export", "GET, HEAD"),
        ("GET", "/api/import", "POST"),
        ("TRACE", "/api/openapi.json", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_for_it(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    assert refused(api, path, method)[:2] == (405, "method_not_allowed")
    assert api.request(method, path).headers["allow"] == allowed


def test_head_is_get_without_a_body(local: Place, api: httpx.Client) -> None:
    local.add(span("t"))
    answer = api.head("/api/threads/t")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(api.get("/api/threads/t").content)


def test_a_store_that_fails_is_told(sqlite: SQLiteStore, server: tuple[Api, httpx.Client]) -> None:
    app, api = server
    app.store = sqlite
    sqlite.close()
    status, code, message = refused(api, "/api/threads")
    assert (status, code) == (503, "store_unavailable")
    assert "spans.db is closed" in message


def test_answers_are_not_to_be_stored(api: httpx.Client) -> None:
    assert api.get("/api/threads").headers["cache-control"] == "no-store"
