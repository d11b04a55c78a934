"""`bind` on what is no function: generators, coroutines and other awaitables."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from support.recorded import Telemetry

from orq_otel import Thread, ThreadSpanProcessor, bind, current_thread, thread

ONE = Thread("one", ("a",))
in_one = thread("one", tags=["a"])


class WorkError(Exception):
    """What the work raises."""


def in_worker(work: Any) -> Any:
    """What a function returns that runs in another thread of the operating system."""
    results: list[Any] = []
    worker = threading.Thread(target=lambda: results.append(work()))
    worker.start()
    worker.join(30)
    return results[0]


# ---- Generators -----------------------------------------------------------------------------


def answers() -> Generator[Thread | None, str, str]:
    said = yield current_thread()
    with thread("two"):
        yield current_thread()
        said += yield current_thread()
    yield current_thread()
    return said


def test_each_step_of_a_bound_generator_runs_in_its_thread() -> None:
    with in_one:
        bound = bind(answers())
    assert inspect.isgenerator(bound)
    with thread("consumer") as consumer:
        seen = [next(bound), bound.send("x")]
        assert current_thread() is consumer
        seen.append(in_worker(lambda: next(bound)))
        seen.append(bound.send("y"))
        with pytest.raises(StopIteration) as stop:
            next(bound)
        assert current_thread() is consumer
    assert seen == [ONE, Thread("two"), Thread("two"), ONE]
    assert stop.value.value == "xy"


def test_a_generator_that_has_begun_can_be_bound() -> None:
    def threads() -> Generator[Thread | None, None, None]:
        for _ in range(3):
            yield current_thread()

    generator = threads()
    assert next(generator) is None
    with in_one:
        bound = bind(generator)
    assert list(bound) == [ONE, ONE]


def test_a_bound_generator_gets_what_is_thrown_and_cleans_up_in_its_thread() -> None:
    seen: list[Any] = []

    def stubborn() -> Generator[int, None, None]:
        try:
            yield 1
        except WorkError as error:
            seen.append((error, current_thread()))
        try:
            yield 2
        finally:
            seen.append(current_thread())

    with in_one:
        bound = bind(stubborn())
    error = WorkError()
    assert next(bound) == 1
    assert bound.throw(error) == 2
    bound.close()
    assert seen == [(error, ONE), ONE]


def test_what_is_bound_outside_every_scope_runs_outside_every_scope() -> None:
    generator, coroutine = bind(answers()), bind(answer())
    with in_one:
        assert next(generator) is None
        assert asyncio.run(coroutine) == (None, None)
        assert current_thread() == ONE


def test_a_generator_bound_twice_runs_in_the_first_thread() -> None:
    with thread("inner"):
        bound = bind(answers())
    with in_one:
        bound = bind(bound)
    assert next(bound) == Thread("inner")


# ---- Asynchronous generators ----------------------------------------------------------------


async def chunks(seen: list[Any] | None = None) -> AsyncGenerator[Thread | None, None]:
    try:
        yield current_thread()
        await asyncio.sleep(0)
        yield current_thread()
    finally:
        await asyncio.sleep(0)
        if seen is not None:
            seen.append(current_thread())


async def test_each_step_of_a_bound_asynchronous_generator_runs_in_its_thread() -> None:
    with in_one:
        bound = bind(chunks())
    assert inspect.isasyncgen(bound)
    seen: list[Any] = []
    async for one in bound:
        seen += [one, current_thread()]
    assert seen == [ONE, None, ONE, None]


async def test_a_bound_asynchronous_generator_is_closed_in_its_thread_by_any_task() -> None:
    seen: list[Any] = []
    with in_one:
        bound = bind(chunks(seen))
    assert await anext(bound) == ONE
    await asyncio.create_task(bound.aclose())  # type: ignore[arg-type]
    assert seen == [ONE]


async def test_an_abandoned_asynchronous_generator_cleans_up_in_its_thread() -> None:
    seen: list[Any] = []
    with in_one:
        bound = bind(chunks(seen))
    async for _ in bound:
        break
    del bound
    gc.collect()
    while not seen:  # noqa: ASYNC110 - the loop closes it when it gets to that
        await asyncio.sleep(0)
    assert seen == [ONE]


# ---- Coroutines and other awaitables --------------------------------------------------------


async def answer() -> tuple[Thread | None, Thread | None]:
    before = current_thread()
    await asyncio.sleep(0)
    return before, current_thread()


async def test_a_bound_coroutine_runs_in_its_thread_where_it_is_awaited() -> None:
    with in_one:
        bound = bind(answer())
    with thread("two") as two:
        assert await bound == (ONE, ONE)
        assert current_thread() is two


async def test_a_bound_coroutine_runs_in_its_thread_in_any_task() -> None:
    with in_one:
        first, second, third = bind(answer()), bind(answer()), bind(answer())
    assert await asyncio.create_task(first) == (ONE, ONE)
    assert await asyncio.gather(second, asyncio.wait_for(third, 30)) == [(ONE, ONE)] * 2


async def test_a_bound_coroutine_runs_in_its_thread_in_another_loop() -> None:
    with in_one:
        bound = bind(answer())
    assert await asyncio.to_thread(asyncio.run, bound) == (ONE, ONE)


async def test_scopes_inside_a_bound_coroutine_stay_inside() -> None:
    async def nested(ready: asyncio.Event) -> list[Thread | None]:
        seen = []
        with thread(tags=["b"]):
            await ready.wait()
            seen.append(current_thread())
        seen.append(current_thread())
        return seen

    ready = asyncio.Event()
    with in_one:
        bound = bind(nested(ready))

    async def consumer() -> tuple[Any, Thread | None]:
        return await bound, current_thread()

    task = asyncio.create_task(consumer())
    await asyncio.sleep(0)
    ready.set()
    assert await task == ([Thread("one", ("a", "b")), ONE], None)


async def test_tasks_that_a_bound_coroutine_starts_belong_to_its_thread() -> None:
    async def parent() -> Any:
        return await asyncio.create_task(answer())

    with in_one:
        bound = bind(parent())
    assert await bound == (ONE, ONE)


async def test_a_bound_coroutine_raises_what_it_raises() -> None:
    failure = WorkError("as it was")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise failure

    with in_one:
        bound = bind(fail())
    with pytest.raises(WorkError) as raised:
        await bound
    assert raised.value is failure
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await bound


async def test_a_bound_coroutine_is_cancelled_in_its_thread() -> None:
    seen: list[Any] = []
    begun = asyncio.Event()

    async def wait() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            seen.append(current_thread())

    with in_one:
        bound = bind(wait())
    task = asyncio.create_task(bound)
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [ONE]


async def test_a_task_that_is_cancelled_before_it_begins_leaves_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    with in_one:
        task = asyncio.create_task(bind(answer()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    assert recwarn.list == []


def test_a_bound_coroutine_can_be_closed(recwarn: pytest.WarningsRecorder) -> None:
    with in_one:
        bound = bind(answer())
    bound.close()
    del bound
    gc.collect()
    assert recwarn.list == []


def test_a_bound_coroutine_that_waits_is_closed_in_its_thread() -> None:
    seen: list[Any] = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            seen.append(current_thread())

    with in_one:
        bound = bind(work())
    bound.send(None)
    bound.close()
    assert seen == [ONE]


async def test_a_bound_coroutine_keeps_its_name_for_tasks() -> None:
    with in_one:
        bound = bind(answer())
    assert asyncio.iscoroutine(bound)
    assert inspect.isawaitable(bound)
    task = asyncio.create_task(bound)
    assert "coro=<answer()" in repr(task)
    await task


class Once:
    """An awaitable of somebody's, whose iterator can do nothing but go on."""

    def __await__(self) -> Any:
        return iter([])


