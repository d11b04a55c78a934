"""What pages over ClickHouse do otherwise than over the viewer's own file."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import pytest

from . import conversations
from .browsing import Browse, Site, browse, browser, expect, serving
from .clickhouse_tables import Database

__all__ = ["browse", "browser", "site"]

HOUR = 3600 * 10**9


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    """Pages over the sums of ClickHouse."""
    with contextlib.closing(database.filled()) as store, serving(store) as url:
        yield Site(url, store)


def test_the_last_day_is_shown_unless_another_time_is_chosen(site: Site, browse: Browse) -> None:
    now = time.time_ns()
    site.store.write(conversations.without_content("today", now - HOUR))
    site.store.write(conversations.without_content("before", now - 80 * HOUR))
    page = browse()
    titles = page.locator("table.threads .title")
    expect(titles).to_have_text(["today"])
    expect(page.locator("#period")).to_contain_text("These are threads of the last 24 hours.")
    expect(page.locator("#since option:checked")).to_have_text("Last 24 hours")
    page.locator("#any-time").click()
    expect(titles).to_have_text(["today", "before"])
    expect(page.locator("#since")).to_have_value("any")
    expect(page.locator("#period")).to_have_count(0)


def test_what_is_older_is_shown_where_nothing_has_happened(site: Site, browse: Browse) -> None:
    site.store.write(conversations.without_content("before", time.time_ns() - 80 * HOUR))
    page = browse()
    expect(page.locator("table.threads .title")).to_have_text(["before"])
    expect(page.locator("#period")).to_contain_text("Nothing happened in the last 24 hours")
    page = browse("/numbers?by=service")
    expect(page.locator("table.sums tbody td:nth-child(2)")).to_have_text(["1"])
    expect(page.locator("#period")).to_contain_text("these are numbers of any time")


@pytest.mark.slow
def test_numbers_are_of_the_time_that_the_list_has(site: Site, browse: Browse) -> None:
    now = time.time_ns()
    site.store.write(conversations.without_content("today", now - HOUR))
    site.store.write(conversations.without_content("before", now - 80 * HOUR))
    page = browse("/numbers?by=service")
    calls = page.locator("table.sums tbody td:nth-child(2)")
    expect(page.locator("#period")).to_contain_text("These are numbers of the last 24 hours.")
    expect(calls).to_have_text(["1"])
    page.locator("#any-time").click()
    expect(page).to_have_url(re.compile(r"/numbers\?by=service&since=any$"))
    expect(calls).to_have_text(["2"])
    expect(page.locator("#period")).to_have_count(0)
    # The list of any time leads to the numbers of any time.
    for address, since in (("/?since=any", "any"), ("/", "24h")):
        page = browse(address)
        page.locator("#to-numbers").click()
        expect(page.locator("table.sums")).to_be_visible()
        expect(page.locator("#period")).to_have_count(0)
        assert page.url.endswith(f"/numbers?since={since}")


def test_nothing_is_deleted_that_the_collector_has_written(site: Site, browse: Browse) -> None:
    site.store.write(conversations.without_content())
    page = browse("/threads/billing-902")
    expect(page.locator("#said")).to_be_visible()
    expect(page.locator("#delete")).to_have_count(0)
