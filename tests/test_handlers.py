"""`thread` as a decorator, and `bind`, on every kind of function."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import threading
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response, StreamingResponse

from orq_otel import Thread, bind, current_thread, thread

ONE = Thread("one", ("a",))
in_one = thread("one", tags=["a"])


class HandlerError(Exception):
    """What a handler raises."""


def plain(ticket: int, *, priority: str = "low") -> tuple[int, str, Thread | None]:
    """Handle a ticket."""
    return ticket, priority, current_thread()


async def coroutine(ticket: int, *, priority: str = "low") -> tuple[int, str, Thread | None]:
    """Handle a ticket."""
    await asyncio.sleep(0)
    return ticket, priority, current_thread()


def generator(
    ticket: int, *, priority: str = "low"
) -> Generator[tuple[int, str, Thread | None], None, None]:
    """Handle a ticket."""
    yield ticket, priority, current_thread()


async def async_generator(
    ticket: int, *, priority: str = "low"
) -> AsyncGenerator[tuple[int, str, Thread | None], None]:
    """Handle a ticket."""
    yield ticket, priority, current_thread()


KINDS = (plain, coroutine, generator, async_generator)
every_kind = pytest.mark.parametrize("function", KINDS, ids=lambda kind: kind.__name__)


async def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call of a function of any kind results in; of a generator, its first item."""
    result = function(*args, **kwargs)
    if inspect.isgenerator(result):
        return next(result)
    if inspect.isasyncgen(result):
        return await anext(result)
    if inspect.iscoroutine(result):
        return await result
    return result


# ---- The same function as before ------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("decorate", [in_one, bind], ids=["thread", "bind"])
def test_a_function_keeps_its_kind_and_its_metadata(
    function: Callable[..., Any], decorate: Callable[[Any], Any]
) -> None:
    decorated = decorate(function)
    for is_kind in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert is_kind(decorated) == is_kind(function)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, name) == getattr(function, name)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert inspect.unwrap(decorated) is function


@every_kind
async def test_a_function_of_every_kind_runs_in_the_thread(function: Callable[..., Any]) -> None:
    decorated = in_one(function)
    assert await outcome(decorated, 7, priority="high") == (7, "high", ONE)
    assert await outcome(decorated, ticket=7) == (7, "low", ONE)
    assert current_thread() is None


@every_kind
async def test_a_bound_function_of_every_kind_runs_in_its_thread(
    function: Callable[..., Any],
) -> None:
    with in_one:
        bound = bind(function)
    with thread("two") as two:
        assert await outcome(bound, 7) == (7, "low", ONE)
        assert current_thread() is two


@every_kind
async def test_a_decorated_function_nests_in_the_thread_around_its_call(
    function: Callable[..., Any],
) -> None:
    with thread("one", tags=["z"]) as around:
        *_, seen = await outcome(in_one(function), 7)
        assert seen == Thread("one", ("z", "a"))
        *_, seen = await outcome(thread(tags=["b"])(function), 7)
        assert seen == Thread("one", ("z", "b"))
        *_, seen = await outcome(thread("two")(function), 7)
        assert seen == Thread("two")
        assert current_thread() is around


@every_kind
async def test_decorators_can_be_stacked(function: Callable[..., Any]) -> None:
    stacked = thread("one", tags=["outer"])(thread("one", tags=["inner"])(function))
    *_, seen = await outcome(stacked, 7)
    assert seen == Thread("one", ("outer", "inner"))


