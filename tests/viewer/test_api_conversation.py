"""A conversation over the API: turns with their messages, each with its span, model and agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.viewer_spans import Api, served

from orq_otel.viewer.store.sqlite import SQLiteStore

from .conversations import Recorder, call, result, said

LOOK_UP = said("assistant", call("c1", "find_order", order=7), finish_reason="tool_call")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[SQLiteStore, httpx.Client]]:
    app = Api()
    store = app.store = SQLiteStore(tmp_path / "threads.db")
    with served(app) as client:
        yield store, client
    store.close()


def asked(client: httpx.Client, thread_id: str = "t") -> dict[str, Any]:
    answer = client.get(f"/api/threads/{thread_id}/conversation")
    assert answer.status_code == 200
    return dict(answer.json())


def test_turns_and_their_messages(api: tuple[SQLiteStore, httpx.Client]) -> None:
    store, client = api
    recorder = Recorder("t")
    messages = [said("system", "Be brief."), said("user", "Where is order 7?")]
    agent = {"gen_ai.agent.name": "support"}
    recorder.chat("gpt-4o-mini", messages, [LOOK_UP], 1, (100, 20), more=agent)
    messages += [LOOK_UP, result("c1", {"status": "sent"})]
    recorder.chat("gpt-4o-mini", messages, [said("assistant", "On its way.")], 1, (150, 15))
    store.write(recorder.spans)
    told = asked(client)
    assert (told["turns"], told["has_content"], told["truncated"]) == (2, True, False)
    first, second = told["entries"]
    assert first["agent"] == "support"
    assert first["model"] == recorder.spans[0].facts.model
    assert first["span_id"] == recorder.spans[0].span.span_id
    assert (first["input_tokens"], first["output_tokens"]) == (100, 20)
    assert first["input"] == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Where is order 7?"}]},
    ]
    (message,) = first["output"]
    assert message["finish_reason"] == "tool_call"
    (part,) = message["parts"]
    assert (part["type"], part["id"], part["name"]) == ("tool_call", "c1", "find_order")
    assert part["arguments"] == {"order": 7}
    assert part["result"] == [{"type": "text", "content": '{"status": "sent"}'}]
    assert second["input"] == []
    assert second["repeated_parts"] == 4
    assert second["output"] == [
        {"role": "assistant", "parts": [{"type": "text", "content": "On its way."}]}
    ]


def test_arguments_that_no_json_can_hold_are_a_text(api: tuple[SQLiteStore, httpx.Client]) -> None:
    """Readers other than Python's refuse all of an answer with `Infinity` in it."""
    store, client = api
    recorder = Recorder("t")
    given = '{"most": 1e400, "least": NaN}'
    calling = said("assistant", {**call("c1", "search"), "arguments": given})
    recorder.chat("gpt-4o-mini", [said("user", "Find it.")], [calling], 1, (100, 20))
    store.write(recorder.spans)
    (entry,) = asked(client)["entries"]
    assert entry["output"][0]["parts"][0]["arguments"] == given


def test_a_failed_call_says_why(api: tuple[SQLiteStore, httpx.Client]) -> None:
    store, client = api
    recorder = Recorder("t")
    error = ("Timeout", "too slow")
    recorder.chat("gpt-4o-mini", [said("user", "Hi")], None, 1, None, error=error)
    store.write(recorder.spans)
    (turn,) = asked(client)["entries"]
    assert turn["error"] == {"type": "Timeout", "message": "too slow"}
    assert turn["output"] == []


def test_an_unknown_thread_has_none(api: tuple[SQLiteStore, httpx.Client]) -> None:
    _, client = api
    assert client.get("/api/threads/nobody/conversation").status_code == 404
