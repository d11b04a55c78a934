"""Which spans belong to which thread, in a collector that received them from another process.

The same for `opentelemetry-instrument` and for `configure()`, over HTTP and gRPC.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from .expected import (
    CHAT,
    FIRST_TURN,
    MESSAGES,
    MODEL_CALLS,
    SECOND_TURN,
    SHAPES,
    TAGS,
    expected_shapes,
    labels_of,
    shapes,
)
from .runs import ROUTES, Route, Run, instrumented, plain, run

if TYPE_CHECKING:
    from .telemetry import Span

COMMANDS = {
    "opentelemetry-instrument": instrumented("plain_app.py"),
    "configure": plain("configured_app.py"),
}


@pytest.fixture(scope="module", params=COMMANDS)
def command(request: pytest.FixtureRequest) -> list[str]:
    """How telemetry is set up."""
    return COMMANDS[request.param]


@pytest.fixture(scope="module", params=ROUTES, ids=str)
def finished(
    request: pytest.FixtureRequest, command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """All conversations, held by one process and received by way of one route."""
    route: Route = request.param
    return run(command, route, tmp_path_factory.mktemp("run"))


def test_each_thread_has_exactly_its_spans(finished: Run) -> None:
    assert shapes(finished.spans) == expected_shapes()


def test_every_span_arrives_once(finished: Run) -> None:
    ids = Counter((span.trace_id, span.span_id) for span in finished.spans)
    assert set(ids.values()) == {1}
    assert finished.model_calls == MODEL_CALLS
    assert sum(span.name == CHAT for span in finished.spans) == MODEL_CALLS


def test_every_span_of_a_thread_has_all_its_labels(finished: Run) -> None:
    for thread_id in TAGS:
        found = [span.labels for span in of_thread(finished, thread_id)]
        assert found == [labels_of(thread_id)] * len(SHAPES[thread_id])


def test_spans_outside_have_no_label(finished: Run) -> None:
    assert [span.labels for span in of_thread(finished, None)] == [{}, {}]


def test_model_spans_have_the_usage_of_their_own_call(finished: Run) -> None:
    for thread_id in SHAPES:
        calls = [span for span in of_thread(finished, thread_id) if span.name == CHAT]
        turns = [FIRST_TURN] if thread_id is None else [FIRST_TURN, SECOND_TURN]
        assert sorted(map(usage, calls)) == turns, thread_id


def test_conversations_that_no_span_surrounds_are_a_trace_per_call(finished: Run) -> None:
    traces = {
        thread_id: len({span.trace_id for span in of_thread(finished, thread_id)})
        for thread_id in SHAPES
    }
    assert traces == {**dict.fromkeys(SHAPES, 2), "refund-5": 1, "web-77": 1}


def test_the_program_works_as_without_telemetry(finished: Run) -> None:
    assert (finished.exit_code, finished.stdout) == (0, f"{MESSAGES} messages\n")


def test_nothing_is_printed_to_stderr(finished: Run) -> None:
    assert finished.stderr == ""


def of_thread(finished: Run, thread_id: str | None) -> list[Span]:
    """The spans that say they belong to a thread."""
    return [span for span in finished.spans if span.thread_id == thread_id]


def usage(span: Span) -> tuple[int, int]:
    """Input and output tokens."""
    return (
        span.attributes["gen_ai.usage.input_tokens"],
        span.attributes["gen_ai.usage.output_tokens"],
    )
