"""Run other projects' tests, bare and with ours switched on, and compare how each test ends.

    python3 run.py others
    python3 run.py others openai-3 starlette

The suites run one after the other. All that one needs is downloaded into a folder that is removed
when it has ended: source, environment and what pytest writes. A test that ends otherwise with ours
is run again, both ways and twice: what differs each time is named, and the exit status is 1. It is
2 if nothing differs, but a suite was not compared. A table at the end sums up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stand_in import stand_in
from suites import PYTEST, SUITES, Suite

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"

#: How long one run of a suite may take, and one of its tests, in seconds.
PATIENCE = 3 * 3600
PATIENCE_FOR_ONE = 120
#: How many tests are run again at a time, since a command line has a length.
MOST_AGAIN = 100
#: So few are run one by one: some suites leave garbage, which fails whichever test collects it.
FEW = 20


class Unreachable(Exception):
    """A suite cannot be fetched or installed. The message says why."""


@dataclass
class Run:
    """How the tests of one run ended.

    Attributes:
        outcomes: By test, "passed" or what else.
        recorded: How much ours recorded.
        reported: What ours reported of itself, as failures and warnings.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    recorded: Mapping[str, int] = field(default_factory=dict)
    reported: list[str] = field(default_factory=list)


def _row(first: str, counts: Iterable[object], last: str = "") -> str:
    return f"{first:<28}{''.join(f'{count:>8}' for count in counts)}{last:>8}"


HEADING = _row("suite", ("tests", "pass", "differ", "once", "spans", "logs"))


@dataclass
class Result:
    """What the comparison of a suite showed.

    Attributes:
        source: The release that was compared, or the suite's name.
        tests: How many tests ended, bare.
        passed: How many of them passed.
        differing: The tests that end otherwise with ours, each time.
        once: How many did so only once.
        recorded: How many spans and log records ours made of them.
        problem: Why nothing was compared.
    """

    source: str
    tests: int = 0
    passed: int = 0
    differing: list[str] = field(default_factory=list)
    once: int = 0
    recorded: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0

    def __str__(self) -> str:
        spans, logs = (self.recorded.get(kind, 0) for kind in ("spans", "logs"))
        counts = (self.tests, self.passed, len(self.differing), self.once, spans, logs)
        line = _row(self.source, counts, f"{self.seconds:.0f} s")
        return f"{line}  {self.problem}".rstrip()


