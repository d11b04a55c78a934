"""How fast a long thread opens at its end, what its page sends, and how much memory that takes.

    python benchmarks/viewer_long_thread.py --turns 2000 --characters 1250

The viewer runs in a process of its own, from its command.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

from viewer_ingest import SECOND, Viewer

REPEATS = 3


def fill(path: Path, turns: int, characters: int) -> None:
    """Write a thread, each question and answer of which has so many characters."""
    from orq_otel.viewer.conversation.facts import read
    from orq_otel.viewer.model.kept_spans import KeptSpan
    from orq_otel.viewer.model.telemetry import Span
    from orq_otel.viewer.store.sqlite import SQLiteStore

    words = ("It is on its way. " * characters)[:characters]
    spans = []
    for number in range(turns):
        start = time.time_ns() - (turns - number) * SECOND
        messages = {
            name: json.dumps([{"role": role, "parts": [{"type": "text", "content": words}]}])
            for name, role in (("input", "user"), ("output", "assistant"))
        }
        span = Span(
            *(f"{number + 1:032x}", f"{number + 1:016x}", None, "chat gpt-4o-mini", "CLIENT"),
            *(start, start + SECOND // 2, "UNSET", "", "support", "benchmark"),
            attributes={
                "thread.id": "long",
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.response.id": f"r{number}",
                "gen_ai.usage.input_tokens": 100,
                "gen_ai.usage.output_tokens": 20,
                **{f"gen_ai.{name}.messages": value for name, value in messages.items()},
            },
        )
        spans.append(KeptSpan(span, read(span)))
    store = SQLiteStore(path)
    store.write(spans)
    store.close()


def page(viewer: Viewer, path: str) -> bytes:
    """A page of the viewer."""
    connection = http.client.HTTPConnection(viewer.pages.removeprefix("http://"))
    connection.request("GET", path)
    return connection.getresponse().read()


def measure(turns: int, characters: int) -> dict[str, float]:
    """Open the thread a few times."""
    with tempfile.TemporaryDirectory() as directory:
        fill(Path(directory) / "threads.db", turns, characters)
        viewer = Viewer(Path(directory))
        page(viewer, "/")
        before, took, size = viewer.memory(), [], 0
        used = viewer.processor_seconds()
        for _ in range(REPEATS):
            began = time.perf_counter()
            size = len(page(viewer, "/threads/long"))
            took.append(time.perf_counter() - began)
        figures = {
            "seconds_median": statistics.median(took),
            "processor_seconds": (viewer.processor_seconds() - used) / REPEATS,
            "page_kb": size / 1e3,
            "memory_mb_added": viewer.memory("VmHWM") - before,
        }
        viewer.stop()
    return figures


def main() -> None:
    """Measure what the options say, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument("--characters", type=int, default=1_250, help="of each text")
    options = parser.parse_args()
    for name, value in measure(options.turns, options.characters).items():
        print(f"{name}: {value:.2f}")


if __name__ == "__main__":
    main()
