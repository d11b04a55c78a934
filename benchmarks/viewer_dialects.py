"""What it costs to read a span, by its sender: what it says, its cost and its title.

    python benchmarks/viewer_dialects.py --markdown benchmarks/README.md

The spans are those of `tests/viewer/dialects`, as their senders have sent them. Prints the table of
`benchmarks/README.md`, or writes it there. It takes some seconds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.receive.otlp import from_json

from report import add_markdown, write_between_markers

SENT = Path(__file__).parent.parent / "tests" / "viewer" / "dialects"
REPEATS = 30
SECTION = "dialects"


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
    """Make the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_markdown(parser, SECTION)
    options = parser.parse_args()
    lines = ["| sender | spans | µs a span |", "| --- | --: | --: |"]
    for folder in sorted(one for one in SENT.iterdir() if one.is_dir()):
        count, cost = microseconds(folder)
        lines.append(f"| {folder.name} | {count} | {cost:.0f} |")
    text = "\n".join(lines) + "\n"
    if options.markdown is None:
        print(text, end="")
    else:
        write_between_markers(options.markdown, text, SECTION)


if __name__ == "__main__":
    main()
