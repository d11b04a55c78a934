"""What a reader does to find threads: search, filters, tags, numbers, the list as CSV."""

from __future__ import annotations

import csv
import io
import json
import re

import httpx
import pytest

pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.model.telemetry import LogRecord, Span
from orq_otel.viewer.store import sqlite_search
from orq_otel.viewer.web.finding import tag_groups

from . import conversations
from .browsing import Browse, Page, Site, browse, browser, expect, of_own_file
from .browsing import any_site as site
from .sample_spans import MINUTE, NOON, SECOND, call

__all__ = ["browse", "browser", "site"]

TIMES, MINUS = "\u00d7", "\u2212"
HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}"


def add(store: Store, *spans: Span) -> None:
    store.write([KeptSpan(one, read(one)) for one in spans])


def said(thread: str, question: str, answer: str, **options: object) -> Span:
    parts = [{"type": "text", "content": answer}]
    output = json.dumps([{"role": "assistant", "parts": parts}])
    return call(thread, says=question, gen_ai__output__messages=output, **options)  # type: ignore[arg-type]


def thumb(thread: str, label: str, at: int = NOON) -> LogRecord:
    return LogRecord(
        trace_id=None,
        span_id=None,
        name="gen_ai.evaluation.result",
        time=at,
        severity="",
        body=None,
        service="shop",
        scope="tests",
        attributes={
            "gen_ai.evaluation.name": "user_feedback",
            "gen_ai.evaluation.score.label": label,
            "thread.id": thread,
        },
    )


@pytest.fixture
def three(site: Site) -> Site:
    add(
        site.store,
        said(
            "order-1",
            "Where is my parcel?",
            "It left Rotterdam on Monday.",
            tags=("plan:gold", "user-1", "a"),
            user__id="ada",
            cost=0.25,
            seconds=2,
        ),
        said(
            "order-2",
            "Cancel it",
            "Done: the money is in Rotterdam, " + "far away " * 60,
            start=NOON - MINUTE,
            tags=("plan:free", "user-2", "b"),
            user__id="bob",
            model="gpt-4o",
            cost=0.5,
            seconds=30,
        ),
        said("order-3", HOSTILE, HOSTILE, start=NOON - 2 * MINUTE, tags=("user-3", HOSTILE)),
    )
    site.store.write([], [thumb("order-1", "thumbs_up"), thumb("order-2", "thumbs_down")])
    return site


def ids(page: Page) -> list[str]:
    return [
        str(row.get_attribute("id")).removeprefix("t-")
        for row in page.locator("table.threads tbody tr").all()
    ]


def test_hits_are_highlighted_and_lead_to_their_span(three: Site, browse: Browse) -> None:
    page = browse()
    page.get_by_role("searchbox").fill("rotterdam")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#found")).to_have_text("2 threads")
    assert page.url.endswith("/?q=rotterdam")
    hits = page.locator(".hit-text")
    assert hits.all_inner_texts() == [
        "It left Rotterdam on Monday.",
        hits.nth(1).inner_text(),
    ]
    assert hits.locator("mark").all_inner_texts() == ["Rotterdam", "Rotterdam"]
    expect(page.locator("#set li")).to_have_text(f"Text: rotterdam {TIMES} (remove)")
    hits.first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Where is my parcel?")
    page.go_back()
    expect(page.locator("#found")).to_have_text("2 threads")
    page.locator("#set a").click()
    expect(page.locator("#found")).to_have_text("3 threads")


def test_stored_scripts_are_found_as_text(three: Site, browse: Browse) -> None:
    page = browse("/?q=onerror")
    expect(page.locator("#found")).to_have_text("1 thread")
    assert page.locator(".title").inner_text() == HOSTILE
    assert page.locator(".hit-text mark").inner_text() == "onerror"
    for path in ("/tags", "/numbers?by=tag", f"/numbers?a={HOSTILE}&b=a", "/tags?q=onerror"):
        page.goto(three.url + path)
        assert page.locator("main img").count() == 0
        assert page.get_by_text("49").count() == 0


