"""Our own mistakes stay ours: what fails in our code is logged, and the user's call goes on.

The guard holds back nothing of the host's. An exception that a handler of signals raises while code
of ours happens to run (a task queue's time limit, say) is meant for the program, and goes on to it.
It is known by the handler's frame in its traceback. What cannot be told from a mistake of ours: an
exception that another thread sets (`PyThreadState_SetAsyncExc`), one of a handler that is no Python
function, and one of a handler that has rebound its arguments. Of these, only what is no `Exception`
(`KeyboardInterrupt`, `SystemExit`) is sure to reach the program: that is never held back.

Standard library only.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from orq_otel.foundations.codes import OWN_FAILURE
from orq_otel.foundations.process import process

logger = logging.getLogger("orq_otel")

#: Seconds after which a failure that still happens is logged again.
_AGAIN: Final = 3600.0

#: Where our own code is.
_OURS: Final = str(Path(__file__).parents[1])

_NAME: Final = re.compile(r"\w{1,64}", re.ASCII)


@dataclass
class Occurrences:
    """How often something was wrong in one place.

    Attributes:
        code: One of `codes.MEANINGS`.
        message: What is wrong, without content.
        place: Where: a file and line, or the name of a handler. May be empty.
        count: How often it happened.
        last: When it happened last, in seconds since the epoch.
    """

    code: str
    message: str
    place: str
    count: int = 0
    last: float = 0.0
    _logged_at: float | None = None

    def add(self) -> None:
        """Count one more."""
        self.count += 1
        self.last = time.time()

    def is_due(self) -> bool:
        """Whether it is to be logged: the first time, and then once an hour at most."""
        now = time.monotonic()
        if self._logged_at is not None and now - self._logged_at < _AGAIN:
            return False
        self._logged_at = now
        return True


#: Set by what knows: whether a garbage collection runs. Nothing is logged then, since whoever is
#: interrupted may hold a lock of a handler's.
is_collecting: Callable[[], bool] = bool


class _Log:
    """What was wrong so far, by what and where."""

    def __init__(self) -> None:
        self.failures: dict[tuple[str, str], Occurrences] = {}
        self.warnings: dict[str, Occurrences] = {}

    def reset(self) -> None:
        """Forget all of it, so that it is logged again."""
        self.failures.clear()
        self.warnings.clear()


_log: Final = process.keep(_Log())

#: More than there are places in here to fail, or to be used wrongly, in any program.
_MOST: Final = 4096


def report(doing: str, error: BaseException) -> None:
    """Log a failure of ours, once for each place and then at most once an hour, and count it.

    The line names the error's type and where it was raised. It leaves out the error's text, which
    may hold content of the call, as a name could that somebody made up at run time. A host whose
    logging fails does not hear of it.

    Args:
        doing: What failed, in words that hold no content: "reading a response".
        error: What was raised.

    Raises:
        BaseException: `error` itself, if a signal handler of the host raised it.
    """
    if is_signals(error):
        raise error
    try:
        where, name = place_of(error), type(error).__name__
        failure = _log.failures.get((doing, where))
        if failure is None:
            if len(_log.failures) >= _MOST:
                _log.failures.clear()
            message = f"{doing}: {name if _NAME.fullmatch(name) else 'an error'}"
            failure = _log.failures[doing, where] = Occurrences(OWN_FAILURE, message, where.strip())
        failure.add()
        if is_collecting() or not failure.is_due():
            return
        logger.warning(
            "orq-otel failed while %s%s. The call goes on without it.%s "
            "Logged at most once an hour. [%s]",
            failure.message,
            where,
            "" if failure.count == 1 else f" It has happened {failure.count} times.",
            OWN_FAILURE,
        )
    except Exception as mistake:
        if is_signals(mistake):
            raise


def warn_once(code: str, message: str, place: str = "") -> None:
    """Log what the user should know, once for each place, and count it. Raises only as `report`.

    Args:
        code: One of `codes.MEANINGS`.
        message: What is wrong, and what to do about it, without content.
        place: Where it is wrong, a file and line say, if it may be so in several places.
    """
    try:
        key = place or message
        warning = _log.warnings.get(key)
        if warning is None:
            if len(_log.warnings) >= _MOST:
                _log.warnings.clear()
            warning = _log.warnings[key] = Occurrences(code, message, place)
        warning.add()
        if warning.count == 1:
            logger.warning("%s%s [%s]", message, f" ({place})" if place else "", code)
    except Exception as mistake:
        if is_signals(mistake):
            raise


def occurrences() -> list[Occurrences]:
    """What was wrong so far in this process: failures of ours, and warnings."""
    return [*_log.failures.values(), *_log.warnings.values()]


def is_signals(error: BaseException) -> bool:
    """Whether a signal handler raised `error`, so that its frame is in the traceback.

    Python calls a handler with the frame that it interrupts, which is then the handler's caller.
    No other function is given its caller's frame together with a number. Frames of ours are not
    looked into: up to Python 3.12 that ties what is in them to the error, in a cycle.
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
    taken = bool(code.co_flags & 0x04)  # inspect.CO_VARARGS
    if named + taken == 0 or code.co_filename.startswith(_OURS):
        return False
    values = frame.f_locals
    given: list[Any] = []
    for name in code.co_varnames[: named + taken]:
        value = values.get(name)
        given.extend(value if type(value) is tuple else (value,))
    return any(one is interrupted for one in given) and any(isinstance(one, int) for one in given)


def place_of(error: BaseException) -> str:
    """Where `error` was raised: " at file.py:12", or nothing if it does not tell."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return ""
    return f" at {Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}"
