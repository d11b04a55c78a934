"""Log records in a SQLite file, and the spans that they belong to.

They come before or after their spans. Whenever one of both comes, what the span says is read again
with its log records, since content and titles may stand in them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer import conversation, dialects
from orq_otel.viewer.conversation.evaluations import RESPONSE_IDS, verdict
from orq_otel.viewer.model.facts import Usage
from orq_otel.viewer.model.telemetry import DETAILS, LogRecord, Span
from orq_otel.viewer.store import sqlite_feedback
from orq_otel.viewer.store.buckets import bounded
from orq_otel.viewer.store.sqlite_rows import (
    LONG,
    SPAN_COLUMNS,
    Resources,
    body_of,
    encode,
    insert_many,
    span_of,
    text,
)

#: How the names of log records end that tell a message of a call.
_MESSAGE: Final = ".message"
#: How many log records of a span are returned with it.
_OF_A_SPAN: Final = 1_000
_REST: Final = 300

#: A span's key: its trace's id and its own.
Key = tuple[bytes, bytes]


class Batch:
    """Log records in the form of the table, prepared before a transaction begins."""

    def __init__(self, logs: Sequence[LogRecord]) -> None:
        self.resources = Resources()
        self.rows = _told_apart([_encoded(one) for one in logs])
        self.digests = [self.resources.digest(one) for one in logs]
        self.verdicts = [verdict(one) for one in logs]
        #: The keys of the evaluations that were inserted.
        self.evaluations: list[int] = []


def _told_apart(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Gives equal messages of a call digests of their own, in their order.

    A sender whose clock has milliseconds tells a whole history at one time, in which a user may say
    the same twice. A request that came twice has all of its records twice in the same order.
    """
    calls: defaultdict[Key, list[int]] = defaultdict(list)
    for place, (_, trace_id, span_id, _, _, _, name, _) in enumerate(rows):
        if span_id is not None and name.endswith(_MESSAGE):
            calls[trace_id, span_id].append(place)
    for places in calls.values():
        digests = [rows[place][0] for place in places]
        if len(set(digests)) == len(digests):
            continue
        length = _period(digests)
        counts: Counter[bytes] = Counter()
        for number, (place, digest) in enumerate(zip(places, digests, strict=True)):
            if number % length == 0:
                counts.clear()
            if count := counts[digest]:
                another = hashlib.blake2b(digest + str(count).encode(), digest_size=16).digest()
                rows[place] = (another, *rows[place][1:])
            counts[digest] += 1
    return rows


def _period(values: Sequence[bytes]) -> int:
    """Returns the length of the shortest sequence of which another one is made by repetition."""
    borders = [0]  # by Knuth, Morris and Pratt
    for place in range(1, len(values)):
        border = borders[-1]
        while border and values[place] != values[border]:
            border = borders[border - 1]
        borders.append(border + (values[place] == values[border]))
    length = len(values) - borders[-1]
    return len(values) if len(values) % length else length


def response_of(attributes: Mapping[str, Any]) -> str | None:
    """Returns the id of a response, or None."""
    response = dialects.dialect.first_text(attributes, RESPONSE_IDS)
    return None if response is None else text(response)


def _encoded(record: LogRecord) -> tuple[Any, ...]:
    body = encode([record.severity, record.scope, record.body, dict(record.attributes)])
    ids = [bytes.fromhex(one) if one else None for one in (record.trace_id, record.span_id)]
    thread = dialects.dialect.first_text(record.attributes, dialects.table.THREAD_IDS)
    content = encode([record.trace_id, record.span_id, record.name, record.time, body])
    return (
        hashlib.blake2b(content.encode(), digest_size=16).digest(),
        *ids,
        None if thread is None else text(thread),
        response_of(record.attributes),
        bounded(record.time),
        text(record.name),
        body if len(body) < LONG else zlib.compress(body.encode(), 1),
    )


def insert(
    connection: sqlite3.Connection, batch: Batch, resources: Mapping[bytes, int]
) -> dict[int, int]:
    """Insert the log records that do not exist yet. Returns how many of each resource."""
    counts: dict[int, int] = {}
    evaluations: list[tuple[int, int]] = []
    for row, resource, told in zip(batch.rows, batch.digests, batch.verdicts, strict=True):
        digest, trace_id, span_id, thread, response, time, name, body = row
        if trace_id is None and response is not None:
            trace_id, span_id = _answered(connection, response) or (None, None)
        key = resources[resource]
        found = connection.execute(
            "INSERT OR IGNORE INTO logs (digest, trace_id, span_id, thread, response, time,"
            " resource, name, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                hashlib.blake2b(digest + resource, digest_size=16).digest(),
                *(trace_id, span_id, thread, response, time, key, name, body),
            ),
        )
        if found.rowcount == 1:
            counts[key] = counts.get(key, 0) + 1
            if told is not None:
                evaluations.append((int(found.lastrowid or 0), told))
    sqlite_feedback.add(connection, evaluations)
    batch.evaluations = [key for key, _ in evaluations]
    return counts