@pytest.mark.parametrize("script", [True, False])
def test_filters_live_in_the_address(three: Site, browse: Browse, *, script: bool) -> None:
    page = browse(script=script)
    page.get_by_text("More filters").click()
    page.get_by_role("combobox", name="User").fill("ada")
    if script:
        page.get_by_role("combobox", name="User").press("Tab")
        expect(page.locator("#found")).to_have_text("1 thread")
        assert page.get_by_role("combobox", name="User").input_value() == ""
        page.get_by_label("Duration from").fill("1s")
        page.get_by_label("Duration from").press("Tab")
        expect(page.locator("#set li")).to_have_count(2)
    else:
        page.get_by_label("Duration from").fill("1s")
        page.get_by_role("button", name="Apply").click()
    assert ids(page) == ["order-1"]
    assert "user=ada" in page.url
    assert "min_duration=1s" in page.url
    page.get_by_role("link", name="User: ada").click()
    expect(page.locator("#found")).to_have_text("3 threads")
    assert "user=" not in page.url
    page.get_by_role("link", name="Duration from: 1s").click()
    expect(page.locator("#set")).to_have_count(0)
    page.get_by_text("More filters").click()
    page.get_by_label("Feedback").select_option("bad")
    if not script:
        page.get_by_role("button", name="Apply").click()
    expect(page.locator("#found")).to_have_text("1 thread")
    assert ids(page) == ["order-2"]
    expect(page.locator("tr .feedback")).to_have_text(f"{MINUS}1 bad")


def test_a_wrong_filter_says_what_to_write(site: Site) -> None:
    for path, words in (
        ("/?min_duration=long", "min_duration is not a duration. Write how long, such as 250ms"),
        ("/?max_cost=a", "max_cost must be an amount in US dollars, such as 0.05"),
        ("/?feedback=great", "feedback must be one of good, bad, any, none"),
        ("/numbers?by=color", "by must be one of tag, user, model, service, agent, tool"),
    ):
        answer = httpx.get(site.url + path, timeout=60)
        assert answer.status_code == 400
        assert words in answer.text


def test_exact_times_are_those_of_the_zone(three: Site, browse: Browse) -> None:
    """Noon in UTC is 21:00 in Tokyo, where summer time is unknown."""
    page = browse("/?from=2026-11-21T20:59&tz=Asia/Tokyo")
    assert "By the clocks of Asia/Tokyo." in page.locator("#exact").inner_text()
    assert ids(page) == ["order-1", "order-2"]
    page.goto(three.url + "/?from=2026-11-21T12:00&tz=UTC")
    assert ids(page) == ["order-1"]


def test_a_zone_in_the_address_stays_with_the_form(three: Site, browse: Browse) -> None:
    page = browse("/?tz=Asia/Tokyo")
    page.locator("#exact > summary").click()
    page.get_by_label("From", exact=True).fill("2026-11-21T21:00")
    page.get_by_label("From", exact=True).press("Enter")
    expect(page.locator("#found")).to_have_text("1 thread")
    assert "tz=Asia%2FTokyo" in page.url
    page.locator(".threads .title").click()
    expect(page.locator("#zone")).to_contain_text("Tokyo")
    page.goto(three.url + "/numbers?by=tag&tz=Asia/Tokyo")
    page.get_by_label("Compare", exact=True).fill("a")
    page.get_by_label("with", exact=True).fill("b")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".pair")).to_be_visible()
    assert "tz=Asia%2FTokyo" in page.url


def test_of_a_period_and_an_exact_time_the_later_choice_holds(three: Site, browse: Browse) -> None:
    page = browse("/?since=1h&from=2026-11-21T12:00")
    expect(page.locator("#since")).to_have_value("")
    expect(page.locator("#set li")).to_have_count(1)
    page.goto(three.url + "/?since=1h")
    page.locator("#exact > summary").click()
    page.get_by_label("From", exact=True).fill("2026-11-21T11:00")
    page.get_by_label("From", exact=True).press("Enter")
    expect(page.locator("#found")).to_have_text("3 threads")
    assert "since" not in page.url
    page.locator("#since").select_option("15m")
    expect(page.locator("#set li")).to_contain_text(["15m"])
    expect(page.locator("#from")).to_have_value("")
    assert "from" not in page.url


