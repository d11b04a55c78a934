"""The code of docs/user_and_metadata.md and docs/feedback.md runs as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from stand_ins.orq_api import OrqServer
from support.signals import Signals

from orq_otel import propagate_threads, thread, use_labels
from orq_otel.foundations.process import process

DOCS = Path(__file__).parents[1] / "docs"
MESSAGES = [{"role": "user", "content": "Where is my parcel?"}]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """OpenAI's client instrumented, and global providers."""
    signals = Signals().instrument()
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", signals.tracer_provider)
    monkeypatch.setattr("opentelemetry._logs._internal._LOGGER_PROVIDER", signals.logger_provider)
    yield signals
    propagate_threads()
    use_labels()
    signals.close()
    process.reset()


def run(page: str, names: dict[str, Any]) -> None:
    """Run all of a page's code, one block after the other."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        # With the lines that it has in the page, for tracebacks.
        code = "\n" * text[: match.start(1)].count("\n") + match[1]
        exec(compile(code, str(DOCS / page), "exec"), names)


def test_user_and_metadata(
    signals: Signals, client: OpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"client": client, "messages": MESSAGES, "plan_of": {"ada": "pro"}.get}
    run("user_and_metadata.md", names)
    attributes = signals.spans[0].attributes or {}
    assert attributes["user.id"] == "ada"
    assert (attributes["thread.metadata.plan"], attributes["thread.metadata.seats"]) == ("pro", 3)
    assert capsys.readouterr().out == "ada {'plan': 'pro'}\n"
    assert "orq.user_id=ada" in names["headers"]["baggage"]
    assert "private" not in names["headers"]["baggage"]
    with thread("t-1", user="ada", metadata={"n": 1}):
        signals.tracer_provider.get_tracer("test").start_span("work").end()
    attributes = signals.spans[-1].attributes or {}
    assert (attributes["enduser.id"], attributes["app.meta.n"]) == ("ada", 1)
    assert attributes["app.meta"] == '{"n": 1}'


def test_feedback(signals: Signals, client: OpenAI) -> None:
    orq_ai_sdk = pytest.importorskip("orq_ai_sdk")
    with OrqServer() as api, orq_ai_sdk.Orq(api_key="k", server_url=api.url) as orq:
        run(
            "feedback.md",
            {
                "client": client,
                "messages": MESSAGES,
                "orq": orq,
                "trace_id": "T",
                "span_id": "S",
            },
        )
        assert [request.operation for request in api.requests] in (
            ["annotations.create"],
            ["feedback.create"],  # of older clients
        )
    told = [
        (attributes["gen_ai.evaluation.name"], attributes.get("gen_ai.evaluation.score.label"))
        for _, attributes in signals.events()
    ]
    assert told == [
        ("user_feedback", "thumbs_up"),
        ("user_feedback", "thumbs_up"),
        ("user_feedback", "thumbs_down"),
        ("user_feedback", None),
        ("user_feedback", "too long"),
        ("relevance", "relevant"),
        ("user_feedback", "thumbs_up"),
        ("user_feedback", "thumbs_up"),
    ]
    (turn,) = [span for span in signals.spans if span.name == "turn"]
    about = signals.logs[6].log_record
    assert turn.context is not None
    assert (about.trace_id, about.span_id) == (turn.context.trace_id, turn.context.span_id)
