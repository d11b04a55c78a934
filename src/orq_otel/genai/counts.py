"""How many calls were seen, and what became of them."""

from __future__ import annotations

from itertools import count
from typing import Final

from orq_otel.foundations.process import process


class Counts:
    """Counts of this process, since its start.

    Adding one is a function of C, which is atomic and takes 20 ns. Every call does it once.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._spans, self._unsampled, self._others = count(), count(), count()
        self._dropped = count()
        #: A call has a span.
        self.add_span = self._spans.__next__
        #: A call's span is not sampled, or there is no SDK.
        self.add_unsampled = self._unsampled.__next__
        #: Another instrumentation makes the span of a call.
        self.add_others = self._others.__next__
        #: A span did not fit into the queue of a processor that exports.
        self.add_dropped = self._dropped.__next__

    @property
    def calls(self) -> int:
        """The calls that were seen: made while their client is instrumented, and not suppressed."""
        return self.spans + self.unsampled + self.others

    @property
    def spans(self) -> int:
        """The spans that were made of them."""
        return _value(self._spans)

    @property
    def unsampled(self) -> int:
        """The calls without a recorded span."""
        return _value(self._unsampled)

    @property
    def others(self) -> int:
        """The calls whose span another instrumentation makes."""
        return _value(self._others)

    @property
    def dropped(self) -> int:
        """The spans that did not fit into a queue, since `configure()` was called first."""
        return _value(self._dropped)


def _value(counter: count[int]) -> int:
    return int(repr(counter)[len("count(") : -1])  # `next` would count


counts: Final = process.keep(Counts())
