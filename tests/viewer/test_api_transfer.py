"""Threads leave as files and come back: export, import, and what other collectors take of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.viewer_spans import NOON, SECOND, Api, chat, keep, served, span

from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.receive.otlp import from_json
from orq_otel.viewer.store import open_store
from orq_otel.viewer.web import api as limits

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Api, httpx.Client]]:
    app = Api()
    with served(app) as client:
        yield app, client


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "threads.db")
    yield store
    store.close()


@pytest.fixture
def api(store: Store, server: tuple[Api, httpx.Client]) -> httpx.Client:
    app, client = server
    app.store = store
    return client


def conversation() -> list[Span]:
    """Two traces of a thread, one of them with spans of another and of none."""
    shared = {"trace_id": "ab" * 16}
    return [
        chat("söme/thread", text="Where is it? 🙂", tags=["a", "b"]),
        span(
            "söme/thread",
            parent_id="12" * 8,
            kind="SERVER",
            start=NOON + 3 * SECOND + 7,
            status="ERROR",
            status_message="no",
            attributes={
                "nothing": None,
                "yes": True,
                "many": 2**62,
                "half": 0.5,
                "whole": 2.0,
                "list": ["a", 1, [2]],
                "map": {"deep": {"er": []}},
                "bidi": "\u202e\x00\x1b",
            },
            resource={"service.name": "other", "host": {"cpu": 2}},
            scope="elsewhere",
            events=({"name": "exception", "time": NOON + 1, "attributes": {"type": "E"}},),
            links=({"trace_id": "56" * 16, "span_id": "78" * 8, "attributes": {"why": "retry"}},),
            **shared,
        ),
        span("another", start=NOON + 4 * SECOND, **shared),
        span(None, start=NOON + 5 * SECOND, resource={}, **shared),
    ]


def export(api: httpx.Client, form: str, thread: str = "s%C3%B6me%2Fthread") -> httpx.Response:
    answer = api.get(f"/api/threads/{thread}/export?format={form}")
    assert answer.status_code == 200
    assert f'filename="thread.{form}.json"' in answer.headers["content-disposition"]
    return answer


def test_an_export_as_otlp_has_every_span_as_it_was(store: Store, api: httpx.Client) -> None:
    spans = conversation()
    keep(store, *spans, span("unrelated"))
    received = from_json(export(api, "otlp").content)
    assert (received.rejected, received.reason) == (0, "")
    back = {one.span_id: one for one in received.spans}
    assert len(back) == len(received.spans) == 4
    for one in spans:
        assert dataclasses.asdict(back[one.span_id]) == dataclasses.asdict(one)


def test_an_import_of_an_export_gives_the_same_thread(
    store: Store, api: httpx.Client, tmp_path: Path, server: tuple[Api, httpx.Client]
) -> None:
    keep(store, *conversation())
    before, body = export(api, "json").json(), export(api, "otlp").content
    other = open_store(tmp_path / "other.db")
    server[0].store = other
    try:
        answer = api.post("/api/import", content=body, headers=JSON)
        assert answer.json() == {"spans": 4, "rejected": 0, "reason": ""}
        assert export(api, "json").json() == before
        # Once more changes nothing.
        assert api.post("/api/import", content=body, headers=JSON).status_code == 200
        assert export(api, "json").json() == before
    finally:
        other.close()


def test_an_export_as_json_is_the_thread_with_its_spans(store: Store, api: httpx.Client) -> None:
    keep(store, *conversation())
    exported = export(api, "json").json()
    assert exported == {
        "thread": api.get("/api/threads/s%C3%B6me%2Fthread").json(),
        "spans": api.get("/api/threads/s%C3%B6me%2Fthread/spans").json()["spans"],
    }


def test_lines_are_imported_one_by_one(store: Store, api: httpx.Client) -> None:
    keep(store, span("a"), span("b"))
    lines = [export(api, "otlp", thread).text for thread in "ab"]
    body = "\n\n".join([*lines, '{"resourceLogs": []}', ""])
    answer = api.post("/api/import", content=body, headers=LINES)
    assert answer.json() == {"spans": 2, "rejected": 0, "reason": ""}


def test_a_request_may_be_spread_over_lines(store: Store, api: httpx.Client) -> None:
    keep(store, span("a"))
    body = json.dumps(export(api, "otlp", "a").json(), indent=2)
    assert api.post("/api/import", content=body, headers=JSON).json()["spans"] == 1


def test_spans_that_make_no_sense_are_counted(api: httpx.Client) -> None:
    spans = [{"name": "no id"}, {"name": "nor here"}]
    body: dict[str, Any] = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    answer = api.post("/api/import", json=body).json()
    assert (answer["spans"], answer["rejected"]) == (0, 2)
    assert "'no id'" in answer["reason"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "message"),
    [
        (b"{", JSON, 400, "invalid_body", "The file is no OTLP/JSON"),
        (b"", JSON, 200, "", ""),
        (b"{}", JSON, 200, "", ""),
        (b'{"resourceLogs": [], "resourceSpans": null}', JSON, 200, "", ""),
        (
            b'{"thread": {}, "spans": []}',
            JSON,
            400,
            "invalid_body",
            "export?format=otlp` writes it",
        ),
        (b'{"a": 1}\n{"b": 2}', LINES, 400, "invalid_body", "There are no spans in it"),
        (b"[]", JSON, 400, "invalid_body", "Line 1 is no OTLP/JSON"),
        (b"{}\n{]\n", LINES, 400, "invalid_body", "Line 2 is no OTLP/JSON"),
        (b'{"resourceSpans": 1}', JSON, 400, "invalid_body", "must be a list"),
        (b"\xff\xfe\x00", JSON, 400, "invalid_body", "no OTLP/JSON"),
        (b"[" * 100_000, JSON, 400, "invalid_body", "no OTLP/JSON"),
        (b'{"resourceSpans": [' + b"9" * 5000 + b"]}", JSON, 400, "invalid_body", "no OTLP"),
        (b"{}", {}, 415, "unknown_type", "application/json or application/x-ndjson"),
        (b"{}", {"content-type": "text/plain"}, 415, "unknown_type", "application/json"),
        (b"{}", {**JSON, "content-encoding": "gzip"}, 415, "unknown_encoding", "not compressed"),
        (b" " * (limits.MAX_IMPORT + 1), JSON, 413, "too_large", "Send it in pieces"),
    ],
)
def test_what_cannot_be_imported(
    api: httpx.Client, body: bytes, headers: dict[str, str], status: int, code: str, message: str
) -> None:
    answer = api.post("/api/import", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    if code:
        assert answer.json()["error"]["code"] == code
        assert message in answer.json()["error"]["message"]


def test_a_line_with_too_many_values_is_one_of_several(api: httpx.Client) -> None:
    body = b'{"some": [' + b"[]," * 1_000_000 + b"[]]}\n{}"
    answer = api.post("/api/import", content=body, headers=LINES)
    assert answer.status_code == 400
    message = "Line 1 is no OTLP/JSON: the request has too many values."
    assert answer.json()["error"]["message"].startswith(message)


def test_nothing_is_kept_of_a_body_that_is_half_readable(store: Store, api: httpx.Client) -> None:
    keep(store, span("a", span_id="aa" * 8))
    body = export(api, "otlp", "a").text.replace("aa" * 8, "bb" * 8) + "\n{"
    assert api.post("/api/import", content=body, headers=LINES).status_code == 400
    assert api.get("/api/threads/a").json()["spans"] == 1


def test_an_export_has_no_limit(store: Store, api: httpx.Client) -> None:
    # Several pieces are read of the store, and none is there twice or not at all.
    names = [f"{index:04d}" for index in range(60)]
    keep(
        store,
        *(span("t", name=name, start=NOON, attributes={"text": "x" * 100_000}) for name in names),
    )
    assert [one["name"] for one in export(api, "json", "t").json()["spans"]] == names
    told = [
        one["name"]
        for of_resource in export(api, "otlp", "t").json()["resourceSpans"]
        for of_scope in of_resource["scopeSpans"]
        for one in of_scope["spans"]
    ]
    assert told == names
    answer = api.head("/api/threads/t/export")
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_unknown_format(store: Store, api: httpx.Client) -> None:
    keep(store, span("t"))
    answer = api.get("/api/threads/t/export?format=csv")
    assert answer.status_code == 400
    assert (
        answer.json()["error"]["message"]
        == "format must be one of json, otlp, markdown, html, not 'csv'."
    )
