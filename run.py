"""Set up what a job needs and run it: `python3 run.py quickstart`, `python3 run.py test`.

Everything goes into a virtual environment in `.venv`; nothing else on the machine is changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"

#: Each job: what to install, and the commands to run, each with the environment's Python.
JOBS: dict[str, tuple[list[str], list[list[str]]]] = {
    "quickstart": (["-e", ".[otlp,openai]"], [["examples/quickstart.py"]]),
    "test": (
        ["-e", ".[otlp,openai,orq]", "--group", "test"],
        [["-m", "coverage", "erase"], ["-m", "coverage", "run", "-m", "pytest"]],
    ),
    "lint": (
        ["--group", "lint"],
        [["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"]],
    ),
    "types": (
        ["-e", ".[otlp,openai,orq]", "--group", "test", "--group", "types"],
        [["-m", "mypy"], ["-m", "pyright"]],
    ),
    "coverage": (
        ["--group", "test"],
        [["-m", "coverage", "combine", "--quiet"], ["-m", "coverage", "report"]],
    ),
}


def install(*packages: str) -> None:
    """Install into the environment what is not there yet."""
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *packages], cwd=ROOT, check=True)


def main() -> int:
    """Run the job that the command line names, with the arguments that follow it."""
    if len(sys.argv) < 2 or sys.argv[1] not in JOBS:  # noqa: PLR2004
        print(f"usage: python3 run.py {{{','.join(JOBS)}}} [arguments]", file=sys.stderr)
        return 2
    packages, commands = JOBS[sys.argv[1]]
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True)
        # Dependency groups need pip 25.1, which Python brings along only since 3.14.
        install("pip>=25.1")
    install(*packages)
    commands = [*commands[:-1], [*commands[-1], *sys.argv[2:]]]
    for command in commands:
        status = subprocess.run([PYTHON, *command], cwd=ROOT, check=False).returncode
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
