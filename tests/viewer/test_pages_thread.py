"""The page of a thread, in a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version

import pytest

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.web.addresses import thread_url

from . import conversations
from .browsing import Browse, Page, Site, browse, browser, expect, held
from .browsing import any_site as site
from .conversations import INJECTION, Recorder
from .sample_spans import NOON, call, new_trace, span

__all__ = ["browse", "browser", "site"]


def roles(page: Page) -> list[str]:
    """Who says something, from the first message on."""
    return page.locator(".message h3").all_inner_texts()


def unfold(page: Page) -> None:
    """Open what lies between questions and answers."""
    for one in page.locator(".steps > summary").all():
        one.click()


def test_a_conversation_is_told_once_and_in_order(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse("/threads/support-4217")
    assert page.title() == (
        "Hi! My order MO-88213 should have been here on Tuesday. Where is it? · orq-otel"
    )
    assert roles(page) == [
        "System", "User", "Assistant", "User", "Assistant", "User", "Assistant",
    ]  # fmt: skip
    assert [
        " ".join(one.split()) for one in page.locator(".steps > summary").all_inner_texts()
    ] == [
        "2 steps get_order track_parcel 1 failed",
        "2 steps track_parcel 1 failed",
    ]
    assert page.locator(".message.user .prose").all_inner_texts() == [
        "Hi! My order MO-88213 should have been here on Tuesday. Where is it?",
        "Please try once more. I leave for the mountains on Saturday 🏔️",
        "Perfect, thank you!",
    ]
    answer = page.locator(".message.assistant").first
    assert answer.locator("header").inner_text().split() == ["Assistant", "gpt-5-mini", "14:00:04"]
    assert answer.locator("footer").inner_text().split("\n") == [
        "940 ms", "first after 310 ms", "497 → 71 tokens", "$0.0003", "Span", "chat gpt-5-mini",
    ]  # fmt: skip
    stats = page.locator(".stats").inner_text().split("\n")
    told = dict(zip(stats[::2], stats[1::2], strict=True))
    assert told["Traces"] == "3"
    assert told["Spans"] == "17"
    assert told["Tokens in"] == "3,283"
    assert told["Tokens out"] == "218"
    assert told["Duration"] == "1 m 17 s"


def test_a_cost_explains_itself(site: Site, browse: Browse) -> None:
    near = call("shop", server__address="10.0.0.5")
    site.store.write([KeptSpan(near, read(near))])
    page = browse("/threads/shop")
    cost = page.locator(".message.assistant footer .cost")
    assert cost.locator("summary").inner_text() == "≈ $0.0002"
    cost.locator("summary").click()
    rows = cost.locator("tbody tr")
    assert rows.nth(0).inner_text().split("\t") == ["input", "1,000", "$0.15", "$0.0001"]
    assert rows.nth(1).inner_text().split("\t") == ["output", "100", "$0.60", "<$0.0001"]
    expect(cost.locator("p")).to_contain_text(
        f"Prices of OpenAI for gpt-4o-mini, by genai-prices {version('genai-prices')} of 20"
    )
    expect(cost.locator("p")).to_contain_text(
        "An estimate: it was served from 10.0.0.5, a private address; this is what OpenAI asks."
    )
    assert "1 call estimated: $0.0002" in page.locator(".stats").inner_text()
    page = browse("/")
    cell = page.locator("#t-shop [data-label=Cost]")
    expect(cell.locator("abbr").first).to_have_text("≈")
    expect(page.locator("#plot-cost")).to_contain_text("≈ $0.0002 estimated")
    page = browse("/numbers?by=model")
    expect(page.locator(".sums tbody tr").first.locator("abbr").first).to_have_text("≈")


def test_an_end_before_its_start_is_marked(site: Site, browse: Browse) -> None:
    back = call("shop", seconds=-0.003)
    site.store.write([KeptSpan(back, read(back))])
    page = browse("/threads/shop")
    mark = page.locator(".message.assistant footer abbr", has_text="clock set back")
    assert (mark.get_attribute("title") or "").startswith("It ended 3.00 ms before it began")


def test_tools_stand_with_their_results_and_errors_with_their_message(
    site: Site, browse: Browse
) -> None:
    site.store.write(conversations.support())
    page = browse("/threads/support-4217")
    unfold(page)
    tools = page.locator(".steps .tool")
    assert tools.locator(".tool-name").all_inner_texts() == [
        "get_order", "track_parcel", "track_parcel",
    ]  # fmt: skip
    order = tools.nth(0)
    assert order.get_attribute("open") is None
    order.locator("> summary").click()
    assert '"MO-88213"' in order.get_by_label("Arguments", exact=True).inner_text()
    assert '"carrier": "NordPost"' in order.get_by_label("Result", exact=True).inner_text()
    failed = tools.nth(1)
    assert failed.get_attribute("open") is not None
    expect(failed.locator(".failure")).to_have_text(
        "CarrierTimeoutError NordPost did not answer within 1.5 s (tracking API v2)"
    )
    expect(page.locator(".call.bad .failure")).to_contain_text("RateLimitError 429: Rate limit")
    expect(page.locator(".history")).to_have_text("Asked again with the same messages.")
    errors = page.locator(".errors")
    assert errors.locator("summary").inner_text() == "2 errors"
    errors.get_by_role("link", name="chat gpt-5-mini").click()
    opened = page.locator(".row[open]")
    expect(opened).to_have_count(1)
    expect(opened.locator(".row-body .failure")).to_contain_text("RateLimitError")
    expect(opened.locator(".event")).to_contain_text("exception +210 ms 429: Rate limit reached")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_the_timeline_shows_all_traces_and_mutes_what_is_not_the_threads(
    site: Site, browse: Browse
) -> None:
    spans = conversations.support()
    first = spans[0].span
    other = replace(first, span_id="f" * 16, name="sell", attributes={"thread.id": "another"})
    site.store.write([*spans, KeptSpan(other, read(other))])
    page = browse("/threads/support-4217")
    assert page.locator(".trace").count() == 3
    assert page.locator(".row").count() == 18
    muted = page.locator(".muted-row .name").all_inner_texts()
    assert [one.split("\n") for one in muted] == [["sell", "(of another part of the trace)"]]
    row = page.locator(".row", has_text="execute_tool get_order").first
    row.locator("summary").click()
    expect(row.locator("tbody")).to_be_visible()
    told = dict(one.split("\t") for one in row.locator("tbody tr").all_inner_texts())
    assert told["gen_ai.tool.name"] == "get_order"
    assert told["thread.id"] == "support-4217"
    row.get_by_role("link", name="Everything about this span").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("execute_tool get_order")
    expect(page.get_by_label("Resource", exact=True)).to_contain_text("telemetry.sdk.language")
    page.locator(".crumb.id").click()
    expect(page.locator("#said")).to_have_text("Conversation")


def test_a_row_that_opens_leaves_its_links_where_they_are(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse("/threads/support-4217")
    asked = held(page, "**/*part=row*")
    row = page.locator(".row").first
    with page.expect_request("**/*part=row*"):
        row.locator("summary").click()
    link = row.get_by_role("link", name="Everything about this span")
    before = link.bounding_box()
    link.hover()
    page.mouse.down()
    with page.expect_response("**/*part=row*"):
        asked[0].continue_()
    page.mouse.up()
    expect(page.get_by_role("heading", level=1)).to_have_text("POST /support/messages")
    page.go_back()
    page.unroute("**/*part=row*")
    row.locator("summary").click()
    expect(row.locator(".facts")).to_be_visible()
    assert link.bounding_box() == before


def test_a_row_opened_before_the_script_is_there_is_filled(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse()
    scripts = held(page, "**/static/viewer.js*")
    page.goto(site.url + "/threads/support-4217", wait_until="commit")
    row = page.locator(".row").first
    row.locator("summary").click()
    expect(row.locator(".row-body")).to_be_visible()
    scripts[0].continue_()
    expect(row.locator(".facts")).to_be_visible()


def test_reasoning_images_and_files(site: Site, browse: Browse) -> None:
    site.store.write(conversations.travel())
    page = browse(thread_url("trip/lisbon → porto"))
    expect(page.locator(".crumb.id")).to_have_text("trip/lisbon → porto")
    assert roles(page) == ["System", "User", "Assistant", "User", "Assistant"]
    media = page.locator(".media")
    assert [" ".join(one.split()) for one in media.all_inner_texts()] == [
        "Image image/jpeg · 284.1 kB",
        "Document file-7Qm2xL",
    ]
    unfold(page)
    thought = page.locator(".reasoning")
    expect(thought.locator(".prose")).to_be_hidden()
    thought.locator("summary").click()
    expect(thought.locator(".prose")).to_contain_text("Coimbra lies on the main line")
    assert page.locator("main img, main a[href^='http']").count() == 0


def test_without_content_the_turns_are_there_and_the_switch_is_named(
    site: Site, browse: Browse
) -> None:
    site.store.write(conversations.without_content())
    page = browse("/threads/billing-902")
    expect(page.locator("#not-captured")).to_contain_text(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"
    )
    assert roles(page) == ["Call 3", "Call 6", "Call 7"]
    unfold(page)
    assert page.locator(".steps .tool-name").all_inner_texts() == [
        "get_order", "track_parcel", "track_parcel",
    ]  # fmt: skip
    expect(page.locator(".call footer").first).to_contain_text("312 → 28 tokens")
    assert "MO-88213" not in page.content()


def test_an_unknown_price_is_unknown(site: Site, browse: Browse) -> None:
    site.store.write(conversations.unknown_model())
    page = browse("/threads/eval-llama-017")
    cost = page.locator(".stats div", has=page.get_by_text("Cost", exact=True)).locator("dd")
    assert cost.inner_text().split() == ["\u2013", "unknown"]
    assert cost.locator("abbr").get_attribute("title") == "The price is unknown"
    expect(page.locator(".message footer")).to_contain_text("\u2013unknown")
    assert "$" not in page.locator("main").inner_text()


def test_what_spans_say_is_text_and_nothing_else(site: Site, browse: Browse) -> None:
    """The fixture sees to it that nothing is run, asked for or refused by the browser."""
    thread_id = "<b>x</b>/../\"'&?#%2F\u202e"
    site.store.write(conversations.hostile(thread_id))
    page = browse()
    row = page.locator("table.threads tbody tr")
    expect(row.locator(".title")).to_contain_text("<script>document.title='owned'</script>")
    row.locator(".title").click()
    expect(page.locator("#said")).to_be_visible()
    shown = INJECTION.replace("\u202e", "[U+202E]").replace("\u202c", "[U+202C]")
    expect(page.locator(".message.user .prose")).to_have_text(shown)
    expect(page.locator(".message.assistant .prose").first).to_have_text(shown)
    assert "<b>x</b>/../\"'&?#%2F[U+202E]" in page.locator(".crumb.id").inner_text()
    page.locator("main details").evaluate_all("all => all.forEach((one) => { one.open = true })")
    expect(page.locator(".row .facts")).to_have_count(page.locator(".row").count())
    for link in page.locator("main a").all():
        href = str(link.get_attribute("href"))
        assert href.startswith(("#s-", "#e-", "/?", "/threads/", "/api/threads/")), href
    assert page.locator("main script, main img, main iframe, main [onload]").count() == 0
    page.get_by_role("link", name="Everything about this span").first.click()
    expect(page.get_by_role("heading", name="Resource")).to_be_visible()
    assert page.title() != "owned"
    assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "thread_id",
    ["a/b", ".", "..", "../..", "a b+c", "%2F", "né ☃", "line\nbreak", "a//b/", "?q=1#x", "x\\y"],
)
def test_any_id_has_a_page(site: Site, browse: Browse, thread_id: str) -> None:
    recorder = Recorder(thread_id)
    recorder.chat("gpt-5-mini", [conversations.said("user", "Hello")], None, 1, (3, 1))
    site.store.write(recorder.spans)
    page = browse()
    page.locator("table.threads .title").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello")
    page.locator(".row summary").click()
    page.get_by_role("link", name="Everything about this span").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chat gpt-5-mini")


def test_a_long_thread_comes_in_parts(site: Site, browse: Browse) -> None:
    site.store.write(conversations.long(turns=120))
    page = browse("/threads/long")
    expect(page.locator("#said + span")).to_have_text("120 calls of a model")
    # It opens at its end.
    expect(page.locator(".message.user .prose").last).to_have_text("Question 120")
    expect(page.locator(".message.assistant").last).to_be_in_viewport()
    page.goto(site.url + "/threads/long?page=1")
    assert page.locator(".turn").count() == 50
    page.get_by_role("link", name="Later").first.click()
    expect(page.locator(".message.user .prose").first).to_have_text("Question 51")
    # What was said in the first part is not said again.
    assert page.locator(".message.user").count() == 50
    expect(page.locator(".trace h3").first).to_have_text("14:08:45")
    page.get_by_role("link", name="Later").first.click()
    expect(page.locator(".message.user .prose").last).to_have_text("Question 120")
    assert page.get_by_role("link", name="Later").count() == 0


def test_many_spans_in_one_trace_are_limited_with_a_note(site: Site, browse: Browse) -> None:
    recorder = Recorder("busy")
    for number in range(260):
        recorder.span(f"step {number}", 0.01)
    site.store.write(recorder.spans)
    page = browse("/threads/busy")
    assert page.locator(".row").count() == 200
    expect(page.locator(".time .note")).to_have_text("60 more spans here are not shown.")
    expect(page.locator(".nothing-said")).to_be_visible()


def test_a_conversation_goes_on_while_it_is_read(site: Site, browse: Browse) -> None:
    spans = conversations.support()
    later = [one for one in spans if one.span.trace_id == spans[-1].span.trace_id]
    site.store.write([one for one in spans if one not in later])
    page = browse("/threads/support-4217")
    unfold(page)
    page.locator(".tool summary").first.click()
    page.locator(".row summary").nth(2).click()
    expect(page.locator(".row").nth(2).locator(".facts")).to_be_visible()
    expect(page.locator(".message.user")).to_have_count(2)
    site.store.write(later)
    expect(page.locator(".message.user")).to_have_count(3)
    expect(page.locator(".trace")).to_have_count(3)
    assert page.locator(".tool").first.get_attribute("open") is not None
    assert page.locator(".row").nth(2).get_attribute("open") is not None
    expect(page.locator(".row").nth(2).locator(".facts")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('.row')?.open")


def test_a_thread_is_exported(site: Site, browse: Browse) -> None:
    site.store.write(conversations.travel())
    page = browse(thread_url("trip/lisbon → porto"))
    page.locator("#export summary").click()
    for form in ("JSON", "OTLP"):
        with page.expect_download() as download:
            page.get_by_role("link", name=form, exact=True).click()
        told = json.loads(download.value.path().read_text())
        assert ("resourceSpans" in told) == (form == "OTLP")


def test_a_narrow_timeline_says_which_steps_failed(site: Site, browse: Browse) -> None:
    """However deep a step lies, and however long its name is."""
    trace, parent = new_trace(), None
    spans = []
    for depth in range(14):
        step = span("a", trace=trace, start=NOON + depth, name="a step with more to do than others")
        failed = span(
            "a",
            trace=trace,
            start=NOON + depth,
            name="execute_tool look_up_the_order_of_the_customer",
            status="ERROR",
            gen_ai__operation__name="execute_tool",
        )
        spans += [replace(step, parent_id=parent), replace(failed, parent_id=step.span_id)]
        parent = step.span_id
    site.store.write([KeptSpan(one, read(one)) for one in spans])
    page = browse("/threads/a", phone=True)
    badges = page.locator(".row.bad > summary .badge")
    expect(badges).to_have_count(14)
    for badge in badges.all():
        row, shown = badge.locator("xpath=ancestor::summary").bounding_box(), badge.bounding_box()
        bar = badge.locator("xpath=ancestor::summary").locator(".bar").bounding_box()
        assert row is not None
        assert bar is not None
        assert shown is not None
        assert shown["width"] > 30
        assert row["x"] < shown["x"]
        assert shown["x"] + shown["width"] <= bar["x"]
        hit = badge.evaluate(
            """(one) => {
                one.scrollIntoView({block: "center", behavior: "instant"});
                const box = one.getBoundingClientRect();
                return document.elementFromPoint(box.right - 4, box.top + box.height / 2) === one;
            }"""
        )
        assert hit  # nothing cuts it off
