"""Run other projects' tests, bare and with ours switched on, and compare how each test ends.

    python3 run.py others
    python3 run.py others openai-3 starlette

All that is needed is downloaded into a folder that is removed at the end: source, environments and
what pytest writes. A test that ends otherwise with ours is run again, both ways and twice: what
differs each time is named, and the exit status is 1. It is 2 if nothing differs, but a suite could
not be fetched or installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from stand_in import stand_in
from suites import PYTEST, SUITES, Suite

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).resolve().parent / "plugin"
BIN = "Scripts" if os.name == "nt" else "bin"

#: How long one run of a suite may take, and one of its tests, in seconds.
PATIENCE = 3 * 3600
PATIENCE_FOR_ONE = 120
#: How many tests are run again at a time, since a command line has a length.
MOST_AGAIN = 100


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
            "ORQ_OTEL_OUTCOMES": str(outcomes),
            "ORQ_OTEL_SWITCHED_ON": str(is_on).lower(),
            "PYTEST_TIMEOUT": str(PATIENCE_FOR_ONE),
            "PYTHONPATH": str(PLUGIN),
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
    released = f"{suite.requirement}{extras}" if suite.is_source_apart else f"{source}{extras}"
    _pip(python, "install", released, *PYTEST, *suite.needs, f"{ROOT}[otlp]")
    return Installed(suite, folder, source)


def _fetched(suite: Suite, folder: Path, python: Path) -> Path:
    """The folder with the source of a suite's newest release."""
    _pip(python, "download", "--no-deps", "--no-binary", ":all:", "-d", folder, suite.requirement)
    (archive,) = folder.glob("*.tar.gz")
    source = _unpacked(archive, folder / "source")
    if not suite.is_source_apart:
        return source
    about = HeaderParser().parsestr((source / "PKG-INFO").read_text(encoding="utf-8"))
    urls = dict(one.split(", ", 1) for one in about.get_all("Project-URL", []))
    address = f"{urls['Source']}/archive/refs/tags/v{about['Version']}.tar.gz"
    tagged = folder / "tagged.tar.gz"
    try:
        with urlopen(address, timeout=60) as response:
            tagged.write_bytes(response.read())
    except (OSError, URLError) as error:
        raise Unreachable(
            f"its tests are in no source distribution, and {address}: {error}"
        ) from None
    return _unpacked(tagged, folder / "tagged")


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


def compare(installed: Installed, server: str) -> bool:
    """Run a suite both ways and say what differs. Returns whether anything does."""
    bare = installed.run(server, is_on=False)
    ours = installed.run(server, is_on=True)
    first = differing(bare, ours)
    still = _still_differing(installed, server, first)
    passed = sum(outcome == "passed" for outcome in bare.outcomes.values())
    print(
        f"  {len(bare.outcomes)} tests, {passed} pass bare; {len(still)} differ, and "
        f"{len(first) - len(still)} did only once; ours recorded {dict(ours.recorded)}",
        flush=True,
    )
    for test in still:
        print(f"  {test}\n    bare: {bare.outcomes.get(test)}\n    ours: {ours.outcomes.get(test)}")
    for reported in ours.reported:
        print(f"  ours reported: {reported}")
    if not passed or not ours.recorded:  # then nothing was compared
        print((installed.folder / "ours.log").read_text()[-4000:])
        return True
    return bool(still)


def _still_differing(installed: Installed, server: str, tests: list[str]) -> list[str]:
    """Those tests that differ again, twice, when they are run with few others."""
    still = tests
    for _ in range(2):
        again = [test for test in still if not test.endswith(" (collection)")]
        differ = {test for test in still if test not in again}
        for start in range(0, len(again), MOST_AGAIN):
            some = again[start : start + MOST_AGAIN]
            bare = installed.run(server, some, is_on=False)
            differ |= set(differing(bare, installed.run(server, some, is_on=True)))
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
    has_differences, unreachable = False, []
    with stand_in() as server:
        for name in options.suites or SUITES:
            print(name, flush=True)
            with tempfile.TemporaryDirectory(prefix="others-") as folder:
                try:
                    installed = install(SUITES[name], Path(folder))
                except Unreachable as error:
                    print(f"  not compared: {error}", flush=True)
                    unreachable.append(name)
                else:
                    print(f"  {installed.source.name}", flush=True)
                    has_differences |= compare(installed, server)
    if unreachable:
        print(f"Not compared: {', '.join(unreachable)}")
    return 1 if has_differences else 2 if unreachable else 0


if __name__ == "__main__":
    sys.exit(main())