class Told:
    """An awaitable that tells where it runs."""

    def __await__(self) -> Generator[Any, None, Any]:
        first = current_thread()
        yield from asyncio.sleep(0).__await__()
        return first, current_thread()


async def test_any_awaitable_runs_in_its_thread() -> None:
    with in_one:
        bound: Awaitable[Any] = bind(Told())
        assert await bind(Once()) is None
    assert await bound == (ONE, ONE)
    assert await bound == (ONE, ONE)  # this one can be awaited again
    assert await asyncio.ensure_future(bound) == (ONE, ONE)


async def test_a_bound_future_results_in_what_it_gets() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with in_one:
        bound = bind(future)
    future.get_loop().call_soon(future.set_result, 7)
    assert await bound == 7
    assert await bind(asyncio.create_task(answer())) == (None, None)


async def test_a_bound_coroutine_may_change_its_context_between_steps() -> None:
    with in_one:
        bound = bind(answer())
    step = contextvars.copy_context().run(bound.send, None)
    with pytest.raises(StopIteration) as stop:
        contextvars.Context().run(bound.send, step)
    assert stop.value.value == (ONE, ONE)


async def test_nothing_of_a_finished_coroutine_is_kept() -> None:
    class Result:
        pass

    async def work(result: Result) -> Result:
        await asyncio.sleep(0)
        return result

    result = Result()
    seen = weakref.ref(result)
    with in_one:
        bound: Coroutine[Any, Any, Result] = bind(work(result))
    del result
    assert (await bound) is seen()
    assert seen() is None


# ---- The request where it runs --------------------------------------------------------------


async def test_bound_work_labels_the_request_in_which_it_runs(telemetry: Telemetry) -> None:
    telemetry.provider.add_span_processor(ThreadSpanProcessor())
    tracer = telemetry.provider.get_tracer("own")

    async def coroutine() -> None:
        await asyncio.sleep(0)
        tracer.start_span("call").end()

    def generator() -> Generator[None, None, None]:
        tracer.start_span("call").end()
        yield

    with tracer.start_as_current_span("sender", kind=SpanKind.SERVER), in_one:
        work, body = bind(coroutine()), bind(generator())
    with tracer.start_as_current_span("receiver", kind=SpanKind.CONSUMER):
        await work
    with tracer.start_as_current_span("another", kind=SpanKind.CONSUMER):
        list(body)
    told = [(one.name, (one.attributes or {}).get("thread.id")) for one in telemetry.take()]
    assert told == [
        ("sender", "one"),
        ("call", "one"),
        ("receiver", "one"),
        ("call", "one"),
        ("another", "one"),
    ]


# ---- What cannot be bound -------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 5, "work", [1], iter([1])])
def test_what_is_no_work_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError) as raised:
        bind(wrong)
    assert str(raised.value) == (
        f"bind() takes a function, a generator or an awaitable, not {type(wrong).__name__}."
    )