def test_the_key_to_the_list_leads_to_the_same_list(three: Site, browse: Browse) -> None:
    page = browse("/?tag=b&sort=cost")
    page.locator(".threads .title").click()
    expect(page.locator("#said")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator("#found")).to_have_text("1 thread")
    assert page.url.endswith("/?tag=b&sort=cost")


def test_a_hit_in_the_result_of_a_tool_is_unfolded(site: Site, browse: Browse) -> None:
    recorder = conversations.Recorder("tools")
    messages = [conversations.said("user", "Where is it?")]
    asked = conversations.said("assistant", conversations.call("c-1", "look", order="7"))
    recorder.chat("gpt-5", messages, [asked], 1, (9, 9))
    messages.append(conversations.result("c-1", {"place": "behind the zebra"}))
    recorder.chat("gpt-5", messages, [conversations.said("assistant", "There.")], 1, (9, 9))
    site.store.write(recorder.spans)
    page = browse("/?q=zebra")
    page.locator(".hit-text").click()
    expect(page.locator(".tool").get_by_text("behind the zebra")).to_be_in_viewport()


@pytest.mark.parametrize("at", [3, 58])
def test_a_hit_that_is_not_said_leads_to_its_row(site: Site, browse: Browse, at: int) -> None:
    recorder = conversations.Recorder("parts")
    for number in range(60):
        recorder.trace()
        root = recorder.span("POST /ask", 2, advance=False)
        error = ("OSError", "no zebra there") if number == at else None
        recorder.span("SELECT stock", 0.5, parent=root, error=error)
        messages = [conversations.said("user", f"Question {number}")]
        answer = [conversations.said("assistant", "Yes.")]
        recorder.chat("gpt-5", messages, answer, 1, (9, 9), parent=root)
        recorder.wait(60)
    site.store.write(recorder.spans)
    page = browse("/?q=zebra")
    page.locator(".hit-text").click()
    failed = page.locator(".row", has_text="SELECT stock").filter(has_text="error")
    expect(failed).to_be_in_viewport()
    expect(failed).to_have_attribute("open", "")
    failed.get_by_role("link", name="Everything about this span").click()
    page.get_by_role("link", name="the timeline").click()
    expect(failed).to_be_in_viewport()


def test_tags_are_grouped_and_found_among_thousands(site: Site, browse: Browse) -> None:
    tags = [*(f"user-{n}" for n in range(1500)), "plan:gold", "plan:free", "vip", "re-run"]
    add(site.store, *(call("a", tags=tuple(tags[n : n + 40])) for n in range(0, len(tags), 40)))
    page = browse()
    page.get_by_role("link", name="All tags").click()
    expect(page.locator(".section-head p")).to_have_text("1,504 tags")
    assert page.locator("main h2").all_inner_texts() == ["plan: 2", "user- 1,500", "Other 2"]
    page.get_by_role("searchbox").fill("ser-149")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".section-head p")).to_have_text("11 tags")
    page.get_by_role("link", name="user-1499 1").click()
    expect(page.locator("#found")).to_have_text("1 thread")
    page.goto(site.url)
    # The list that the field offers has only the most frequent until something is typed.
    page.get_by_label("Find a tag").press_sequentially("user-1234")
    expect(page.locator("#some-tag option")).to_have_count(1)
    page.get_by_label("Find a tag").press("Enter")
    expect(page.get_by_role("checkbox", name="user-1234")).to_be_checked()
    assert page.url.endswith("/?tag=user-1234")


def test_tag_groups() -> None:
    tags = [
        ("env=prod", 1),
        ("env=dev", 1),
        ("team-a", 1),
        ("team-b", 1),
        ("team-c", 1),
        ("x-y", 1),
    ]
    assert [(one.name, [tag for tag, _ in one.tags]) for one in tag_groups(tags)] == [
        ("env=", ["env=prod", "env=dev"]),
        ("team-", ["team-a", "team-b", "team-c"]),
        ("", ["x-y"]),
    ]