@every_kind
async def test_tags_without_an_id_change_nothing_at_a_call_outside_every_thread(
    function: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decorated = thread(tags=["a"])(function)
    assert await outcome(decorated, 7) == (7, "low", None)
    assert [line.partition(",")[0] for line in caplog.messages] == [
        "thread(tags=...) adds tags to the current thread"
    ]
    monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
    with pytest.raises(RuntimeError, match=r"^thread\(tags=\.\.\.\) adds tags to the current"):
        await outcome(decorated, 7)
    assert current_thread() is None


@every_kind
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2), {}), ((1,), {"ticket": 2}), ((1,), {"unknown": 2})],
)
@pytest.mark.parametrize(
    "decorate",
    [
        in_one,
        thread("ticket-{ticket}"),
        thread("one", tags=["{priority}"]),
        thread(lambda ticket, *, priority="low": f"{ticket}-{priority}"),
        thread("one", tags=[lambda ticket, *, priority="low": f"{ticket}-{priority}"]),
        thread("one", tags=lambda ticket, *, priority="low": [f"{ticket}-{priority}"]),
        bind,
    ],
    ids=["plain", "template", "template tag", "callable", "callable tag", "callable tags", "bind"],
)
async def test_wrong_arguments_raise_what_the_undecorated_function_raises(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    decorate: Callable[[Any], Any],
) -> None:
    with pytest.raises(TypeError) as expected:
        function(*args, **kwargs)
    with pytest.raises(TypeError) as raised:
        await outcome(decorate(function), *args, **kwargs)
    assert raised.type is TypeError
    assert raised.value.args == expected.value.args
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert current_thread() is None


@every_kind
async def test_an_exception_leaves_a_handler_unchanged(function: Callable[..., Any]) -> None:
    failure = HandlerError("as it was")

    def fail() -> None:
        assert current_thread() == ONE
        raise failure

    async def fail_later() -> None:
        await asyncio.sleep(0)
        fail()

    def fail_in_a_step() -> Generator[None, None, None]:
        fail()
        yield

    async def fail_in_an_async_step() -> AsyncGenerator[None, None]:
        fail()
        yield

    failing = {
        plain: fail,
        coroutine: fail_later,
        generator: fail_in_a_step,
        async_generator: fail_in_an_async_step,
    }[function]
    with pytest.raises(HandlerError) as raised:
        await outcome(in_one(failing))
    assert raised.value is failure
    assert failure.__context__ is None
    assert failure.__cause__ is None
    assert current_thread() is None


# ---- Methods, partials, callable objects ----------------------------------------------------


class Desk:
    """Handlers that are methods."""

    name = "desk"

    @in_one
    def answer(self, ticket: int) -> tuple[str, int, Thread | None]:
        return self.name, ticket, current_thread()

    @thread("{self.name}-{ticket}")
    async def answer_later(self, ticket: int) -> Thread | None:
        await asyncio.sleep(0)
        return current_thread()

    @classmethod
    @thread("{cls.name}-{ticket}")
    def of_class(cls, ticket: int) -> Thread | None:
        return current_thread()

    @staticmethod
    @thread("static-{ticket}")
    def static(ticket: int) -> Thread | None:
        return current_thread()

    @property
    @in_one
    def asked(self) -> Thread | None:
        return current_thread()

    def __call__(self, ticket: int) -> tuple[int, Thread | None]:
        return ticket, current_thread()


async def test_methods_of_every_kind_run_in_the_thread() -> None:
    desk = Desk()
    assert desk.answer(7) == ("desk", 7, ONE)
    assert await desk.answer_later(7) == Thread("desk-7")
    assert Desk.of_class(7) == desk.of_class(7) == Thread("desk-7")
    assert Desk.static(7) == desk.static(7) == Thread("static-7")
    assert desk.asked == ONE
    assert in_one(desk.answer)(7) == ("desk", 7, ONE)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (classmethod, "plain"),
        (staticmethod, "plain"),
        (functools.cached_property, "cached_property"),
        (functools.singledispatchmethod, "singledispatchmethod"),
    ],
)
def test_the_decorator_refuses_to_stand_above_what_makes_no_function(
    kind: Callable[[Any], Any], name: str
) -> None:
    with pytest.raises(TypeError) as raised:
        in_one(kind(plain))
    assert str(raised.value) == (
        f"@thread(...) decorates functions, not {name}. It needs an id, "
        '@thread("support-42"), and stands below @classmethod, @staticmethod and @property.'
    )


