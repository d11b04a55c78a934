"""The tables of a SQLite file, and how older files become newer ones.

`PRAGMA user_version` says how many of `STEPS` a file has seen. A step that a release has brought
is never changed: whatever is to be different goes into a new one.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from orq_otel.viewer.model.ids import LONG_ID, digest
from orq_otel.viewer.store import sqlite_groups, sqlite_names

_log = logging.getLogger(__name__)

Step = str | Callable[[sqlite3.Connection], None]

_FIRST: Final = """
-- Where spans come from. Many spans share one.
CREATE TABLE resources (
    key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    service TEXT NOT NULL,
    attributes TEXT NOT NULL,
    spans INTEGER NOT NULL
);

-- The facts of each span in columns, all else in one, as JSON, which may be compressed.
CREATE TABLE spans (
    seq INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_id BLOB,
    thread INTEGER,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    is_error INTEGER NOT NULL,
    is_model_call INTEGER NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost INTEGER,
    resource INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    status_message TEXT NOT NULL,
    scope TEXT NOT NULL,
    operation TEXT,
    model TEXT,
    provider TEXT,
    title TEXT,
    tags TEXT,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX spans_by_id ON spans (trace_id, span_id);
CREATE INDEX spans_by_start ON spans (start);
-- It covers what plots of some threads are made of.
CREATE INDEX spans_by_thread ON spans (
    thread, start, end, is_error, is_model_call, input_tokens, output_tokens, cost
) WHERE thread IS NOT NULL;

-- The rollups. Each transaction that writes or deletes spans keeps them right.
CREATE TABLE threads (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    folded TEXT NOT NULL,
    title TEXT,
    title_folded TEXT,
    title_start INTEGER,
    title_span BLOB,
    started INTEGER NOT NULL DEFAULT 0,
    last_active INTEGER NOT NULL DEFAULT 0,
    traces INTEGER NOT NULL DEFAULT 0,
    spans INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL DEFAULT 0,
    priced INTEGER NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX threads_by_last_active ON threads (last_active, id);
CREATE INDEX threads_by_started ON threads (started, id);
CREATE INDEX threads_by_duration ON threads (last_active - started, id);
CREATE INDEX threads_by_spans ON threads (spans, id);
CREATE INDEX threads_by_tokens ON threads (input_tokens + output_tokens, id);
CREATE INDEX threads_by_cost ON threads (CASE WHEN priced THEN cost ELSE -1 END, id);
CREATE INDEX threads_by_errors ON threads (errors, id);

CREATE TABLE thread_traces (
    thread INTEGER NOT NULL,
    trace_id BLOB NOT NULL,
    PRIMARY KEY (thread, trace_id)
) WITHOUT ROWID;
CREATE TRIGGER trace_added AFTER INSERT ON thread_traces BEGIN
    UPDATE threads SET traces = traces + 1 WHERE key = new.thread;
END;

CREATE TABLE thread_tags (
    thread INTEGER NOT NULL,
    tag TEXT NOT NULL,
    start INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (thread, tag)
) WITHOUT ROWID;
CREATE INDEX thread_tags_by_tag ON thread_tags (tag, thread);
CREATE TABLE tags (
    tag TEXT PRIMARY KEY,
    threads INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tags_by_threads ON tags (threads, tag);
CREATE TRIGGER tag_added AFTER INSERT ON thread_tags BEGIN
    INSERT INTO tags VALUES (new.tag, 1) ON CONFLICT DO UPDATE SET threads = threads + 1;
END;
CREATE TRIGGER tag_removed AFTER DELETE ON thread_tags BEGIN
    UPDATE tags SET threads = threads - 1 WHERE tag = old.tag;
    DELETE FROM tags WHERE tag = old.tag AND threads = 0;
END;

CREATE TABLE thread_models (
    thread INTEGER NOT NULL,
    model TEXT NOT NULL,
    start INTEGER NOT NULL,
    PRIMARY KEY (thread, model)
) WITHOUT ROWID;

CREATE TABLE thread_activity (
    thread INTEGER NOT NULL,
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    PRIMARY KEY (thread, width, start)
) WITHOUT ROWID;
CREATE TABLE thread_latencies (
    thread INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (thread, bucket)
) WITHOUT ROWID;

-- The same of all threads, in pieces of time of each width.
CREATE TABLE activity (
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    PRIMARY KEY (width, start)
) WITHOUT ROWID;
CREATE TABLE latencies (
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (width, start, bucket)
) WITHOUT ROWID;

-- One row: how often anything was written.
CREATE TABLE changes (count INTEGER NOT NULL);
INSERT INTO changes VALUES (0);
"""

#: Long ids are found by their digest. `active` is when a thread was active last, but not later than
#: when that arrived: by it threads are sorted, whatever the clocks of their senders say.
_COLUMNS: Final = """
ALTER TABLE threads ADD COLUMN digest TEXT;
ALTER TABLE threads ADD COLUMN active INTEGER NOT NULL DEFAULT 0;
"""
_INDEXES: Final = """
CREATE UNIQUE INDEX threads_by_digest ON threads (digest) WHERE digest IS NOT NULL;
DROP INDEX threads_by_last_active;
CREATE INDEX threads_by_active ON threads (active, id);
DROP INDEX threads_by_started;
CREATE INDEX threads_by_started ON threads (min(started, active), id);
"""


def _fill(connection: sqlite3.Connection) -> None:
    """What is there has arrived by now."""
    connection.execute("UPDATE threads SET active = min(last_active, ?)", (time.time_ns(),))
    long = connection.execute("SELECT key FROM threads WHERE length(id) > ?", (LONG_ID,)).fetchall()
    for (key,) in long:
        (thread_id,) = connection.execute("SELECT id FROM threads WHERE key = ?", (key,)).fetchone()
        connection.execute("UPDATE threads SET digest = ? WHERE key = ?", (digest(thread_id), key))


def _second(connection: sqlite3.Connection) -> None:
    _run(connection, _COLUMNS)
    _fill(connection)
    _run(connection, _INDEXES)


#: Spans that name an operation and belong to no thread are few, and shown as such.
_STRAYS: Final = """
CREATE INDEX spans_without_thread ON spans (start) WHERE thread IS NULL AND operation IS NOT NULL;
"""

#: `trace_id` and `span_id` are those of the span that a log record belongs to, also where it names
#: only the response of that span. `responses` has the ids of spans' responses. The number of a
#: resource's spans includes log records.
_LOGS: Final = """
CREATE TABLE logs (
    key INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    trace_id BLOB,
    span_id BLOB,
    thread TEXT,
    response TEXT,
    time INTEGER NOT NULL,
    resource INTEGER NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX logs_by_span ON logs (trace_id, span_id, time) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_by_thread ON logs (thread) WHERE thread IS NOT NULL;
CREATE INDEX logs_by_response ON logs (response) WHERE response IS NOT NULL AND trace_id IS NULL;
CREATE INDEX logs_by_time ON logs (time);
CREATE TABLE responses (
    span INTEGER PRIMARY KEY,
    response TEXT NOT NULL
);
CREATE INDEX responses_by_id ON responses (response);
CREATE TRIGGER response_removed AFTER DELETE ON spans BEGIN
    DELETE FROM responses WHERE span = old.seq;
END;
"""


#: What threads are found by. `facets` are users, models, services, agents and tools. `calls` are
#: the model calls of threads, of which those that failed without tokens do not count. `documents`
#: are the texts of a thread, each once, with the span that had it first. `evaluations` are those
#: log records that are any, with 1 for a good one and -1 for a bad one, and their thread as soon as
#: it is known. `unindexed` has a row for each table whose older rows, up to a key, are not in these
#: tables yet: the viewer reads them in the background. Spans that are to be read again as a whole
#: have the source `again`.
_FINDING: Final = """
ALTER TABLE spans ADD COLUMN user TEXT;
ALTER TABLE spans ADD COLUMN agent TEXT;
ALTER TABLE spans ADD COLUMN tool TEXT;

CREATE TABLE thread_facets (
    thread INTEGER NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (thread, kind, value)
) WITHOUT ROWID;
CREATE INDEX thread_facets_by_value ON thread_facets (value, kind, thread);
CREATE TABLE facets (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    threads INTEGER NOT NULL,
    PRIMARY KEY (kind, value)
) WITHOUT ROWID;
CREATE INDEX facets_by_threads ON facets (kind, threads, value);
CREATE TRIGGER facet_added AFTER INSERT ON thread_facets BEGIN
    INSERT INTO facets VALUES (new.kind, new.value, 1)
        ON CONFLICT DO UPDATE SET threads = threads + 1;
END;
CREATE TRIGGER facet_removed AFTER DELETE ON thread_facets BEGIN
    UPDATE facets SET threads = threads - 1 WHERE kind = old.kind AND value = old.value;
    DELETE FROM facets WHERE kind = old.kind AND value = old.value AND threads = 0;
END;

CREATE TABLE calls (
    thread INTEGER NOT NULL,
    span INTEGER NOT NULL,
    model TEXT,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    is_error INTEGER NOT NULL,
    is_model_call INTEGER NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost INTEGER,
    PRIMARY KEY (thread, span)
) WITHOUT ROWID;
CREATE INDEX calls_by_latency ON calls (max(end - start, 0)) WHERE is_model_call;
CREATE TRIGGER call_removed AFTER DELETE ON spans BEGIN
    DELETE FROM calls WHERE thread = old.thread AND span = old.seq;
END;

CREATE TABLE documents (
    key INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    span INTEGER NOT NULL,
    digest INTEGER NOT NULL
);
CREATE UNIQUE INDEX documents_by_digest ON documents (thread, digest);
CREATE INDEX documents_by_span ON documents (span);
CREATE TABLE texts (key INTEGER PRIMARY KEY, text TEXT NOT NULL);

CREATE TABLE evaluations (log INTEGER PRIMARY KEY, thread INTEGER, verdict INTEGER NOT NULL);
-- Titles are looked through, and the rows of threads are much longer.
CREATE INDEX threads_by_title ON threads (title_folded);

CREATE INDEX evaluations_by_thread ON evaluations (thread) WHERE thread IS NOT NULL;
CREATE INDEX evaluations_waiting ON evaluations (log) WHERE thread IS NULL;
CREATE TABLE thread_feedback (
    thread INTEGER PRIMARY KEY,
    good INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    evaluations INTEGER NOT NULL
);
CREATE TRIGGER evaluation_joined AFTER UPDATE OF thread ON evaluations BEGIN
    UPDATE thread_feedback SET good = good - (old.verdict > 0), bad = bad - (old.verdict < 0),
        evaluations = evaluations - 1 WHERE thread = old.thread;
    DELETE FROM thread_feedback WHERE thread = old.thread AND evaluations = 0;
    INSERT INTO thread_feedback SELECT new.thread, new.verdict > 0, new.verdict < 0, 1
        WHERE new.thread IS NOT NULL ON CONFLICT DO UPDATE SET good = good + (new.verdict > 0),
        bad = bad + (new.verdict < 0), evaluations = evaluations + 1;
END;
CREATE TRIGGER evaluation_removed AFTER DELETE ON evaluations BEGIN
    UPDATE thread_feedback SET good = good - (old.verdict > 0), bad = bad - (old.verdict < 0),
        evaluations = evaluations - 1 WHERE thread = old.thread;
    DELETE FROM thread_feedback WHERE thread = old.thread AND evaluations = 0;
END;
CREATE TRIGGER log_removed AFTER DELETE ON logs BEGIN
    DELETE FROM evaluations WHERE log = old.key;
END;
CREATE TRIGGER thread_removed AFTER DELETE ON threads BEGIN
    UPDATE evaluations SET thread = NULL WHERE thread = old.key;
END;

CREATE TABLE unindexed (source TEXT PRIMARY KEY, until INTEGER NOT NULL);
INSERT INTO unindexed SELECT 'spans', max(seq) FROM spans HAVING max(seq) IS NOT NULL;
INSERT INTO unindexed SELECT 'logs', max(key) FROM logs HAVING max(key) IS NOT NULL;
"""
#: The index of all words. Older releases of SQLite may lack FTS5, and do without.
_WORDS: Final = (
    "CREATE VIRTUAL TABLE words USING"
    " fts5(text, content='', tokenize='unicode61 remove_diacritics 2')"
)


def _finding(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'documents'").fetchone():
        return  # Spans of an older file are to be read again, and these tables are there.
    _run(connection, _FINDING)
    if sqlite_names.has_fts5(connection):
        connection.execute(_WORDS)


def _read_again(connection: sqlite3.Connection) -> None:
    """Let the spans be read again in the background, and not only for searches."""
    _finding(connection)
    _let_be_read_again(connection)


def _let_be_read_again(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM unindexed WHERE source = 'spans'")
    if connection.execute("SELECT 1 FROM unindexed WHERE source = 'again'").fetchone():
        return  # an earlier step has said so
    connection.execute(
        "INSERT INTO unindexed SELECT 'again', max(seq) FROM spans HAVING max(seq) IS NOT NULL"
    )
    (count,) = connection.execute("SELECT COUNT(*) FROM spans").fetchone()
    if count:
        _log.warning(
            "The file is of an earlier release. Its %s spans are read again in the background.",
            f"{count:,}",
        )


#: What `sqlite_groups` keeps: `mask` is the bit of a label, and `kept` has those of a thread.
#: `latency_steps` has the model calls of all threads.
_GROUPS: Final = """
ALTER TABLE threads ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
CREATE TABLE kept_labels (mask INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE group_sums (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    PRIMARY KEY (kind, value, width, start)
) WITHOUT ROWID;
CREATE TABLE latency_steps (step INTEGER PRIMARY KEY, calls INTEGER NOT NULL);
"""


#: Plots of a label that many threads have are read from the same sums: `spans` are all of its
#: threads', and of a model its calls. Those of labels are summed up anew.
_PLOTS_OF_LABELS: Final = """
ALTER TABLE group_sums ADD COLUMN spans INTEGER NOT NULL DEFAULT 0;
UPDATE group_sums SET spans = calls WHERE kind = 'model';
CREATE TABLE group_latencies (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (kind, value, bucket)
) WITHOUT ROWID;
DELETE FROM group_sums WHERE kind <> 'model';
DELETE FROM kept_labels;
UPDATE threads SET kept = 0 WHERE kept;
"""

#: How much of a cost is an estimate.
_ESTIMATES: Final = """
ALTER TABLE spans ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE threads ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE thread_activity ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE activity ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_sums ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
-- It covers what numbers of some threads are made of.
DROP INDEX spans_by_thread;
CREATE INDEX spans_by_thread ON spans (
    thread, start, end, is_error, is_model_call, input_tokens, output_tokens, cost, estimated
) WHERE thread IS NOT NULL;
"""


def _estimates(connection: sqlite3.Connection) -> None:
    _run(connection, _ESTIMATES)
    if not connection.execute("SELECT 1 FROM latency_steps").fetchone():
        sqlite_groups.add_calls(connection, connection.execute("SELECT * FROM calls"))
    sqlite_groups.choose(connection)
    _let_be_read_again(connection)


def _names(connection: sqlite3.Connection) -> None:
    _run(connection, sqlite_names.TABLES)
    if sqlite_names.has_trigrams() and sqlite_names.has_fts5(connection):
        connection.execute(sqlite_names.INDEX)


#: Long traces that are to be decided on as a whole, and how often that was noted.
_UNDECIDED: Final = """
CREATE TABLE IF NOT EXISTS undecided (trace_id BLOB PRIMARY KEY, notes INTEGER NOT NULL)
    WITHOUT ROWID;
"""

#: How many threads there are: to count a million of them takes 50 ms.
_COUNT: Final = """
CREATE TABLE IF NOT EXISTS counted (threads INTEGER NOT NULL);
DELETE FROM counted;
INSERT INTO counted SELECT COUNT(*) FROM threads;
CREATE TRIGGER IF NOT EXISTS thread_added AFTER INSERT ON threads BEGIN
    UPDATE counted SET threads = threads + 1;
END;
CREATE TRIGGER IF NOT EXISTS thread_deleted AFTER DELETE ON threads BEGIN
    UPDATE counted SET threads = threads - 1;
END;
"""


#: The first makes an empty file into one of version 1, and so on.
STEPS: Final[tuple[Step, ...]] = (
    _FIRST,
    _second,
    _STRAYS,
    _LOGS,
    _read_again,
    _finding,
    _GROUPS,
    _PLOTS_OF_LABELS,
    _estimates,
    _names,
    _UNDECIDED,
    _COUNT,
)


class NewerFileError(Exception):
    """A file that a newer release has written."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to the newest version, in one transaction: all steps are taken, or none.

    Args:
        connection: In autocommit mode.

    Raises:
        NewerFileError: It has seen more steps than there are.
        sqlite3.Error: Nothing is changed.
    """
    if _version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again: another process may have been faster.
        version = _version(connection)
        if version > len(STEPS):
            raise NewerFileError(version)  # noqa: TRY301 - rolled back like the rest
        for step in STEPS[version:]:
            if callable(step):
                step(connection)
            else:
                _run(connection, step)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def is_newest(connection: sqlite3.Connection) -> bool:
    """Whether a file has seen all steps, and no others."""
    return _version(connection) == len(STEPS)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run some statements. `executescript` would commit before them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
