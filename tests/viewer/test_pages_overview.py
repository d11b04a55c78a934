"""The overview of threads, in a browser."""

from __future__ import annotations

import pytest

from . import conversations
from .browsing import Browse, Browser, Page, Site, browse, browser, expect, of_own_file
from .browsing import any_site as site
from .conversations import NOON, SECOND

__all__ = ["browse", "browser", "site"]

MINUTE = 60 * SECOND


@pytest.fixture
def four(site: Site) -> Site:
    """Four threads, the latest first: support, travel, an unknown model, and one without text."""
    site.store.write(conversations.support(start=NOON))
    site.store.write(conversations.travel(start=NOON - 10 * MINUTE))
    site.store.write(conversations.unknown_model(start=NOON - 20 * MINUTE))
    site.store.write(conversations.without_content(start=NOON - 30 * MINUTE))
    return site


def ids(page: Page) -> list[str]:
    """The titles in the table, in its order."""
    return page.locator("table.threads .title").all_inner_texts()


SUPPORT = "Hi! My order MO-88213 should have been here on Tuesday. Where is it?"
TRAVEL = (
    "We want to go from Lisbon to Porto on this map, with two stops. Which trains, and what do "
    "we have to book?"
)
UNKNOWN = "Summarise the attached incident report in two sentences."


def cells(page: Page, title: str) -> dict[str, str]:
    """What a row says, by the names of its columns."""
    row = page.locator("table.threads tbody tr", has_text=title)
    heads = page.locator("table.threads th").all_inner_texts()
    return {
        head.strip().split("\n")[0].rstrip("↓↑"): " ".join(text.split())
        for head, text in zip(heads, row.locator("td").all_inner_texts(), strict=True)
    }


def test_a_thread_is_a_row_with_all_that_is_known_of_it(four: Site, browse: Browse) -> None:
    page = browse()
    assert ids(page) == [SUPPORT, TRAVEL, UNKNOWN, "billing-902"]
    told = cells(page, SUPPORT)
    assert "support-4217" in told["Thread"]
    assert told["Activity"].replace(",", "") == "last 21 Nov 14:01:17 from 14:00:00"
    assert told["Duration"] == "1 m 17 s"
    assert told["Traces"] == "3"
    assert told["Spans"] == "17"
    assert told["Tokens"] == "3.3k in, → 218 out"
    assert told["Cost"] == "$0.0013"
    assert told["Errors"] == "2"
    assert told["Models"] == "gpt-5-mini"
    row = page.locator("table.threads tbody tr", has_text=SUPPORT)
    assert row.locator(".tags li").all_inner_texts() == ["support", "priority-high", "eu-west"]
    assert row.locator("svg.position rect.has-errors").count() == 1


def test_an_unknown_price_is_unknown_and_not_zero(four: Site, browse: Browse) -> None:
    page = browse()
    assert cells(page, UNKNOWN)["Cost"] == "\u2013 unknown"
    title = page.locator("tr", has_text=UNKNOWN).locator("abbr").get_attribute("title")
    assert title == "The price is unknown"
    expect(page.locator("#plot-cost")).to_contain_text("1 call of a model has no known price.")


def test_plots_say_in_words_what_they_show(four: Site, browse: Browse) -> None:
    page = browse()
    words = page.locator(".plots figure p.sr-only").all_inner_texts()
    assert words[0].startswith("41 spans, at most ")
    assert words[0].endswith(". 4 errors.")
    assert words[1] == "14,654 tokens in, 902 out."
    assert words[2].startswith("$0.02")
    assert words[3].startswith("Of 16 calls of models, half took ")
    assert page.locator(".plots svg.plot").count() == 4


def test_filter_by_tags_all_or_any(four: Site, browse: Browse) -> None:
    page = browse()
    page.get_by_role("checkbox", name="support 2").check()
    expect(page.locator("#found")).to_have_text("2 threads")
    page.get_by_role("checkbox", name="beta").check()
    expect(page.locator("#found")).to_have_text("0 threads")
    expect(page.get_by_text("No threads match these filters.")).to_be_visible()
    page.get_by_label("How tags are combined").select_option("any")
    expect(page.locator("#found")).to_have_text("3 threads")
    assert ids(page) == [SUPPORT, TRAVEL, "billing-902"]
    assert page.url.endswith("/?tag=support&tag=beta&match=any")
    page.go_back()
    expect(page.locator("#found")).to_have_text("0 threads")
    page.get_by_role("link", name="Clear filters").first.click()
    expect(page.locator("#found")).to_have_text("4 threads")


