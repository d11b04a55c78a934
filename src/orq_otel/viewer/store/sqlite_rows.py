"""Spans as rows of a SQLite file, and rows as spans."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from orq_otel.viewer.model.facts import MODEL_CALLS, Estimate, Facts
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.store.buckets import bounded
from orq_otel.viewer.store.tally import COST_UNITS, Row

if TYPE_CHECKING:
    from orq_otel.viewer.dialects.dialect import ToolUse

#: Shorter JSON is not worth the time that it takes to compress it.
LONG: Final = 4096
#: The function of a connection that returns a text in lower case.
LOWERED: Final = "lowered"
#: The length of a pattern for LIKE in characters. SQLite takes 50,000 bytes.
_PATTERN: Final = 10_000


@dataclass(slots=True)
class SpanRow:
    """A row of `spans`, with the table's names of columns.

    Attributes:
        seq: The key, and the order of arrival. It is given when the row is inserted.
        thread: The key of the thread, likewise.
        resource: The key of the resource, likewise.
        tags: As JSON, or None.
        body: The attributes, events and links as JSON, which is compressed if it is long.
        is_error: 1 or 0, as the database has it: Python's module looks for adapters of booleans.
        is_model_call: Likewise.
        estimated: The cost if that is an estimate, or else 0.
        tool: The name of the tool that it executes, or None.
    """

    seq: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    thread: int | None
    start: int
    end: int
    is_error: int
    is_model_call: int
    input_tokens: int | None
    output_tokens: int | None
    cost: int | None
    estimated: int
    resource: int
    name: str
    kind: str
    status: str
    status_message: str
    scope: str
    operation: str | None
    model: str | None
    provider: str | None
    title: str | None
    tags: str | None
    body: str | bytes
    user: str | None
    agent: str | None
    tool: str | None

    def count(self, facts: Facts) -> None:
        """Take over what counts of a span, if that is not what it says itself."""
        for name, value in zip(_COUNTED, counted(facts), strict=True):
            setattr(self, name, value)


_COLUMNS: Final = tuple(one.name for one in fields(SpanRow))
#: The columns that `counted` returns.
_COUNTED: Final = (
    *("is_error", "is_model_call", "input_tokens", "output_tokens", "cost", "estimated"),
)
#: Returns the values of a `SpanRow`, in the order of `INSERT`.
values_of: Final = attrgetter(*_COLUMNS)
INSERT: Final = f"INSERT OR IGNORE INTO spans ({', '.join(_COLUMNS)}) VALUES"
ADD_FACET: Final = "INSERT OR IGNORE INTO thread_facets VALUES (?, ?, ?)"
#: Copies the model calls among some spans.
ADD_CALLS: Final = (
    "INSERT OR REPLACE INTO calls SELECT thread, seq, model, start, end, is_error, is_model_call,"
    " input_tokens, output_tokens, cost, estimated FROM spans"
    " WHERE thread IS NOT NULL AND (is_model_call OR"
    f" (is_error AND operation IN ({', '.join(repr(one) for one in sorted(MODEL_CALLS))})))"
)
#: The columns of `row_of`, in its order.
ROW_COLUMNS: Final = (
    "thread, trace_id, span_id, start, end, is_error, is_model_call, input_tokens, output_tokens,"
    " cost, estimated, title, tags, model, user, agent, tool,"
    " (SELECT service FROM resources WHERE resources.key = resource)"
)


def _plain(value: Any) -> Any:
    """Returns what JSON has for a value: mappings of other classes, or texts."""
    return dict(value) if isinstance(value, Mapping) else str(value)


encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


class Resources:
    """The resources of a batch, each encoded once."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], bytes] = {}
        self.rows: dict[bytes, tuple[str, str]] = {}

    def digest(self, span: Span | LogRecord) -> bytes:
        """Returns the key of the resource of a span or log record, and puts it into `rows`."""
        # The spans live as long as this object, so that no other mapping has the same id.
        known = (id(span.resource), span.service)
        digest = self._seen.get(known)
        if digest is None:
            service, attributes = text(span.service), encode(dict(span.resource))
            content = f"{len(service)} {service}{attributes}".encode()
            digest = self._seen[known] = hashlib.blake2b(content, digest_size=16).digest()
            self.rows[digest] = (service, attributes)
        return digest


