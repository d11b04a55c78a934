"""A ClickHouse server: queries with limits, and errors that say what to do.

Text from users is always a query parameter, never part of the SQL. Every query that reads has
limits of time, memory and rows, may only read, and has an id of its own, by which it can be ended.
What the server says of an error may repeat the SQL: it goes to the log, and not into an answer.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store import visits
from orq_otel.viewer.store.clickhouse_address import Address
from orq_otel.viewer.store.clickhouse_connections import Answer, Client, Connections
from orq_otel.viewer.store.sqlite_rows import text

_log = logging.getLogger(__name__)

#: How long a statement may run that makes tables, or fills them.
_LONG: Final = 24 * 3600
#: What the server's `system.query_log` calls our queries.
_COMMENT: Final = "orq-otel viewer"
#: On these depends what a query means. A user's profile may have others: some change answers, and
#: some leave rows out of them without a word, or rows that are gone in them.
_MEANING: Final = {
    "additional_table_filters": "{}",
    "aggregate_functions_null_for_empty": 0,
    "allow_experimental_analyzer": 1,
    "apply_deleted_mask": 1,
    "data_type_default_nullable": 0,
    "distributed_group_by_no_merge": 0,
    "empty_result_for_aggregation_by_empty_set": 0,
    "enable_positional_arguments": 1,
    "final": 0,
    "group_by_use_nulls": 0,
    "join_default_strictness": "ALL",
    "join_use_nulls": 0,
    "limit": 0,
    "offset": 0,
    "skip_unavailable_shards": 0,
    "use_query_cache": 0,
    **{
        f"{what}_overflow_mode": "throw"
        for what in (
            *("distinct", "group_by", "join", "read", "result", "set", "sort", "timeout"),
            "transfer",
        )
    },
}
_ALWAYS: Final = {
    **_MEANING,
    "log_comment": _COMMENT,
    # No row of ours is replaced by one of another day: their keys differ.
    "do_not_merge_across_partitions_select_final": 1,
    # Those of ours have columns of the key, which all versions of a row share.
    "use_skip_indexes_if_final": 1,
    # What is asked for within a question is asked for once, and not on each server of a cluster.
    "distributed_product_mode": "global",
}
#: A query that is asked again runs once, and one ends when whoever asked is not there any more.
_WHILE_ASKED: Final = {
    "replace_running_query": 1,
    "cancel_http_readonly_queries_on_client_close": 1,
}
#: What is inserted, also into a table of a cluster, is there when the statement ends.
_AT_ONCE: Final = {"distributed_foreground_insert": 1, "async_insert": 0}
#: How many bytes of memory are used to sum up a day.
_SUMMED: Final = 2**30
#: How many texts are sent with one query, and how many bytes of them: a server takes no parameter
#: of more than 128 KiB.
_TEXTS: Final = 2_000
_PARAMETER: Final = 128_000
#: Characters that take two bytes in a parameter.
_ESCAPED: Final = "\\'`\t\n"
#: Bytes of rows in one INSERT.
_INSERT: Final = 8 * 2**20


class RefusedError(StoreError):
    """The user lacks the right to do something."""


class LimitError(StoreError):
    """A query has reached a limit.

    Attributes:
        what: What was too much, and where.
        limit: The option of the address that has the limit.
    """

    def __init__(self, what: str, limit: str, *, is_temporary: bool) -> None:
        super().__init__(f"{what} Ask for a shorter time.", is_temporary=is_temporary)
        self.what = what
        self.limit = limit


class _InvalidRowsError(StoreError):
    """Some of the rows cannot be inserted, however often that is tried."""


def parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yields texts, as many at a time as one parameter of a query can have.

    A text that is too long for any query is left out.
    """
    some: list[str] = []
    size = 0
    for one in map(text, texts):
        own = len(one.encode()) + sum(map(one.count, _ESCAPED)) + len("'', ")
        if own > _PARAMETER:
            continue
        if size + own > _PARAMETER or len(some) == _TEXTS:
            yield some
            some, size = [], 0
        some.append(one)
        size += own
    if some:
        yield some


