"""Ids and tags that `@thread` works out from the arguments of each call."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
import wrapt
from hypothesis import given
from hypothesis import strategies as st

from orq_otel import Thread, current_thread, thread


class Plan(str, Enum):
    PAID = "paid"


@dataclass
class Request:
    """What a web framework hands to a handler."""

    session_id: Any
    headers: dict[str, str]


REQUEST = Request("s-1", {"x-tier": "gold"})


def seen_by(decorate: thread, *args: Any, **kwargs: Any) -> Thread | None:
    """The thread that a decorated handler of many arguments runs in."""

    @decorate
    def handle(
        ticket: Any, /, request: Request = REQUEST, *more: Any, priority: Any = "low", **rest: Any
    ) -> Thread | None:
        return current_thread()

    return handle(*args, **kwargs)


class WrongCalls:
    """Calls whose id or tags cannot be worked out."""

    def __init__(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        self._caplog = caplog
        self._monkeypatch = monkeypatch

    def survive(
        self,
        decorate: Any,
        *args: Any,
        words: str,
        kind: type[Exception] = RuntimeError,
        runs_in: Thread | None = None,
    ) -> BaseException | None:
        """Assert in which thread such a call runs, what one log line says, and what is strict.

        Returns:
            The cause of what is raised where that is asked for.
        """
        for _ in range(2):
            assert seen_by(decorate, *args) == runs_in
        (line,) = self._caplog.messages
        assert line.startswith(words)
        assert line.endswith(f" ({__name__}.seen_by.<locals>.handle) [ORQ-T01]")
        with self._monkeypatch.context() as environment:
            environment.setenv("ORQ_OTEL_STRICT", "true")
            with pytest.raises(kind) as raised:
                seen_by(decorate, *args)
        assert raised.type is kind
        assert line.startswith(str(raised.value))
        assert current_thread() is None
        return raised.value.__cause__


@pytest.fixture
def wrong_calls(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> WrongCalls:
    return WrongCalls(caplog, monkeypatch)


# ---- Templates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "args", "kwargs", "expected"),
    [
        ("ticket-{ticket}", (7,), {}, "ticket-7"),
        ("{ticket}", ("seven",), {}, "seven"),
        ("{ticket}", (7,), {"ticket": "of the catch-all"}, "7"),
        ("{priority}", (7,), {}, "low"),
        ("{priority}", (7,), {"priority": "high"}, "high"),
        ("{request.session_id}", (7,), {}, "s-1"),
        ("{request.headers[x-tier]}", (7,), {}, "gold"),
        ("{request.session_id}", (7, Request("s-2", {})), {}, "s-2"),
        ("{request.session_id}", (7,), {"request": Request("s-3", {})}, "s-3"),
        ("{ticket:05d}", (7,), {}, "00007"),
        ("{ticket:{priority}}", (7,), {"priority": "03d"}, "007"),
        ("{ticket!r}", ("x",), {}, "'x'"),
        ("{more[1]}", (7, REQUEST, "a", "b"), {}, "b"),
        ("{tenant}-{ticket}", (7,), {"tenant": "acme"}, "acme-7"),
        ("{rest[tenant]}", (7,), {"tenant": "acme"}, "acme"),
        ("{{{ticket}}}", (7,), {}, "{7}"),
        ("{{literal}}", (7,), {}, "{literal}"),
        ("{ticket}", (Plan.PAID,), {}, f"{Plan.PAID}"),
        ("{ticket.value}", (Plan.PAID,), {}, "paid"),
        ("{ticket}", (UUID(int=7),), {}, "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_a_template_takes_the_arguments_of_the_call(
    template: str, args: tuple[Any, ...], kwargs: dict[str, Any], expected: str
) -> None:
    assert seen_by(thread(template), *args, **kwargs) == Thread(expected)
    assert seen_by(thread("one", tags=[template]), *args, **kwargs) == Thread("one", (expected,))


def test_tags_may_be_plain_and_templates_and_callables_side_by_side() -> None:
    decorate = thread(
        "ticket-{ticket}",
        tags=["support", "{priority}", lambda ticket, **_: f"t{ticket}", "support"],
    )
    assert seen_by(decorate, 7, priority="high") == Thread("ticket-7", ("support", "high", "t7"))


def test_templates_in_tags_without_an_id_add_to_the_current_thread() -> None:
    with thread("one", tags=["a"]):
        assert seen_by(thread(tags=["{priority}"]), 7) == Thread("one", ("a", "low"))


def test_each_call_is_worked_out_anew() -> None:
    @thread("ticket-{ticket}")
    async def handle(ticket: int) -> Thread | None:
        await asyncio.sleep(0)
        return current_thread()

    async def all_of_them() -> list[Thread | None]:
        return await asyncio.gather(*(handle(ticket) for ticket in range(20)))

    assert asyncio.run(all_of_them()) == [Thread(f"ticket-{ticket}") for ticket in range(20)]


@given(text=st.text(max_size=20), ticket=st.integers())
def test_doubled_braces_are_the_text_itself(text: str, ticket: int) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert seen_by(thread(f"-{escaped}-{{ticket}}"), ticket) == Thread(f"-{text}-{ticket}")


def test_an_id_in_a_block_is_no_template() -> None:
    with thread("ticket-{ticket}", tags=["{priority}"]) as t:
        assert t == Thread("ticket-{ticket}", ("{priority}",))


def test_a_string_of_another_class_can_be_a_template() -> None:
    class Template(str, Enum):
        TICKET = "ticket-{ticket}"

    assert seen_by(thread(Template.TICKET, tags=[Template.TICKET]), 7) == Thread(
        "ticket-7", ("ticket-7",)
    )


# ---- Errors at decoration -------------------------------------------------------------------


def handle(ticket: int, priority: str) -> None:
    """A handler without a catch-all."""


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("ticket-{id}", "id"),
        ("{tickets}", "tickets"),
        ("{request.session_id}", "request"),
        ("{rows[0]}", "rows"),
        ("{}", ""),
        ("{0}", "0"),
        ("{ticket}-{other}", "other"),
        ("{ticket:{width}}", "width"),
    ],
)
@pytest.mark.parametrize("as_tag", [False, True])
def test_a_template_that_names_an_unknown_argument_is_refused(
    template: str, name: str, as_tag: bool
) -> None:
    decorate = thread("one", tags=[template]) if as_tag else thread(template)
    with pytest.raises(TypeError) as raised:
        decorate(handle)
    assert str(raised.value) == (
        f"@thread: the template {template!r} names {name!r}, which handle() does not take. "
        "It takes: ticket, priority. Write {{ and }} for braces."
    )


def test_a_template_on_a_function_without_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match=r"does not take\. It takes: nothing\. Write"):
        thread("{ticket}")(lambda: None)


@pytest.mark.parametrize("template", ["{", "a{ticket", "{ticket}}{", "{ticket!}", "{ticket!q}"])
def test_a_template_that_cannot_be_filled_in_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"^@thread: .* is not a template: ") as raised:
        thread(template)(handle)
    assert str(raised.value).startswith(f"@thread: {template!r} is not a template: ")
    assert str(raised.value).endswith(" Write {{ and }} for braces.")
    assert raised.value.__suppress_context__


def test_positional_fields_are_refused_with_a_catch_all_too() -> None:
    def catch_all(**rest: Any) -> None:
        """It takes any name, and "0" is none."""

    with pytest.raises(TypeError, match="names '0', which"):
        thread("{0}")(catch_all)


# ---- Errors at a call -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorate", "runs_in"),
    [(thread("t-{ticket}"), None), (thread("one", tags=["t-{ticket}"]), Thread("one"))],
)
def test_none_in_a_template_is_left_out(
    decorate: Any, runs_in: Thread | None, wrong_calls: WrongCalls
) -> None:
    wrong_calls.survive(
        decorate,
        None,
        kind=TypeError,
        words="@thread: an argument that the template 't-{ticket}' uses is None. Give the "
        "handler a value for it, or work out the id with a callable.",
        runs_in=runs_in,
    )


@pytest.mark.parametrize("field", ["{ticket!s}", "{ticket!r}", "{ticket!a}"])
def test_none_is_left_out_however_it_is_converted(field: str, wrong_calls: WrongCalls) -> None:
    wrong_calls.survive(
        thread(f"t-{field}"),
        None,
        kind=TypeError,
        words=f"@thread: an argument that the template 't-{field}' uses is None.",
    )


def test_none_deep_in_a_template_is_left_out_too(wrong_calls: WrongCalls) -> None:
    wrong_calls.survive(
        thread("{request.session_id}"),
        7,
        Request(None, {}),
        kind=TypeError,
        words="@thread: an argument that the template '{request.session_id}' uses is None.",
    )


@pytest.mark.parametrize("template", ["{ticket}", "t-{ticket}", "t-{ticket:>5}"])
@pytest.mark.parametrize("ticket", ["", "  "])
def test_an_id_of_which_a_part_turns_out_empty_is_left_out(
    template: str, ticket: str, wrong_calls: WrongCalls
) -> None:
    wrong_calls.survive(
        thread(template),
        ticket,
        kind=ValueError,
        words=f"@thread: an argument that the template {template!r} uses is empty. Give the "
        "handler a value for it, or work out the id with a callable.",
    )


def test_a_part_of_a_tag_may_be_empty() -> None:
    assert seen_by(thread("one", tags=["t-{ticket}"]), "") == Thread("one", ("t-",))


def test_a_tag_that_turns_out_empty_is_left_out(wrong_calls: WrongCalls) -> None:
    wrong_calls.survive(
        thread("one", tags=["{ticket}", "a"]),
        " ",
        kind=ValueError,
        words="thread() takes tags that are not empty.",
        runs_in=Thread("one", ("a",)),
    )


def test_a_name_that_the_catch_all_does_not_get_is_left_out(wrong_calls: WrongCalls) -> None:
    wrong_calls.survive(
        thread("{tenant}-{ticket}"),
        7,
        kind=TypeError,
        words="@thread: the template '{tenant}-{ticket}' names 'tenant', which this call does not "
        "pass.",
    )


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{request.nothing}", AttributeError),
        ("{request.headers[nothing]}", KeyError),
        ("{ticket:secret}", ValueError),
    ],
)
def test_what_an_argument_raises_stays_out_of_the_call(
    template: str, cause: type[Exception], wrong_calls: WrongCalls
) -> None:
    raised = wrong_calls.survive(
        thread(template), 7, words=f"@thread: filling in {template!r} failed with {cause.__name__} "
    )
    assert type(raised) is cause


# ---- Decorators in between ------------------------------------------------------------------


def injecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """As dependency injectors do: the handler gets an argument that its caller does not give."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, database="injected", **kwargs)

    return wrapper


