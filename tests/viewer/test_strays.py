"""Spans that belong to no thread: they are shown with what they say, until they have one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.web.pages import create_pages

from .conversations import NOON, SECOND


def span(
    span_id: int, parent: int | None, name: str, seconds: int, **attributes: object
) -> KeptSpan:
    told = {one.replace("__", "."): value for one, value in attributes.items()}
    found = Span(
        *(f"{1:032x}", f"{span_id:016x}", None if parent is None else f"{parent:016x}", name),
        *("INTERNAL", NOON + span_id * SECOND, NOON + (span_id + seconds) * SECOND, "UNSET", ""),
        *("billing-bot", "app"),
        attributes=told,
    )
    return KeptSpan(found, read(found))


CALL = span(
    *(2, 1, "chat gpt-4o-mini", 1),
    gen_ai__operation__name="chat",
    gen_ai__request__model="gpt-4o-mini",
    gen_ai__usage__input_tokens=100,
    gen_ai__input__messages='[{"role":"user","content":"Where is my invoice?"}]',
    gen_ai__output__messages='[{"role":"assistant","content":"In your inbox."}]',
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "threads.db")
    yield store
    store.close()


@pytest.fixture
def pages(store: SQLiteStore) -> httpx.Client:
    return TestClient(Starlette(routes=create_pages(store)))


def test_they_are_shown_with_what_they_say(store: SQLiteStore, pages: httpx.Client) -> None:
    store.write([CALL])
    assert "1 span of billing-bot arrived without a thread" in pages.get("/").text
    page = pages.get("/without-thread").text
    assert "Where is my invoice?" in page
    assert "In your inbox." in page


def test_nothing_is_said_of_spans_that_are_no_conversation(
    store: SQLiteStore, pages: httpx.Client
) -> None:
    store.write([span(1, None, "GET /", 1, http__request__method="GET", session__id="browser-7")])
    assert "without a thread" not in pages.get("/").text
    assert store.thread("browser-7") is None
    assert "There are none" in pages.get("/without-thread").text


def test_a_parent_that_comes_late_brings_the_thread(
    store: SQLiteStore, pages: httpx.Client
) -> None:
    store.write([CALL])
    store.write([span(1, None, "handle", 9, session__id="support-42")])
    thread = store.thread("support-42")
    assert thread is not None
    assert (thread.spans, thread.input_tokens, thread.title) == (2, 100, "Where is my invoice?")
    assert "without a thread" not in pages.get("/").text


def test_a_web_session_is_no_thread_where_the_call_has_one(store: SQLiteStore) -> None:
    below = span(3, 1, "chat", 1, gen_ai__operation__name="chat", thread__id="support-42")
    store.write([span(1, None, "POST /chat", 9, session__id="browser-7"), below])
    assert store.thread("browser-7") is None
    thread = store.thread("support-42")
    assert thread is not None
    assert thread.spans == 2  # the trace has one id alone, which is lent to the request


def test_what_to_set_is_that_of_the_sender(store: SQLiteStore, pages: httpx.Client) -> None:
    found = span(1, None, "ChatCompletion", 1, openinference__span__kind="LLM", thread__id="quiet")
    named = replace(found.span, scope="openinference.instrumentation.openai", status="ERROR")
    store.write([KeptSpan(named, read(named))])
    page = pages.get("/threads/quiet").text
    assert "OPENINFERENCE_HIDE_INPUTS=false OPENINFERENCE_HIDE_OUTPUTS=false" in page
    assert "CAPTURE_MESSAGE_CONTENT" not in page


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_span_between_a_session_and_its_call_may_come_at_any_time(
    store: SQLiteStore, order: tuple[int, ...]
) -> None:
    between = replace(CALL.span, span_id=f"{3:016x}", parent_id=f"{4:016x}", attributes={})
    call = replace(CALL.span, parent_id=between.span_id)
    spans = [span(4, None, "turn", 9, session__id="s"), KeptSpan(between, read(between))]
    spans.append(KeptSpan(call, read(call)))
    for place in order:
        store.write([spans[place]])
    thread = store.thread("s")
    assert thread is not None
    assert (thread.spans, thread.input_tokens) == (3, 100)
