"""What happens when `thread()` is used wrongly.

A mistake in a decorator raises an error when the function is defined. A mistake that shows only
while the program runs is logged once for each place, and the program goes on. With
`ORQ_OTEL_STRICT=true` that raises an error too.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Final

from orq_otel.foundations.codes import BAD_ID_OR_TAGS
from orq_otel.foundations.guard import is_signals, place_of, warn_once
from orq_otel.foundations.settings import is_strict

_LOAD_CONST: Final = dis.opmap["LOAD_CONST"]


class SafeText(str):
    """An error message written by this package. It holds no content, so it may be logged."""

    __slots__ = ()


def wrong_type(message: str) -> TypeError:
    """The error that refuses something of a wrong type."""
    return TypeError(SafeText(message))


def wrong_value(message: str) -> ValueError:
    """The error that refuses a wrong value."""
    return ValueError(SafeText(message))


def is_refusal(error: Exception) -> bool:
    """Whether this package raised the error on purpose, to refuse wrong use."""
    return bool(error.args) and isinstance(error.args[0], SafeText)


def loggable(error: Exception, doing: str) -> Exception:
    """An error whose message may be logged: `error` itself if that is a `SafeText`.

    Otherwise a new one that names only its type, and where it was raised as we were `doing`
    something, which is said without any content: "working out an id".

    Raises:
        Exception: `error` itself, if a signal handler of the host raised it.
    """
    if is_signals(error):
        raise error
    if is_refusal(error):
        return error
    safe_error = RuntimeError(
        SafeText(
            f"@thread: {doing} failed with {type(error).__name__}{place_of(error)}. "
            "It has to work for every call."
        )
    )
    safe_error.__cause__ = error
    return safe_error


def warn_of_misuse(error: Exception, place: str, outcome: str, code: str = BAD_ID_OR_TAGS) -> None:
    """Log wrong use, once for each place: by default the line of the user's code that is running.

    The error is one that `loggable` returned. The outcome is a sentence on how the program goes on.

    Raises:
        Exception: `error`, if `ORQ_OTEL_STRICT` is set.
    """
    raise_if_strict(error)
    warn_once(code, f"{error} {outcome}", place or code_location())


def raise_if_strict(error: Exception) -> None:
    """Raise `error` if `ORQ_OTEL_STRICT` is set."""
    if is_strict():
        raise error


def code_location() -> str:
    """The file and line of the user's code that is running, or "" if there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module != "contextlib" and module.partition(".")[0] != "orq_otel":
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def is_decorating(frame: FrameType) -> bool:
    """Whether the call that `frame` is making applies a decorator, as `@thread` alone does.

    Python first evaluates the decorators above a definition, for example `thread("{id}")`. Then it
    creates the function or class, and then it calls the decorators with it. So the line of such a
    call is in the head of a definition whose code has already been loaded.
    """
    code = frame.f_code
    for index, definition in enumerate(code.co_consts):
        if not isinstance(definition, CodeType) or not _is_named(definition):
            continue
        first = definition.co_firstlineno
        # A definition on one line has no decorators. Up to Python 3.10 the call has the line of
        # `def`, and the body may be on that line too.
        body = min((line for line in _lines(definition) if line > first), default=0)
        if first <= frame.f_lineno <= body and _has_loaded(frame, index, first, body):
            return True
    return False


def _is_named(code: CodeType) -> bool:
    """Whether code belongs to a function or class, rather than a lambda or comprehension."""
    return not code.co_name.startswith("<") or code.co_name.startswith("<generic parameters of ")


def _lines(code: CodeType) -> Iterator[int]:
    return (line for _, _, line in code.co_lines() if line is not None)


def _has_loaded(frame: FrameType, index: int, first: int, last: int) -> bool:
    """Whether `frame` has loaded the constant with this index in the lines `first` to `last`."""
    raw, ran = frame.f_code.co_code, frame.f_lasti
    for start, end, line in frame.f_code.co_lines():
        if line is None or not first <= line <= last:
            continue
        argument = 0
        for at in range(start, min(end, ran), 2):
            argument = argument << 8 | raw[at + 1]
            if raw[at] == dis.EXTENDED_ARG:
                continue
            if raw[at] == _LOAD_CONST and argument == index:
                return True
            argument = 0
    return False
