"""Tables of ours beside the Collector's: what each thread did in each trace and hour, and said.

`<table>_orq_activity` has a row for each thread, hour, trace and service, which
`clickhouse_index.py` writes. It is a whole trace that is decided on, so that a row is replaced when
more of its trace arrives or when it is sent again: nothing is added up twice. `<table>_orq_days`
has the sums of these for each thread, day and service: lists and plots read it. It is made of them,
never added to. `<table>_orq_dates` says on which days a thread did something, for those who ask for
all of it. `<table>_orq_messages` has each text of a thread once a day, with the first span
that had it, and `<table>_orq_feedback` each evaluation with its thread. A view notes in
`<table>_orq_arrivals` which traces spans or log records have arrived for, and `<table>_orq_state`
what is done. What log records of coding agents stand for has rows as well, of traces that are in no
table of spans, where they have 0 of them.

Rows are kept as long as the spans that they were made of: they have the same TTL, by the hour of
these, and partitions of a day. A row that is replaced leaves the disk when its part is merged with
that of the later one, which the tables ask for: nobody is to find there what was deleted.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store.clickhouse_server import Server
from orq_otel.viewer.store.clickhouse_tables import Table, name, quoted

#: How long arrivals are kept for viewers that do not run.
ARRIVALS_DAYS: Final = 3
#: Tables and views that earlier releases have made.
_EARLIER: Final = (
    "source",
    "seen",
    *(f"{one}_view" for one in ("threads", "calls", "labels", "latencies", "prices")),
    *("threads", "calls", "labels", "latencies", "prices", "facts", "texts"),
)
#: The form of the tables. Those of another one are made anew.
FORM: Final = 7
#: The settings of tables with what somebody said: a few late rows alone are never merged with a
#: large part. A day is merged as a whole when nothing has been written to it for an hour.
_MERGED: Final = (
    "min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1"
)
_BY_THREAD: Final = "by_thread thread_id TYPE bloom_filter(0.001) GRANULARITY 1"
#: What spans sum up to, in rows of a trace and in those of a day.
_SUMS: Final = """spans Int64,
    errors Int64,
    input_tokens Int64,
    output_tokens Int64,
    cost Int64,
    priced Int64,
    unpriced Int64,
    estimated Int64,
    title String CODEC(ZSTD(1)),
    title_start Int64,
    title_span String"""

_ACTIVITY: Final = f"""
    thread_id String,
    hour DateTime('UTC'),
    trace_id String,
    service LowCardinality(String),
    started Int64 CODEC(Delta, ZSTD(1)),
    last_active Int64 CODEC(Delta, ZSTD(1)),
    {_SUMS},
    tags Array(Tuple(String, Int64, UInt32)) CODEC(ZSTD(1)),
    models Array(Tuple(String, Int64)) CODEC(ZSTD(1)),
    facets Array(Tuple(LowCardinality(String), String)) CODEC(ZSTD(1)),
    scopes Array(LowCardinality(String)),
    seconds Array(UInt16),
    of_seconds Array(Tuple(Int64, Int64, Int64, Int64, Int64)) CODEC(ZSTD(1)),
    call_seconds Array(UInt16),
    call_latencies Array(Int64) CODEC(ZSTD(1)),
    call_kinds Array(UInt8),
    call_models Array(LowCardinality(String)),
    call_sums Array(Tuple(Int64, Int64, Int64)) CODEC(ZSTD(1)),
    of_trace UInt32,
    version UInt64,
    is_deleted UInt8,
    INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX {_BY_THREAD}"""
#: The hour is that of a row's first span. Slots are those of `SLOT` since midnight; `calls` has a
#: slot and a bucket of latencies in each number.
_DAYS: Final = f"""
    thread_id String,
    hour DateTime('UTC'),
    service LowCardinality(String),
    started Int64,
    last_active Int64,
    {_SUMS},
    labels Array(String) CODEC(ZSTD(1)),
    facets Array(Tuple(LowCardinality(String), String)) CODEC(ZSTD(1)),
    slots Array(UInt16),
    slot_spans Array(Int64) CODEC(ZSTD(1)),
    slot_errors Array(Int64) CODEC(ZSTD(1)),
    slot_input_tokens Array(Int64) CODEC(ZSTD(1)),
    slot_output_tokens Array(Int64) CODEC(ZSTD(1)),
    slot_cost Array(Int64) CODEC(ZSTD(1)),
    calls Array(UInt16),
    of_calls Array(UInt64) CODEC(ZSTD(1)),
    version UInt64,
    is_deleted UInt8,
    INDEX {_BY_THREAD}"""
_DATES: Final = """
    thread_id String,
    hour DateTime('UTC'),
    service LowCardinality(String),
    version UInt64,
    is_deleted UInt8"""
_MESSAGES: Final = """
    thread_id String,
    hour DateTime('UTC'),
    digest Int64,
    trace_id String,
    span_id String,
    service LowCardinality(String),
    start Int64 CODEC(Delta, ZSTD(1)),
    place UInt32,
    text String CODEC(ZSTD(3)),
    words String CODEC(ZSTD(3)),
    version UInt64,
    is_deleted UInt8"""
_FEEDBACK: Final = """
    thread_id String,
    hour DateTime('UTC'),
    record String,
    trace_id String,
    service LowCardinality(String),
    verdict Int8,
    version UInt64,
    is_deleted UInt8"""
#: What one call adds to the sums of its model: bits of `call_kinds`.
IS_CALL, IS_ERROR, IS_PRICED, IS_ESTIMATED = 1, 2, 4, 8


class _Part(NamedTuple):
    """A table: its columns, and what follows them."""

    columns: str
    engine: str
    rest: str
    sharding: str


_PARTS: Final = {
    "activity": _Part(
        _ACTIVITY,
        "ReplacingMergeTree(version, is_deleted)",
        "PARTITION BY toDate(hour) ORDER BY (thread_id, hour, trace_id, service) TTL_OF_SPANS"
        # Rows are read for one thread here, another there.
        f" SETTINGS index_granularity = 256, {_MERGED}",
        "cityHash64(thread_id)",
    ),
    "days": _Part(
        _DAYS,
        "ReplacingMergeTree(version, is_deleted)",
        # Who may not change settings reads rows of several days at once.
        "PARTITION BY toDate(hour) ORDER BY (thread_id, toDate(hour), service) TTL_OF_SPANS"
        f" SETTINGS index_granularity = 1024, {_MERGED}",
        "cityHash64(thread_id)",
    ),
    "dates": _Part(
        _DATES,
        "ReplacingMergeTree(version, is_deleted)",
        # A thread is looked up in few parts.
        "PARTITION BY toYYYYMM(hour) ORDER BY (thread_id, toDate(hour), service) TTL_OF_SPANS"
        " SETTINGS index_granularity = 256",
        "cityHash64(thread_id)",
    ),
    "messages": _Part(
        _MESSAGES,
        "ReplacingMergeTree(version, is_deleted)",
        # A search goes back from the latest hour.
        "PARTITION BY toDate(hour) ORDER BY (hour, thread_id, digest) TTL_OF_SPANS"
        f" SETTINGS index_granularity = 1024, {_MERGED}",
        "cityHash64(thread_id)",
    ),
    "feedback": _Part(
        _FEEDBACK,
        "ReplacingMergeTree(version, is_deleted)",
        "PARTITION BY toDate(hour) ORDER BY (thread_id, hour, record) TTL_OF_SPANS",
        "cityHash64(thread_id)",
    ),
    "arrivals": _Part(
        "trace_id String, first DateTime64(9), last DateTime64(9), arrived DateTime64(6, 'UTC'),"
        " evaluations UInt64, agents UInt64",
        "MergeTree",
        "PARTITION BY toDate(arrived) ORDER BY arrived"
        f" TTL toDateTime(arrived) + toIntervalDay({ARRIVALS_DAYS})",
        "cityHash64(trace_id)",
    ),
    "state": _Part(
        "key String, value Int64, version UInt64",
        "ReplacingMergeTree(version)",
        "ORDER BY key",
        "cityHash64(key)",
    ),
}
#: How long rows are kept, in what defines a table, and those of its parts that delete no rows, or
#: only some. Both are without what stands in brackets and quotes.
_TTL: Final = re.compile(r" TTL (.+?)(?= SETTINGS |$)")
_IS_OTHER_PART: Final = re.compile(" (?:TO (?:DISK|VOLUME)|RECOMPRESS|WHERE|GROUP BY) ")
#: Text in quotes, or one character.
_TOKEN: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|.""", re.DOTALL)
_DISTRIBUTED: Final = re.compile(r"Distributed\('([^']+)', '([^']*)', '([^']+)'")


