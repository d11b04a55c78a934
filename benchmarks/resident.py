"""The memory that this process holds."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb() -> float:
    """Return the resident set size in megabytes (Linux only)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
