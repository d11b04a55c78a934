"""The page of a thread: a part of its conversation, and the timeline of that part's traces."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.conversation.evaluations import evaluation
from orq_otel.viewer.conversation.exchanges import Exchange, exchanges
from orq_otel.viewer.conversation.facts import explained
from orq_otel.viewer.conversation.reading import conversation, failure
from orq_otel.viewer.dialects.capturing import settings
from orq_otel.viewer.model.ids import LONG_ID
from orq_otel.viewer.model.kept_spans import KeptSpan, Position, Spans, position
from orq_otel.viewer.model.store import Store, deletion, pieces
from orq_otel.viewer.model.telemetry import EVALUATION
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.store import cursors
from orq_otel.viewer.web import conversation_html, timeline
from orq_otel.viewer.web.addresses import export_url, span_key, thread_url, trace_url
from orq_otel.viewer.web.contents import contents
from orq_otel.viewer.web.conversation_html import spans_shown
from orq_otel.viewer.web.page_limits import TextBudget, trimmed
from orq_otel.viewer.web.rendering import TAGS_SHOWN
from orq_otel.viewer.web.zones import PARAMETER, Zone

MOST_SPANS: Final = 5000
"""How many spans of a thread a page reads at most."""
MOST_EVALUATIONS: Final = 200
"""How many evaluations of a thread its page shows."""
MOST_BYTES: Final = 16 * 2**20
"""How many bytes of spans a page reads at most."""
ENTRIES: Final = 50
"""About how many model calls and other steps one part of a thread shows."""
CHARACTERS: Final = 200_000
"""About how many characters of messages one part of a thread shows."""
ROWS: Final = 200
"""How many spans the timeline of one page of a thread shows."""
_KEY: Final = re.compile("[0-9a-f]{32}-[0-9a-f]{16}")
#: The highest number of digits of a time in nanoseconds.
_DIGITS: Final = 19


def values(
    store: Store, thread: Thread, asked: Mapping[str, str], zone: Zone, template: str | None
) -> dict[str, Any]:
    """Returns the values of its template.

    Args:
        store: Has the spans.
        thread: The thread.
        asked: The request's parameters.
        zone: The zone of its times.
        template: The address of a trace in a backend, as in `Settings`, or None.

    Raises:
        InvalidCursorError: `after` is none.
    """
    after = asked.get("after")
    began = cursors.decode_position(after) if after else None
    spans = _spans(store, thread.id, began)
    key = asked.get("with")
    is_missing = key is None or key not in map(span_key, spans)
    if spans.has_more and is_missing and not {"after", "page"} & asked.keys():
        # The first ones of very many: what is asked for is the latest, or a later one. There is
        # room left for those that arrive while the page is shown.
        latest = len(spans) // 2 + ENTRIES // 2
        began = _before(store, key) if key else store.before_last(thread.id, latest)
        spans = _spans(store, thread.id, began)
        after = None if began is None else cursors.encode_position(began)
    whole = conversation(thread.id, spans)
    parts = conversation_html.parts(exchanges(whole, spans), ENTRIES, CHARACTERS)
    number = _number(asked.get("page"), len(parts))
    if key is not None:
        number = _part_with(key, spans, parts) or number
    all_traces = timeline.traces(thread.id, spans)
    shown, not_shown = _of_page(all_traces, parts, number)
    evaluations = [evaluation(one) for one in store.logs(thread.id, MOST_EVALUATIONS, EVALUATION)]
    listed, tz = asked.get("list"), asked.get(PARAMETER)
    placed, elsewhere = conversation_html.placed(evaluations, parts)
    return {
        "zone": zone.over(thread.started, thread.last_active),
        "thread": thread,
        "is_long": _is_long(thread),
        "conversation": whole,
        "exchanges": parts[number - 1],
        "evaluations_of": placed,
        "evaluations": elsewhere,
        "page": number,
        "pages": len(parts),
        "is_at_end": len(parts) > 1 and not {"page", "with"} & asked.keys(),
        "spans": len(spans),
        "after": after,
        "later": cursors.encode_position(position(spans[-1])) if spans.has_more else None,
        "lacks_spans": spans.lacks_some,
        "list": listed,
        "contents": contents(thread.id, parts, number, tz=tz, after=after, list=listed),
        "capturing": settings(whole.senders),
        "text_budget": TextBudget(),
        "traces": shown,
        "all_traces": all_traces,
        "rows_left": not_shown,
        "whole": timeline.summary_line(all_traces),
        "trace_url": functools.partial(trace_url, template, thread),
        "span_href": functools.partial(_span_href, thread, tz, _rows_shown(shown)),
        **links(tz),
        "can_delete": deletion(store) is not None,
        "estimated": [
            cost.total
            for one in spans
            if one.facts.thread_id == thread.id
            and (cost := explained(one)) is not None
            and cost.doubts
        ],
        "failed": [one for one in spans if one.facts.thread_id == thread.id and failure(one)],
    }


def _before(store: Store, key: str) -> Position | None:
    """Returns the position before the trace of a span, or None if it is not there."""
    spans = store.trace(key.partition("-")[0]) if _KEY.fullmatch(key) else ()
    return (spans[0].span.start - 1, "f" * 16, "f" * 32) if spans else None


def links(tz: str | None) -> dict[str, Any]:
    """Returns what makes the links of a page, which keep the zone that its address names."""
    return {
        "thread_url": functools.partial(thread_url, tz=tz),
        "export_url": functools.partial(export_url, tz=tz),
    }


def span(store: Store, thread: Thread, key: str, at: str | None) -> KeptSpan | None:
    """Returns a span of a thread by its key, or None.

    Args:
        store: Has the spans.
        thread: The thread.
        key: As `span_key` has it.
        at: When it started, in nanoseconds since the epoch, which saves reading those before it.
    """
    found = (one for some in _pieces(store, thread, at) for one in some)
    return next((one for one in itertools.islice(found, MOST_SPANS) if span_key(one) == key), None)


def _pieces(store: Store, thread: Thread, at: str | None) -> Iterator[Spans]:
    """Yields the spans of a thread, from a time on if one is given."""
    if at is None or not at.isascii() or not at.isdecimal() or len(at) > _DIGITS:
        return pieces(store, thread.id)
    return pieces(store, thread.id, (int(at) - 1, "f" * 16, "f" * 32))


def _spans(store: Store, thread_id: str, after: Position | None) -> Spans:
    """Returns spans of a thread, trimmed for its page."""
    spans = Spans()
    left = MOST_BYTES
    for some in pieces(store, thread_id, after):
        spans.lacks_some |= some.lacks_some
        for one in some:
            kept, size = trimmed(one, thread_id)
            left -= size
            if spans and (left < 0 or len(spans) == MOST_SPANS):
                spans.has_more = True
                return spans
            spans.append(kept)
    return spans


def _is_long(thread: Thread) -> bool:
    """Whether a page shows only a part of a thread's id or tags."""
    return (
        thread.digest is not None
        or len(thread.tags) + thread.more_tags > TAGS_SHOWN
        or any(len(tag) > LONG_ID for tag in thread.tags)
    )


