"""Log lines that repeat: what others can cause as often as they like does not fill a disk."""

from __future__ import annotations

import logging
import time

#: For so many seconds a line is not said again, and no more than so many lines of one place.
_PAUSE = 60.0
_LINES = 10


class RepeatedLineFilter(logging.Filter):
    """Lets a line through once a minute, and then says how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say a line."""
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
        if line in place.said or len(place.said) >= _LINES:
            place.left_out += 1
            return False
        place.said.add(line)
        return True


class _Place:
    """What a line of code has said in this minute."""

    def __init__(self, since: float = float("-inf")) -> None:
        self.since = since
        self.said: set[str] = set()
        self.left_out = 0
