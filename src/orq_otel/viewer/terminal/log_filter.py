"""Limits repeated log lines, so that clients which cause errors cannot fill the disk."""

from __future__ import annotations

import logging
import time

#: The same line is logged once in this many seconds.
_PAUSE = 60.0
#: How many different lines one place in the code logs in that time.
_LINES = 10


class RepeatedLineFilter(logging.Filter):
    """Lets a line through once a minute, with the number of lines that it left out before."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record."""
        place = self._places.setdefault((record.pathname, record.lineno), _Place())
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        now = time.monotonic()
        if now >= place.since + _PAUSE:
            if place.left_out:
                record.msg = f"{text} (and {place.left_out:,} such lines since the last)"
                record.args = ()
            self._places[record.pathname, record.lineno] = place = _Place(now)
        line = f"{text} {error!r}"
        if line in place.lines or len(place.lines) >= _LINES:
            place.left_out += 1
            return False
        place.lines.add(line)
        return True


class _Place:
    """The lines that one place in the code has logged in this minute."""

    def __init__(self, since: float = float("-inf")) -> None:
        self.since = since
        self.lines: set[str] = set()
        self.left_out = 0
