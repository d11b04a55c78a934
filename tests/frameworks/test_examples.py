"""The programs of the cookbook that use agent frameworks make the threads that it shows."""

from __future__ import annotations

import pytest
from support.pages import blocks, run_example, settled


@pytest.mark.parametrize(
    ("name", "library"), [("agents_sdk", "agents"), ("langgraph_agent", "langgraph")]
)
def test_a_program(name: str, library: str) -> None:
    pytest.importorskip(library)
    (table,) = blocks(f"cookbook/{name}.md", "text")
    assert settled(run_example(f"{name}.py")) == settled(table)
