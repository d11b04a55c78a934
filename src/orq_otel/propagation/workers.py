"""Carry the thread into other OS threads and processes. This is switched off by default.

While it is on, `ThreadPoolExecutor.submit`, `ProcessPoolExecutor.submit` and
`threading.Thread.start` are wrapped. That covers `map` and `loop.run_in_executor`, which call the
first two, and timers, which are OS threads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Final

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam
from orq_otel.foundations.process import process
from orq_otel.foundations.reaches import target_of
from orq_otel.foundations.settings import Settings
from orq_otel.threads.frames import (
    Frame,
    Thread,
    current_frame,
    current_thread,
    enter,
    leave,
)

#: Packages whose OS threads serve the whole process: workers of pools, writers of queues and logs,
#: exporters. The scope in which they happen to be started does not matter for their work.
_SERVICE_PACKAGES: Final = frozenset(
    {"anyio", "asyncio", "concurrent", "grpc", "logging", "multiprocessing", "opentelemetry"}
)

#: The class that defines `start`: `threading.Thread`, or the class that gevent's replacement for it
#: inherits from.
ThreadWithStart: Final = next(cls for cls in threading.Thread.__mro__ if "start" in vars(cls))


class Switch:
    """Whether work for pools and OS threads keeps its thread, in this process.

    If the program has set this, environment variables do not change it.
    """

    is_on = False
    is_set_in_code = False

    def reset(self) -> None:
        """Switch off."""
        self.turn(on=False)
        self.is_set_in_code = False

    def turn(self, *, on: bool) -> None:
        """Switch on or off."""
        self.is_on = on
        for patch in _PATCHES:
            if on:
                patch.apply()
            else:
                patch.remove()


_switch: Final = process.keep(Switch())


def propagate_to_workers(*, enabled: bool = True) -> None:
    """Make work that is passed to pools and OS threads keep its thread, in this whole process.

        propagate_to_workers()

        with thread("support-42"):
            executor.submit(summarise, document)  # no bind() any more

    This applies to `ThreadPoolExecutor`, `ProcessPoolExecutor` and their subclasses, to
    `loop.run_in_executor`, `threading.Thread` and `threading.Timer`. Work of a pool belongs to the
    thread in which it was submitted, whichever worker runs it. The work of a `threading.Thread`
    belongs to the thread in which it was started. Work from outside every scope is not changed.

    This overrides `ORQ_OTEL_WORKERS`.

    Args:
        enabled: False removes the wrappers. Work that is waiting in a pool keeps its thread.
    """
    _switch.is_set_in_code = True
    _switch.turn(on=enabled)


def follow(settings: Settings) -> None:
    """Switch on if `ORQ_OTEL_WORKERS` says so, unless the program has set it."""
    if settings.workers and not _switch.is_set_in_code:
        _switch.turn(on=True)


class Work:
    """A function that runs in a thread when it is called. Can be pickled if the function can."""

    __slots__ = ("function", "thread")

    def __init__(self, function: Callable[..., Any], thread: Thread) -> None:
        self.function = function
        self.thread = thread

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function. Returns or raises what it does."""
        frame = Frame(self.thread, current_frame())
        try:
            enter(frame)
            return self.function(*args, **kwargs)
        finally:
            leave(frame)

    def __reduce__(self) -> tuple[Any, ...]:
        return Work, (self.function, self.thread)


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `Executor.submit`, so that the pool runs the function in the current thread."""

    @functools.wraps(original)
    def submit(*args: Any, **kwargs: Any) -> Any:
        if not args:
            return original(**kwargs)  # raises an error that names the missing argument
        pool, *arguments = args
        method = original.__get__(pool)  # wrappers of other tools need the instance
        thread = current_thread() if _switch.is_on and arguments else None
        if thread is None:
            return method(*arguments, **kwargs)
        function, *rest = arguments
        # The pool may start a worker now: an OS thread, or a fork, which has a copy of the current
        # context. It will do other work too, so it is started outside of this thread.
        no_thread = Frame(None, current_frame())
        try:
            enter(no_thread)
            return method(Work(function, thread), *rest, **kwargs)
        finally:
            leave(no_thread)

    return submit


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `Thread.start`, so that `run` runs in the thread in which `start` is called."""

    @functools.wraps(original)
    def start(*args: Any, **kwargs: Any) -> Any:
        if not args:
            return original(**kwargs)
        worker, *arguments = args
        method = original.__get__(worker)
        if not (_switch.is_on and _prepare(worker)):
            return method(*arguments, **kwargs)
        try:
            return method(*arguments, **kwargs)
        except BaseException:
            worker.__dict__.pop("run", None)  # it was not started
            raise

    return start


def _prepare(worker: threading.Thread) -> bool:
    """Set a `run` on an OS thread that calls the original `run` in the current thread.

    It removes itself when it is called. Returns whether it was set.
    """
    try:
        thread = current_thread()
        if thread is None or "run" in worker.__dict__ or _is_service(worker):
            return False

        def run() -> None:
            worker.__dict__.pop("run", None)
            Work(worker.run, thread)()

        worker.run = run  # type: ignore[method-assign]
    except Exception as error:  # noqa: BLE001 - never into the host's start()
        report("carrying a thread into a worker", error)
        return False
    return True


def _is_service(worker: threading.Thread) -> bool:
    """Whether an OS thread serves the whole process, rather than the code that starts it."""
    return str(getattr(target_of(worker), "__module__", "")).partition(".")[0] in _SERVICE_PACKAGES


_PYTHON: Final = "python >= 3.10"
_PATCHES: Final = (
    Patch(
        "concurrent.futures.thread", [Seam("ThreadPoolExecutor", "submit", _submitting, _PYTHON)]
    ),
    Patch(
        "concurrent.futures.process", [Seam("ProcessPoolExecutor", "submit", _submitting, _PYTHON)]
    ),
    Patch(__name__, [Seam("ThreadWithStart", "start", _starting, _PYTHON)]),
    # It has a `start` of its own if OpenTelemetry's instrumentation of `threading` has set one.
    Patch("threading", [Seam("Timer", "start", _starting)]),
)
