"""Imports modules of a package when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any


def later(package: str, names: Collection[str]) -> Callable[[str], Any]:
    """Returns a package's `__getattr__`, which imports the modules that it names.

    Args:
        package: The package's name.
        names: What it hands out: modules, and what it has itself.
    """

    def module(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return module
