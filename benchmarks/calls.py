"""What an instrumented call costs: microseconds added to the same call without instrumentation.

All peers of a scenario are alive at once, each in a process of its own, and are asked for short
batches in turn, in an order that rotates every round. Whatever else the machine does hits them
all alike. The figure is the fastest batch of a peer less the fastest batch of the bare client.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from children import HERE, environment_for, heard, progress
from peers import BARE, PEERS
from scenarios import SCENARIOS, Mode

Cell = dict[str, Any]
"""The figures of one peer in one scenario, or `{"error": ...}`."""
Results = dict[str, dict[str, Cell]]
"""Scenario -> peer -> cell."""

BATCH_NS = 5e6
MOST_CALLS = 400  # a batch never overflows the queue of a batch processor


class Worker:
    """The measuring process of one peer, as its parent sees it."""

    def __init__(self, name: str, python: Path) -> None:
        """Start `worker.py` for a peer under the interpreter of its environment."""
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the worker
        self._process = subprocess.Popen(
            [str(python), str(HERE / "worker.py"), name],
            env=environment_for({}),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def begin(self, scenario: str, client: str) -> None:
        """Have it fork a process for a scenario. `hear` then returns the verification sample."""
        self._order(f"{scenario} {client}")

    def batch(self, calls: int) -> tuple[float, float]:
        """Return wall and processor nanoseconds per call of one batch."""
        self._order(str(calls))
        wall, processor = self._figures()
        return wall, processor

    def end(self) -> dict[str, int]:
        """End the scenario; return how many calls were made and how many spans came of them."""
        self._order("0")
        counts: dict[str, int] = self._figures()
        return counts

    def hear(self) -> Any:
        """Return the next result."""
        assert self._process.stdout
        for line in self._process.stdout:
            if (result := heard(line)) is not None:
                return result
        self._errors.seek(0)
        raise RuntimeError(f"the worker of {self.name} ended: {self._errors.read()[-400:]}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _figures(self) -> Any:
        result = self.hear()
        if isinstance(result, dict) and "error" in result:
            raise RuntimeError(f"{self.name} failed while it was timed: {result['error']}")
        return result

    def _order(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()


def measure(
    pythons: dict[str, Path], scenarios: Iterable[str], client: str, rounds: int
) -> Results:
    """Measure scenarios through one kind of client, for peers given with their interpreters."""
    workers = [Worker(name, python) for name, python in pythons.items()]
    results: Results = {}
    for scenario in scenarios:
        started = time.monotonic()
        content = SCENARIOS[scenario].content
        taking_part = [w for w in workers if content or PEERS[w.name].switchable]
        results[scenario] = _measure_one(scenario, client, taking_part, rounds)
        trouble = [
            f"{name}: {cell.get('error', 'not verified')}"
            for name, cell in results[scenario].items()
            if not cell.get("verified")
        ]
        progress("; ".join([f"{client} {scenario} {time.monotonic() - started:.1f} s", *trouble]))
    for worker in workers:
        worker.close()
    return results


def _measure_one(
    scenario: str, client: str, workers: Sequence[Worker], rounds: int
) -> dict[str, Cell]:
    for worker in workers:
        worker.begin(scenario, client)
    samples: dict[str, Cell] = {worker.name: worker.hear() for worker in workers}
    live = [worker for worker in workers if "error" not in samples[worker.name]]
    sizes = {worker.name: _batch_size(worker) for worker in live}
    wall: dict[str, list[float]] = {worker.name: [] for worker in live}
    processor: dict[str, list[float]] = {worker.name: [] for worker in live}
    for turn in range(rounds):
        first = turn % len(live)
        for worker in [*live[first:], *live[:first]]:
            elapsed, used = worker.batch(sizes[worker.name])
            wall[worker.name].append(elapsed)
            processor[worker.name].append(used)
    base = wall[BARE]
    cells = dict(samples)
    for worker in live:
        name, sample, counts = worker.name, samples[worker.name], worker.end()
        pairs = zip(wall[name], base, strict=True)
        cells[name] = {
            "added_us": (min(wall[name]) - min(base)) / 1e3,
            "added_us_paired_median": statistics.median(x - y for x, y in pairs) / 1e3,
            "min_ns": min(wall[name]),
            "median_ns": statistics.median(wall[name]),
            "processor_min_ns": min(processor[name]),
            "ratio": min(wall[name]) / min(base),
            "rounds": rounds,
            "calls_per_batch": sizes[name],
            **counts,
            "verified": _verified(name, scenario, sample, counts),
            **sample,
        }
    return cells


def _batch_size(worker: Worker) -> int:
    """How many calls make a batch that is long enough to time and short enough to take turns."""
    per_call = min(worker.batch(4)[0] for _ in range(3))
    return max(2, min(MOST_CALLS, int(BATCH_NS / per_call)))


def _verified(name: str, scenario: str, sample: Cell, counts: dict[str, int]) -> bool:
    """Whether the timed calls gave as many spans as the sample did, and any where they should."""
    expected = sample["spans_per_call"] * counts["calls"]
    silent = name == BARE or SCENARIOS[scenario].mode is not Mode.SDK
    return counts["spans"] == expected and (silent or expected > 0)
