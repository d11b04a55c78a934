"""Scopes under concurrency, and scopes that are left out of order or from somewhere else."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from opentelemetry import context

from orq_otel import Thread, bind, current_thread, thread

#: The longest that anything here may wait for something else, in seconds.
PATIENCE = 30

F = TypeVar("F", bound=Callable[..., Any])


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[None, None, None]:
    """Neither by us, nor "Failed to detach context" by OpenTelemetry."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert [r for r in caplog.records if not r.name.startswith(("asyncio", "hypothesis"))] == []


def held(id: str, tags: list[str] = []) -> Generator[Thread | None, None, None]:  # noqa: A002, B006
    """A scope that is open from the first step on, until it is closed. It is its consumer's too."""
    with thread(id, tags=tags):
        while True:
            yield current_thread()


async def held_async(id: str) -> AsyncGenerator[Thread | None, None]:  # noqa: A002
    """The same, asynchronous."""
    with thread(id):
        while True:
            yield current_thread()


def in_its_own_context(test: F) -> F:
    """Run a test where no scope was entered before, since the first one is a case of its own.

    One that another test left out of order would still be there otherwise, dead.
    """
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def wrapper(*args: Any, **kwargs: Any) -> None:
            await contextvars.Context().run(asyncio.create_task, test(*args, **kwargs))

    else:

        @functools.wraps(test)
        def wrapper(*args: Any, **kwargs: Any) -> None:
            contextvars.Context().run(test, *args, **kwargs)

    return cast("F", wrapper)


