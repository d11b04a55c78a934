"""Retention: deletes spans that are too old, and the oldest ones of a file that is too large."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from orq_otel.viewer.model.store import StoreError
from orq_otel.viewer.store.sqlite import SQLiteStore

_AGES: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZES: Final = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_LIMIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([a-z]+)")

#: A file that is too large shrinks to this part of its limit, to leave space for new spans.
_TARGET: Final = 0.99
#: More than this part of it may be taken up by words of messages that are deleted. To free it takes
#: writing the whole index.
_WASTE: Final = 0.05
#: Each step deletes at least this part of the limit.
_LEAST: Final = 0.005


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention limits of a store.

    Attributes:
        seconds: Spans that began earlier than this many seconds ago are deleted. None: no limit.
        size: The oldest spans are deleted while the file and its log have more bytes. None: no
            limit.
    """

    seconds: float | None = None
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> Retention:
        """Parses limits: "30d", "500MB", both as in "30d,2GB", or "none".

        Raises:
            ValueError: The text is invalid. The message lists valid ones.
        """
        seconds: float | None = None
        size: int | None = None
        for limit in text.lower().split(","):
            match = _LIMIT.fullmatch(limit.strip())
            if limit.strip() == "none":
                continue
            if match is not None and float(match[1]) == 0:
                raise ValueError(f"{text!r} would keep no span at all. 30d,2GB does.")
            if match is not None and match[2] in _AGES:
                seconds = float(match[1]) * _AGES[match[2]]
            elif match is not None and match[2] in _SIZES:
                size = int(float(match[1]) * _SIZES[match[2]])
            else:
                raise ValueError(
                    f"{text!r} is not a retention. Write 30d, 12h, 2GB, or both an age and a size:"
                    " 30d,2GB."
                )
        return cls(seconds, size)

    def apply(self, store: SQLiteStore, now: int | None = None) -> int:
        """Delete spans beyond the limits, in small steps, so that others can write in between.

        Args:
            store: The store.
            now: The time in nanoseconds since the epoch. None: the current time.

        Returns:
            How many spans were deleted.

        Raises:
            StoreError: The store cannot be written to.
        """
        return sum(self.steps(store, now))

    def steps(self, store: SQLiteStore, now: int | None = None) -> Iterator[int]:
        """As `apply`, but yields after each step the number of spans that it deleted."""
        if self.seconds is not None:
            before = (time.time_ns() if now is None else now) - int(self.seconds * 10**9)
            while some := store.delete_oldest(before):
                yield some
            yield from _merge(store, store.size())
        target = None if self.seconds is None else 0
        is_empty = False
        if self.size is not None and store.size_on_disk() > self.size:
            # Perhaps only the log is too large.
            store.shorten_log()
            if store.size_on_disk() > self.size:
                target = int(self.size * _TARGET) if target is None else target
                is_empty = yield from _delete_beyond(store, self.size)
        if target is not None:
            has_shrunk = False
            while store.give_back(target):
                has_shrunk = True
                yield 0
            if has_shrunk:
                store.shorten_log()
        if is_empty:
            raise StoreError(
                f"a file without spans is larger than {self.size:,} bytes. Set a larger limit.",
                is_temporary=False,
            )


def _delete_beyond(store: SQLiteStore, limit: int) -> Generator[int, None, bool]:
    """Delete step by step. Returns whether the file is too large even without spans."""
    while (beyond := store.size() - int(limit * _TARGET)) > 0:
        # To merge writes the whole index. So as much is deleted before as may be enough: words of
        # prose take about the room that they have as text, long identifiers twice that.
        waste = store.waste()
        if waste >= beyond // 3 and (yield from _merge(store, limit)):
            continue
        # Half of the excess at a time: only freed pages show how much space spans really took.
        some = store.delete_oldest(size=max((beyond - waste) // 2, int(limit * _LEAST)))
        if not some:
            yield from _merge(store, 0)
            return store.size() > limit
        yield some
    return False


def _merge(store: SQLiteStore, size: int) -> Generator[int, None, bool]:
    """Merge the index of messages if much of `size` is of no use in it. Returns whether it was."""
    if store.waste() <= size * _WASTE:
        return False
    for _ in store.merge_index():
        yield 0
    return True