@pytest.mark.parametrize(("wrong", "name"), [(Desk, "Desk"), (7, "int"), (None, "NoneType")])
def test_the_decorator_refuses_what_is_no_function(wrong: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^@thread\(\.\.\.\) decorates functions, not {name}\."):
        in_one(wrong)


def test_a_callable_object_runs_in_the_thread() -> None:
    desk: Callable[[int], Any] = Desk()
    assert in_one(desk)(7) == (7, ONE)


async def test_a_callable_object_with_a_coroutine_runs_in_the_thread() -> None:
    class Handler:
        async def __call__(self) -> Thread | None:
            await asyncio.sleep(0)
            return current_thread()

    decorated = in_one(Handler())
    assert inspect.iscoroutinefunction(decorated)
    assert await decorated() == ONE


@every_kind
async def test_a_partial_of_every_kind_runs_in_the_thread(function: Callable[..., Any]) -> None:
    partial = functools.partial(function, 7)
    decorated = in_one(partial)
    assert inspect.iscoroutinefunction(decorated) == inspect.iscoroutinefunction(function)
    assert inspect.isgeneratorfunction(decorated) == inspect.isgeneratorfunction(function)
    assert inspect.isasyncgenfunction(decorated) == inspect.isasyncgenfunction(function)
    assert await outcome(decorated, priority="high") == (7, "high", ONE)
    *_, seen = await outcome(thread("p-{priority}-{ticket}")(partial))
    assert seen == Thread("p-low-7")


@types.coroutine
def awaited_generator(ticket: int) -> Generator[Any, Any, tuple[int, Thread | None]]:
    """A generator that is awaited, as they were written before `async def`."""
    yield from asyncio.sleep(0).__await__()
    return ticket, current_thread()


@pytest.mark.parametrize(
    "decorated",
    [
        thread("one-{ticket}")(awaited_generator),
        thread("one-{ticket}")(functools.partial(awaited_generator)),
        thread("one-{ticket}")(lambda ticket: awaited_generator(ticket=ticket)),
    ],
    ids=["function", "partial", "returned"],
)
async def test_a_generator_that_is_awaited_runs_in_the_thread(decorated: Any) -> None:
    assert await decorated(7) == (7, Thread("one-7"))
    assert current_thread() is None
    with in_one:
        bound = bind(awaited_generator(8))
    assert await bound == (8, ONE)


def test_a_builtin_runs_in_the_thread() -> None:
    assert thread("length-{obj}")(len)([1, 2]) == 2
    assert in_one(sorted)([2, 1], reverse=False) == [1, 2]


def test_a_decorated_function_can_call_itself() -> None:
    @thread("depth-{depth}")
    def descend(depth: int) -> list[Thread | None]:
        below = descend(depth - 1) if depth else []
        return [*below, current_thread()]

    assert descend(3) == [Thread(f"depth-{depth}") for depth in range(4)]
    assert current_thread() is None


# ---- Generators -----------------------------------------------------------------------------


def test_the_consumer_never_sees_the_thread_of_a_generator() -> None:
    with thread("consumer") as around:
        seen = [(inside, current_thread()) for inside in in_one(generator)(7)]
        assert seen == [((7, "low", ONE), around)]


async def test_the_consumer_never_sees_the_thread_of_an_async_generator() -> None:
    with thread("consumer") as around:
        seen = [(inside, current_thread()) async for inside in in_one(async_generator)(7)]
        assert seen == [((7, "low", ONE), around)]


above_or_below = pytest.mark.parametrize("is_above", [True, False], ids=["above", "below"])


def session(ticket: int) -> Generator[Thread | None, None, None]:
    """What `contextmanager` makes a with statement of."""
    try:
        yield current_thread()
    finally:
        assert current_thread() == Thread(f"ticket-{ticket}")


async def async_session(ticket: int) -> AsyncGenerator[Thread | None, None]:
    """The same for `asynccontextmanager`."""
    try:
        yield current_thread()
    finally:
        await asyncio.sleep(0)
        assert current_thread() == Thread(f"ticket-{ticket}")


def in_ticket(manager: Callable[[Any], Any], function: Any, *, is_above: bool) -> Any:
    """Decorate a function with a context manager, and with `thread` above or below that."""
    decorate = thread("ticket-{ticket}")
    return decorate(manager(function)) if is_above else manager(decorate(function))


@above_or_below
def test_the_block_of_a_context_manager_is_in_the_thread(is_above: bool) -> None:
    opened = in_ticket(contextmanager, session, is_above=is_above)

    @opened(7)
    def decorated() -> Thread | None:
        return current_thread()

    with opened(7) as inside:
        assert inside == current_thread() == Thread("ticket-7")
        with thread("inner"):
            assert current_thread() == Thread("inner")
        assert current_thread() == Thread("ticket-7")
    assert current_thread() is None
    assert decorated() == decorated() == Thread("ticket-7")
    with pytest.raises(HandlerError), opened(7):
        raise HandlerError
    with pytest.raises(StopIteration), opened(7):
        raise StopIteration
    assert current_thread() is None
    assert str(inspect.signature(opened)) == str(inspect.signature(session))


async def test_decorators_can_be_stacked_above_an_async_context_manager() -> None:
    in_ticket_7 = in_ticket(asynccontextmanager, async_session, is_above=True)
    async with thread("outer")(in_ticket_7)(7):
        assert current_thread() == Thread("ticket-7")
    assert current_thread() is None


@above_or_below
async def test_the_block_of_an_async_context_manager_is_in_the_thread(is_above: bool) -> None:
    opened = in_ticket(asynccontextmanager, async_session, is_above=is_above)

    async with opened(7) as inside:
        assert inside == current_thread() == Thread("ticket-7")
        assert await asyncio.create_task(coroutine(1)) == (1, "low", Thread("ticket-7"))
    assert current_thread() is None
    with pytest.raises(HandlerError):
        async with opened(7):
            raise HandlerError
    assert current_thread() is None


def test_decorators_and_bind_can_be_stacked_above_a_context_manager() -> None:
    in_inner = thread("inner")(contextmanager(quiet))
    stacked = thread(tags=["added"])(thread("outer-{ticket}")(in_inner))
    with stacked(7):
        assert current_thread() == Thread("inner")
    with thread("bound"):
        bound = bind(contextmanager(quiet))
    with bound(7) as ticket:
        assert (ticket, current_thread()) == (7, Thread("bound"))
    with thread("around"), thread("inner", tags=["added"])(in_inner)(7):
        assert current_thread() == Thread("inner", ("added",))
    assert current_thread() is None


def test_blocks_of_context_managers_that_are_left_in_any_order() -> None:
    opened = in_ticket(contextmanager, session, is_above=False)
    one, other = opened(1), in_ticket(contextmanager, quiet, is_above=False)(2)
    other.__enter__()
    one.__enter__()
    other.__exit__(None, None, None)
    assert current_thread() == Thread("ticket-1")
    one.__exit__(None, None, None)
    assert current_thread() is None


def quiet(ticket: int) -> Generator[int, None, None]:
    yield ticket


def test_nothing_of_a_generator_runs_before_its_first_step() -> None:
    calls: list[str] = []

    def resolve() -> str:
        calls.append("id")
        return "one"

    @thread(resolve)
    def steps() -> Generator[int, None, None]:
        calls.append("body")
        yield 1

    suspended = steps()
    assert calls == []
    assert next(suspended) == 1
    assert calls == ["id", "body"]


def test_scopes_open_at_a_yield_are_put_aside_with_the_generator() -> None:
    @in_one
    def steps() -> Generator[Thread | None, None, None]:
        yield current_thread()
        with thread("inner"):
            yield current_thread()
            with thread(tags=["more"]):
                yield current_thread()
            yield current_thread()
        yield current_thread()

    suspended = steps()
    seen = []
    for _ in range(5):
        seen.append(next(suspended))
        assert current_thread() is None
        with thread("consumer") as around:
            assert current_thread() is around
    inner = Thread("inner")
    assert seen == [ONE, inner, Thread("inner", ("more",)), inner, ONE]
    assert next(suspended, "done") == "done"
    assert current_thread() is None


async def test_scopes_open_at_a_yield_are_put_aside_with_the_async_generator() -> None:
    @in_one
    async def steps() -> AsyncGenerator[Thread | None, None]:
        async with thread("inner"):
            yield current_thread()
            await asyncio.sleep(0)
            yield current_thread()
        yield current_thread()

    seen = []
    async for inside in steps():
        seen.append(inside)
        assert current_thread() is None
    assert seen == [Thread("inner"), Thread("inner"), ONE]


def test_a_generator_sees_its_own_thread_in_whoever_takes_its_next_step() -> None:
    @in_one
    def steps() -> Generator[Thread | None, None, None]:
        with thread(tags=["b"]):
            while True:
                yield current_thread()

    suspended = steps()
    inside = Thread("one", ("a", "b"))
    assert next(suspended) == inside
    seen: list[Thread | None] = []

    def step() -> None:
        with thread("worker"):
            seen.append(next(suspended))
            seen.append(current_thread())

    worker = threading.Thread(target=step)
    worker.start()
    worker.join(10)
    assert seen == [inside, Thread("worker")]
    with thread("two") as two:
        assert next(suspended) == inside
        assert current_thread() is two
        suspended.close()
        assert current_thread() is two


async def test_an_async_generator_can_be_driven_and_closed_by_different_tasks() -> None:
    closed_in: list[Thread | None] = []

    @in_one
    async def steps() -> AsyncGenerator[Thread | None, None]:
        try:
            with thread(tags=["b"]):
                while True:
                    yield current_thread()
                    await asyncio.sleep(0)
        finally:
            closed_in.append(current_thread())

    async def step() -> tuple[Thread | None, Thread | None]:
        return await anext(suspended), current_thread()

    suspended = steps()
    for _ in range(3):
        assert await asyncio.create_task(step()) == (Thread("one", ("a", "b")), None)
        assert current_thread() is None
    await asyncio.create_task(suspended.aclose())
    assert closed_in == [ONE]
    assert current_thread() is None


def test_an_event_loop_that_ends_closes_an_async_generator_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed_in: list[Thread | None] = []

    @in_one
    async def steps() -> AsyncGenerator[Thread | None, None]:
        try:
            yield current_thread()
        finally:
            await asyncio.sleep(0)
            closed_in.append(current_thread())

    async def leave_some() -> list[Any]:
        suspended = [steps(), bind(steps())]
        assert [await anext(one) for one in suspended] == [ONE, ONE]
        return suspended

    assert len(asyncio.run(leave_some())) == 2
    assert closed_in == [ONE, ONE]
    assert caplog.messages == []


def test_a_generator_that_delegates_runs_in_the_thread() -> None:
    @in_one
    def outer() -> Generator[Any, Any, str]:
        result = yield from in_two()
        yield current_thread()
        return f"returned {result}"

    @thread("two")
    def in_two() -> Generator[Thread | None, str, str]:
        got = yield current_thread()
        return got

    suspended = outer()
    assert next(suspended) == Thread("two")
    assert suspended.send("sent") == ONE
    with pytest.raises(StopIteration) as stop:
        next(suspended)
    assert stop.value.value == "returned sent"


def test_a_dropped_generator_is_finalised_in_its_thread() -> None:
    closed_in: list[Thread | None] = []

    @in_one
    def steps() -> Generator[None, None, None]:
        try:
            yield
        finally:
            closed_in.append(current_thread())

    suspended = steps()
    next(suspended)
    with thread("consumer") as around:
        del suspended
        gc.collect()
        assert current_thread() is around
    assert closed_in == [ONE]


def test_a_generator_finalised_by_the_collector_in_another_thread_leaves_nothing_open() -> None:
    closed_in: list[tuple[Thread | None, int]] = []
    collected: list[Thread | None] = []

    @in_one
    def steps(_itself: list[Any]) -> Generator[None, None, None]:
        try:
            with thread("inner"):
                yield
        finally:
            closed_in.append((current_thread(), threading.get_ident()))

    gc.disable()
    try:
        cycle: list[Any] = []
        cycle.append(steps(cycle))
        next(cycle[0])
        del cycle

        def collect() -> None:
            gc.collect()
            collected.append(current_thread())

        worker = threading.Thread(target=collect)
        worker.start()
        worker.join(10)
        ident = worker.ident
    finally:
        gc.enable()
    assert closed_in == [(ONE, ident)]
    assert collected == [None]
    assert current_thread() is None


# What one does to a generator: the method, and what is sent or thrown.
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from([None, "item", "return", "raise"])),
        st.tuples(
            st.just("throw"),
            st.sampled_from([ValueError, KeyError, StopIteration, StopAsyncIteration]),
        ),
        st.tuples(st.just("throw"), st.just(GeneratorExit)),
        st.tuples(st.just("close"), st.none()),
    ),
    max_size=8,
)
ENDINGS = st.sampled_from(["raise", "return", "yield", "replace"])


