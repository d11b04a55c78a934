"""The API's answers as types: what functions return, and what its description is made of.

`schemas.py` makes each class into a schema of the description, with its docstring and with what
`Annotated` adds to a field. A class whose name begins with an underscore is part of another one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from orq_otel.viewer.model.ids import LONG_ID
from orq_otel.viewer.web.schemas import Field

Json = dict[str, Any]

Count: TypeAlias = Annotated[int, Field(minimum=0)]
Dollars: TypeAlias = Annotated[float | None, Field(minimum=0, description="null where unknown")]
Time: TypeAlias = Annotated[str, Field(format="date-time")]
Milliseconds: TypeAlias = Annotated[float, Field(minimum=0)]
Values: TypeAlias = Annotated[dict[str, Any], Field(description="attributes, as JSON values")]
Cursor: TypeAlias = Annotated[str | None, Field(description="for `cursor`; null at the end")]
IsTruncated: TypeAlias = Annotated[bool, Field(description="whether there are more")]
WasCaptured: TypeAlias = Annotated[bool, Field(description="whether it was captured")]


class _Feedback(TypedDict):
    """How many evaluations are good, bad, and there at all, if any are."""

    good: Count
    bad: Count
    evaluations: Count


class Hit(TypedDict):
    """The latest message with the text of `q`."""

    text: Annotated[str, Field(description="a part of the message")]
    marks: Annotated[
        list[Annotated[list[Count], Field(minItems=2, maxItems=2)]],
        Field(description="where the text begins and ends in it"),
    ]
    trace_id: str
    span_id: str


class _ThreadMore(TypedDict, total=False):
    short_id: Annotated[
        str,
        Field(
            pattern="^sha256:[0-9a-f]{64}$",
            description=f"stands for an id of more than {LONG_ID} characters",
        ),
    ]
    more_tags: Annotated[
        Count, Field(description="how many tags are left out, beyond a megabyte of them")
    ]
    more_models: Annotated[Count, Field(description="the same for models")]
    feedback: _Feedback
    hit: Hit


class Thread(_ThreadMore):
    """A thread, and what its spans sum up to."""

    id: Annotated[str, Field(minLength=1)]
    title: Annotated[
        str | None,
        Field(description="the user's first message; null where no content was captured"),
    ]
    tags: list[str]
    started_at: Time
    last_active_at: Time
    duration_ms: Milliseconds
    traces: Count
    spans: Count
    errors: Count
    models: list[str]
    input_tokens: Count
    output_tokens: Count
    cost_usd: Annotated[
        Dollars,
        Field(description="of the calls whose price is known; null if there are none"),
    ]
    unpriced_calls: Annotated[
        Count, Field(description="model calls without a known price, which cost_usd leaves out")
    ]
    estimated_usd: Annotated[
        float,
        Field(
            description="how much of cost_usd is an estimate, such as that of a model on one's"
            " own machine"
        ),
    ]


class _Partial(TypedDict, total=False):
    is_partial: Annotated[
        Literal[True],
        Field(description="very many have the text, of which only the latest were looked at"),
    ]


class ThreadPage(_Partial):
    """A page of threads."""

    threads: list[Thread]
    next_cursor: Cursor


class _Label(TypedDict):
    name: str
    threads: Count


class LabelList(TypedDict):
    """Labels of a kind, those of most threads first."""

    labels: list[_Label]


class _Latency(TypedDict):
    """The percentiles of its calls."""

    p50: Milliseconds
    p95: Milliseconds


class _Verdicts(TypedDict):
    good: Count
    bad: Count


class _Slice(TypedDict):
    start: Time
    calls: Count
    tokens: Count
    cost_usd: Dollars
    latency_ms: _Latency


class _Group(TypedDict):
    name: Annotated[str | None, Field(description="null for calls whose model is unknown")]
    threads: Count
    calls: Count
    errors: Annotated[
        Count, Field(description="of a model its failed calls, else failed spans of the threads")
    ]
    input_tokens: Count
    output_tokens: Count
    cost_usd: Dollars
    unpriced_calls: Count
    estimated_usd: Annotated[float, Field(description="how much of cost_usd is an estimate")]
    latency_ms: _Latency | None
    sampled_calls: Annotated[
        Count,
        Field(
            description="how many calls the latencies are of, where there are too many to look at"
            " all of them; 0 where they are exact"
        ),
    ]
    feedback: _Verdicts
    over_time: Annotated[
        list[_Slice],
        Field(description="the same over time, without intervals that have no calls"),
    ]


class _PartialNumbers(TypedDict, total=False):
    is_partial: Annotated[
        Literal[True],
        Field(description="only the calls of the latest days were counted: there are too many"),
    ]


class Numbers(_PartialNumbers):
    """Model calls in groups."""

    by: str
    groups: list[_Group]
    interval_seconds: Annotated[Count, Field(description="how long an interval of `over_time` is")]
    more_groups: Annotated[
        Count, Field(description="how many groups with fewer calls are left out")
    ]


class _CostPart(TypedDict):
    name: str
    tokens: Count
    usd_per_million: Dollars
    cost_usd: Dollars


class Cost(TypedDict):
    """How a cost came about."""

    source: Annotated[
        str, Field(description="the attribute that the sender reported it in, or the price list")
    ]
    is_reported: bool
    estimate: Annotated[
        str | None,
        Field(description="why it is an estimate, such as a model on one's own machine"),
    ]
    provider: Annotated[str | None, Field(description="who asks these prices")]
    model: Annotated[str | None, Field(description="the model's name in the list")]
    service_tier: Annotated[
        str | None, Field(description='such as "flex"; null for the standard one')
    ]
    list_date: Annotated[str | None, Field(description="the date of the newest price in the list")]
    parts: Annotated[
        list[_CostPart],
        Field(description="empty where the sender reported the cost, or a later list has others"),
    ]


class _EventMore(TypedDict, total=False):
    body: Annotated[Any, Field(description="of a log record that belongs to the span")]
    severity: str
    is_log: Annotated[bool, Field(description="whether it is such a log record")]


class Event(_EventMore):
    """An event of a span, or a log record that belongs to it."""

    name: str
    time: Time
    attributes: Values


class Link(TypedDict):
    """A link to another span."""

    trace_id: str
    span_id: str
    attributes: Values


class Span(TypedDict):
    """A span, and what is read from it."""

    trace_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    span_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    parent_id: str | None
    thread_id: Annotated[
        str | None,
        Field(description="null or another thread's for other spans of the same traces"),
    ]
    name: str
    kind: Annotated[
        str,
        Field(enum=["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER", "UNSPECIFIED"]),
    ]
    started_at: Annotated[Time, Field(description="with nanoseconds")]
    ended_at: Time
    duration_ms: Milliseconds
    ends_before_start: Annotated[
        bool,
        Field(description="whether the sender's clock was set back; duration_ms is 0 then"),
    ]
    status: Annotated[str, Field(enum=["UNSET", "OK", "ERROR"])]
    status_message: str
    error: bool
    operation: str | None
    model: str | None
    provider: str | None
    input_tokens: Count | None
    output_tokens: Count | None
    cost_usd: Dollars
    cost_details: Annotated[
        Cost | None, Field(description="how cost_usd came about; null where it is")
    ]
    service: str
    scope: str
    attributes: Values
    resource: Values
    events: list[Event]
    links: list[Link]


class SpanList(TypedDict):
    """Spans by their start."""

    spans: list[Span]
    truncated: IsTruncated
    next_cursor: Cursor


class _Failure(TypedDict):
    type: str
    message: str


class Run(TypedDict):
    """What an entry of a conversation says of its span."""

    trace_id: str
    span_id: str
    started_at: Time
    ended_at: Time
    operation: str | None
    model: str | None
    provider: str | None
    input_tokens: Count | None
    output_tokens: Count | None
    cost_usd: Dollars
    error: _Failure | None


class TextPart(TypedDict):
    """What was said, or thought."""

    type: Literal["text", "reasoning"]
    content: str


class MediaPart(TypedDict):
    """An image, a sound or a document, without its bytes."""

    type: Literal["media"]
    modality: str
    mime_type: str | None
    size: Annotated[Count | None, Field(description="in bytes")]
    uri: str | None


class _Handoff(TypedDict):
    """One agent hands over to another."""

    source: Annotated[str | None, Field(description="the agent that hands over")]
    target: Annotated[str, Field(description="the agent that goes on")]


class _Guardrail(TypedDict):
    """What a guardrail decided."""

    name: str
    has_tripped: Annotated[bool, Field(description="whether it stopped something")]


class _ToolCallMore(TypedDict, total=False):
    handoff: Annotated[_Handoff, Field(description="where the tool hands over to another agent")]


class ToolCallPart(_ToolCallMore):
    """A tool's call, with its result and its execution where they are known."""

    type: Literal["tool_call"]
    id: str | None
    name: str
    arguments: Annotated[Any, Field(description="null where they were not captured")]
    result: list[Part] | None
    executed_by: Annotated[Run | None, Field(description="the span of its execution")]


