"""Threads and spans as the API and `--json` show them: plain JSON objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from orq_otel.viewer.model import KeptSpan, Span, Spans, Thread, ThreadPage
from orq_otel.viewer.otlp import to_json
from orq_otel.viewer.times import moment, rfc_3339

FORMATS = ("json", "otlp")
"""Of an export: as the API shows it, or as OTLP/JSON, which any collector takes."""

#: Bytes that are handed on at a time, about.
_CHUNK = 2**18

EVERY_DIGIT = 9
"""Of a time in nanoseconds, after the second."""


def thread(one: Thread) -> dict[str, Any]:
    """A thread. `cost_usd` is null where no price is known; `unpriced_calls` are not in it.

    What a thread has only if something of it is long is told only then.
    """
    long = {
        "short_id": one.short_id if one.digest else None,
        "more_tags": one.more_tags,
        "more_models": one.more_models,
    }
    return {
        "id": one.id,
        "title": one.title,
        "tags": list(one.tags),
        "started_at": rfc_3339(one.started),
        "last_active_at": rfc_3339(one.last_active),
        "duration_ms": _milliseconds(one.started, one.last_active),
        "traces": one.traces,
        "spans": one.spans,
        "errors": one.errors,
        "models": list(one.models),
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": one.cost,
        "unpriced_calls": one.unpriced,
        **{name: value for name, value in long.items() if value},
    }


def thread_page(page: ThreadPage) -> dict[str, Any]:
    """Some threads, and where the next ones begin: null at the end."""
    return {"threads": [thread(one) for one in page.threads], "next_cursor": page.next_cursor}


def span(kept: KeptSpan) -> dict[str, Any]:
    """A span with what was read off it. `thread_id` is null or another one's where it is no own."""
    span, facts = kept.span, kept.facts
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "thread_id": facts.thread_id,
        "name": span.name,
        "kind": span.kind,
        "started_at": rfc_3339(span.start, EVERY_DIGIT),
        "ended_at": rfc_3339(span.end, EVERY_DIGIT),
        "duration_ms": _milliseconds(span.start, span.end),
        "status": span.status,
        "status_message": span.status_message,
        "error": facts.is_error,
        "operation": facts.operation,
        "model": facts.model,
        "provider": facts.provider,
        "input_tokens": facts.input_tokens,
        "output_tokens": facts.output_tokens,
        "cost_usd": facts.cost,
        "service": span.service,
        "scope": span.scope,
        "attributes": dict(span.attributes),
        "resource": dict(span.resource),
        "events": [
            {**event, "time": rfc_3339(int(event["time"]), EVERY_DIGIT)} for event in span.events
        ],
        "links": [dict(link) for link in span.links],
    }


def span_of(told: dict[str, Any]) -> Span:
    """The span that `span` tells."""
    return Span(
        trace_id=told["trace_id"],
        span_id=told["span_id"],
        parent_id=told["parent_id"],
        name=told["name"],
        kind=told["kind"],
        start=moment(told["started_at"]),
        end=moment(told["ended_at"]),
        status=told["status"],
        status_message=told["status_message"],
        service=told["service"],
        scope=told["scope"],
        attributes=told["attributes"],
        resource=told["resource"],
        events=[{**event, "time": moment(event["time"])} for event in told["events"]],
        links=told["links"],
    )


def export(one: Thread, pieces: Iterable[Spans], form: str) -> Iterator[bytes]:
    """A thread with its spans for a file, in one of FORMATS, bit by bit.

    In OTLP, a resource is there once in each piece that has spans of it.
    """
    if form == "otlp":
        begin, items = b'{"resourceSpans": [', _resource_spans(pieces)
    else:
        begin = b'{"thread": %b, "spans": [' % as_json(thread(one))
        items = (span(kept) for some in pieces for kept in some)
    yield from chunks(begin, items, b"]}")


def chunks(begin: bytes, items: Iterable[Any], end: bytes) -> Iterator[bytes]:
    """A list in JSON, bit by bit, and what stands around it. Each item is held alone."""
    waiting, size = [begin], len(begin)
    for number, item in enumerate(items):
        told = as_json(item)
        waiting += (b", ", told) if number else (told,)
        size += len(told)
        if size < _CHUNK:
            continue
        if size < 2 * _CHUNK:
            yield b"".join(waiting)
        else:
            # What is large is copied in parts.
            yield b"".join(waiting[:-1])
            yield from (told[start : start + _CHUNK] for start in range(0, len(told), _CHUNK))
        waiting, size = [], 0
        del told
    yield b"".join((*waiting, end))


def _resource_spans(pieces: Iterable[Spans]) -> Iterator[dict[str, Any]]:
    for some in pieces:
        yield from to_json(kept.span for kept in some)["resourceSpans"]


def as_json(value: Any) -> bytes:
    """JSON in ASCII, which is safe to print: whatever it says, it holds no control character."""
    return json.dumps(value).encode()


def _milliseconds(start: int, end: int) -> float:
    return round(max(end - start, 0) / 1e6, 3)