def scripted(on_exit: str) -> Generator[Any, Any, str]:
    """A generator that does what it is sent, handles ValueError, and meets its end in some way."""
    got: Any = "started"
    while True:
        try:
            got = yield got
        except ValueError as error:
            got = f"handled {error!r}"
        except GeneratorExit:
            if on_exit == "return":
                return "closed"
            if on_exit == "replace":
                raise HandlerError("closed") from None
            if on_exit == "raise":
                raise
            got = "ignored"
        if got == "return":
            return "returned"
        if got == "raise":
            raise HandlerError("raised")


async def scripted_async(on_exit: str) -> AsyncGenerator[Any, Any]:
    """The same, asynchronous."""
    got: Any = "started"
    while True:
        try:
            got = yield got
        except ValueError as error:
            got = f"handled {error!r}"
        except GeneratorExit:
            if on_exit == "return":
                return
            if on_exit == "replace":
                raise HandlerError("closed") from None
            if on_exit == "raise":
                raise
            got = "ignored"
        if got == "return":
            return
        if got == "raise":
            raise HandlerError("raised")


def described(error: BaseException) -> tuple[Any, ...]:
    """All that there is to an exception, and to those behind it."""
    return (
        type(error),
        error.args,
        getattr(error, "value", None),
        error.__cause__ and described(error.__cause__),
        error.__context__ and described(error.__context__),
        error.__suppress_context__,
    )


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


