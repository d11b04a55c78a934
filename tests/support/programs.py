"""Programs that a test writes and runs in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]


def run_program(program: str, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program, which must end well. It can import what tests can.

    Args:
        program: Its source.
        folder: Where it is written and runs.
        args: Its arguments.
    """
    path = folder / "program.py"
    path.write_text(program)
    # Coverage has locks of its own, which a forked child would wait for.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    places = [str(_TESTS.parent / "examples"), str(_TESTS), environment.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", path, *args],
        env={**environment, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done
