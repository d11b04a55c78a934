"""Reads groups of a great many model calls in a SQLite file, without looking at each of them.

Sums are exact. Those of a model, and of a label that many threads have, are kept already. Those of
other labels, or of some threads alone, are sums over what each thread sums up to. Times are whole
pieces of ten minutes, and threads with a label count if they were active in that time. Percentiles
are those of a sample of threads.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from orq_otel.viewer.model.queries import Kind, ThreadQuery
from orq_otel.viewer.store import buckets, sqlite_groups
from orq_otel.viewer.store.sqlite_conditions import rows
from orq_otel.viewer.store.sqlite_groups import Part
from orq_otel.viewer.store.sqlite_rows import listed
from orq_otel.viewer.store.tally import THREAD_WIDTHS

Parts: TypeAlias = defaultdict[str | None, list[Part]]
#: The latencies of groups, by the start of an interval.
Latencies: TypeAlias = Mapping[str | None, Mapping[int, Sequence[int]]]
#: The numbers of threads, and of their good and bad evaluations.
Threads: TypeAlias = dict[str | None, tuple[int, int, int]]

#: About so many calls of all groups together, and of one at least, are looked at.
_SAMPLE: Final = 20_000
_LEAST: Final = 2_500
#: For how many seconds a sample is used again, while its groups have as many calls to a hundredth,
#: and those that were looked at as a whole are the same.
_FRESH: Final = 60
_CHANGE: Final = 100
#: How many samples are kept.
_KEPT: Final = 4
_FINEST, _DAY = THREAD_WIDTHS
#: Spreads the keys of threads evenly over 32 bits, whatever threads have a label.
_HASHED: Final = "((thread * 2654435761) & 4294967295)"


class Found(NamedTuple):
    """What is found of groups.

    Attributes:
        names: Their names.
        more: How many others there are.
        start: When the first interval begins.
        end: When the last one ends.
        width: How long they are.
        parts: The sums of each group over each interval.
        latencies: Those of their calls, sorted.
        threads: Their numbers of threads and evaluations.
        sampled: The groups of which not all latencies are there.
    """

    names: Sequence[str | None]
    more: int
    start: int
    end: int
    width: int
    parts: Parts
    latencies: Latencies
    threads: Threads
    sampled: frozenset[str | None] = frozenset()


class _Sample(NamedTuple):
    """A sample, and what its groups summed up to when it was taken."""

    taken: float
    parts: Parts
    latencies: Latencies
    sampled: frozenset[str | None]

    def is_like(self, parts: Parts) -> bool:
        """Whether it can stand for one of groups that sum up to this by now."""
        return time.monotonic() - self.taken < _FRESH and all(
            known == parts[name] or (name in self.sampled and _is_like(known, parts[name]))
            for name, known in self.parts.items()
        )


def _is_like(known: Sequence[Part], parts: Sequence[Part]) -> bool:
    then = _calls(known)
    return abs(_calls(parts) - then) * _CHANGE <= then


class Samples:
    """The last samples of a store: to take one is most of the work, and each measure needs it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], _Sample] = {}

    def of(
        self,
        key: tuple[Any, ...],
        parts: Parts,
        take: Callable[[], tuple[Latencies, frozenset[str | None]]],
    ) -> tuple[Latencies, frozenset[str | None]]:
        """Returns latencies, and the groups of which only some are there.

        Args:
            key: What is asked.
            parts: The sums of the groups by now.
            take: Takes a sample.
        """
        known = self._kept.get(key)
        if known is None or not known.is_like(parts):
            known = _Sample(time.monotonic(), parts, *take())
            kept = [*self._kept.items()][1 - _KEPT :]
            self._kept = {**dict(kept), key: known}
        return known.latencies, known.sampled


def labels_of(by: Kind) -> str:
    """Returns the table of the threads of each label, for SQL."""
    if by == "tag":
        return "(SELECT thread, tag AS label FROM thread_tags) AS labels"
    return f"(SELECT thread, value AS label FROM thread_facets WHERE kind = '{by}') AS labels"