class Tables:
    """The tables of ours for a table of spans.

    Args:
        server: Where they are.
        spans: The Collector's table of spans.
        logs: Its table of log records, or None.
    """

    def __init__(self, server: Server, spans: Table, logs: Table | None) -> None:
        self._server = server
        self._spans = spans
        self._logs = logs

    def name(self, part: str) -> str:
        """Returns the name of one of them for SQL."""
        return f"{name(self._spans.database)}.{name(f'{self._spans.name}_orq_{part}')}"

    def is_there(self, part: str) -> bool:
        """Whether one of them, or of the views, is there and may be seen."""
        found = self._server.ask(
            "SELECT 1 FROM system.tables"
            " WHERE database = {database:String} AND name = {name:String}",
            {"database": self._spans.database, "name": f"{self._spans.name}_orq_{part}"},
        )
        return bool(found)

    def is_noted(self, view: str, table: Table) -> bool:
        """Whether a view notes what arrives in a table: it stays with one that is renamed."""
        source, _ = self._local(table)
        found = self._server.ask(
            "SELECT has(dependencies_table, {view:String}) FROM system.tables"
            " WHERE database = {database:String} AND name = {name:String}",
            {
                "view": f"{self._spans.name}_orq_{view}",
                "database": source.database,
                "name": source.name,
            },
        )
        return all(has for (has,) in found)

    def are_there(self) -> bool:
        """Whether they were made by this release."""
        found = self._server.ask(
            "SELECT name FROM system.tables WHERE database = {database:String}"
            " AND name IN {names:Array(String)}",
            {
                "database": self._spans.database,
                "names": [f"{self._spans.name}_orq_{part}" for part in _PARTS],
            },
        )
        return len(found) == len(_PARTS) and self.state("form") == FORM

    def state(self, key: str) -> int | None:
        """Returns a number that was noted, or None."""
        found = self._server.ask(
            f"SELECT value FROM {self.name('state')} FINAL WHERE key = {{key:String}}",
            {"key": key},
        )
        return int(found[0][0]) if found else None

    def noted(self, kind: str) -> dict[int, int]:
        """Returns what was noted of each day since the epoch.

        Args:
            kind: "day", the round in which it was summed up, "agents", how many log records of
                coding agents were, or "records", that other log records report some of it.
        """
        found = self._server.ask(
            f"SELECT toInt64(substring(key, {len(kind) + 2})), value"
            f" FROM {self.name('state')} FINAL WHERE startsWith(key, '{kind} ')"
        )
        return {int(day): int(value) for day, value in found}

    def note(self, key: str, value: int) -> None:
        """Note a number."""
        version = self.now()
        rows = [{"key": key, "value": value, "version": version}]
        self._server.insert(self.name("state"), rows)

    def latest(self) -> int:
        """Returns when a number was noted last: whoever has written rows notes one then."""
        ((latest,),) = self._server.ask(f"SELECT max(version) FROM {self.name('state')}")
        return int(latest)

    def arrivals(self) -> int:
        """Returns how many arrivals are noted."""
        ((count,),) = self._server.ask(f"SELECT count() FROM {self.name('arrivals')}")
        return int(count)

    def now(self) -> int:
        """Returns the server's time in microseconds: the version of rows that are made of it."""
        ((now,),) = self._server.ask("SELECT toUnixTimestamp64Micro(now64(6))")
        return int(now)

    def make(self) -> None:
        """Create those that are not there, with what fills them.

        Drop those of another form before, or that are kept for another time than spans are.

        Raises:
            StoreError: The server does not allow it, or nothing can note what arrives there.
        """
        statements = self.statements()
        form = self.state("form") if self.is_there("state") else 0
        # Some may be gone already, if dropping them was interrupted.
        is_kept = not self.is_there("activity") or self.are_kept_as_spans()
        if form not in {0, FORM} or not is_kept:
            self.drop()
            form = 0
        for statement in statements:
            self._server.do(statement)
        if form != FORM:
            for part in _EARLIER:
                self._server.do(f"DROP TABLE IF EXISTS {self.name(part)}{self._on()}")
            self.note("form", FORM)

    def are_kept_as_spans(self) -> bool:
        """Whether rows are kept as long as spans are now.

        Raises:
            StoreError: The user may not see it.
        """
        spans, _ = self._local(self._spans)
        ours, _ = self._local(Table.find(self._server, self.name("activity")))
        return _ttl_of_all(ours.engine_full) == _of_hours(_ttl_of_all(spans.engine_full))

    def statements(self) -> list[str]:
        """Returns the statements that make the tables.

        Raises:
            StoreError: The spans are in a view, or something else that notes no arrivals.
        """
        made = []
        spans, cluster = self._local(self._spans)
        ttl = self._ttl(spans.engine_full)
        for part, one in _PARTS.items():
            rest = one.rest.replace("TTL_OF_SPANS", ttl)
            local = part if cluster is None else f"{part}_local"
            made.append(
                f"CREATE TABLE IF NOT EXISTS {self.name(local)}{self._on()} ({one.columns})"
                f" ENGINE = {_family(spans)}{one.engine} {rest}"
            )
            if cluster is not None:
                made.append(
                    f"CREATE TABLE IF NOT EXISTS {self.name(part)}{self._on()} AS"
                    f" {self.name(local)} ENGINE = Distributed({quoted(cluster)},"
                    f" {quoted(self._spans.database)},"
                    f" {quoted(f'{self._spans.name}_orq_{local}')}, {one.sharding})"
                )
        arrivals = self.name("arrivals" if cluster is None else "arrivals_local")
        for view, table in (("arriving", self._spans), ("arriving_logs", self._logs)):
            if table is not None:
                source, _ = self._local(table)
                if not self.is_noted(view, table):
                    made.append(f"DROP TABLE IF EXISTS {self.name(view)}{self._on()}")
                told = theirs = "0"
                if table is not self._spans:
                    told, theirs = source.is_evaluation(), source.is_of_agent()
                made.append(
                    f"CREATE MATERIALIZED VIEW IF NOT EXISTS {self.name(view)}{self._on()}"
                    f" TO {arrivals} AS SELECT TraceId AS trace_id,"
                    " min(Timestamp) AS first, max(Timestamp) AS last, now64(6, 'UTC') AS arrived,"
                    f" countIf({told}) AS evaluations, countIf({theirs}) AS agents"
                    f" FROM {source.sql} WHERE TraceId != '' OR {told} OR {theirs}"
                    " GROUP BY TraceId"
                )
        return made

    def drop(self) -> None:
        """Drop the tables and views, and those of earlier releases.

        Raises:
            StoreError: The server does not allow it.
        """
        views = ("arriving", "arriving_logs")
        local = (f"{part}_local" for part in (*_PARTS, "texts"))
        for part in (*views, *_EARLIER, *_PARTS, *local):
            self._server.do(f"DROP TABLE IF EXISTS {self.name(part)}{self._on()}")

    def _on(self) -> str:
        cluster = self._server.address.cluster
        if cluster is None:
            found = _DISTRIBUTED.search(self._spans.engine_full)
            cluster = found[1] if found else None
        return "" if cluster is None else f" ON CLUSTER {name(cluster)}"

    def _local(self, table: Table) -> tuple[Table, str | None]:
        """Returns the table that spans are written to, and the cluster that it is spread over."""
        found = _DISTRIBUTED.search(table.engine_full)
        if found:
            place = f"{name(found[2] or table.database)}.{name(found[3])}"
            return Table.find(self._server, place), found[1]
        if not table.engine.endswith("MergeTree"):
            raise StoreError(
                f"{table.name} is of the engine {table.engine or 'that this user may not see'},"
                " which tells of nothing that arrives. Name the table that the Collector writes"
                " to.",
                is_temporary=False,
            )
        return table, None

    def _ttl(self, definition: str) -> str:
        """Returns how long rows are kept: as long as the spans of their hour.

        Raises:
            StoreError: Rows of ours cannot be kept as long: it depends on what they do not have.
        """
        kept = _ttl_of_all(definition)
        ours = _of_hours(kept)
        if ours is None:
            return ""
        try:
            self._server.ask(f"SELECT {ours} FROM (SELECT now('UTC') AS hour)")
        except StoreError as error:
            if error.is_temporary:
                raise
            raise StoreError(
                f"Sums cannot be kept as long as spans are by TTL {kept}: of what it asks for, they"
                " have the time alone.",
                is_temporary=False,
            ) from error
        return f"TTL {ours}"


def _of_hours(ttl: str | None) -> str | None:
    """Returns how long rows of ours are kept if spans have a TTL."""
    return None if ttl is None else re.sub(r"\bTimestamp(?:Time|Date)?\b", "hour", ttl)


def _ttl_of_all(definition: str) -> str | None:
    """Returns after which time a table deletes any row, in SQL, or None if it keeps some."""
    outside = []
    depth = 0
    for token in _TOKEN.findall(definition):
        depth -= token in {")", "]"}
        outside.append(token if not depth and len(token) == 1 else "_" * len(token))
        depth += token in {"(", "["}
    plain = "".join(outside)
    found = _TTL.search(plain)
    if found is None:
        return None
    begin = found.start(1)
    for part in found[1].split(", "):
        end = begin + len(part)
        if not _IS_OTHER_PART.search(part):
            return definition[begin:end].removesuffix(" DELETE")
        begin = end + len(", ")
    return None


def _family(table: Table) -> str:
    """Returns the beginning of the engines that belong to that of the spans."""
    return next((one for one in ("Replicated", "Shared") if table.engine.startswith(one)), "")
