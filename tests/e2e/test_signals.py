"""Content, metrics and events leave a program whose code knows of none of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .expected import labels_of
from .runs import ANSWER, TAP, Run, instrumented, run

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
INPUT = [{"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]}]
OUTPUT = [
    {
        "role": "assistant",
        "parts": [{"type": "text", "content": ANSWER}],
        "finish_reason": "stop",
    }
]
EXPORTED = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"}


def finish(directory: Any, **more: str) -> Run:
    return run(instrumented("failing_app.py"), TAP, directory, {**EXPORTED, **more})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The program with everything switched on."""
    return finish(tmp_path_factory.mktemp("run"), **{CAPTURE: "SPAN_AND_EVENT"})


def test_the_program_runs_as_it_would(finished: Run) -> None:
    assert (finished.exit_code, finished.stdout) == (0, "400\n")
    assert "orq_otel" not in finished.stderr


def test_content_is_on_spans_as_json(finished: Run) -> None:
    good, failed = finished.spans
    assert json.loads(good.attributes["gen_ai.input.messages"]) == INPUT
    assert json.loads(good.attributes["gen_ai.output.messages"]) == OUTPUT
    assert json.loads(failed.attributes["gen_ai.input.messages"]) == INPUT
    assert "gen_ai.output.messages" not in failed.attributes


def test_content_is_in_events_as_it_is(finished: Run) -> None:
    details = [log for log in finished.logs if log.event.endswith("operation.details")]
    assert [log.span_id for log in details] == [span.span_id for span in finished.spans]
    assert details[0].attributes["gen_ai.input.messages"] == INPUT
    assert details[0].attributes["gen_ai.output.messages"] == OUTPUT
    assert [log.labels for log in details] == [labels_of("order-1001")] * 2


def test_an_error_is_an_event(finished: Run) -> None:
    (error,) = [log for log in finished.logs if log.event.endswith("operation.exception")]
    assert error.attributes["exception.type"] == "openai.BadRequestError"
    assert error.labels == labels_of("order-1001")


def test_metrics_come_without_threads(finished: Run) -> None:
    metrics = {metric.name: metric for metric in finished.metrics}
    duration = metrics["gen_ai.client.inference.duration"]
    assert duration.unit == "s"
    assert [point.get("error.type") for point in duration.points] == [
        None,
        "openai.BadRequestError",
    ]
    assert "gen_ai.client.inference.usage.input_tokens" in metrics
    assert "order-1001" not in str(finished.metrics)


def test_by_default_no_content_leaves(tmp_path: Any) -> None:
    finished = finish(tmp_path)
    assert len(finished.spans) == 2
    assert [log.event for log in finished.logs] == ["gen_ai.client.operation.exception"]
    assert "Where is my order" not in str((finished.spans, finished.logs, finished.metrics))
