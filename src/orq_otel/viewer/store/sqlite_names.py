"""The index of ids and titles in a SQLite file: FTS5 over each three letters in a row.

Threads come into it by the thousand, up to a key that `named` has, and later ones are gone through:
one by one they would cost four times as much to write. Of a thread that is in it, `renamed` has the
id and the title that it was indexed by, from when these change or are deleted until `settle`.

A release of SQLite before 3.34 has no such index, and all threads are gone through.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from orq_otel.viewer.store.sqlite_rows import has_text, some_keys

#: Shorter texts are in no index of three letters.
_LEAST: Final = 3
#: The length in characters of a text that is looked up in the index.
_MOST: Final = 200
#: How many threads come into the index at a time.
AT_A_TIME: Final = 1_000
#: How many bytes of the index a letter takes.
_BYTES: Final = 5

_FTS5: Final = "EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'fts5')"
_ADD: Final = "INSERT INTO names (rowid, id, title) SELECT key, folded, title_folded FROM threads"

TABLES: Final = """
CREATE TABLE named (until INTEGER NOT NULL);
INSERT INTO named VALUES (0);
CREATE TABLE renamed (key INTEGER PRIMARY KEY, folded TEXT NOT NULL, title_folded TEXT);
-- OR IGNORE would not hold here: the conflict clause of what fires a trigger comes before its own.
CREATE TRIGGER thread_renamed AFTER UPDATE OF title_folded ON threads
WHEN old.title_folded IS NOT new.title_folded AND old.key <= (SELECT until FROM named) BEGIN
    INSERT INTO renamed SELECT old.key, old.folded, old.title_folded
        WHERE NOT EXISTS (SELECT 1 FROM renamed WHERE key = old.key);
END;
CREATE TRIGGER named_thread_removed AFTER DELETE ON threads
WHEN old.key <= (SELECT until FROM named) BEGIN
    INSERT INTO renamed SELECT old.key, old.folded, old.title_folded
        WHERE NOT EXISTS (SELECT 1 FROM renamed WHERE key = old.key);
END;
"""
INDEX: Final = (
    "CREATE VIRTUAL TABLE names USING"
    " fts5(id, title, content='', tokenize='trigram case_sensitive 1')"
)


def has_trigrams() -> bool:
    """Whether this release of SQLite knows three letters in a row."""
    return sqlite3.sqlite_version_info >= (3, 34)


def has_fts5(connection: sqlite3.Connection) -> bool:
    """Whether this release of SQLite can make an index of texts."""
    return bool(connection.execute(f"SELECT {_FTS5}").fetchone()[0])


def has_index(connection: sqlite3.Connection, name: str) -> bool:
    """Whether there is an index of texts, which this release of SQLite can use."""
    query = f"SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?) AND {_FTS5}"
    return bool(connection.execute(query, (name,)).fetchone()[0])


def _is_possible(connection: sqlite3.Connection) -> bool:
    return has_trigrams() and has_index(connection, "names")


def settle(connection: sqlite3.Connection) -> int:
    """Bring the index up to what the threads are called, at the end of a transaction.

    Returns:
        About how many bytes of the index are of no use from now on, until it is merged.
    """
    (until, last, is_renamed) = connection.execute(
        "SELECT until, ifnull((SELECT max(key) FROM threads), 0), EXISTS (SELECT 1 FROM renamed)"
        " FROM named"
    ).fetchone()
    if not (is_renamed or last >= until + AT_A_TIME) or not _is_possible(connection):
        return 0
    waste = 0
    if is_renamed:
        waste = _rename(connection)
        # The keys of the last threads are given again once these are deleted.
        until = min(until, last)
    if last >= until + AT_A_TIME:
        first, until = until, until + AT_A_TIME
        connection.execute(f"{_ADD} WHERE key > ? AND key <= ?", (first, until))
    connection.execute("UPDATE named SET until = ?", (until,))
    return waste


def _rename(connection: sqlite3.Connection) -> int:
    connection.execute(
        "DELETE FROM renamed WHERE EXISTS (SELECT 1 FROM threads WHERE key = renamed.key"
        " AND folded = renamed.folded AND title_folded IS renamed.title_folded)"
    )
    # An index without content has to be told what it had.
    connection.execute(
        "INSERT INTO names (names, rowid, id, title)"
        " SELECT 'delete', key, folded, title_folded FROM renamed"
    )
    connection.execute(f"{_ADD} WHERE key IN (SELECT key FROM renamed)")
    (length,) = connection.execute(
        "SELECT total(length(folded) + ifnull(length(title_folded), 0)) FROM renamed"
    ).fetchone()
    connection.execute("DELETE FROM renamed")
    return int(length) * _BYTES


def find(connection: sqlite3.Connection, lower: str, most: int) -> Iterator[list[int]]:
    """Yields lists of the keys of threads whose id or title contains a text.

    Args:
        connection: Where they are.
        lower: The text in lower case.
        most: How many a list has at most: the latest.
    """
    until = 0
    if _LEAST <= len(lower) <= _MOST and "\0" not in lower and _is_possible(connection):
        # A process without the index has left what it has renamed.
        (until,) = connection.execute(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM renamed) THEN 0 ELSE until END FROM named"
        ).fetchone()
    if until:
        quoted = lower.replace('"', '""')
        named = "SELECT rowid AS key FROM names WHERE names MATCH ? ORDER BY rowid DESC"
        yield some_keys(connection, named, (f'"{quoted}"',), most)
    # An index of ids in lower case would be one more for each span that begins a thread.
    name = "id" if lower.isascii() else "folded"
    # What is sorted by titles would otherwise be left for the range of keys.
    key = "key" if until else "+key"
    for column in (name, "title_folded"):
        has, value = has_text(column, lower, is_folded=True)
        query = f"SELECT key FROM threads WHERE {has} AND {key} > ? ORDER BY {key} DESC"
        yield some_keys(connection, query, (value, until), most)
