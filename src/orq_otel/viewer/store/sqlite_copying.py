"""A copy of a SQLite file that may not be written to."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store.copy_folders import CopyFolder

_log = logging.getLogger(__name__)


def copied(path: Path, size: int) -> tuple[Path, CopyFolder]:
    """Returns a copy of a file of some size and its log, and its folder, for its owner alone.

    SQLite reads a log only where it may write beside it, and the file alone lacks what the log
    has. An older file is brought up to this release there.
    """
    log = Path(f"{path}-wal")
    _log.warning(
        "%s may not be written to, and its log is not part of it yet, or it is of an earlier"
        " release: a copy of %s bytes is made, and read.",
        path,
        f"{size:,}",
    )
    folder = CopyFolder()
    copy = Path(folder.name) / path.name
    before = _version(path), _version(log)
    shutil.copyfile(path, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(log, f"{copy}-wal")
    if (_version(path), _version(log)) != before:
        folder.cleanup()
        raise StoreError(
            f"{path} is being written to, and cannot be copied meanwhile. Try again, or"
            " ask the viewer that writes to it with --url.",
            is_temporary=True,
        )
    return copy, folder


def _version(path: Path) -> tuple[int, int] | None:
    """Returns values that change when a file is written to."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size
