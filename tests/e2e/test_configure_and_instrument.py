"""`configure()` in a program that was started with `opentelemetry-instrument` anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expected import MESSAGES, expected_shapes, shapes
from .runs import ROTEL_GRPC, ROUTES, Route, instrumented, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.one_in(2)
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_spans_are_sent_once(route: Route, tmp_path: Path) -> None:
    finished = run(instrumented("configured_app.py"), route, tmp_path)

    assert shapes(finished.spans) == expected_shapes()
    assert (finished.exit_code, finished.stdout) == (0, f"{MESSAGES} messages\n")
    assert finished.stderr == ""


def test_spans_are_sent_once_with_the_default_protocol(tmp_path: Path) -> None:
    variables = {"OTEL_EXPORTER_OTLP_PROTOCOL": None}
    finished = run(instrumented("configured_app.py"), ROTEL_GRPC, tmp_path, variables)

    assert shapes(finished.spans) == expected_shapes()
    assert (finished.exit_code, finished.stderr) == (0, "")


def test_spans_are_printed_once(tmp_path: Path) -> None:
    variables = {"OTEL_TRACES_EXPORTER": "console"}
    finished = run(instrumented("configured_app.py"), ROUTES[0], tmp_path, variables)

    assert finished.stdout.count('"name": "chat gpt-4o-mini"') == finished.model_calls
    assert finished.spans == []
    assert (finished.exit_code, finished.stderr) == (0, "")