def text(value: str) -> str:
    """Replaces half surrogate pairs, which JSON may contain, since UTF-8 cannot encode them."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def optional(value: str | None) -> str | None:
    """Returns a text as `text` does, or None."""
    return None if value is None else text(value)


@functools.lru_cache(maxsize=256)
def _labels(tags: tuple[str, ...]) -> str:
    """Returns tags as JSON. All spans of a thread have the same."""
    return encode(tags)


def counted(facts: Facts) -> tuple[int, int, int | None, int | None, int | None, int]:
    """Returns what counts of a span: error, call, tokens and costs, in the order of `_COUNTED`."""
    cost = None if facts.cost is None else round(facts.cost * COST_UNITS)
    return (
        1 if facts.is_error else 0,
        1 if facts.is_model_call else 0,
        facts.input_tokens,
        facts.output_tokens,
        cost,
        cost or 0 if facts.cost.__class__ is Estimate else 0,
    )


#: Sets the columns of `facts_row`.
FACTS: Final = (
    "is_error = ?, is_model_call = ?, input_tokens = ?, output_tokens = ?, cost = ?,"
    " estimated = ?, operation = ?, model = ?, provider = ?, title = ?, tags = ?, user = ?,"
    " agent = ?"
)


def facts_row(facts: Facts) -> tuple[Any, ...]:
    """Returns what a row has of a span's facts, but its thread, in the order of `FACTS`."""
    return (
        *counted(facts),
        optional(facts.operation),
        optional(facts.model),
        optional(facts.provider),
        optional(facts.title),
        _labels(facts.tags) if facts.tags else None,
        *who(facts),
    )


def who(facts: Facts) -> tuple[str | None, str | None]:
    """Returns the user and the agent."""
    said = facts.said
    return (None, None) if said is None else (optional(said.user), optional(said.agent))


def encoded(kept: KeptSpan, tool: ToolUse | None) -> SpanRow:
    """Returns a span's row. Its caller sets its key, and those of its thread and its resource."""
    span, facts = kept.span, kept.facts
    said = facts.said
    return SpanRow(
        0,
        bytes.fromhex(span.trace_id),
        bytes.fromhex(span.span_id),
        bytes.fromhex(span.parent_id) if span.parent_id else None,
        None,
        bounded(span.start),
        bounded(span.end),
        *counted(facts),
        0,
        text(span.name),
        span.kind,
        span.status,
        text(span.status_message),
        text(span.scope),
        optional(facts.operation),
        optional(facts.model),
        optional(facts.provider),
        optional(facts.title),
        _labels(facts.tags) if facts.tags else None,
        _body(span),
        None if said is None else optional(said.user),
        None if said is None else optional(said.agent),
        None if tool is None else optional(tool.name),
    )


def _body(span: Span) -> str | bytes:
    value = [span.attributes, span.events, span.links]
    try:
        body = _to_json()(value)
    except ValueError:  # half of a surrogate pair, or what JSON has no form for
        body = encode(value).encode()
    return body.decode() if len(body) < LONG else zlib.compress(body, 1)


@functools.cache
def _to_json() -> Callable[[Any], bytes]:
    """Returns what writes JSON. That of pydantic, which reads the prices, takes a quarter."""
    try:
        from pydantic_core import to_json  # noqa: PLC0415 - it is not imported before spans arrive
    except ImportError:
        return lambda value: encode(value).encode()
    return to_json


def insert_many(
    connection: sqlite3.Connection,
    statement: str,
    rows: Sequence[Sequence[Any]],
    conflict: str = "",
) -> int:
    """Insert rows, many of them in one step, while which other OS threads can run.

    Args:
        connection: In a transaction.
        statement: From `INSERT` to `VALUES`.
        rows: The values of each.
        conflict: What follows the values.

    Returns:
        How many were inserted or changed.
    """
    if not rows:
        return 0
    width = len(rows[0])
    done = start = 0
    for size in _SIZES:
        if size * width > _PARAMETERS:
            continue
        joined = _joined(statement, width, size, conflict)
        while len(rows) - start >= size:
            values = list(chain.from_iterable(rows[start : start + size]))
            done += connection.execute(joined, values).rowcount
            start += size
    return done


@functools.lru_cache(maxsize=128)
def _joined(statement: str, width: int, size: int, conflict: str) -> str:
    marks = f"({', '.join('?' * width)})"
    return f"{statement} {', '.join([marks] * size)} {conflict}"


