"""Keywords of the user's may have any name, those of our parameters too."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orq_otel import bind, propagate_to_workers, thread

SOURCE = Path(str(importlib.util.find_spec("orq_otel").origin)).parent  # type: ignore[union-attr]


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of ours that takes any keyword, outside of the viewer."""
    for path in SOURCE.rglob("*.py"):
        if "viewer" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.args.kwarg:
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


#: Their keywords are ours: hooks of the instrumentors' base, and calls inside of the package.
OURS = {"_instrument", "_uninstrument", "document_part"}

#: A parameter that the wrapped method has under the same name.
SHARED = {"send": ["message"], "_self_parsed": ["to"]}


def test_no_wrapper_has_a_parameter_that_a_keyword_could_meet() -> None:
    named = {
        place: [one.arg for one in (*node.args.args, *node.args.kwonlyargs)]
        for place, node in functions()
        if node.name not in OURS
    }
    meeting = {
        place: names
        for place, names in named.items()
        if names and names != SHARED.get(place.rpartition(" ")[2])
    }
    assert meeting == {}
    assert len(named) > 25  # they are found


#: Of everything around a call: names in here, and in the standard library.
NAMES = sorted(
    {
        *("self", "cls", "instance", "function", "fn", "func", "work", "frame", "thread", "args"),
        *("kwargs", "call", "wrapped", "original", "pool", "worker", "method", "given", "body"),
        *("id", "tags", "open_frame", "step", "steps", "value", "handler", "result", "token"),
    }
)
KEYWORDS = dict.fromkeys(NAMES, 2)


def told(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


async def told_later(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def told_in_steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
    yield args, kwargs


async def told_in_async_steps(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
    yield args, kwargs


@pytest.mark.parametrize(
    "decorate",
    [
        bind,
        thread("one"),
        thread("{id}-{self}", tags=["{kwargs}", lambda *_, **__: "a"]),
        thread(lambda *_, **kwargs: str(kwargs["self"]), tags=lambda *_, **kwargs: ["a"]),
    ],
    ids=["bind", "plain", "template", "callable"],
)
async def test_functions_of_every_kind_get_their_keywords(decorate: Any) -> None:
    expected = ((1,), KEYWORDS)
    assert decorate(told)(1, **KEYWORDS) == expected
    assert await decorate(told_later)(1, **KEYWORDS) == expected
    assert list(decorate(told_in_steps)(1, **KEYWORDS)) == [expected]
    assert [one async for one in decorate(told_in_async_steps)(1, **KEYWORDS)] == [expected]


class Own(Executor):
    """A pool whose parameters have names, which callers may use."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, *args, **kwargs)


@pytest.fixture
def switched_on() -> Iterator[None]:
    propagate_to_workers()
    yield
    propagate_to_workers(enabled=False)


@pytest.mark.usefixtures("switched_on")
def test_work_for_pools_gets_its_keywords() -> None:
    with ThreadPoolExecutor(1) as pool, thread("one"):
        assert pool.submit(told, 1, **KEYWORDS).result(10) == ((1,), KEYWORDS)
        assert Own().submit(told, 1, **KEYWORDS).result(10) == ((1,), KEYWORDS)


@pytest.mark.usefixtures("switched_on")
def test_keywords_of_the_pools_own_mean_what_they_mean_without_us() -> None:
    class Named(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override]
            return super().submit(fn, *args, **kwargs)

    with Named(1) as pool, thread("one"):
        assert pool.submit(fn=told, function=3, self_=4).result(10) == (
            (),
            {"function": 3, "self_": 4},
        )
    with ThreadPoolExecutor(1) as plain, thread("one"), pytest.raises(TypeError, match="'fn'"):
        plain.submit(fn=told)  # type: ignore[call-arg]
