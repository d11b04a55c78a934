"""The pages for everybody: by keyboard, on a phone, in both themes, and to a screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import agents, conversations
from .browsing import Browse, Page, Site, browse, browser, expect, site

__all__ = ["browse", "browser", "site"]


PATHS = [
    "/",
    "/threads/support-4217",
    "/threads/trip%2Flisbon%20%E2%86%92%20porto",
    "/threads/billing-902",
    "/threads/long",
]


@pytest.fixture
def full(site: Site) -> Iterator[Site]:
    for spans in (
        conversations.many(60),
        conversations.support(),
        conversations.travel(),
        conversations.unknown_model(),
        conversations.without_content(),
        conversations.long(),
        conversations.hostile(),
    ):
        site.store.write(spans)
    return site


@pytest.mark.parametrize("path", [*PATHS, "hostile", "span"])
@pytest.mark.one_in(3)
def test_nothing_is_wider_than_a_phone(full: Site, browse: Browse, path: str) -> None:
    page = browse(path if path.startswith("/") else "/", phone=True)
    if path == "hostile":
        page.goto(page.url + "?q=%3Cscript")
        page.locator(".title").click()
        expect(page.locator("#said")).to_be_visible()
    elif path == "span":
        page.goto(page.url + "threads/support-4217")
        page.locator(".row summary").nth(2).click()
        page.get_by_role("link", name="Everything about this span").click()
        expect(page.get_by_role("heading", name="Resource")).to_be_visible()
    page.locator("main details").evaluate_all(
        "all => all.slice(0, 40).forEach((one) => { one.open = true })"
    )
    if page.locator(".row[open]").count():
        expect(page.locator(".row[open] .facts").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("(scrollTo(50, 0), scrollX)") == 0


def test_on_a_phone_rows_are_cards_and_the_conversation_comes_first(
    full: Site, browse: Browse
) -> None:
    page = browse(phone=True)
    expect(page.locator("table.threads thead")).to_be_hidden()
    card = page.locator("table.threads tbody tr", has_text="support-4217").bounding_box()
    assert card is not None
    assert card["width"] > 350
    assert card["height"] > 120
    page.get_by_label("Sort by").select_option("cost")
    expect(page.get_by_label("Sort by")).to_have_value("cost")
    page.wait_for_url("**/?sort=cost")
    page.goto(full.url + "/" + "threads/support-4217")
    said = page.locator("section.said").bounding_box()
    time = page.locator("section.time").bounding_box()
    assert said is not None
    assert time is not None
    assert time["y"] >= said["y"] + said["height"]


def test_all_can_be_done_by_keyboard(full: Site, browse: Browse) -> None:
    page = browse()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    assert outline(page) != "none"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("support-4217")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("1 thread")
    expect(page.get_by_role("searchbox")).to_be_focused()
    reach(page, ".title")
    assert outline(page) != "none"
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_be_visible()
    reach(page, ".steps > summary")
    page.keyboard.press("Enter")
    reach(page, ".tool summary")
    page.keyboard.press("Enter")
    expect(page.locator(".tool").first.get_by_label("Result", exact=True)).to_be_visible()
    reach(page, ".to-span")
    page.keyboard.press("Enter")
    expect(page.locator(".row[open]")).to_have_count(1)
    assert page.evaluate("document.activeElement.matches('.row summary')")
    assert outline(page) != "none"
    page.keyboard.press("Space")
    expect(page.locator(".row[open]")).to_have_count(0)


def test_escape_closes_what_lies_above_the_page(full: Site, browse: Browse) -> None:
    page = browse()
    summary = page.locator("#exact summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("From", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.get_by_label("From", exact=True)).to_be_hidden()
    expect(summary).to_be_focused()


def test_the_theme_is_the_systems_until_another_is_chosen(full: Site, browse: Browse) -> None:
    page = browse(color_scheme="dark")
    assert brightness(page) < 60
    button = page.get_by_role("button", name="Dark theme")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    assert brightness(page) > 200
    page.goto(page.url + "threads/support-4217")
    assert brightness(page) > 200
    expect(button).to_have_attribute("aria-pressed", "false")
    assert brightness(browse(color_scheme="light")) > 200


@pytest.mark.one_in(3)  # `test_pages_layout` has axe look at all states of pages
@pytest.mark.parametrize(("phone", "theme"), [(False, "light"), (False, "dark"), (True, "light")])
@pytest.mark.parametrize("path", [*PATHS, "/?tag=support&errors=true", "empty"])
def test_axe_finds_nothing(
    site: Site, browse: Browse, path: str, phone: bool, theme: str, request: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    if path != "empty":
        request.getfixturevalue("full")
    page = browse("/" if path == "empty" else path, phone=phone, color_scheme=theme)
    opened = page.locator(".steps > summary").all()[:2]
    for one in [*opened, *page.locator(".row summary").all()[:3]]:
        one.click()
    for one in page.locator(".reasoning > summary, .tool > summary").all()[:4]:
        if one.is_visible():
            one.click()
    if page.locator(".row").count():
        expect(page.locator(".row").first.locator(".facts")).to_be_visible()
    found = axe.Axe().run(page).response["violations"]
    assert [
        (one["id"], node["html"][:200], node["failureSummary"][:200])
        for one in found
        for node in one["nodes"][:3]
    ] == []


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_in_what_lies_above_the_page(
    site: Site, browse: Browse, theme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    site.store.write(agents.research())
    page = browse("/threads/research-7", color_scheme=theme)
    page.locator("#export summary").click()
    page.locator("#steps-1 > summary").click()
    for agent in page.locator(".agent > summary, .step-line > summary").all():
        agent.click()
    for opens in ("", "#palette-open", "#delete", "?"):
        if opens.startswith("#"):
            page.locator(opens).click()
        elif opens:
            page.keyboard.press(opens)
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
        page.keyboard.press("Escape")


def reach(page: Page, selector: str) -> None:
    """Press Tab until it is on such an element."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("(one) => document.activeElement.matches(one)", selector):
            return
    raise AssertionError(selector)


def outline(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))


def brightness(page: Page) -> int:
    """Of the page, from 0 to 255."""
    colour = page.evaluate(
        """() => {
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
        }"""
    )
    return int(sum(colour[:3]) / 3)
