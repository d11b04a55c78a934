"""Runs of a runner as the Agents SDK's: what they find out of their ids, and that they go on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextvars import Context
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor

RUNNER = """
import asyncio

class AgentRunner:
    async def run(self, ask, **arguments):
        await asyncio.sleep(0)
        return ask()

    def run_streamed(self, ask, **arguments):
        return asyncio.get_running_loop().create_task(self._stream(ask))

    async def _stream(self, ask):
        return ask()
"""


class Session:
    """A session that does not know its id yet, as those that OpenAI keeps."""

    @property
    def session_id(self) -> str:
        raise ValueError("Session ID not yet available.")


@pytest.fixture
def runner(telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A runner where the SDK has its own, telemetry."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    (tmp_path / "agents" / "run.py").write_text(RUNNER)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("agents", "agents.run"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    # A call looks for ids of runs if this is imported.
    monkeypatch.setitem(sys.modules, "agents.tracing.scope", SimpleNamespace())
    kind = import_module("agents.run").AgentRunner
    originals = dict(vars(kind))
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    yield kind()
    OpenAIInstrumentor().uninstrument()
    assert dict(vars(kind)) == originals
    for name in ("agents", "agents.run"):
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ({"run_config": SimpleNamespace(group_id="7"), "conversation_id": "conv_1"}, "group"),
        ({"run_config": {"group_id": "7"}, "session": SimpleNamespace(session_id="s")}, "group"),
        ({"run_config": {}, "session": SimpleNamespace(session_id="7")}, "session"),
        ({"session": SimpleNamespace(session_id=" "), "conversation_id": "7"}, "conversation"),
        ({"run_config": SimpleNamespace(), "session": None, "conversation_id": None}, None),
        ({"session": Session(), "conversation_id": "7"}, "conversation"),
        ({"session": Session()}, None),
    ],
)
@pytest.mark.parametrize("method", ["run", "run_streamed"])
def test_a_call_in_a_run_has_the_runs_id(
    telemetry: Telemetry,
    client: openai.OpenAI,
    runner: Any,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    source: str | None,
    method: str,
) -> None:
    def ask() -> str:
        client.embeddings.create(model="e", input="x")
        return "answer"

    async def main() -> None:
        assert await getattr(runner, method)(ask, **arguments) == "answer"
        ask()

    asyncio.run(main())
    inside, after = (span.attributes or {} for span in telemetry.spans)
    assert inside.get("thread.id") == (source and "7")
    assert inside.get("orq_otel.adopted_from") == (source and f"agents.{source}_id")
    assert "thread.id" not in after
    assert "orq-otel" not in caplog.text


def test_a_run_in_a_run_keeps_the_outer_id(
    telemetry: Telemetry, client: openai.OpenAI, runner: Any
) -> None:
    def ask() -> None:
        client.embeddings.create(model="e", input="x")

    async def main() -> None:
        await (await runner.run(lambda: asyncio.create_task(runner.run(ask)), conversation_id="7"))

    asyncio.run(main())
    assert (telemetry.one().attributes or {})["thread.id"] == "7"


def test_a_run_that_is_closed_in_another_context(runner: Any) -> None:
    run = runner.run(int, conversation_id="7")
    Context().run(run.send, None)
    run.close()