def _part_with(
    key: str, spans: Iterable[KeptSpan], parts: Sequence[Sequence[Exchange]]
) -> int | None:
    """Returns the number of the part that shows a span, in what was said or in its timeline."""
    numbered = list(enumerate(parts, 1))
    for number, part in numbered:
        if key in spans_shown(part):
            return number
    span = next((one.span for one in spans if span_key(one) == key), None)
    if span is None:
        return None
    own = [one for one in numbered if span.trace_id in _trace_ids(one[1])] or numbered
    begun = [number for number, part in own if part and part[0].begin <= span.start]
    return begun[-1] if begun else own[0][0]


def _trace_ids(part: Iterable[Exchange]) -> set[str]:
    return {entry.kept.span.trace_id for exchange in part for entry in exchange.entries}


def _of_page(
    traces: Sequence[timeline.Trace], parts: Sequence[Sequence[Exchange]], number: int
) -> tuple[list[timeline.Trace], int]:
    """Returns the traces that belong to a part of the conversation, and how many rows are cut."""
    names = _trace_ids(parts[number - 1])
    begin = min((one.start for one in traces if one.id in names), default=0) if number > 1 else 0
    end = parts[number][0].begin if number < len(parts) else None
    chosen = [
        one
        for one in traces
        if one.id in names or (one.start >= begin and (end is None or one.start < end))
    ]
    shown, left = [], ROWS
    for one in chosen:
        if left <= 0:
            break
        shown.append(one if len(one.rows) <= left else replace(one, rows=one.rows[:left]))
        left -= len(one.rows)
    return shown, sum(len(one.rows) for one in chosen) - sum(len(one.rows) for one in shown)


def _rows_shown(traces: Iterable[timeline.Trace]) -> set[str]:
    return {span_key(row.kept) for trace in traces for row in trace.rows}


def _span_href(thread: Thread, tz: str | None, shown: set[str], kept: KeptSpan) -> str:
    """Returns where a span is: on the same page, or on one of its own."""
    key = span_key(kept)
    if key in shown:
        return f"#s-{key}"
    return thread_url(thread.id, tz=tz, span=key, at=kept.span.start)


def _number(value: str | None, most: int) -> int:
    """Returns a part's number from 1 to `most`: the one nearest to `value`, or else the last."""
    if value is None or not value.isascii() or not value.isdecimal():
        return most
    return min(max(int(value[:9]), 1), most)
