"""Our own mistakes stay ours: what fails in our code is logged, and the user's call goes on."""

from __future__ import annotations

import logging
from pathlib import Path

logger = logging.getLogger("orq_otel")
_reported: set[tuple[str, str]] = set()


def report(doing: str, error: BaseException) -> None:
    """Log a failure of ours, once for each place, since a broken reader fails on every call.

    The line names the error's type and where it was raised. It leaves out the error's text, which
    may hold content of the call.

    Args:
        doing: What failed, in words that hold no content: "reading a response".
        error: What was raised.
    """
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    where = ""
    if step is not None:
        where = f" at {Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}"
    if (doing, where) in _reported:
        return
    _reported.add((doing, where))
    logger.warning(
        "orq-otel failed while %s: %s%s. The call goes on without it. Logged once.",
        doing,
        type(error).__name__,
        where,
    )