def in_new_thread(function: Callable[[], Any]) -> Any:
    """Run a function in an operating system's thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(PATIENCE)


# ---- Tasks ----------------------------------------------------------------------------------


async def test_a_thousand_tasks_do_not_mix_up_their_threads() -> None:
    arrived = 0
    everybody = asyncio.Event()

    async def converse(number: int) -> list[Thread | None]:
        nonlocal arrived
        seen = []
        async with thread(f"conversation-{number}", tags=["a"]):
            arrived += 1
            if arrived == 1_000:
                everybody.set()
            await asyncio.wait_for(everybody.wait(), PATIENCE)
            seen.append(current_thread())
            with thread(tags=[f"tag-{number}"]):
                await asyncio.sleep(0)
                seen.append(current_thread())
            await asyncio.sleep(0)
            seen.append(current_thread())
        await asyncio.sleep(0)
        seen.append(current_thread())
        return seen

    results = await asyncio.gather(*(converse(number) for number in range(1_000)))
    for number, seen in enumerate(results):
        own = Thread(f"conversation-{number}", ("a",))
        assert seen == [own, Thread(own.id, ("a", f"tag-{number}")), own, None]
    assert current_thread() is None


async def test_a_thousand_tasks_share_one_decorated_handler() -> None:
    @thread("conversation-{number}", tags=["{tag}"])
    async def converse(number: int, tag: str) -> Thread | None:
        for _ in range(number % 5):
            await asyncio.sleep(0)
        return current_thread()

    results = await asyncio.gather(*(converse(number, f"t{number}") for number in range(1_000)))
    assert results == [Thread(f"conversation-{n}", (f"t{n}",)) for n in range(1_000)]


async def test_interleaved_tasks_enter_and_leave_one_object() -> None:
    shared = thread("shared", tags=["a"])
    turns = [asyncio.Event() for _ in range(31)]
    turns[0].set()

    async def converse(number: int) -> None:
        for round_ in range(3):
            async with shared:
                turn = round_ * 10 + number
                await asyncio.wait_for(turns[turn].wait(), PATIENCE)
                turns[turn + 1].set()
                assert current_thread() == Thread("shared", ("a",))
            assert current_thread() is None

    await asyncio.gather(*(converse(number) for number in range(10)))
    assert turns[30].is_set()
    assert current_thread() is None


async def test_a_task_that_outlives_its_scope_keeps_its_thread() -> None:
    is_left = asyncio.Event()

    async def work() -> list[Thread | None]:
        seen = [current_thread()]
        await asyncio.wait_for(is_left.wait(), PATIENCE)
        seen.append(current_thread())
        with thread(tags=["late"]):
            seen.append(current_thread())
        seen.append(current_thread())
        return seen

    with thread("one"):
        in_block = asyncio.create_task(work())
        with thread("two"):
            in_nested = asyncio.create_task(work())
            await asyncio.sleep(0)
    is_left.set()
    for task, own in ((in_block, "one"), (in_nested, "two")):
        assert await task == [Thread(own), Thread(own), Thread(own, ("late",)), Thread(own)]
    assert current_thread() is None


async def test_a_cancelled_task_leaves_its_scopes_from_the_inside_out() -> None:
    seen: list[Thread | None] = []
    is_waiting = asyncio.Event()

    @thread("outer")
    async def work() -> None:
        try:
            async with thread("inner"):
                try:
                    is_waiting.set()
                    await asyncio.Event().wait()
                finally:
                    seen.append(current_thread())
        finally:
            seen.append(current_thread())

    with thread("around") as around:
        task = asyncio.create_task(work())
        await asyncio.wait_for(is_waiting.wait(), PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == [Thread("inner"), Thread("outer")]
        assert current_thread() is around


async def test_a_timeout_leaves_the_scope() -> None:
    @thread("one")
    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(work(), 0.001)
    assert current_thread() is None


async def test_a_callback_of_the_loop_keeps_the_thread_it_was_scheduled_in() -> None:
    seen: asyncio.Future[Thread | None] = asyncio.get_running_loop().create_future()
    with thread("one") as t:
        asyncio.get_running_loop().call_soon(lambda: seen.set_result(current_thread()))
    assert await asyncio.wait_for(seen, PATIENCE) is t


# ---- Generators that hold a scope -----------------------------------------------------------


@in_its_own_context
def test_two_generators_closed_in_the_wrong_order_leave_nothing_behind() -> None:
    first, second = held("first"), held("second")
    next(first)
    next(second)
    first.close()
    assert current_thread() == Thread("second")
    second.close()
    assert current_thread() is None


@in_its_own_context
async def test_an_async_generator_closed_by_another_task_leaves_nothing_behind() -> None:
    suspended = held_async("held")
    assert await anext(suspended) == Thread("held")
    assert current_thread() == Thread("held")
    with thread("inner") as inner:
        await asyncio.create_task(suspended.aclose())
        assert current_thread() is inner
    assert current_thread() is None


@in_its_own_context
async def test_an_async_generator_opened_by_another_task_can_be_closed_here() -> None:
    suspended = held_async("held")
    assert await asyncio.create_task(anext(suspended)) == Thread("held")
    assert current_thread() is None
    with thread("around") as around:
        await suspended.aclose()
        assert current_thread() is around


@in_its_own_context
async def test_an_async_generator_closed_in_a_copy_of_its_context_is_left_in_both() -> None:
    suspended = held_async("held")
    await anext(suspended)

    async def close() -> list[Thread | None]:
        seen = [current_thread()]
        await suspended.aclose()
        return [*seen, current_thread()]

    assert await asyncio.create_task(close()) == [Thread("held"), None]
    assert current_thread() is None


@pytest.mark.parametrize("decorated", [False, True])
@in_its_own_context
async def test_an_async_generator_left_to_the_collector_leaves_nothing_behind(
    decorated: bool,
) -> None:
    is_closed = asyncio.Event()

    async def steps() -> AsyncGenerator[None, None]:
        try:
            with thread("inner"):
                yield
        finally:
            is_closed.set()

    async for _ in (thread("one")(steps) if decorated else steps)():
        break
    gc.collect()
    await asyncio.wait_for(is_closed.wait(), PATIENCE)
    assert current_thread() is None


class Never:
    """Something to wait for that needs no loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@pytest.mark.parametrize("kind", ["coroutine", "async generator"])
@in_its_own_context
def test_what_is_closed_elsewhere_in_the_middle_of_a_step_leaves_nothing_behind(kind: str) -> None:
    closed_in: list[Thread | None] = []

    async def wait() -> None:
        try:
            with thread("inner"):
                await Never()
        finally:
            closed_in.append(current_thread())

    @thread("one")
    async def steps() -> AsyncGenerator[None, None]:
        await wait()
        yield

    async def consume() -> None:
        async for _ in steps():
            pass

    waiting = thread("one")(wait)() if kind == "coroutine" else consume()
    waiting.send(None)
    assert current_thread() == Thread("inner")
    elsewhere = contextvars.Context()
    elsewhere.run(waiting.close)
    assert closed_in == [None]
    assert elsewhere.run(current_thread) is None
    assert current_thread() is None