def test_filter_by_text_errors_and_time(four: Site, browse: Browse) -> None:
    page = browse()
    search = page.get_by_role("searchbox")
    search.fill("LISBON")
    search.press("Enter")
    expect(page.locator("#found")).to_have_text("1 thread")
    assert ids(page) == [TRAVEL]
    search.fill("")
    search.press("Enter")
    expect(page.locator("#found")).to_have_text("4 threads")
    page.get_by_role("checkbox", name="With errors").check()
    expect(page.locator("#found")).to_have_text("2 threads")
    assert ids(page) == [SUPPORT, "billing-902"]
    page.get_by_role("checkbox", name="With errors").uncheck()
    page.get_by_text("Exact times").click()
    page.get_by_label("From", exact=True).fill("2026-11-21T13:45")
    expect(page.locator("#found")).to_have_text("2 threads")
    page.get_by_label("To", exact=True).fill("2026-11-21T13:55")
    expect(page.locator("#found")).to_have_text("1 thread")
    assert ids(page) == [TRAVEL]


def test_a_tag_of_a_row_leads_to_all_threads_with_it(four: Site, browse: Browse) -> None:
    page = browse()
    page.locator("tr", has_text=UNKNOWN).get_by_role("link", name="eval").click()
    expect(page.locator("#found")).to_have_text("1 thread")
    assert page.get_by_role("checkbox", name="eval").is_checked()


@pytest.mark.parametrize("script", [True, False])
def test_sort_by_a_column_and_back(four: Site, browse: Browse, script: bool) -> None:
    page = browse(script=script)
    head = page.get_by_role("columnheader", name="Cost")
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    most = ids(page)
    assert most[0] == TRAVEL
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert set(ids(page)) == set(most)
    assert ids(page).index(TRAVEL) > ids(page).index(SUPPORT)


@pytest.mark.parametrize("script", [True, False])
def test_page_through_all_threads(site: Site, browse: Browse, script: bool) -> None:
    site.store.write(conversations.many(120))
    page = browse(script=script)
    seen: list[str] = []
    for number in (50, 50, 20):
        expect(page.locator("table.threads tbody tr")).to_have_count(number)
        shown = page.locator("table.threads tbody tr").evaluate_all(
            "rows => rows.map(one => one.id)"
        )
        seen += shown
        following = page.get_by_role("link", name="Next page")
        if number == 50:
            following.click()
            expect(page.locator("table.threads tbody tr").first).not_to_have_id(shown[0])
            expect(page.locator("tr.fresh")).to_have_count(0)  # none has just arrived
    assert following.count() == 0
    assert len(set(seen)) == 120
    page.get_by_role("link", name="First page").click()
    expect(page.locator("table.threads tbody tr").first).to_have_id(seen[0])


def test_filters_work_without_a_script(four: Site, browse: Browse) -> None:
    page = browse(script=False)
    page.get_by_role("checkbox", name="With errors").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#found")).to_have_text("2 threads")
    assert page.get_by_role("button", name="Live").count() == 0


