"""Run the programs of frameworks with ids of their own, `frameworks/foreign_ids.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]


def run_foreign_ids(*args: str, variables: Mapping[str, str] | None = None) -> Any:
    """What a program tells of its conversations.

    Args:
        args: The name of the program, and its thread if it is to export.
        variables: Further environment variables.
    """
    places = (_TESTS.parent / "examples", _TESTS, os.environ.get("PYTHONPATH", ""))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", _TESTS / "frameworks" / "foreign_ids.py", *args],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            "LANGSMITH_TRACING": "false",
            "TRACELOOP_TELEMETRY": "false",
            **(variables or {}),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ORQ-" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])
