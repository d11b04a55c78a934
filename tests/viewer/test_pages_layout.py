"""Every page in every state, at four widths and in both themes: nothing is cut or too small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe

from . import conversations
from .browsing import PATIENCE, Browser, Site, browser, expect, site
from .states import STATES, WIDTHS, show, sites

__all__ = ["browser", "site"]

#: Of a thing to click on, in pixels of CSS: https://www.w3.org/TR/WCAG22/#target-size-minimum and
#: #target-size-enhanced, which both leave out links in a line of text.
LEAST = 24
LEAST_ON_TOUCH = 44

MEASURE = """(least) => {
    const root = document.querySelector("dialog[open]") ?? document.body;
    const named = (one) => one.outerHTML.slice(0, 160);
    const box = (one) => one.getBoundingClientRect();
    const style = (one) => getComputedStyle(one);
    const shown = (one) => one.checkVisibility({ checkVisibilityCSS: true })
        && box(one).width > 1 && box(one).height > 1 && !one.closest(".sr-only, .skip");
    const isCut = (mode) => ["hidden", "clip"].includes(mode);
    // Whether what is around it can be scrolled sideways, or ends with a sign that there is more.
    const scrolls = (one) => {
        for (let at = one; at && at !== document.body; at = at.parentElement) {
            const { overflowX, textOverflow } = style(at);
            if (["auto", "scroll"].includes(overflowX)) return true;
            if (overflowX === "hidden" && textOverflow === "ellipsis") return true;
        }
        return false;
    };
    const all = [...root.querySelectorAll("*")].filter((one) => !one.closest("svg") && shown(one));
    const outside = all.filter((one) => !scrolls(one)
        && (box(one).right > innerWidth + 1 || box(one).left < -1));
    const clipped = all.filter((one) => {
        const { overflowX, overflowY, textOverflow, clipPath } = style(one);
        return clipPath === "none" && textOverflow !== "ellipsis" && (
            (isCut(overflowX) && one.scrollWidth > one.clientWidth + 1)
            || (isCut(overflowY) && one.scrollHeight > one.clientHeight + 2));
    });
    const targets = all.filter((one) =>
        one.matches("a[href], button, summary, select, input, label:has(input)")
        && (one.matches("label") || !one.closest("label")));
    const small = targets.filter((one) => {
        const isInLine = one.matches(".json > summary")
            || (one.matches("a") && style(one).display === "inline");
        if (isInLine) return false;
        const wanted = one.matches(".tags a, .cost > summary") ? 24 : least;
        const after = getComputedStyle(one, "::after");  // it may be larger than what is seen
        const isGrown = after.position === "absolute" && after.content !== "none";
        const width = Math.max(box(one).width, isGrown ? parseFloat(after.width) : 0);
        const height = Math.max(box(one).height, isGrown ? parseFloat(after.height) : 0);
        return width < wanted - 0.5 || height < wanted - 0.5;
    });
    const pops = all.filter((one) => one.matches(".pop")
        && (box(one).left < 0 || box(one).right > innerWidth));
    const before = scrollY;
    scrollTo(99, before);
    const isWide = document.documentElement.scrollWidth > innerWidth || scrollX > 0;
    scrollTo(0, before);
    return {
        wide: isWide,
        outside: outside.map(named),
        clipped: clipped.map(named),
        small: small.map(named),
        pops: pops.map(named),
    };
}"""
#: It looks at some of what is alike: it takes a second for each page even so.
SOME = {
    "exclude": [
        [selector]
        for selector in (
            "tbody tr:nth-child(n + 6)",
            ".turn:nth-child(n + 8)",
            ".trace:nth-child(n + 5)",
            "#contents li:nth-child(n + 5)",
        )
    ]
}
#: Where axe looks, too: what it finds hangs on the width less than on the theme.
AXE = {390: "dark", 1440: "light"}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with sites(tmp_path_factory.mktemp("states")) as found:
        yield found


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "width",
    [one if one == min(WIDTHS) else pytest.param(one, marks=pytest.mark.slow) for one in WIDTHS],
)
def test_nothing_is_cut_or_too_small(
    browser: Browser, urls: dict[str, str], width: int, half: int
) -> None:
    is_touch = width < 1000
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="light",
        has_touch=is_touch,
        is_mobile=width < 500,
        timezone_id="UTC",
        locale="en-GB",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    wrong: dict[str, Any] = {}
    for name, state in list(STATES.items())[half::2]:
        show(page, urls, state)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found = page.evaluate(MEASURE, LEAST_ON_TOUCH if is_touch else LEAST)
            if AXE.get(width) == theme:
                found["axe"] = [
                    (one["id"], node["html"][:160], node["failureSummary"][:200])
                    for one in Axe().run(page, SOME).response["violations"]
                    for node in one["nodes"][:3]
                ]
            if any(found.values()):
                wrong[f"{name}, {theme}"] = {what: some for what, some in found.items() if some}
    context.close()
    assert wrong == {}


@pytest.mark.parametrize("width", [320, 390])
def test_the_bar_fits_a_phone_whatever_it_says(browser: Browser, site: Site, width: int) -> None:
    site.store.write(conversations.support())
    with browser.new_context(
        viewport={"width": width, "height": 600},
        has_touch=True,
        is_mobile=True,
        timezone_id="America/Argentina/Buenos_Aires",
    ) as context:
        page = context.new_page()
        page.goto(site.url + "/threads/support-4217")
        expect(page.locator("#zone")).to_contain_text("Buenos Aires")
        context.set_offline(True)
        expect(page.locator("#live")).to_have_text("No connection")
        edges = page.locator(".brand, .controls > *").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect())"
            ".flatMap(({ left, right }) => [left, right])"
        )
        assert edges == sorted(edges)
        assert edges[-1] <= width
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_plots_fit_a_page_that_is_four_times_as_large(browser: Browser, site: Site) -> None:
    """Their first and last times, which are long where they are days apart."""
    recorder = conversations.Recorder("t")
    for _ in range(2):
        recorder.chat("m", [conversations.said("user", "Hi")], None, 1, (1, 1))
        recorder.wait(30 * 3600)
    site.store.write(recorder.spans)
    with browser.new_context(viewport={"width": 320, "height": 256}) as context:
        page = context.new_page()
        page.goto(site.url)
        assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("width", [390, 768])
def test_numbers_need_not_be_scrolled_sideways(
    browser: Browser, urls: dict[str, str], width: int, media: str
) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.goto(urls["full"] + "/numbers?by=tag")
        page.emulate_media(media=media)
        lacking = "one => one.scrollWidth - one.clientWidth"
        assert page.locator(".wide").evaluate(lacking) <= 0
        # Without the head of the table, each number says what it is.
        tokens = page.get_by_role("row").nth(1).get_by_role("cell").nth(3)
        label = tokens.evaluate('one => getComputedStyle(one, "::before").content')
        is_head_there = page.locator(".groups thead").is_visible()
        assert (label, is_head_there) in [('"Tokens"', False), ("none", True)]
