"""Pools and threads keep the thread of the code that gives them work, where that is asked for."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import logging.handlers
import multiprocessing
import multiprocessing.pool
import pickle
import platform
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from support.lacking_clients import without
from support.recorded import Telemetry
from support.worker_tasks import TaskError, Worker, fail, where, where_and_who

from orq_otel import (
    Thread,
    ThreadSpanProcessor,
    bind,
    current_thread,
    propagate_threads,
    propagate_to_workers,
    thread,
)
from orq_otel.propagation import workers
from orq_otel.propagation.start import start

PATIENCE = 60
ONE, TWO = Thread("one", ("a",)), Thread("two")
in_one, in_two = thread("one", tags=["a"]), thread("two")

ORIGINALS = (ThreadPoolExecutor.submit, ProcessPoolExecutor.submit, threading.Thread.start)


def in_place() -> tuple[Any, ...]:
    """The functions that the switch replaces, as they are now."""
    return ThreadPoolExecutor.submit, ProcessPoolExecutor.submit, threading.Thread.start


@pytest.fixture(autouse=True)
def all_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("ORQ_OTEL_WORKERS", raising=False)
    as_python_has_timers()
    assert in_place() == ORIGINALS
    yield
    propagate_to_workers(enabled=False)
    assert in_place() == ORIGINALS
    as_python_has_timers()


def as_python_has_timers() -> None:
    """Take off what OpenTelemetry's instrumentation of threads leaves when it is switched off."""
    if "start" in vars(threading.Timer):
        del threading.Timer.start


@pytest.fixture
def switched_on() -> None:
    propagate_to_workers()


needs_switch = pytest.mark.usefixtures("switched_on")


def joined(worker: threading.Thread) -> None:
    """Run a thread of the operating system to its end."""
    worker.start()
    worker.join(PATIENCE)
    assert not worker.is_alive()


# ---- The switch -----------------------------------------------------------------------------


def test_a_pool_that_cannot_be_wrapped_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with without("concurrent.futures.process", "ProcessPoolExecutor", "submit"):
        propagate_to_workers()
        propagate_to_workers(enabled=False)
    (message,) = caplog.messages
    assert message == (
        "orq-otel cannot wrap concurrent.futures.process.ProcessPoolExecutor.submit of "
        f"python {platform.python_version()}, so it does not see what is called there. Upgrade "
        "orq-otel, or use another version of python until it has caught up. [ORQ-C01]"
    )


def test_nothing_is_replaced_unless_it_is_asked_for(telemetry: Telemetry) -> None:
    start(telemetry.provider, LoggerProvider())
    assert in_place() == ORIGINALS
    with ThreadPoolExecutor(1) as pool, in_one:
        assert pool.submit(where).result(PATIENCE) is None


def test_the_switch_can_be_used_again_and_again() -> None:
    for _ in range(2):
        propagate_to_workers()
        propagate_to_workers()
        assert not set(in_place()) & set(ORIGINALS)
        with ThreadPoolExecutor(1) as pool, in_one:
            assert pool.submit(where).result(PATIENCE) == ONE
        propagate_to_workers(enabled=False)
        propagate_to_workers(enabled=False)
        assert in_place() == ORIGINALS


@pytest.mark.parametrize(("value", "is_on"), [("true", True), (" TRUE ", True), ("false", False)])
def test_the_variable_switches_it_on(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, value: str, is_on: bool
) -> None:
    monkeypatch.setenv("ORQ_OTEL_WORKERS", value)
    start(telemetry.provider, LoggerProvider())
    with ThreadPoolExecutor(1) as pool, in_one:
        assert pool.submit(where).result(PATIENCE) == (ONE if is_on else None)


