"""agentmesh-ai: traces in sessions by `gen_ai.conversation.id`, with tags of `tag.tags`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from e2e.expected import TAGS
from e2e.ports import LOOPBACK

from .held import OUTSIDE, SPANS, TRACES, hold_conversations
from .servers import ask, backend, only_with, program, until

only_with("agentmesh")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with backend(
        lambda port: [program("agentmesh"), "dashboard", "--host", LOOPBACK, "--port", str(port)],
        tmp_path_factory.mktemp("agentmesh"),
    ) as running:
        hold_conversations(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": running, "ORQ_OTEL_LABELS": "openinference"}
        )
        yield running


@pytest.fixture(scope="module")
def traces(url: str) -> list[dict[str, Any]]:
    """All traces."""
    expected = sum(TRACES.values()) + OUTSIDE
    return until(lambda: ask(f"{url}/api/traces?limit=100"), lambda seen: len(seen) >= expected)


def test_each_session_has_its_traces(url: str, traces: list[dict[str, Any]]) -> None:
    sessions = ask(f"{url}/api/sessions")
    assert {session["session_id"]: session["trace_count"] for session in sessions} == TRACES
    for session_id, count in SPANS.items():
        session = ask(f"{url}/api/sessions/{session_id}")
        assert sum(trace["span_count"] for trace in session["traces"]) == count


def test_what_is_outside_of_threads_is_in_no_session(traces: list[dict[str, Any]]) -> None:
    assert [trace["session_id"] for trace in traces].count(None) == OUTSIDE


def test_traces_have_the_threads_tags(traces: list[dict[str, Any]]) -> None:
    for trace in traces:
        assert trace["tags"] == sorted(TAGS.get(trace["session_id"], []))


def test_spans_have_them_too(url: str, traces: list[dict[str, Any]]) -> None:
    for trace in traces:
        spans = ask(f"{url}/api/traces/{trace['trace_id']}/spans")
        told = [span["metadata"]["attributes"].get("thread.tags", []) for span in spans]
        assert told == [TAGS.get(trace["session_id"], [])] * trace["span_count"]
