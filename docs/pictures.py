"""Take pictures of the viewer: those that pages show, or of every page in every state, to look at.

    python3 run.py pictures
    python3 run.py pictures --states /tmp/states

The first are of three pages in both themes. The second are of the states that
`tests/viewer/states.py` lists, at four widths, in both themes and printed; `--only` names
some of them. The threads are those of the viewer's tests. It takes Playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

_DOCS = Path(__file__).parent
sys.path.insert(0, str(_DOCS.parent / "tests"))

from viewer import agents, conversations, states  # noqa: E402 - it lies in that folder
from viewer.browsing import serving  # noqa: E402

from orq_otel.viewer.store import open_store  # noqa: E402

#: The pictures: the page of each, and how high it is, in pixels.
_PICTURES = {
    "threads-overview": ("/", 900),
    "thread": ("/threads/support-4217", 900),
    "numbers": ("/numbers?by=tag", 680),
}
_WIDTH = 1280
_HEIGHT = 900
_TOUCHED = 1000  # the highest width of what has a touchscreen
_PHONE = 500


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description="Takes pictures of the viewer.")
    parser.add_argument("--states", metavar="FOLDER", type=Path, help="of all states, into it")
    parser.add_argument("--only", metavar="STATE", nargs="*", default=list(states.STATES))
    options = parser.parse_args()
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(path for name in names if (path := shutil.which(name)))
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if options.states is None:
            _for_pages(browser, Path(folder))
        else:
            _of_states(browser, Path(folder), options.states, options.only)
        browser.close()


def _for_pages(browser: Browser, folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(open_store(folder / "threads.db")))
        minute = 60 * conversations.SECOND
        store.write(conversations.many(130))
        store.write(conversations.support())
        store.write(conversations.travel())
        store.write(agents.handover(start=conversations.NOON - 12 * minute))
        url = stack.enter_context(serving(store))
        for theme in ("light", "dark"):
            context = browser.new_context(color_scheme=theme, timezone_id="UTC", locale="en-GB")
            page = context.new_page()
            for name, (path, height) in _PICTURES.items():
                page.set_viewport_size({"width": _WIDTH, "height": height})
                page.goto(url + path, wait_until="load")
                suffix = "" if theme == "light" else "-dark"
                page.screenshot(path=_DOCS / "images" / f"{name}{suffix}.png")
            context.close()


def _of_states(browser: Browser, folder: Path, target: Path, only: Sequence[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with states.sites(folder) as urls:
        for width in states.WIDTHS:
            context = browser.new_context(
                viewport={"width": width, "height": _HEIGHT},
                has_touch=width < _TOUCHED,
                is_mobile=width < _PHONE,
                timezone_id="UTC",
                locale="en-GB",
            )
            page = context.new_page()
            for name in only:
                state = states.STATES[name]
                states.show(page, urls, state)
                for look in ("light", "dark", "print"):
                    if look == "print":
                        page.emulate_media(media="print", color_scheme="light")
                    else:
                        page.emulate_media(media="screen", color_scheme=look)
                    file = target / f"{name.replace(' ', '-')}-{width}-{look}.png"
                    page.screenshot(path=file, full_page=state.is_whole)
                page.emulate_media(media="screen", color_scheme="light")
            context.close()


if __name__ == "__main__":
    main()
