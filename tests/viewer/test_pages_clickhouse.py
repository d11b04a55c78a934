"""The overview in a browser, over ClickHouse: the same tests as over SQLite, and its last day."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import pytest

from orq_otel.viewer.model import KeptSpan, LogRecord
from orq_otel.viewer.store.clickhouse import ClickHouseStore

from . import conversations, test_pages_overview
from .browsing import Browse, Site, browse, browser, expect, serving
from .clickhouse_tables import Database

__all__ = ["browse", "browser", "site"]

# The tests of the other module, and their fixtures, with the site of this one.
globals().update(
    (name, value)
    for name, value in vars(test_pages_overview).items()
    if name == "four" or name.startswith("test_")
)

HOUR = 3600 * 10**9


class Filled(ClickHouseStore):
    """A store that writes as the Collector does."""

    database: Database

    def write(self, spans: Sequence[KeptSpan], logs: Sequence[LogRecord] = ()) -> None:
        self.database.insert(spans, logs)


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    """Pages over the sums of ClickHouse."""
    store = Filled.connect(database.url())
    assert isinstance(store, Filled)
    store.database = database
    store.create_rollup()
    with contextlib.closing(store), serving(store) as url:
        yield Site(url, store)


def test_the_last_day_is_shown_unless_another_time_is_chosen(site: Site, browse: Browse) -> None:
    now = time.time_ns()
    site.store.write(conversations.without_content("today", now - HOUR))
    site.store.write(conversations.without_content("before", now - 80 * HOUR))
    page = browse()
    titles = page.locator("table.threads .title")
    expect(titles).to_have_text(["today"])
    expect(page.locator("#period")).to_contain_text("These are threads of the last 24 hours.")
    expect(page.locator("#since")).to_have_value("24h")
    page.locator("#any-time").click()
    expect(titles).to_have_text(["today", "before"])
    expect(page.locator("#since")).to_have_value("any")
    expect(page.locator("#period")).to_have_count(0)


def test_what_is_older_is_shown_where_nothing_has_happened(site: Site, browse: Browse) -> None:
    site.store.write(conversations.without_content("before", time.time_ns() - 80 * HOUR))
    page = browse()
    expect(page.locator("table.threads .title")).to_have_text(["before"])
    expect(page.locator("#period")).to_contain_text("Nothing happened in the last 24 hours")
