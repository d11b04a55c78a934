"""Ids of threads, and the short form of long ones."""

from __future__ import annotations

import hashlib
import re
from typing import Final

LONG_ID: Final = 200
"""Ids with more characters than this have a short id as well. Brief lists cut labels to it."""

_DIGEST = re.compile("sha256:([0-9a-f]{64})")


def digest(thread_id: str) -> str | None:
    """Returns the digest of a long id, 64 hexadecimal digits, or None for a short id."""
    if len(thread_id) <= LONG_ID:
        return None
    return hashlib.sha256(thread_id.encode("utf-8", "replace")).hexdigest()


def digest_of(short_id: str) -> str | None:
    """Returns the digest in the short form of a long id, or None for any other id."""
    found = _DIGEST.fullmatch(short_id)
    return found[1] if found else None


def short_id(thread_id: str) -> str:
    """Returns an id that is short enough for addresses and commands: the id, or its digest."""
    long_digest = digest(thread_id)
    return thread_id if long_digest is None else f"sha256:{long_digest}"