def operate(body: Any, name: str, argument: Any) -> Any:
    """Do one thing to a generator of either kind."""
    if inspect.isgenerator(body):
        if name == "close":
            return cast("Any", body).close()
        return body.send(argument) if name == "send" else body.throw(argument("thrown"))
    if name == "close":
        return run(body.aclose())
    return run(body.asend(argument) if name == "send" else body.athrow(argument("thrown")))


def played(function: Callable[[str], Any], on_exit: str, operations: list[Any]) -> list[Any]:
    """The outcome of each operation on one generator."""
    body = function(on_exit)
    outcomes: list[Any] = []
    for name, argument in operations:
        try:
            result = operate(body, name, argument)
        except BaseException as error:  # noqa: BLE001 - GeneratorExit is among them
            outcomes.append(described(error))
        else:
            outcomes.append(("result", result))
        assert current_thread() is None
    # Let none be suspended, since some would refuse to be closed by the collector.
    with suppress(StopIteration, StopAsyncIteration, TypeError):
        operate(body, "send", "return")
    return outcomes


@given(on_exit=ENDINGS, operations=OPERATIONS)
def test_a_decorated_generator_behaves_as_the_undecorated_one(
    on_exit: str, operations: list[Any]
) -> None:
    assert played(in_one(scripted), on_exit, operations) == played(scripted, on_exit, operations)


