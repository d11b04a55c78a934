"""Threads and spans as the API and `--json` show them: plain JSON objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from orq_otel.viewer.conversation.facts import explained
from orq_otel.viewer.model.kept_spans import KeptSpan, Spans
from orq_otel.viewer.model.queries import Kind
from orq_otel.viewer.model.sums import Numbers
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.model.threads import Hit, Thread, ThreadPage
from orq_otel.viewer.receive.otlp import logs_to_json, to_json
from orq_otel.viewer.times import SECOND, moment, rfc_3339
from orq_otel.viewer.web import answers

FORMATS = ("json", "otlp")
"""The formats of an export: the API's JSON, or OTLP/JSON, which every collector accepts."""

#: The approximate size of a chunk in bytes.
_CHUNK = 2**18

EVERY_DIGIT = 9
"""The number of digits after the second of a time in nanoseconds."""


def thread(one: Thread) -> answers.Thread:
    """Returns a thread as JSON.

    `cost_usd` is null if no price is known, and does not include the `unpriced_calls`. Of it,
    `estimated_usd` is an estimate. `short_id`,
    `more_tags` and `more_models` are there only if the thread's id or labels are too long, and
    `feedback` only if there is any.
    """
    found = answers.Thread(
        id=one.id,
        title=one.title,
        tags=list(one.tags),
        started_at=rfc_3339(one.started),
        last_active_at=rfc_3339(one.last_active),
        duration_ms=_milliseconds(one.started, one.last_active),
        traces=one.traces,
        spans=one.spans,
        errors=one.errors,
        models=list(one.models),
        input_tokens=one.input_tokens,
        output_tokens=one.output_tokens,
        cost_usd=one.cost,
        unpriced_calls=one.unpriced,
        estimated_usd=one.estimated,
    )
    if one.digest:
        found["short_id"] = one.short_id
    if one.more_tags:
        found["more_tags"] = one.more_tags
    if one.more_models:
        found["more_models"] = one.more_models
    if one.evaluations:
        found["feedback"] = {
            "good": one.good,
            "bad": one.bad,
            "evaluations": one.evaluations,
        }
    return found


def thread_page(page: ThreadPage) -> answers.ThreadPage:
    """Returns a page of threads, and the cursor of the next page: null at the end.

    A thread has a `hit` where a message has the text that was searched for. `is_partial` is there
    only if too many messages or threads have it to look at all of them.
    """
    threads = []
    for one in page.threads:
        fields = thread(one)
        if (found := page.hits.get(one.id)) is not None:
            fields["hit"] = hit(found)
        threads.append(fields)
    answer = answers.ThreadPage(threads=threads, next_cursor=page.next_cursor)
    if page.is_partial:
        answer["is_partial"] = True
    return answer


def hit(one: Hit) -> answers.Hit:
    """Returns a part of a message as JSON. `marks` says where the text begins and ends in it."""
    return {
        "text": one.text,
        "marks": [list(mark) for mark in one.marks],
        "trace_id": one.trace_id,
        "span_id": one.span_id,
    }


def numbers(found: Numbers, by: Kind) -> answers.Numbers:
    """Returns groups of model calls as JSON."""
    answer: answers.Numbers = {
        "by": by,
        "groups": [
            {
                "name": one.name,
                "threads": one.threads,
                "calls": one.calls,
                "errors": one.errors,
                "input_tokens": one.input_tokens,
                "output_tokens": one.output_tokens,
                "cost_usd": one.cost,
                "unpriced_calls": one.unpriced,
                "estimated_usd": one.estimated,
                "latency_ms": {"p50": one.p50 / 1e6, "p95": one.p95 / 1e6} if one.calls else None,
                "sampled_calls": one.sampled,
                "feedback": {"good": one.good, "bad": one.bad},
                "over_time": [
                    {
                        "start": rfc_3339(part.start),
                        "calls": part.calls,
                        "tokens": part.tokens,
                        "cost_usd": part.cost,
                        "latency_ms": {"p50": part.p50 / 1e6, "p95": part.p95 / 1e6},
                    }
                    for part in one.slices
                ],
            }
            for one in found.groups
        ],
        "interval_seconds": found.width // SECOND,
        "more_groups": found.more,
    }
    if found.is_partial:
        answer["is_partial"] = True
    return answer


