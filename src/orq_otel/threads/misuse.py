"""Wrong use of threads: refused where it is written, survived where it happens.

What goes wrong at run time is said once for each place, and the program goes on. With
`ORQ_OTEL_STRICT=true` it is raised instead.

Standard library only.
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


class Words(str):
    """The text of an error of ours. It holds no content, so it may be logged."""

    __slots__ = ()


def is_refusal(error: Exception) -> bool:
    """Whether an error refuses wrong use, on purpose."""
    return bool(error.args) and isinstance(error.args[0], Words)


def ours(error: Exception, doing: str) -> Exception:
    """What to say of an error: `error` itself if it is ours, else one that names its type only.

    Args:
        error: What was raised.
        doing: What failed, in words that hold no content: "working out an id".

    Raises:
        Exception: `error` itself, if a signal handler of the host raised it.
    """
    if is_signals(error):
        raise error
    if is_refusal(error):
        return error
    said = RuntimeError(
        Words(
            f"@thread: {doing} failed with {type(error).__name__}{place_of(error)}. "
            "It has to work for every call."
        )
    )
    said.__cause__ = error
    return said


def misused(error: Exception, place: str, outcome: str) -> None:
    """Say what is wrong, once for each place.

    Args:
        error: One of `ours`.
        place: A file and line, or the name of a handler. Without it, that of the running code.
        outcome: What happens now, as a sentence.

    Raises:
        Exception: `error`, if `ORQ_OTEL_STRICT` asks for that.
    """
    raise_if_strict(error)
    warn_once(BAD_ID_OR_TAGS, f"{error} {outcome}", place or here())


def raise_if_strict(error: Exception) -> None:
    """Raise `error`, if `ORQ_OTEL_STRICT` asks for that."""
    if is_strict():
        raise error


def here() -> str:
    """The file and line of the user's code that runs."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module != "contextlib" and module.partition(".")[0] != "orq_otel":
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def is_decorating(frame: FrameType) -> bool:
    """Whether the call that `frame` is making applies a decorator, as `@thread` alone does.

    Python first works out the decorators that stand above a definition, `thread("{id}")` say, then
    makes the function or class, then calls the decorators with it. So such a call has a line in the
    head of a definition whose code was loaded before.
    """
    code = frame.f_code
    for index, definition in enumerate(code.co_consts):
        if not isinstance(definition, CodeType) or not _is_named(definition):
            continue
        first = definition.co_firstlineno
        # A definition on one line has no decorators. Up to Python 3.10 the call has the line of
        # `def`, on which the body may stand as well.
        body = min((line for line in _lines(definition) if line > first), default=0)
        if first <= frame.f_lineno <= body and _has_loaded(frame, index, first, body):
            return True
    return False


def _is_named(code: CodeType) -> bool:
    """Whether code is a function's or a class's, and no lambda's or comprehension's."""
    return not code.co_name.startswith("<") or code.co_name.startswith("<generic parameters of ")


def _lines(code: CodeType) -> Iterator[int]:
    return (line for _, _, line in code.co_lines() if line is not None)


def _has_loaded(frame: FrameType, index: int, first: int, last: int) -> bool:
    """Whether `frame` has loaded the constant of this index, in these lines."""
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
