"""How the parent and its measuring processes talk: JSON lines that start with a mark.

The mark tells results apart from whatever an instrumentor prints by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MARK = "@@"
PATIENCE_SECONDS = 600
UNWANTED = {"PYTHONDONTWRITEBYTECODE"}  # it would charge every import with compiling


def tell(value: Any) -> None:
    """Report a result to the parent."""
    print(MARK + json.dumps(value), flush=True)


def tell_and_exit(value: Any) -> None:
    """Report a result and leave at once, without the exit handlers of any instrumentor."""
    tell(value)
    os._exit(0)


def heard(line: str) -> Any:
    """Return the result on a line that starts with the mark; else None."""
    return json.loads(line[len(MARK) :]) if line.startswith(MARK) else None


def environment_for(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a measuring process."""
    kept = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    return {**kept, "OPENAI_API_KEY": "sk-x", "PYTHONHASHSEED": "0", **extra}


def ask(python: Path, script: str, *arguments: str, extra: Mapping[str, str]) -> Any:
    """Run a script of this directory under another interpreter and return what it tells."""
    try:
        done = subprocess.run(
            [str(python), str(HERE / script), *arguments],
            capture_output=True,
            text=True,
            env=environment_for(extra),
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    results = [heard(line) for line in done.stdout.splitlines() if line.startswith(MARK)]
    return results[-1] if results else {"error": done.stderr.strip()[-400:]}


def progress(text: str) -> None:
    """Tell whoever watches the run what is going on."""
    print(f"# {text}", file=sys.stderr, flush=True)
