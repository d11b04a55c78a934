"""Places where spans are kept, each with the same suite over it."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

#: `python3 run.py viewer` has an environment with these; other jobs leave these tests alone.
_NEEDED = ("chdb", "clickhouse_connect", "genai_prices", "grpc", "jinja2", "starlette", "uvicorn")
if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
    collect_ignore_glob = ["test_*.py"]
else:
    from orq_otel.viewer.conversation.facts import read
    from orq_otel.viewer.model import KeptSpan, Span, Store
    from orq_otel.viewer.store.clickhouse import ClickHouseStore
    from orq_otel.viewer.store.sqlite import SQLiteStore

    from .clickhouse_engine import TABLE, Engine, insert

_numbers = itertools.count()


class Place:
    """A store, and the way by which spans get there."""

    def __init__(self, store: Store, write: Callable[[Sequence[KeptSpan]], None]) -> None:
        self.store = store
        self._write = write

    def add(self, *spans: Span) -> None:
        self._write([KeptSpan(span, read(span)) for span in spans])


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """ClickHouse, which a process can start once."""
    engine = Engine(tmp_path_factory.mktemp("clickhouse"))
    yield engine
    engine.end()


@pytest.fixture
def database(engine: Engine) -> Iterator[Engine]:
    """An empty table as the Collector makes it, in a database of its own."""
    with FreshDatabase(engine):
        yield engine


class FreshDatabase:
    """A database for as long as the block takes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._name = f"test_{next(_numbers)}"

    def __enter__(self) -> None:
        self._engine.command(f"CREATE DATABASE {self._name}")
        self._engine.command(f"USE {self._name}")
        self._engine.command(TABLE)

    def __exit__(self, *_: object) -> None:
        self._engine.command("USE default")
        self._engine.command(f"DROP DATABASE {self._name}")


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "spans.db")
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "clickhouse", "clickhouse with a rollup"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each store, empty."""
    if request.param == "sqlite":
        store = request.getfixturevalue("sqlite")
        return Place(store, store.write)
    engine = request.getfixturevalue("database")
    clickhouse = ClickHouseStore(engine)
    if request.param == "clickhouse with a rollup":
        clickhouse.create_rollup()
    return Place(clickhouse, lambda spans: insert(engine, spans))