class Many:
    """Reads groups.

    Args:
        connection: Where they are.
        query: Which threads.
        by: What the groups are made by.
        where: The condition on threads.
        values: Its parameters.
        samples: The last samples.
        is_filtered: Whether it is one on other things than times.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - as of numbers
        self,
        connection: sqlite3.Connection,
        query: ThreadQuery,
        by: Kind,
        where: str,
        values: tuple[Any, ...],
        samples: Samples,
        *,
        is_filtered: bool,
    ) -> None:
        self._connection = connection
        self._samples = samples
        self._by = by
        self._is_filtered = is_filtered
        self._among, self._values = "", values
        if is_filtered:
            # Found once: each sum needs them.
            self._among = " AND thread IN (SELECT value FROM json_each(?))"
            self._values = (listed(connection, f"threads {where}", values),)
        elif where:
            self._among = f" AND thread IN (SELECT key FROM threads {where})"
        # With a label, its threads are gone through, instead of all of these for each label.
        self._of_label = self._among.replace(" AND thread", " AND +thread", 1)
        self._since = 0 if query.since is None else buckets.bounded(query.since)
        self._until = buckets.LATEST if query.until is None else buckets.bounded(query.until)
        self._labels = labels_of(by)

    def find(self, names: Sequence[str], limit: int, start: int, end: int, most: int) -> Found:
        """Returns the groups with some names, or those of the most threads or calls.

        Args:
            names: The names.
            limit: The highest number of groups.
            start: When the first of their spans begins.
            end: When the last one ends.
            most: The highest number of intervals.
        """
        start, end = max(start, self._since), min(end, self._until)
        start -= start % _FINEST
        end = max(end + -end % _FINEST, start + _FINEST)
        width = buckets.width(start, end, most, _FINEST)
        if width % _DAY == 0:
            # Where no time ends, whole days do.
            start -= start % _DAY if start > self._since else 0
            end += -end % _DAY if end < self._until else 0
        groups: list[str | None] = list(names)
        counts: dict[str | None, int] = {}
        more = 0
        if self._by == "model" and self._is_filtered:
            parts = self._of_calls(start, end, width)
            groups = groups or sorted(parts, key=lambda name: -_calls(parts[name]))
            groups, more = groups[:limit], len(groups[limit:])
        else:
            if not names:
                groups, counts, more = self._most_frequent(limit, start, end, width)
            parts = self._parts(groups, start, end, width)
        calls = {name: _calls(parts[name]) for name in groups if name in parts}
        sample = functools.partial(self._sample, calls, start, end, width)
        # Of some threads alone others are asked for each time, and of the last day another time.
        latencies, sampled = (
            sample() if self._among else self._samples.of((self._by, width, *calls), parts, sample)
        )
        threads = self._threads(groups, counts)
        return Found(groups, more, start, end, width, parts, latencies, threads, sampled)

    def _ask(self, query: str, *values: Any) -> Iterator[Any]:
        return self._connection.execute(query, values)

    def _listed(self, columns: int, query: str, *values: Any) -> list[list[Any]]:
        return rows(self._connection, columns, query, *values)

    def _most_frequent(
        self, limit: int, start: int, end: int, width: int
    ) -> tuple[list[str | None], dict[str | None, int], int]:
        """Returns groups, their numbers of threads as far as these come along, and other groups."""
        counts: Counter[str | None] = Counter()
        if self._by == "model":
            for rolled, low, high in _ranges(start, end, width):
                for name, calls in self._listed(
                    2,
                    "SELECT value, SUM(calls) FROM group_sums WHERE kind = 'model'"
                    " AND width = ? AND start >= ? AND start < ? GROUP BY 1",
                    *(rolled, low, high),
                ):
                    counts[name or None] += calls
            names = [name for name, _ in counts.most_common()]
            return names[:limit], {}, len(names[limit:])
        if not self._among:
            table, label = ("tags", "? = 'tag'") if self._by == "tag" else ("facets", "kind = ?")
            name = "tag" if self._by == "tag" else "value"
            counts.update(
                dict(
                    self._listed(
                        2,
                        f"SELECT {name}, threads FROM {table} WHERE {label}"
                        f" ORDER BY threads DESC, {name} LIMIT ?",
                        *(self._by, limit),
                    )
                )
            )
            (count,) = next(self._ask(f"SELECT COUNT(*) FROM {table} WHERE {label}", self._by))
        else:
            found = self._listed(
                3,
                "SELECT label, COUNT(*) AS threads, COUNT(*) OVER () FROM"
                f" {self._labels} WHERE true{self._among}"
                " GROUP BY 1 ORDER BY threads DESC, label LIMIT ?",
                *(*self._values, limit),
            )
            count = 0
            for name, threads, count in found:  # noqa: B007 - each row has it
                counts[name] = threads
        return list(counts), dict(counts), count - len(counts)

    def _parts(self, groups: Sequence[str | None], start: int, end: int, width: int) -> Parts:
        """Returns the sums of each group over each interval of time."""
        at = f"start / {width} * {width}"
        kept: Sequence[str | None] = groups
        if self._by != "model":
            labels = () if self._is_filtered else sqlite_groups.kept(self._connection)
            kept = [name for name in groups if (self._by, name) in labels]
        others = [name for name in groups if name not in kept]
        queries = []
        for rolled, low, high in _ranges(start, end, width):
            during = (rolled, low, high)
            if kept:
                marks, names = _marks(kept)
                queries.append(
                    self._listed(
                        10,
                        f"SELECT value, {at}, SUM(calls), SUM(errors), SUM(input_tokens),"
                        " SUM(output_tokens), SUM(cost), SUM(priced), SUM(unpriced),"
                        " SUM(estimated)"
                        f" FROM group_sums WHERE kind = ? AND value {marks}"
                        " AND width = ? AND start >= ? AND start < ? AND (calls OR errors)"
                        " GROUP BY 1, 2",
                        *(self._by, *names, *during),
                    )
                )
            if others:
                marks, names = _marks(others)
                among, values = (self._of_label, self._values) if self._is_filtered else ("", ())
                queries.append(
                    self._listed(
                        10,
                        f"SELECT label, {at}, SUM(priced + unpriced), SUM(errors),"
                        " SUM(input_tokens), SUM(output_tokens), SUM(cost), SUM(priced),"
                        f" SUM(unpriced), SUM(estimated) FROM {self._labels}"
                        " CROSS JOIN thread_activity USING (thread)"
                        f" WHERE label {marks}{among}"
                        " AND width = ? AND start >= ? AND start < ? GROUP BY 1, 2",
                        *(*names, *values, *during),
                    )
                )
        return _merged(chain.from_iterable(queries))

    def _of_calls(self, start: int, end: int, width: int) -> Parts:
        """Returns the same of each model that some threads have called."""
        return _merged(
            self._listed(
                10,
                f"SELECT model, start / {width} * {width}, COUNT(*), SUM(is_error),"
                " CAST(TOTAL(input_tokens) AS INTEGER), CAST(TOTAL(output_tokens) AS INTEGER),"
                " CAST(TOTAL(cost) AS INTEGER), COUNT(cost),"
                " SUM(is_model_call AND cost IS NULL), CAST(TOTAL(estimated) AS INTEGER) FROM calls"
                f" WHERE start >= ? AND start < ?{self._among} GROUP BY 1, 2",
                *(start, end, *self._values),
            )
        )

    def _sample(
        self, calls: Mapping[str | None, int], start: int, end: int, width: int
    ) -> tuple[Latencies, frozenset[str | None]]:
        """Returns latencies, and the groups of which only some are there.

        A sample is made of whole threads, whose calls are found one after the other.
        """
        shares = _shares(calls)
        found: defaultdict[str | None, dict[int, Sequence[int]]] = defaultdict(dict)
        during = " AND start >= ? AND start < ? AND is_model_call > 0 LIMIT ?"
        values = (*self._values, start, end, 4 * _SAMPLE)
        # The place of a group is added to its times: to sort by one number takes half as long.
        call = f"start / {width} * {width} + {{}} AS at, max(end - start, 0) AS latency"
        listed = "SELECT at, group_concat(latency) FROM"
        some: list[list[Any]] = []
        named = [name for name in calls if name is not None]
        if named:
            asked = ", ".join(f"({place}, ?, ?)" for place in range(len(named)))
            of_model = " AND model = label" if self._by == "model" else ""
            some = self._listed(
                2,
                f"WITH asked (place, name, most) AS (VALUES {asked}) {listed}"
                f" (SELECT {call.format('place')}"
                f" FROM asked CROSS JOIN {self._labels} ON label = name CROSS JOIN calls"
                f" USING (thread) WHERE {_HASHED} < most{of_model}{self._of_label}{during})"
                " GROUP BY 1",
                *chain.from_iterable((name, int(shares[name] * 2**32)) for name in named),
                *values,
            )
        if None in calls:
            some += self._listed(
                2,
                f"{listed} (SELECT {call.format(len(named))} FROM calls WHERE {_HASHED} < ?"
                f" AND model IS NULL{self._among}{during}) GROUP BY 1",
                *(int(shares[None] * 2**32), *values),
            )
        names = [*named, None]
        for at, latencies in some:
            place = at % width
            found[names[place]][at - place] = array("q", sorted(map(int, latencies.split(","))))
        return found, frozenset(name for name, share in shares.items() if share < 1)

    def _threads(self, groups: Sequence[str | None], counts: dict[str | None, int]) -> Threads:
        """Returns the numbers of threads with each label, and of their evaluations.

        Args:
            groups: The labels.
            counts: Their numbers of threads, or nothing if they are not known.
        """
        marks, names = _marks(groups)
        where = f"WHERE label {marks}{self._of_label} GROUP BY 1"
        if counts:
            pass
        elif self._among:
            query = f"SELECT label, COUNT(*) FROM {self._labels} {where}"
            counts = dict(self._ask(query, *names, *self._values))
        elif self._by == "tag":
            counts = dict(self._ask(f"SELECT tag, threads FROM tags WHERE tag {marks}", *names))
        else:
            query = f"SELECT value, threads FROM facets WHERE kind = ? AND value {marks}"
            counts = dict(self._ask(query, self._by, *names))
        evaluated = {
            name: (int(good), int(bad))
            for name, good, bad in self._ask(
                "SELECT label, TOTAL(good), TOTAL(bad)"
                f" FROM thread_feedback CROSS JOIN {self._labels} USING (thread) {where}",
                *(*names, *self._values),
            )
        }
        if None in groups:
            query = f"SELECT COUNT(DISTINCT thread) FROM calls WHERE model IS NULL{self._among}"
            (counts[None],) = next(self._ask(query, *self._values))
        return {name: (counts.get(name, 0), *evaluated.get(name, (0, 0))) for name in groups}


def _calls(parts: Sequence[Part]) -> int:
    return sum(one.calls for one in parts)


def _shares(calls: Mapping[str | None, int]) -> dict[str | None, float]:
    """Returns which share of the calls of each group is looked at, by its number of calls."""
    left, shares = _SAMPLE, {}
    for place, (name, count) in enumerate(sorted(calls.items(), key=lambda item: item[1])):
        most = max(left // (len(calls) - place), _LEAST)
        shares[name] = min(most / count, 1.0) if count else 1.0
        left -= min(count, most)
    return shares


def _ranges(start: int, end: int, width: int) -> list[tuple[int, int, int]]:
    """Returns the widths of the sums that a time consists of, with the first and the last of each.

    Args:
        start: At the beginning of a finest piece.
        end: At the end of one.
        width: How long the intervals are that are asked for.
    """
    if width % _DAY:
        return [(_FINEST, start, end)]
    first, last = start + -start % _DAY, end - end % _DAY
    found = [(_FINEST, start, first), (_DAY, first, last), (_FINEST, last, end)]
    return [one for one in found if one[1] < one[2]]


def _marks(groups: Sequence[str | None]) -> tuple[str, list[str]]:
    """Returns a condition of SQL that a name is among some, and its parameters."""
    return f"IN ({', '.join('?' * len(groups))})", [name or "" for name in groups]


def _merged(found: Iterable[Sequence[Any]]) -> Parts:
    """Returns the parts of each group by their start. Of one interval there may be several rows."""
    sums: dict[tuple[str | None, int], Part] = {}
    for name, start, *values in found:
        key = (name or None, start)
        one = Part(start, *map(int, values))
        known = sums.get(key)
        if known is not None:
            one = Part(start, *(a + b for a, b in zip(known[1:], one[1:], strict=True)))
        sums[key] = one
    parts: Parts = defaultdict(list)
    for (name, _), one in sorted(sums.items(), key=lambda item: item[0][1]):
        parts[name].append(one)
    return parts
