"""What SQLite says is wrong with a file, with what the user can do about it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store import schema


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """Turn errors into a `StoreError` that tells the user what to do."""
    try:
        yield
    except schema.NewerFileError as error:
        raise StoreError(
            f"{path} was written by a newer release of orq-otel. Update it"
            " (pip install -U orq-otel), or name another file with --db.",
            is_temporary=False,
        ) from error
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    except (zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise store_error(path, sqlite3.DatabaseError(f"malformed span: {error}")) from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened: {error.strerror}. Name a file with --db that"
            " you may write to.",
            is_temporary=False,
        ) from error


#: Part of SQLite's message, advice for the user, and whether trying again may help.
_ADVICE: Final = (
    ("locked", "another process keeps it locked. Try again in a moment.", True),
    ("disk is full", "the disk is full. Free some room, or set --retention.", True),
    ("disk i/o error", "the disk has an error, or is full.", True),
    ("readonly", "it may not be written to. Change its permissions, or name another.", False),
    ("unable to open", "it cannot be opened. Name a file that you may write to.", False),
    ("not a database", "it is no database. Move it away, or name another file with --db.", False),
    ("malformed", "it is damaged. Move it away, or name another file with --db.", False),
)


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Returns the error of a store, with the advice for it."""
    message = str(error)
    for words, advice, is_temporary in _ADVICE:
        if words in message.lower():
            return StoreError(f"{path}: {advice} ({message})", is_temporary=is_temporary)
    return StoreError(f"{path} cannot be used: {message}", is_temporary=False)
