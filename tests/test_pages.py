"""The code of pages that have no tests of their own runs as it stands there."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from openai import OpenAI
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stand_ins.model_server import ModelServer
from stand_ins.orq_api import OrqServer
from support.pages import run_page
from support.signals import Signals

from orq_otel import OpenAIInstrumentor, propagate_threads, thread, use_labels
from orq_otel.foundations.process import process

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
ONE = {"thread.id": "support-42", "thread.tags": ("support",)}


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signals]:
    """OpenAI's client instrumented, and global providers."""
    signals = Signals().instrument()
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", signals.tracer_provider)
    yield signals
    propagate_threads()
    use_labels()
    signals.close()
    process.reset()


def labels(signals: Signals) -> list[dict[str, Any]]:
    """Id and tags of each span."""
    return [
        {name: one.attributes[name] for name in ("thread.id", "thread.tags") if one.attributes}
        for one in signals.spans
    ]


def test_the_front_page(
    signals: Signals, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    names: dict[str, Any] = {}
    run_page("index.md", names)
    names["client"].close()
    assert labels(signals) == [
        {"thread.id": "support-42", "thread.tags": ("support", "priority-high")}
    ]


def test_concepts() -> None:
    run_page("concepts.md", {})  # it says itself what is to hold


def test_ids_and_tags() -> None:
    names: dict[str, Any] = {}
    run_page("cookbook/naming.md", names)
    assert names["conversation_id"].startswith("support-")


def test_processes(signals: Signals) -> None:
    run_page("processes.md", {})  # the same


def test_content(signals: Signals, client: OpenAI) -> None:
    OpenAIInstrumentor().uninstrument()
    run_page("content.md", {})
    question = {"role": "user", "content": "My card is 4111111111111111."}
    client.chat.completions.create(model="gpt-5-mini", messages=[question])
    (span,) = signals.spans
    assert (span.attributes or {})["gen_ai.input.messages"] == (
        '[{"role":"user","parts":[{"type":"text","content":"My card is [card]."}]}]'
    )


def test_logs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    run_page("logs.md", names)
    with thread("support-42"):
        names["handler"].handle(logging.makeLogRecord({"levelname": "INFO", "msg": "hello"}))
    assert capsys.readouterr().err == "INFO [support-42] hello\n"


def test_cost(signals: Signals, client: OpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("cost.md", {"client": client, "messages": MESSAGES})
    (span,) = signals.spans
    assert (span.attributes or {})["gen_ai.usage.output_tokens"]
    assert capsys.readouterr().out


async def test_production(signals: Signals) -> None:
    pytest.importorskip("fastapi")
    exporter = InMemorySpanExporter()
    signals.tracer_provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=600_000)
    )
    names: dict[str, Any] = {}
    run_page("production.md", names)
    async with names["app"].router.lifespan_context(names["app"]):
        signals.tracer_provider.get_tracer("own").start_span("work").end()
        assert exporter.get_finished_spans() == ()
    assert [one.name for one in exporter.get_finished_spans()] == ["work"]


def test_missing_labels(capsys: pytest.CaptureFixture[str]) -> None:
    with thread("support-42"):
        run_page("missing_labels.md", {})
    assert "support-42" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["coming_from/langfuse.md", "coming_from/mlflow.md"])
def test_what_takes_a_user_and_metadata(page: str, signals: Signals, client: OpenAI) -> None:
    run_page(page, {"client": client, "messages": MESSAGES})
    assert labels(signals) == [ONE]
    (span,) = signals.spans
    assert (span.attributes or {})["user.id"] == "ada"


@pytest.mark.parametrize("page", ["coming_from/openinference.md", "coming_from/traceloop.md"])
def test_decorators(page: str) -> None:
    names: dict[str, Any] = {}
    run_page(page, names)
    assert callable(names["answer"])


def test_an_id_that_is_made() -> None:
    run_page("coming_from/weave.md", {})


def test_a_router_of_orqs(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    with OrqServer() as api:
        monkeypatch.setenv("ORQ_OTEL_ROUTER_URL", f"{api.url}/v3/router")
        OpenAIInstrumentor().uninstrument()
        signals.instrument()
        names = {"key": "k", "url": api.url, "messages": MESSAGES}
        run_page("coming_from/orq.md", names)
        names["router"].close()
        assert [(one.id, one.tags) for one in api.threads.values()] == [("support-42", ["support"])]
    assert labels(signals) == [ONE]


def test_pages_of_backends(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    azure = ModuleType("azure.monitor.opentelemetry")
    azure.configure_azure_monitor = lambda: asked.append("azure")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, azure.__name__, azure)
    OpenAIInstrumentor().uninstrument()
    run_page("backends/azure.md", {})
    with thread("support-42"):
        signals.tracer_provider.get_tracer("own").start_span("work").end()
    (span,) = signals.spans
    assert (span.attributes or {})["session.id"] == "support-42"

    def search_traces(filter_string: str) -> None:
        asked.append(filter_string)

    run_page("backends/mlflow.md", {"mlflow": SimpleNamespace(search_traces=search_traces)})
    assert asked == ["azure", "metadata.`mlflow.trace.session` = 'support-42'"]
