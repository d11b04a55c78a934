"""Every function of ours, and a way to break it wherever it is referred to.

A function that is replaced by name stays whole in tables, closures and partials. So its code is
replaced instead.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import orq_otel

#: They are no part of a program that is instrumented.
_APART = ("orq_otel.viewer", "orq_otel.cli")


class Broken(Exception):
    """What a function of ours raises in these tests."""


def functions() -> dict[str, FunctionType]:
    """Every function and method of the package, by module and qualified name."""
    found: dict[str, FunctionType] = {}
    for name in _modules():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("orq_otel"):
                raise
            continue  # it needs a package that is optional
        for thing in vars(module).values():
            for function in _functions_of(thing, name):
                found[f"{name}:{function.__qualname__}"] = function
    return found


def _modules() -> list[str]:
    walked = pkgutil.walk_packages(orq_otel.__path__, "orq_otel.", onerror=lambda _: None)
    names = [one.name for one in walked if not one.name.startswith(_APART)]
    return ["orq_otel", *names]


def _functions_of(thing: Any, module: str) -> Iterator[FunctionType]:
    for one in (thing, *(vars(thing).values() if inspect.isclass(thing) else ())):
        for form in ("__func__", "fget", "func", "__wrapped__"):
            if not isinstance(one, FunctionType):
                one = getattr(one, form, one)  # noqa: PLW2901 - what is inside
        if isinstance(one, FunctionType) and one.__module__ == module:
            yield one


@contextmanager
def broken(function: FunctionType, *, by_signal: int | None = None) -> Iterator[None]:
    """Let a function raise whenever it is called, or a handler of signals raise inside of it."""
    whole = function.__code__
    function.__code__ = _raising(whole.co_freevars, by_signal)
    try:
        yield
    finally:
        function.__code__ = whole


@functools.cache
def _raising(cells: Sequence[str], by_signal: int | None) -> CodeType:
    """The code of a function that raises, with the same cells, as Python demands."""
    raises = (
        f"raise __import__({__name__!r}, fromlist=['Broken']).Broken('with content in its text')"
        if by_signal is None
        # Handlers run in the main thread. One that another thread asks for would run anywhere.
        else "_ = __import__('threading'); _.current_thread() is _.main_thread()"
        f" and __import__('signal').raise_signal({by_signal})"
    )
    lines = [
        f"def around({', '.join(cells)}):",
        "    def raising(*args, **kwargs):",
        *([f"        ({', '.join(cells)},)"] if cells else []),
        f"        {raises}",
        "    return raising",
    ]
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    code: CodeType = scope["around"](*cells).__code__
    return code.replace(co_filename=__file__)


@contextmanager
def recording(run: set[CodeType]) -> Iterator[None]:
    """Note the code of everything that runs in this thread."""

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            run.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