def test_another_value_of_the_variable_switches_nothing_on_and_says_so(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ORQ_OTEL_WORKERS", "yes")
    start(telemetry.provider, LoggerProvider())
    assert in_place() == ORIGINALS
    assert "ORQ_OTEL_WORKERS is true or false, not 'yes'. It counts as false." in caplog.text


def test_what_the_program_says_wins_over_the_variable(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_WORKERS", "true")
    propagate_to_workers(enabled=False)
    start(telemetry.provider, LoggerProvider())
    assert in_place() == ORIGINALS


def test_pools_that_are_imported_later_are_covered() -> None:
    program = """
import sys
from orq_otel import current_thread, propagate_to_workers, thread
propagate_to_workers()
assert "concurrent.futures.thread" not in sys.modules
assert "concurrent.futures.process" not in sys.modules
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool, thread("one"):
    print(pool.submit(current_thread).result().id)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "one\n"), done.stderr


# ---- Pools of threads -----------------------------------------------------------------------


@needs_switch
def test_a_pools_work_belongs_to_the_thread_in_which_it_was_submitted() -> None:
    with ThreadPoolExecutor(1) as pool:
        with in_one:  # the pool's only worker starts here
            first = pool.submit(where)
            with in_two:
                second = pool.submit(where)
        third = pool.submit(where)
        with in_one:
            fourth = pool.submit(where)
        assert [one.result(PATIENCE) for one in (first, second, third, fourth)] == [
            ONE,
            TWO,
            None,
            ONE,
        ]


@needs_switch
def test_map_belongs_to_the_thread_in_which_it_was_called() -> None:
    with ThreadPoolExecutor(2) as pool:
        with in_one:
            results = pool.map(where, range(5), range(5), timeout=PATIENCE)
        with in_two:
            assert list(results) == [ONE] * 5


@needs_switch
def test_pools_that_are_shared_by_many_threads_mix_nothing_up() -> None:
    def converse(pool: ThreadPoolExecutor, number: int) -> list[str]:
        with thread(f"t-{number}"):
            work = [pool.submit(where) for _ in range(50)]
        return [found.id for one in work if (found := one.result(PATIENCE)) is not None]

    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(8) as callers:
        told = callers.map(lambda number: converse(pool, number), range(16), timeout=PATIENCE)
        assert list(told) == [[f"t-{number}"] * 50 for number in range(16)]
        assert pool.submit(where).result(PATIENCE) is None


@needs_switch
def test_work_that_a_worker_submits_belongs_to_the_same_thread() -> None:
    with ThreadPoolExecutor(1) as inner, ThreadPoolExecutor(1) as outer, in_one:
        again = outer.submit(lambda: inner.submit(where).result(PATIENCE))
        assert again.result(PATIENCE) == ONE


@needs_switch
def test_work_that_waits_keeps_its_thread_when_the_switch_is_turned() -> None:
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with in_one:
            pool.submit(go.wait, PATIENCE)
            waiting = pool.submit(where)
        propagate_to_workers(enabled=False)
        go.set()
        assert waiting.result(PATIENCE) == ONE


@needs_switch
def test_what_is_bound_by_hand_keeps_that_thread() -> None:
    with in_two:
        bound = bind(where)
    with ThreadPoolExecutor(1) as pool, in_one:
        assert pool.submit(bound).result(PATIENCE) == TWO


@needs_switch
async def test_an_event_loops_pool_is_covered_too() -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        with in_one:
            assert await loop.run_in_executor(None, where, 1) == ONE
            assert await loop.run_in_executor(pool, where) == ONE
            assert await asyncio.to_thread(where) == ONE
        assert await loop.run_in_executor(None, where) is None
        assert await loop.run_in_executor(pool, where) is None
        assert await asyncio.to_thread(where) is None


@needs_switch
def test_subclasses_of_pools_are_covered() -> None:
    class Counting(ThreadPoolExecutor):
        submitted: list[Any]

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.submitted = [fn, args, kwargs]
            return super().submit(fn, *args, **kwargs)

    with Counting(1) as pool, in_one:
        assert pool.submit(where, 1, fn=2).result(PATIENCE) == ONE
        assert pool.submitted == [where, (1,), {"fn": 2}]


@needs_switch
def test_no_worker_of_a_pool_stays_in_a_thread_whichever_class_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Traced(threading.Thread):
        """One that hides the pool's function behind its own, as tools do that trace OS threads."""

        def __init__(
            self, *, target: Callable[..., Any], args: tuple[Any, ...], **options: Any
        ) -> None:
            super().__init__(target=self.serve, args=(target, args), **options)

        def serve(self, target: Callable[..., Any], args: tuple[Any, ...]) -> None:
            seen.append(current_thread())
            target(*args)

    seen: list[Thread | None] = []
    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch, in_one:
            patch.setattr(threading, "Thread", Traced)
            assert pool.submit(where).result(PATIENCE) == ONE
        assert pool.submit(where).result(PATIENCE) is None
    assert seen == [None]


@needs_switch
def test_work_of_every_form_returns_what_it_returns() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    generator = numbers()
    with ThreadPoolExecutor(1) as pool, in_one:
        work: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = [
            (functools.partial(where_and_who, 7), (), 7),
            (Worker("w").run, (7,), "w"),
            (Worker("o"), (7,), "o"),
        ]
        for function, args, first in work:
            result = pool.submit(function, *args).result(PATIENCE)
            assert result[0] == first
            assert ONE in result
        assert pool.submit(lambda: generator).result(PATIENCE) is generator
        assert pool.submit(int, "ff", base=16).result(PATIENCE) == 255


@needs_switch
@pytest.mark.parametrize("kind", [TaskError, KeyboardInterrupt, SystemExit])
def test_work_raises_what_it_raises(kind: type[BaseException]) -> None:
    failure = kind("as it was")

    def work() -> None:
        raise failure

    with ThreadPoolExecutor(1) as pool:
        with in_one:
            error = pool.submit(work).exception(PATIENCE)
        assert error is failure
        assert (failure.__cause__, failure.__context__) == (None, None)
        assert pool.submit(where).result(PATIENCE) is None


@needs_switch
def test_wrong_calls_fail_as_they_do_without_the_switch() -> None:
    def errors() -> list[str]:
        told = []
        with ThreadPoolExecutor(1) as pool:
            for wrong in (
                pool.submit,
                ThreadPoolExecutor.submit,
                lambda: pool.submit(None).result(PATIENCE),  # type: ignore[arg-type]
                lambda: pool.submit(where_and_who).result(PATIENCE),  # type: ignore[call-arg]
            ):
                with pytest.raises(TypeError) as raised:
                    wrong()  # type: ignore[operator]
                told.append(str(raised.value))
        with pytest.raises(RuntimeError) as late:
            pool.submit(where)
        return [*told, str(late.value)]

    with in_one:
        switched_on = errors()
        propagate_to_workers(enabled=False)
        assert errors() == switched_on
        assert current_thread() == ONE


@needs_switch
def test_nothing_is_kept_of_work_that_has_ended() -> None:
    def work() -> Thread | None:
        return current_thread()

    function = weakref.ref(work)
    with ThreadPoolExecutor(1) as pool:
        with in_one:
            future = pool.submit(work)
            worker = threading.Thread(target=work)
            joined(worker)
        assert future.result(PATIENCE) == ONE
        del work
        pool.submit(where).result(PATIENCE)  # the worker lets go of its work when it takes the next
        gc.collect()
        assert function() is None
        assert [one for one in gc.get_objects() if type(one) is workers.Work] == []


# ---- Threads of the operating system --------------------------------------------------------


class OwnRun(threading.Thread):
    """A thread with a `run` of its own."""

    seen: Thread | None = None

    def run(self) -> None:
        self.seen = current_thread()


@needs_switch
def test_a_bare_thread_belongs_to_the_thread_in_which_it_was_started() -> None:
    seen: list[Any] = []

    def work(*args: Any, **kwargs: Any) -> None:
        seen.append((current_thread(), args, kwargs))

    with in_one:
        made_in_one = threading.Thread(target=work, args=(1,), kwargs={"b": 2})
        made_and_started_in_one = threading.Thread(target=work)
        joined(made_and_started_in_one)
    with in_two:
        joined(made_in_one)
    joined(threading.Thread(target=work))
    assert seen == [(ONE, (), {}), (TWO, (1,), {"b": 2}), (None, (), {})]


@needs_switch
def test_threads_and_timers_with_a_run_of_their_own_are_covered() -> None:
    own, seen = OwnRun(), []
    with in_one:
        joined(own)
        joined(threading.Timer(0, lambda *numbers: seen.append((current_thread(), numbers)), [7]))
        cancelled = threading.Timer(PATIENCE, seen.append)
        cancelled.start()
    cancelled.cancel()
    cancelled.join(PATIENCE)
    assert own.seen == ONE
    assert seen == [(ONE, (7,))]


@needs_switch
def test_a_thread_that_runs_has_nothing_of_ours() -> None:
    go, stop = threading.Event(), threading.Event()

    def work() -> None:
        go.set()
        stop.wait(PATIENCE)

    worker = threading.Thread(target=work)
    with in_one:
        worker.start()
        assert go.wait(PATIENCE)
        assert "run" not in vars(worker)
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            worker.start()
        assert "run" not in vars(worker)
        stop.set()
        worker.join(PATIENCE)


@needs_switch
def test_a_thread_that_cannot_be_started_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = RuntimeError("can't start new thread")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise failure

    name = "_start_joinable_thread"  # since Python 3.13
    name = name if hasattr(threading, name) else "_start_new_thread"
    own = OwnRun()
    with in_one:
        with monkeypatch.context() as patched:
            patched.setattr(threading, name, refuse)
            with pytest.raises(RuntimeError) as raised:
                own.start()
        assert raised.value is failure
        assert "run" not in vars(own)
    joined(own)
    assert own.seen is None


@needs_switch
def test_a_thread_that_is_not_complete_fails_as_it_does_without_the_switch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Incomplete(threading.Thread):
        def __init__(self) -> None:
            """Without the part that every thread needs."""

    with in_one:
        for wrong in (Incomplete().start, threading.Thread.start):
            with pytest.raises((RuntimeError, TypeError), match="__init__|missing 1 required"):
                wrong()
    assert caplog.records == []


@needs_switch
def test_what_a_thread_raises_reaches_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    failure, told = TaskError("as it was"), []

    def work() -> None:
        raise failure

    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    with in_one:
        joined(threading.Thread(target=work))
    assert told == [failure]


@needs_switch
def test_a_run_that_somebody_else_put_on_a_thread_stays() -> None:
    seen: list[Thread | None] = []
    worker = threading.Thread()
    theirs = worker.run = lambda: seen.append(current_thread())  # type: ignore[method-assign]
    with in_one:
        joined(worker)
    assert worker.run is theirs
    assert seen == [None]


@needs_switch
def test_threads_that_serve_all_are_left_alone() -> None:
    seen: list[Thread | None] = []

    class Witness(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(current_thread())

    records: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(records, Witness())
    with in_one:
        listener.start()
        pool = multiprocessing.pool.ThreadPool(1)
        with pool:
            assert pool.apply(where) is None
            assert pool.apply(bind(where)) == ONE
            pool.close()
            pool.join()
    records.put(logging.makeLogRecord({}))
    listener.stop()
    assert seen == [None]


@needs_switch
def test_a_failure_of_ours_is_logged_and_the_thread_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(worker: threading.Thread) -> bool:
        raise LookupError

    monkeypatch.setattr(workers, "_is_service", broken)
    own = OwnRun()
    with in_one:
        joined(own)
    assert own.seen is None
    assert "while carrying a thread into a worker: LookupError" in caplog.text


# ---- Pools of processes ---------------------------------------------------------------------

# Python 3.12 and later warn of every fork of a process with threads.
processes = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
METHODS = [one for one in ("fork", "spawn", "forkserver") if hasattr(multiprocessing, "Process")]
METHODS = [one for one in METHODS if one in multiprocessing.get_all_start_methods()]


@pytest.fixture(params=METHODS)
def process_pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    """A pool of one process, which starts with the first work."""
    start = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(1, mp_context=start) as pool:
        yield pool


@needs_switch
@processes
def test_work_in_another_process_belongs_to_the_thread_in_which_it_was_submitted(
    process_pool: ProcessPoolExecutor,
) -> None:
    with in_one:  # the process starts here
        first = process_pool.submit(where, 1, b=2)
        with in_two:
            second = process_pool.submit(where)
    third = process_pool.submit(where)
    assert [one.result(PATIENCE) for one in (first, second, third)] == [ONE, TWO, None]
    with in_one:
        told = list(process_pool.map(where_and_who, range(5), chunksize=2, timeout=PATIENCE))
    assert [one[:2] for one in told] == [(number, ONE) for number in range(5)]
    assert len({one[2] for one in told}) == 1
    with in_two:
        work = functools.partial(Worker("w").run, 7)
        assert process_pool.submit(work).result(PATIENCE) == ("w", 7, TWO)
        assert process_pool.submit(Worker("o"), 7).result(PATIENCE) == ("o", 7, TWO)
        error = process_pool.submit(fail, 7).exception(PATIENCE)
    assert isinstance(error, TaskError)
    assert error.args == (7, TWO)


@needs_switch
@processes
async def test_an_event_loops_processes_are_covered_too() -> None:
    start = multiprocessing.get_context("spawn")
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=start) as pool:
        with in_one:
            assert await loop.run_in_executor(pool, where) == ONE
        assert await loop.run_in_executor(pool, where) is None


@needs_switch
@processes
def test_work_that_cannot_be_pickled_fails_as_it_does_without_the_switch() -> None:
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=start) as pool, in_one:
        work = lambda: None  # noqa: E731
        switched_on = pool.submit(work).exception(PATIENCE)
        propagate_to_workers(enabled=False)
        switched_off = pool.submit(work).exception(PATIENCE)
    assert type(switched_on) is type(switched_off)
    assert str(switched_on) == str(switched_off)


def test_work_is_pickled_with_its_thread() -> None:
    work = pickle.loads(pickle.dumps(workers.Work(where, ONE)))
    assert work() == ONE
    assert current_thread() is None


# ---- Together with others -------------------------------------------------------------------


@pytest.mark.parametrize("is_ours_first", [True, False])
def test_opentelemetrys_instrumentation_of_threads_goes_with_it(
    telemetry: Telemetry, is_ours_first: bool
) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    tracer = telemetry.provider.get_tracer("own")

    def work(name: str) -> Thread | None:
        tracer.start_span(name).end()
        return current_thread()

    switches: list[Callable[[], Any]] = [propagate_to_workers, ThreadingInstrumentor().instrument]
    for switch in switches if is_ours_first else reversed(switches):
        switch()
    seen: list[Thread | None] = []
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        with in_one, tracer.start_as_current_span("parent") as parent:
            assert pool.submit(work, "in pool").result(PATIENCE) == ONE
            joined(threading.Thread(target=lambda: seen.append(work("in thread"))))
            joined(threading.Timer(0, lambda: seen.append(work("in timer"))))
        assert pool.submit(work, "later").result(PATIENCE) is None
    switches = [lambda: propagate_to_workers(enabled=False), ThreadingInstrumentor().uninstrument]
    for switch in reversed(switches) if is_ours_first else switches:
        switch()

    assert in_place() == ORIGINALS
    assert seen == [ONE, ONE]
    spans = {span.name: span for span in telemetry.take()}
    for name in ("in pool", "in thread", "in timer"):
        assert (spans[name].attributes or {})["thread.id"] == "one"
        above = spans[name].parent
        assert above is not None
        assert above.span_id == parent.get_span_context().span_id
    assert not spans["later"].attributes


def test_timers_are_covered_after_opentelemetrys_instrumentation_was_there() -> None:
    ThreadingInstrumentor().instrument()
    ThreadingInstrumentor().uninstrument()
    left = vars(threading.Timer)["start"]
    seen: list[Thread | None] = []
    for is_on in (True, False):
        propagate_to_workers(enabled=is_on)
        with in_one:
            joined(threading.Timer(0, lambda: seen.append(current_thread())))
    assert seen == [ONE, None]
    assert vars(threading.Timer)["start"] is left


def test_switched_off_below_another_wrapper_it_does_nothing() -> None:
    propagate_to_workers()
    ThreadingInstrumentor().instrument()
    propagate_to_workers(enabled=False)
    seen: list[Thread | None] = []
    try:
        with ThreadPoolExecutor(1) as pool, in_one:
            assert pool.submit(where).result(PATIENCE) is None
            joined(threading.Thread(target=lambda: seen.append(current_thread())))
            assert seen == [None]
            propagate_to_workers()
            assert pool.submit(where).result(PATIENCE) == ONE
            joined(threading.Thread(target=lambda: seen.append(current_thread())))
            assert seen == [None, ONE]
    finally:
        propagate_to_workers(enabled=False)
        ThreadingInstrumentor().uninstrument()
        for owner, name, original in (
            (ThreadPoolExecutor, "submit", ORIGINALS[0]),
            (threading.Thread, "start", ORIGINALS[2]),
        ):
            setattr(owner, name, original)  # what the other one has put back is ours, to no effect


@needs_switch
def test_a_thread_that_came_in_with_a_request_reaches_the_workers() -> None:
    propagate_threads(accept=True)
    token = context.attach(baggage.set_baggage("thread.id", "from-outside"))
    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(where).result(PATIENCE) == Thread("from-outside")
            context.detach(token)
            assert pool.submit(where).result(PATIENCE) is None
    finally:
        propagate_threads()
