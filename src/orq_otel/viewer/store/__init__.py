"""Where spans are kept: one query interface, and an implementation for each place."""

from __future__ import annotations

from pathlib import Path

from orq_otel.viewer.model import Store

__all__ = ["open_store"]


def open_store(url_or_path: str | Path, *, for_reading: bool = False) -> Store:
    """Open a store, and make it if there is none yet.

    Args:
        url_or_path: A file's path for SQLite, or "clickhouse://user:password@host:8123/database",
            or "clickhouses://..." for one that is spoken to over TLS.
        for_reading: A file that is there need not be writable.

    Raises:
        StoreError: It cannot be opened.
    """
    place = str(url_or_path)
    if place.startswith(("clickhouse://", "clickhouses://")):
        # What is chosen is imported, and nothing else.
        from orq_otel.viewer.store.clickhouse import ClickHouseStore  # noqa: PLC0415

        return ClickHouseStore.connect(place)
    from orq_otel.viewer.store.sqlite import SQLiteStore  # noqa: PLC0415

    return SQLiteStore(Path(place).expanduser(), for_reading=for_reading)
