"""Where a peer's time goes: `.venvs/PEER/bin/python profiling.py PEER SCENARIO [CALLS]`.

Profiles calls through the thin client and prints the functions that take longest, by own time and
by time including what they call. Profiling slows small functions most: read it for hints.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys

import worker
from scenarios import SCENARIOS

SHOWN = 30


def main(peer: str, scenario: str, calls: str = "300") -> None:
    """Profile and print."""
    worker.quiet()
    pipeline, batch = worker.set_up(peer, SCENARIOS[scenario], "thin")
    batch(20)
    profile = cProfile.Profile()
    profile.runcall(batch, int(calls))
    pipeline.flush()
    statistics = pstats.Stats(profile).strip_dirs()
    for order in ("tottime", "cumtime"):
        statistics.sort_stats(order).print_stats(SHOWN)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
