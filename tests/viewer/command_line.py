"""The command `orq-otel` in a process of its own."""

from __future__ import annotations

import sys
from typing import Final

COMMAND: Final = (
    sys.executable,
    "-c",
    "import sys; from orq_otel.cli.main import main; sys.exit(main())",
)
