"""Log records of a program under `opentelemetry-instrument` belong to threads as its spans do."""

from __future__ import annotations

import pytest

from .expected import labels_of
from .runs import TAP, Run, instrumented, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A program that logs with the standard library, exported over HTTP."""
    variables = {
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
    }
    return run(instrumented("logging_app.py"), TAP, tmp_path_factory.mktemp("run"), variables)


def test_log_records_have_the_labels_of_their_thread(finished: Run) -> None:
    assert [(log.body, log.labels) for log in finished.logs] == [
        ("opening", {}),
        ("no stock of shoes", labels_of("order-1001")),
        ("supplier is down", labels_of("order-1001")),
        ("slow answer", labels_of("web-77")),
        ("closing", {}),
    ]


def test_the_program_ends_well_and_makes_no_spans(finished: Run) -> None:
    assert (finished.exit_code, finished.stdout) == (0, "")
    # The SDK's handler starts a thread when the program ends, which Python 3.12 does not allow.
    assert "orq_otel" not in finished.stderr
    assert finished.spans == []
