"""How long spans are kept: until they are too old, or take up too much room."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from orq_otel.viewer.model import StoreError
from orq_otel.viewer.store.sqlite import SQLiteStore

_AGES: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZES: Final = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_LIMIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([a-z]+)")

#: A file that is too large is brought below this part of its limit, to have room for what comes.
_TARGET: Final = 0.99
#: At least this part of the limit is deleted at a time.
_LEAST: Final = 0.005


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits to what is kept.

    Attributes:
        seconds: Spans that began longer ago are deleted. None keeps them.
        size: The oldest spans are deleted while the file, with its log, has more bytes. None keeps
            them.
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
        return sum(self.steps(store, now))

    def steps(self, store: SQLiteStore, now: int | None = None) -> Iterator[int]:
        """The same step by step: how many spans each has deleted. Others may write in between."""
        if self.seconds is not None:
            before = (time.time_ns() if now is None else now) - int(self.seconds * 10**9)
            while some := store.delete_oldest(before):
                yield some
        target = None if self.seconds is None else 0
        is_empty = False
        if self.size is not None and store.size_on_disk() > self.size:
            # Perhaps it is the log alone.
            store.shorten_log()
            if store.size_on_disk() > self.size:
                target = int(self.size * _TARGET) if target is None else target
                is_empty = yield from _delete_beyond(store, self.size)
        if target is not None:
            given = False
            while store.give_back(target):
                given = True
                yield 0
            if given:
                store.shorten_log()
        if is_empty:
            raise StoreError(
                f"a file without spans is larger than {self.size:,} bytes. Set a larger limit.",
                is_temporary=False,
            )


def _delete_beyond(store: SQLiteStore, limit: int) -> Generator[int, None, bool]:
    """Delete step by step. Returns whether nothing is left, and even that is too large."""
    while (beyond := store.size() - int(limit * _TARGET)) > 0:
        # Half of it at a time: what spans take up is told by the pages that get free.
        some = store.delete_oldest(size=max(beyond // 2, int(limit * _LEAST)))
        if not some:
            return store.size() > limit
        yield some
    return False
