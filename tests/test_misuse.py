"""Wrong use: decorators that cannot work are refused, and what goes wrong later is survived."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import wrapt
from support.client_versions import needs

from orq_otel import Thread, current_thread, new_thread_id, thread
from orq_otel.asgi import ThreadMiddleware as AsgiMiddleware
from orq_otel.threads.inbound import accept
from orq_otel.wsgi import ThreadMiddleware as WsgiMiddleware

bare: Any = thread  # what forgets its parentheses is no use that types allow
NEEDS = r"^@thread needs parentheses and an id, and got {} instead\. Write @thread\("


class Request:
    """What a handler gets."""

    session_id = "s-1"

    def __call__(self, request: Request) -> str:
        return f"{request.session_id}-called"

    def of(self, request: Request) -> str:
        return f"{request.session_id}-method"


REQUEST = Request()


# ---- Without parentheses --------------------------------------------------------------------


def test_a_function_without_parentheses_is_refused() -> None:
    with pytest.raises(TypeError, match=NEEDS.format("handle")):

        @bare
        def handle(request: Request, more: int = 1) -> None: ...


def test_a_long_head_without_parentheses_is_refused() -> None:
    with pytest.raises(TypeError, match=NEEDS.format("of")):

        @functools.lru_cache
        @bare
        @functools.wraps(Request.of)
        def handle(
            request: Request,
            more: Callable[..., int] = lambda: 1,
        ) -> None:
            """It has a body of several lines."""
            raise AssertionError


def test_asynchronous_functions_and_generators_without_parentheses_are_refused() -> None:
    with pytest.raises(TypeError, match=NEEDS.format("coroutine")):

        @bare
        async def coroutine() -> None: ...

    with pytest.raises(TypeError, match=NEEDS.format("generator")):

        @bare
        def generator() -> Iterator[int]:
            yield 1

    with pytest.raises(TypeError, match=NEEDS.format("async_generator")):

        @bare
        async def async_generator() -> AsyncIterator[int]:
            yield 1


def test_classes_and_methods_without_parentheses_are_refused() -> None:
    with pytest.raises(TypeError, match=NEEDS.format("Desk")):

        @bare
        class Desk:
            x = 1

    with pytest.raises(TypeError, match=NEEDS.format("method")):

        class Method:
            @bare
            def method(self) -> None: ...

    with pytest.raises(TypeError, match=NEEDS.format("method")):

        class ClassMethod:
            @classmethod
            @bare
            def method(cls) -> None: ...


@pytest.mark.parametrize(
    "decorator",
    [
        classmethod,
        staticmethod,
        property,
        functools.lru_cache,
        lambda function: functools.partial(function, 1),
        lambda _: Request(),
    ],
    ids=["classmethod", "staticmethod", "property", "lru_cache", "partial", "object"],
)
def test_what_another_decorator_made_is_refused_without_parentheses(decorator: Any) -> None:
    with pytest.raises(TypeError, match=NEEDS.format(r"\w+")):

        @bare
        @decorator
        def handle(request: Request) -> None: ...


@needs("Python", "3.12", "the syntax")
def test_a_generic_function_without_parentheses_is_refused() -> None:
    with pytest.raises(TypeError, match=NEEDS.format("handle")):
        exec("@thread\ndef handle[T](request: T) -> T:\n    return request\n", {"thread": thread})


def session(request: Request) -> str:
    return f"{request.session_id}-session"


def made() -> Callable[[Request], str]:
    def session(request: Request) -> str:
        return f"{request.session_id}-made"

    return session


def test_callables_that_are_given_on_purpose_work() -> None:
    @thread(lambda request: request.session_id)
    def by_lambda(request: Request) -> Thread | None:
        return current_thread()

    @thread(
        lambda request: (
            request.session_id + "-long"  # on lines of its own
        )
    )
    def by_long_lambda(request: Request) -> Thread | None:
        return current_thread()

    @thread(session)
    def by_function(request: Request) -> Thread | None:
        return current_thread()

    @thread(made())
    def by_made(request: Request) -> Thread | None:
        return current_thread()

    def own(request: Request) -> str:
        return f"{request.session_id}-own"

    @thread(own)
    @functools.wraps(session)
    def by_own(request: Request) -> Thread | None:
        return current_thread()

    @thread(REQUEST)
    def by_object(request: Request) -> Thread | None:
        return current_thread()

    @thread(REQUEST.of)
    def by_method(request: Request) -> Thread | None:
        return current_thread()

    @thread(functools.partial(operator.attrgetter("session_id")))
    def by_partial(request: Request) -> Thread | None:
        return current_thread()

    @thread(operator.attrgetter("session_id"))
    def by_builtin(request: Request) -> Thread | None:
        return current_thread()

    decorate = thread(session)

    @decorate
    def by_decorator(request: Request) -> Thread | None:
        return current_thread()

    handlers: list[Callable[[Request], Thread | None]] = [
        *(by_lambda, by_long_lambda, by_function, by_made, by_own),
        *(by_object, by_method, by_partial, by_builtin, by_decorator),
    ]
    endings = ["", "-long", "-session", "-made", "-own", "-called", "-method", "", "", "-session"]
    assert [handle(REQUEST) for handle in handlers] == [Thread(f"s-1{end}") for end in endings]


def test_a_class_may_give_the_id() -> None:
    class Id(str):
        __slots__ = ()

        def __new__(cls, request: Request) -> Id:
            return super().__new__(cls, request.session_id)

    @thread(Id)
    def handle(request: Request) -> Thread | None:
        return current_thread()

    assert handle(REQUEST) == Thread("s-1")


# ---- Survived -------------------------------------------------------------------------------


def test_a_block_inside_a_thread_stays_in_it(caplog: pytest.LogCaptureFixture) -> None:
    nothing: Any = None
    with thread("outer", tags=["a"]) as outer:
        with thread(nothing, tags=["b"]) as t, thread(tags=["c"]) as inner:
            assert t is outer
            assert inner == Thread("outer", ("a", "c"))
        assert current_thread() is outer
    assert current_thread() is None
    assert len(caplog.messages) == 1


async def test_an_asynchronous_block_is_survived_too(caplog: pytest.LogCaptureFixture) -> None:
    async with thread("outer") as outer:
        async with thread("") as t:
            assert t is current_thread() is outer
            assert await asyncio.create_task(current_of_a_task()) is outer
    async with thread("") as t:
        assert t is current_thread() is await asyncio.create_task(current_of_a_task()) is None
    assert len(caplog.messages) == 2


async def current_of_a_task() -> Thread | None:
    await asyncio.sleep(0)
    return current_thread()


def test_each_place_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def here(id: Any) -> None:  # noqa: A002
        with thread(id):
            pass

    def there(id: Any) -> None:  # noqa: A002
        with contextlib.ExitStack() as stack:
            stack.enter_context(thread(id))

    for id in (None, "", 1.5, None):  # noqa: A001
        here(id)
        there(id)
    assert [line.removesuffix(" [ORQ-T01]").rpartition("(")[2] for line in caplog.messages] == [
        f"{__file__}:{here.__code__.co_firstlineno + 1})",
        f"{__file__}:{there.__code__.co_firstlineno + 2})",
    ]


class Lazy:
    """An object that finds out what it is when it is asked, and cannot, as Django's may be."""

    @property
    def __class__(self) -> Any:
        raise LookupError

    def __str__(self) -> str:
        raise LookupError


