"""Forked and spawned processes: no lock of ours stays taken, and scopes can be left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.programs import run_program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine has no fork")

#: What a forked child does: everything of ours that takes a lock. A child that waits forever is
#: ended by the alarm, and its parent sees that.
CHILD = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from orq_otel import ThreadSpanProcessor, bind, current_thread, propagate_to_workers, thread
from orq_otel.threads import scope as scopes
from orq_otel.labels.entry_spans import entry_spans

provider = TracerProvider()
provider.add_span_processor(ThreadSpanProcessor())
tracer = provider.get_tracer("own")

def serve(number):
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as request:
        scope = thread(f"t-{number}", tags=["a"])
        with scope, scope:
            with tracer.start_as_current_span("inner") as inner:
                assert inner.attributes["thread.id"] == f"t-{number}", inner.attributes
        assert request.attributes["thread.id"] == f"t-{number}", request.attributes

def forked(work):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(30)
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print("child:", repr(error), file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
"""


def output_of(program: str, tmp_path: Path, *args: str) -> str:
    """What a program prints, without a word about errors."""
    done = run_program(program, tmp_path, *args)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("lock", ["entry_spans._lock"])
def test_a_lock_that_another_thread_holds_is_free_in_the_child(lock: str, tmp_path: Path) -> None:
    program = f"""{CHILD}
held, done = threading.Event(), threading.Event()

def hold():
    with {lock}:
        held.set()
        done.wait(60)

holder = threading.Thread(target=hold)
holder.start()
held.wait(60)
print(forked(lambda: serve(1)))
done.set()
holder.join(60)
serve(2)
"""
    assert output_of(program, tmp_path) == "0\n"


def test_a_child_that_is_forked_during_a_shutdown_can_be_set_up(tmp_path: Path) -> None:
    program = f"""{CHILD}
import socket
from opentelemetry import trace
import orq_otel

with socket.create_server(("127.0.0.1", 0)) as silent:
    endpoint = "http://127.0.0.1:%d" % silent.getsockname()[1]
    handle = orq_otel.configure(endpoint=endpoint)
    trace.get_tracer("own").start_span("s").end()
    stopping = threading.Thread(target=handle.shutdown)
    stopping.start()
    exporting = silent.accept()
    print(forked(lambda: orq_otel.configure(endpoint=endpoint)))
    exporting[0].close()
stopping.join(60)
"""
    done = run_program(program, tmp_path)
    assert done.stdout == "0\n"


def test_children_of_a_busy_process_can_do_all_that_it_does(tmp_path: Path) -> None:
    program = f"""{CHILD}
propagate_to_workers()
stop = threading.Event()
shared = thread("shared", tags=["a"])

def work(number):
    while not stop.is_set():
        serve(number)
        with shared, thread("shared", tags=["b"]):
            assert current_thread().tags == ("a", "b")

def all_of_it():
    assert current_thread() is None
    serve(100)
    with shared, thread("shared", tags=["b"]):
        assert current_thread().tags == ("a", "b")
    with ThreadPoolExecutor(2) as pool, thread("pool"):
        assert {{one.id for one in pool.map(lambda _: current_thread(), range(8))}} == {{"pool"}}

workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for worker in workers:
    worker.start()
print({{forked(all_of_it) for _ in range(40)}})
stop.set()
for worker in workers:
    worker.join(60)
assert current_thread() is None
"""
    assert output_of(program, tmp_path) == "{0}\n"


def test_a_child_that_is_forked_in_a_scope_is_in_it_and_can_leave_it(tmp_path: Path) -> None:
    program = f"""{CHILD}
outer, inner = thread("outer"), thread("inner", tags=["a"])
with outer:
    with inner:
        child = os.fork()
        os.write(1, f"{{child == 0}} {{current_thread().id}}\\n".encode())  # in one piece
        with tracer.start_as_current_span("span") as span:
            assert span.attributes["thread.id"] == "inner"
        with thread("inner", tags=["b"]):
            assert current_thread().tags == ("a", "b")
        with thread("other"):
            assert current_thread().id == "other"
    assert current_thread().id == "outer"
assert current_thread() is None
with inner as again:
    assert current_thread() is again
assert current_thread() is None
if child == 0:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert sorted(output_of(program, tmp_path).splitlines()) == ["0", "False inner", "True inner"]


def test_a_child_that_is_forked_in_a_request_can_go_on_with_it(tmp_path: Path) -> None:
    program = f"""{CHILD}
