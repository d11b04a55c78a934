"""The arguments of `configure()` win over the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expected import CALLS, labels_of
from .runs import ROTEL_GRPC, Run, plain, run

if TYPE_CHECKING:
    from pathlib import Path

#: Where the environment points to, and nobody listens.
NOWHERE = "http://127.0.0.1:1"

ENDPOINTS = {"http/protobuf": "{http/protobuf}/v1/traces", "grpc": "{grpc}"}


@pytest.mark.parametrize("protocol", ENDPOINTS)
def test_spans_go_where_the_arguments_say(protocol: str, tmp_path: Path) -> None:
    finished = run_with_arguments(protocol, "authorization", tmp_path)

    assert [span.labels for span in finished.spans] == [labels_of("order-1001")] * len(CALLS)
    assert "-> service.name: Str(warehouse)\n" in finished.rotel_output
    assert finished.rotel_output.count("-> service.name:") == 1
    assert (finished.exit_code, finished.stderr) == (0, "")


@pytest.mark.parametrize("protocol", ENDPOINTS)
def test_names_of_headers_may_be_capitalised(protocol: str, tmp_path: Path) -> None:
    finished = run_with_arguments(protocol, "Authorization", tmp_path)

    assert (finished.exit_code, finished.stderr) == (0, "")
    assert len(finished.spans) == len(CALLS)


def run_with_arguments(protocol: str, header: str, directory: Path) -> Run:
    """Run with arguments that the environment contradicts in every point."""
    (other,) = {"http/protobuf", "grpc"} - {protocol}
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE,
        "OTEL_EXPORTER_OTLP_PROTOCOL": other,
        "OTEL_SERVICE_NAME": "shop",
    }
    command = plain("arguments_app.py", ENDPOINTS[protocol], protocol, "warehouse", header)
    return run(command, ROTEL_GRPC, directory, variables)