@in_its_own_context
def test_a_generator_finalised_by_the_collector_elsewhere_leaves_nothing_behind() -> None:
    def steps(_itself: list[Any]) -> Generator[None, None, None]:
        with thread("held"):
            yield

    gc.disable()
    try:
        cycle: list[Any] = []
        cycle.append(steps(cycle))
        next(cycle[0])
        assert current_thread() == Thread("held")
        del cycle

        def collect() -> Thread | None:
            gc.collect()
            return current_thread()

        assert in_new_thread(collect) is None
    finally:
        gc.enable()
    assert current_thread() is None


@in_its_own_context
def test_an_exception_in_a_held_scope_leaves_in_another_thread_unchanged() -> None:
    failure = RuntimeError("as it was")

    def steps() -> Generator[None, None, None]:
        with thread("held"):
            yield
            raise failure

    suspended = steps()
    next(suspended)
    with pytest.raises(RuntimeError) as raised:
        in_new_thread(lambda: next(suspended))
    assert raised.value is failure
    assert failure.__context__ is None
    assert current_thread() is None


@in_its_own_context
def test_a_scope_of_one_object_is_left_elsewhere_than_in_a_task_that_was_inside_before() -> None:
    shared = thread("shared")

    def hold() -> Generator[None, None, None]:
        with shared:
            yield

    with shared:
        inside = contextvars.copy_context()
    elsewhere = contextvars.Context()
    suspended = hold()
    elsewhere.run(next, suspended)
    assert elsewhere.run(current_thread) == Thread("shared")
    inside.run(suspended.close)
    assert elsewhere.run(current_thread) is None
    assert inside.run(current_thread) == Thread("shared")


@in_its_own_context
def test_scopes_left_out_of_order_do_not_pile_up() -> None:
    def entered_and_left_elsewhere() -> None:
        suspended = held("held")
        next(suspended)
        contextvars.Context().run(suspended.close)

    entered_and_left_elsewhere()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1_000):
        entered_and_left_elsewhere()
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert current_thread() is None


IDS = st.sampled_from(["one", "two", "three"])
TAG_LISTS = st.lists(st.sampled_from("abcd"), max_size=3)


class HeldScopes(RuleBasedStateMachine):
    """Generators hold scopes in one context, and are closed in any order.

    The model is a list of the scopes that are open: whoever enters is last, whoever leaves is taken
    out wherever it is, and the last is current.
    """

    generators = Bundle("generators")

    def __init__(self) -> None:
        super().__init__()
        self.context = contextvars.Context()
        self.open: list[tuple[Any, Thread]] = []

    def entered(self, id: str | None, tags: list[str]) -> Thread:  # noqa: A002
        outer = self.open[-1][1] if self.open else None
        if outer is not None and id in (None, outer.id):
            return Thread(outer.id, tuple(dict.fromkeys([*outer.tags, *tags])))
        assert id is not None
        return Thread(id, tuple(dict.fromkeys(tags)))

    @rule(target=generators, id=IDS, tags=TAG_LISTS)
    def enter(self, id: str, tags: list[str]) -> Any:  # noqa: A002
        suspended = held(id, tags)
        expected = self.entered(id, tags)
        assert self.context.run(next, suspended) == expected
        self.open.append((suspended, expected))
        return suspended

    @rule(scope=consumes(generators))
    def leave(self, scope: Any) -> None:
        self.context.run(scope.close)
        self.open = [entry for entry in self.open if entry[0] is not scope]

    @rule(scope=consumes(generators))
    def leave_by_an_exception(self, scope: Any) -> None:
        failure = KeyError("thrown")
        with pytest.raises(KeyError) as raised:
            self.context.run(scope.throw, failure)
        assert raised.value is failure
        self.open = [entry for entry in self.open if entry[0] is not scope]

    @rule(scope=consumes(generators))
    def leave_from_another_context(self, scope: Any) -> None:
        elsewhere = contextvars.Context()
        elsewhere.run(scope.close)
        assert elsewhere.run(current_thread) is None
        self.open = [entry for entry in self.open if entry[0] is not scope]

    @rule(scope=consumes(generators))
    def leave_from_a_copy(self, scope: Any) -> None:
        self.context.copy().run(scope.close)
        self.open = [entry for entry in self.open if entry[0] is not scope]

    @rule(scope=generators)
    def go_on(self, scope: Any) -> None:
        """The scope stays open, and its generator sees what its consumer sees."""
        assert self.context.run(next, scope) == self.open[-1][1]

    @rule(tags=TAG_LISTS)
    def enter_and_leave_a_block(self, tags: list[str]) -> None:
        def block() -> None:
            with thread("one", tags=tags) as t:
                assert current_thread() is t
                assert t == self.entered("one", tags)

        self.context.run(block)

    @rule(tags=TAG_LISTS)
    def consume_a_decorated_generator(self, tags: list[str]) -> None:
        expected = self.entered("two", tags)

        def consume() -> None:
            around = current_thread()
            for step, inside in enumerate(thread("two", tags=tags)(held)("inner", ["x"])):
                assert inside == Thread("inner", ("x",))
                assert current_thread() == around
                if step == 2:
                    break
            assert thread("two", tags=tags)(current_thread)() == expected

        self.context.run(consume)

    @invariant()
    def the_last_scope_that_is_open_is_current(self) -> None:
        expected = self.open[-1][1] if self.open else None
        assert self.context.run(current_thread) == expected

    def teardown(self) -> None:
        for scope, _ in self.open:
            self.context.run(scope.close)
        assert self.context.run(current_thread) is None