def _answered(connection: sqlite3.Connection, response: str) -> Key | None:
    found: Key | None = connection.execute(
        "SELECT trace_id, span_id FROM responses JOIN spans ON spans.seq = responses.span"
        " WHERE response = ? LIMIT 1",
        (response,),
    ).fetchone()
    return found


def add_responses(connection: sqlite3.Connection, responses: Mapping[int, str]) -> None:
    """Remember the responses of spans, and join log records that waited for them."""
    insert_many(connection, "INSERT OR IGNORE INTO responses VALUES", list(responses.items()))
    waiting = "SELECT 1 FROM logs WHERE response IS NOT NULL AND trace_id IS NULL LIMIT 1"
    if responses and connection.execute(waiting).fetchone():
        connection.executemany(
            "UPDATE logs SET (trace_id, span_id) ="
            " (SELECT trace_id, span_id FROM spans WHERE seq = ?)"
            " WHERE response = ? AND trace_id IS NULL",
            responses.items(),
        )


def keys_of(connection: sqlite3.Connection, batch: Batch, spans: Iterable[Key]) -> list[Key]:
    """Returns the spans whose log records have just come, or which came after theirs."""
    keys = dict.fromkeys((row[1], row[2]) for row in batch.rows if row[1] and row[2])
    if connection.execute("SELECT 1 FROM logs LIMIT 1").fetchone():
        keys |= dict.fromkeys(
            key
            for key in spans
            if connection.execute(
                "SELECT 1 FROM logs WHERE trace_id = ? AND span_id = ? LIMIT 1", key
            ).fetchone()
        )
    return list(keys)


def recorded(
    connection: sqlite3.Connection, keys: Iterable[Key], new: Mapping[Key, Usage | None]
) -> set[Key]:
    """Returns the spans of which log records tell usage that they do not tell themselves.

    Args:
        connection: Where the log records are.
        keys: The spans, in the file or not, whose log records have come.
        new: What spans that are not in the file tell themselves.
    """
    found: set[Key] = set()
    for key in keys:
        count = _details(connection, key)
        if count > 1 or (count and not _tells_usage(connection, key, new)):
            found.add(key)
    return found


def _tells_usage(connection: sqlite3.Connection, key: Key, new: Mapping[Key, Usage | None]) -> bool:
    if key in new:
        return _has_tokens(new[key])
    # Or an earlier log record told it, which has come again.
    return connection.execute(_COUNTS_USAGE, key).fetchone() is not None


def _has_tokens(usage: Usage | None) -> bool:
    return usage is not None and usage.input_tokens is not None


def _details(connection: sqlite3.Connection, key: Key) -> int:
    (count,) = connection.execute(_COUNT_DETAILS, key).fetchone()
    return int(count)


_COUNT_DETAILS: Final = (
    f"SELECT COUNT(*) FROM logs WHERE trace_id = ? AND span_id = ? AND name = '{DETAILS}'"
)
_COUNTS_USAGE: Final = (
    "SELECT 1 FROM spans WHERE trace_id = ? AND span_id = ? AND input_tokens IS NOT NULL"
)


def with_records(connection: sqlite3.Connection, key: Key, span: Span) -> Span:
    """Returns a span with its log records that tell usage, if it does not tell that itself.

    One record repeats the span's own usage, if it has some.
    """
    count = _details(connection, key)
    if count > 1 or (count and not _has_tokens(dialects.table.read(span).usage)):
        return replace(span, events=(*span.events, *details_of(connection, key)))
    return span


def details_of(connection: sqlite3.Connection, key: Key) -> list[dict[str, Any]]:
    """Returns the log records of a span that report calls, as events."""
    return [one for one in events_of(connection, key) if one["name"] == DETAILS]


def titles(connection: sqlite3.Connection, keys: Iterable[Key]) -> Iterator[tuple[Any, ...]]:
    """Yields spans without a title that have one with their log records.

    Each as the key in `spans`, its thread, its start, its span id and the title.
    """
    for key in keys:
        found = connection.execute(
            f"SELECT {SPAN_COLUMNS}, thread, body FROM spans"
            " WHERE trace_id = ? AND span_id = ? AND title IS NULL",
            key,
        ).fetchone()
        if found is None:
            continue
        *row, thread, body = found
        body_text = with_events(body_of(body), events_of(connection, key))
        title = conversation.facts.read(span_of(tuple(row), body_text, None, "", {}).span).title
        if title is not None:
            yield row[0], thread, row[4], key[1], text(title)


def events_of(connection: sqlite3.Connection, key: Key) -> list[dict[str, Any]]:
    """Returns the log records of a span as events."""
    found = connection.execute(
        "SELECT name, time, body FROM logs WHERE trace_id = ? AND span_id = ?"
        " ORDER BY time, key LIMIT ?",
        (*key, _OF_A_SPAN),
    ).fetchall()
    return [record_of(name, time, body).as_event() for name, time, body in found]