class OtherPart(TypedDict):
    """A part of another kind."""

    type: Literal["other"]
    kind: str
    content: str


Part: TypeAlias = TextPart | MediaPart | ToolCallPart | OtherPart


class _MessageMore(TypedDict, total=False):
    name: str
    finish_reason: str


class Message(_MessageMore):
    """A message of a conversation."""

    role: str
    parts: list[Part]


class Place(TypedDict):
    """Where an entry stands in its exchange."""

    exchange: Annotated[
        int, Field(minimum=1, description="the number of the question that it belongs to")
    ]
    asks: Annotated[bool, Field(description="whether it has the user's message")]
    answers: Annotated[bool, Field(description="whether its output answers the user")]


class Turn(Run, Place):
    """A model call."""

    type: Literal["turn"]
    agent: str | None
    number: Count
    input: Annotated[list[Message], Field(description="what no earlier call was asked")]
    output: list[Message]
    has_input: WasCaptured
    has_output: WasCaptured
    repeated_parts: Annotated[
        Count, Field(description="how many parts of messages earlier calls had")
    ]
    left_out_parts: Annotated[
        Count, Field(description="how many of the conversation so far it lacks")
    ]
    is_rewritten: Annotated[bool, Field(description="whether new messages stand between")]
    is_repeat: Annotated[bool, Field(description="whether it asks exactly what one did before")]


