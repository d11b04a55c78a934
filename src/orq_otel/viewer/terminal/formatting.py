"""Formats values of the API for the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from orq_otel.viewer.formats import cost, duration, one_line, short, shortened
from orq_otel.viewer.terminal.tables import plain
from orq_otel.viewer.times import SECOND, moment

#: How many characters of a long id are shown.
_BEGINNING = 40
#: How many names one line shows at most.
_NAMES = 100
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def thread_name(thread: dict[str, Any]) -> str:
    """Returns a thread's id, or the beginning of a long id and its short id."""
    if "short_id" not in thread:
        return plain(thread["id"])
    return f"{plain(shortened(thread['id'], _BEGINNING))} {thread['short_id']}"


def name_list(names: Sequence[str], more: int = 0) -> str:
    """Joins tags or models on one line, and adds the number of those that are left out."""
    return one_line(", ".join(names[:_NAMES])) + (f" + {more}" if more else "")


def local_time(text: str) -> str:
    """Formats a time in the local time zone, to the second."""
    return f"{_local(moment(text)):%Y-%m-%d %H:%M:%S}"


def clock_of(nanoseconds: int) -> str:
    """Formats the time of a day in the local time zone, to the second."""
    return f"{_local(nanoseconds):%H:%M:%S}"


def day_of(nanoseconds: int) -> str:
    """Formats the day of a time in the local time zone."""
    return f"{_local(nanoseconds):%Y-%m-%d}"


def _local(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // SECOND, timezone.utc).astimezone()


def time_ago(text: str) -> str:
    """Formats how long ago a time was, such as `5 m ago`."""
    seconds = max(time.time_ns() - moment(text), 0) // SECOND
    unit, name = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds // unit} {name} ago"


def duration_text(milliseconds: float) -> str:
    """Formats a duration in milliseconds."""
    return duration(round(milliseconds * 1e6))


def token_counts(read: int | None, written: int | None) -> str:
    """Formats the numbers of input and output tokens, or returns "" if there are none."""
    if not read and not written:
        return ""
    return f"{short(read or 0)} / {short(written or 0)}"


def cost_text(dollars: float | None, unpriced: int = 0, estimated: float = 0) -> str:
    """Formats a cost in US dollars, with a plus sign if some calls have no known price.

    Before a cost of which a part is an estimate stands "≈".
    """
    text = cost(dollars) + ("+" if unpriced and dollars is not None else "")
    return f"≈{text}" if estimated else text
