"""The page of operations and attributes says what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_of_operations_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, DOCS / "generate.py", "--check"], check=False)
    assert done.returncode == 0, "run: python docs/generate.py"
