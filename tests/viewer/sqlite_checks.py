"""Compares the rollups of a SQLite file with its spans, and makes a file an older one."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from orq_otel.viewer.model.ids import digest
from orq_otel.viewer.store.buckets import latency_step
from orq_otel.viewer.store.sqlite import SQLiteStore
from orq_otel.viewer.store.sqlite_rows import ROW_COLUMNS, row_of
from orq_otel.viewer.store.tally import THREAD_WIDTHS, Tally, ThreadTally

_SUMS: Final = "spans, errors, input_tokens, output_tokens, cost, priced, unpriced, estimated"
_GROUP_SUMS: Final = (
    "calls, errors, input_tokens, output_tokens, cost, priced, unpriced, spans, estimated"
)


def rollup_errors(store: SQLiteStore) -> list[str]:
    """Returns one line for each row of a rollup that is wrong or missing."""
    return store._file.read(_rollup_errors)


def _rollup_errors(connection: sqlite3.Connection) -> list[str]:
    spans = connection.execute(f"SELECT {ROW_COLUMNS} FROM spans WHERE thread IS NOT NULL")
    tally = Tally(map(row_of, spans))
    threads = tally.threads.items()
    expected: dict[str, Iterable[tuple[Any, ...]]] = {
        f"SELECT key, started, last_active, traces, title, {_SUMS} FROM threads": [
            (
                key,
                one.started,
                one.last_active,
                len(one.traces),
                one.title[2] if one.title else None,
                *one.values(),
            )
            for key, one in threads
        ],
        "SELECT threads FROM counted": [(len(threads),)],
        "SELECT key, digest, active > last_active FROM threads": [
            (key, digest(thread_id), 0)
            for key, thread_id in connection.execute("SELECT key, id FROM threads")
        ],
        "SELECT thread, trace_id FROM thread_traces": [
            (key, trace_id) for key, one in threads for trace_id in one.traces
        ],
        "SELECT thread, tag, start, place FROM thread_tags": [
            (key, tag, *first) for key, one in threads for tag, first in one.tags.items()
        ],
        "SELECT tag, threads FROM tags": Counter(
            tag for _, one in threads for tag in one.tags
        ).items(),
        "SELECT thread, model, start FROM thread_models": [
            (key, *model) for key, one in threads for model in one.models.items()
        ],
        f"SELECT thread, width, start, {_SUMS} FROM thread_activity": [
            (key, *piece, *sums.values())
            for key, one in threads
            for piece, sums in one.activity.items()
        ],
        "SELECT thread, bucket, calls FROM thread_latencies": [
            (key, *bucket) for key, one in threads for bucket in one.latencies.items()
        ],
        f"SELECT width, start, {_SUMS} FROM activity": [
            (*key, *sums.values()) for key, sums in tally.activity.items()
        ],
        "SELECT width, start, bucket, calls FROM latencies": [
            (*key, calls) for key, calls in tally.latencies.items()
        ],
        f"SELECT kind, value, width, start, {_GROUP_SUMS} FROM group_sums WHERE spans": [
            (*group, *sums) for group, sums in _groups(connection, tally).items()
        ],
        "SELECT kind, value, bucket, calls FROM group_latencies WHERE calls": [
            (*bucket, calls) for bucket, calls in _group_latencies(connection, tally).items()
        ],
        "SELECT step, calls FROM latency_steps WHERE calls": Counter(
            latency_step(max(end - start, 0))
            for start, end in connection.execute("SELECT start, end FROM calls WHERE is_model_call")
        ).items(),
        "SELECT key, mask FROM threads JOIN kept_labels ON kept & mask": connection.execute(
            "SELECT thread, mask FROM kept_labels JOIN (SELECT thread, 'tag' AS kind, tag AS value"
            " FROM thread_tags UNION ALL SELECT * FROM thread_facets) USING (kind, value)"
        ).fetchall(),
        "SELECT key, spans FROM resources": connection.execute(
            "SELECT resource, COUNT(*) FROM (SELECT resource FROM spans"
            " UNION ALL SELECT resource FROM logs) GROUP BY resource"
        ).fetchall(),
    }
    _trigrams(connection, expected)
    return [
        line
        for query, rows in expected.items()
        for line in _differing(query, set(connection.execute(query)), set(rows))
    ]


def _trigrams(
    connection: sqlite3.Connection, expected: dict[str, Iterable[tuple[Any, ...]]]
) -> None:
    """Adds what the index of names should have of the threads in it."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'names'").fetchone():
        return
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.trigrams USING fts5vocab(main, names, instance)"
    )
    expected["SELECT key, folded FROM renamed"] = []
    expected['SELECT doc, col, term, "offset" FROM temp.trigrams'] = [
        (key, column, name[at : at + 3], at)
        for key, *names in connection.execute(
            "SELECT key, folded, title_folded FROM threads WHERE key <= (SELECT until FROM named)"
        )
        for column, name in zip(("id", "title"), names, strict=True)
        if name is not None
        for at in range(len(name) - 2)
    ]


