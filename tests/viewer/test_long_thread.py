"""A long conversation: what its page sends at first, and where it ends."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from support.viewer_process import Viewer

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store.sqlite import SQLiteStore

from .conversations import NOON, SECOND, said

TURNS = 2_000
#: Each question and each answer, so that there are 5 MB of them.
CHARACTERS = 1_250
MOST = 500_000


# All questions begin alike, as those of a program do.
def turn(number: int) -> KeptSpan:
    words = ("It is on its way. " * CHARACTERS)[:CHARACTERS]
    question = said("user", f"About my parcel, question {number}: {words}")
    answer = said("assistant", f"About your parcel, answer {number}: {words}")
    start = NOON + number * 60 * SECOND
    span = Span(
        *(f"{number + 1:032x}", f"{number + 1:016x}", None, "chat gpt-4o-mini", "CLIENT"),
        *(start, start + SECOND, "UNSET", "", "support", "app"),
        attributes={
            "thread.id": "long",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.id": f"r{number}",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.input.messages": json.dumps([question]),
            "gen_ai.output.messages": json.dumps([answer]),
        },
    )
    return KeptSpan(span, read(span))


@pytest.mark.slow
def test_a_page_of_a_long_thread_is_small(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "threads.db")
    store.write([turn(number) for number in range(TURNS)])
    store.close()
    with Viewer(tmp_path / "threads.db") as viewer:
        end = httpx.get(f"{viewer.pages}/threads/long", timeout=60).raise_for_status()
        assert len(end.content) < MOST
        assert f"answer {TURNS - 1}:" in end.text
        first = httpx.get(f"{viewer.pages}/threads/long?page=1", timeout=60).raise_for_status()
        assert len(first.content) < MOST
        assert "answer 0:" in first.text