@given(on_exit=ENDINGS, operations=OPERATIONS)
def test_a_decorated_async_generator_behaves_as_the_undecorated_one(
    on_exit: str, operations: list[Any]
) -> None:
    assert played(in_one(scripted_async), on_exit, operations) == played(
        scripted_async, on_exit, operations
    )


def begun(on_exit: str) -> Generator[Any, Any, str]:
    """A generator that has begun."""
    body = scripted(on_exit)
    assert next(body) == "started"
    return body


def begun_async(on_exit: str) -> AsyncGenerator[Any, Any]:
    """The same, asynchronous."""
    body = scripted_async(on_exit)
    assert run(body.asend(None)) == "started"
    return body


@given(on_exit=ENDINGS, operations=OPERATIONS)
def test_a_body_that_has_begun_behaves_as_it_would_by_itself(
    on_exit: str, operations: list[Any]
) -> None:
    for function in (begun, begun_async):
        expected = played(function, on_exit, operations)
        assert played(in_one(function), on_exit, operations) == expected
        assert played(lambda ending, of=function: bind(of(ending)), on_exit, operations) == expected


@pytest.mark.parametrize("function", [begun, begun_async])
def test_a_body_that_has_begun_has_begun_where_it_is_handed_on(
    function: Callable[[str], Any],
) -> None:
    body = in_one(in_one(function))("raise")
    assert operate(body, "send", "one") == "one"
    assert operate(body, "throw", ValueError) == "handled ValueError('thrown')"