def with_events(body: str, events: list[dict[str, Any]]) -> str:
    """Adds events to the JSON of a span's body."""
    if not events:
        return body
    attributes, own, links = json.loads(body)
    return encode([attributes, own + events, links])


def logs(
    connection: sqlite3.Connection, thread_id: str, limit: int, name: str | None, size: int
) -> list[LogRecord]:
    """Returns log records of a thread and of its traces, sorted by time."""
    thread = text(thread_id)
    named = "" if name is None else " AND name = ?"
    of_traces = (
        "SELECT logs.key FROM thread_traces JOIN logs USING (trace_id) WHERE thread_traces.thread ="
        f" (SELECT key FROM threads WHERE id = ?){named}"
    )
    of_thread = f"SELECT key FROM logs WHERE thread = ?{named}"
    values = (thread,) if name is None else (thread, text(name))
    found = connection.execute(
        "SELECT name, time, body, trace_id, span_id, service, attributes FROM logs"
        " JOIN resources ON resources.key = logs.resource"
        f" WHERE logs.key IN ({of_traces} UNION {of_thread}) ORDER BY time, logs.key LIMIT ?",
        (*values, *values, limit),
    )
    records: list[LogRecord] = []
    for one, time, body, trace_id, span_id, service, attributes in found:
        size -= _REST + len(body) + len(attributes)
        if size < 0 and records:
            break
        records.append(
            record_of(one, time, body, trace_id, span_id, service, json.loads(attributes))
        )
    return records


def record_of(  # noqa: PLR0913, PLR0917 - the columns of a row
    name: str,
    time: int,
    body: str | bytes,
    trace_id: bytes | None = None,
    span_id: bytes | None = None,
    service: str = "",
    resource: Mapping[str, Any] | None = None,
) -> LogRecord:
    """A log record, from its row and that of its resource."""
    severity, scope, content, attributes = json.loads(body_of(body))
    return LogRecord(
        trace_id=trace_id.hex() if trace_id else None,
        span_id=span_id.hex() if span_id else None,
        name=name,
        time=time,
        severity=severity,
        body=content,
        service=service,
        scope=scope,
        attributes=attributes,
        resource=resource or {},
    )


_WITH_SPAN: Final = (
    "EXISTS (SELECT 1 FROM spans"
    " WHERE spans.trace_id = logs.trace_id AND spans.span_id = logs.span_id)"
)


def size_of(connection: sqlite3.Connection, key: Key) -> int:
    """Returns the approximate size of a span's log records in bytes."""
    (count, size) = connection.execute(
        "SELECT COUNT(*), TOTAL(length(body)) FROM logs WHERE trace_id = ? AND span_id = ?", key
    ).fetchone()
    return int(count) * _REST + int(size)


def delete_of(connection: sqlite3.Connection, keys: Iterable[Key]) -> list[int]:
    """Delete the log records of spans. Returns the resource of each."""
    resources: list[int] = []
    for key in keys:
        resources += _deleted(connection, "trace_id = ? AND span_id = ?", key)
    return resources


def delete_of_thread(connection: sqlite3.Connection, thread_id: str) -> list[int]:
    """Delete the log records that name a thread, and no span. Returns the resource of each."""
    return _deleted(connection, "thread = ? AND span_id IS NULL", (text(thread_id),))


def sizes(connection: sqlite3.Connection, before: int) -> sqlite3.Cursor:
    """Returns the times of log records from before a time, and how many bytes each takes up.

    One whose span is there has none of its own: it goes with its span.
    """
    return connection.execute(
        f"SELECT time, CASE WHEN {_WITH_SPAN} THEN 0 ELSE {_REST} + length(body) END FROM logs"
        " WHERE time < ? ORDER BY time",
        (before,),
    )


def delete_before(connection: sqlite3.Connection, before: int, most: int, size: int) -> list[int]:
    """Delete the oldest log records from before a time, unless their span is there.

    Returns the resource of each. At most so many, and no more once they take up so many bytes
    together.
    """
    found = connection.execute(
        f"SELECT key, length(body) FROM logs WHERE time < ? AND NOT {_WITH_SPAN}"
        " ORDER BY time LIMIT ?",
        (before, most),
    )
    resources: list[int] = []
    for key, taken in found.fetchall():
        resources += _deleted(connection, "key = ?", (key,))
        size -= _REST + taken
        if size <= 0:
            break
    return resources


def _deleted(
    connection: sqlite3.Connection,
    where: str,
    values: tuple[bytes, bytes] | tuple[int] | tuple[str],
) -> list[int]:
    found = connection.execute(f"SELECT resource FROM logs WHERE {where}", values).fetchall()
    if found:
        connection.execute(f"DELETE FROM logs WHERE {where}", values)
    return [resource for (resource,) in found]
