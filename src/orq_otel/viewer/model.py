"""The viewer's data classes: spans, threads, queries, and the interface of a store.

Times are nanoseconds since the epoch, as in OTLP. The API and the pages turn them into text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Kind = Literal["tag", "user", "model", "service", "agent", "tool"]
KINDS: Final[tuple[Kind, ...]] = ("tag", "user", "model", "service", "agent", "tool")
"""What threads are told apart by."""

Feedback = Literal["good", "bad", "any", "none"]
FEEDBACK: Final[tuple[Feedback, ...]] = ("good", "bad", "any", "none")

Ability = Literal["messages", "labels", "cost", "feedback", "numbers"]
"""What not every store can do: search messages, filter by `KINDS` and cost, count evaluations, and
sum up groups."""

LONG_ID: Final = 200
"""Ids with more characters than this have a short id as well. Brief lists cut labels to it."""

PAGE: Final = 2 * 2**20
"""The approximate size in bytes of a page of threads, or of spans."""

LABELS: Final = 2**20
"""How many bytes of tags, and how many of models, are returned for one thread."""

_ALL_LOGS: Final = 1_000_000
_ALL_LOGS_SIZE: Final = 2**28

#: The sort key of a span in its thread: its start, its span id and its trace id.
Position = tuple[int, str, str]

_DIGEST = re.compile("sha256:([0-9a-f]{64})")


def digest(thread_id: str) -> str | None:
    """Returns the digest of a long id, 64 hexadecimal digits, or None for a short id."""
    if len(thread_id) <= LONG_ID:
        return None
    return hashlib.sha256(thread_id.encode("utf-8", "replace")).hexdigest()


def digest_of(short_id: str) -> str | None:
    """Returns the digest in the short form of a long id, or None for any other id."""
    found = _DIGEST.fullmatch(short_id)
    return found[1] if found else None


def short_id(thread_id: str) -> str:
    """Returns an id that is short enough for addresses and commands: the id, or its digest."""
    long_digest = digest(thread_id)
    return thread_id if long_digest is None else f"sha256:{long_digest}"


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
        end: When it ended. It is before `start` if the sender's clock was set back in between.
        status: "UNSET", "OK" or "ERROR".
        status_message: The text of an error.
        service: `service.name` of its resource, or "".
        scope: The name of its instrumentation scope, or "".
        attributes: Its attributes as JSON values.
        resource: Those of its resource.
        events: Each as `{"name": ..., "time": ..., "attributes": {...}}`. Log records that belong
            to the span are among them, as `LogRecord.as_event` returns them.
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

    @property
    def ends_before_start(self) -> bool:
        """Whether the sender's clock was set back while the span lasted."""
        return self.end < self.start


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record as it arrived. One with a name is an event.

    Attributes:
        trace_id: 32 hexadecimal digits, in lower case, or None.
        span_id: 16 of them, or None.
        name: Its event's name, or "".
        time: When it happened, or else when it was observed.
        severity: The text of its severity, such as "INFO", or "".
        body: A JSON value.
        service: `service.name` of its resource, or "".
        scope: The name of its instrumentation scope, or "".
        attributes: Its attributes as JSON values.
        resource: Those of its resource.
    """

    trace_id: str | None
    span_id: str | None
    name: str
    time: int
    severity: str
    body: Any
    service: str
    scope: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)

    def as_event(self) -> dict[str, Any]:
        """Returns it as one of the events of its span. `is_log` tells it from them."""
        return {
            "name": self.name,
            "time": self.time,
            "attributes": self.attributes,
            "body": self.body,
            "severity": self.severity,
            "is_log": True,
        }


EVALUATION: Final = "gen_ai.evaluation.result"
"""The name of the conventions' event for an evaluation, or for a user's feedback."""


@dataclass(slots=True)
class Usage:
    """The tokens of a model call, and what its sender says of their price.

    Attributes:
        input_tokens: All input tokens, with those from and to a cache, or None if unknown.
        output_tokens: All output tokens, with those of reasoning, or None if unknown.
        cache_read: Of the input tokens, those that were read from a cache.
        cache_write: Of the input tokens, those that were written to a cache.
        reasoning: Of the output tokens, those of reasoning.
        audio_input: Of the input tokens, those of sound.
        audio_output: Of the output tokens, those of sound.
        audio_cache_read: Of the tokens read from a cache, those of sound.
        image_input: Of the input tokens, those of images.
        image_output: Of the output tokens, those of images.
        cost: What the sender says that the call cost, in US dollars.
        service_tier: The tier at which it was served, such as "flex".
        model: The model, if it stands beside the usage alone.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_cache_read: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    cost: float | None = None
    service_tier: str | None = None
    model: str | None = None


