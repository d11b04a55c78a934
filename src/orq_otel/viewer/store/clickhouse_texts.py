"""What was said in threads, in ClickHouse: each text of a thread once a day, and how it is found.

A text belongs to the first span of the day that had it. It is there as it was said, for excerpts,
and as words in lower case and without accents, each between two spaces, among which words and
phrases are looked for as `words.py` says. They are sorted by their hours: a search goes back from
the latest one, until it has found enough threads, or looked through as much as it may.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.conversation.texts import texts_of
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.threads import Hit
from orq_otel.viewer.store import words
from orq_otel.viewer.store.buckets import DAY, SECOND
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_rows import Key, hour_of, in_hours, of_day, of_days
from orq_otel.viewer.store.clickhouse_server import Server

#: How many threads with a text are found at most.
MOST: Final = 5_000
#: How many texts are looked through at most, those of the latest hours.
BUDGET: Final = 3_000_000
#: How many are looked through at first, and how many times as many then.
_FIRST: Final = 50_000
_MORE: Final = 8


class Found(NamedTuple):
    """The threads with a text.

    Attributes:
        hours: When they said it last, in seconds, by the hashes of their ids, the latest first: the
            ids may be too long for a query.
        is_partial: Whether there may be more.
    """

    hours: Mapping[int, int] = {}
    is_partial: bool = False


class _Place(NamedTuple):
    """A text's key: its thread, its day since the epoch, and its digest."""

    thread: str
    day: int
    digest: int


class _Known(NamedTuple):
    """What is known of a text: its hour, and its first span."""

    hour: int
    trace_id: str
    span_id: str
    start: int


class _New(NamedTuple):
    """A text of a span: when it began, the span, and the text's place in it."""

    start: int
    kept: KeptSpan
    number: int
    text: str

    def is_of(self, known: _Known) -> bool:
        """Whether it is what is known."""
        return self.start == known.start and self.kept.span.span_id == known.span_id


