"""Places where spans are kept, each with the same suite over it."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# As Python has it, other than in the rest of the tests: calls of gRPC whose errors were looked at
# are in cycles, and count as open until these are collected.
gc.set_threshold(700)

#: `python3 run.py viewer` has an environment with these; other jobs leave these tests alone, and so
#: does Windows, which has no `resource`.
_NEEDED = (
    *("clickhouse_connect", "genai_prices", "grpc", "jinja2", "resource", "starlette", "uvicorn"),
)
if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
    collect_ignore_glob = ["test_*.py"]
else:
    from support.clickhouse_server import ClickHouseServer

    from orq_otel.viewer.conversation.facts import read
    from orq_otel.viewer.model.kept_spans import KeptSpan
    from orq_otel.viewer.model.store import Store
    from orq_otel.viewer.model.telemetry import Span
    from orq_otel.viewer.store import open_store, sqlite_names
    from orq_otel.viewer.store.sqlite import SQLiteStore

    from .clickhouse_tables import LOGS, TABLE, TIMES, Database

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _few_names_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names come into the index by the three: tests have few threads."""
    monkeypatch.setattr(sqlite_names, "AT_A_TIME", 3)


class Place:
    """A store, and the way by which spans get there."""

    def __init__(self, store: Store, write: Callable[[Sequence[KeptSpan]], None]) -> None:
        self.store = store
        self._write = write

    def add(self, *spans: Span) -> None:
        self._write([KeptSpan(span, read(span)) for span in spans])


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A server of ClickHouse."""
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
def database(clickhouse: ClickHouseServer) -> Iterator[Database]:
    """Empty tables as the Collector makes them, in a database of their own."""
    with fresh_database(clickhouse) as database:
        yield database


@contextmanager
def fresh_database(server: ClickHouseServer) -> Iterator[Database]:
    """A database for as long as the block takes."""
    name = f"test_{next(_numbers)}"
    server.command(f"CREATE DATABASE {name}")
    database = Database(server, name)
    for statement in (TABLE, *TIMES, LOGS):
        database.command(statement)
    yield database
    server.command(f"DROP DATABASE {name}")


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "spans.db")
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "clickhouse", "clickhouse with a rollup"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each store, empty."""
    if request.param == "sqlite":
        store = request.getfixturevalue("sqlite")
        yield Place(store, store.write)
        return
    database = request.getfixturevalue("database")
    with database.store() as clickhouse:
        if request.param == "clickhouse with a rollup":
            clickhouse.create_rollup()
        yield Place(clickhouse, database.insert)


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands' variables are not set, and times are in UTC."""
    for name in [*os.environ]:
        if name.startswith(("ORQ_OTEL_VIEWER_", "COLUMNS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The path of a database."""
    return tmp_path / "threads.db"


@pytest.fixture
def store(db: Path) -> Iterator[Store]:
    """A database that is open elsewhere, as that of a viewer that runs."""
    store = open_store(db)
    yield store
    store.close()
