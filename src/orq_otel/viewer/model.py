"""What the viewer keeps and shows: spans, threads, and queries about them. Plain values.

Times are nanoseconds since the epoch, as OTLP has them; the API and the pages turn them into text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

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


LONG_ID: Final = 200
"""Ids of more characters have a short one as well. Labels are cut to as many at a glance."""

PAGE: Final = 2 * 2**20
"""Bytes of threads that are told at a time, about, and of spans."""

LABELS: Final = 2**20
"""Bytes of tags that are told of one thread, and of models."""

#: Where a span stands among those of its thread: its start, its id, and its trace's.
Position = tuple[int, str, str]

_DIGEST = re.compile("sha256:([0-9a-f]{64})")


def digest(thread_id: str) -> str | None:
    """What a long id is found by: 64 hexadecimal digits. None for a short one."""
    if len(thread_id) <= LONG_ID:
        return None
    return hashlib.sha256(thread_id.encode("utf-8", "replace")).hexdigest()


def digest_of(short_id: str) -> str | None:
    """The digest in a short id, or None where it is an id like others."""
    found = _DIGEST.fullmatch(short_id)
    return found[1] if found else None


def short_id(thread_id: str) -> str:
    """What stands for an id in addresses and commands, which take no megabyte."""
    told = digest(thread_id)
    return thread_id if told is None else f"sha256:{told}"


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
        digest: By which it is found if its id is long. At a glance, `id` is only its beginning.
        more_tags: How many tags are left out, since they are long or at a glance.
        more_models: The same.
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
    digest: str | None = None
    more_tags: int = 0
    more_models: int = 0

    @property
    def short_id(self) -> str:
        """The id, or for a long one what finds the thread as well."""
        return self.id if self.digest is None else f"sha256:{self.digest}"


@dataclass(frozen=True, slots=True)
class ThreadQuery:
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
        is_brief: Whether threads are told at a glance: the beginnings of ids, and of some labels.
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
    is_brief: bool = False


class Spans(list[KeptSpan]):
    """Some spans of a thread, and whether there are more after them."""

    has_more: bool = False


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """Some threads, and where the next ones begin: None at the end."""

    threads: tuple[Thread, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened in a piece of time, in all threads that a query asks for."""

    start: int
    end: int
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Overview:
    """All threads that a query asks for, at a glance.

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
    """Keeps spans and answers queries about threads. Safe to use from several threads."""

    def write(self, spans: Sequence[KeptSpan]) -> None:
        """Keep spans. They are on disk when this returns; those that are there already stay.

        Raises:
            StoreError: None of them is kept.
        """

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """The threads that a query asks for: fewer than its limit once they make up a `PAGE`.

        Raises:
            InvalidCursorError: The cursor is none.
            StoreError: The store cannot be read.
        """
        ...

    def thread(self, thread_id: str) -> Thread | None:
        """One thread, by its id or its short one."""
        ...

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """The spans of a thread and all others of its traces, by their start.

        Args:
            thread_id: The thread's id, whole.
            limit: At most so many.
            after: Only those after this one.
            size: No more once they take up so many bytes, but one at least.
        """
        ...

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """All threads that a query asks for, at a glance. Its limit and cursor do not matter."""
        ...

    def change(self) -> int:
        """A number that differs from the one before whenever spans have been written since."""
        ...

    def close(self) -> None:
        """Release what is held."""


def position(kept: KeptSpan) -> Position:
    """Where a span stands in its thread."""
    span = kept.span
    return span.start, span.span_id, span.trace_id


def pieces(store: Store, thread_id: str, after: Position | None = None) -> Iterator[Spans]:
    """All spans of a thread, of which no more than a `PAGE` is held at a time."""
    has_more = True
    while has_more and (some := store.spans(thread_id, after=after)):
        has_more, after = some.has_more, position(some[-1])
        yield some
