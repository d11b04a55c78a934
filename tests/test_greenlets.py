"""gevent and eventlet, each in a process that it has patched: what carries a thread along."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

#: Each switches green threads on, and says how to spawn one and to wait for it.
LIBRARIES = {
    "gevent": """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, gevent.pool, gevent.threadpool
spawn, result = gevent.spawn, lambda one: one.get(timeout=60)
pools = {
    "gevent.pool.Pool": lambda work: gevent.pool.Pool(1).spawn(work).get(timeout=60),
    "gevent.spawn_later": lambda work: gevent.spawn_later(0, work).get(timeout=60),
    "gevent.threadpool": lambda work: gevent.get_hub().threadpool.apply(work),
}
""",
    "eventlet": """
import eventlet
eventlet.monkey_patch()
import eventlet.tpool
spawn, result = eventlet.spawn, lambda one: one.wait()
pools = {
    "eventlet.GreenPool": lambda work: eventlet.GreenPool(1).spawn(work).wait(),
    "eventlet.spawn_after": lambda work: eventlet.spawn_after(0, work).wait(),
    "eventlet.tpool": lambda work: eventlet.tpool.execute(work),
}
""",
}

PROGRAM = """
import json, threading, time
from concurrent.futures import ThreadPoolExecutor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from orq_otel import ThreadSpanProcessor, bind, current_thread, propagate_to_workers, thread

provider = TracerProvider()
provider.add_span_processor(ThreadSpanProcessor())
tracer = provider.get_tracer("own")

def where():
    time.sleep(0)  # lets others run
    found = current_thread()
    return found and found.id

def in_thread(work):
    seen = []
    worker = threading.Thread(target=lambda: seen.append(work()))
    worker.start()
    worker.join(60)
    return seen[0]

def in_pool(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)

def ways():
    return {
        "spawn": lambda work: result(spawn(work)),
        "threading.Thread": in_thread,
        "ThreadPoolExecutor": in_pool,
        **pools,
    }

def converse(number):
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as request:
        with thread(f"t-{number}"):
            for _ in range(20):
                time.sleep(0)
                with tracer.start_as_current_span("call") as call:
                    assert call.attributes["thread.id"] == f"t-{number}"
                assert where() == f"t-{number}"
        assert request.attributes["thread.id"] == f"t-{number}"
    return where()

told = {"without": {}, "bound": {}, "switched on": {}}
with thread("one"):
    for name, run in ways().items():
        told["without"][name] = run(where)
        told["bound"][name] = run(bind(where))
    propagate_to_workers()
    for name, run in ways().items():
        told["switched on"][name] = run(where)
    propagate_to_workers(enabled=False)
told["outside"] = where()
told["conversations"] = [result(one) for one in [spawn(converse, n) for n in range(20)]]
print(json.dumps(told))
"""


def told_by(library: str) -> dict[str, Any]:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    program = LIBRARIES[library] + PROGRAM
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("library", "own"),
    [
        ("gevent", ["gevent.pool.Pool", "gevent.spawn_later", "gevent.threadpool"]),
        ("eventlet", ["eventlet.GreenPool", "eventlet.spawn_after", "eventlet.tpool"]),
    ],
)
def test_green_threads_have_a_thread_each(library: str, own: list[str]) -> None:
    told = told_by(library)
    covered = ["threading.Thread", "ThreadPoolExecutor"]
    ways = ["spawn", *covered, *own]
    assert told == {
        "without": dict.fromkeys(ways),
        "bound": dict.fromkeys(ways, "one"),
        "switched on": {way: "one" if way in covered else None for way in ways},
        "outside": None,
        "conversations": [None] * 20,
    }
