"""The threads before and after one, in the order of a list."""

from __future__ import annotations

from dataclasses import replace

from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store import cursors


def neighbour(store: Store, thread: Thread, query: ThreadQuery, *, is_next: bool) -> Thread | None:
    """Returns the thread below one in a list, or above it, or None at the end.

    Args:
        store: Has the threads.
        thread: The thread.
        query: The list's query.
        is_next: Whether the one below is asked for.
    """
    asked = replace(
        query,
        ascending=query.ascending is is_next,
        limit=1,
        cursor=None,
        is_brief=True,
    )
    place = store.place(thread, asked)
    if place is None:
        return None
    cursor = cursors.encode(asked, place, thread)
    found = store.threads(replace(asked, cursor=cursor)).threads
    return found[0] if found else None
