"""Cursors: where a page of threads ended, as text that the next query brings back."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model import InvalidCursorError, Position, Thread, ThreadQuery

#: Whole numbers beyond this fit into no store.
_LARGEST = 2**63
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
_SPAN_ID: Final = re.compile("[0-9a-f]{16}")
_DIGEST: Final = re.compile("[0-9a-f]{64}")


class End(NamedTuple):
    """Where a page of threads ended.

    Attributes:
        value: What its last thread was sorted by.
        thread_id: That thread's id, if it is short.
        digest: Else the digest of it.
        now: When the first page was asked for, where the order depends on that.
    """

    value: int
    thread_id: str | None
    digest: str | None
    now: int | None


def encode(query: ThreadQuery, value: int, last: Thread, now: int | None = None) -> str:
    """The cursor of a page.

    Args:
        query: What was asked: a cursor goes on with the same order only.
        value: What the last thread was sorted by.
        last: That thread.
        now: As in `End`.
    """
    thread_id = None if last.digest else last.id
    return _text([query.sort, query.ascending, value, thread_id, last.digest, now])


def decode(query: ThreadQuery) -> End | None:
    """Where the page before ended. None on the first page.

    Raises:
        InvalidCursorError: No page of this order ended so.
    """
    if query.cursor is None:
        return None
    match _told(query.cursor):
        case [query.sort, bool(ascending), value, thread_id, digest, now] if (
            ascending is query.ascending
            and _is_number(value)
            and (now is None or _is_number(now))
            and (
                (digest is None and _is_text(thread_id))
                or (thread_id is None and _is(_DIGEST, digest))
            )
        ):
            return End(value, thread_id, digest, now)
    raise InvalidCursorError(
        "This cursor is not one that a page ended with, or it is of a page in another order."
    )


def encode_position(position: Position) -> str:
    """The cursor of a page of spans, which ended with the one there."""
    return _text(list(position))


def decode_position(cursor: str) -> Position:
    """Where a page of spans ended.

    Raises:
        InvalidCursorError: No page ended so.
    """
    match _told(cursor):
        case [start, span_id, trace_id] if (
            _is_number(start) and _is(_SPAN_ID, span_id) and _is(_TRACE_ID, trace_id)
        ):
            return start, span_id, trace_id
    raise InvalidCursorError("This cursor is not one that a page of spans ended with.")


def _text(told: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


def _told(cursor: str) -> Any:
    padding = "=" * (-len(cursor) % 4)
    try:
        return json.loads(base64.b64decode(cursor + padding, "-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None


def _is_number(told: Any) -> bool:
    return type(told) is int and -_LARGEST <= told < _LARGEST


def _is(pattern: re.Pattern[str], told: Any) -> bool:
    return isinstance(told, str) and pattern.fullmatch(told) is not None


def _is_text(told: Any) -> bool:
    """Half of a surrogate pair is no text that a store takes."""
    return isinstance(told, str) and (
        told.isascii() or told == told.encode("utf-8", "replace").decode()
    )