def _groups(connection: sqlite3.Connection, tally: Tally) -> dict[tuple[Any, ...], list[int]]:
    """Returns the sums of groups that are not empty, by kind, value, width and start."""
    found: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 9)

    def count(group: tuple[str, str], width: int, start: int, values: Iterable[int]) -> None:
        key = (*group, width, start - start % width)
        found[key] = [a + b for a, b in zip(found[key], values, strict=True)]

    for model, start, *values in connection.execute(
        "SELECT coalesce(model, ''), start, 1, is_error, coalesce(input_tokens, 0),"
        " coalesce(output_tokens, 0), coalesce(cost, 0), cost IS NOT NULL,"
        " is_model_call AND cost IS NULL, 1, estimated FROM calls"
    ):
        for width in THREAD_WIDTHS:
            count(("model", model), width, start, values)
    for label, one in _labelled(connection, tally):
        for (width, start), sums in one.activity.items():
            spans, *values, estimated = sums.values()
            counted = [sums.priced + sums.unpriced, *values, spans, estimated]
            count(label, width, start, counted)
    return {key: values for key, values in found.items() if any(values)}


def _group_latencies(connection: sqlite3.Connection, tally: Tally) -> Counter[tuple[str, str, int]]:
    """Returns the calls of each label by the buckets of their latencies."""
    found: Counter[tuple[str, str, int]] = Counter()
    for label, one in _labelled(connection, tally):
        for bucket, calls in one.latencies.items():
            found[(*label, bucket)] += calls
    return found


def _labelled(
    connection: sqlite3.Connection, tally: Tally
) -> Iterator[tuple[tuple[str, str], ThreadTally]]:
    """Yields each label whose sums are kept, with each of its threads."""
    labels = set(connection.execute("SELECT kind, value FROM kept_labels").fetchall())
    for one in tally.threads.values():
        for label in labels & {*one.facets, *(("tag", tag) for tag in one.tags)}:
            yield label, one


def _differing(query: str, found: set[Any], expected: set[Any]) -> Iterable[str]:
    table = query.rpartition(" ")[2]
    yield from (f"{table} has {row}, which is wrong" for row in found - expected)
    yield from (f"{table} lacks {row}" for row in expected - found)


def forget_finding(path: Path) -> None:
    """Take from a file what only the newest version has."""
    with sqlite3.connect(path) as connection:
        forget_estimates(connection)
        for kind, name in connection.execute(
            "SELECT type, name FROM sqlite_master WHERE name IN ('words', 'thread_facets',"
            " 'facets', 'calls', 'documents', 'texts', 'evaluations', 'thread_feedback',"
            " 'unindexed', 'kept_labels', 'group_sums', 'group_latencies', 'latency_steps',"
            " 'call_removed',"
            " 'log_removed', 'thread_removed', 'threads_by_title')"
        ).fetchall():
            connection.execute(f"DROP {kind} {name}")
        for column in ("user", "agent", "tool"):
            connection.execute(f"ALTER TABLE spans DROP COLUMN {column}")
        columns = connection.execute("SELECT name FROM pragma_table_info('threads')").fetchall()
        if ("kept",) in columns:  # unless the file is an even older one
            connection.execute("ALTER TABLE threads DROP COLUMN kept")
    connection.close()


def forget_estimates(connection: sqlite3.Connection) -> None:
    """Take from a file what tells estimates from other costs, and the index of names."""
    for kind, name in (
        ("TRIGGER", "thread_renamed"),
        ("TRIGGER", "named_thread_removed"),
        ("TABLE", "renamed"),
        ("TABLE", "named"),
        ("TABLE", "names"),
    ):
        connection.execute(f"DROP {kind} IF EXISTS {name}")
    connection.execute("DROP INDEX IF EXISTS spans_by_thread")
    for table in ("spans", "calls", "threads", "thread_activity", "activity", "group_sums"):
        columns = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
        if ("estimated",) in columns:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN estimated")
    connection.execute(
        "CREATE INDEX spans_by_thread ON spans (thread, start, end, is_error, is_model_call,"
        " input_tokens, output_tokens, cost) WHERE thread IS NOT NULL"
    )
