"""What it costs to read a span, by its sender: what it says, its cost and its title.

    python benchmarks/viewer_dialects.py

The spans are those of `tests/viewer/dialects`, as their senders have sent them. Prints a table for
`benchmarks/README.md`.
"""

from __future__ import annotations

import time
from pathlib import Path

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.receive.otlp import from_json

SENT = Path(__file__).parent.parent / "tests" / "viewer" / "dialects"
REPEATS = 30


def microseconds(folder: Path) -> tuple[int, float]:
    """The number of a sender's spans, and the processor time to read one: the best of some runs."""
    spans = [
        one for file in folder.glob("[tl]*.json") for one in from_json(file.read_bytes()).spans
    ]
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time_ns()
        for one in spans:
            read(one)
        best = min(best, (time.process_time_ns() - began) / len(spans) / 1e3)
    return len(spans), best


def main() -> None:
    """Print the table."""
    print("| sender | spans | µs a span |\n| --- | --: | --: |")
    for folder in sorted(one for one in SENT.iterdir() if one.is_dir()):
        count, cost = microseconds(folder)
        print(f"| {folder.name} | {count} | {cost:.0f} |")


if __name__ == "__main__":
    main()
