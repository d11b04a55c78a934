"""How long spans are kept: until they are too old, or take up too much room."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from orq_otel.viewer.store.sqlite import SQLiteStore

_AGES: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZES: Final = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_LIMIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([a-z]+)")


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits to what is kept.

    Attributes:
        seconds: Spans that began longer ago are deleted. None keeps them.
        size: The oldest spans are deleted while all take up more bytes. None keeps them.
    """

    seconds: float | None = None
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> Retention:
        """Limits from text: "30d", "500MB" or both, "30d,2GB". "none" is without.

        Raises:
            ValueError: It is none of these. The text says what is possible.
        """
        seconds: float | None = None
        size: int | None = None
        for limit in text.lower().split(","):
            told = _LIMIT.fullmatch(limit.strip())
            if limit.strip() == "none":
                continue
            if told is not None and float(told[1]) == 0:
                raise ValueError(f"{text!r} would keep no span at all. 30d,2GB does.")
            if told is not None and told[2] in _AGES:
                seconds = float(told[1]) * _AGES[told[2]]
            elif told is not None and told[2] in _SIZES:
                size = int(float(told[1]) * _SIZES[told[2]])
            else:
                raise ValueError(
                    f"{text!r} says not how long spans are kept. 30d does, or 12h, 2GB, or both:"
                    " 30d,2GB."
                )
        return cls(seconds, size)

    def apply(self, store: SQLiteStore, now: int | None = None) -> int:
        """Delete what is beyond the limits, in small steps between which others may write.

        Args:
            store: Where.
            now: In nanoseconds since the epoch.

        Returns:
            How many spans were deleted.

        Raises:
            StoreError: The store cannot be written to.
        """
        deleted = 0
        if self.seconds is not None:
            before = (time.time_ns() if now is None else now) - int(self.seconds * 10**9)
            while some := store.delete_oldest(before):
                deleted += some
        if self.size is not None:
            while store.size() > self.size and (some := store.delete_oldest()):
                deleted += some
        return deleted
