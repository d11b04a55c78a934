"""Where the time of a span goes that the viewer keeps: processor time in one process, part by part.

    python benchmarks/viewer_floors.py
    python benchmarks/viewer_floors.py --requests 80 --turns 9

Others on the machine prolong processor time, too, by what they take from caches: so each part is
run several times, and the least of them counts.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.receive.otlp import from_protobuf
from orq_otel.viewer.store import sqlite_search, sqlite_writing
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.store.sqlite_rows import INSERT, insert_many, values_of

import viewer_ingest
import viewer_traffic

#: So many requests make a transaction, as under load.
TOGETHER = 4


class Clock:
    """Measures processor time a span, in microseconds.

    Args:
        spans: How many spans each turn has.
        turns: How often each part is run.
    """

    def __init__(self, spans: int, turns: int) -> None:
        self._spans, self._turns = spans, turns

    def least(self, work: Callable[[], object]) -> float:
        """Run something several times. Returns the least time that it took."""
        took = []
        for _ in range(self._turns):
            began = time.process_time()
            work()
            took.append(time.process_time() - began)
        return min(took) / self._spans * 1e6

    def least_in_file(self, write: Callable[[SQLiteStore], object]) -> tuple[float, float]:
        """The same with a new file each time. Returns also its size in bytes a span."""
        took, size = [], 0.0
        for _ in range(self._turns):
            with tempfile.TemporaryDirectory() as directory:
                store = SQLiteStore(Path(directory) / "spans.db")
                began = time.process_time()
                write(store)
                took.append(time.process_time() - began)
                size = store.size() / self._spans
                store.close()
        return min(took) / self._spans * 1e6, size


def parts(bodies: list[bytes], turns: int) -> dict[str, float]:
    """The parts for some requests. The last ones are of the whole."""
    clock = Clock(len(bodies) * viewer_ingest.BATCH, turns)
    received = [from_protobuf(body).spans for body in bodies]
    kept = [[KeptSpan(span, read(span)) for span in spans] for spans in received]
    groups = [
        list(chain.from_iterable(kept[at : at + TOGETHER])) for at in range(0, len(kept), TOGETHER)
    ]
    rows = [sqlite_writing.Batch(group).rows for group in groups]

    def insert_alone(store: SQLiteStore) -> None:
        seq = 0
        for group in rows:
            for row in group:
                row.seq = seq = seq + 1
                row.thread = 1
            values = list(map(values_of, group))
            store._file.change(
                lambda connection, values=values: insert_many(connection, INSERT, values)
            )

    def write(store: SQLiteStore) -> None:
        for group in groups:
            store.write(group)

    figures = {
        "decoding": clock.least(lambda: [from_protobuf(body) for body in bodies]),
        "facts": clock.least(lambda: [[read(span) for span in spans] for spans in received]),
        "rows and texts": clock.least(lambda: [sqlite_writing.Batch(group) for group in groups]),
    }
    figures["SQLite, rows of spans alone"], _ = clock.least_in_file(insert_alone)
    figures["writing, all of it"], size = clock.least_in_file(write)
    add = sqlite_search.add
    sqlite_search.add = lambda *_: None
    figures["writing, without the index of messages"], without = clock.least_in_file(write)
    sqlite_search.add = add
    figures["all"] = sum(figures[name] for name in ("decoding", "facts", "writing, all of it"))
    figures["bytes in the file"] = size
    figures["bytes without the index of messages"] = without
    return figures


def main() -> None:
    """Measure both kinds of spans, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=20, help="of 512 spans each")
    parser.add_argument("--turns", type=int, default=5, help="how often each part is run")
    options = parser.parse_args()
    # As in the viewer.
    gc.disable()
    spans = options.requests * viewer_ingest.BATCH
    columns = [
        parts(viewer_ingest.bodies(spans, is_gzip=False), options.turns),
        parts(viewer_traffic.encode(options.requests), options.turns),
    ]
    print("| µs of processor time a span | labels and usage | agents, tools and messages |")
    print("| --- | --: | --: |")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(f'{one[name]:,.1f}' for one in columns)} |")


if __name__ == "__main__":
    main()