def test_an_object_that_cannot_say_what_it_is_is_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lazy: Any = Lazy()
    with thread("outer") as outer, thread(lazy) as t:
        assert t is outer
    with thread("one", tags=lazy, user=lazy, metadata=lazy) as t:
        assert t == Thread("one")
    assert thread("one")(lambda given: given)(lazy) is lazy
    lines = [line.removesuffix(" [ORQ-T01]").rpartition(" (")[0] for line in caplog.messages]
    failed = "@thread: reading an id or tags failed with LookupError at test_misuse.py:"
    assert [line.startswith(failed) for line in lines] == [True, True]


def test_an_object_that_stands_for_an_id_is_one() -> None:
    number = UUID(int=7)
    for id, expected in {"s-1": "s-1", number: str(number)}.items():  # noqa: A001
        with thread(wrapt.ObjectProxy(id)) as t:  # type: ignore[no-untyped-call,unused-ignore]
            assert t == Thread(expected)
            assert type(t.id) is str


def test_an_object_that_stands_for_another_value_is_that(caplog: pytest.LogCaptureFixture) -> None:
    def proxy(value: object) -> Any:
        return wrapt.ObjectProxy(value)  # type: ignore[no-untyped-call,unused-ignore]

    plan = {proxy("plan"): proxy("pro"), "seats": proxy(3), "rate": proxy(0.5), "new": proxy(True)}
    expected = Thread("7", ("vip",), "ada", {"plan": "pro", "seats": 3, "rate": 0.5, "new": True})
    with thread(proxy(7), tags=[proxy("vip")], user=proxy("ada"), metadata=plan) as t:
        assert t == expected
        assert [type(one) for one in t.metadata.values()] == [str, int, float, bool]
    with thread({"id": proxy("a"), "user": proxy(8)}) as t:
        assert t == Thread("a", user="8")
    assert accept(proxy("s-1"), [proxy("vip")]) == Thread("s-1", ("vip",))
    assert caplog.messages == []