def test_numbers_of_two_tags_side_by_side(three: Site, browse: Browse) -> None:
    page = browse()
    page.get_by_role("link", name="Numbers").first.click()
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible()
    rows = page.locator("table.sums tbody tr")
    expect(rows).to_have_count(2)  # the heading is there before the rest of the page
    assert [row.inner_text().split("\t")[:4] for row in rows.all()] == [
        ["gpt-4o-mini", "2", "2", "0"],
        ["gpt-4o", "1", "1", "0"],
    ]
    page.get_by_role("link", name="By tag").click()
    expect(page).to_have_url(re.compile("by=tag"))
    page.get_by_role("combobox", name="Compare").fill("a")
    page.get_by_label("with").fill("b")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("table.pair tbody tr").first).to_be_visible()
    page.wait_for_load_state()
    lines = {
        cells[0]: cells[1:]
        for row in page.locator("table.pair tbody tr").all()
        if len(cells := row.inner_text().split("\t")) > 1
    }
    assert lines["Threads"] == ["1", "1", "the same"]
    assert lines["Cost"] == ["$0.2500", "$0.5000", "+100.0%"]
    assert lines["Latency, p95"] == ["2.00 s", "30.0 s", "+1400.0%"]
    assert lines["Good feedback"] == ["100%", "0%", "-100.0%"]
    assert "a=a&b=b" in page.url
    page.get_by_role("link", name="p95", exact=True).click()
    assert page.get_by_role("img").first.get_attribute("aria-label") == (
        "p95 over time, at most 2.00 s"
    )


def test_numbers_keep_the_filters_of_the_list(three: Site, browse: Browse) -> None:
    page = browse("/?user=bob")
    page.locator("#to-numbers").click()
    expect(page.locator("table.sums tbody tr")).to_have_count(1)
    assert page.locator(".set li").all_inner_texts() == [f"User: bob {TIMES}"]
    page.get_by_role("link", name="the threads that match").click()
    expect(page.locator("#found")).to_have_text("1 thread")
    assert ids(page) == ["order-2"]


def test_the_list_as_csv(three: Site, browse: Browse) -> None:
    page = browse("/?tag=plan:gold&from=2026-11-21T11:00")
    address = page.locator("#to-csv").get_attribute("href")
    assert address is not None
    answer = httpx.get(three.url + address, timeout=60)
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="threads.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["id"] == "order-1"
    assert row["title"] == "Where is my parcel?"
    assert row["tags"] == "plan:gold; user-1; a"
    assert row["started_at"] == "2026-11-21T12:00:00.000Z"
    assert (row["cost_usd"], row["good"], row["bad"]) == ("0.25", "1", "0")


def test_a_csv_has_all_pages_and_no_formulas(site: Site) -> None:
    many = [call(f"t{n:04}", start=NOON + n * SECOND, says="=1+1") for n in range(1100)]
    add(site.store, *many)
    answer = httpx.get(site.url + "/api/threads.csv?sort=started&order=asc", timeout=60)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == [f"t{n:04}" for n in range(1100)]
    assert {row["title"] for row in rows} == {"'=1+1"}


@of_own_file
def test_a_csv_says_that_not_all_was_searched(three: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_search, "MOST", 2)
    for text, name in (("order", "threads-partial.csv"), ("order-1", "threads.csv")):
        answer = httpx.get(f"{three.url}/api/threads.csv?q={text}", timeout=60)
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.one_in(3)  # `test_pages_layout` has axe look at all states of pages
@pytest.mark.parametrize("path", ["/?q=rotterdam", "/numbers?by=tag", "/numbers?a=a&b=b", "/tags"])
@pytest.mark.parametrize("phone", [True, False])
def test_axe_finds_nothing(three: Site, browse: Browse, path: str, *, phone: bool) -> None:
    page = browse(path, phone=phone)
    if path.startswith("/?"):
        page.get_by_text("More filters").click()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    if not path.startswith("/?"):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
