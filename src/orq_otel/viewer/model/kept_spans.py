"""Stored spans with their facts, and their order in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from orq_otel.viewer.model.facts import Facts
from orq_otel.viewer.model.telemetry import Span

#: The sort key of a span in its thread: its start, its span id and its trace id.
Position = tuple[int, str, str]


@dataclass(slots=True)  # not frozen, as `Span`
class KeptSpan:
    """A stored span with its facts.

    Attributes:
        span: The span.
        facts: What is read from it.
        arrival: Its place in the order in which spans arrived, or 0 if that is not known.
    """

    span: Span
    facts: Facts
    arrival: int = field(default=0, compare=False)


class Spans(list[KeptSpan]):
    """Some spans of a thread.

    Attributes:
        has_more: Whether there are more after them.
        lacks_some: Whether a trace of theirs has more spans than a store reads.
    """

    has_more: bool = False
    lacks_some: bool = False


def position(kept: KeptSpan) -> Position:
    """Returns the position of a span in its thread."""
    span = kept.span
    return span.start, span.span_id, span.trace_id
