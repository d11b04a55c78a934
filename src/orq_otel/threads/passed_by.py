"""Notice decorated functions that run without their decorator.

Where `@thread("ticket-{id}")` stands above `@app.get(...)`, the route calls the function as it was,
and nobody calls the decorated one. That shows when such a function calls a model outside of every
thread, and no wrapper of ours is around it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final
from weakref import WeakValueDictionary

from orq_otel.foundations.codes import PASSED_BY
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.process import process
from orq_otel.threads.misuse import is_decorating

#: The module whose functions call decorated ones.
_WRAPPERS: Final = "orq_otel.threads.handlers"

#: The number of calls outside of threads that are looked at, which takes some microseconds each.
_MAX_LOOKS: Final = 100


class Decorated:
    """The functions that were decorated where they are defined, and whether to look for them."""

    def __init__(self) -> None:
        # By identity: code is equal to any that looks the same, and its hash takes a while.
        self._seen: WeakValueDictionary[int, CodeType] = WeakValueDictionary()
        self._codes: WeakValueDictionary[int, CodeType] = WeakValueDictionary()
        self.reset()

    def reset(self) -> None:
        """Look again."""
        self.is_watched = bool(self._codes)
        self._looks = _MAX_LOOKS

    def add(self, function: Callable[..., Any], caller: FrameType) -> None:
        """Note a function that `caller` decorates."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None and id(code) not in self._seen:
            self._seen[id(code)] = code
            if is_decorating(caller):
                self._codes[id(code)] = code
                self.is_watched = self._looks > 0

    def look(self) -> None:
        """Warn of a decorated function around the caller that runs without its decorator."""
        try:
            self._looks -= 1
            self.is_watched = self._looks > 0
            found: CodeType | None = None
            frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented
            while frame is not None:
                if id(frame.f_code) in self._codes:
                    found = frame.f_code
                elif frame.f_globals.get("__name__") == _WRAPPERS:
                    return  # the decorator called it, and there was no thread that could be used
                frame = frame.f_back
            if found is not None:
                warn_once(
                    PASSED_BY,
                    f"{found.co_name}() is decorated with @thread, and was called without it, so "
                    "its spans have no thread. Put @thread directly above its def, below the "
                    "decorator that makes it a route or a task.",
                    f"{found.co_filename}:{found.co_firstlineno}",
                )
        except Exception as error:  # noqa: BLE001 - never into the host's call
            report("looking for a decorated function", error)


decorated: Final = process.keep(Decorated())
