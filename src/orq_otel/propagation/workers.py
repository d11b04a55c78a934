"""Carry the thread into worker threads and processes: one switch, off until it is asked for.

What is changed while it is on: `ThreadPoolExecutor.submit`, `ProcessPoolExecutor.submit` and
`threading.Thread.start`. `map` and `loop.run_in_executor` call the first two, and a timer is a
`threading.Thread`.
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

#: Their threads serve the whole process, and are only by chance started in a scope: the workers of
#: pools, writers of queues and logs, exporters.
_SERVANTS: Final = frozenset(
    {"anyio", "asyncio", "concurrent", "grpc", "logging", "multiprocessing", "opentelemetry"}
)

#: `threading.Thread`, also where gevent has put a class in its place that inherits from it.
ThreadWithStart: Final = next(one for one in threading.Thread.__mro__ if "start" in vars(one))


class Switch:
    """Whether workers carry threads along, for the whole process.

    Attributes:
        is_on: Whether they do.
        is_set_in_code: Whether the program has set it, which the environment cannot change.
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
    """Let work that is given to pools and threads keep its thread, for the whole process.

        propagate_to_workers()

        with thread("support-42"):
            executor.submit(summarise, document)  # no bind() any more

    It holds for `ThreadPoolExecutor`, `ProcessPoolExecutor` and their subclasses, for
    `loop.run_in_executor`, for `threading.Thread` and `threading.Timer`. A pool's work belongs to
    the thread in which it was submitted, whichever worker runs it; a `threading.Thread` to the one
    in which it was started. Work from outside every scope is left as it is.

    It wins over what `ORQ_OTEL_WORKERS` says.

    Args:
        enabled: False takes the wrappers off again. Work that waits in a pool keeps its thread.
    """
    _switch.is_set_in_code = True
    _switch.turn(on=enabled)


def follow(settings: Settings) -> None:
    """Switch on if `ORQ_OTEL_WORKERS` says so, unless the program has set it."""
    if settings.workers and not _switch.is_set_in_code:
        _switch.turn(on=True)


class Work:
    """A function, to be called in a thread. It can be pickled, if the function can."""

    __slots__ = ("function", "thread")

    def __init__(self, function: Callable[..., Any], thread: Thread) -> None:
        self.function = function
        self.thread = thread

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it, with whatever it returns or raises."""
        frame = Frame(self.thread, current_frame())
        try:
            enter(frame)
            return self.function(*args, **kwargs)
        finally:
            leave(frame)

    def __reduce__(self) -> tuple[Any, ...]:
        return Work, (self.function, self.thread)


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Executor.submit`, which gives the pool the function together with its thread."""

    @functools.wraps(original)
    def submit(*args: Any, **kwargs: Any) -> Any:
        if not args:
            return original(**kwargs)  # which says what is missing
        pool, *given = args
        method = original.__get__(pool)  # others' wrappers ask for the instance
        thread = current_thread() if _switch.is_on and given else None
        if thread is None:
            return method(*given, **kwargs)
        function, *rest = given
        # The pool may start a worker now: a thread, or a fork that has all that is current here.
        # It will do the work of others, so it begins outside of this thread.
        outside = Frame(None, current_frame())
        try:
            enter(outside)
            return method(Work(function, thread), *rest, **kwargs)
        finally:
            leave(outside)

    return submit


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Thread.start`, which makes the thread's own `run` run in the thread of the starter."""

    @functools.wraps(original)
    def start(*args: Any, **kwargs: Any) -> Any:
        if not args:
            return original(**kwargs)
        worker, *given = args
        method = original.__get__(worker)
        if not (_switch.is_on and _prepare(worker)):
            return method(*given, **kwargs)
        try:
            return method(*given, **kwargs)
        except BaseException:
            worker.__dict__.pop("run", None)  # it has not begun
            raise

    return start


def _prepare(worker: threading.Thread) -> bool:
    """Put a `run` before a thread's own, which takes itself away when it is called.

    Returns:
        Whether it is there.
    """
    try:
        thread = current_thread()
        if thread is None or "run" in worker.__dict__ or _is_servant(worker):
            return False

        def run() -> None:
            worker.__dict__.pop("run", None)
            Work(worker.run, thread)()

        worker.run = run  # type: ignore[method-assign]
    except Exception as error:  # noqa: BLE001 - never into the host's start()
        report("carrying a thread into a worker", error)
        return False
    return True


def _is_servant(worker: threading.Thread) -> bool:
    """Whether a thread belongs to a pool or to other machinery, and not to who starts it."""
    return str(getattr(target_of(worker), "__module__", "")).partition(".")[0] in _SERVANTS


_PYTHON: Final = "python >= 3.10"
_PATCHES: Final = (
    Patch(
        "concurrent.futures.thread", [Seam("ThreadPoolExecutor", "submit", _submitting, _PYTHON)]
    ),
    Patch(
        "concurrent.futures.process", [Seam("ProcessPoolExecutor", "submit", _submitting, _PYTHON)]
    ),
    Patch(__name__, [Seam("ThreadWithStart", "start", _starting, _PYTHON)]),
    # It has a `start` of its own where OpenTelemetry's instrumentation of threads put one.
    Patch("threading", [Seam("Timer", "start", _starting)]),
)
