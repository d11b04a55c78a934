"""Converts times to and from text: RFC 3339, or a duration ago such as `30m`."""

from __future__ import annotations

import functools
import re
import time
from datetime import datetime, timedelta, timezone

SECOND = 1_000_000_000
"""A second in nanoseconds, the unit of all times in the viewer."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST = 2**63 - 1  # the latest time that stores can compare: in the year 2262
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,15})([smhdw])", re.ASCII)
# In a query string, an unescaped plus sign arrives as a space.
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,30}))?(?:([Zz])|([-+ ])(\d\d):(\d\d))",
    re.ASCII,
)


_LONG = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|[smhdw])?", re.ASCII)


def seconds(text: str) -> float:
    """Parses how long something took: `250ms`, `30s`, `5m`, `1.5h`, or a number of seconds.

    Raises:
        ValueError: The text is none of these.
    """
    found = _LONG.fullmatch(text)
    if found is None:
        raise ValueError("Write how long, such as 250ms, 30s, 5m or 1h.")
    return float(found[1]) * (0.001 if found[2] == "ms" else _UNITS[found[2] or "s"])


def moment(text: str) -> int:
    """Parses a time: RFC 3339, or a duration ago such as `30m`, `1h` or `7d`.

    Returns:
        Nanoseconds since the epoch, limited to the range that stores can compare.

    Raises:
        ValueError: The text is neither. The message says what to write.
    """
    if ago := _AGO.fullmatch(text):
        nanoseconds = time.time_ns() - int(ago[1]) * _UNITS[ago[2]] * SECOND
    else:
        nanoseconds = _rfc_3339(text)
    return min(max(nanoseconds, 0), _LATEST)


def rfc_3339(nanoseconds: int, digits: int = 3) -> str:
    """Formats a time in UTC, such as `2026-08-01T12:00:00.000Z`, with some digits of a second."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{_date_time(seconds)}.{rest:09d}"[: 20 + digits] + "Z"


@functools.lru_cache(maxsize=1024)
def _date_time(seconds: int) -> str:
    """Returns a second in UTC. The plots of a page have the same ones, and so has the next page."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _rfc_3339(text: str) -> int:
    found = _DATE_TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)  # noqa: TRY301 - as if fromisoformat had refused it
        date, clock, fraction, utc, sign, hours, minutes = found.groups()
        if utc is None and (int(hours) > 23 or int(minutes) > 59):  # noqa: PLR2004 - of a clock
            raise ValueError(text)  # noqa: TRY301
        # RFC 3339 allows leap seconds, Python does not.
        leap = clock.endswith(":60")
        at = datetime.fromisoformat(f"{date}T{clock[:-2] + '59' if leap else clock}+00:00")
    except ValueError:
        raise ValueError(
            "Write a time with its zone, such as 2026-08-01T12:00:00Z, "
            "or how long ago, such as 30m, 1h or 7d."
        ) from None
    seconds = (at - _EPOCH) // timedelta(seconds=1) + leap
    if utc is None:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * SECOND + int((fraction or "0")[:9].ljust(9, "0"))
