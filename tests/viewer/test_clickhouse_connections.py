"""Connections that end, proxies, and many at once: what heals by itself is nobody's business."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Literal

import pytest
from e2e.ports import free_port

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store import open_store
from orq_otel.viewer.store.clickhouse import ClickHouseStore

from .clickhouse_tables import Database
from .sample_spans import MINUTE, NOON, call

#: When a connection ends: before the server has the query, while that runs, in the headers of the
#: answer, or in the answer.
When = Literal["before", "running", "headers", "answer"]
_PROGRESS = b'HTTP/1.1 200 OK\r\nX-ClickHouse-Progress: {"read_rows":"0"}\r\n'


class Relay:
    """Between a client and a server, as a load balancer is, which ends some connections."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.ended: list[bytes] = []
        self._words = b""
        self._when: When = "before"
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def end(self, words: bytes, when: When) -> None:
        """End the connection of the next query that has some words."""
        self._words, self._when = words, when

    def end_all(self) -> None:
        """End the connections that nobody uses."""
        for one in [*self._open]:
            one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        self._open.add(client)
        try:
            self._pass_on(client)
        finally:
            self._open.discard(client)
            client.close()

    def _pass_on(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._server))
        ends: When | None = None
        with server, contextlib.suppress(OSError):
            while True:
                for one in select.select([client, server], [], [])[0]:
                    if not (some := one.recv(1 << 20)):
                        return
                    if one is server:
                        if ends == "answer":
                            client.sendall(some[:-3])
                            return
                        client.sendall(some)
                        continue
                    if self._words and self._words in some:
                        self.ended.append(self._words)
                        self._words, ends = b"", self._when
                    if ends == "before":
                        reset(client)
                        return
                    server.sendall(some)
                    if ends == "running":
                        reset(client)
                        return
                    if ends == "headers":
                        client.sendall(_PROGRESS)
                        return


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def kept(*spans: object) -> list[KeptSpan]:
    return [KeptSpan(one, read(one)) for one in spans]  # type: ignore[arg-type]


def ids(store: ClickHouseStore, **query: object) -> list[str]:
    return [one.id for one in store.threads(ThreadQuery(**query)).threads]  # type: ignore[arg-type]


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    with Relay(database.server.port) as relay:
        yield relay


@pytest.fixture
def store(database: Database, relay: Relay) -> Iterator[ClickHouseStore]:
    """A store with sums, behind the relay."""
    store = ClickHouseStore.connect(
        f"clickhouse://viewer:secret@127.0.0.1:{relay.port}/{database.name}"
    )
    store.create_rollup()
    yield store
    store.close()


@pytest.mark.parametrize(
    "when",
    [
        "headers",
        "answer",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("before", "running")),
    ],
)
def test_a_connection_that_ends_while_something_is_read(
    database: Database, relay: Relay, store: ClickHouseStore, when: When
) -> None:
    database.insert(kept(call("a", says="Where is it?"), call("b", start=NOON + MINUTE)))
    asked = (b"SpanAttributes", b"sought_0", b"FINAL", b"system.tables")
    for number, words in enumerate(asked, 1):
        relay.end(words, when)
        store._checked = 0.0
        assert ids(store, text="where") == ["a"]
        assert len(relay.ended) == number
    assert store.overview(ThreadQuery()).spans == 2


@pytest.mark.parametrize("words", [b"JSONEachRow", b"INSERT INTO"])
@pytest.mark.parametrize(
    "when", ["running", *(pytest.param(x, marks=pytest.mark.slow) for x in ("before", "headers"))]
)
def test_a_connection_that_ends_while_something_is_written(
    database: Database, relay: Relay, store: ClickHouseStore, when: When, words: bytes
) -> None:
    """It may have been written, or not: nothing counts twice."""
    database.insert(kept(call("a", says="Where is it?", cost=0.5)))
    relay.end(words, when)
    with contextlib.suppress(StoreError):
        ids(store)
    assert relay.ended == [words]
    (thread,) = store.threads(ThreadQuery(text="where")).threads
    assert (thread.spans, thread.cost) == (1, 0.5)
    assert store.overview(ThreadQuery()).spans == 1


def test_connections_that_ended_while_nobody_used_them(
    database: Database, relay: Relay, store: ClickHouseStore
) -> None:
    database.insert(kept(call("a")))
    relay.end_all()
    assert ids(store) == ["a"]
    relay.end_all()
    assert ids(store) == ["a"]


def test_a_query_that_is_asked_again_runs_once(
    database: Database, relay: Relay, store: ClickHouseStore
) -> None:
    """The server does not know yet that nobody waits for the first."""
    database.insert(kept(call("a")))
    relay.end(b"SpanAttributes", "running")
    database.server.hold("SpanAttributes")
    try:
        assert ids(store) == ["a"]
    finally:
        database.server.hold()
    first, again, *_ = (one for one in database.queries() if "SpanAttributes" in one["sql"])
    assert first["how"]["query_id"] == again["how"]["query_id"]
    assert "rows" in again


def test_connections_are_kept(relay: Relay, store: ClickHouseStore) -> None:
    """A connection takes longer than most queries, with TLS, so that it is used again."""

    def ask_at_once() -> None:
        together = threading.Barrier(24)

        def ask() -> None:
            together.wait(30)
            store._server.ask("SELECT sleep(0.1)")

        asking = [threading.Thread(target=ask) for _ in range(24)]
        for one in asking:
            one.start()
        for one in asking:
            one.join()

    ask_at_once()
    opened = relay.connections
    assert opened > 12
    for _ in range(2):
        ask_at_once()
    assert relay.connections <= 25


class Proxy(BaseHTTPRequestHandler):
    """A proxy that lets nobody through."""

    def do_POST(self) -> None:
        self.send_error(403)


@pytest.fixture
def proxy() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        running = threading.Thread(target=server.serve_forever)
        running.start()
        yield f"http://me:hidden@127.0.0.1:{server.server_port}"
        server.shutdown()
        running.join()


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_no_proxy_is_asked_for_this_machine(
    database: Database, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    database.insert(kept(call("a")))
    for host in ("127.0.0.1", "localhost"):
        url = database.url().replace("127.0.0.1", host)
        with contextlib.closing(open_store(url)) as store:
            assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]


@pytest.mark.usefixtures("no_proxies")
def test_a_server_behind_a_proxy(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    # What answers does not mind for whom a request is.
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{database.server.port}")
    database.insert(kept(call("a")))
    url = f"clickhouse://viewer:secret@nowhere.invalid/{database.name}"
    with contextlib.closing(open_store(url)) as store:
        assert [one.id for one in store.threads(ThreadQuery()).threads] == ["a"]
    monkeypatch.setenv("NO_PROXY", "localhost,.invalid")
    with pytest.raises(StoreError, match="Does it run[?]$"):
        open_store(url)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_proxy_that_lets_nobody_through_is_named(
    proxy: str, is_there: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("http_proxy", proxy if is_there else f"127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match="It is asked through the proxy of HTTP_PROXY") as raised:
        open_store("clickhouse://viewer:secret@nowhere.invalid/otel")
    assert "hidden" not in str(raised.value)
    assert caplog.records == []