@dataclass(slots=True)
class Said:
    """What a span says.

    Attributes:
        thread_id: The thread's id, or None.
        session_id: An id that is the thread's only if spans about generative AI are below.
        is_genai: Whether it is about generative AI, by its marks.
        tags: The thread's tags.
        user: The user's id, or None.
        agent: The agent's name, or None.
        operation: "chat", "embeddings", "execute_tool"..., or None.
        model: The model of the response, or else of the request, or None.
        provider: The model's provider, or None.
        response_id: The response's id, or None.
        usage: The tokens of a model call, or None.
        is_error: Whether it failed.
        is_record: Whether it tells afterwards what a call before it has answered.
        may_ask: Whether it may have input messages. If not, none are looked for.
    """

    thread_id: str | None
    session_id: str | None
    is_genai: bool
    tags: tuple[str, ...]
    user: str | None
    agent: str | None
    operation: str | None
    model: str | None
    provider: str | None
    response_id: str | None
    usage: Usage | None
    is_error: bool
    is_record: bool
    may_ask: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the viewer reads from a span's attributes when it arrives, to group and sum up spans.

    Attributes:
        thread_id: The thread that it belongs to, or None.
        tags: The thread's tags, as far as this span has them.
        operation: "chat", "embeddings", "execute_tool"..., or None.
        model: The model of the response, or else of the request, or None.
        provider: The model's provider, or None.
        input_tokens: The number of input tokens, or None if unknown or not a model call.
        output_tokens: The number of output tokens, or None likewise.
        cost: In US dollars, or None if unknown.
        is_model_call: Whether the span is a model call, which has tokens and a cost.
        is_error: Whether it failed.
        title: The user's first message, or None if content was not captured.
        said: All that the span itself says, or None if the facts come from a store.
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
    said: Said | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
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
class ThreadQuery:
    """Which threads to return, and in which order.

    Attributes:
        tags: Only threads with these tags.
        match: Whether threads need all of the tags, or any of them.
        text: Only threads with this text in their id, title, labels or messages, ignoring case.
        since: Only threads that were active at this time or later.
        until: Only threads that started before this time.
        errors: Only threads with errors.
        sort: The sort key. The largest or latest threads come first.
        ascending: Whether the smallest or earliest threads come first instead.
        limit: The highest number of threads.
        cursor: `next_cursor` of the previous page, or None for the first page.
        is_brief: Whether ids are cut to their beginnings, and only some labels are returned.
        labels: Only threads with one of the values of each kind that occurs here.
        least_cost: In US dollars. Only threads that cost as much or more.
        most_cost: Only threads that cost less, or as much.
        least_duration: In nanoseconds. Only threads that took as long or longer.
        most_duration: Only threads that took less, or as long.
        feedback: Only threads with good, bad, any or no evaluations, or None for all.
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
    labels: tuple[tuple[Kind, str], ...] = ()
    least_cost: float | None = None
    most_cost: float | None = None
    least_duration: int | None = None
    most_duration: int | None = None
    feedback: Feedback | None = None


class Spans(list[KeptSpan]):
    """Some spans of a thread, and whether there are more after them."""

    has_more: bool = False


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
        is_partial: Whether there are too many messages with that text to look at all of them.
    """

    threads: tuple[Thread, ...]
    next_cursor: str | None
    hits: Mapping[str, Hit] = field(default_factory=dict)
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums over an interval of time, for all threads that match a query."""

    start: int
    end: int
    spans: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Overview:
    """Sums over all threads that match a query.

    Attributes:
        threads: The number of threads.
        spans: The number of their spans.
        errors: The number of spans that failed.
        input_tokens: The sum of input tokens.
        output_tokens: The sum of output tokens.
        cost: In US dollars, or None if no price is known.
        unpriced: How many model calls have no known price.
        buckets: Sums over time, without gaps, the oldest first.
        latencies: Of model calls: the upper end of each bucket in nanoseconds, and its calls.
        tags: The most frequent tags of the store with their numbers of threads.
        percentiles: The exact median and 95th percentile of the latencies of model calls in
            nanoseconds, or None where that would take too long.
        is_partial: As in `ThreadPage`.
        unindexed: How many spans of an earlier release may still have to be read for searches.
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
    percentiles: tuple[int, int] | None = None
    is_partial: bool = False
    unindexed: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """The model calls of a group in an interval of time."""

    start: int
    calls: int
    tokens: int
    cost: float
    p50: int
    p95: int


@dataclass(frozen=True, slots=True)
class Group:
    """Sums over the model calls of a model, or of the threads with a label.

    Attributes:
        name: The model or label, or None for calls without one.
        threads: The number of threads with such calls.
        calls: The number of model calls.
        errors: The number of spans that failed, in its threads; of a model, its calls.
        input_tokens: The sum of input tokens.
        output_tokens: The sum of output tokens.
        cost: In US dollars, or None if no price is known.
        unpriced: How many calls have no known price.
        p50: The median of the calls' latencies in nanoseconds.
        p95: Their 95th percentile.
        good: How many evaluations of its threads are good.
        bad: How many are bad.
        slices: The same over time, without intervals that have no calls.
        sampled: How many calls p50 and p95 are of, where there are too many to look at all of them.
            They are exact where it is 0.
    """

    name: str | None
    threads: int
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int
    p50: int
    p95: int
    good: int
    bad: int
    slices: tuple[Slice, ...]
    sampled: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """Groups, those with the most calls first.

    Attributes:
        groups: The groups.
        start: When the first interval of `slices` begins.
        end: When the last one ends.
        width: How long each is.
        more: How many groups are left out.
    """

    groups: tuple[Group, ...]
    start: int
    end: int
    width: int
    more: int