class _StepMore(TypedDict, total=False):
    tool_call: ToolCallPart
    handoff: _Handoff
    guardrail: _Guardrail


class Step(Run, Place, _StepMore):
    """Another operation between model calls."""

    type: Literal["step"]


class Conversation(TypedDict):
    """Turns and steps in chronological order."""

    entries: list[Turn | Step]
    turns: Count
    has_content: Annotated[bool, Field(description="whether any message was captured")]
    truncated: IsTruncated
    next_cursor: Cursor


class LogRecord(TypedDict):
    """A log record."""

    trace_id: str | None
    span_id: str | None
    name: Annotated[str, Field(description='the name of an event, or ""')]
    time: Time
    severity: str
    body: Any
    service: str
    scope: str
    attributes: Values
    resource: Values


class LogList(TypedDict):
    """Log records by their time."""

    logs: list[LogRecord]


class _ExportMore(TypedDict, total=False):
    logs: list[LogRecord]


class Export(_ExportMore):
    """A thread with all that belongs to it."""

    thread: Thread
    spans: list[Span]


class TracesData(TypedDict, total=False):
    """Spans and log records in OTLP/JSON."""

    resourceSpans: Annotated[list[Json] | None, Field(description="as in OTLP/JSON")]
    resourceLogs: Annotated[
        list[Json] | None, Field(description="as in OTLP/JSON; a file of spans has none")
    ]


class _ImportedMore(TypedDict, total=False):
    logs: Annotated[Count, Field(description="the same for log records, if there were any")]


class Imported(_ImportedMore):
    """What was read from a file."""

    spans: Annotated[
        Count, Field(description="how many were read; one that is stored already stays as it is")
    ]
    rejected: Annotated[Count, Field(description="how many were refused, since they are not valid")]
    reason: Annotated[str, Field(description='why the first of these was refused, or ""')]


class Deleted(TypedDict):
    """How much was deleted."""

    deleted: Count


class _Problem(TypedDict):
    code: str
    message: Annotated[str, Field(description="what to do")]


class Error(TypedDict):
    """Why there is no answer."""

    error: _Problem