def span(kept: KeptSpan) -> answers.Span:
    """Returns a span and its facts as JSON.

    A thread's traces may contain spans of no thread, whose `thread_id` is null, or of others.
    """
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
        "ends_before_start": span.ends_before_start,
        "status": span.status,
        "status_message": span.status_message,
        "error": facts.is_error,
        "operation": facts.operation,
        "model": facts.model,
        "provider": facts.provider,
        "input_tokens": facts.input_tokens,
        "output_tokens": facts.output_tokens,
        "cost_usd": facts.cost,
        "cost_details": _cost(kept),
        "service": span.service,
        "scope": span.scope,
        "attributes": dict(span.attributes),
        "resource": dict(span.resource),
        "events": [
            cast("answers.Event", {**event, "time": rfc_3339(int(event["time"]), EVERY_DIGIT)})
            for event in span.events
        ],
        "links": [cast("answers.Link", dict(link)) for link in span.links],
    }


def log(record: LogRecord) -> answers.LogRecord:
    """Returns a log record as JSON."""
    return {
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "name": record.name,
        "time": rfc_3339(record.time, EVERY_DIGIT),
        "severity": record.severity,
        "body": record.body,
        "service": record.service,
        "scope": record.scope,
        "attributes": dict(record.attributes),
        "resource": dict(record.resource),
    }


def _cost(kept: KeptSpan) -> answers.Cost | None:
    found = explained(kept)
    if found is None:
        return None
    return {
        "source": found.source,
        "is_reported": found.is_reported,
        "estimate": "; ".join(found.doubts) or None,
        "provider": found.provider,
        "model": found.model,
        "service_tier": found.tier,
        "list_date": None if found.list_date is None else found.list_date.isoformat(),
        "parts": [
            {
                "name": part.name,
                "tokens": part.tokens,
                "usd_per_million": part.price,
                "cost_usd": part.cost,
            }
            for part in found.parts
        ],
    }


def span_of(fields: dict[str, Any]) -> Span:
    """Turns the JSON that `span` returns into a span again."""
    return Span(
        trace_id=fields["trace_id"],
        span_id=fields["span_id"],
        parent_id=fields["parent_id"],
        name=fields["name"],
        kind=fields["kind"],
        start=moment(fields["started_at"]),
        end=moment(fields["ended_at"]),
        status=fields["status"],
        status_message=fields["status_message"],
        service=fields["service"],
        scope=fields["scope"],
        attributes=fields["attributes"],
        resource=fields["resource"],
        events=[{**event, "time": moment(event["time"])} for event in fields["events"]],
        links=fields["links"],
    )


def export(
    one: Thread, pieces: Iterable[Spans], form: str, logs: Iterable[LogRecord] = ()
) -> Iterator[bytes]:
    """Yields the file of a thread, its spans and log records in chunks.

    In OTLP/JSON, each piece repeats the resources of its spans.

    Args:
        one: The thread.
        pieces: The thread's spans.
        form: One of `FORMATS`.
        logs: The log records of the thread and its traces.
    """
    items: Iterator[Any]
    records: list[Any]
    if form == "otlp":
        begin, items = b'{"resourceSpans": [', _resource_spans(pieces)
        between, records = b'], "resourceLogs": [', logs_to_json(logs)["resourceLogs"]
    else:
        begin = b'{"thread": %b, "spans": [' % as_json(thread(one))
        items = (span(kept) for some in pieces for kept in some)
        between, records = b'], "logs": [', [log(record) for record in logs]
    if not records:
        yield from chunks(begin, items, b"]}")
        return
    yield from chunks(begin, items, between)
    yield from chunks(b"", iter(records), b"]}")


def chunks(begin: bytes, items: Iterable[Any], end: bytes) -> Iterator[bytes]:
    """Yields a JSON list in chunks, between `begin` and `end`. Holds few items at a time."""
    waiting, size = [begin], len(begin)
    for number, item in enumerate(items):
        encoded = as_json(item)
        waiting += (b", ", encoded) if number else (encoded,)
        size += len(encoded)
        if size < _CHUNK:
            continue
        if size < 2 * _CHUNK:
            yield b"".join(waiting)
        else:
            # A large item is copied in parts.
            yield b"".join(waiting[:-1])
            yield from (encoded[start : start + _CHUNK] for start in range(0, len(encoded), _CHUNK))
        waiting, size = [], 0
        del encoded
    yield b"".join((*waiting, end))


def _resource_spans(pieces: Iterable[Spans]) -> Iterator[dict[str, Any]]:
    for some in pieces:
        yield from to_json(kept.span for kept in some)["resourceSpans"]


def as_json(value: Any) -> bytes:
    """Encodes JSON in ASCII. It contains no control characters, so that it is safe to print."""
    return json.dumps(value).encode()


def _milliseconds(start: int, end: int) -> float:
    return round(max(end - start, 0) / 1e6, 3)
