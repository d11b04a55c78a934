"""Values of the API as people in front of a terminal read them."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from orq_otel.viewer.formats import cost, duration, short
from orq_otel.viewer.times import SECOND, moment

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def local_time(text: str) -> str:
    """A time in the terminal's zone, to the second."""
    at = datetime.fromtimestamp(moment(text) // SECOND, timezone.utc).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}"


def ago(text: str) -> str:
    """How long ago a time was."""
    seconds = max(time.time_ns() - moment(text), 0) // SECOND
    unit, name = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds // unit} {name} ago"


def lasting(milliseconds: float) -> str:
    """How long something took."""
    return duration(round(milliseconds * 1e6))


def tokens(read: int | None, written: int | None) -> str:
    """Tokens in and out; nothing where there are none to tell of."""
    if not read and not written:
        return ""
    return f"{short(read or 0)} / {short(written or 0)}"


def amount(dollars: float | None, unpriced: int = 0) -> str:
    """A cost; with a plus sign where there are calls whose price nobody knows."""
    return cost(dollars) + ("+" if unpriced and dollars is not None else "")
