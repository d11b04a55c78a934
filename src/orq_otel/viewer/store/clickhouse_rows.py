"""What a thread did in a trace and an hour, as a row of ClickHouse. Pure functions.

A row is made of spans that were decided on, and counts what the stores of all kinds count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.conversation import calls
from orq_otel.viewer.conversation.texts import tool_of
from orq_otel.viewer.model.facts import MODEL_CALLS, Estimate
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND
from orq_otel.viewer.store.clickhouse_activity import IS_CALL, IS_ERROR, IS_ESTIMATED, IS_PRICED
from orq_otel.viewer.store.sqlite_rows import optional
from orq_otel.viewer.store.tally import COST_UNITS, SUMS

#: The latest hour that a column has, in the year 2106, and one after it, in seconds.
LATEST_HOUR: Final = 4_293_900_000
NEVER: Final = 2**32 - 1
#: So many days are listed in a query.
_LISTED: Final = 100


def hour_of(time: int) -> int:
    """Returns the beginning of a time's hour, in seconds, as far as a column has it."""
    return min(max(time - time % HOUR, 0) // SECOND, LATEST_HOUR)


def of_day(day: int, last: int | None = None) -> str:
    """Returns SQL for whether a row is of a day, by which parts of the table are left out.

    Args:
        day: The day, or the first of several.
        last: The last of several.
    """
    after = (day if last is None else last) + 1
    begin, end = (min(max(one, 0) * DAY // SECOND, NEVER) for one in (day, after))
    return f"hour >= toDateTime({begin}, 'UTC') AND hour < toDateTime({end}, 'UTC')"


def of_days(days: Sequence[int]) -> str:
    """Returns SQL for whether a row is of one of some days, or between many."""
    if len(days) > _LISTED:
        return f"({of_day(min(days), max(days))})"
    return f"({' OR '.join(f'({of_day(day)})' for day in days) or '0'})"


def in_hours(hours: Iterable[int]) -> str:
    """Returns SQL for whether a row is of some hours: constants, of which parts of tables are."""
    listed = ", ".join(f"toDateTime({hour}, 'UTC')" for hour in sorted(hours))
    return f"hour IN ({listed})"


class Key(NamedTuple):
    """What a row is about. The hour is in seconds since the epoch."""

    thread_id: str
    hour: int
    trace_id: str
    service: str


def nodes_of(spans: Iterable[KeptSpan]) -> dict[calls.Key, calls.Node]:
    """Returns what is decided on spans, by their own facts and each other's.

    Ids of threads are those that are written: without half surrogate pairs.
    """
    nodes = {
        (one.span.trace_id, one.span.span_id): calls.node_of(one.span, one.facts)
        for one in sorted(spans, key=lambda one: (one.span.start, one.span.span_id))
    }
    calls.decide(list(nodes.values()))
    for one in nodes.values():
        one.thread = optional(one.thread)
    return nodes


def scope_of(node: calls.Node) -> str | None:
    """Returns the instrumentation that reports a call, or None if a span reports none.

    For a record of another call, which any span may tell again, it is `_RECORD`.
    """
    if node.operation is None:
        return _RECORD if node.is_call else None
    if node.is_record or node.operation == "fetch_response":
        return _RECORD
    return node.scope


#: No instrumentation has this name.
_RECORD: Final = "\t"


def may_tell_the_same(scopes: set[str]) -> bool:
    """Whether spans of a thread may report one call: one instrumentation does so once."""
    return len(scopes) > 1 or _RECORD in scopes


#: What is known of each call, in columns of their own.
_CALLS: Final = ("call_seconds", "call_latencies", "call_kinds", "call_models", "call_sums")


class Row:
    """What a thread did in a trace and an hour."""

    def __init__(self, start: int) -> None:
        self.started = self.last_active = start
        self.sums = [0] * len(SUMS)
        self.title: tuple[int, str, str] | None = None
        self.tags: dict[str, tuple[int, int]] = {}
        self.models: dict[str, int] = {}
        self.facets: set[tuple[str, str]] = set()
        self.scopes: set[str] = set()
        self.seconds: dict[int, list[int]] = {}
        #: Second, latency, kind, model, and sums.
        self.calls: list[tuple[int, int, int, str, tuple[int, int, int]]] = []

    def add(self, kept: KeptSpan, node: calls.Node, hour: int) -> None:
        """Count a span, by what was decided on it."""
        span, facts = kept.span, kept.facts
        start, end = span.start, max(span.start, span.end)
        self.started = min(self.started, start)
        self.last_active = max(self.last_active, end)
        cost = None if facts.cost is None else round(facts.cost * COST_UNITS)
        tokens = (facts.input_tokens or 0, facts.output_tokens or 0)
        counted = (1, int(facts.is_error), *tokens, cost or 0)
        second = min(max(start // SECOND - hour, 0), 2**16 - 1)
        here = self.seconds.setdefault(second, [0] * 5)
        for place, value in enumerate(counted):
            self.sums[place] += value
            here[place] += value
        self.sums[5] += cost is not None
        self.sums[6] += cost is None and facts.is_model_call
        is_estimate = isinstance(facts.cost, Estimate)
        self.sums[7] += is_estimate * (cost or 0)
        kind = (
            IS_CALL * facts.is_model_call
            + IS_ERROR * facts.is_error
            + IS_PRICED * (cost is not None)
            + IS_ESTIMATED * is_estimate
        )
        if facts.is_model_call or (facts.is_error and facts.operation in MODEL_CALLS):
            sums = (*tokens, cost or 0)
            self.calls.append((second, end - start, kind, facts.model or "", sums))
        said = facts.said
        found = {
            "model": facts.model,
            "user": said and said.user,
            "agent": said and said.agent,
            "tool": tool_of(span, facts),
            "service": span.service,
        }
        self.facets.update((kind, value) for kind, value in found.items() if value)
        if (scope := scope_of(node)) is not None:
            self.scopes.add(scope)
        if facts.title is not None:
            title = (start, span.span_id, facts.title)
            self.title = title if self.title is None else min(self.title, title)
        for place, tag in enumerate(facts.tags):
            self.tags[tag] = min(self.tags.get(tag, (start, place)), (start, place))
        if facts.model is not None:
            self.models[facts.model] = min(self.models.get(facts.model, start), start)

    def values(self, key: Key, of_trace: int, version: int) -> dict[str, Any]:
        """Returns the row's columns."""
        title_start, title_span, title = self.title or (0, "", "")
        self.calls.sort()
        return {
            **key._asdict(),
            "started": self.started,
            "last_active": self.last_active,
            **dict(zip(SUMS, self.sums, strict=True)),
            "title": title,
            "title_start": title_start,
            "title_span": title_span,
            "tags": [[tag, *first] for tag, first in self.tags.items()],
            "models": list(self.models.items()),
            "facets": sorted(self.facets),
            "scopes": sorted(self.scopes),
            "seconds": sorted(self.seconds),
            "of_seconds": [sums for _, sums in sorted(self.seconds.items())],
            **{name: [one[place] for one in self.calls] for place, name in enumerate(_CALLS)},
            "of_trace": of_trace,
            "version": version,
            "is_deleted": 0,
        }


def gone(key: Key, version: int) -> dict[str, Any]:
    """Returns the row that says that another one is gone."""
    row = Row(0).values(key, 0, version)
    return {**row, "is_deleted": 1}


def add(rows: dict[Key, Row], kept: KeptSpan, node: calls.Node) -> None:
    """Count a span in its row. Spans of no thread count if they name an operation."""
    span, facts = kept.span, kept.facts
    if facts.thread_id is None and facts.operation is None:
        return
    hour = hour_of(span.start)
    key = Key(facts.thread_id or "", hour, span.trace_id, span.service)
    row = rows.get(key)
    if row is None:
        row = rows[key] = Row(span.start)
    row.add(kept, node, hour)
