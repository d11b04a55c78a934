"""The job that compares other projects' tests names those that ours makes end otherwise."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from support.client_versions import needs

OTHERS = Path(__file__).parent / "others"
TESTS = """
import random
import warnings

import openai
import pytest
from orq_otel import current_thread

def test_that_is_the_same_either_way():
    with openai.OpenAI(api_key="k", base_url="{server}/v1") as client:
        client.chat.completions.create(model="m", messages=[])

def test_that_fails_either_way():
    raise ValueError("always")

def test_that_fails_with_another_message_each_time():
    raise ValueError("".join(random.choices("abcdef", k=40)))

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


@pytest.mark.slow
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
        result = others.compare(installed, server)

    assert str(result).split() == ["source", "5", "2", "1", "1", "1", "1", "0", "s"]
    assert result.differing == ["test_it.py::test_that_is_not_the_same"]
    said = capsys.readouterr().out
    assert "  test_it.py::test_that_is_not_the_same\n    bare: passed\n    ours: failed: " in said
    assert said.count("bare: ") == 1


@pytest.mark.slow
@needs("openai", "1.66", "client.responses")
def test_the_stand_in_answers_a_client_with_values_of_its_own_types(
    others: Any, tmp_path: Path
) -> None:
    (tmp_path / "environment").symlink_to(sys.prefix)
    answers = others.Installed(others.Suite("openai", ()), tmp_path, tmp_path).answers()
    with (
        others.stand_in(answers) as server,
        openai.OpenAI(api_key="k", base_url=server, _strict_response_validation=True) as client,
    ):
        completion = client.chat.completions.create(model="m", messages=[])
        assert completion.choices[0].message.content == "string"
        chunks = client.chat.completions.create(model="m", messages=[], stream=True)
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["string"]
        usage = client.responses.retrieve("r").usage
        assert usage is not None
        assert usage.input_tokens == 1
        assert [file.filename for file in client.files.list()] == ["string"]


def test_the_exit_status_says_what_differs_before_what_was_not_compared(others: Any) -> None:
    same = others.Result("same", tests=1, passed=1, once=1)
    other = others.Result("other", tests=1, passed=1, differing=["test"])
    absent = others.Result("absent", problem="not compared: no source")
    assert [others.status(results) for results in ([same], [same, absent], [absent, other])] == [
        0,
        2,
        1,
    ]
    assert str(absent).split()[:7] == ["absent", *"000000"]
    assert str(absent).endswith("0 s  not compared: no source")


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
