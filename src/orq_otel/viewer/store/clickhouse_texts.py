"""What was said in threads, in ClickHouse: each text of a thread once a day, and how it is found.

A text belongs to the first span of the day that had it. It is there as it was said, for excerpts,
and as words in lower case and without accents, each between two spaces, among which words and
phrases are looked for as `words.py` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from orq_otel.viewer.conversation.texts import texts_of
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.threads import Hit
from orq_otel.viewer.store import words
from orq_otel.viewer.store.buckets import DAY, SECOND
from orq_otel.viewer.store.clickhouse_activity import Tables
from orq_otel.viewer.store.clickhouse_rows import Key, hour_of, of_day
from orq_otel.viewer.store.clickhouse_server import Server

#: How many threads with a text are found at most.
MOST: Final = 5_000
#: How many texts are looked through at most, those of the latest days.
BUDGET: Final = 3_000_000


class Found(NamedTuple):
    """The threads with a text.

    Attributes:
        hashes: Their ids' hashes: the ids may be too long for a query.
        is_partial: Whether there may be more.
    """

    hashes: list[int]
    is_partial: bool = False


class _Place(NamedTuple):
    """A text's key: its thread, its day since the epoch, and its digest."""

    thread: str
    day: int
    digest: int


class Texts:
    """The table of texts.

    Args:
        server: Where it is.
        tables: Its name.
    """

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._name = tables.name("texts")
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
        new: dict[_Place, tuple[int, KeptSpan, int, str]] = {}
        for kept, thread in spans:
            if thread is not None:
                start = kept.span.start
                day = hour_of(start) * SECOND // DAY
                texts = texts_of(kept.span, kept.facts)
                for number, (digest, text) in enumerate(texts.items()):
                    place = _Place(thread, day, digest)
                    if place not in new or start < new[place][0]:
                        new[place] = start, kept, number, text
        where = {(key.thread_id, key.hour * SECOND // DAY) for key in keys if key.thread_id}
        traces = {key.trace_id for key in keys}
        rows = []
        lost = set()
        for place, (trace_id, span_id, start) in self._known(where).items():
            found = new.get(place)
            if trace_id not in traces:
                if found is not None and found[0] >= start:
                    del new[place]
            elif found is None:
                rows.append(self._gone(place, version))
                lost.add(place.thread)
            elif found[0] == start and found[1].span.span_id == span_id:
                del new[place]
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

    def _known(self, where: Iterable[tuple[str, int]]) -> dict[_Place, tuple[str, str, int]]:
        """Returns the texts of threads on some days: their traces, spans and starts."""
        threads = list({thread for thread, _ in where})
        days = list({day for _, day in where})
        if not threads:
            return {}
        found = self._server.ask(
            "SELECT thread_id, intDiv(toInt64(toUnixTimestamp(hour)), 86400), digest, trace_id,"
            f" span_id, start FROM {self._name} FINAL WHERE thread_id IN {{threads:Array(String)}}"
            " AND toDate(hour) IN arrayMap(x -> toDate(x), {days:Array(UInt16)})",
            {"threads": threads, "days": days},
        )
        return {_Place(*row[:3]): (row[3], row[4], row[5]) for row in found}

    @staticmethod
    def _gone(place: _Place, version: int) -> dict[str, Any]:
        texts = ("trace_id", "span_id", "service", "text", "words")
        nothing = {**dict.fromkeys(texts, ""), "start": 0, "place": 0}
        hour = place.day * DAY // SECOND
        row = {"thread_id": place.thread, "hour": hour, "digest": place.digest}
        return {**row, **nothing, "version": version, "is_deleted": 1}

    def forget(self, day: int) -> None:
        """Forget the texts of traces that did nothing around a day."""
        activity = self._tables.name("activity")
        near = " OR ".join(f"({of_day(one)})" for one in (day - 1, day, day + 1))
        self._server.do(
            f"INSERT INTO {self._name} (thread_id, hour, digest, version, is_deleted)"
            f" SELECT thread_id, hour, digest, {self._tables.now()}, 1 FROM {self._name} FINAL"
            f" WHERE {of_day(day)} AND trace_id NOT IN"
            f" (SELECT trace_id FROM {activity} FINAL WHERE {near})"
        )

    def find(self, text: str, hours: str) -> Found:
        """Returns the threads with a text in their messages in some hours, the latest first.

        Args:
            text: What to search for.
            hours: SQL for the hours.
        """
        sought = words.sought(text)
        if not sought:
            return Found([])
        counts = self._server.ask(
            f"SELECT intDiv(toInt64(toUnixTimestamp(hour)), 86400) AS day, count()"
            f" FROM {self._name} AS a WHERE {hours} GROUP BY day ORDER BY day DESC"
        )
        left, since = BUDGET, None
        for day, count in counts:
            left -= count
            if left < 0 and since is not None:
                break
            since = day
        if since is None:
            return Found([])
        found = self._server.ask(
            f"SELECT cityHash64(thread_id) FROM {self._name} AS a FINAL WHERE {hours}"
            f" AND hour >= toDateTime({since * DAY // SECOND}, 'UTC') AND {self._scope}"
            f" AND {_has(sought)} GROUP BY thread_id ORDER BY max(start) DESC, thread_id"
            f" LIMIT {MOST}",
            {**self._values, **_values(sought)},
        )
        is_partial = len(found) == MOST or since != counts[-1][0]
        return Found([one for (one,) in found], is_partial)

    def hits(self, text: str, ids: Sequence[str], hours: str) -> Mapping[str, Hit]:
        """Returns the latest message with a text of some threads."""
        sought = words.sought(text)
        if not sought or not ids:
            return {}
        pattern = words.pattern_of(text)
        return {
            thread: Hit(*words.excerpt(said, pattern), trace_id, span_id)
            for thread, said, trace_id, span_id in self._server.ask(
                f"SELECT thread_id, text, trace_id, span_id FROM {self._name} AS a FINAL"
                f" WHERE thread_id IN {{ids:Array(String)}} AND {hours} AND {self._scope}"
                f" AND {_has(sought)} ORDER BY start DESC, place DESC LIMIT 1 BY thread_id",
                {**self._values, **_values(sought), "ids": list(ids)},
            )
        }


def _has(sought: Sequence[str]) -> str:
    return " AND ".join(
        f"position(words, {{sought_{number}:String}}) > 0" for number in range(len(sought))
    )


def _values(sought: Sequence[str]) -> dict[str, str]:
    return {f"sought_{number}": one for number, one in enumerate(sought)}
