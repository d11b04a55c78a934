"""Users, metadata and feedback arrive at a collector as they were given."""

from __future__ import annotations

import pytest

from .runs import ROTEL_GRPC, ROTEL_HTTP, Run, instrumented, run

DETAILS = {
    "order-1": {"user.id": "ada", "thread.metadata.plan": "pro", "thread.metadata.seats": 3},
    "order-2": {"user.id": "größe", "thread.metadata.plan": "free"},
}
EVALUATION = "gen_ai.evaluation."


@pytest.fixture(scope="module", params=[ROTEL_HTTP, ROTEL_GRPC], ids=str)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All conversations, through rotel, and what their users think."""
    variables = {"OTEL_LOGS_EXPORTER": "otlp"}
    directory = tmp_path_factory.mktemp("run")
    done = run(instrumented("feedback_app.py"), request.param, directory, variables)
    assert (done.exit_code, done.stderr) == (0, "")
    return done


def test_spans_have_the_user_and_the_metadata_of_their_thread(finished: Run) -> None:
    for thread_id, details in DETAILS.items():
        spans = [span for span in finished.spans if span.thread_id == thread_id]
        assert [span.name for span in spans] == ["chat gpt-5-mini", "turn"]
        for span in spans:
            found = {
                key: value
                for key, value in span.attributes.items()
                if key.startswith(("user.", "thread.metadata."))
            }
            assert found == details
    assert len(finished.spans) == 4


def test_what_is_thought_of_the_answers_arrives(finished: Run) -> None:
    turns = {span.thread_id: span.span_id for span in finished.spans if span.name == "turn"}
    found = [
        (
            log.event,
            log.thread_id,
            log.span_id,
            {
                key.removeprefix(EVALUATION): value
                for key, value in log.attributes.items()
                if key.startswith((EVALUATION, "user.", "orq_otel."))
            },
        )
        for log in finished.logs
    ]
    name = "gen_ai.evaluation.result"
    relevance = {
        "name": "relevance",
        "score.value": 0.75,
        "score.label": "relevant",
        "orq_otel.evaluator": "gpt-5",
    }
    assert found == [
        (name, "order-1", turns["order-1"], {**relevance, "user.id": "ada"}),
        (name, "order-2", turns["order-2"], {**relevance, "user.id": "größe"}),
        (
            name,
            "order-1",
            turns["order-1"],
            {"name": "user_feedback", "score.value": 1.0, "score.label": "thumbs_up"},
        ),
        (
            name,
            "order-2",
            b"",
            {
                "name": "user_feedback",
                "score.value": 0.0,
                "score.label": "thumbs_down",
                "explanation": "Zu spät.",
            },
        ),
    ]
    assert finished.logs[2].attributes["gen_ai.response.id"]
