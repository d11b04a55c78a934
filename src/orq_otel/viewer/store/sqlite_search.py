"""The index of messages in a SQLite file: FTS5 over each text of a thread, once.

A text belongs to the span that had it first. When that span is deleted and a later one repeats the
text, it belongs to that one from then on. A release of SQLite without FTS5 has no index: then only
ids, titles and labels are searched.
"""

from __future__ import annotations

import functools
import json
import re
import sqlite3
import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from orq_otel.viewer import conversation
from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.model.threads import Hit
from orq_otel.viewer.store import sqlite_logs, sqlite_names, words
from orq_otel.viewer.store.sqlite_rows import (
    SPAN_COLUMNS,
    body_of,
    has_text,
    insert_many,
    some_keys,
    span_of,
    text,
)

#: Of a text that occurs more often, only the latest messages and threads are looked at, and only so
#: many threads with a label that contains it.
MOST: Final = 2_000
#: How many labels are looked at that contain a text.
_LABELS: Final = 200
#: Of so many words with one beginning, each is looked for.
_LONGER: Final = 32
#: How many searches are remembered.
_REMEMBERED: Final = 8
#: How many pages of the index one step of a merge writes.
_MERGED: Final = 500
#: SQLite before version 3.32 accepts no more than 999 parameters.
_PARAMETERS: Final = 900


class Found(NamedTuple):
    """The threads with a text.

    Attributes:
        keys: Their keys, hardly more than `MOST`, as the parameter of `json_each`.
        documents: The latest message with it of some of them.
        is_partial: Whether there may be more.
    """

    keys: str
    documents: dict[int, int]
    is_partial: bool


def is_possible(connection: sqlite3.Connection) -> bool:
    """Whether there is an index, which this release of SQLite can use."""
    return sqlite_names.has_index(connection, "words")


def add(
    connection: sqlite3.Connection, texts: Iterable[tuple[int, int, Mapping[int, str]]]
) -> None:
    """Add texts to the index that are not in it yet.

    Args:
        connection: In a transaction.
        texts: The key of a thread, that of a span, and its texts by their digests.
    """
    wanted: dict[tuple[int, int], tuple[int, str]] = {}
    for thread, span, some in texts:
        for digest, content in some.items():
            wanted.setdefault((thread, digest), (span, content))
    (last,) = connection.execute("SELECT max(key) FROM documents").fetchone()
    first = (last or 0) + 1
    rows = [
        (key, thread, span, digest)
        for key, ((thread, digest), (span, _)) in enumerate(wanted.items(), first)
    ]
    inserted = insert_many(connection, "INSERT OR IGNORE INTO documents VALUES", rows)
    if not inserted:
        return
    there: Container[int] = range(first, first + len(rows))
    if inserted < len(rows):
        found = connection.execute("SELECT key FROM documents WHERE key >= ?", (first,))
        there = {key for (key,) in found}
    new = [
        (key, text(wanted[thread, digest][1])) for key, thread, _, digest in rows if key in there
    ]
    insert_many(connection, "INSERT INTO texts VALUES", new)
    spaced = [(key, words.spaced(content)) for key, content in new]
    insert_many(connection, "INSERT INTO words (rowid, text) VALUES", spaced)


def add_with_logs(connection: sqlite3.Connection, keys: Iterable[sqlite_logs.Key]) -> None:
    """Add the texts of spans with what stands in their log records."""
    for key in keys:
        found = connection.execute(
            f"SELECT {SPAN_COLUMNS}, thread, body FROM spans"
            " WHERE trace_id = ? AND span_id = ? AND thread IS NOT NULL",
            key,
        ).fetchone()
        if found is not None:
            *row, thread, body = found
            body = sqlite_logs.with_events(body_of(body), sqlite_logs.events_of(connection, key))
            span = span_of(tuple(row), body, None, "", {}).span
            add(connection, [(thread, row[0], _texts_of(span))])


