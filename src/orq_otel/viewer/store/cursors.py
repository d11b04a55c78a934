"""Cursors: text that says where a page of threads or spans ended. The next query sends it back."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final, NamedTuple

from orq_otel.viewer.model.kept_spans import Position
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import InvalidCursorError
from orq_otel.viewer.model.threads import Thread

#: Larger integers do not fit into a store.
_LARGEST = 2**63
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
_SPAN_ID: Final = re.compile("[0-9a-f]{16}")
_DIGEST: Final = re.compile("[0-9a-f]{64}")


class End(NamedTuple):
    """Where a page of threads ended.

    Attributes:
        value: The sort value of its last thread.
        thread_id: That thread's id, or None if it is long.
        digest: The digest of a long id, or None.
        now: The time of the first page's query, or None if the order does not depend on it.
    """

    value: int
    thread_id: str | None
    digest: str | None
    now: int | None


def encode(query: ThreadQuery, value: int, last: Thread, now: int | None = None) -> str:
    """Returns the cursor of a page of threads.

    Args:
        query: The page's query. The cursor is valid for the same order only.
        value: The sort value of the last thread.
        last: The last thread.
        now: As in `End`.
    """
    thread_id = None if last.digest else last.id
    return _encoded([query.sort, query.ascending, value, thread_id, last.digest, now])


def decode(query: ThreadQuery) -> End | None:
    """Returns where the previous page ended, or None for the first page.

    Raises:
        InvalidCursorError: The cursor is invalid, or belongs to another order.
    """
    if query.cursor is None:
        return None
    match _decoded(query.cursor):
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
    raise InvalidCursorError("This cursor is invalid, or it belongs to a page in another order.")


def encode_position(position: Position) -> str:
    """Returns the cursor of a page of spans, from the position of its last span."""
    return _encoded(list(position))


def decode_position(cursor: str) -> Position:
    """Returns the position of the last span of a page.

    Raises:
        InvalidCursorError: The cursor is invalid.
    """
    match _decoded(cursor):
        case [start, span_id, trace_id] if (
            _is_number(start) and _is(_SPAN_ID, span_id) and _is(_TRACE_ID, trace_id)
        ):
            return start, span_id, trace_id
    raise InvalidCursorError("This cursor does not belong to a page of spans.")


def _encoded(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decoded(cursor: str) -> Any:
    padding = "=" * (-len(cursor) % 4)
    try:
        return json.loads(base64.b64decode(cursor + padding, "-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None


def _is_number(value: Any) -> bool:
    return type(value) is int and -_LARGEST <= value < _LARGEST


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    """Whether a value is text without half a surrogate pair, which stores do not accept."""
    return isinstance(value, str) and (
        value.isascii() or value == value.encode("utf-8", "replace").decode()
    )
