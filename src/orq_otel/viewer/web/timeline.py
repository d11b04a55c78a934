"""The spans of a thread over time: each trace with its spans as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from orq_otel.viewer.model.kept_spans import KeptSpan

#: The smallest width of a bar in percent, so that it is visible.
_NARROWEST = 0.8
_DEEPEST = 12
#: The width of a pause between traces in percent, in the line at the top of the timeline.
_PAUSE = 1.5
#: The smallest width of a trace in that line, in percent.
_THINNEST = 0.4


@dataclass(frozen=True, slots=True)
class Row:
    """A span in its trace.

    Attributes:
        kept: The span.
        depth: The number of its ancestors, up to a limit.
        is_own: Whether the span itself belongs to the thread, not only its trace.
        start: When its trace began.
        end: When its trace ended.
    """

    kept: KeptSpan
    depth: int
    is_own: bool
    start: int
    end: int

    @property
    def bar(self) -> Markup:
        """Its time as an SVG image. A page shows few of all rows."""
        return _bar(self.kept, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace of a thread. Its rows list parents before children, sorted by start."""

    id: str
    start: int
    end: int
    errors: int
    rows: tuple[Row, ...]


def traces(thread_id: str, spans: Iterable[KeptSpan]) -> list[Trace]:
    """Returns the traces of a thread, sorted by start."""
    groups: dict[str, list[KeptSpan]] = {}
    for one in spans:
        groups.setdefault(one.span.trace_id, []).append(one)
    return sorted(
        (_trace(thread_id, trace_id, group) for trace_id, group in groups.items()),
        key=lambda trace: (trace.start, trace.id),
    )


def _trace(thread_id: str, trace_id: str, spans: list[KeptSpan]) -> Trace:
    start = min(one.span.start for one in spans)
    end = max(max(one.span.end, one.span.start) for one in spans)
    rows = [
        Row(one, min(depth, _DEEPEST), one.facts.thread_id == thread_id, start, end)
        for one, depth in _tree(spans)
    ]
    return Trace(trace_id, start, end, sum(one.facts.is_error for one in spans), tuple(rows))


def _tree(spans: list[KeptSpan]) -> list[tuple[KeptSpan, int]]:
    """Returns all spans with their depth, children after their parent.

    Spans with a missing parent become roots, and so does one span of a circle of parents.
    """
    spans = sorted(spans, key=lambda one: (one.span.start, -one.span.end))
    ids = {one.span.span_id for one in spans}
    children: dict[str | None, list[KeptSpan]] = {}
    for one in spans:
        parent = one.span.parent_id
        children.setdefault(parent if parent in ids else None, []).append(one)
    rows: list[tuple[KeptSpan, int]] = []
    seen: set[str] = set()

    def walk(first: Sequence[KeptSpan]) -> None:
        waiting = [(one, 0) for one in reversed(first)]
        while waiting:
            one, depth = waiting.pop()
            if one.span.span_id not in seen:
                seen.add(one.span.span_id)
                rows.append((one, depth))
                waiting += [
                    (child, depth + 1) for child in reversed(children.get(one.span.span_id, ()))
                ]

    walk(children.get(None, ()))
    for one in spans:  # spans whose parents form a circle
        if one.span.span_id not in seen:
            walk([one])
    return rows


def _bar(kept: KeptSpan, start: int, end: int) -> Markup:
    duration = max(end - start, 1)
    width = min(max((kept.span.end - kept.span.start) / duration * 100, _NARROWEST), 100)
    left = min((kept.span.start - start) / duration * 100, 100 - width)
    kind = "error" if kept.facts.is_error else "model" if kept.facts.is_model_call else "plain"
    return Markup(
        '<svg class="bar" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 8">'
        '<rect class="{}" x="{:.2f}" y="0" width="{:.2f}" height="8"/></svg>'
    ).format(kind, left, width)


def summary_line(all_traces: Sequence[Trace]) -> Markup | None:
    """Draws all traces on one line, with short pauses between them, to leave space for traces."""
    if not all_traces:
        return None
    moments = sorted((trace.start, trace.end) for trace in all_traces)
    busy: list[list[int]] = []
    for start, end in moments:
        if busy and start <= busy[-1][1]:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    pause = min(_PAUSE, 40 / len(busy))
    available = 100 - pause * (len(busy) - 1)
    active = sum(max(end - start, 1) for start, end in busy)
    left, begins = 0.0, []
    for start, end in busy:
        begins.append((start, end, left))
        left += max(end - start, 1) / active * available + pause
    drawn = Markup("")
    drawn_at: set[tuple[str, int]] = set()
    at = 0
    for trace in all_traces:
        while at + 1 < len(begins) and trace.start > begins[at][1]:
            at += 1
        start, _, offset = begins[at]
        pieces = [("trace-bar", trace.start, trace.end)] + [
            ("error", row.kept.span.start, row.kept.span.end)
            for row in trace.rows
            if row.kept.facts.is_error
        ]
        for kind, begin, end in pieces:
            x = offset + (begin - start) / active * available
            width = max((end - begin) / active * available, _THINNEST)
            # Thousands of short traces would lie above each other.
            place = kind, round(x / _THINNEST)
            if width == _THINNEST and place in drawn_at:
                continue
            drawn_at.add(place)
            drawn += Markup('<rect class="{}" x="{:.2f}" y="0" width="{:.2f}" height="8"/>').format(
                kind, x, width
            )
    return Markup(
        '<svg class="whole" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 8">'
        "{}</svg>"
    ).format(drawn)
