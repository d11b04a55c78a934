"""`configure()` obeys OpenTelemetry's environment variables."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from .expected import MESSAGES, MODEL_CALLS, SHAPES, expected_shapes, shapes
from .runs import ROTEL_HTTP, TAP, instrumented, plain, run

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURED = plain("configured_app.py")
SPANS = Counter((name, thread_id) for thread_id in SHAPES for name, _, _ in SHAPES[thread_id])


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "variables",
    [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}],
    ids=["no exporter", "SDK disabled"],
)
@pytest.mark.parametrize(
    "command",
    [CONFIGURED, instrumented("configured_app.py"), instrumented("plain_app.py")],
    ids=["configure", "both", "opentelemetry-instrument"],
)
def test_nothing_is_exported_where_telemetry_is_switched_off(
    command: list[str], variables: dict[str, str | None], tmp_path: Path
) -> None:
    finished = run(command, TAP, tmp_path, variables)

    assert finished.spans == []
    assert finished.model_calls == MODEL_CALLS
    assert (finished.exit_code, finished.stdout) == (0, f"{MESSAGES} messages\n")
    assert finished.stderr == ""


def test_spans_are_printed_with_the_console_exporter(tmp_path: Path) -> None:
    finished = run(CONFIGURED, TAP, tmp_path, {"OTEL_TRACES_EXPORTER": "console"})

    assert printed(finished.stdout) == SPANS
    assert finished.spans == []
    assert (finished.exit_code, finished.stderr) == (0, "")


def test_spans_are_printed_and_sent_with_both_exporters(tmp_path: Path) -> None:
    finished = run(CONFIGURED, TAP, tmp_path, {"OTEL_TRACES_EXPORTER": "otlp, console"})

    assert printed(finished.stdout) == SPANS
    assert shapes(finished.spans) == expected_shapes()
    assert (finished.exit_code, finished.stderr) == (0, "")


def test_spans_belong_to_the_service_of_the_environment(tmp_path: Path) -> None:
    finished = run(CONFIGURED, ROTEL_HTTP, tmp_path)

    assert "-> service.name: Str(shop)\n" in finished.rotel_output
    assert finished.rotel_output.count("-> service.name:") == 1


def printed(output: str) -> Counter[tuple[str, str | None]]:
    """Name and thread of the spans on standard output, one JSON document after the other."""
    found: Counter[tuple[str, str | None]] = Counter()
    rest = output.removesuffix(f"{MESSAGES} messages\n")
    assert rest != output
    while rest:
        span: dict[str, Any]
        span, end = json.JSONDecoder().raw_decode(rest)
        found[span["name"], span["attributes"].get("thread.id")] += 1
        rest = rest[end:].lstrip()
    return found