def test_new_threads_appear_by_themselves(four: Site, browse: Browse) -> None:
    """The reader's focus, selection, scroll position and what was opened stay as they are."""
    page = browse()
    page.get_by_text("Exact times").click()
    search = page.get_by_role("searchbox")
    search.fill("half typed")
    page.evaluate(
        """() => {
            const text = document.querySelector("table.threads .under .id").firstChild;
            getSelection().setBaseAndExtent(text, 0, text, 7);
            scrollTo(0, 200);
        }"""
    )
    search.evaluate("(element) => element.focus({ preventScroll: true })")
    page.evaluate(
        "getSelection().setBaseAndExtent(...((n) => [n, 0, n, 7])"
        "(document.querySelector('table.threads .under .id').firstChild))"
    )
    scrolled = page.evaluate("scrollY")
    late = conversations.support("support-5000", NOON + 10 * MINUTE)
    four.store.write(late)
    expect(page.locator("#found")).to_have_text("5 threads")
    expect(page.locator("table.threads tbody tr").first).to_contain_text("support-5000")
    expect(page.locator("tr.fresh")).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text("5 threads")
    assert search.input_value() == "half typed"
    assert page.locator("#exact").get_attribute("open") is not None
    assert page.evaluate("getSelection().toString()") == "support"
    assert page.evaluate("document.activeElement.id") == "q"
    # What was in view stays there: the browser makes up for the row that came in above.
    assert page.evaluate("scrollY") >= scrolled
    more = conversations.support("support-5000", NOON + 30 * MINUTE)
    four.store.write(conversations.moved(more[:1], 1))
    assert cells(page, "support-5000")["Spans"] == "17"


def test_a_row_stays_under_a_pressed_button(four: Site, browse: Browse) -> None:
    page = browse()
    page.locator("tr", has_text=UNKNOWN).locator(".title").hover()
    page.mouse.down()
    with page.expect_response(four.url + "/") as response:
        four.store.write(conversations.support("support-5000", NOON + 10 * MINUTE))
    response.value.finished()
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    page.mouse.up()
    expect(page.get_by_role("heading", level=1)).to_have_text(UNKNOWN)


def test_focus_on_a_row_stays_when_it_moves(four: Site, browse: Browse) -> None:
    page = browse()
    link = page.locator("tr", has_text=UNKNOWN).locator(".title")
    link.focus()
    later = conversations.unknown_model(start=NOON + 20 * MINUTE)
    renamed = [conversations.renamed(one, "b" * 16) for one in later]
    four.store.write(renamed)
    expect(page.locator("table.threads .title").first).to_have_text(UNKNOWN)
    assert page.evaluate("document.activeElement.textContent.trim()") == UNKNOWN


@of_own_file  # others have asked their server by then
def test_paused_means_paused(four: Site, browse: Browse) -> None:
    page = browse()
    page.clock.install()
    page.reload()
    live = page.get_by_role("button", name="Live")
    expect(live).to_have_attribute("aria-pressed", "true")
    live.click()
    paused = page.get_by_role("button", name="Paused")
    expect(paused).to_have_attribute("aria-pressed", "false")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    four.store.write(conversations.support("support-5000", NOON + 10 * MINUTE))
    page.clock.run_for(60_000)
    assert asked == []
    expect(page.locator("#found")).to_have_text("4 threads")
    paused.click()
    expect(page.locator("#found")).to_have_text("5 threads")
    assert asked == [f"{four.url}/changes", f"{four.url}/"]


def test_a_lost_connection_is_told_of(four: Site, browser: Browser) -> None:
    context = browser.new_context()  # a complaint of the browser is expected
    page = context.new_page()
    page.goto(four.url)
    context.set_offline(True)
    expect(page.get_by_role("button", name="No connection")).to_be_visible()
    context.set_offline(False)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    context.close()


def test_the_first_thread_replaces_how_to_send_spans(site: Site, browse: Browse) -> None:
    page = browse()
    expect(page.get_by_role("heading", name="No threads yet")).to_be_visible()
    expect(page.locator("main")).to_contain_text(
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"
    )
    site.store.write(conversations.support())
    expect(page.locator("#found")).to_have_text("1 thread")
    assert ids(page) == [SUPPORT]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere", 404, "There is no such page"),
        ("/threads/nobody", 404, "There is no such thread"),
        ("/?sort=beauty", 400, "sort must be one of"),
        ("/?cursor=x", 400, "cursor"),
        ("/?from=yesterday", 400, "since is not a time"),
    ],
)
def test_what_is_not_there_says_so(
    four: Site, browser: Browser, path: str, status: int, says: str
) -> None:
    context = browser.new_context()  # a complaint of the browser is expected
    page = context.new_page()
    answer = page.goto(four.url + path)
    assert answer.status == status
    expect(page.locator("main")).to_contain_text(says)
    page.get_by_role("link", name="See all threads").click()
    expect(page.locator("#found")).to_have_text("4 threads")
    context.close()
