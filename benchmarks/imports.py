"""What switching an instrumentor on costs: processor time, modules and memory.

A process imports openai with its lazy resources and the SDK, makes a pipeline, and then calls the
adapter, which imports the instrumentor and instruments. Its figures less those of a process where
the adapter does nothing are what the peer adds. Processor time, since wall time counts the disk,
and with compiled bytecode, as in any start but the first.
`.venvs/PEER/bin/python imports.py PEER` tells the figures of one process.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from children import ask, progress, tell_and_exit
from peers import BARE, PEERS
from resident import resident_mb


def measure(pythons: dict[str, Path], repeats: int) -> dict[str, dict[str, Any]]:
    """Measure peers, given with their interpreters: the minimum of several processes."""
    runs: dict[str, list[Any]] = {name: [] for name in pythons}
    for turn in range(repeats + 1):
        for name, python in pythons.items():
            run = ask(python, "imports.py", name, extra=PEERS[name].variables(content=True))
            if turn or "error" in run:  # the first process compiles the bytecode
                runs[name].append(run)
    results: dict[str, dict[str, Any]] = {}
    for name, own in runs.items():
        failed = [run for run in own if "error" in run]
        results[name] = failed[0] if failed else _compare(runs[BARE], own)
        progress(f"import {name} {results[name].get('error', '')}")
    return results


def _compare(bare: list[dict[str, float]], own: list[dict[str, float]]) -> dict[str, float]:
    def added(figure: str, of: Any = min) -> float:
        return float(of(run[figure] for run in own) - of(run[figure] for run in bare))

    return {
        "total_ms": min(run["processor_ms"] for run in own),
        "added_ms": added("processor_ms"),
        "added_ms_median": added("processor_ms", statistics.median),
        "added_modules": added("modules"),
        "added_mb": added("resident_mb"),
    }


def _measure_one(name: str) -> dict[str, float]:
    """Measure this process."""
    started = time.process_time_ns()
    import clients
    from adapters import ADAPTERS
    from pipeline import Pipeline
    from scenarios import SCENARIOS

    clients.warm_up()
    ADAPTERS[name](Pipeline(SCENARIOS["chat_sync"], own=PEERS[name].own_provider))
    return {
        "processor_ms": (time.process_time_ns() - started) / 1e6,
        "modules": len(sys.modules),
        "resident_mb": resident_mb(),
    }


if __name__ == "__main__":
    tell_and_exit(_measure_one(sys.argv[1]))