HeldScopes.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=30)
TestHeldScopes = HeldScopes.TestCase


@settings(deadline=None)
@given(
    plan=st.lists(
        st.tuples(
            st.sampled_from(["enter", "enter shared", "leave"]),
            st.integers(0, 3),
            st.integers(0, 20),
        ),
        max_size=40,
    )
)
def test_scopes_entered_in_some_contexts_can_be_left_in_any(
    plan: list[tuple[str, int, int]],
) -> None:
    contexts = [contextvars.Context() for _ in range(4)]
    shared = thread("shared")
    scopes: list[tuple[Any, int]] = []
    fresh = 0

    def hold_shared() -> Generator[None, None, None]:
        with shared:
            yield

    for what, number, choice in plan:
        if what == "leave":
            if scopes:
                suspended, _ = scopes.pop(choice % len(scopes))
                contexts[number].run(suspended.close)
        elif what == "enter":
            fresh += 1
            suspended = held(f"fresh-{fresh}")
            assert contexts[number].run(next, suspended) == Thread(f"fresh-{fresh}")
            scopes.append((suspended, number))
        else:
            suspended = hold_shared()
            contexts[number].run(next, suspended)
            assert contexts[number].run(current_thread) == Thread("shared")
            scopes.append((suspended, number))
    for suspended, _ in scopes:
        contexts[0].run(suspended.close)
    assert [one.run(current_thread) for one in contexts] == [None] * 4


@settings(deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["step", "close"])), max_size=30)
)
def test_decorated_generators_in_any_interleaving_never_show_in_their_consumer(
    steps: list[tuple[int, str]],
) -> None:
    with thread("consumer") as around:
        generators = [thread(f"g{number}")(held)("inner", [str(number)]) for number in range(3)]
        closed: set[int] = set()
        for number, what in steps:
            if what == "close":
                generators[number].close()
                closed.add(number)
            elif number in closed:
                assert next(generators[number], "done") == "done"
            else:
                assert next(generators[number]) == Thread("inner", (str(number),))
            assert current_thread() is around
        for suspended in generators:
            suspended.close()
        assert current_thread() is around


# ---- Operating system threads ---------------------------------------------------------------


