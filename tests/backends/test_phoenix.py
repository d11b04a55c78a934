"""Phoenix, which groups traces into sessions by `session.id`, over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from e2e.expected import TAGS
from e2e.ports import LOOPBACK, free_port

from .foreign import hold_foreign_conversations
from .held import OUTSIDE, SPANS, TRACES, hold_conversations, hold_users_conversations
from .servers import ask, backend, only_alone, only_with, program, until

only_with("phoenix")


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    only_alone("Phoenix")
    directory = tmp_path_factory.mktemp("phoenix")
    grpc_port = free_port()
    where = {
        "PHOENIX_HOST": LOOPBACK,
        "PHOENIX_PORT": "{port}",
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(directory),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with backend(lambda _: [program("phoenix"), "serve"], directory, where) as running:
        over_grpc = request.param == "grpc"
        hold_conversations(
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{grpc_port}"
                if over_grpc
                else running,
                "ORQ_OTEL_LABELS": "phoenix",
            }
        )
        yield running


@pytest.fixture(scope="module")
def spans(url: str) -> list[dict[str, Any]]:
    """All spans."""
    expected = sum(SPANS.values()) + OUTSIDE
    return until(
        lambda: (ask(f"{url}/v1/projects/default/spans?limit=100") or {"data": []})["data"],
        lambda seen: len(seen) >= expected,
    )


def test_each_session_has_its_traces(url: str, spans: list[dict[str, Any]]) -> None:
    sessions = ask(f"{url}/v1/projects/default/sessions?limit=100")["data"]
    assert {session["session_id"]: len(session["traces"]) for session in sessions} == TRACES
    of_trace = {
        trace["trace_id"]: session["session_id"]
        for session in sessions
        for trace in session["traces"]
    }
    of_span = [of_trace.get(span["context"]["trace_id"]) for span in spans]
    assert {session: of_span.count(session) for session in SPANS} == SPANS
    assert of_span.count(None) == OUTSIDE


def test_every_span_has_the_sessions_id_and_tags(spans: list[dict[str, Any]]) -> None:
    told = [span["attributes"] for span in spans]
    for session, count in SPANS.items():
        tags = [one.get("tag.tags", []) for one in told if one.get("session.id") == session]
        assert tags == [TAGS[session]] * count
    assert sum("session.id" not in one and "tag.tags" not in one for one in told) == OUTSIDE


def test_spans_are_found_by_the_threads_id(url: str, spans: list[dict[str, Any]]) -> None:
    found = ask(f"{url}/v1/projects/default/spans?limit=100&attribute=thread.id:refund-5")
    assert len(found["data"]) == SPANS["refund-5"]
    assert len(spans) > SPANS["refund-5"]


def test_a_span_has_its_user_and_metadata(url: str) -> None:
    hold_users_conversations(
        {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_RESOURCE_ATTRIBUTES": "openinference.project.name=users",
            "ORQ_OTEL_LABELS": "phoenix",
        }
    )
    spans = until(
        lambda: (ask(f"{url}/v1/projects/users/spans?limit=100") or {"data": []})["data"],
        lambda seen: len(seen) >= 4,
    )
    found = {span["attributes"]["session.id"]: span["attributes"] for span in spans}
    assert {session: one["user.id"] for session, one in found.items()} == {
        "order-1": "ada",
        "order-2": "größe",
    }
    about = {key: value for key, value in found["order-1"].items() if "metadata" in key}
    assert about == {  # Phoenix reads the JSON, and shows each key
        "metadata.plan": "pro",
        "metadata.seats": 3,
        "thread.metadata.plan": "pro",
        "thread.metadata.seats": 3,
    }


def test_conversations_of_frameworks_are_one_session_each(url: str) -> None:
    traces = hold_foreign_conversations(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_RESOURCE_ATTRIBUTES": "openinference.project.name=frameworks",
            "ORQ_OTEL_LABELS": "phoenix",
        }
    )

    def look() -> dict[str, set[str]]:
        answer = ask(f"{url}/v1/projects/frameworks/sessions?limit=100") or {"data": []}
        return {
            session["session_id"]: {trace["trace_id"] for trace in session["traces"]}
            for session in answer["data"]
        }

    assert until(look, lambda seen: seen == traces) == traces
