"""Run the tests of the client with each client and each Python that is supported.

    python3 run.py matrix
    python3 run.py matrix --client openai-1.26 orq-4.2 --python 3.12
    python3 run.py matrix --quick
    python3 run.py matrix --client openai-next orq-next

Each pair has an environment of its own in `.venvs`, and beside it a log of what was printed there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".venvs"
BIN = "Scripts" if os.name == "nt" else "bin"


@dataclass(frozen=True)
class Client:
    """What is installed for a client, and which tests it is tested with."""

    package: str
    extras: str
    packages: tuple[str, ...]
    tests: tuple[str, ...]


#: What depends on OpenAI's client. Each Python runs all other tests once, with the newest one.
OPENAI = (
    "tests/conformance",
    "tests/openai",
    "tests/test_attribute_limits.py",
    "tests/test_broken.py",
    "tests/test_client_methods.py",
    "tests/test_one_id.py",
    "tests/test_open_streams.py",
    "tests/test_reaches.py",
    "tests/test_unfinished.py",
)


def _openai(*packages: str, extras: str = "otlp,orq") -> Client:
    return Client("openai", extras, packages, OPENAI)


def _orq(*packages: str) -> Client:
    return Client("orq-ai-sdk", "otlp,openai", packages, ("tests/orq",))


CLIENTS = {
    # It gives httpx an argument that 0.28 does not take any more, and Orq's client needs 0.28. The
    # oldest OpenTelemetry goes with it.
    "openai-1.26": _openai(
        "openai==1.26.0", "httpx<0.28", "opentelemetry-sdk==1.39.*", extras="otlp"
    ),
    "openai-1.66": _openai("openai[realtime]==1.66.0"),
    "openai-1": _openai("openai[realtime]>=1,<2"),
    "openai-2": _openai("openai[realtime]>=2,<3"),
    "openai-3.0": _openai("openai[realtime]==3.0.0"),
    "openai-3": _openai("openai[realtime]>=3,<4"),
    "orq-3.14.0": _orq("orq-ai-sdk==3.14.0"),
    "orq-3.14": _orq("orq-ai-sdk==3.14.*"),
    "orq-4.2": _orq("orq-ai-sdk==4.2.*"),
    "orq-4.5": _orq("orq-ai-sdk==4.5.*"),
    "orq-4.9": _orq("orq-ai-sdk==4.9.*"),
    "orq-4.13": _orq("orq-ai-sdk==4.13.*"),
    "orq-4": _orq("orq-ai-sdk>=4.17,<5"),
}
#: What comes next: pre-releases of everything, and no upper bound. Run only by name. The next httpx
#: is another library by the same name, which no client can import.
NEXT = {
    "openai-next": _openai("--pre", "openai[realtime]", "httpx<1"),
    "orq-next": _orq("--pre", "orq-ai-sdk", "httpx<1"),
}
ALL = {**CLIENTS, **NEXT}
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]

#: What is quick and tells most of each client.
QUICK = {
    "openai-1.26": ["tests/openai", "tests/test_attribute_limits.py"],
    "orq-4.2": ["tests/orq/test_operations.py", "tests/orq/test_instrumentor.py"],
}

#: Tests that take half of the time, with all that may be wrong in an answer.
SLOW = ["openai/test_fuzz.py", "openai/test_malformed.py"]
#: How long the tests of one pair may take, in seconds.
PATIENCE = 900
#: What pytest counts.
COUNTS = ("passed", "skipped", "xfailed", "failed", "error")


@dataclass(frozen=True)
class Pair:
    """A client and a Python."""

    client: str
    version: str

    @property
    def name(self) -> str:
        """What it is called in `.venvs`."""
        return f"{self.client}-python-{self.version}"

    @property
    def python(self) -> Path:
        """The Python of its environment."""
        return ENVIRONMENTS / self.name / BIN / "python"

    @property
    def log(self) -> Path:
        """What its commands print."""
        return ENVIRONMENTS / f"{self.name}.log"

    def run(self, *command: str | Path, timeout: float | None = None) -> None:
        """Run a command, with what it prints in the log."""
        with self.log.open("a") as log:
            subprocess.run(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=True,
            )


@dataclass(frozen=True)
class Result:
    """How the tests of a pair went."""

    pair: Pair
    problem: str
    client: str
    counts: dict[str, str]
    seconds: float

    def __str__(self) -> str:
        counts = "".join(f"{self.counts.get(kind, '0'):>9}" for kind in COUNTS)
        return (
            f"{self.client:<20}{self.pair.version:<7}{counts}{self.seconds:>8.0f} s  {self.problem}"
        )


HEADING = f"{'client':<20}{'Python':<7}" + "".join(f"{kind:>9}" for kind in COUNTS)


# ---- Pythons ----------------------------------------------------------------------------------


def candidates(version: str) -> Iterator[str | Path]:
    """What may be a Python of this version: the one of this program, those on PATH, pyenv's."""
    yield getattr(sys, "_base_executable", sys.executable)
    for directory in os.get_exec_path():
        found = shutil.which(f"python{version}", path=directory)
        if found:
            yield found
    # On PATH, pyenv has stand-ins that refuse to run before a version is chosen.
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    yield from sorted(pyenv.glob(f"{version}.*/bin/python"))