def test_a_body_that_has_begun_runs_in_the_thread() -> None:
    seen: list[Thread | None] = []

    def averager() -> Generator[float, float, None]:
        total, count = 0.0, 0
        try:
            while True:
                total += yield total / max(count, 1)
                count += 1
                seen.append(current_thread())
        finally:
            seen.append(current_thread())

    @in_one
    def handler() -> Generator[float, float, None]:
        body = averager()
        next(body)
        return body

    body = handler()
    assert [body.send(10), body.send(20)] == [10, 15]
    body.close()
    assert seen == [ONE, ONE, ONE]
    handler().close()
    assert seen == [ONE, ONE, ONE, ONE]


@pytest.mark.parametrize("make", [scripted, begun, scripted_async, begun_async, coroutine])
async def test_a_returned_body_keeps_its_name(make: Callable[[Any], Any]) -> None:
    # Python's warning of a coroutine that nobody awaits has it.
    body, expected = in_one(lambda: make("raise"))(), make("raise")
    assert (body.__name__, body.__qualname__) == (expected.__name__, expected.__qualname__)
    if inspect.iscoroutine(body):
        await body
        await expected


def test_what_is_thrown_into_a_generator_is_the_same_object_inside() -> None:
    caught: list[BaseException] = []

    @in_one
    def steps() -> Generator[None, None, None]:
        try:
            yield
        except HandlerError as error:
            assert current_thread() == ONE
            caught.append(error)
            raise

    failure = HandlerError()
    suspended = steps()
    next(suspended)
    with pytest.raises(HandlerError) as raised:
        suspended.throw(failure)
    assert raised.value is failure is caught[0]
    assert failure.__context__ is None


def fail_in(function: Callable[[], Any]) -> None:
    """Throw into a generator. Nothing here may hold the exception, as a helper's frame would."""
    suspended = function()
    if inspect.isgenerator(suspended):
        next(suspended)
        with suppress(HandlerError):
            suspended.throw(HandlerError())
    else:
        with suppress(StopIteration):
            suspended.asend(None).send(None)
        with suppress(HandlerError):
            suspended.athrow(HandlerError()).send(None)


def test_exceptions_through_a_generator_leave_no_garbage() -> None:
    def steps() -> Generator[None, None, None]:
        yield

    async def async_steps() -> AsyncGenerator[None, None]:
        yield

    handlers = [in_one(steps), in_one(async_steps)]
    gc.collect()
    gc.disable()
    try:
        for handler in handlers:
            fail_in(handler)
            assert gc.collect() == 0
    finally:
        gc.enable()


# ---- Handlers that return a body ------------------------------------------------------------


def test_a_generator_that_a_handler_returns_keeps_the_thread() -> None:
    @in_one
    def handler() -> Generator[Any, None, None]:
        return generator(7)

    assert not inspect.isgeneratorfunction(handler)
    body = handler()
    assert inspect.isgenerator(body)
    assert current_thread() is None
    assert list(body) == [(7, "low", ONE)]


async def test_a_generator_that_a_coroutine_returns_keeps_the_thread() -> None:
    @in_one
    async def handler() -> Generator[Any, None, None]:
        return generator(7)

    assert list(await handler()) == [(7, "low", ONE)]


