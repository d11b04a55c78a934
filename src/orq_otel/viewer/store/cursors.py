"""Cursors: where a page of threads ended, as text that the next question brings back."""

from __future__ import annotations

import base64
import binascii
import json

from orq_otel.viewer.model import InvalidCursorError, Question

#: Whole numbers beyond this fit into no store.
_LARGEST = 2**63


def encode(question: Question, value: int, thread_id: str) -> str:
    """The cursor of a page.

    Args:
        question: What was asked: a cursor goes on with the same order only.
        value: What the last thread was sorted by.
        thread_id: Its id.
    """
    told = json.dumps([question.sort, question.ascending, value, thread_id])
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def decode(question: Question) -> tuple[int, str] | None:
    """What the last thread of the page before was sorted by, and its id. None on the first page.

    Raises:
        InvalidCursorError: No page of this order ended so.
    """
    if question.cursor is None:
        return None
    padding = "=" * (-len(question.cursor) % 4)
    try:
        told = json.loads(base64.b64decode(question.cursor + padding, "-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        told = None
    match told:
        case [question.sort, question.ascending, int(value), str(thread_id)] if (
            not isinstance(value, bool)
            and -_LARGEST <= value < _LARGEST
            and told[1] is question.ascending
            and _is_text(thread_id)
        ):
            return value, thread_id
    raise InvalidCursorError(
        "This cursor is not one that a page ended with, or it is of a page in another order."
    )


def _is_text(text: str) -> bool:
    """Half of a surrogate pair is no text that a store takes."""
    return text.isascii() or text == text.encode("utf-8", "replace").decode()
