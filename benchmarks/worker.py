"""The measuring process of one peer: `.venvs/PEER/bin/python worker.py PEER`.

A fork server. It imports openai and the SDK once; for every line "SCENARIO CLIENT" on standard
input it forks a process, which alone instruments, and which alone has the environment of that
scenario. The fork tells what a verification sample looked like, and then answers every number on
standard input with the time per call of a batch of that many calls. Zero ends it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable
from time import perf_counter_ns, process_time_ns
from typing import Any

import openai
import opentelemetry.sdk._logs.export  # noqa: F401  imported once, before any fork
from opentelemetry import context

import clients
import evidence
from adapters import ADAPTERS
from children import tell, tell_and_exit
from peers import PEERS
from pipeline import Pipeline
from scenarios import SCENARIOS, Mode, Scenario

VERIFIED_CALLS = 20

Batch = Callable[[int], tuple[int, int]]
"""Makes so many calls; returns wall and processor nanoseconds, the latter of all threads."""


def main() -> None:
    """Serve scenarios until standard input ends."""
    quiet()
    name = sys.argv[1]
    clients.warm_up()
    gc.collect()
    gc.freeze()
    with open(0, "rb", buffering=0, closefd=False) as orders:  # unbuffered: the forks read it too
        while words := orders.readline().split():
            scenario, client = (word.decode() for word in words)
            if (child := os.fork()) == 0:
                try:
                    serve(name, scenario, client, orders.readline)
                except BaseException as error:  # noqa: BLE001  whatever it was, the parent must know
                    tell({"error": f"{type(error).__name__}: {error}"[:400]})
                os._exit(0)
            os.waitpid(child, 0)


def quiet() -> None:
    """Silence whatever instrumentors have to say."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def set_up(name: str, scenario: Scenario, client: str) -> tuple[Pipeline, Batch]:
    """Instrument this process and return its pipeline and the batch of calls to time."""
    peer = PEERS[name]
    os.environ.update(peer.variables(content=scenario.content))
    pipeline = Pipeline(scenario, own=peer.own_provider, logs=peer.logs)
    if client == "thin":
        clients.install_thin(scenario.request)
    ADAPTERS[name](pipeline)
    if scenario.mode is Mode.SUPPRESSED:
        _suppress()
    return pipeline, _batch(scenario)


def serve(name: str, scenario_name: str, client: str, order: Callable[[], bytes]) -> None:
    """Verify, then time batches as ordered."""
    scenario = SCENARIOS[scenario_name]
    pipeline, batch = set_up(name, scenario, client)
    sample = _verify(pipeline, scenario, batch)
    batch(VERIFIED_CALLS)
    pipeline.flush()
    tell({**sample, "openai": openai.__version__})
    gc.collect()
    gc.freeze()
    before, calls = pipeline.spans(), 0
    while count := int(order() or 0):
        gc.collect()
        warming = max(1, count // 10)  # wake the caches after the other peers' turns
        batch(warming)
        wall, processor = batch(count)
        pipeline.flush()
        calls += count + warming
        tell([wall / count, processor / count])
    tell_and_exit({"calls": calls, "spans": pipeline.spans() - before})


def _verify(pipeline: Pipeline, scenario: Scenario, batch: Batch) -> dict[str, Any]:
    """Make some calls and describe the telemetry that they gave."""
    batch(1)
    pipeline.flush()
    spans = pipeline.exporter
    if spans is None:
        return {"spans_per_call": 0}
    spans.kept = []
    if pipeline.log_exporter is not None:
        pipeline.log_exporter.kept = []
    batch(VERIFIED_CALLS)
    pipeline.flush()
    found = evidence.describe(pipeline, scenario, spans.kept, VERIFIED_CALLS)
    spans.kept = None
    if pipeline.log_exporter is not None:
        pipeline.log_exporter.kept = None
    return found


def _suppress() -> None:
    """Set the two keys with which OpenTelemetry asks instrumentors to do nothing."""
    suppressed = context.set_value("suppress_instrumentation", True)  # noqa: FBT003
    key = context._SUPPRESS_INSTRUMENTATION_KEY
    context.attach(context.set_value(key, True, suppressed))  # noqa: FBT003


def _batch(scenario: Scenario) -> Batch:
    """Return the function that makes a batch of a scenario's calls, and times it."""
    if scenario.asynchronous:
        one_async = clients.make_async_call(scenario.request)
        loop = asyncio.new_event_loop()

        async def run_async(count: int) -> tuple[int, int]:
            turns = range(count)
            processor, wall = process_time_ns(), perf_counter_ns()
            for _ in turns:
                await one_async()
            return perf_counter_ns() - wall, process_time_ns() - processor

        return lambda count: loop.run_until_complete(run_async(count))

    one = clients.make_call(scenario.request)

    def run(count: int) -> tuple[int, int]:
        turns = range(count)
        processor, wall = process_time_ns(), perf_counter_ns()
        for _ in turns:
            one()
        return perf_counter_ns() - wall, process_time_ns() - processor

    if not scenario.in_loop:
        return run
    loop = asyncio.new_event_loop()

    async def run_in_loop(count: int) -> tuple[int, int]:
        return run(count)

    return lambda count: loop.run_until_complete(run_in_loop(count))


if __name__ == "__main__":
    main()
