"""Values of the API as people in front of a terminal read them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from orq_otel.viewer.formats import cost, duration, one_line, short, shortened
from orq_otel.viewer.terminal import plain
from orq_otel.viewer.times import SECOND, moment

#: Characters of a long id that are shown.
_BEGINNING = 40
#: Names that are looked at for one line.
_NAMES = 100
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def thread_name(thread: dict[str, Any]) -> str:
    """A thread's id; of a long one the beginning, and the short id that commands take."""
    if "short_id" not in thread:
        return plain(thread["id"])
    return f"{plain(shortened(thread['id'], _BEGINNING))} {thread['short_id']}"


def name_list(names: Sequence[str], more: int = 0) -> str:
    """Tags or models on one line, without those that are left out."""
    return one_line(", ".join(names[:_NAMES])) + (f" + {more}" if more else "")


def local_time(text: str) -> str:
    """A time in the terminal's zone, to the second."""
    at = datetime.fromtimestamp(moment(text) // SECOND, timezone.utc).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}"


def time_ago(text: str) -> str:
    """How long ago a time was."""
    seconds = max(time.time_ns() - moment(text), 0) // SECOND
    unit, name = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds // unit} {name} ago"


def duration_text(milliseconds: float) -> str:
    """How long something took."""
    return duration(round(milliseconds * 1e6))


def token_counts(read: int | None, written: int | None) -> str:
    """Tokens in and out; nothing where there are none to tell of."""
    if not read and not written:
        return ""
    return f"{short(read or 0)} / {short(written or 0)}"


def cost_text(dollars: float | None, unpriced: int = 0) -> str:
    """A cost; with a plus sign where there are calls whose price nobody knows."""
    return cost(dollars) + ("+" if unpriced and dollars is not None else "")