@dataclass(frozen=True)
class Installed:
    """A suite that is ready to run."""

    suite: Suite
    folder: Path
    source: Path

    @property
    def python(self) -> Path:
        """The Python of its environment."""
        return self.folder / "environment" / BIN / "python"

    def answers(self) -> list[dict[str, Any]]:
        """What the vendor would answer to the client that is installed, if it is one."""
        done = subprocess.run(
            [self.python, HERE / "answers.py"], capture_output=True, text=True, check=True
        )
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def run(self, server: str, tests: Iterable[str] = (), *, is_on: bool) -> Run:
        """Run all of the tests, or some."""
        outcomes = self.folder / "outcomes"
        outcomes.unlink(missing_ok=True)
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        path = [str(self.python.parent), *os.get_exec_path()]
        environment = {
            **{name: value.format(server=server) for name, value in self.suite.environment.items()},
            "HOME": str(home),
            "PATH": os.pathsep.join(path),
            "OUTCOMES_OF_TESTS": str(outcomes),
            "SWITCHED_ON_IN_TESTS": str(is_on).lower(),
            "PYTEST_TIMEOUT": str(PATIENCE_FOR_ONE),
            "PYTHONPATH": str(HERE / "plugin"),
        }
        options = ["-p", "orq_otel_switched_on", "-p", "no:cacheprovider", "-q", "--tb=short"]
        options += ["--continue-on-collection-errors", "-o", "addopts=", *self.suite.arguments]
        chosen = list(tests) or [self.suite.tests]
        with (self.folder / f"{'ours' if is_on else 'bare'}.log").open("w") as log:
            try:
                subprocess.run(
                    [self.python, "-m", "pytest", *options, *chosen],
                    cwd=self.source,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=PATIENCE,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                print(f"  broken off after {PATIENCE} s", flush=True)
        return _read(outcomes)


def _read(path: Path) -> Run:
    run = Run()
    if path.exists():
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if "test" in line:
                run.outcomes[line["test"]] = line["outcome"]
            else:
                run.recorded, run.reported = line["recorded"], line["reported"]
    return run


# ---- Fetching -----------------------------------------------------------------------------------


def install(suite: Suite, folder: Path) -> Installed:
    """Fetch a suite, and make an environment for it.

    Raises:
        Unreachable: That cannot be done.
    """
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment" / BIN / "python"
    source = _fetched(suite, folder, python)
    extras = f"[{','.join(suite.extras)}]" if suite.extras else ""
    released = [f"{source}{extras}"] if suite.is_installed else []
    _pip(python, "install", *released, *PYTEST, *suite.needs, f"{ROOT}[otlp]")
    return Installed(suite, folder, source)


def _fetched(suite: Suite, folder: Path, python: Path) -> Path:
    """The folder with the source of a suite's newest release."""
    options = ["--no-deps", "--no-binary", suite.package, "-d", folder]
    _pip(python, "download", *options, suite.requirement)
    (archive,) = folder.glob("*.tar.gz")
    return _unpacked(archive, folder / "source")


def _unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def _pip(python: Path, *arguments: str | Path) -> None:
    done = subprocess.run(
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        *_, last = ["", *done.stderr.strip().splitlines()]
        raise Unreachable(f"pip {arguments[0]}: {last}")


# ---- Comparing ----------------------------------------------------------------------------------


def differing(bare: Run, ours: Run) -> list[str]:
    """The tests that do not end in the same way."""
    every = bare.outcomes.keys() | ours.outcomes.keys()
    return sorted(one for one in every if bare.outcomes.get(one) != ours.outcomes.get(one))


def _differing_by_kind(before: Run, bare: Run, ours: Run) -> set[str]:
    """The same of tests that ran bare before.

    Some fail with another message each time, such as one that has a random id. Of these only how
    they end is compared, and with what exception.
    """
    varying = {
        test for test, outcome in bare.outcomes.items() if outcome != before.outcomes.get(test)
    }
    return {
        test
        for test in differing(bare, ours)
        if test not in varying or _kind(bare.outcomes[test]) != _kind(ours.outcomes.get(test, ""))
    }


def _kind(outcome: str) -> list[str]:
    return outcome.split(": ")[:2]


def compare(installed: Installed, server: str) -> Result:
    """Run a suite both ways and say what differs."""
    bare = installed.run(server, is_on=False)
    ours = installed.run(server, is_on=True)
    first = differing(bare, ours)
    still = _still_differing(installed, server, first, bare)
    passed = sum(outcome == "passed" for outcome in bare.outcomes.values())
    result = Result(
        installed.source.name,
        len(bare.outcomes),
        passed,
        still,
        len(first) - len(still),
        ours.recorded,
    )
    for test in still:
        print(f"  {test}\n    bare: {bare.outcomes.get(test)}\n    ours: {ours.outcomes.get(test)}")
    for reported in ours.reported:
        print(f"  ours reported: {reported}")
    if not passed or not ours.recorded:
        print((installed.folder / "ours.log").read_text()[-4000:])
        result.problem = "nothing was compared"
    return result


def _still_differing(installed: Installed, server: str, tests: list[str], before: Run) -> list[str]:
    """Those tests that differ again, twice, when they are run with few others, or with none."""
    still = tests
    for _ in range(2):
        again = [test for test in still if not test.endswith(" (collection)")]
        differ = {test for test in still if test not in again}
        at_once = 1 if len(again) <= FEW else MOST_AGAIN
        for start in range(0, len(again), at_once):
            some = again[start : start + at_once]
            bare = installed.run(server, some, is_on=False)
            differ |= _differing_by_kind(before, bare, installed.run(server, some, is_on=True))
        still = [test for test in still if test in differ]
    return still


def main() -> int:
    """Run the suites that the command line names, or all."""
    parser = argparse.ArgumentParser(
        prog="run.py others",
        description="Compare how other projects' tests end, bare and with ours switched on.",
        epilog=f"Suites: {', '.join(SUITES)}. Without one, all of them run, which takes hours.",
    )
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], metavar="suite")
    options = parser.parse_args()
    results = []
    for name in options.suites or SUITES:
        print(name, flush=True)
        start = time.monotonic()
        result = _result(name)
        result.seconds = time.monotonic() - start
        print(f"  {result}", flush=True)
        results.append(result)
    print("", HEADING, *results, sep="\n")
    return status(results)


def status(results: Sequence[Result]) -> int:
    """The exit status: 1 if a test differs, 2 if something was not compared."""
    if any(result.differing for result in results):
        return 1
    return 2 if any(result.problem for result in results) else 0


def _result(name: str) -> Result:
    """Fetch, install and compare a suite, and keep nothing of it."""
    with tempfile.TemporaryDirectory(prefix="others-") as folder:
        try:
            installed = install(SUITES[name], Path(folder))
        except Unreachable as error:
            return Result(name, problem=f"not compared: {error}")
        with stand_in(installed.answers()) as server:
            return compare(installed, server)


if __name__ == "__main__":
    sys.exit(main())
