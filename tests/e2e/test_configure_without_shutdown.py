"""`configure()` in a program that never shuts its handle down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expected import expected_shapes, shapes
from .runs import ROUTES, Route, plain, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.one_in(2)
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_all_spans_are_exported_when_the_program_ends(route: Route, tmp_path: Path) -> None:
    finished = run(plain("hasty_app.py"), route, tmp_path)

    assert shapes(finished.spans) == expected_shapes()
    assert (finished.exit_code, finished.stderr) == (0, "")
