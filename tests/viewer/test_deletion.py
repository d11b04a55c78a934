"""A thread is deleted: what goes, what stays, and who may do it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from support.viewer_spans import Api, chat, served, span

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import deletion
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.store import open_store
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.api import create_api
from orq_otel.viewer.web.web_guard import WebGuard

from .agents import judged
from .clickhouse_tables import Database
from .sqlite_checks import rollup_errors


def kept(one: Span) -> KeptSpan:
    return KeptSpan(one, read(one))


@pytest.fixture
def full(sqlite: SQLiteStore) -> tuple[SQLiteStore, list[Span]]:
    """Two threads that share a trace, each with a trace of its own, and a log record for each."""
    shared, own = "ab" * 16, "cd" * 16
    spans = [
        chat("going", text="One?", tags=["a"], trace_id=shared),
        chat("staying", text="Two?", tags=["a", "b"], trace_id=shared),
        span(None, name="request", trace_id=shared),
        chat("going", text="Three?", trace_id=own),
        span(None, name="inside", resource={"service.name": "only here"}, trace_id=own),
    ]
    of_thread = LogRecord(
        None, None, "note", spans[0].start, "INFO", "x", "shop", "tests", {"thread.id": "going"}
    )
    logs = [*(judged(kept(one), "helpfulness") for one in spans), of_thread]
    sqlite.write([kept(one) for one in spans], logs)
    return sqlite, spans


def test_what_goes_and_what_stays(full: tuple[SQLiteStore, list[Span]]) -> None:
    store, spans = full
    before = store.change()
    assert store.delete_thread("going") == 3 + 4  # spans, and log records
    assert store.thread("going") is None
    assert store.change() != before
    assert rollup_errors(store) == []
    assert [one.span.span_id for one in store.trace("ab" * 16)] == [
        spans[1].span_id,
        spans[2].span_id,
    ]
    assert list(store.trace("cd" * 16)) == []
    assert len(store.logs("staying")) == 2
    assert store.delete_thread("going") == 0
    assert store.delete_thread("staying") == 2 + 2
    assert store._file.read(
        lambda connection: [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("spans", "logs", "threads", "tags", "resources")
        ]
    ) == [0, 0, 0, 0, 0]


def test_over_the_api(full: tuple[SQLiteStore, list[Span]]) -> None:
    api = Api()
    api.store = full[0]
    with served(api) as client:
        assert client.delete("/api/threads/going").json() == {"deleted": 7}
        assert client.delete("/api/threads/going").status_code == 404
        assert client.delete("/api/threads/staying?force=1").status_code == 400
        assert [one["id"] for one in client.get("/api/threads").json()["threads"]] == ["staying"]


def test_pages_of_others_cannot(tmp_path: Path) -> None:
    store = open_store(tmp_path / "threads.db")
    store.write([kept(chat("t"))])
    app = Starlette(routes=[*create_api(store)])
    with served(WebGuard(app, Guard("127.0.0.1", "secret"))) as client:
        token = {"authorization": "Bearer secret"}
        there = "/api/threads/t"
        assert client.delete(there).status_code == 401
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            assert client.delete(there, headers={**token, "origin": origin}).status_code == 403
        assert client.delete(there, headers={**token, "host": "evil.example"}).status_code == 403
        # Before a browser sends it for another page, it asks, and is not allowed to.
        asked = client.options(there, headers={**token, "access-control-request-method": "DELETE"})
        assert "access-control-allow-origin" not in asked.headers
        assert client.get(there, headers=token).status_code == 200
        assert client.delete(there, headers=token).json() == {"deleted": 1}
    store.close()


def test_a_store_of_others_has_no_deletion(database: Database) -> None:
    with database.store() as store:
        assert deletion(store) is None
        api = Api()
        api.store = store
        with served(api) as client:
            answer: httpx.Response = client.delete("/api/threads/t")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, HEAD"
