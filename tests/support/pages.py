"""Pages of the documentation, and what is in them to be tried."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"


def blocks(page: str, language: str = "python") -> list[str]:
    """The blocks of code of a page, by its path below `docs`.

    A block that is indented, as in a list, loses its indentation.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def run_page(page: str, names: dict[str, Any]) -> None:
    """Run all of a page's Python code, one block after the other, with these names."""
    for number, code in enumerate(blocks(page)):
        exec(compile(code, f"docs/{page}, block {number}", "exec"), names)


def run_example(name: str, **variables: str) -> str:
    """Run a program of `examples` against the stand-ins, and return the threads that arrived.

    Args:
        name: The name of its file, or the path of any other.
        variables: Of its environment, which has no other settings for telemetry or models.
    """
    done = subprocess.run(
        [sys.executable, "-m", "stand_ins", name],
        cwd=EXAMPLES,
        env={**without_settings(), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.partition("This arrived over OTLP:\n\n")[2].rstrip() + "\n"


def without_settings() -> dict[str, str]:
    """This process's environment, without settings for telemetry or models.

    Nor for coverage, by which a program takes half as long again.
    """
    unwanted = ("COVERAGE_", "OPENAI_", "ORQ_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def settled(table: str) -> str:
    """A table of threads without what differs from run to run: durations, and random ids."""
    table = re.sub(r" +[\d.,]+ m?s$", "", table, flags=re.MULTILINE)
    return re.sub(r"\b(\w+)-[0-9a-f]{7}[0-9a-f-]*\.\.\.", r"\1-...", table)
