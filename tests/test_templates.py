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


# ---- Templates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "args", "kwargs", "expected"),
    [
        ("ticket-{ticket}", (7,), {}, "ticket-7"),
        ("{ticket}", ("seven",), {}, "seven"),
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


@pytest.mark.parametrize("template", ["{", "a{ticket", "{ticket}}{", "{ticket!}"])
def test_a_template_with_unbalanced_braces_is_refused(template: str) -> None:
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


@pytest.mark.parametrize("decorate", [thread("t-{ticket}"), thread("one", tags=["t-{ticket}"])])
def test_none_in_a_template_is_refused(decorate: thread) -> None:
    with pytest.raises(TypeError) as raised:
        seen_by(decorate, None)
    assert str(raised.value) == (
        "@thread: an argument that the template 't-{ticket}' uses is None. Give the "
        "handler a value for it, or work out the id with a callable."
    )
    assert current_thread() is None


def test_none_deep_in_a_template_is_refused_too() -> None:
    with pytest.raises(TypeError, match=r"'\{request\.session_id\}' uses is None\."):
        seen_by(thread("{request.session_id}"), 7, Request(None, {}))


def test_a_template_that_turns_out_empty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^thread\(\) needs a non-empty id"):
        seen_by(thread("{ticket}"), "")
    with pytest.raises(ValueError, match=r"^thread\(\) takes tags that are not empty\.$"):
        seen_by(thread("one", tags=["{ticket}"]), " ")


def test_a_name_that_the_catch_all_does_not_get_is_refused() -> None:
    with pytest.raises(TypeError) as raised:
        seen_by(thread("{tenant}-{ticket}"), 7)
    assert str(raised.value) == (
        "@thread: the template '{tenant}-{ticket}' names 'tenant', which this call does not give."
    )


def test_what_an_argument_raises_reaches_the_caller() -> None:
    with pytest.raises(AttributeError, match="'Request' object has no attribute 'nothing'"):
        seen_by(thread("{request.nothing}"), 7)
    with pytest.raises(KeyError, match="nothing"):
        seen_by(thread("{request.headers[nothing]}"), 7)


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


# ---- Callables ------------------------------------------------------------------------------


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
    ("decorate", "error", "message"),
    [
        (thread(giving(None)), TypeError, "an id that is a string, an int or a UUID, got NoneT"),
        (thread(giving("")), ValueError, "a non-empty id"),
        (thread("one", tags=giving("a")), TypeError, "a list of strings, got one str"),
        (thread("one", tags=giving(None)), TypeError, "a list of strings, got NoneType"),
        (thread("one", tags=[giving(None)]), TypeError, "tags that are strings, got NoneType"),
        (thread("one", tags=[giving(["a"])]), TypeError, "tags that are strings, got list"),
    ],
)
def test_a_callable_that_gives_nothing_useful_is_refused_at_the_call(
    decorate: thread, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        seen_by(decorate, 7)
    assert current_thread() is None


@pytest.mark.parametrize("error", [TypeError("its own"), ValueError("its own"), KeyError("own")])
def test_what_a_callable_raises_reaches_the_caller(error: Exception) -> None:
    def fail(*_: Any) -> str:
        raise error

    for decorate in (thread(fail), thread("one", tags=[fail]), thread("one", tags=fail)):
        with pytest.raises(type(error)) as raised:
            seen_by(decorate, 7)
        assert raised.value is error
        assert current_thread() is None


def test_what_a_callable_raises_reaches_the_caller_of_a_function_without_a_signature() -> None:
    error = TypeError("its own")

    def fail(*_: Any) -> str:
        raise error

    with pytest.raises(TypeError) as raised:
        thread(fail)(max)(1, 2)
    assert raised.value is error


def test_a_callable_is_called_in_the_thread_around() -> None:
    def around(*_: Any) -> str:
        outer = current_thread()
        assert outer is not None
        return f"{outer.id}/inner"

    with thread("outer"):
        assert seen_by(thread(around), 7) == Thread("outer/inner")
