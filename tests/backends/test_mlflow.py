"""MLflow, which groups traces into sessions by `session.id`, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from e2e.expected import TAGS
from e2e.ports import LOOPBACK

from .foreign import hold_foreign_conversations
from .held import OUTSIDE, SPANS, TRACES, hold_conversations, hold_users_conversations
from .servers import ask, backend, only_with, program, until

only_with("mlflow")

EXPERIMENT = "0"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with backend(
        lambda port: [
            *[program("mlflow"), "server", "--host", LOOPBACK, "--port", str(port)],
            *["--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"],
        ],
        tmp_path_factory.mktemp("mlflow"),
        {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    ) as running:
        hold_conversations(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": running,
                "OTEL_EXPORTER_OTLP_HEADERS": f"x-mlflow-experiment-id={EXPERIMENT}",
                "ORQ_OTEL_LABELS": "mlflow",
            }
        )
        yield running


def search(
    url: str, condition: str | None = None, experiment: str = EXPERIMENT
) -> list[dict[str, Any]]:
    """The traces that MLflow finds."""
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    body = {"locations": [where], "max_results": 500, "filter": condition or ""}
    answer = ask(f"{url}/api/3.0/mlflow/traces/search", body)
    return answer.get("traces", []) if answer else []


@pytest.fixture(scope="module")
def traces(url: str) -> list[dict[str, Any]]:
    """All traces."""
    expected = sum(TRACES.values()) + OUTSIDE
    return until(lambda: search(url), lambda seen: len(seen) >= expected)


def test_each_session_has_its_traces(traces: list[dict[str, Any]]) -> None:
    sessions = [trace.get("trace_metadata", {}).get("mlflow.trace.session") for trace in traces]
    assert {session: sessions.count(session) for session in TRACES} == TRACES
    assert sessions.count(None) == OUTSIDE
    assert len(sessions) == sum(TRACES.values()) + OUTSIDE


@pytest.mark.parametrize("session", TRACES)
def test_a_session_is_found_with_all_its_spans_and_tags(
    url: str, traces: list[dict[str, Any]], session: str
) -> None:
    found = search(url, f"metadata.`mlflow.trace.session` = '{session}'")
    assert len(found) == TRACES[session]
    spans = []
    for trace in found:
        content = f"{url}/ajax-api/3.0/mlflow/get-trace-artifact?request_id={trace['trace_id']}"
        spans += ask(content)["spans"]
    told = [json.loads(span["attributes"].get("thread.tags", "[]")) for span in spans]
    assert told == [TAGS[session]] * SPANS[session]


def test_a_trace_has_its_user_and_its_spans_the_metadata(url: str) -> None:
    created = ask(f"{url}/api/2.0/mlflow/experiments/create", {"name": "users"})
    experiment = created["experiment_id"]
    hold_users_conversations(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-mlflow-experiment-id={experiment}",
            "ORQ_OTEL_LABELS": "mlflow",
        }
    )
    found = until(lambda: search(url, None, experiment), lambda seen: len(seen) >= 2)
    users = [trace["trace_metadata"]["mlflow.trace.user"] for trace in found]
    assert sorted(users) == ["ada", "größe"]
    (trace,) = search(url, "metadata.`mlflow.trace.user` = 'ada'", experiment)
    assert trace["trace_metadata"]["mlflow.trace.session"] == "order-1"
    content = f"{url}/ajax-api/3.0/mlflow/get-trace-artifact?request_id={trace['trace_id']}"
    for span in ask(content)["spans"]:
        attributes = span["attributes"]
        assert json.loads(attributes["thread.metadata.plan"]) == "pro"
        assert json.loads(attributes["thread.metadata.seats"]) == 3


def test_conversations_of_frameworks_are_one_session_each(url: str) -> None:
    created = ask(f"{url}/api/2.0/mlflow/experiments/create", {"name": "frameworks"})
    experiment = created["experiment_id"]
    traces = hold_foreign_conversations(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-mlflow-experiment-id={experiment}",
            "ORQ_OTEL_LABELS": "mlflow",
        }
    )

    def look() -> dict[str | None, set[str]]:
        sessions: dict[str | None, set[str]] = {}
        for trace in search(url, experiment=experiment):
            session = trace.get("trace_metadata", {}).get("mlflow.trace.session")
            sessions.setdefault(session, set()).add(trace["trace_id"].removeprefix("tr-"))
        return sessions

    assert until(look, lambda seen: seen == traces) == traces
