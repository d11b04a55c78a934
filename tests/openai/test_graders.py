"""Graders, whose score is the result of an evaluation, and jobs that cannot begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry.trace import StatusCode
from stand_ins.model_server import ModelServer, Reply
from support.client_calls import Method, own, server, told
from support.recorded import Telemetry
from support.signals import Signals

from orq_otel import thread

GRADER = {
    "type": "python",
    "name": "politeness",
    "source": "def grade(sample, item):\n    return 0.5",
}
RUN = Method(
    "fine_tuning.alpha.graders.run", {"grader": GRADER, "model_sample": "My secret answer."}
)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """All signals of an instrumented client."""
    signals = Signals().instrument()
    yield signals
    signals.close()


def test_a_score_is_an_event_too(signals: Signals, client: openai.OpenAI) -> None:
    with thread("t-1"):
        RUN.of(client)(**RUN.given)

    ((name, event),) = signals.events()
    assert name == "gen_ai.evaluation.result"
    assert event == {
        "gen_ai.evaluation.name": "politeness",
        "gen_ai.evaluation.score.value": 0.5,
        "thread.id": "t-1",
        "orq.thread_id": "t-1",
        "gen_ai.conversation.id": "t-1",
    }
    (span,) = signals.spans
    assert span.name == "evaluate politeness"
    assert "secret" not in span.to_json()
    (duration,) = signals.metrics()["gen_ai.client.operation.duration"]
    assert duration.attributes["gen_ai.operation.name"] == "evaluate"


def test_a_grader_that_fails(
    instrumented: Telemetry, client: openai.OpenAI, model_server: ModelServer
) -> None:
    run = RUN.of(client)
    model_server.script(Reply(failure="name 'secret' is not defined"))
    run(**RUN.given)

    span = instrumented.one()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Error in the response - code python_grader_runtime_error"
    expected = own("evaluate", evaluation__name="politeness", evaluation__score__value=0.0)
    error = {"error.type": "python_grader_runtime_error"}
    assert told(span) == {**expected, **error, **server(client)}


@pytest.mark.parametrize(
    ("method", "code"),
    [
        (
            Method(
                "evals.runs.create",
                {
                    "eval_id": "eval_1",
                    "data_source": {"type": "jsonl", "source": {"type": "file_id", "id": "f"}},
                },
            ),
            "no_items",
        ),
        (
            Method("fine_tuning.jobs.create", {"model": "gpt-4o-mini", "training_file": "f"}),
            "invalid_training_file",
        ),
    ],
    ids=str,
)
def test_a_job_that_cannot_begin(
    instrumented: Telemetry,
    client: openai.OpenAI,
    model_server: ModelServer,
    method: Method,
    code: str,
) -> None:
    create: Any = method.of(client)
    model_server.script(Reply(failure="The file is empty."))
    create(**method.given)

    attributes = told(instrumented.one())
    assert attributes["error.type"] == code
    assert attributes["gen_ai.response.status"] == "failed"
