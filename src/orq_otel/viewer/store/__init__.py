"""Stores for spans: SQLite and ClickHouse, with one interface.

Modules that only writing needs are imported when they are asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orq_otel.viewer.later import later
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.settings import file_at

if TYPE_CHECKING:
    from orq_otel.viewer.store import deciding, sqlite_indexing, sqlite_writing

__all__ = ["deciding", "open_store", "sqlite_indexing", "sqlite_writing"]

__getattr__ = later(__name__, __all__)


def open_store(url_or_path: str | Path, *, for_reading: bool = False) -> Store:
    """Open a store. A SQLite file that does not exist is created.

    Args:
        url_or_path: The path of a SQLite file, "clickhouse://user:password@host:8123/database", or
            "clickhouses://..." for a connection with TLS.
        for_reading: Whether the store is only read. Then the file need not be writable.

    Raises:
        StoreError: The store cannot be opened.
    """
    place = str(url_or_path)
    if place.startswith(("clickhouse://", "clickhouses://")):
        # Only the chosen store is imported.
        from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: PLC0415

        return ClickHouseStore.connect(place)
    from orq_otel.viewer.store.sqlite import SQLiteStore  # noqa: PLC0415

    return SQLiteStore(file_at(place), for_reading=for_reading)
