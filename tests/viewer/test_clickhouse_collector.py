"""The whole way that others wrote: SDK, `rotel`, its ClickHouse exporter, and ClickHouse."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.rotel_collector import Rotel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from support.pages import blocks

from orq_otel import ThreadSpanProcessor
from orq_otel import thread as in_thread
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.clickhouse import ClickHouseStore

from .clickhouse_tables import Database
from .sample_spans import messages


class ToClickHouse(Rotel):
    """`rotel` that exports to a database of ClickHouse."""

    def __init__(self, folder: Path, database: Database) -> None:
        super().__init__(folder, f"http://127.0.0.1:{database.server.port}")
        self._database = database.name

    def _options(self) -> list[str]:
        options = dict(zip(*[iter(super()._options())] * 2, strict=True))
        del options["--otlp-exporter-protocol"], options["--otlp-exporter-endpoint"]
        options |= {
            "--exporter": "clickhouse",
            "--clickhouse-exporter-endpoint": self._target,
            "--clickhouse-exporter-database": self._database,
            "--clickhouse-exporter-user": "viewer",
            "--clickhouse-exporter-password": "secret",
            "--clickhouse-exporter-compression": "none",
            "--clickhouse-exporter-async-insert": "false",
        }
        return [word for option in options.items() for word in option]


@pytest.mark.parametrize("is_rolled_up", [False, True], ids=["plain", "rollup"])
def test_threads_that_rotel_wrote(database: Database, tmp_path: Path, is_rolled_up: bool) -> None:
    with database.store() as store:
        if is_rolled_up:
            store.create_rollup()
        send(tmp_path, database)
        check(store)


def test_the_queries_of_the_page(database: Database, tmp_path: Path) -> None:
    send(tmp_path, database)
    conversations, one_conversation = blocks("backends/clickhouse.md", "sql")
    (row,) = database.rows(conversations)
    thread, spans, traces, began, ended, input_tokens, output_tokens, tags = row
    assert (thread, int(spans), int(traces)) == ("ticket-1", 1, 1)
    assert began == ended  # when they began: of the only span that is in the thread
    assert (int(input_tokens), int(output_tokens), sorted(tags)) == (1000, 100, ["eu", "prod"])
    assert database.rows(one_conversation) == []
    ((at, name, milliseconds, status),) = database.rows(
        one_conversation.replace("support-42", "ticket-1")
    )
    assert (at, name, status) == (began, "chat gpt-4o-mini", "Error")
    assert milliseconds > 0


def send(folder: Path, database: Database) -> None:
    """Send spans by a collector, which exports what it holds when it ends."""
    with ToClickHouse(folder, database) as rotel:
        provider = TracerProvider(resource=Resource({"service.name": "shop"}))
        provider.add_span_processor(ThreadSpanProcessor())
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{rotel.ports['http/protobuf']}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("tests")
        with tracer.start_as_current_span("request"), in_thread("ticket-1", tags=["prod", "eu"]):
            with tracer.start_as_current_span(
                "chat gpt-4o-mini",
                kind=SpanKind.CLIENT,
                attributes={
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "openai",
                    "gen_ai.response.model": "gpt-4o-mini",
                    "gen_ai.usage.input_tokens": 1000,
                    "gen_ai.usage.output_tokens": 100,
                    "gen_ai.input.messages": messages("Where is it?"),
                },
            ) as span:
                span.add_event("asked", {"how": "politely"})
                span.set_status(Status(StatusCode.ERROR, "too late"))
        provider.shutdown()


def check(store: ClickHouseStore) -> None:
    thread = store.thread("ticket-1")
    assert thread is not None
    assert (thread.title, thread.tags, thread.models) == (
        "Where is it?",
        ("prod", "eu"),
        ("gpt-4o-mini",),
    )
    assert (thread.traces, thread.spans, thread.errors, thread.unpriced) == (1, 2, 1, 0)
    assert (thread.input_tokens, thread.output_tokens) == (1000, 100)
    assert thread.cost == pytest.approx(0.00021)
    assert store.threads(ThreadQuery(tags=("eu", "prod"), errors=True)).threads == (thread,)
    request, chat = store.spans("ticket-1")
    assert (request.span.name, chat.span.name) == ("request", "chat gpt-4o-mini")
    assert chat.span.parent_id == request.span.span_id
    assert (chat.span.kind, chat.span.status, chat.span.status_message) == (
        "CLIENT",
        "ERROR",
        "too late",
    )
    assert chat.facts.tags == ("prod", "eu")
    assert chat.span.service == "shop"
    assert chat.span.events[0]["name"] == "asked"
    assert chat.span.events[0]["attributes"] == {"how": "politely"}
