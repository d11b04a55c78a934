"""What the viewer keeps and shows: spans, threads, and questions about them. Plain values.

Times are nanoseconds since the epoch, as OTLP has them; the API and the pages turn them into text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Sort = Literal["last_active", "started", "duration", "spans", "tokens", "cost", "errors"]
SORTS: tuple[Sort, ...] = (
    "last_active",
    "started",
    "duration",
    "spans",
    "tokens",
    "cost",
    "errors",
)


@dataclass(frozen=True, slots=True)
class Span:
    """A span as it arrived.

    Attributes:
        trace_id: 32 hexadecimal digits, in lower case.
        span_id: 16 of them.
        parent_id: The same, or None for the first span of a trace.
        name: The span's name.
        kind: "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER" or "UNSPECIFIED".
        start: When it began.
        end: When it ended.
        status: "UNSET", "OK" or "ERROR".
        status_message: The text of an error.
        service: `service.name` of its resource, or "".
        scope: The name of its instrumentation scope, or "".
        attributes: Its attributes as JSON values.
        resource: Those of its resource.
        events: Each as `{"name": ..., "time": ..., "attributes": {...}}`.
        links: Each as `{"trace_id": ..., "span_id": ..., "attributes": {...}}`.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start: int
    end: int
    status: str
    status_message: str
    service: str
    scope: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    links: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is read off a span when it arrives: by what it is grouped, and what adds up.

    Attributes:
        thread_id: The thread that it belongs to, or None.
        tags: The thread's tags, as this span tells them.
        operation: "chat", "embeddings", "execute_tool"..., or None.
        model: The model that answered, else the one that was asked for, or None.
        provider: Whose model it is, or None.
        input_tokens: How many, of a call of a model; None where it is none or does not tell.
        output_tokens: The same.
        cost: In US dollars; None where the price is unknown.
        is_model_call: Whether tokens and a cost are to be expected of it.
        is_error: Whether it failed.
        title: The first message of the user, where content was captured.
    """

    thread_id: str | None
    tags: tuple[str, ...] = ()
    operation: str | None = None
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    is_model_call: bool = False
    is_error: bool = False
    title: str | None = None


@dataclass(frozen=True, slots=True)
class KeptSpan:
    """A span that was kept, with what was read off it."""

    span: Span
    facts: Facts


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread, summed up over its own spans.

    Attributes:
        id: Its id.
        title: The first message of the user, where content was captured.
        tags: All tags of its spans, in the order in which these, by their start, tell them.
        started: When its first span began.
        last_active: When its last span ended.
        traces: How many traces it has spans in.
        spans: How many spans it has.
        errors: How many of them failed.
        models: The models that answered.
        input_tokens: Summed up.
        output_tokens: The same.
        cost: In US dollars, summed up over calls whose price is known; None where none is known.
        unpriced: How many calls of a model have no known price.
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


@dataclass(frozen=True, slots=True)
class Question:
    """Which threads are asked for.

    Attributes:
        tags: Only threads with these.
        match: Whether they need all of the tags, or any.
        text: Only threads whose id or title has this in it, in upper or lower case.
        since: Only threads that were active at this time or later.
        until: Only threads that started before.
        errors: Only threads with errors.
        sort: By what, the largest or latest first.
        ascending: The other way round.
        limit: At most so many.
        cursor: Where the page before ended, as it said.
    """

    tags: tuple[str, ...] = ()
    match: Literal["all", "any"] = "all"
    text: str = ""
    since: int | None = None
    until: int | None = None
    errors: bool = False
    sort: Sort = "last_active"
    ascending: bool = False
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """Some threads, and where the next ones begin: None at the end."""

    threads: tuple[Thread, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened in a piece of time, in all threads that a question asks for."""

    start: int
    end: int
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Overview:
    """All threads that a question asks for, at a glance.

    Attributes:
        threads: How many.
        spans: In all of them.
        errors: The same.
        input_tokens: The same.
        output_tokens: The same.
        cost: In US dollars, or None where no price is known.
        unpriced: How many calls of a model have no known price.
        buckets: Over time, without gaps, the oldest first.
        latencies: Of calls of models: the upper end of a bucket in nanoseconds, and how many calls.
        tags: Each tag that there is, and how many threads have it, the most frequent first.
    """

    threads: int
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int
    buckets: tuple[Bucket, ...]
    latencies: tuple[tuple[int, int], ...]
    tags: tuple[tuple[str, int], ...]


class InvalidCursorError(ValueError):
    """A cursor that no page ended with."""


class StoreError(Exception):
    """A store cannot be read or written. The text says what a user can do.

    Attributes:
        is_temporary: Whether trying again later may help.
    """

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


class Store(Protocol):
    """Keeps spans and answers questions about threads. Safe to use from several threads."""

    def write(self, spans: Sequence[KeptSpan]) -> None:
        """Keep spans. They are on disk when this returns; those that are there already stay.

        Raises:
            StoreError: None of them is kept.
        """

    def threads(self, question: Question) -> ThreadPage:
        """The threads that a question asks for.

        Raises:
            InvalidCursorError: The cursor is none.
            StoreError: The store cannot be read.
        """
        ...

    def thread(self, thread_id: str) -> Thread | None:
        """One thread."""
        ...

    def spans(self, thread_id: str, limit: int = 5000) -> list[KeptSpan]:
        """The spans of a thread and all others of its traces, by their start."""
        ...

    def overview(self, question: Question, buckets: int = 60) -> Overview:
        """All threads that a question asks for, at a glance. Its limit and cursor do not matter."""
        ...

    def change(self) -> int:
        """A number that differs from the one before whenever spans have been written since."""
        ...

    def close(self) -> None:
        """Release what is held."""
