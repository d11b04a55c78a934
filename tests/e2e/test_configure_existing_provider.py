"""`configure()` in a program that has a tracer provider already."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from .expected import expected_shapes, shapes
from .runs import ROUTES, Route, Run, plain, run


@pytest.fixture(scope="module", params=ROUTES, ids=str)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All conversations with the program's own provider and exporter."""
    route: Route = request.param
    return run(plain("provider_app.py"), route, tmp_path_factory.mktemp("run"))


def test_spans_reach_the_collector_too(finished: Run) -> None:
    assert shapes(finished.spans) == expected_shapes()


def test_the_programs_own_exporter_gets_the_same_spans_once(finished: Run) -> None:
    exported = Counter((span.name, span.thread_id) for span in finished.spans)
    assert own_spans(finished) == exported + Counter([("after shutdown", None)])


def test_the_provider_stays(finished: Run) -> None:
    assert report(finished)["provider stays"] is True


def test_the_program_ends_well(finished: Run) -> None:
    assert (finished.exit_code, finished.stderr) == (0, "")


def report(finished: Run) -> Any:
    """What the program printed at its end."""
    return json.loads(finished.stdout)


def own_spans(finished: Run) -> Counter[tuple[str, str | None]]:
    """Name and thread of what the program's own exporter got."""
    return Counter((name, thread_id) for name, thread_id in report(finished)["spans"])
