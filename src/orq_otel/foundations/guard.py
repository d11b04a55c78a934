"""Log failures of this package instead of raising them, so that the user's call goes on.

Exceptions of the host program are not suppressed. A signal handler may raise one while code of this
package happens to run, for example when a task queue's time limit is reached. It is meant for the
program, and is raised again. It is recognised by the handler's frame in its traceback.

Three kinds cannot be distinguished from a failure of this package: exceptions that another OS
thread sets (`PyThreadState_SetAsyncExc`), those of a signal handler that is not a Python function,
and those of a signal handler that has rebound its arguments. They reach the program only if they
are not an `Exception`, as `KeyboardInterrupt` and `SystemExit`, which are never suppressed.

Standard library only.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from orq_otel.foundations.codes import OTHERS_FAILURE, OWN_FAILURE
from orq_otel.foundations.process import process

logger = logging.getLogger("orq_otel")

#: Seconds after which a failure that still happens is logged again.
_LOG_INTERVAL: Final = 3600.0

#: The folder of this package's code.
_PACKAGE: Final = str(Path(__file__).parents[1]) + os.sep

_NAME: Final = re.compile(r"\w{1,64}", re.ASCII)

#: The name of a function, with its module and class.
_PATH_OF_NAMES: Final = re.compile(r"[\w.<>]{1,200}", re.ASCII)

#: Packages that do nothing but what we ask them for, besides those of the standard library.
_TOOLS: Final = frozenset({"httpx", "openai", "orq_ai_sdk", "pydantic", "pydantic_core", "wrapt"})


@dataclass
class Occurrences:
    """How often a failure or misuse occurred in one place: a line, a handler's name, or "".

    `code` is one of `codes.ENTRIES`, `message` says what is wrong, without content, and `last` is
    in seconds since the epoch.
    """

    code: str
    message: str
    place: str
    count: int = 0
    last: float = 0.0
    _logged_at: float | None = None

    @property
    def last_at(self) -> str:
        """When it occurred last, in UTC: "2026-11-30T13:20:05Z"."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.last))

    def add(self) -> None:
        """Count one more occurrence, now."""
        self.count += 1
        self.last = time.time()

    def is_due(self) -> bool:
        """Whether to log it: the first time, and then at most once an hour."""
        now = time.monotonic()
        if self._logged_at is not None and now - self._logged_at < _LOG_INTERVAL:
            return False
        self._logged_at = now
        return True


class UnusableError(TypeError):
    """A function of others, or an object that is called as one, returned what cannot be used.

    `wanted` is what it has to return, as the end of a sentence.
    """

    def __init__(self, function: Any, wanted: str) -> None:
        super().__init__(function, wanted)


#: Whether a garbage collection is running; `unfinished` sets it. Nothing is logged then, since the
#: code that the collection interrupts may hold the lock of a logging handler.
is_collecting: Callable[[], bool] = bool


class _Log:
    """What has been logged so far, by message and place."""

    def __init__(self) -> None:
        self.failures: dict[tuple[str, str], Occurrences] = {}
        self.warnings: dict[tuple[str, str], Occurrences] = {}

    def reset(self) -> None:
        """Forget everything, so that it is logged again."""
        self.failures.clear()
        self.warnings.clear()


_log: Final = process.keep(_Log())

#: The largest number of entries: more than any program has places that fail or misuse this package.
_MAX_ENTRIES: Final = 4096


def report(doing: str, error: BaseException) -> None:
    """Log a failure of this package, at most once an hour for each place, and count it.

    Code of others that this package calls may have failed instead: a sampler, a span processor, a
    function that redacts. Then the log line says whose it was.

    The log line names the type of the error and where it was raised. It leaves out the message of
    the error, which may hold content of the call; and a type's name that is not an identifier,
    which could hold content too. If the host's logging fails, that is ignored.

    Args:
        doing: What failed, without any content: "reading a response".
        error: The error that was raised.

    Raises:
        BaseException: `error` itself, if a signal handler of the host raised it.
    """
    if is_signals(error):
        raise error
    try:
        where = place_of(error)
        failure = _log.failures.get((doing, where))
        if failure is None:
            if len(_log.failures) >= _MAX_ENTRIES:
                _log.failures.clear()
            failure = _log.failures[doing, where] = _failure(doing, error)
        failure.add()
        if is_collecting() or not failure.is_due():
            return
        is_own = failure.code == OWN_FAILURE
        logger.warning(
            "%s%s%s. The call goes on without it.%s Logged at most once an hour. [%s]",
            "orq-otel failed while " if is_own else "",
            failure.message,
            f" {failure.place}" if failure.place else "",
            "" if failure.count == 1 else f" It has happened {failure.count} times.",
            failure.code,
        )
    except Exception as mistake:
        if is_signals(mistake):
            raise


