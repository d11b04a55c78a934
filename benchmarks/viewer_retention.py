"""Measure what a limit in bytes keeps, how long it takes, and how fast spans are written then.

    python benchmarks/viewer_retention.py --megabytes 60

It fills a SQLite file with small, mixed or 40 kB spans, and brings a copy of it below 0.9, 0.5 and
0.1 of its size, once alone and once while batches of 100 small spans are written without a pause.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.store.retention import Retention
from orq_otel.viewer.store.retention_worker import RetentionWorker
from orq_otel.viewer.store.sqlite import SQLiteStore

SECOND = 10**9
SIZES = {"small": (100,), "mixed": (100, 3_000, 100, 90_000), "40 kB": (40_000,)}
PARTS = (0.9, 0.5, 0.1)
BATCH = 100


def span(number: int, size: int, start: int) -> KeptSpan:
    """A span with so many bytes of text that does not compress to less than half of it."""
    attributes = {
        "thread.id": f"thread-{number // 20}",
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "gpt-4o-mini",
        "text": os.urandom(size // 2).hex(),
    }
    one = Span(
        trace_id=f"{number // 5 + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_id=None,
        name="chat",
        kind="CLIENT",
        start=start,
        end=start + SECOND,
        status="UNSET",
        status_message="",
        service="shop",
        scope="benchmark",
        attributes=attributes,
        resource={"service.name": "shop"},
    )
    return KeptSpan(one, read(one))


def fill(path: Path, sizes: tuple[int, ...], size: int) -> int:
    """Fill a file with so many bytes, and return how many spans it has."""
    store = SQLiteStore(path)
    spans = 0
    while store.size() < size:
        batch = range(spans, spans + BATCH)
        store.write([span(n, sizes[n % len(sizes)], n * SECOND) for n in batch])
        spans += BATCH
    store.close()
    return spans


def on_disk(path: Path) -> int:
    """The bytes of a file and its log."""
    log = Path(f"{path}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


class Writing:
    """Writes new small spans until it is told to end, and counts them."""

    def __init__(self, store: SQLiteStore) -> None:
        self.spans = 0
        self.longest = 0.0
        self._store = store
        # They are made before, so that the store alone is measured.
        self._batches = [
            [span(10**9 + n, 100, 10**9 * SECOND) for n in range(first, first + BATCH)]
            for first in range(0, 30_000, BATCH)
        ]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for batch in self._batches:
            if self._is_over.is_set():
                return
            began = time.perf_counter()
            self._store.write(batch)
            self.longest = max(self.longest, time.perf_counter() - began)
            self.spans += BATCH

    def during(self, work: threading.Event, seconds: float) -> float:
        """Write until `work` is done or so much time is over: spans a second."""
        self._thread.start()
        began = time.perf_counter()
        while not work.wait(0.02) and self._thread.is_alive():
            if time.perf_counter() - began > seconds:
                break
        taken = time.perf_counter() - began
        self._is_over.set()
        self._thread.join()
        return self.spans / taken


def keep(store: SQLiteStore, limit: int) -> tuple[RetentionWorker, threading.Event]:
    """Have a limit kept as the viewer does, and tell when that is done for the first time."""
    done = threading.Event()

    def steps():  # noqa: ANN202 - as RetentionWorker takes it
        yield from Retention(size=limit).steps(store)
        done.set()

    return RetentionWorker(steps), done


def main() -> None:
    """Print a line for each kind of spans and each limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=60)
    size = parser.parse_args().megabytes * 10**6
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    print("spans  limit     kept  of room  file/limit  seconds  longest write  ingest")
    with tempfile.TemporaryDirectory() as place:
        whole, copy = Path(place, "whole.db"), Path(place, "copy.db")
        empty = SQLiteStore(copy)
        least = empty.size()
        empty.close()
        for name, sizes in SIZES.items():
            spans = fill(whole, sizes, size)
            shutil.copy(whole, copy)
            store = SQLiteStore(copy)
            alone = Writing(store).during(threading.Event(), 1.0)
            store.close()
            for part in PARTS:
                limit = int(on_disk(whole) * part)
                shutil.copy(whole, copy)
                store = SQLiteStore(copy)
                began = time.perf_counter()
                retention_worker, done = keep(store, limit)
                done.wait()
                seconds = time.perf_counter() - began
                retention_worker.close()
                share = on_disk(copy) / limit
                kept = store.overview(ThreadQuery()).spans
                room = spans * (limit - least) / (on_disk(whole) - least)
                store.close()
                shutil.copy(whole, copy)
                store = SQLiteStore(copy)
                writing = Writing(store)
                retention_worker, done = keep(store, limit)
                meanwhile = writing.during(done, 5.0)
                retention_worker.close()
                store.close()
                print(
                    f"{name:6} {part:5}  {kept:7,}   {kept / room:5.1%}       {share:5.1%}"
                    f"  {seconds:7.2f}     {writing.longest * 1000:7.0f} ms"
                    f"  {meanwhile / alone:6.0%}"
                )
            whole.unlink()


if __name__ == "__main__":
    main()