@dataclass(frozen=True, slots=True)
class Stray:
    """A trace about generative AI whose spans belong to no thread.

    Attributes:
        trace_id: Its id.
        service: `service.name` of its latest span, or "".
        spans: How many of its spans name an operation.
        started: When the first of them began.
    """

    trace_id: str
    service: str
    spans: int
    started: int


class InvalidCursorError(ValueError):
    """A cursor is invalid."""


class StoreError(Exception):
    """A store cannot be read or written. The message says what the user can do.

    Attributes:
        is_temporary: Whether trying again later may help.
    """

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


class Store(Protocol):
    """Stores spans and answers queries for threads. Safe to use from several OS threads.

    Attributes:
        abilities: What it can do. Queries for anything else raise a `StoreError` that says so.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do, of what not every store can."""
        ...

    @property
    def period(self) -> str | None:
        """The time that pages show unless another one is chosen, as "24h", or None for any."""
        ...

    def write(self, spans: Sequence[KeptSpan], logs: Sequence[LogRecord] = ()) -> None:
        """Store spans and log records. They are on disk when this returns.

        Spans and log records that exist already do not change.

        Raises:
            StoreError: None of them is stored.
        """

    def threads(self, query: ThreadQuery) -> ThreadPage:
        """Returns a page of the threads that match a query.

        It has fewer threads than the query's limit if they exceed the size of a `PAGE`.

        Raises:
            InvalidCursorError: The cursor is invalid.
            StoreError: The store cannot be read.
        """
        ...

    def thread(self, thread_id: str) -> Thread | None:
        """Returns a thread by its id or short id, or None."""
        ...

    def spans(
        self, thread_id: str, limit: int = 5000, after: Position | None = None, size: int = PAGE
    ) -> Spans:
        """Returns the spans of a thread and all others of its traces, sorted by start.

        Args:
            thread_id: The complete id of the thread.
            limit: The highest number of spans.
            after: Only spans after this position.
            size: The highest size in bytes. One span is always returned.
        """
        ...

    def logs(
        self, thread_id: str, limit: int = 5000, name: str | None = None, size: int = PAGE
    ) -> list[LogRecord]:
        """Returns log records of a thread and of its traces, sorted by time.

        Args:
            thread_id: The complete id of the thread.
            limit: The highest number of records.
            name: Only events with this name.
            size: The highest size in bytes. One record is always returned.
        """
        ...

    def overview(self, query: ThreadQuery, buckets: int = 60) -> Overview:
        """Sums up all threads that match a query, whatever its limit and cursor."""
        ...

    def labels(self, kind: Kind, text: str = "", limit: int = 200) -> tuple[tuple[str, int], ...]:
        """Returns tags, users... with their numbers of threads, the most frequent first.

        Args:
            kind: What to return.
            text: Only those that contain this text, ignoring case.
            limit: The highest number of them.
        """
        ...

    def numbers(
        self, query: ThreadQuery, by: Kind, names: Sequence[str] = (), limit: int = 20
    ) -> Numbers:
        """Sums up the model calls of all threads that match a query, group by group.

        Args:
            query: Which threads. Of its times, only calls that began within them.
            by: What the groups are made by.
            names: The groups to return, or none for the most frequent.
            limit: The highest number of groups.
        """
        ...

    def strays(self, limit: int = 20) -> tuple[Stray, ...]:
        """Returns traces without a thread, the latest first, as far as the store looks for them."""
        ...

    def trace(self, trace_id: str) -> Spans:
        """Returns the first spans of a trace, sorted by start."""
        ...

    def change(self) -> int:
        """Returns a number that changes whenever spans are written."""
        ...

    def close(self) -> None:
        """Close the store."""


def position(kept: KeptSpan) -> Position:
    """Returns the position of a span in its thread."""
    span = kept.span
    return span.start, span.span_id, span.trace_id


def pieces(store: Store, thread_id: str, after: Position | None = None) -> Iterator[Spans]:
    """Yields all spans of a thread in pieces of at most a `PAGE`."""
    has_more = True
    while has_more and (some := store.spans(thread_id, after=after)):
        has_more, after = some.has_more, position(some[-1])
        yield some


def deletion(store: Store) -> Callable[[str], int] | None:
    """Returns what deletes a thread by its id, or None if the store is not the viewer's own."""
    found: Callable[[str], int] | None = getattr(store, "delete_thread", None)
    return found


def all_logs(store: Store, thread_id: str) -> list[LogRecord]:
    """Returns all log records of a thread, as far as they fit into memory."""
    return store.logs(thread_id, limit=_ALL_LOGS, size=_ALL_LOGS_SIZE)
