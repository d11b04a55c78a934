"""Spans as rows of a SQLite file, and rows as spans."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from orq_otel.viewer.conversation.texts import tool_of
from orq_otel.viewer.model import Facts, KeptSpan, LogRecord, Span
from orq_otel.viewer.store.buckets import bounded
from orq_otel.viewer.store.tally import COST_UNITS, Row

#: Shorter JSON is not worth the time that it takes to compress it.
LONG: Final = 4096

COLUMNS: Final = (
    "trace_id, span_id, parent_id, thread, start, end, is_error, is_model_call, input_tokens,"
    " output_tokens, cost, resource, name, kind, status, status_message, scope, operation, model,"
    " provider, title, tags, body, user, agent, tool"
)
INSERT: Final = f"INSERT OR IGNORE INTO spans ({COLUMNS}) VALUES ({', '.join('?' * 26)})"
#: The columns of `row_of`, in its order.
ROW_COLUMNS: Final = (
    "thread, trace_id, span_id, start, end, is_error, is_model_call, input_tokens, output_tokens,"
    " cost, title, tags, model, user, agent, tool,"
    " (SELECT service FROM resources WHERE resources.key = resource)"
)

encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


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


def counted(facts: Facts) -> tuple[bool, bool, int | None, int | None, int | None]:
    """Returns what counts of a span: error, call, tokens and cost, in the order of `COLUMNS`."""
    cost = None if facts.cost is None else round(facts.cost * COST_UNITS)
    return facts.is_error, facts.is_model_call, facts.input_tokens, facts.output_tokens, cost


#: Sets the columns of `facts_row`.
FACTS: Final = (
    "is_error = ?, is_model_call = ?, input_tokens = ?, output_tokens = ?, cost = ?,"
    " operation = ?, model = ?, provider = ?, title = ?, tags = ?, user = ?, agent = ?"
)


def facts_row(facts: Facts) -> tuple[Any, ...]:
    """Returns what a row has of a span's facts, but its thread, in the order of `FACTS`."""
    return (
        *counted(facts),
        optional(facts.operation),
        optional(facts.model),
        optional(facts.provider),
        optional(facts.title),
        encode(facts.tags) if facts.tags else None,
        *who(facts),
    )


def who(facts: Facts) -> tuple[str | None, str | None]:
    """Returns the user and the agent."""
    said = facts.said
    return (None, None) if said is None else (optional(said.user), optional(said.agent))


def encoded(kept: KeptSpan) -> tuple[Any, ...]:
    """Returns the values of a span's row, in the order of `COLUMNS`.

    Those of its thread and resource are None: the caller sets them.
    """
    span, facts = kept.span, kept.facts
    start = bounded(span.start)
    return (
        bytes.fromhex(span.trace_id),
        bytes.fromhex(span.span_id),
        bytes.fromhex(span.parent_id) if span.parent_id else None,
        None,
        start,
        bounded(span.end),
        *counted(facts),
        None,
        text(span.name),
        span.kind,
        span.status,
        text(span.status_message),
        text(span.scope),
        optional(facts.operation),
        optional(facts.model),
        optional(facts.provider),
        optional(facts.title),
        encode(facts.tags) if facts.tags else None,
        _body(span),
        *who(facts),
        optional(tool_of(span, facts)),
    )


def _body(span: Span) -> str | bytes:
    body = encode([dict(span.attributes), list(span.events), list(span.links)])
    return body if len(body) < LONG else zlib.compress(body.encode(), 1)


def row_of(values: tuple[Any, ...]) -> Row:
    """Returns the values of a row that go into sums, from its `ROW_COLUMNS`."""
    (thread, trace_id, span_id, start, end, is_error, is_model_call, *rest) = values
    input_tokens, output_tokens, cost, title, tags, *facets = rest
    return Row(
        thread,
        trace_id,
        span_id,
        start,
        max(start, end),
        bool(is_error),
        bool(is_model_call),
        input_tokens or 0,
        output_tokens or 0,
        cost,
        title,
        tuple(text(tag) for tag in json.loads(tags)) if tags else (),
        *facets,
    )


def body_of(body: str | bytes) -> str:
    """The text of a body, which may be compressed."""
    return body if isinstance(body, str) else zlib.decompress(body).decode()


#: The columns of `span_of`, in its order.
SPAN_COLUMNS: Final = (
    "seq, trace_id, span_id, parent_id, start, end, is_error, is_model_call, input_tokens,"
    " output_tokens, cost, name, kind, status, status_message, scope, operation, model, provider,"
    " title, tags"
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
    (input_tokens, output_tokens, cost, name, kind, status, status_message, scope, *rest) = rest
    operation, model, provider, title, tags = rest
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
            cost=None if cost is None else cost / COST_UNITS,
            is_model_call=bool(is_model_call),
            is_error=bool(is_error),
            title=title,
        ),
        arrival,
    )