def fitting(texts: Iterable[str]) -> list[str]:
    """Returns the first of some texts, as many as one parameter of a query can have."""
    return next(parts(texts), [])


class Server:
    """A server, or several of which one is asked after the other.

    Args:
        address: Where they are.

    Raises:
        StoreError: `clickhouse-connect` is not installed, or none of them answers.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connections = Connections(address)
        self._lock = threading.Lock()
        self._hosts = itertools.cycle(address.hosts)
        self._client = self._connected()

    def ask(self, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Returns the rows of a query.

        Raises:
            StoreError: It failed.
        """
        query_id = str(uuid.uuid4())
        current = visits.current.get()
        with self._errors():
            if current is None:
                return self._ask(query, values, query_id)
            with current.running(query_id, self._end):
                return self._ask(query, values, query_id)

    def ask_of(
        self, texts: Iterable[str], query: str, values: dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Returns the rows of a query on texts, its parameter `ids`, of which there may be many.

        It is asked as often as it takes, so that its rows have an order in parts alone.

        Raises:
            StoreError: It failed.
        """
        return [
            row for some in parts(texts) for row in self.ask(query, {**(values or {}), "ids": some})
        ]

    def _ask(
        self, query: str, values: dict[str, Any] | None, query_id: str
    ) -> list[tuple[Any, ...]]:
        limits = self.address.limits
        # Without any that the query names, the client would put values into the SQL by itself.
        named = {
            one: _encodable(value) for one, value in (values or {}).items() if f"{{{one}:" in query
        }
        wanted = {
            "readonly": 1,
            "max_execution_time": limits.seconds,
            "max_memory_usage": limits.memory,
            "max_rows_to_read": limits.rows,
            **_WHILE_ASKED,
            **_ALWAYS,
        }
        answer = self._on_some_host(
            lambda client: client.query(
                query, parameters=named or None, settings=self._settings(client, wanted, query_id)
            )
        )
        return [tuple(row) for row in answer.result_rows]

    def do(self, command: str) -> None:
        """Run a statement that changes something.

        Raises:
            StoreError: It failed.
        """
        wanted = {
            **_ALWAYS,
            **_AT_ONCE,
            "max_execution_time": _LONG,
            # On the disk rather than in memory.
            "max_bytes_before_external_group_by": _SUMMED,
        }
        with self._errors():
            client = self._client
            told = client.command(
                command, settings=self._settings(client, wanted, str(uuid.uuid4()))
            )
            # It may fail after the server has begun to answer, with the hosts of a cluster.
            if "DB::Exception" in str(told):
                raise RuntimeError(told)

    def insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Insert rows, whose values are numbers, texts and lists of them.

        Raises:
            StoreError: It failed. Some rows may be there.
        """
        lines: list[bytes] = []
        columns: list[str] = []
        size = left_out = 0
        for row in rows:
            columns = list(row)
            # Half surrogate pairs are replaced as in SQLite: no server takes them.
            lines.append(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
            size += len(lines[-1])
            if size > _INSERT:
                left_out += self._insert_valid(table, columns, lines)
                lines, size = [], 0
        if lines:
            left_out += self._insert_valid(table, columns, lines)
        if left_out:
            _log.warning(
                "%s refuses rows of %s, and %s left out. The viewer's log has more at its level"
                " INFO.",
                self.address.place,
                table,
                "1 of them is" if left_out == 1 else f"{left_out} of them are",
            )

    def _insert_valid(self, table: str, columns: list[str], lines: list[bytes]) -> int:
        """Insert rows: one that is refused does not keep others out. Returns how many are."""
        try:
            self._insert(table, columns, lines)
        except _InvalidRowsError:
            half = len(lines) // 2
            if not half:
                return 1
            return sum(
                self._insert_valid(table, columns, some) for some in (lines[:half], lines[half:])
            )
        return 0

    def _insert(self, table: str, columns: list[str], lines: list[bytes]) -> None:
        # Rows of several days come in one INSERT.
        wanted = {**_ALWAYS, **_AT_ONCE, "max_partitions_per_insert_block": 0}
        with self._errors():
            client = self._client
            client.raw_insert(
                table,
                columns,
                b"\n".join(lines),
                settings=self._settings(client, wanted, str(uuid.uuid4())),
                fmt="JSONEachRow",
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._connections.close()

    def _end(self, query_id: str) -> None:
        """End a query that runs. A user who may only read has to wait for its limit of time."""
        try:
            self._client.command(f"KILL QUERY WHERE query_id = '{query_id}' ASYNC")
        # The query may have ended meanwhile, and clients raise errors of several libraries.
        except Exception as error:  # noqa: BLE001
            _log.debug("A query could not be ended: %s", error)

    def _settings(self, client: Client, wanted: dict[str, Any], query_id: str) -> dict[str, Any]:
        """Returns settings without those that this user may not change.

        Raises:
            StoreError: Answers would be wrong with one that the user may not change.
        """
        fixed = {
            name: one.value
            for name in wanted
            if (one := client.server_settings.get(name)) is not None and one.readonly
        }
        for name, value in _MEANING.items():
            if fixed.get(name, str(value)) != str(value):
                raise StoreError(
                    f"{self.address.place}: the profile of {self.address.user} has {name} ="
                    f" {fixed[name]}, with which answers would be wrong. It needs {value}, or a"
                    " profile that lets the viewer choose.",
                    is_temporary=False,
                )
        settings = {name: value for name, value in wanted.items() if name not in fixed}
        role = {} if self.address.role is None else {"role": self.address.role}
        return {**settings, **role, "query_id": query_id}

    def _on_some_host(self, ask: Callable[[Client], Answer]) -> Answer:
        client = self._client
        try:
            return ask(client)
        except Exception as error:
            message = str(error)
            # The client itself tries again what is cut off before the answer has begun.
            if _CUT not in message and (len(self.address.hosts) == 1 or not _is_gone(message)):
                raise
        with self._lock:
            if self._client is client and len(self.address.hosts) > 1:
                self._client = self._connected()
        return ask(self._client)

    def _connected(self) -> Client:
        with self._errors():
            for _ in self.address.hosts[1:]:
                try:
                    return self._connections.connect(*next(self._hosts))
                # As in `_errors`.
                except Exception as error:  # noqa: PERF203 - there are few hosts
                    if not _is_gone(str(error)):
                        raise
            return self._connections.connect(*next(self._hosts))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors into a `StoreError` that tells the user what to do."""
        try:
            yield
        except StoreError:
            raise
        # Clients raise errors of several libraries.
        except Exception as error:
            message = str(error)
            _log.info("%s: %s", self.address.place, message)
            found = _CODE.search(message)
            # It is the last: before it, the server may repeat SQL, or what somebody said.
            name = next(reversed(_NAME.findall(message)), "")
            code = f" (error {found[1]}{name and f', {name}'})" if found else ""
            for error_name, limit, what, is_temporary in _LIMITS:
                if name == error_name:
                    raise LimitError(
                        f"{self.address.place}: {what}{code}.", limit, is_temporary=is_temporary
                    ) from error
            granted = _GRANT.search(message)
            lacking = (
                f" It needs GRANT {granted[1]} TO {self.address.user}, and the page on ClickHouse"
                " has all rights that are needed."
                if granted
                else ""
            )
            proxy = None if "DB::" in message else self._connections.proxy
            between = (
                f" It is asked through the proxy of {proxy}: NO_PROXY has the names of hosts that"
                " are asked without."
                if proxy
                else ""
            )
            for words, advice, is_temporary in _ADVICE:
                if words in (name if name and words.isupper() else message):
                    raise _KINDS.get(words, StoreError)(
                        f"{self.address.place}: {advice}{lacking}{between}{code}",
                        is_temporary=is_temporary,
                    ) from error
            raise StoreError(
                f"{self.address.place} cannot answer{code}.{between} The viewer's log has more at"
                " its level INFO, and the server's own log all of it.",
                is_temporary=False,
            ) from error


def _encodable(value: Any) -> Any:
    """Returns the value of a parameter without half surrogate pairs, as rows have it."""
    if isinstance(value, list):
        return list(map(_encodable, value))
    return text(value) if isinstance(value, str) else value


def _is_gone(message: str) -> bool:
    return any(words in message for words in _GONE)


_GONE: Final = ("Connection", "Max retries", "timed out", "NameResolution")
#: The answer had begun.
_CUT: Final = "(connection closed by server)"
_CODE: Final = re.compile(r"[Cc]ode: (\d+)")
#: What the server says of a right that is lacking.
_GRANT: Final = re.compile(r"have the grant (.+? ON \S+?)\.?(?:\s|$)")
_NAME: Final = re.compile(r"\(([A-Z][A-Z0-9_]{3,})\)")

_KINDS: Final[dict[str, type[StoreError]]] = {
    **dict.fromkeys(("ACCESS_DENIED", "NOT_ENOUGH_PRIVILEGES", "READONLY"), RefusedError),
    **dict.fromkeys(("CANNOT_PARSE_", "INCORRECT_DATA"), _InvalidRowsError),
}
#: An error's name, the option with its limit, what reached it, and whether trying again may help.
_LIMITS: Final = (
    ("TOO_MANY_ROWS", "max_rows_to_read", "that reads too much", False),
    ("TIMEOUT_EXCEEDED", "max_execution_time", "that takes too long", False),
    ("MEMORY_LIMIT_EXCEEDED", "max_memory_usage", "that takes too much memory", True),
)
#: Part of an error's name or message, advice for the user, and whether trying again may help.
_ADVICE: Final = (
    ("UNKNOWN_TABLE", "there is no such table. Does the Collector write to this database?", False),
    ("UNKNOWN_DATABASE", "there is no such database.", False),
    ("AUTHENTICATION_FAILED", "the user or password is wrong.", False),
    ("ACCESS_DENIED", "the user lacks the right to do this.", False),
    ("NOT_ENOUGH_PRIVILEGES", "the user lacks the right to do this.", False),
    ("READONLY", "the user may only read.", False),
    ("UNKNOWN_IDENTIFIER", "the table is not one of the Collector's exporter.", False),
    ("CANNOT_PARSE_", "a value is not one of its column.", False),
    ("INCORRECT_DATA", "a value is not one of its column.", False),
    ("QUERY_WAS_CANCELLED", "the query was ended.", True),
    ("NOT_ENOUGH_SPACE", "its disk is full.", True),
    ("QUOTA_EXCEEDED", "the user's quota is used up for now.", True),
    *(
        (limit, "that takes more than the user's profile allows. Ask for a shorter time.", False)
        for limit in ("_BYTES", "_COLUMNS", "SET_SIZE_LIMIT", "TOO_SLOW")
    ),
    (
        "SETTING_CONSTRAINT",
        "the user's profile allows no limit as high as a query's. Options of the address lower it.",
        False,
    ),
    ("_ROLE", "its user lacks the role that the address names, or there is none.", False),
    *(
        (name, "the server is busy.", True)
        for name in ("TOO_MANY", "SERVER_OVERLOADED", "CANNOT_SCHEDULE_TASK")
    ),
    ("TABLE_IS_DROPPED", "a table was just dropped.", True),
    ("TABLE_IS_READ_ONLY", "its tables cannot be written to for now.", True),
    *(
        (name, "another server of its cluster does not answer.", True)
        for name in (
            *("ALL_CONNECTION_TRIES_FAILED", "ALL_REPLICAS_ARE_STALE", "KEEPER_EXCEPTION"),
            *("NETWORK_ERROR", "SOCKET_TIMEOUT"),
        )
    ),
    (_CUT, "the connection ended before the answer did.", True),
    ("Connection", "the server does not answer. Does it run?", True),
    ("timed out", "the server takes too long to answer.", True),
    ("Max retries", "the server does not answer. Does it run?", True),
)