def is_python(path: str | Path, version: str) -> bool:
    """Whether it runs, is of this version and can make environments."""
    program = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return (done.returncode, done.stdout.strip()) == (0, version)


def find_pythons(versions: list[str]) -> dict[str, str | Path]:
    """Those of these versions that the machine has."""
    found = {
        version: next((path for path in candidates(version) if is_python(path, version)), None)
        for version in versions
    }
    return {version: path for version, path in found.items() if path is not None}


# ---- One pair ---------------------------------------------------------------------------------


def install(pair: Pair, python: str | Path) -> None:
    """Make the environment of a pair, or bring it up to date."""
    if not is_python(pair.python, pair.version):
        pair.run(python, "-m", "venv", "--clear", ENVIRONMENTS / pair.name)
    pip = [pair.python, "-m", "pip", "install", "--quiet", "--upgrade"]
    pair.run(*pip, "pip>=25.1")  # the first that knows dependency groups
    client = ALL[pair.client]
    pair.run(*pip, "-e", f".[{client.extras}]", *client.packages, "--group", "matrix")


def test(pair: Pair, python: str | Path, tests: Sequence[str], left_out: Sequence[str]) -> Result:
    """Run these tests with a pair, all but those left out."""
    start = time.monotonic()
    pair.log.unlink(missing_ok=True)
    problem = "cannot be installed"
    try:
        install(pair, python)
        problem = "failed"
        ignored = [f"--ignore=tests/{path}" for path in left_out]
        options = ["-p", "no:cacheprovider", "--color=no", "--tb=short"]
        options += ["--continue-on-collection-errors", *ignored]
        pair.run(pair.python, "-m", "pytest", *tests, *options, timeout=PATIENCE)
        problem = ""
    except subprocess.TimeoutExpired:
        problem = f"longer than {PATIENCE} s"
    except subprocess.CalledProcessError:
        pass
    return Result(pair, problem, installed(pair), counts(pair), time.monotonic() - start)


def installed(pair: Pair) -> str:
    """The client that was installed, with its version to the last digit."""
    package = ALL[pair.client].package
    program = f"from importlib.metadata import version; print('{package}', version('{package}'))"
    try:
        done = subprocess.run(
            [pair.python, "-c", program], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return pair.client
    return done.stdout.strip()


def counts(pair: Pair) -> dict[str, str]:
    """How many tests passed and so on, by pytest's last line, which others may follow."""
    lines = pair.log.read_text().splitlines() if pair.log.exists() else []
    last = next((one for one in reversed(lines) if re.search(r" in [\d.]+s\b", one)), "")
    return {kind: number for number, kind in re.findall(rf"(\d+) ({'|'.join(COUNTS)})", last)}


# ---- All of them ------------------------------------------------------------------------------


def main() -> int:
    """Run the pairs that the command line names, and print a table of them."""
    parser = argparse.ArgumentParser(
        prog="run.py matrix",
        description="Run the tests with each supported client and Python.",
    )
    clients = parser.add_mutually_exclusive_group()
    clients.add_argument("--client", nargs="+", choices=ALL, default=list(CLIENTS))
    clients.add_argument(
        "--quick",
        action="store_true",
        help="openai 1.26 with the oldest Python, orq-ai-sdk 4.2 with the newest, and of their "
        "tests those that are quick and tell most",
    )
    parser.add_argument("--python", nargs="+", help="which, all to be there: 3.12, or a later one")
    parser.add_argument("--strict", action="store_true", help="fail if any Python is missing")
    parser.add_argument("--jobs", type=int, default=2, help="how many pairs to run at a time")
    options = parser.parse_args()

    wanted = options.python or PYTHONS
    pythons = find_pythons(wanted)
    missing = [version for version in wanted if version not in pythons]
    if missing:
        print(f"This machine has no Python {', '.join(missing)}.", flush=True)
    if not pythons or (missing and (options.strict or options.python)):
        return 1
    versions = list(pythons)
    pairs = [Pair(name, version) for name in ALL if name in options.client for version in versions]
    if options.quick:
        pairs = [
            Pair("openai-1.26", versions[0]),
            Pair("orq-4.2", versions[-1]),
        ]

    ENVIRONMENTS.mkdir(exist_ok=True)
    results: dict[Pair, Result] = {}
    left_out = SLOW if options.quick else ()
    executor = ThreadPoolExecutor(options.jobs)
    running = [
        executor.submit(
            test,
            pair,
            pythons[pair.version],
            QUICK[pair.client] if options.quick else ALL[pair.client].tests,
            left_out,
        )
        for pair in pairs
    ]
    try:
        for done in as_completed(running):
            result = done.result()
            results[result.pair] = result
            if result.problem:
                print(f"==== {result.pair.name} ====\n{result.pair.log.read_text()}")
            print(f"{len(results)} of {len(pairs)}: {result}", flush=True)
    finally:  # of an interruption, too
        executor.shutdown(cancel_futures=True)
    print(f"\n{HEADING}", *(results[pair] for pair in pairs), sep="\n")
    if missing:
        print(f"Not tested with Python {', '.join(missing)}, which this machine does not have.")
    return int(any(result.problem for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