def test_a_scope_that_is_entered_often_is_survived_each_time() -> None:
    scope = thread(tags=["a"])
    with scope as outside:
        assert outside is None
        with thread("one"), scope as inside:
            assert inside == Thread("one", ("a",))
            with scope as again:
                assert again == Thread("one", ("a",))
            assert current_thread() is inside
        assert current_thread() is None
    assert current_thread() is None


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "asynchronous generator"])
async def test_a_handler_of_every_kind_runs_in_the_thread_around(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    decorate = thread(lambda request: request.nothing)

    @decorate
    def function(_: Request) -> list[Thread | None]:
        return [current_thread()]

    @decorate
    async def coroutine(_: Request) -> list[Thread | None]:
        return [current_thread()]

    @decorate
    def generator(_: Request) -> Iterator[Thread | None]:
        yield current_thread()

    @decorate
    async def async_generator(_: Request) -> AsyncIterator[Thread | None]:
        yield current_thread()

    async def seen() -> list[Thread | None]:
        if kind == "function":
            return function(REQUEST)
        if kind == "coroutine":
            return await coroutine(REQUEST)
        if kind == "generator":
            return list(generator(REQUEST))
        return [one async for one in async_generator(REQUEST)]

    assert await seen() == [None]
    with thread("around") as around:
        assert await seen() == [around]
        assert current_thread() is around
    (line,) = caplog.messages
    assert "working out the id failed with AttributeError at test_misuse.py:" in line
    assert "nothing" not in line


def test_other_values_of_the_variable_count_as_false(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORQ_OTEL_STRICT", "yes")
    for _ in range(2):
        with thread(""):
            pass
    assert (
        caplog.messages[0]
        == "ORQ_OTEL_STRICT is true or false, not 'yes'. It counts as false. [ORQ-S01]"
    )
    assert len(caplog.messages) == 2


def test_braces_in_the_id_of_a_block_are_kept_and_told_once_a_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for ticket in range(3):
        with thread("ticket-{ticket}", tags=["a"]) as t:
            assert current_thread() == t == Thread("ticket-{ticket}", ("a",))
        with thread(f"ticket-{ticket}"):
            pass
    with thread("ticket-{ticket}"):
        pass
    assert [line.partition(":")[0] for line in caplog.messages] == [
        "thread() takes the id in a with block as it is, braces too"
    ] * 2


def test_braces_in_a_tag_of_a_block_are_kept_and_told_once_a_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for priority in ("high", "low"):
        with thread("one", tags=["a", "{priority}"], user="u") as t:
            assert current_thread() == t == Thread("one", ("a", "{priority}"), "u")
        with thread("one", tags=["{priority}"]) as t, thread("one", tags=[f"is-{priority}"]):
            assert t == Thread("one", ("{priority}",))
    assert [line.partition(":")[0] for line in caplog.messages] == [
        "thread() takes tags in a with block as they are, braces too"
    ] * 2


def test_braces_in_the_id_of_a_block_are_raised_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
    with pytest.raises(ValueError, match="takes the id in a with block as it is, braces too"):
        thread("ticket-{ticket}").__enter__()
    with pytest.raises(ValueError, match="takes tags in a with block as they are, braces too"):
        thread("one", tags=["{priority}"]).__enter__()
    with thread(Thread("ticket-{ticket}")) as t:
        assert t == Thread("ticket-{ticket}")
    assert current_thread() is None


def test_braces_elsewhere_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    @thread("ticket-{ticket}", tags=["{ticket}"])
    def by_template(ticket: int) -> None: ...

    @thread(lambda _: "{ticket}")
    def by_callable(ticket: int) -> None: ...

    by_template(1)
    by_callable(1)
    with thread(Thread("{b}", ("{a}",))) as t:
        assert t == Thread("{b}", ("{a}",))
    assert caplog.messages == []


# ---- The middlewares ------------------------------------------------------------------------


def fail(_: Any) -> Any:
    raise KeyError("secret")


@pytest.mark.parametrize("sources", [{"thread": fail}, {"header": "x-id", "tags": fail}])
async def test_functions_of_middlewares_raise_only_where_that_is_asked_for(
    sources: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = None if "thread" in sources else Thread("s-1")
    seen: list[Thread | None] = []

    async def app(*_: Any) -> None:
        seen.append(current_thread())

    def wsgi_app(*_: Any) -> list[bytes]:
        seen.append(current_thread())
        return []

    scope: dict[str, Any] = {"type": "http", "path": "/", "headers": [(b"x-id", b"s-1")]}
    environ = {"PATH_INFO": "/", "HTTP_X_ID": "s-1"}
    unused: Any = None
    await AsgiMiddleware(app, **sources)(dict(scope), unused, unused)
    WsgiMiddleware(wsgi_app, **sources)(environ, unused)
    assert seen == [expected] * 2
    assert "secret" not in caplog.text
    monkeypatch.setenv("ORQ_OTEL_STRICT", "true")
    with pytest.raises(KeyError):
        await AsgiMiddleware(app, **sources)(dict(scope), unused, unused)
    with pytest.raises(KeyError):
        WsgiMiddleware(wsgi_app, **sources)(environ, unused)
    assert seen == [expected] * 2


# ---- Thread and new_thread_id ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "tags", "kind", "words"),
    [
        ("", (), ValueError, "a non-empty id"),
        (" ", (), ValueError, "a non-empty id"),
        (None, (), TypeError, "got NoneType"),
        (b"a", (), TypeError, "got bytes"),
        ("a", "bc", TypeError, r"got one str\. Write tags=\[tag\]"),
        ("a", None, TypeError, "got NoneType"),
        ("a", ["b", 1], TypeError, "tags that are strings, got int"),
        ("a", ["b", ""], ValueError, "tags that are not empty"),
    ],
)
def test_a_thread_of_what_cannot_be_one_is_refused(
    id: Any,  # noqa: A002
    tags: Any,
    kind: type[Exception],
    words: str,
) -> None:
    with pytest.raises(kind, match=words):
        Thread(id, tags)


def test_a_thread_is_the_same_in_whichever_form_it_is_given() -> None:
    tags: Any = iter(["a", "b", "a"])
    number: Any = UUID(int=7)
    t = Thread("one", tags)
    assert (t.id, t.tags) == ("one", ("a", "b"))
    assert t == Thread("one", ("a", "b"))
    assert hash(t) == hash(Thread("one", ("a", "b")))
    assert pickle.loads(pickle.dumps(t)) == t
    assert t.to_dict() == {"id": "one", "tags": ["a", "b"]}
    assert Thread(number).id == str(UUID(int=7))
    with thread(t) as inside:
        assert inside == t
        assert repr(inside) == repr(t) == "Thread(id='one', tags=('a', 'b'))"


@pytest.mark.parametrize(
    ("prefix", "kind"), [(None, TypeError), (7, TypeError), ("", ValueError), (" ", ValueError)]
)
def test_a_prefix_that_is_no_text_is_refused(prefix: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^new_thread_id\(\) .*\"support\""):
        new_thread_id(prefix)