def size_of(connection: sqlite3.Connection, span: int) -> int:
    """Returns about how many bytes the texts of a span take up, here and in the index."""
    (length,) = connection.execute(
        "SELECT sum(length(text)) FROM documents JOIN texts USING (key) WHERE span = ?", (span,)
    ).fetchone()
    return 2 * (length or 0)


def forget(connection: sqlite3.Connection, spans: Sequence[int]) -> int:
    """Remove the texts of spans that are deleted, unless a later span of the thread has them.

    Returns:
        About how many bytes of the index are of no use from now on, and taken up until `merge`.
    """
    size = 0
    left: dict[int, dict[int, int]] = {}
    for some in _pieces(spans):
        marks = ",".join("?" * len(some))
        for key, thread, digest in connection.execute(
            f"SELECT key, thread, digest FROM documents WHERE span IN ({marks})", some
        ):
            left.setdefault(thread, {})[digest] = key
    for thread, documents in left.items():
        seq, texts = _first_call(connection, thread)
        kept = [(seq, key) for digest, key in documents.items() if digest in texts]
        connection.executemany("UPDATE documents SET span = ? WHERE key = ?", kept)
        size += _remove(connection, [documents[one] for one in documents.keys() - texts.keys()])
    return size


def merge(connection: sqlite3.Connection, *, is_first: bool) -> bool:
    """Rewrite a part of the indexes without what was removed. In a transaction.

    FTS5 only notes down what is removed. What was there before takes up room, and stays in the
    file, until the parts of the index are merged.

    Args:
        connection: Where.
        is_first: Whether this is the first step of a merge of everything.

    Returns:
        Whether there is more to do.
    """
    pages = -_MERGED if is_first else _MERGED  # negative: of parts of any size
    is_left = False
    indexes = "SELECT name FROM sqlite_master WHERE name IN ('words', 'names')"
    for (index,) in connection.execute(indexes).fetchall():
        before = connection.total_changes
        connection.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('merge', ?)", (pages,))
        # One is the statement itself.
        is_left = is_left or connection.total_changes - before > 1
    return is_left


def _first_call(connection: sqlite3.Connection, thread: int) -> tuple[int, Mapping[int, str]]:
    """Returns the first span of a thread that is a model call, and its texts."""
    found = connection.execute(
        f"SELECT {SPAN_COLUMNS}, body FROM spans WHERE thread = ? AND is_model_call"
        " ORDER BY start LIMIT 1",
        (thread,),
    ).fetchone()
    if found is None:
        return 0, {}
    *row, body = found
    span = span_of(tuple(row), body_of(body), None, "", {}).span
    return row[0], _texts_of(span)


def _texts_of(span: Span) -> dict[int, str]:
    return conversation.texts.texts_of(span, conversation.facts.read(span, is_brief=True))


def _remove(connection: sqlite3.Connection, keys: Iterable[int]) -> int:
    size = 0
    for key in keys:
        # An index without content has to be told what it had.
        found = connection.execute("SELECT text FROM texts WHERE key = ?", (key,)).fetchone()
        connection.execute(
            "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
            (key, words.spaced(found[0])),
        )
        connection.execute("DELETE FROM texts WHERE key = ?", (key,))
        connection.execute("DELETE FROM documents WHERE key = ?", (key,))
        size += len(found[0])
    return size


