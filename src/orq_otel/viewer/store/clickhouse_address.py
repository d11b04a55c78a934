"""The address of a ClickHouse server: what may stand in it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from orq_otel.viewer.model.store import StoreError

_PORTS: Final = {"clickhouse": 8123, "clickhouses": 8443}
_EXAMPLE: Final = "clickhouse://user:password@host:8123/database"
#: What ends a password, or a part of the address.
_RESERVED: Final = "/ ? # % @ [ ]"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take.

    Attributes:
        seconds: How long it may run.
        memory: How many bytes of memory it may take on the server.
        rows: How many rows it may read.
    """

    seconds: int = 30
    memory: int = 4 * 2**30
    rows: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Address:
    """Where the spans are, and as whom they are read.

    Attributes:
        hosts: Names and ports. The next is asked where one does not answer.
        user: The user's name.
        password: The user's password.
        database: The database.
        table: The table of spans, which may begin with a database.
        logs: The table of log records, likewise. None means `otel_logs`, if there is one.
        is_secure: Whether TLS is used.
        ca_cert: The path of certificates that the server's must be signed with, or None.
        client_cert: The path of a certificate of the client, or None.
        client_cert_key: The path of its key, or None.
        role: The role to take, or None.
        cluster: The cluster on which tables are made, or None.
        services: Only spans of these services. () means of all.
        limits: What one query may take.
    """

    hosts: tuple[tuple[str, int], ...] = (("localhost", 8123),)
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "default"
    table: str = "otel_traces"
    logs: str | None = None
    is_secure: bool = False
    ca_cert: str | None = None
    client_cert: str | None = None
    client_cert_key: str | None = None
    role: str | None = None
    cluster: str | None = None
    services: tuple[str, ...] = ()
    limits: Limits = Limits()

    @property
    def place(self) -> str:
        """What error messages call the server."""
        return "ClickHouse at " + ", ".join(f"{host}:{port}" for host, port in self.hosts)

    def scope(self, column: str) -> str:
        """Returns SQL for whether a row is of these services. It needs `scope_values`."""
        return f"{column} IN {{services:Array(String)}}" if self.services else "1"

    @property
    def scope_values(self) -> dict[str, Any]:
        """The values of the parameters in `scope`."""
        return {"services": list(self.services)} if self.services else {}

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parses an address.

        Args:
            url: As `clickhouse://user:password@host:8123/database?table=otel_traces`, or
                `clickhouses://` for TLS. Several hosts have commas between them.

        Raises:
            StoreError: It is none, or has options that are not known. The message has no password.
        """
        try:
            parts = _split(url)
            user, _, hosts = parts.netloc.rpartition("@")
            name, _, password = user.partition(":")
            port = _PORTS[parts.scheme]
            found = tuple(_host(one, port) for one in hosts.split(","))
        except (KeyError, ValueError):
            raise StoreError(
                f"This is no address of a ClickHouse server. One looks like {_EXAMPLE}, and what a"
                f" password has of {_RESERVED} is written there as {quote(_RESERVED, safe=' ')}.",
                is_temporary=False,
            ) from None
        options, limits, services = _options(parts.query)
        return cls(
            hosts=found,
            user=unquote(name) or "default",
            password=unquote(password),
            database=unquote(parts.path.strip("/")) or "default",
            is_secure=parts.scheme == "clickhouses",
            services=services,
            limits=limits,
            **options,
        )


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError("something in the password ends the host")
    return parts


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or port


_TEXTS: Final = (
    *("table", "logs", "role", "cluster"),
    *("ca_cert", "client_cert", "client_cert_key"),
)
#: Limits by the names that ClickHouse has for them.
_LIMITS: Final = {
    "max_execution_time": "seconds",
    "max_memory_usage": "memory",
    "max_rows_to_read": "rows",
}


def _options(query: str) -> tuple[dict[str, Any], Limits, tuple[str, ...]]:
    texts: dict[str, Any] = {}
    limits: dict[str, int] = {}
    services: list[str] = []
    takers: dict[str, Callable[[str, str], None]] = {
        **dict.fromkeys(_TEXTS, texts.__setitem__),
        **dict.fromkeys(_LIMITS, lambda name, value: limits.update({_LIMITS[name]: int(value)})),
        "service": lambda _, value: services.append(value),
    }
    for name, value in parse_qsl(query, keep_blank_values=True):
        take = takers.get(name)
        if take is None:
            raise StoreError(
                f"{name!r} is no option of an address. These are: {', '.join(takers)}.",
                is_temporary=False,
            )
        if not value or (name in _LIMITS and not re.fullmatch("[1-9][0-9]{0,17}", value)):
            raise StoreError(
                f"{name} in the address needs a {'number' if name in _LIMITS else 'value'}.",
                is_temporary=False,
            )
        take(name, value)
    return texts, Limits(**limits), tuple(services)
