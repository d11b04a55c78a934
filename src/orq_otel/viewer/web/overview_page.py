"""The page of threads: those that match, figures over time, and what can be asked for."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.sums import Overview
from orq_otel.viewer.web import finding, plots
from orq_otel.viewer.web.addresses import list_url
from orq_otel.viewer.web.query_parameters import thread_query
from orq_otel.viewer.web.zones import Zone

_PERIODS: Final = (
    ("", "Any time"),
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
)


def values(store: Store, parameters: finding.Parameters, zone: Zone) -> dict[str, Any]:
    """Returns the values of its template.

    Args:
        store: Has the threads.
        parameters: Those of the request.
        zone: The zone of its times.

    Raises:
        InvalidParameterError: One of the parameters is invalid.
    """
    change = store.change()  # what arrives from now on may be missing below
    shown = finding.in_period(parameters, store.period)
    is_last_day = len(shown) > len(parameters)
    asked = _brief(shown, zone)
    overview = store.overview(asked)
    if is_last_day and not overview.threads:
        # Nothing like that has happened lately: what has before is more use than nothing.
        shown, asked = parameters, _brief(parameters, zone)
        overview = store.overview(asked)
    page = store.threads(asked)
    begin = min((one.started for one in page.threads), default=0)
    end = max((one.last_active for one in page.threads), default=0)
    return {
        "overview": overview,
        "threads": page.threads,
        "plots": plots.plots(overview),
        "query": asked,
        "parameters": dict(parameters),
        "periods": _periods(store.period),
        "is_last_day": is_last_day,
        "is_empty_day": is_last_day and asked.since is None,
        "anytime": finding.address("/", parameters, since="any", cursor=None),
        "tags": _tags(overview, asked),
        "is_filtered": finding.is_filtered(parameters),
        "is_partial": page.is_partial or overview.is_partial,
        "hits": page.hits,
        "marked": finding.marker(asked),
        "filters": finding.filters(parameters),
        "offered": finding.offered(store),
        "abilities": store.abilities,
        "csv": finding.address("/api/threads.csv", finding.api_parameters(shown, zone)),
        "numbers": finding.address(
            "/numbers",
            finding.with_time(shown, store.period),
            cursor=None,
            sort=None,
            order=None,
        ),
        "zone": zone.over(
            min(begin, overview.buckets[0].start if overview.buckets else begin),
            max(end, overview.buckets[-1].end - 1 if overview.buckets else end),
        ),
        "begin": begin,
        "end": end,
        "link": functools.partial(list_url, parameters),
        "listed": list_url(shown)[2:] or None,
        "next": list_url(parameters, cursor=page.next_cursor) if page.next_cursor else None,
        "is_first": asked.cursor is None,
        "change": change,
        "strays": store.strays(),
    }


def _periods(period: str | None) -> tuple[tuple[str, str], ...]:
    """Returns the times to choose from, by their values in the form: that of the store is ""."""
    if period is None:
        return _PERIODS
    others = tuple(one for one in _PERIODS[1:] if one[0] != period)
    return (("", dict(_PERIODS)[period]), *others, (finding.ANY[1], _PERIODS[0][1]))


def _brief(parameters: finding.Parameters, zone: Zone) -> ThreadQuery:
    """Returns the query of an overview."""
    return replace(thread_query(finding.query_parameters(parameters, zone)), is_brief=True)


def _tags(overview: Overview, asked: ThreadQuery) -> list[tuple[str, int | None, bool]]:
    """Returns tags to filter by: the selected ones, then the most frequent ones.

    Each has its number of threads, None if unknown, and whether it is selected.
    """
    counts = dict(overview.tags)
    tags: list[tuple[str, int | None, bool]] = [(tag, counts.get(tag), True) for tag in asked.tags]
    tags += [(tag, number, False) for tag, number in overview.tags if tag not in asked.tags]
    return tags