@pytest.fixture
def hasty_switching() -> Generator[None, None, None]:
    """Threads are switched as often as the interpreter can, so that races show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_switching")
def test_one_object_is_entered_by_many_threads_at_once() -> None:
    shared = thread("shared", tags=["a"])
    expected = Thread("shared", ("a",))
    barrier = threading.Barrier(8)

    def work() -> list[Any]:
        wrong: list[Any] = []
        for _ in range(200):
            barrier.wait(PATIENCE)
            with shared:
                wrong += [seen] if (seen := current_thread()) != expected else []
                with shared:
                    wrong += [seen] if (seen := current_thread()) != expected else []
                wrong += [seen] if (seen := current_thread()) != expected else []
            wrong += [seen] if (seen := current_thread()) is not None else []
        return wrong

    with ThreadPoolExecutor(8) as pool:
        results = [future.result(PATIENCE) for future in [pool.submit(work) for _ in range(8)]]
    assert results == [[]] * 8


@pytest.mark.usefixtures("hasty_switching")
def test_the_first_entry_of_a_new_object_by_many_threads_at_once() -> None:
    objects = [thread(f"conversation-{number}") for number in range(300)]
    barrier = threading.Barrier(4)

    def work() -> list[Any]:
        wrong: list[Any] = []
        for number, shared in enumerate(objects):
            barrier.wait(PATIENCE)
            with shared as t:
                wrong += [t] if t.id != f"conversation-{number}" else []
                wrong += [t] if current_thread() != t else []
            wrong += [seen] if (seen := current_thread()) is not None else []
        return wrong

    with ThreadPoolExecutor(4) as pool:
        results = [future.result(PATIENCE) for future in [pool.submit(work) for _ in range(4)]]
    assert results == [[]] * 4


def test_one_object_is_left_here_while_it_is_entered_elsewhere() -> None:
    shared = thread("shared")
    is_inside, may_leave = threading.Event(), threading.Event()

    def work() -> list[Thread | None]:
        with shared:
            is_inside.set()
            assert may_leave.wait(PATIENCE)
            seen = [current_thread()]
        return [*seen, current_thread()]

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        assert is_inside.wait(PATIENCE)
        with shared:
            assert current_thread() == Thread("shared")
        assert current_thread() is None
        may_leave.set()
        assert future.result(PATIENCE) == [Thread("shared"), None]


def test_pool_workers_do_not_mix_up_what_was_bound_where() -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> tuple[int, Thread | None]:
        barrier.wait(PATIENCE)
        return number, current_thread()

    with ThreadPoolExecutor(4) as pool:
        futures = []
        for number in range(100):
            with thread(f"conversation-{number}"):
                futures.append(pool.submit(bind(work), number))
        results = [future.result(PATIENCE) for future in futures]
        assert results == [(number, Thread(f"conversation-{number}")) for number in range(100)]
        idle = [pool.submit(work, number) for number in range(4)]
        assert [future.result(PATIENCE) for future in idle] == [(n, None) for n in range(4)]


def test_generators_are_driven_by_a_pool() -> None:
    @thread("conversation-{number}")
    def steps(number: int) -> Generator[Thread | None, None, None]:
        with thread(tags=["inner"]):
            for _ in range(20):
                yield current_thread()

    def consume(number: int) -> set[Thread | None]:
        return {inside for inside in steps(number) if current_thread() is None}

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(consume, range(40), timeout=PATIENCE))
    assert results == [{Thread(f"conversation-{number}", ("inner",))} for number in range(40)]


# ---- Recursion, and OpenTelemetry's context -------------------------------------------------


@in_its_own_context
def test_one_object_is_entered_recursively() -> None:
    shared = thread("shared", tags=["a"])

    @shared
    def descend(depth: int) -> None:
        with shared:
            assert current_thread() == Thread("shared", ("a",))
            if depth:
                descend(depth - 1)
            assert current_thread() == Thread("shared", ("a",))

    descend(100)
    assert current_thread() is None


@in_its_own_context
def test_a_scope_survives_a_new_context_of_opentelemetry() -> None:
    with thread("one") as t:
        token = context.attach(context.Context())
        try:
            assert current_thread() is t
            with thread(tags=["a"]):
                assert current_thread() == Thread("one", ("a",))
        finally:
            context.detach(token)
        assert current_thread() is t


@in_its_own_context
def test_a_scope_can_be_left_while_a_context_of_opentelemetry_is_attached() -> None:
    scope = thread("one")
    scope.__enter__()
    token = context.attach(context.set_value("key", "value"))
    scope.__exit__(None, None, None)
    assert current_thread() is None
    assert context.get_value("key") == "value"
    context.detach(token)
    assert context.get_value("key") is None
