"""Scopes that a signal handler or a full stack interrupts: what is entered is left."""

from __future__ import annotations

import contextvars
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import Thread
from types import FrameType
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from support.recorded import Telemetry

from orq_otel import ThreadSpanProcessor, bind, current_thread, thread
from orq_otel.wsgi import ThreadMiddleware

pytestmark = [
    pytest.mark.skipif(
        not hasattr(signal, "setitimer"), reason="this machine has no timers that send signals"
    ),
    # Python prints what is raised while it frees a generator, and goes on.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TRIES = 1500
_other: ContextVar[str | None] = ContextVar("other", default=None)


class SoftTimeLimit(Exception):
    """What a signal handler raises."""


@contextmanager
def others() -> Iterator[None]:
    """As one would write it with the standard library."""
    token = _other.set("one")
    try:
        yield
    finally:
        _other.reset(token)


def with_others() -> None:
    with others():
        pass


def block() -> None:
    with thread("one"):
        pass


@thread("one")
def function() -> None: ...


@thread("one")
def generator() -> Iterator[int]:
    yield 1


def consume() -> None:
    for _ in generator():
        pass


def work() -> None:
    bind(function)()


_app = ThreadMiddleware(lambda *_: [], header="x-id")


def request() -> None:
    _app({"HTTP_X_ID": "one"}, print)


@pytest.fixture
def limit() -> Iterator[None]:
    """A time limit that is raised where the program is."""

    def handle(_number: int, _frame: Any) -> None:
        raise SoftTimeLimit

    before = signal.signal(signal.SIGALRM, handle)
    tracer = sys.gettrace()
    sys.settrace(None)  # coverage slows down our code, and not what we compare it with
    gc.disable()  # others' callbacks of the collector would be interrupted, and nobody hear of it
    yield
    gc.enable()
    sys.settrace(tracer)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupted(run: Callable[[], None]) -> Iterator[tuple[bool, contextvars.Context]]:
    """Whether a time limit somewhere in `run` is raised, and the context, `TRIES` times."""

    def is_raised(delay: float) -> bool:
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            for _ in range(1000):
                run()
        except SoftTimeLimit:
            return True
        return False

    for number in range(TRIES):
        context = contextvars.copy_context()
        yield context.run(is_raised, 3e-5 + number * 37 % 601 * 1e-7), context


def left_behind(run: Callable[[], None]) -> int:
    """How often a scope is left behind by a time limit somewhere in `run`, of `TRIES` times."""
    around = current_thread()
    left = reached = 0

    def is_left() -> bool:
        return current_thread() is not around or _other.get() is not None

    for is_raised, context in interrupted(run):
        reached += is_raised
        left += context.run(is_left)
    assert reached > 0.99 * TRIES  # a guard would swallow a quarter
    return left


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("run", [block, function, consume, work, request])
def test_a_scope_stays_behind_no_more_often_than_with_the_standard_library(
    run: Callable[[], None],
) -> None:
    assert left_behind(run) <= 1.5 * left_behind(with_others) + 20


@pytest.mark.usefixtures("limit")
def test_the_same_inside_another_scope() -> None:
    with thread("around"):
        assert left_behind(block) <= 1.5 * left_behind(with_others) + 20


@pytest.mark.usefixtures("limit")
def test_the_same_with_a_request_that_listens(telemetry: Telemetry) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    tracer = telemetry.provider.get_tracer("queue")
    with tracer.start_as_current_span("task", kind=SpanKind.CONSUMER):
        assert left_behind(block) <= 1.5 * left_behind(with_others) + 20


@pytest.mark.usefixtures("limit")
def test_no_lock_stays_taken() -> None:
    """Python 3.14 leaves one taken if a signal handler raises where a with statement takes it."""
    provider = TracerProvider()  # without an exporter, which has a lock of its own
    provider.add_span_processor(ThreadSpanProcessor())
    tracer = provider.get_tracer("server")

    def serve() -> None:
        with tracer.start_as_current_span("request", kind=SpanKind.SERVER), thread("one"):
            block()

    assert any([is_raised for is_raised, _ in interrupted(serve)])  # noqa: C419 - all of them
    other = Thread(target=serve, daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()


@pytest.mark.usefixtures("limit")
def test_a_span_that_was_being_labelled_can_be_used() -> None:
    """The same of a span's own lock, for which its end would wait."""
    tracer = TracerProvider().get_tracer("own")
    spans = [tracer.start_span("work") for _ in range(60 * TRIES)]
    processor, unlabelled = ThreadSpanProcessor(), iter(spans)

    with thread("one"):
        for _ in interrupted(lambda: processor.on_start(next(unlabelled, spans[0]))):
            pass
    other = Thread(target=lambda: [span.set_attribute("n", 1) for span in spans], daemon=True)
    other.start()
    other.join(60)
    assert not other.is_alive()


def depth() -> int:
    frame: FrameType | None = sys._getframe()
    count = 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def deep(levels: int, run: Callable[[], object]) -> None:
    if levels:
        deep(levels - 1, run)
    else:
        run()


@pytest.mark.parametrize("around", [None, "around"])
@pytest.mark.parametrize("run", [block, function, consume, work, request])
def test_where_the_stack_is_full_nothing_is_entered(
    run: Callable[[], None], around: str | None, telemetry: Telemetry
) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    tracer = telemetry.provider.get_tracer("queue")
    full = 0
    with ExitStack() as stack:
        stack.enter_context(tracer.start_as_current_span("task", kind=SpanKind.CONSUMER))
        outer = stack.enter_context(thread(around)) if around else None
        free = sys.getrecursionlimit() - depth()
        for left in range(2, 60):
            try:
                deep(free - left, run)
            except RecursionError:
                full += 1
            assert current_thread() is outer
    assert 0 < full < 58
