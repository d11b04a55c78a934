"""Connections to ClickHouse servers: clients, their pools, certificates and proxies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.ports.guards import is_loopback
from orq_otel.viewer.store.clickhouse_address import Address

#: Seconds that the client waits for longer than the server may take.
_GRACE: Final = 10
_CONNECT: Final = 10
#: How many connections to a server are kept: as many as pages are made at the same time.
_KEPT: Final = 48


class Answer(Protocol):
    """The result of a query."""

    @property
    def result_rows(self) -> Sequence[Sequence[Any]]:
        """Rows of values."""
        ...


class Client(Protocol):
    """The methods that are used of a `clickhouse-connect` client. They are safe in OS threads."""

    server_settings: dict[str, Any]

    def query(
        self,
        query: str,
        parameters: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Run a query."""
        ...

    def command(self, cmd: str, settings: dict[str, Any] | None = None) -> Any:
        """Run a command."""
        ...

    def raw_insert(
        self,
        table: str,
        column_names: Sequence[str],
        insert_block: bytes,
        settings: dict[str, Any] | None = None,
        fmt: str | None = None,
    ) -> Any:
        """Insert rows in some format."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Connections:
    """What connects to the servers of an address.

    Args:
        address: The address.

    Raises:
        StoreError: `clickhouse-connect` is not installed.
    """

    def __init__(self, address: Address) -> None:
        try:
            # It comes with an extra of its own, which few users need.
            import clickhouse_connect  # noqa: PLC0415
            from clickhouse_connect.driver import httputil  # noqa: PLC0415
        except ImportError as error:
            raise StoreError(
                'ClickHouse needs another package: pip install "orq-otel[clickhouse]"',
                is_temporary=False,
            ) from error
        # They warn of what is tried again, with the values of a query in its address. What fails
        # in the end is an error that we raise.
        for name in ("clickhouse_connect", "urllib3.connectionpool"):
            log = logging.getLogger(name)
            if log.level == logging.NOTSET:
                log.setLevel(logging.ERROR)
        self._address = address
        self._library = clickhouse_connect
        self._util = httputil
        self._pools: dict[str | None, Any] = {}

    @property
    def proxy(self) -> str | None:
        """The variable with the proxy that a host is reached through, or None if none is."""
        is_used = any(self._proxy_of(*one) for one in self._address.hosts)
        return f"{self._scheme.upper()}_PROXY" if is_used else None

    def connect(self, host: str, port: int) -> Client:
        """Returns a client for a server."""
        address = self._address
        options: dict[str, Any] = self._certificates()
        # Without it, a certificate is the user's, and the password is not sent.
        if address.client_cert and address.password:
            options["tls_mode"] = "proxy"
        client: Any = self._library.get_client(
            host=host,
            port=port,
            username=address.user,
            password=address.password,
            database=address.database,
            secure=address.is_secure,
            # Several OS threads run queries at the same time.
            autogenerate_session_id=False,
            connect_timeout=_CONNECT,
            send_receive_timeout=address.limits.seconds + _GRACE,
            pool_mgr=self._pool(self._proxy_of(host, port)),
            **options,
        )
        found: Client = client
        return found

    def close(self) -> None:
        """Close those that are kept."""
        for pool in self._pools.values():
            pool.clear()

    @property
    def _scheme(self) -> str:
        return "https" if self._address.is_secure else "http"

    def _proxy_of(self, host: str, port: int) -> str | None:
        """Returns the proxy that the environment has for a server, which is no loopback address."""
        if is_loopback(host):
            return None
        found: str | None = self._util.check_env_proxy(self._scheme, host, port)
        return found

    def _pool(self, proxy: str | None) -> Any:
        if proxy not in self._pools:
            options: dict[str, Any] = self._certificates()
            if proxy is not None:
                options[f"{self._scheme}_proxy"] = proxy
            self._pools[proxy] = self._util.get_pool_manager(maxsize=_KEPT, **options)
        return self._pools[proxy]

    def _certificates(self) -> dict[str, Any]:
        names = ("ca_cert", "client_cert", "client_cert_key")
        found = {name: getattr(self._address, name) for name in names}
        return {name: path for name, path in found.items() if path is not None}