def _failure(doing: str, error: BaseException) -> Occurrences:
    if isinstance(error, UnusableError):
        function, wanted = error.args
        named = function if hasattr(function, "__qualname__") else type(function)
        whose = _whose(named.__module__, named.__qualname__)
        message = f"{whose}, called by orq-otel while {doing}, has to return {wanted}, and did not"
        return Occurrences(OTHERS_FAILURE, message, "")
    name, others = type(error).__name__, _failed_for_us(error)
    name = name if _NAME.fullmatch(name) else "an error"
    if others is None:
        return Occurrences(OWN_FAILURE, f"{doing}: {name}", place_of(error).strip())
    code = others.tb_frame.f_code
    function = getattr(code, "co_qualname", code.co_name)
    whose = _whose(others.tb_frame.f_globals.get("__name__"), function)
    message = f"{whose} failed, called by orq-otel while {doing}: {name}"
    return Occurrences(OTHERS_FAILURE, message, _place(others).strip())


def _whose(module: Any, function: str) -> str:
    name = f"{module}.{function.rpartition('<locals>.')[2]}"
    return name if _PATH_OF_NAMES.fullmatch(name) else "A function"


def _failed_for_us(error: BaseException) -> TracebackType | None:
    """The call of a function of others, made by us, in which `error` was raised, or None.

    OpenTelemetry makes most of these calls for us. If no other function is found, this returns
    OpenTelemetry's own: others may have handed it something that it could not use.
    """
    found: TracebackType | None = None
    is_called = False
    step = error.__traceback__
    while step is not None:
        top = str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if step.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            found, is_called = None, True
        elif top == "opentelemetry":
            found, is_called = found or step, True
        elif is_called and top not in _TOOLS and top not in sys.stdlib_module_names:
            found, is_called = step, False
        step = step.tb_next
    return found


def warn_once(code: str, message: str, place: str = "") -> None:
    """Log a warning for the user, once for each place and code, and count it.

    What happens only inside garbage collections is counted alone.

    Args:
        code: One of `codes.ENTRIES`.
        message: What is wrong and what to do about it, without content.
        place: A file and line or the name of a handler, if several places may cause this warning.

    Raises:
        Exception: One that a signal handler of the host raised while this ran.
    """
    try:
        key = code, place or message
        warning = _log.warnings.get(key)
        if warning is None:
            if len(_log.warnings) >= _MAX_ENTRIES:
                _log.warnings.clear()
            warning = _log.warnings[key] = Occurrences(code, message, place)
        warning.add()
        if warning._logged_at is None and not is_collecting() and warning.is_due():  # noqa: SLF001
            logger.warning("%s%s [%s]", message, f" ({place})" if place else "", code)
    except Exception as mistake:
        if is_signals(mistake):
            raise


def occurrences() -> list[Occurrences]:
    """The failures and warnings so far in this process."""
    return [*_log.failures.values(), *_log.warnings.values()]


def is_signals(error: BaseException) -> bool:
    """Whether a signal handler raised `error`: then the handler's frame is in the traceback.

    Python calls a signal handler with a number and the frame that it interrupts, which is also the
    handler's caller. No other function gets these arguments. Frames of this package are not
    inspected, since up to Python 3.12 that creates a reference cycle of their variables and the
    error.
    """
    step = error.__traceback__
    while step is not None:
        if _is_handlers(step.tb_frame):
            return True
        step = step.tb_next
    return False


def _is_handlers(frame: FrameType) -> bool:
    interrupted = frame.f_back
    if interrupted is None:
        return False
    code = frame.f_code
    named = code.co_argcount + code.co_kwonlyargcount
    has_varargs = bool(code.co_flags & 0x04)  # inspect.CO_VARARGS
    if named + has_varargs == 0 or code.co_filename.startswith(_PACKAGE):
        return False
    values = frame.f_locals
    arguments: list[Any] = []
    for name in code.co_varnames[: named + has_varargs]:
        value = values.get(name)
        arguments.extend(value if type(value) is tuple else (value,))
    has_caller = any(argument is interrupted for argument in arguments)
    return has_caller and any(isinstance(argument, int) for argument in arguments)


def place_of(error: BaseException) -> str:
    """Where `error` was raised, as " at file.py:12", or "" if it has no traceback."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return "" if step is None else _place(step)


def _place(step: TracebackType) -> str:
    path = Path(step.tb_frame.f_code.co_filename)
    name = f"{path.parent.name}/{path.name}" if path.stem == "__init__" else path.name
    return f" at {name}:{step.tb_lineno}"
