"""Where no client is instrumented, threads label the spans of the program all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .expected import MESSAGES, MODEL_CALLS, labels_of
from .runs import TAP, instrumented, run

if TYPE_CHECKING:
    from pathlib import Path


def test_own_spans_are_labelled_though_every_instrumentation_is_off(tmp_path: Path) -> None:
    finished = run(
        instrumented("plain_app.py"), TAP, tmp_path, {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}
    )

    assert [(span.name, span.kind, span.labels) for span in finished.spans] == [
        ("decide refund", "INTERNAL", labels_of("refund-5")),
        ("POST /chat", "SERVER", labels_of("web-77")),
        ("count stock", "INTERNAL", {}),
    ]
    assert finished.model_calls == MODEL_CALLS
    assert (finished.exit_code, finished.stdout) == (0, f"{MESSAGES} messages\n")
    assert finished.stderr == ""
