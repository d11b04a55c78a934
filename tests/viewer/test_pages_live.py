"""What a reader holds stays while spans arrive: a question, focus, a menu, a selection, a page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orq_otel.viewer.model.kept_spans import KeptSpan

from . import conversations
from .browsing import PHONE, Browse, Browser, Page, Site, browse, browser, expect, site
from .conversations import NOON, SECOND, Recorder, said

__all__ = ["browse", "browser", "site"]

_SEEN = "change => document.body.dataset.change !== change"


def talk(thread_id: str, turns: int, start: int = NOON) -> list[KeptSpan]:
    """A conversation with so many questions, one a minute, each in a trace of its own."""
    recorder = Recorder(thread_id, start=start)
    for number in range(1, turns + 1):
        recorder.trace()
        messages = [said("user", f"Question {number}")]
        recorder.chat("gpt-5-mini", messages, [said("assistant", f"Answer {number}")], 1, (9, 9))
        recorder.wait(59)
    return recorder.spans


def arrive(page: Page, write: Callable[[], None]) -> None:
    """Have spans arrive, and wait until the page has looked at them."""
    change = page.evaluate("document.body.dataset.change")
    write()
    page.wait_for_function(_SEEN, arg=change)


@pytest.fixture
def others(site: Site) -> Callable[[], None]:
    """Lets spans of another thread arrive."""
    return lambda: site.store.write(conversations.without_content())


def test_a_question_to_the_reader_stays_open(
    site: Site, browse: Browse, others: Callable[[], None]
) -> None:
    site.store.write(talk("one", 1))
    page = browse("/threads/one")
    page.get_by_role("button", name="Delete").click()
    arrive(page, others)
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url(site.url + "/")
    expect(page.locator("table.threads .title")).to_have_count(1)


def test_the_message_in_focus_keeps_it(
    site: Site, browse: Browse, others: Callable[[], None]
) -> None:
    site.store.write(talk("one", 5))
    page = browse("/threads/one")
    for _ in range(4):
        page.keyboard.press("j")
    focused = "document.activeElement.innerText"
    before = page.evaluate(focused)
    arrive(page, others)
    assert page.evaluate(focused) == before
    page.keyboard.press("k")
    assert page.evaluate(focused) != before
    page.keyboard.press("j")
    assert page.evaluate(focused) == before


def test_an_open_menu_stays_in_the_window(
    site: Site, browse: Browse, others: Callable[[], None]
) -> None:
    site.store.write(talk("one", 3))
    page = browse("/")
    page.set_viewport_size({"width": 768, "height": 900})
    page.locator("#more-filters > summary").click()
    right = "one => one.getBoundingClientRect().right"
    assert page.locator("#more-filters .pop").evaluate(right) <= 768
    arrive(page, others)
    assert page.locator("#more-filters .pop").evaluate(right) <= 768


def test_a_part_of_a_long_thread_stays_when_the_next_one_begins(site: Site, browse: Browse) -> None:
    spans = talk("long", 51)
    site.store.write(spans[:-1])
    page = browse("/threads/long")
    expect(page.locator(".turn")).to_have_count(50)
    middle = page.locator("#x-25 .assistant")
    middle.scroll_into_view_if_needed()
    arrive(page, lambda: site.store.write(spans[-1:]))
    expect(page.locator(".turn")).to_have_count(50)
    expect(middle).to_be_in_viewport()
    page.locator(".to-latest").click()
    expect(page.locator(".message.user")).to_contain_text(["Question 51"])


def test_what_is_selected_stays_when_an_earlier_turn_comes_late(site: Site, browse: Browse) -> None:
    spans = talk("late", 3)
    site.store.write(spans[1:])
    page = browse("/threads/late")
    page.locator(".user", has_text="Question 3").get_by_text("Question 3").select_text()
    arrive(page, lambda: site.store.write(spans[:1]))
    expect(page.locator(".message.user")).to_have_count(3)
    assert page.evaluate("getSelection().toString()") == "Question 3"


def test_a_thread_that_is_deleted_meanwhile_says_so(site: Site, browser: Browser) -> None:
    site.store.write([*talk("one", 1), *talk("two", 1, NOON + 60 * SECOND)])
    with browser.new_context(viewport=PHONE) as context:
        page = context.new_page()
        page.goto(site.url + "/threads/one")
        site.store.delete_thread("one")
        expect(page.locator("#gone")).to_contain_text("This thread is gone")
        expect(page.locator(".message.user")).to_contain_text(["Question 1"])
        page.locator("#delete").click()
        page.get_by_role("button", name="Delete it").click()
        page.wait_for_url(site.url + "/")


@pytest.mark.slow
def test_the_latest_of_very_many_spans_is_shown_and_followed(site: Site, browse: Browse) -> None:
    spans = talk("huge", 5_302)
    site.store.write(spans[:-1])
    page = browse("/threads/huge")
    expect(page.locator(".message.user").last).to_contain_text("Question 5301")
    arrive(page, lambda: site.store.write(spans[-1:]))
    expect(page.locator(".message.user").last).to_contain_text("Question 5302")
    page.get_by_role("link", name="From the beginning").click()
    expect(page.locator(".message.user").first).to_contain_text("Question 1")
    page.locator(".to-latest").click()
    expect(page.locator(".message.user").last).to_contain_text("Question 5302")
    page.goto(site.url + "/?q=Question+5290")
    page.locator(".hit-text").click()
    expect(page.locator(".message.user", has_text="Question 5290")).to_be_in_viewport()
