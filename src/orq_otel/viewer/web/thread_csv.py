"""The list of threads as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.threads import Thread, ThreadPage
from orq_otel.viewer.times import rfc_3339

COLUMNS: Final = (
    "id",
    "title",
    "tags",
    "started_at",
    "last_active_at",
    "duration_ms",
    "traces",
    "spans",
    "errors",
    "models",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced_calls",
    "estimated_usd",
    "good",
    "bad",
    "evaluations",
)
_PAGE: Final = 500
#: Spreadsheets take a cell that begins so for a formula: see OWASP, CSV injection.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def file(store: Store, query: ThreadQuery) -> tuple[str, Iterator[bytes]]:
    """Returns the name of the file of all threads that match a query, and the file in bits.

    A CSV has no place for a remark, so its name says when not all of the store was searched.

    Raises:
        StoreError: The store cannot be read.
    """
    first = store.threads(replace(query, limit=_PAGE))
    return f"threads{'-partial' * first.is_partial}.csv", _bits(store, query, first)


def _bits(store: Store, query: ThreadQuery, page: ThreadPage) -> Iterator[bytes]:
    yield lines([COLUMNS, *map(_row, page.threads)])
    while page.next_cursor is not None:
        page = store.threads(replace(query, limit=_PAGE, cursor=page.next_cursor))
        yield lines(map(_row, page.threads))


def lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Returns rows as lines of CSV, in UTF-8."""
    written = io.StringIO()
    csv.writer(written).writerows([map(cell, row) for row in rows])
    return written.getvalue().encode("utf-8", "replace")


def cell(value: Any) -> Any:
    """Returns a value for a cell. A text that a spreadsheet would run gets an apostrophe first."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _row(one: Thread) -> tuple[Any, ...]:
    return (
        one.id,
        one.title or "",
        "; ".join(one.tags),
        rfc_3339(one.started),
        rfc_3339(one.last_active),
        round(max(one.last_active - one.started, 0) / 1e6, 3),
        one.traces,
        one.spans,
        one.errors,
        "; ".join(one.models),
        one.input_tokens,
        one.output_tokens,
        "" if one.cost is None else one.cost,
        one.unpriced,
        one.estimated,
        one.good,
        one.bad,
        one.evaluations,
    )
