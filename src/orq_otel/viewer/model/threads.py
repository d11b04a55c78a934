"""Threads as they are listed, each summed up over its spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread, summed up over its own spans.

    Attributes:
        id: Its id.
        title: The user's first message, or None if content was not captured.
        tags: All tags of its spans, in the order of the spans' starts.
        started: When its first span began.
        last_active: When its last span ended.
        traces: How many traces it has spans in.
        spans: How many spans it has.
        errors: How many of them failed.
        models: The models that answered.
        input_tokens: The sum over its model calls.
        output_tokens: The sum over its model calls.
        cost: In US dollars, the sum over calls with a known price. None if no price is known.
        unpriced: How many model calls have no known price.
        estimated: How much of the cost is an estimate, in US dollars.
        digest: The digest of a long id, or None. In a brief list, `id` is only its beginning.
        more_tags: How many tags are left out, because they are long or the list is brief.
        more_models: How many models are left out, for the same reasons.
        good: How many evaluations and feedbacks are good.
        bad: How many of them are bad.
        evaluations: How many there are, with those that are neither.
    """

    id: str
    title: str | None
    tags: tuple[str, ...]
    started: int
    last_active: int
    traces: int
    spans: int
    errors: int
    models: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int
    estimated: float = 0.0
    digest: str | None = None
    more_tags: int = 0
    more_models: int = 0
    good: int = 0
    bad: int = 0
    evaluations: int = 0

    @property
    def short_id(self) -> str:
        """The id, or for a long id its short form."""
        return self.id if self.digest is None else f"sha256:{self.digest}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A part of a message with the text that was searched for.

    Attributes:
        text: The part.
        marks: Where what was searched for begins and ends in it.
        trace_id: The trace of the message's span.
        span_id: That span.
    """

    text: str
    marks: tuple[tuple[int, int], ...]
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """A page of threads.

    Attributes:
        threads: The threads.
        next_cursor: The cursor of the next page: None at the end.
        hits: The latest message with the text that was searched for, by the id of its thread.
        is_partial: Whether too many messages or threads have that text to look at all of them.
    """

    threads: tuple[Thread, ...]
    next_cursor: str | None
    hits: Mapping[str, Hit] = field(default_factory=dict)
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Stray:
    """A trace about generative AI whose spans belong to no thread.

    Attributes:
        trace_id: Its id.
        service: `service.name` of the first span that names an operation, or "".
        spans: How many of its spans name an operation.
        started: When the first of them began.
    """

    trace_id: str
    service: str
    spans: int
    started: int
