"""The job that compares other projects' tests names those that ours makes end otherwise."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

OTHERS = Path(__file__).parent / "others"
TESTS = """
import warnings

import openai
import pytest
from orq_otel import current_thread

def test_that_is_the_same_either_way():
    with openai.OpenAI(api_key="k", base_url="{server}/v1") as client:
        client.chat.completions.create(model="m", messages=[])

def test_that_fails_either_way():
    raise ValueError("always")

def test_that_is_not_the_same():
    assert current_thread() is None

def test_that_warns():
    warnings.warn("a warning is an error")
"""


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The job, whose modules find each other."""
    monkeypatch.syspath_prepend(str(OTHERS))
    spec = importlib.util.spec_from_file_location("others", OTHERS / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "others", module)
    spec.loader.exec_module(module)
    return module


def test_what_differs_is_named(
    others: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "environment").symlink_to(sys.prefix)
    (tmp_path / "source").mkdir()
    with others.stand_in() as server:
        written = TESTS.replace("{server}", server)
        (tmp_path / "source" / "test_it.py").write_text(written)
        suite = others.Suite("example", (), tests="test_it.py")
        installed = others.Installed(suite, tmp_path, tmp_path / "source")
        assert others.compare(installed, server) is True

    said = capsys.readouterr().out
    assert "4 tests, 2 pass bare; 1 differ, and 0 did only once" in said
    assert "ours recorded {'spans': 1, 'logs': 1}" in said
    assert "  test_it.py::test_that_is_not_the_same\n    bare: passed\n    ours: failed: " in said
    assert said.count("bare: ") == 1


def test_suites_say_what_they_are(others: Any) -> None:
    packages = {suite.package for suite in others.SUITES.values()}
    assert packages == {
        "instructor",
        "langchain-openai",
        "openai",
        "openai-agents",
        "opentelemetry-api",
        "opentelemetry-sdk",
        "pydantic-ai",
        "starlette",
    }
