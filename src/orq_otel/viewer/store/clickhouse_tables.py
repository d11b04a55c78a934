"""The Collector's tables: which columns they have, and how spans are looked up in them."""

from __future__ import annotations

import functools
import logging
import re
from dataclasses import dataclass
from typing import Final

from orq_otel.viewer.dialects import logged, others
from orq_otel.viewer.dialects import table as dialects
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.model.telemetry import EVALUATION
from orq_otel.viewer.store.clickhouse_server import Server

_log = logging.getLogger(__name__)

#: The exporter's name for the table of log records.
_LOGS_TABLE: Final = "otel_logs"
_QUOTED: Final = re.compile(r'`((?:[^`\\]|\\.)+)`|"((?:[^"\\]|\\.)+)"|([^.`"\s]+)')
#: The columns of spans that every release of the exporter has written.
_SPANS: Final = frozenset(
    {
        *("Timestamp", "TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "ServiceName"),
        *("ResourceAttributes", "ScopeName", "SpanAttributes", "Duration", "StatusCode"),
        *("StatusMessage", "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId"),
        *("Links.SpanId", "Links.Attributes"),
    }
)
_LOGS: Final = frozenset(
    {
        *("Timestamp", "TraceId", "SpanId", "SeverityText", "Body", "ServiceName", "ScopeName"),
        *("LogAttributes", "ResourceAttributes"),
    }
)
_NULLABLE: Final = re.compile(r"(?:Array\(|LowCardinality\()*Nullable\(")
#: Those that are texts.
_TEXTS: Final = frozenset(
    {
        *("TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "ServiceName", "ScopeName"),
        *("StatusCode", "StatusMessage", "SeverityText", "Body"),
    }
)
_TEXT: Final = r"(?:String|LowCardinality\(String\))"
_MAP: Final = re.compile(rf"Map\({_TEXT}, {_TEXT}\)")
#: Marks that spans without generative AI have, too: of Java's threads, of all of Logfire's spans,
#: of calls to AWS, of Elastic's and Datadog's kinds.
_COMMON: Final = frozenset(
    {"thread.", "logfire.msg", "logfire.msg_template", "rpc.service", "events", "span.type"}
)
#: Attributes with the id of a thread, but for those of a web session and of OS threads.
_IDS: Final = tuple(
    name for name in dialects.THREAD_IDS if name not in {"thread.id", *dialects.SESSIONS}
)
_MARKS: Final = tuple(
    dict.fromkeys(mark for one in dialects.DIALECTS for mark in one.marks if mark not in _COMMON)
)


_SCOPES: Final = tuple(scope for one in dialects.DIALECTS for scope in one.scopes)


@functools.lru_cache(maxsize=16)
def _warn_once(server: Server, message: str) -> None:  # noqa: ARG001 - once for each
    _log.warning("%s", message)


def quoted(text: str) -> str:
    """Quotes a constant string for SQL. Text from users is always a query parameter."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def name(text: str) -> str:
    """Quotes a name for SQL."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _strings(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a view, or a distributed table.

    Attributes:
        database: Its database.
        name: Its name.
        types: The types of its columns.
        engine: Its engine, such as "MergeTree", or "" if the user may not see it.
        engine_full: The engine with its arguments, keys and settings, or "".
    """

    database: str
    name: str
    types: dict[str, str]
    engine: str = ""
    engine_full: str = ""

    @classmethod
    def find(cls, server: Server, text: str) -> Table:
        """Finds a table by its name.

        Args:
            server: Where it is.
            text: The name, after its database and a dot if it is in another one. Either may be
                quoted.

        Raises:
            StoreError: There is no such table.
        """
        parts = [
            bare or re.sub(r"\\(.)", r"\1", in_backticks or in_quotes)
            for in_backticks, in_quotes, bare in _QUOTED.findall(text)
        ]
        if len(parts) not in {1, 2} or len(_QUOTED.sub("", text)) != len(parts) - 1:
            raise StoreError(
                f"{text!r} is not the name of a table: table, database.table, or with quotes.",
                is_temporary=False,
            )
        database, table = (server.address.database, *parts)[-2:]
        described = server.ask(f"DESCRIBE TABLE {name(database)}.{name(table)}")
        types = {str(column): str(kind) for column, kind, *_ in described}
        found = server.ask(
            "SELECT engine, engine_full FROM system.tables"
            " WHERE database = {database:String} AND name = {table:String}",
            {"database": database, "table": table},
        )
        engine, engine_full = found[0] if found else ("", "")
        return cls(database, table, types, engine, engine_full)

    @classmethod
    def of_spans(cls, server: Server) -> Table:
        """Finds the table of spans.

        Raises:
            StoreError: There is none, or it is not one of the Collector's exporter.
        """
        found = cls.find(server, server.address.table)
        found.check(_SPANS, "SpanAttributes")
        return found

    @classmethod
    def of_logs(cls, server: Server) -> Table | None:
        """Finds the table of log records, if there is one that can be read.

        Raises:
            StoreError: The address names one that cannot be read.
        """
        named = server.address.logs
        try:
            found = cls.find(server, named or _LOGS_TABLE)
            found.check(_LOGS, "LogAttributes")
        except StoreError as error:
            if error.is_temporary:
                raise
            if named is not None:
                raise StoreError(f"Log records ({named}): {error}", is_temporary=False) from error
            if "UNKNOWN_TABLE" not in str(error):
                _warn_once(server, f"Log records are not read: {error}")
            return None
        return found

    @classmethod
    def of_times(cls, server: Server, spans: Table) -> Table | None:
        """Finds the exporter's table of when traces began and ended, if it has one."""
        try:
            found = cls.find(server, f"{name(spans.database)}.{name(f'{spans.name}_trace_id_ts')}")
        except StoreError as error:
            if error.is_temporary:
                raise
            return None
        return found if {"TraceId", "Start", "End"} <= found.types.keys() else None

    def check(self, needed: frozenset[str], attributes: str) -> None:
        """Check that it can be read.

        Args:
            needed: The columns that it needs.
            attributes: The one with attributes.

        Raises:
            StoreError: It cannot be read.
        """
        lacking = sorted(needed - self.types.keys())
        if lacking:
            raise StoreError(
                f"{self.name} is not a table of the Collector's ClickHouse exporter: it has no"
                f" {', '.join(lacking)}.",
                is_temporary=False,
            )
        if nullable := sorted(one for one in needed if _NULLABLE.match(self.types[one])):
            raise StoreError(
                f"{self.name} cannot be read: its {', '.join(nullable)} may be NULL. A view that"
                " has something else in its place can.",
                is_temporary=False,
            )
        others = [one for one in needed & _TEXTS if not re.fullmatch(_TEXT, self.types[one])]
        if others:
            raise StoreError(
                f"{self.name} cannot be read: its {', '.join(sorted(others))} must be String. A"
                " view that has one in its place can.",
                is_temporary=False,
            )
        kind = self.types[attributes]
        if not (kind.startswith("JSON") or _MAP.fullmatch(kind)):
            raise StoreError(
                f"{self.name} cannot be read: its {attributes} are {kind}, and neither JSON nor a"
                " map of texts.",
                is_temporary=False,
            )

    @property
    def sql(self) -> str:
        """The name for SQL."""
        return f"{name(self.database)}.{name(self.name)}"

    def is_json(self, column: str = "SpanAttributes") -> bool:
        """Whether attributes are JSON. Otherwise they are a map of texts."""
        return "JSON" in self.types[column]

    def attribute(self, key: str, column: str = "SpanAttributes") -> str:
        """Returns SQL for an attribute's text, or ''."""
        if self.is_json(column):
            path = ".".join(map(name, key.split(".")))
            return f"ifNull(toString({column}.{path}), '')"
        return f"{column}[{quoted(key)}]"

    def is_about_genai(self) -> str:
        """Returns SQL for whether a span may say anything about a thread."""
        names = self.keys()
        exact = tuple(mark for mark in (*_MARKS, *_IDS) if not mark.endswith("."))
        beginnings = "|".join(re.escape(mark) for mark in _MARKS if mark.endswith("."))
        pattern = quoted(f"^(?:{beginnings})|{others.MAY_COUNT}")
        failed = quoted(f"^(?:{'|'.join(sorted(dialects.NAMED))}) .")
        return (
            f"(hasAny({names}, {_strings(exact)})"
            f" OR arrayExists(k -> match(k, {pattern}), {names})"
            f" OR {self.has_thread_id()} OR {self._may_have_kind()}"
            f" OR has({_strings(_SCOPES)}, ScopeName)"
            f" OR (endsWith(upper(StatusCode), 'ERROR') AND match(SpanName, {failed})))"
        )

    def has_thread_id(self, column: str = "SpanAttributes") -> str:
        """Returns SQL for whether `thread.id` is a text, and not the number of an OS thread."""
        thread = self.attribute("thread.id", column)
        return f"({thread} != '' AND NOT match({thread}, '^(?:0|-?[1-9][0-9]*)$'))"

    def _may_have_kind(self) -> str:
        """Returns SQL for whether a span may have a kind of a convention that nobody knows."""
        pattern = quoted(others.MAY_BE_KIND)
        if self.is_json():
            kinds = quoted(f'"(?:{"|".join(others.KINDS)})"')
            return (
                f"(arrayExists(k -> match(k, {pattern}), {self.keys()})"
                f" AND match(toString(SpanAttributes), {kinds}))"
            )
        kinds = _strings(tuple(others.KINDS))
        return (
            f"arrayExists((k, v) -> has({kinds}, v) AND match(k, {pattern}),"
            " mapKeys(SpanAttributes), mapValues(SpanAttributes))"
        )

    def keys(self, column: str = "SpanAttributes") -> str:
        """Returns SQL for the names of all attributes."""
        return f"JSONAllPaths({column})" if self.is_json(column) else f"mapKeys({column})"

    def event_name(self) -> str:
        """Returns SQL for the name of a log record's event, or ''."""
        # Earlier releases of the Collector's exporter have no column for it.
        column = "EventName" if "EventName" in self.types else "''"
        return f"if({column} != '', {column}, {self.attribute('event.name', 'LogAttributes')})"

    def is_evaluation(self) -> str:
        """Returns SQL for whether a log record is an evaluation."""
        return f"{self.event_name()} = {quoted(EVALUATION)}"

    def is_of_agent(self) -> str:
        """Returns SQL for whether a log record may be one of a coding agent without spans."""
        scopes = [f"startsWith(ScopeName, {quoted(one)})" for one in logged.SCOPES]
        event = self.event_name()
        events = (f"startsWith({event}, {quoted(one)})" for one in logged.EVENTS)
        return f"({' OR '.join((*scopes, *events))})"

    def conversation(self) -> str:
        """Returns SQL for the conversation of a coding agent's log record, or ''."""
        first, other = (self.attribute(one, "LogAttributes") for one in logged.IDS)
        return f"if({first} != '', {first}, {other})"

    def has_id(self, ids: str) -> str:
        """Returns SQL for whether an attribute with ids of threads has one of these.

        An index finds them first: a text index on items of newer tables, or else a bloom filter on
        values.

        Args:
            ids: SQL for a list of texts.
        """
        every = dialects.THREAD_IDS
        texts = ", ".join(map(self.attribute, every))
        # Some senders write their ids as JSON.
        both = f"arrayConcat({ids}, arrayMap(x -> concat('\"', x, '\"'), {ids}))"
        exact = f"hasAny([{texts}], {both})"
        if self.is_json():
            return exact
        if "SpanAttributeItems" in self.types:
            items = f"arrayConcat(arrayMap(n -> arrayMap(x -> concat(n, '=', x), {both}), NAMES))"
            items = f"arrayFlatten({items.replace('NAMES', _strings(every))})"
            return f"(hasAny(SpanAttributeItems, {items}) AND {exact})"
        like = f"has({both}, v) AND match(k, {quoted(others.MAY_BE_ID)})"
        return (
            f"(hasAny(mapValues(SpanAttributes), {both}) AND ({exact} OR arrayExists((k, v) ->"
            f" {like}, mapKeys(SpanAttributes), mapValues(SpanAttributes))))"
        )
