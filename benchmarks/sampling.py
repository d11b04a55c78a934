"""What it costs to decide on a root span: OpenTelemetry's ratio by trace id, and ours by thread.

`.venvs/orq/bin/python sampling.py REPEATS` tells all rows.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from children import ask, progress, tell_and_exit
from timing import best_ns

#: The row that others are compared with.
BASE = "TraceIdRatioBased"
#: The most that a row may take of the base: what our sampler promises.
MOST = 2
REQUEST = {
    "http.request.method": "POST",
    "http.route": "/chat/{id}",
    "network.protocol.version": "1.1",
    "server.address": "shop.example.com",
    "server.port": 443,
    "url.path": "/chat/7",
    "url.scheme": "https",
    "user_agent.original": "curl/8",
}


def measure(python: Path, repeats: int) -> dict[str, Any]:
    """Measure the samplers: title -> nanoseconds."""
    results: dict[str, Any] = ask(python, "sampling.py", str(repeats), extra={})
    progress(f"sampling {results.get('error', '')}")
    return results


def _measure_all(repeats: int) -> dict[str, int]:
    from opentelemetry.sdk.trace.sampling import Sampler, TraceIdRatioBased
    from orq_otel import ThreadSampler, thread

    chance = random.Random(1)  # noqa: S311 - no secret
    trace_ids = [chance.getrandbits(128) for _ in range(4096)]

    def deciding(sampler: Sampler) -> Callable[[], Any]:
        turns = cycle(trace_ids)
        return lambda: sampler.should_sample(None, next(turns), "POST", None, REQUEST)

    ours = deciding(ThreadSampler(0.25, keep=["incident"]))
    figures = {
        BASE: best_ns(deciding(TraceIdRatioBased(0.25)), repeats=repeats),
        "ThreadSampler, outside of threads": best_ns(ours, repeats=repeats),
    }
    with thread("s1", tags=["beta", "nl"]):
        figures["ThreadSampler, in a thread"] = best_ns(ours, repeats=repeats)
    return {title: round(nanoseconds) for title, nanoseconds in figures.items()}


if __name__ == "__main__":
    tell_and_exit(_measure_all(int(sys.argv[1])))
