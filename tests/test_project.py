"""What the project says of itself in several files is the same in all of them."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from matrix import ALL, PYTHONS
from mutations import BREAKS
from packaging.requirements import Requirement

import orq_otel
from orq_otel import OpenAIInstrumentor, OrqInstrumentor

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).parents[1]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Mapping[str, list[str]] = PROJECT["optional-dependencies"]
WORKFLOWS = {path.name: path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")}
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
RUN = runpy.run_path(str(ROOT / "run.py"))
JOBS = RUN["JOBS"]


def test_the_supported_pythons_are_declared_and_tested() -> None:
    prefix = "Programming Language :: Python :: "
    declared = [one.removeprefix(prefix) for one in PROJECT["classifiers"] if prefix in one]
    assert declared == ["3 :: Only", *PYTHONS]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert f"Python {PYTHONS[0]} to {PYTHONS[-1]}" in README
    everything = f"python: {PYTHONS}".replace("'", '"')
    assert everything in WORKFLOWS["tests.yml"]
    assert everything in WORKFLOWS["nightly.yml"]
    newest = int(PYTHONS[-1].removeprefix("3."))
    assert f'python: ["{PYTHONS[0]}", "3.{newest}", "3.{newest + 1}"]' in WORKFLOWS["nightly.yml"]


@pytest.mark.parametrize(
    ("extra", "instrumentor"), [("openai", OpenAIInstrumentor), ("orq", OrqInstrumentor)]
)
def test_the_range_of_a_client_is_the_same_everywhere(
    extra: str, instrumentor: type[OpenAIInstrumentor | OrqInstrumentor]
) -> None:
    (wanted,) = map(Requirement, EXTRAS[extra])
    (supported,) = map(Requirement, instrumentor().instrumentation_dependencies())
    any_of = {found.name: found for found in map(Requirement, EXTRAS["instruments-any"])}
    assert any_of[wanted.name] == wanted == supported


def test_the_extra_all_has_every_extra_of_ours() -> None:
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.name == PROJECT["name"]
    assert everything.extras == EXTRAS.keys() - {"all", "instruments-any"}


def test_every_command_that_is_written_down_is_a_job() -> None:
    commands = [
        command
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".ci/*")]
        for command in re.findall(r"python3? run\.py ([\w-]+)", path.read_text())
    ]
    for text in [*WORKFLOWS.values(), (ROOT / ".pre-commit-config.yaml").read_text()]:
        commands += re.findall(r"run\.py ([\w-]+)", text)
        for jobs in re.findall(r"^ +job: \[(.*)\]$", text, re.MULTILINE):
            commands += [command.split()[0] for command in jobs.split(", ")]
        for clients in re.findall(r"^ +client: \[(.*)\]$", text, re.MULTILINE):
            assert set(clients.split(", ")) <= ALL.keys()
    assert {"test", "viewer", "coverage", "package", "matrix", "servers"} <= set(commands)
    assert set(commands) <= {*JOBS, "JOB"}


def test_every_job_is_explained() -> None:
    cells = re.findall(r"^\| (`.*?) \|", CONTRIBUTING, re.MULTILINE)
    explained = re.findall(r"`([\w-]+)`", "".join(cells))
    apart = {job for job in JOBS if job.startswith("frameworks-")}  # parts of `frameworks`
    assert JOBS.keys() - apart <= set(explained)
    assert JOBS.keys() == RUN["MEANINGS"].keys()


def test_tests_that_are_named_are_run_and_no_others() -> None:
    with_arguments = RUN["with_arguments"]
    *viewer, everything = JOBS["viewer"][1][-1]
    named = ["tests/viewer/test_api.py::test_a_thread", "-v"]
    assert with_arguments([*viewer, everything], named) == [*viewer, *named]
    assert with_arguments([*viewer, everything], ["-v"]) == [*viewer, everything, "-v"]
    # What starts pytest stays.
    backends = with_arguments(JOBS["backends"][1][-1], ["tests/backends/test_mlflow.py"])
    assert [one for one in backends if one.startswith("tests/")] == [
        "tests/backends/alone.py",
        "tests/backends/test_mlflow.py",
    ]


def test_a_release_has_its_tag_and_its_date() -> None:
    against_release = runpy.run_path(str(ROOT / "tests/package.py"))["against_release"]
    dated = "# Changes\n\n## 1.2.0 (2026-12-01)\n"
    assert against_release("v1.2.0", "1.2.0", dated) == []
    (why,) = against_release("v1.2.1", "1.2.0", dated)
    assert why == "The tag is v1.2.1, and the version 1.2.0."
    (why,) = against_release("v1.2.0", "1.2.0", dated.replace("2026-12-01", "unreleased"))
    assert why == "CHANGELOG.md has no heading with a date, such as: ## 1.2.0 (2026-12-01)"


def test_what_mutations_break_is_there_once() -> None:
    source = Path(orq_otel.__file__).parent  # of what is installed, where that is tested
    assert [one for one in BREAKS if (source / one.file).read_text().count(one.old) != 1] == []


def test_actions_are_pinned() -> None:
    for text in WORKFLOWS.values():
        used = re.findall(r"uses: (.*)", text)
        assert used
        for action in used:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action), action
