"""Work for other processes, which have to find it in a module."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from orq_otel import Thread, current_thread


class TaskError(Exception):
    """What a task raises."""


class Worker:
    """Work as a method and as an object that is called."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, number: int) -> tuple[str, int, Thread | None]:
        return self.name, number, current_thread()

    __call__ = run


def where(*args: Any, **kwargs: Any) -> Thread | None:
    """The thread that the work runs in."""
    return current_thread()


def where_and_who(number: int) -> tuple[int, Thread | None, int]:
    """The same, with the argument and the process."""
    return number, current_thread(), os.getpid()


def fail(number: int) -> NoReturn:
    raise TaskError(number, current_thread())