def find(connection: sqlite3.Connection, wanted: str) -> Found:
    """Returns the threads with a text in their id, title, labels or messages: the latest `MOST`.

    The one whose id it is, is always among them.
    """
    exact, lower = text(wanted), text(wanted.lower())
    lists = list(sqlite_names.find(connection, lower, MOST))
    for table, label in (("tag", "tag"), ("facet", "value")):
        has, value = has_text(label, lower)
        labelled = (
            f"SELECT thread AS key FROM thread_{table}s WHERE {label} IN"
            f" (SELECT {label} FROM {table}s WHERE {has} LIMIT ?)"
        )
        lists.append(some_keys(connection, labelled, (value, _LABELS), MOST))
    documents: dict[int, int] = {}
    query = None
    if is_possible(connection):
        longer = functools.partial(_longer, connection)
        query = words.match_of(exact.replace("\0", " "), longer)
    if query is not None:
        threads, found = map(
            json.loads,
            connection.execute(
                "SELECT json_group_array(thread), json_group_array(key) FROM"
                " (SELECT thread, documents.key AS key FROM words"
                " JOIN documents ON documents.key = words.rowid"
                " WHERE words MATCH ? ORDER BY words.rowid DESC LIMIT ?)",
                (query, MOST),
            ).fetchone(),
        )
        documents = dict(zip(reversed(threads), reversed(found), strict=True))  # the latest stays
        lists.append(threads)
    own = {key for (key,) in connection.execute("SELECT key FROM threads WHERE id = ?", (exact,))}
    ordered = sorted(own.union(*lists))
    is_partial = any(len(one) == MOST for one in lists)
    if len(ordered) > MOST:
        ordered, is_partial = [*own, *ordered[-MOST:]], True
    return Found(json.dumps(ordered), documents, is_partial)


def _longer(connection: sqlite3.Connection, beginning: str) -> list[str] | None:
    """Returns all words of the index with a beginning, or None if they are too many.

    FTS5 finds a beginning by reading where each of its words is, from the first message on. Whole
    words it reads from the latest message on, until there are enough.
    """
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, words, instance)"
    )
    # Each is looked up after the one before. "0" is the first character that words can have.
    after = "(SELECT term FROM temp.vocabulary WHERE term >= {} LIMIT 1)"
    (listed,) = connection.execute(
        f"WITH RECURSIVE found (word) AS (SELECT {after.format('?1')} UNION ALL SELECT"
        f" {after.format('word || 0')} FROM found WHERE substr(word, 1, ?2) = ?1 LIMIT ?3)"
        " SELECT json_group_array(word) FROM found WHERE substr(word, 1, ?2) = ?1",
        (beginning, len(beginning), _LONGER + 1),
    ).fetchone()
    found: list[str] = json.loads(listed)
    return found if len(found) <= _LONGER else None


class Searches:
    """The last searches of a store. The sums of a page, and its list, ask for the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, tuple[int, Found]] = {}

    def find(self, connection: sqlite3.Connection, wanted: str) -> Found:
        """Returns what `find` does, again if nothing was written since."""
        (change,) = connection.execute("SELECT count FROM changes").fetchone()
        with self._lock:
            known = self._found.get(wanted)
        if known is not None and known[0] == change:
            return known[1]
        found = find(connection, wanted)
        with self._lock:
            self._found.pop(wanted, None)
            self._found[wanted] = change, found
            if len(self._found) > _REMEMBERED:
                del self._found[next(iter(self._found))]
        return found


def hits(
    connection: sqlite3.Connection,
    documents: Mapping[int, int],
    pattern: re.Pattern[str] | None,
) -> Iterator[tuple[int, Hit]]:
    """Yields the part of each message around what was searched for, with the key of its thread.

    They are one query. What was deleted since it was found has none.

    Args:
        connection: Where they are.
        documents: The keys of messages, by those of their threads.
        pattern: What was searched for.
    """
    found = connection.execute(
        "SELECT json_group_array(json_array(thread, text, hex(trace_id), hex(span_id))) FROM"
        " (SELECT documents.thread AS thread, text, trace_id, span_id"
        " FROM json_each(?) AS wanted JOIN documents ON documents.key = wanted.value"
        " AND documents.thread = CAST(wanted.key AS INTEGER)"
        " JOIN texts ON texts.key = documents.key"
        " JOIN spans ON spans.seq = documents.span)",
        (json.dumps(documents),),
    ).fetchone()
    for thread, content, trace_id, span_id in json.loads(found[0]):
        shown, marks = words.excerpt(content, pattern)
        yield thread, Hit(shown, marks, trace_id.lower(), span_id.lower())


def _pieces(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]