#: How many rows are inserted at once. There are few sizes, since each is a statement of its own.
_SIZES: Final = (256, 32, 4, 1)
#: How many parameters a statement may have: SQLite before version 3.32 accepts no more than 999.
_PARAMETERS: Final = 30_000 if sqlite3.sqlite_version_info >= (3, 32) else 900


def row_of(values: tuple[Any, ...]) -> Row:
    """Returns the values of a row that go into sums, from its `ROW_COLUMNS`."""
    (thread, trace_id, span_id, start, end, is_error, is_model_call, *rest) = values
    input_tokens, output_tokens, cost, estimated, title, tags, *facets = rest
    return Row(
        thread,
        trace_id,
        span_id,
        start,
        max(start, end),
        is_error,
        is_model_call,
        input_tokens or 0,
        output_tokens or 0,
        cost,
        estimated,
        title,
        tuple(text(tag) for tag in json.loads(tags)) if tags else (),
        *facets,
    )


def cost_of(units: int | None, *, is_estimate: bool) -> float | None:
    """Returns a cost in US dollars from its units."""
    if units is None:
        return None
    return Estimate(units / COST_UNITS) if is_estimate else units / COST_UNITS


def body_of(body: str | bytes) -> str:
    """The text of a body, which may be compressed."""
    return body if isinstance(body, str) else zlib.decompress(body).decode()


#: The columns of `span_of`, in its order.
SPAN_COLUMNS: Final = (
    "seq, trace_id, span_id, parent_id, start, end, is_error, is_model_call, input_tokens,"
    " output_tokens, cost, estimated, name, kind, status, status_message, scope, operation, model,"
    " provider, title, tags"
)


def span_of(
    values: tuple[Any, ...],
    body: str,
    thread_id: str | None,
    service: str,
    resource: Mapping[str, Any],
) -> KeptSpan:
    """A span, from `SPAN_COLUMNS` and what stands elsewhere or is compressed."""
    (arrival, trace_id, span_id, parent_id, start, end, is_error, is_model_call, *rest) = values
    (input_tokens, output_tokens, cost, estimated, name, kind, status, *rest) = rest
    status_message, scope, operation, model, provider, title, tags = rest
    attributes, events, links = json.loads(body)
    return KeptSpan(
        Span(
            trace_id=trace_id.hex(),
            span_id=span_id.hex(),
            parent_id=parent_id.hex() if parent_id else None,
            name=name,
            kind=kind,
            start=start,
            end=end,
            status=status,
            status_message=status_message,
            service=service,
            scope=scope,
            attributes=attributes,
            resource=resource,
            events=tuple(events),
            links=tuple(links),
        ),
        Facts(
            thread_id=thread_id,
            tags=tuple(json.loads(tags)) if tags else (),
            operation=operation,
            model=model,
            provider=provider,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=cost_of(cost, is_estimate=bool(estimated)),
            is_model_call=bool(is_model_call),
            is_error=bool(is_error),
            title=title,
        ),
        arrival,
    )


def listed(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> str:
    """Returns the keys of threads under a condition, as the parameter of `json_each`.

    It is one row: a query of many rows waits after each for OS threads that write.

    Args:
        connection: Where they are.
        where: A table and the condition.
        values: Its parameters.
    """
    query = f"SELECT json_group_array(key) FROM {where}"
    return str(connection.execute(query, values).fetchone()[0])


def has_text(column: str, lower: str, *, is_folded: bool = False) -> tuple[str, str]:
    """Returns SQL for whether a column contains a text in lower case, and its one parameter.

    SQLite knows the case of ASCII letters alone. LIKE is as blind to it as `lower` is, and three
    times as quick as `instr`. `LOWERED` knows the case of all, and takes longer.

    Args:
        column: The column.
        lower: The text.
        is_folded: Whether the column is in lower case already.
    """
    if not (is_folded or lower.isascii()):
        column = f"{LOWERED}({column})"
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", lower) + "%"
    if len(pattern) > _PATTERN or "\0" in lower:
        return f"instr(lower({column}), ?)", lower
    return f"{column} LIKE ? ESCAPE '\\'", pattern


def some_keys(
    connection: sqlite3.Connection, query: str, values: Sequence[Any], most: int
) -> list[int]:
    """Returns the first keys of threads that a query has, under the name `key`. As `listed`."""
    limited = f"SELECT json_group_array(key) FROM ({query} LIMIT ?)"
    found: list[int] = json.loads(connection.execute(limited, (*values, most)).fetchone()[0])
    return found