with tracer.start_as_current_span("request", kind=SpanKind.SERVER) as request:
    def work():
        with thread("one"):
            with tracer.start_as_current_span("span") as span:
                assert span.attributes["thread.id"] == "one"
        assert request.attributes["thread.id"] == "one"
        request.end()
        serve(1)
        assert not entry_spans.open
    print(forked(work))
    assert not request.attributes
assert not entry_spans.open
"""
    assert output_of(program, tmp_path) == "0\n"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("fork", "inherited one ('a',)\nhanded over one ('a',)\nplain one ('a',)\nafter None\n"),
        ("spawn", "inherited None\nhanded over one ('a',)\nplain one ('a',)\nafter None\n"),
        ("forkserver", "inherited None\nhanded over one ('a',)\nplain one ('a',)\nafter None\n"),
    ],
)
def test_processes_of_multiprocessing(method: str, expected: str, tmp_path: Path) -> None:
    program = """
import multiprocessing, sys
from orq_otel import current_thread, thread

def shown(name):
    t = current_thread()
    print(name, *((t.id, t.tags) if t else (None,)), flush=True)

def work(handed_over, plain):
    shown("inherited")
    with thread(handed_over):
        shown("handed over")
    with thread(plain):
        shown("plain")

if __name__ == "__main__":
    start = multiprocessing.get_context(sys.argv[1])
    with thread("one", tags=["a"]) as t:
        process = start.Process(target=work, args=(t, t.to_dict()))
        process.start()
        process.join(60)
        assert process.exitcode == 0
    process = start.Process(target=shown, args=("after",))
    process.start()
    process.join(60)
    assert process.exitcode == 0
"""
    assert output_of(program, tmp_path, method) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_with_the_switch(method: str, tmp_path: Path) -> None:
    program = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from orq_otel import current_thread, propagate_to_workers, thread

def where(number):
    t = current_thread()
    return number, t and t.id

if __name__ == "__main__":
    propagate_to_workers()
    start = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=start) as pool:
        with thread("one"):
            work = [pool.submit(where, 1), pool.map(where, [2, 3])]
        print(work[0].result(60), *work[1], *pool.map(where, [4, 5, 6, 7]))
"""
    assert output_of(program, tmp_path, method) == (
        "(1, 'one') (2, 'one') (3, 'one') (4, None) (5, None) (6, None) (7, None)\n"
    )


#: A program whose workers end spans. It prints those that arrive at a receiver.
WORKERS = """
import concurrent.futures, multiprocessing, os, sys
import openai
from opentelemetry import trace
import orq_otel
from orq_otel import thread

if "ENDPOINT" in os.environ:  # in what a fork server has begun
    orq_otel.configure(endpoint=os.environ["ENDPOINT"])

open_streams = []

def work(number, base_url=""):
    with thread(f"t-{number}"):
        trace.get_tracer("own").start_span("work").end()
        if base_url:
            client = openai.OpenAI(api_key="k", base_url=base_url, max_retries=0)
            open_streams.append(client.responses.create(model="m", input="x", stream=True))

if __name__ == "__main__":
    from stand_ins.otlp_receiver import OtlpReceiver
    from support.vendor import VendorServer

    with OtlpReceiver() as receiver, VendorServer() as server:
        handle = orq_otel.configure(endpoint=receiver.url)
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            list(pool.map(work, range(2)))
        os.environ["ENDPOINT"] = receiver.url
        for number, context in enumerate((context, multiprocessing.get_context("forkserver")), 2):
            process = context.Process(target=work, args=(number, server.base_url))
            process.start()
            process.join()
        handle.shutdown()
        print(*sorted((span.attributes["thread.id"], span.name) for span in receiver.spans))
"""


def test_what_workers_of_multiprocessing_have_left_is_exported(tmp_path: Path) -> None:
    assert output_of(WORKERS, tmp_path) == (
        "('t-0', 'work') ('t-1', 'work') "
        "('t-2', 'chat m') ('t-2', 'work') ('t-3', 'chat m') ('t-3', 'work')\n"
    )
