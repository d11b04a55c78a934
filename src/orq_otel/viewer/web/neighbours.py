"""The threads before and after one, in the order of a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from orq_otel.viewer.model.queries import Sort, ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store import cursors

#: What threads are sorted by, where the thread itself says it. Others are sorted by activity.
_VALUES: Final[dict[Sort, Callable[[Thread], int]]] = {
    "last_active": lambda one: one.last_active,
    "started": lambda one: one.started,
    "duration": lambda one: one.last_active - one.started,
    "spans": lambda one: one.spans,
    "tokens": lambda one: one.input_tokens + one.output_tokens,
    "errors": lambda one: one.errors,
}


def neighbour(store: Store, thread: Thread, query: ThreadQuery, *, is_next: bool) -> Thread | None:
    """Returns the thread below one in a list, or above it, or None at the end.

    Args:
        store: Has the threads.
        thread: The thread.
        query: The list's query.
        is_next: Whether the one below is asked for.
    """
    sort: Sort = query.sort if query.sort in _VALUES else "last_active"
    asked = replace(
        query,
        sort=sort,
        ascending=query.ascending is is_next,
        limit=1,
        cursor=None,
        is_brief=True,
    )
    cursor = cursors.encode(asked, _VALUES[sort](thread), thread)
    found = store.threads(replace(asked, cursor=cursor)).threads
    return found[0] if found else None
