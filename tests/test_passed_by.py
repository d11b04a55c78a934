"""A handler that is registered below `@thread` is called without it, and that is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from support.recorded import Telemetry

from orq_otel import thread

MESSAGES: Any = [{"role": "user", "content": "Where is my parcel?"}]
routes: dict[str, Callable[..., Any]] = {}


def route(function: Any) -> Any:
    """As web frameworks and task queues do: keep the function, and hand it back as it is."""
    routes[function.__name__] = function
    return function


def ask(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="m", messages=MESSAGES)


@thread("ticket-{number}")
@route
def above(number: int, client: openai.OpenAI) -> None:
    ask(client)


@thread("ticket-{number}")
@route
async def above_async(number: int, client: openai.OpenAI) -> None:
    ask(client)


@route
@thread("ticket-{number}")
def below(number: int, client: openai.OpenAI) -> None:
    ask(client)


@route
@thread(lambda: "")
def without_an_id(client: openai.OpenAI) -> None:
    ask(client)


def plain(client: openai.OpenAI) -> None:
    ask(client)


in_a_thread = thread("one")(plain)


@pytest.mark.parametrize("name", ["above", "above_async"])
def test_it_is_said_once_with_the_cure(
    instrumented: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for _ in range(2):
        done = routes[name](7, client)
        if done is not None:
            asyncio.run(done)

    (message,) = caplog.messages
    assert message.startswith(f"{name}() is decorated with @thread, and was called without it")
    assert "directly above its def" in message
    assert "test_passed_by.py:" in message
    assert message.endswith("[ORQ-T12]")
    assert [(one.attributes or {}).get("thread.id") for one in instrumented.spans] == [None] * 2


def test_the_right_order(
    instrumented: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    routes["below"](7, client)

    assert (instrumented.one().attributes or {})["thread.id"] == "ticket-7"
    assert caplog.messages == []


def test_a_refused_id_is_another_mistake(
    instrumented: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    routes["without_an_id"](client)

    assert "thread.id" not in (instrumented.one().attributes or {})
    assert [one[-9:] for one in caplog.messages] == ["[ORQ-T01]"]


def test_a_function_may_be_called_as_it_is_where_it_was_decorated_by_a_call(
    instrumented: Telemetry, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    in_a_thread(client)
    plain(client)

    ids = [(one.attributes or {}).get("thread.id") for one in instrumented.spans]
    assert ids == ["one", None]
    assert caplog.messages == []