def test_a_decorator_in_between_may_add_arguments() -> None:
    @thread("ticket-{ticket}", tags=["{priority}"])
    @injecting
    def answer(ticket: int, database: str, priority: str = "low") -> tuple[str, Thread | None]:
        return database, current_thread()

    assert answer(7) == ("injected", Thread("ticket-7", ("low",)))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'ticket'"):
        answer()


def dropping(function: Any) -> Any:
    """As decorators do that take an argument for themselves, such as a limit of time."""

    @functools.wraps(function)
    def wrapper(*args: Any, timeout: int = 0, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("id", "tags", "runs_in"),
    [
        ("db-{database}", (), None),
        (lambda ticket, database: database, (), None),
        ("7", ["db-{database}", "vip"], Thread("7", ("vip",))),
        ("7", [lambda ticket, database: database, "vip"], Thread("7", ("vip",))),
    ],
)
def test_an_argument_that_a_decorator_in_between_adds_cannot_be_used_and_is_told(
    id: Any,  # noqa: A002
    tags: Any,
    runs_in: Thread | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @thread(id, tags=tags)
    @injecting
    def answer(ticket: int, database: str) -> Thread | None:
        return current_thread()

    assert [answer(7), answer(7)] == [runs_in, runs_in]  # type: ignore[call-arg]
    (line,) = caplog.messages
    assert line.startswith("@thread: ")
    assert line.endswith("answer) [ORQ-T01]")


def test_a_decorator_in_between_may_have_the_signature_of_its_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @wrapt.decorator
    def inject(function: Any, _: Any, args: Any, kwargs: Any) -> Any:
        return function(*args, database="injected", **kwargs)

    @thread("db-{database}")
    @inject
    def answer(ticket: int, database: str) -> Thread | None:
        return current_thread()

    assert answer(7) is None
    assert "If a decorator changes them, put @thread below it." in caplog.text


def test_an_argument_that_a_decorator_in_between_takes_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @thread("ticket-{ticket}")
    @dropping
    def answer(ticket: int) -> Thread | None:
        return current_thread()

    assert answer(7) == Thread("ticket-7")
    assert answer(7, timeout=3) is None  # type: ignore[call-arg]
    (line,) = caplog.messages
    assert "If a decorator changes them, put @thread below it." in line


# ---- Callables ------------------------------------------------------------------------------


async def looked_up(ticket: int) -> str:
    return f"ticket-{ticket}"


class LookedUp:
    async def __call__(self, ticket: int) -> str:
        return f"ticket-{ticket}"


@pytest.mark.parametrize(
    "decorate",
    [
        thread(looked_up),
        thread(LookedUp()),  # type: ignore[arg-type]
        thread("one", tags=looked_up),
        thread("one", tags=[looked_up]),
        thread("one", user=looked_up),
        thread("one", metadata={"plan": looked_up}),
        thread("one", metadata=looked_up),
    ],
)
def test_an_asynchronous_callable_is_refused(decorate: Any) -> None:
    with pytest.raises(TypeError, match="functions for the id, tags, .* not asynchronous"):
        seen_by(decorate, 7)


@pytest.mark.parametrize(
    ("result", "expected"), [("s-1", "s-1"), (7, "7"), (UUID(int=7), str(UUID(int=7)))]
)
def test_a_callable_gives_the_id(result: Any, expected: str) -> None:
    assert seen_by(thread(lambda *_, **__: result), 7) == Thread(expected)


def test_a_callable_gets_the_arguments_as_the_handler_gets_them() -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def note(*args: Any, **kwargs: Any) -> str:
        calls.append((args, kwargs))
        return "x"

    def note_all(*args: Any, **kwargs: Any) -> list[str]:
        return [note(*args, **kwargs)]

    assert seen_by(thread(note, tags=[note]), 7, REQUEST, priority="high") == Thread("x", ("x",))
    assert seen_by(thread("one", tags=note_all), 7, REQUEST, priority="high") == Thread(
        "one", ("x",)
    )
    assert calls == [((7, REQUEST), {"priority": "high"})] * 3


def test_braces_in_what_a_callable_returns_are_no_template() -> None:
    assert seen_by(thread(lambda *_: "{ticket}", tags=lambda *_: ["{x}"]), 7) == Thread(
        "{ticket}", ("{x}",)
    )


@pytest.mark.parametrize(
    "tags", [["a", "b", "a"], ("a", "b"), iter(["a", "b"])], ids=["list", "tuple", "iterator"]
)
def test_a_callable_gives_the_tags_in_any_iterable(tags: Any) -> None:
    assert seen_by(thread("one", tags=lambda *_: tags), 7) == Thread("one", ("a", "b"))


def giving(value: Any) -> Any:
    """A callable that gives this for every call."""
    return lambda _: value


@pytest.mark.parametrize(
    ("decorate", "kind", "words", "runs_in"),
    [
        (thread(giving(None)), TypeError, "thread() takes an id that is a string, an int", None),
        (thread(giving("")), ValueError, "thread() needs a non-empty id", None),
        (
            thread("one", tags=giving("a")),
            TypeError,
            "thread() takes tags as a list of strings, got one str",
            Thread("one"),
        ),
        (
            thread("one", tags=giving(None)),
            TypeError,
            "thread() takes tags as a list of strings, got NoneType",
            Thread("one"),
        ),
        (
            thread("one", tags=["a", giving(None)]),
            TypeError,
            "thread() takes tags that are strings, got NoneType",
            Thread("one", ("a",)),
        ),
        (
            thread("one", tags=["a", giving(["b"])]),
            TypeError,
            "thread() takes tags that are strings, got list",
            Thread("one", ("a",)),
        ),
    ],
)
def test_a_callable_that_gives_nothing_useful_costs_what_it_should_give(
    decorate: Any,
    kind: type[Exception],
    words: str,
    runs_in: Thread | None,
    wrong_calls: WrongCalls,
) -> None:
    wrong_calls.survive(decorate, 7, kind=kind, words=words, runs_in=runs_in)


@pytest.mark.parametrize("error", [TypeError("secret"), ValueError("secret"), KeyError("secret")])
@pytest.mark.parametrize("place", ["id", "tag", "tags", "an iterator of tags"])
def test_what_a_callable_raises_stays_out_of_the_call_and_of_the_log(
    error: Exception, place: str, wrong_calls: WrongCalls, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> str:
        raise error

    decorate = {
        "id": lambda: thread(fail),
        "tag": lambda: thread("one", tags=["a", fail]),
        "tags": lambda: thread("one", tags=fail),
        "an iterator of tags": lambda: thread("one", tags=lambda *_: map(fail, "ab")),
    }[place]()
    runs_in = {"id": None, "tag": Thread("one", ("a",))}.get(place, Thread("one"))
    cause = wrong_calls.survive(decorate, 7, words="@thread: ", runs_in=runs_in)
    assert cause is error
    assert "secret" not in caplog.text


def test_a_template_on_a_function_without_a_signature_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TypeError, match=r"'\{ticket\}' cannot be filled in, .* of max\(\)\. Work"):
        thread("{ticket}")(max)
    assert not caplog.records


def test_what_a_callable_raises_is_survived_by_a_function_without_a_signature() -> None:
    def fail(*_: Any) -> str:
        raise TypeError("its own")

    assert thread(fail)(max)(1, 2) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_passes(error: type[BaseException]) -> None:
    def stop(*_: Any) -> str:
        raise error

    for decorate in (thread(stop), thread("one", tags=[stop]), thread("one", tags=stop)):
        with pytest.raises(error):
            seen_by(decorate, 7)
        assert current_thread() is None


def test_a_callable_is_called_in_the_thread_around() -> None:
    def around(*_: Any) -> str:
        outer = current_thread()
        assert outer is not None
        return f"{outer.id}/inner"

    with thread("outer"):
        assert seen_by(thread(around), 7) == Thread("outer/inner")
