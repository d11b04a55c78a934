"""Pages and exports over ClickHouse and over the viewer's own file: the same, to the letter."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.addresses import thread_url
from orq_otel.viewer.web.api import create_api
from orq_otel.viewer.web.pages import create_pages

from . import agents, conversations
from .clickhouse_tables import Database
from .sample_spans import call

#: What differs on purpose: how often anything was written, deletion, and the time that is shown.
_CHANGES = re.compile(r'data-change="\d+"')
_DELETION = re.compile(r'<button[^>]* id="delete".*?</button>|<dialog.*? id="confirm".*?</dialog>')
_PERIODS = re.compile(r'<select name="since".*?</select>|<p class="note" id="period">.*?</p>')
_NUMBERS = re.compile(r'href="/numbers[^"]*" id="to-numbers"')


def told(store: Store, path: str) -> str:
    app = Starlette(routes=[*create_api(store), *create_pages(store)])
    answer = TestClient(app, raise_server_exceptions=True).get(path)
    assert answer.status_code == 200, (path, answer.text)
    text = re.sub(r"\s+", " ", answer.text)
    for one in (_CHANGES, _DELETION, _PERIODS, _NUMBERS):
        text = one.sub("", text)
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("is_summed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_pages_are_the_same(database: Database, sqlite: SQLiteStore, is_summed: bool) -> None:
    stray = call(None, says="Whose is this?")
    judged = conversations.support()[1].span
    spans = [
        *conversations.support(),
        *conversations.travel(),
        *conversations.unknown_model(),
        *conversations.without_content(),
        *conversations.hostile("<b>\u202e"),
        *agents.research(),
        KeptSpan(stray, read(stray)),
    ]
    said = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "thumbs_up"}
    ids = (judged.trace_id, judged.span_id)
    log = LogRecord(*ids, EVALUATION, judged.end, "INFO", None, "shop", "tests", said)
    database.insert(spans, [log])
    sqlite.write(spans, [log])
    threads = [one.id for one in sqlite.threads(ThreadQuery()).threads]
    paths = [
        "/?since=any",
        "/?since=any&q=order",
        "/?since=any&feedback=good&sort=cost",
        "/?since=any&errors=true&tag=support",
        "/tags",
        "/without-thread",
        *(f"/numbers?by={by}" for by in ("model", "tag", "user", "service", "tool")),
        "/api/threads?q=porto",
        "/api/threads.csv?since=2026-01-01T00:00:00Z",
        *(
            address
            for one in threads
            for address in (
                thread_url(one),
                f"/api{thread_url(one)}",
                f"/api{thread_url(one)}/conversation",
            )
        ),
    ]
    with database.store() as store:
        if is_summed:
            store.create_rollup()
        for path in paths:
            if "q=" in path and not is_summed:
                continue  # spans come into the copy in another order, by which messages are shown
            assert told(store, path) == told(sqlite, path), path
