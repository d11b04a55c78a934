"""How many rows ClickHouse reads for each page, which its summaries say: those of a day or two."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.store.buckets import DAY, HOUR, SECOND

from .browsing import serving
from .clickhouse_tables import Database, FilledStore
from .sample_spans import call

#: Threads of a day, and how many days there are at first, and more of them then.
EACH, FIRST, MORE = 60, 3, 12
#: How often a page asks on which days threads did something.
LOOKED_UP = 2
#: How often each page reads what threads did on the days that 24 hours touch, and what they said.
PAGES = {
    "/": 8,
    "/?errors=true": 8,
    "/?tag=x": 8,
    "/?model=gpt-4o-mini": 8,
    "/?user=user-7": 8,
    "/?q=parcel": 13,
    "/?feedback=none": 8,
    "/?sort=cost": 8,
    "/?sort=duration&order=asc": 8,
    "/?since=1h": 6,
    "/numbers": 7,
    "/numbers?by=tag": 10,
    "/numbers?by=tag&a=x&b=y": 9,
    "/tags": 2,
    "/threads/THREAD": 5,
    "/api/threads?limit=5": 3,
    "/api/threads?since=24h&sort=errors": 3,
    "/api/threads.csv?since=24h": 4,
    "/api/threads/THREAD/spans": 4,
    "/api/numbers?since=24h&by=user": 9,
}
#: Those that look at the last hour alone, or first.
LAST_HOUR = ("/?since=1h", "/api/threads.csv?since=24h")


def fill(store: FilledStore, last: int, days: range) -> None:
    """Threads of some days before a time, as many on each."""
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "It is in a depot."}]}]
    store.write(
        [
            KeptSpan(one, read(one))
            for day in days
            for number in range(EACH)
            for one in [
                call(
                    f"{number}-of-{day}",
                    start=last - day * DAY + number * SECOND,
                    tags=("x", "y"),
                    status="ERROR" if number % 2 else "UNSET",
                    says="Where is my parcel?",
                    enduser__id=f"user-{number}",
                    gen_ai__output__messages=json.dumps(said),
                )
            ]
        ]
    )


@pytest.fixture
def store(database: Database) -> Iterator[FilledStore]:
    store = database.filled()
    yield store
    store.close()


def test_pages_have_budgets_however_many_days_there_are(
    database: Database, store: FilledStore
) -> None:
    last = time.time_ns() - HOUR // 4

    def rows() -> dict[str, int]:
        """What each page reads, from the summaries of its queries."""
        found = {}
        for page in PAGES:
            before = database.server.logged()
            url = site + page.replace("THREAD", "7-of-0")
            with urllib.request.urlopen(url) as answer:
                assert answer.status == 200
            asked = database.server.log(before)
            # On which days a thread did something is looked up among all days: here, a granule.
            dates = [one for one in asked if "_orq_dates" in one["sql"]]
            assert len(dates) <= LOOKED_UP
            found[page] = sum(one.get("rows", 0) for one in asked if one not in dates)
        return found

    with serving(store) as site:
        fill(store, last, range(FIRST))
        first = rows()
        fill(store, last, range(FIRST, FIRST + MORE))
        then = rows()
    # A span may have begun in the hour before, and that on another day.
    days = last // DAY - (last - DAY - HOUR) // DAY + 1
    now = last + HOUR // 4
    is_of_two_days = now // DAY > (now - 2 * HOUR) // DAY
    for page, each in PAGES.items():
        # The last hour is one of two days in the first hours of a day only.
        budget = each + 1 if is_of_two_days and page in LAST_HOUR else each
        assert 0 < first[page] <= budget * days * EACH, page
        # Some may be of what has just arrived.
        assert then[page] <= first[page] + EACH, page