class Texts:
    """The table of texts.

    Args:
        server: Where it is.
        tables: Its name.
    """

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._name = tables.name("messages")
        self._scope = server.address.scope("service")
        self._values = server.address.scope_values

    def write(
        self, spans: Iterable[tuple[KeptSpan, str | None]], keys: Iterable[Key], version: int
    ) -> set[str]:
        """Write the texts of whole traces.

        Args:
            spans: Their spans, each with its thread.
            keys: What their threads did and when, and what was known of that before.
            version: As everywhere.

        Returns:
            The threads from which a text is gone.
        """
        new: dict[_Place, _New] = {}
        for kept, thread in spans:
            if thread is not None:
                start = kept.span.start
                day = hour_of(start) * SECOND // DAY
                texts = texts_of(kept.span, kept.facts)
                for number, (digest, text) in enumerate(texts.items()):
                    place = _Place(thread, day, digest)
                    if place not in new or start < new[place].start:
                        new[place] = _New(start, kept, number, text)
        rows, lost = self._parted(new, keys, version)
        rows += [
            {
                "thread_id": place.thread,
                "hour": hour_of(start),
                "digest": place.digest,
                "trace_id": kept.span.trace_id,
                "span_id": kept.span.span_id,
                "service": kept.span.service,
                "start": start,
                "place": number,
                "text": text,
                "words": words.separated(text),
                "version": version,
                "is_deleted": 0,
            }
            for place, (start, kept, number, text) in new.items()
        ]
        self._server.insert(self._name, rows)
        return lost

    def _parted(
        self, new: dict[_Place, _New], keys: Iterable[Key], version: int
    ) -> tuple[list[dict[str, Any]], set[str]]:
        """Leaves out what is known of new texts.

        Returns:
            Rows that say what is gone, and the threads from which a text is.
        """
        where = {(key.thread_id, key.hour * SECOND // DAY) for key in keys if key.thread_id}
        traces = {key.trace_id for key in keys}
        rows = []
        lost = set()
        for place, (known, *others) in self._known(where).items():
            found = new.get(place)
            rows += [self._gone(place, one.hour, version) for one in others]
            if known.trace_id in traces:
                is_known = found is not None and found.is_of(known)
                if found is None:
                    rows.append(self._gone(place, known.hour, version))
                    lost.add(place.thread)
            else:
                is_known = found is not None and found.start >= known.start
            if is_known:
                del new[place]
            elif found is not None and hour_of(found.start) != known.hour:
                rows.append(self._gone(place, known.hour, version))
        return rows, lost

    def _known(self, where: Iterable[tuple[str, int]]) -> dict[_Place, list[_Known]]:
        """Returns the texts of threads on some days, and of each the earliest first.

        There are several of one if two viewers have written it at the same time.
        """
        days = sorted({day for _, day in where})
        found: defaultdict[_Place, list[_Known]] = defaultdict(list)
        for thread, hour, digest, *known in self._server.ask_of(
            {thread for thread, _ in where},
            "SELECT thread_id, toInt64(toUnixTimestamp(hour)), digest, trace_id, span_id, start"
            f" FROM {self._name} FINAL WHERE thread_id IN {{ids:Array(String)}}"
            f" AND {of_days(days)} ORDER BY start",
        ):
            found[_Place(thread, hour * SECOND // DAY, digest)].append(_Known(hour, *known))
        return found

    @staticmethod
    def _gone(place: _Place, hour: int, version: int) -> dict[str, Any]:
        texts = ("trace_id", "span_id", "service", "text", "words")
        nothing = {**dict.fromkeys(texts, ""), "start": 0, "place": 0}
        row = {"thread_id": place.thread, "hour": hour, "digest": place.digest}
        return {**row, **nothing, "version": version, "is_deleted": 1}

    def forget(self, day: int) -> None:
        """Forget the texts of traces that did nothing around a day."""
        activity = self._tables.name("activity")
        self._server.do(
            f"INSERT INTO {self._name} (thread_id, hour, digest, version, is_deleted)"
            f" SELECT thread_id, hour, digest, {self._tables.now()}, 1 FROM {self._name} FINAL"
            f" WHERE {of_day(day)} AND trace_id NOT IN"
            f" (SELECT trace_id FROM {activity} FINAL WHERE {of_day(day - 1, day + 1)})"
        )

    def find(self, text: str, hours: str) -> Found:
        """Returns the threads with a text in their messages in some hours, the latest first.

        Args:
            text: What to search for.
            hours: SQL for the hours.
        """
        sought = words.sought(text)
        if not sought:
            return Found()
        counts = self._server.ask(
            "SELECT toInt64(toUnixTimestamp(a.hour)) AS began, count()"
            f" FROM {self._name} AS a WHERE {hours} GROUP BY began ORDER BY began DESC"
        )
        found: dict[int, int] = {}
        left, most = BUDGET, _FIRST
        while counts and left > 0 and len(found) < MOST:
            began = last = counts[0][0]
            taken = 0
            while counts and (not taken or taken + counts[0][1] <= min(most, left)):
                began, count = counts.pop(0)
                taken += count
            left -= taken
            most *= _MORE
            for thread, hour in self._server.ask(
                "SELECT cityHash64(thread_id) AS thread, max(toInt64(toUnixTimestamp(hour)))"
                f" FROM {self._name} AS a FINAL WHERE {hours} AND {self._scope}"
                f" AND hour >= toDateTime({began}, 'UTC') AND hour <= toDateTime({last}, 'UTC')"
                f" AND {_has(sought)} GROUP BY thread ORDER BY max(start) DESC, thread"
                f" LIMIT {MOST}",
                {**self._values, **_values(sought)},
            ):
                found.setdefault(thread, hour)
        most_recent = dict(itertools.islice(found.items(), MOST))
        return Found(most_recent, len(most_recent) == MOST or bool(counts))

    def hits(self, text: str, ids: Sequence[str], hours: Iterable[int]) -> Mapping[str, Hit]:
        """Returns the latest message with a text of some threads.

        Args:
            text: What was searched for.
            ids: The threads.
            hours: When they said it last.
        """
        sought = words.sought(text)
        hours = set(hours)
        if not hours:
            return {}
        pattern = words.pattern_of(text)
        return {
            thread: Hit(*words.excerpt(said, pattern), trace_id, span_id)
            for thread, said, trace_id, span_id in self._server.ask_of(
                ids,
                f"SELECT thread_id, text, trace_id, span_id FROM {self._name} AS a FINAL"
                f" WHERE {in_hours(hours)}"
                f" AND thread_id IN {{ids:Array(String)}} AND {self._scope}"
                f" AND {_has(sought)} ORDER BY start DESC, place DESC LIMIT 1 BY thread_id",
                {**self._values, **_values(sought)},
            )
        }


def _has(sought: Sequence[str]) -> str:
    return " AND ".join(
        f"position(words, {{sought_{number}:String}}) > 0" for number in range(len(sought))
    )


def _values(sought: Sequence[str]) -> dict[str, str]:
    return {f"sought_{number}": one for number, one in enumerate(sought)}
