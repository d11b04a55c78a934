"""Wrap functions of a module that may not be imported yet, and take the wrappers off again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import wrapt

from orq_otel.foundations.guard import report

#: From a method to what takes its place.
Wrapper: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

#: wrapt's form: the wrapped method, the instance it is bound to, and the call's arguments.
Around: TypeAlias = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


def around(function: Around) -> Wrapper:
    """A wrapper in wrapt's form, for methods that are not called often."""
    return lambda original: wrapt.FunctionWrapper(original, function)


class Patch:
    """Wrappers around methods of a module's classes, put on once the module is imported.

    Args:
        module: The module's name. It is not imported.
        wrappers: Class name, method name and wrapper. What a version lacks is skipped.
    """

    def __init__(self, module: str, wrappers: Sequence[tuple[str, str, Wrapper]]) -> None:
        self._module = module
        self._wrappers = wrappers
        self._active = False
        self._hooked = False
        self._applied: list[tuple[type, str, Any, Any]] = []

    def apply(self) -> None:
        """Put the wrappers on, now or as soon as the module is imported."""
        self._active = True
        if not self._hooked:
            self._hooked = True  # wrapt keeps its hooks, so one is enough for every later round
            wrapt.register_post_import_hook(self._on_import, self._module)
        elif self._module in sys.modules:
            self._on_import(sys.modules[self._module])

    def _on_import(self, module: Any) -> None:
        if not self._active or self._applied:
            return
        for class_name, method, wrapper in self._wrappers:
            try:
                owner: type | None = getattr(module, class_name, None)
                if owner is None or method not in owner.__dict__:
                    continue
                original = owner.__dict__[method]
                wrapped = wrapper(original)
                setattr(owner, method, wrapped)
                _unshadow(owner, method, original)
                self._applied.append((owner, method, original, wrapped))
            except Exception as error:  # noqa: BLE001 - the host's import must not fail
                report(f"instrumenting {self._module}", error)

    def remove(self) -> None:
        """Take the wrappers off. One that somebody else has wrapped since stays, to no effect."""
        self._active = False
        for owner, method, original, wrapped in self._applied:
            if owner.__dict__.get(method) is wrapped:
                setattr(owner, method, original)
        self._applied.clear()


def _unshadow(owner: type, method: str, original: Any) -> None:
    """Let subclasses inherit the wrapper again.

    OpenInference and Logfire, once switched off, leave the original method on a subclass that had
    inherited it.
    """
    subclass: type
    for subclass in owner.__subclasses__():
        if subclass.__dict__.get(method) is original:
            delattr(subclass, method)
        _unshadow(subclass, method, original)
