"""What an instrumentor keeps: memory after it is switched on, and growth while it is used.

`calls`: growth of the resident set over many complete calls through the thin client, so that what
openai itself does cannot hide it. `abandoned`: growth over streams of which the application reads
5 of 20 chunks and then lets go, through the whole client; and whether their spans end at all.
Both are also measured without instrumentation, as the row to compare with.
`.venvs/PEER/bin/python memory.py PEER calls|abandoned SIZE` tells one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import ask, progress, tell_and_exit
from peers import PEERS
from resident import resident_mb

CHUNKS_READ = 5
FLUSH_EVERY = 400


def measure(pythons: dict[str, Path], calls: int, streams: int) -> dict[str, dict[str, Any]]:
    """Measure peers, given with their interpreters, over so many calls and abandoned streams."""
    results: dict[str, dict[str, Any]] = {}
    for name, python in pythons.items():
        extra = PEERS[name].variables(content=True)
        results[name] = {
            **ask(python, "memory.py", name, "calls", str(calls), extra=extra),
            **ask(python, "memory.py", name, "abandoned", str(streams), extra=extra),
        }
        progress(f"memory {name} {results[name].get('error', '')}")
    return results


def _measure_calls(name: str, count: int) -> dict[str, float]:
    """Switch a peer on, and make calls; the first tenth fills caches and queues."""
    import clients
    import worker
    from adapters import ADAPTERS
    from pipeline import Pipeline
    from scenarios import SCENARIOS

    worker.quiet()
    peer, scenario = PEERS[name], SCENARIOS["chat_sync"]
    clients.warm_up()
    clients.install_thin(scenario.request)
    call = clients.make_call(scenario.request)
    call()
    before = _settled()
    pipeline = Pipeline(scenario, own=peer.own_provider, logs=peer.logs)
    ADAPTERS[name](pipeline)
    instrumented = _settled()
    _repeat(call, max(1000, count // 10), pipeline.flush)
    warm, objects = _settled(), len(gc.get_objects())
    _repeat(call, count, pipeline.flush)
    return {
        "calls": count,
        "instrumented_mb": instrumented - before,
        "warm_mb": warm - before,
        "growth_mb": _settled() - warm,
        "objects_per_1000": (len(gc.get_objects()) - objects) * 1000 / count,
    }


def _measure_abandoned(name: str, count: int) -> dict[str, float]:
    """Abandon streams; the first half fills caches and queues."""
    import clients
    import worker
    from adapters import ADAPTERS
    from pipeline import Pipeline
    from scenarios import SCENARIOS
    from traffic import REQUESTS

    worker.quiet()
    peer, request = PEERS[name], REQUESTS["chat_stream_short"]
    pipeline = Pipeline(SCENARIOS["chat_sync"], own=peer.own_provider, logs=peer.logs)
    ADAPTERS[name](pipeline)
    client = clients.make_client(request)

    def abandon() -> None:
        chunks = iter(client.chat.completions.create(**request.arguments))
        for _ in range(CHUNKS_READ):
            next(chunks)

    _repeat(abandon, max(50, count // 2), pipeline.flush)
    before, objects, spans = _settled(), len(gc.get_objects()), pipeline.spans()
    _repeat(abandon, count, pipeline.flush)
    return {
        "abandoned": count,
        "abandoned_growth_mb": _settled() - before,
        "abandoned_objects_per_1000": (len(gc.get_objects()) - objects) * 1000 / count,
        "abandoned_spans_per_stream": (pipeline.spans() - spans) / count,
    }


def _repeat(call: Callable[[], Any], count: int, flush: Callable[[], None]) -> None:
    for turn in range(1, count + 1):
        call()
        if turn % FLUSH_EVERY == 0:
            flush()
    gc.collect()
    flush()


def _settled() -> float:
    gc.collect()
    return resident_mb()


MEASURES = {"calls": _measure_calls, "abandoned": _measure_abandoned}

if __name__ == "__main__":
    tell_and_exit(MEASURES[sys.argv[2]](sys.argv[1], int(sys.argv[3])))