async def test_an_async_generator_that_a_handler_returns_keeps_the_thread() -> None:
    @in_one
    def handler() -> AsyncGenerator[Any, None]:
        return async_generator(7)

    body = handler()
    assert inspect.isasyncgen(body)
    assert [item async for item in body] == [(7, "low", ONE)]


async def test_a_coroutine_that_a_handler_returns_keeps_the_thread() -> None:
    @in_one
    def handler() -> Coroutine[Any, Any, Any]:
        return coroutine(7)

    result = handler()
    assert inspect.iscoroutine(result)
    assert await result == (7, "low", ONE)


def test_a_generator_that_a_bound_handler_returns_keeps_the_thread() -> None:
    with in_one:
        bound: Callable[[], Any] = bind(lambda: generator(7))
    assert list(bound()) == [(7, "low", ONE)]


def test_a_returned_body_keeps_the_thread_of_its_own_call() -> None:
    @thread("ticket-{ticket}")
    def handler(ticket: int) -> Generator[Any, None, None]:
        return generator(ticket)

    bodies = [handler(ticket) for ticket in range(3)]
    assert [next(body)[2] for body in reversed(bodies)] == [
        Thread("ticket-2"),
        Thread("ticket-1"),
        Thread("ticket-0"),
    ]


def test_a_body_that_has_begun_goes_on_where_it_was() -> None:
    def count() -> Generator[tuple[int, Thread | None], None, None]:
        for number in range(3):
            yield number, current_thread()

    @in_one
    def handler() -> Generator[tuple[int, Thread | None], None, None]:
        body = count()
        assert next(body) == (0, ONE)
        return body

    assert list(handler()) == [(1, ONE), (2, ONE)]


def test_closing_a_returned_body_closes_it_in_the_thread() -> None:
    closed_in: list[Thread | None] = []

    def steps() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            closed_in.append(current_thread())

    @in_one
    def handler() -> Generator[int, None, None]:
        return steps()

    body = handler()
    assert next(body) == 1
    body.close()
    assert closed_in == [ONE]


def sync_chunks() -> Generator[str, None, None]:
    yield f"{current_thread()}"
    yield f"{current_thread()}"


async def async_chunks() -> AsyncGenerator[str, None]:
    for chunk in sync_chunks():
        yield chunk


class AsyncIterableOnly:
    """A body that is neither a generator nor has anything to close."""

    def __init__(self) -> None:
        self.left = 2

    def __aiter__(self) -> AsyncIterableOnly:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return f"{current_thread()}"


@pytest.mark.parametrize("body", [sync_chunks, async_chunks, AsyncIterableOnly])
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
async def test_a_streaming_response_keeps_the_thread_while_its_body_is_produced(
    body: Callable[[], Any], is_async: bool
) -> None:
    made: list[StreamingResponse] = []

    @in_one
    def handler() -> StreamingResponse:
        made.append(StreamingResponse(body(), status_code=201))
        return made[0]

    @in_one
    async def async_handler() -> StreamingResponse:
        made.append(StreamingResponse(body(), status_code=201))
        return made[0]

    response = await async_handler() if is_async else handler()
    assert response is made[0]
    assert response.status_code == 201
    seen = []
    async for chunk in response.body_iterator:
        seen.append(chunk)
        assert current_thread() is None
    assert seen == [f"{ONE}", f"{ONE}"]


@pytest.mark.parametrize(
    "result",
    [
        None,
        0,
        "text",
        [1],
        {"body_iterator": 1},
        range(3),
        Response("done"),
        object(),
        Desk,
        iter([1, 2]),
        map(str, [1]),
    ],
    ids=lambda result: type(result).__name__,
)
def test_any_other_result_is_handed_on_untouched(result: Any) -> None:
    assert in_one(lambda: result)() is result


async def test_a_task_that_a_handler_returns_is_handed_on_untouched() -> None:
    @in_one
    async def handler() -> asyncio.Task[Any]:
        return asyncio.create_task(coroutine(7))

    task = await handler()
    assert isinstance(task, asyncio.Task)
    assert await task == (7, "low", ONE)
