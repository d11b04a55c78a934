"""Take the pictures of the viewer that pages show: each page of it, in both themes.

    python3 run.py pictures

The threads in them are those of the viewer's tests. It takes Playwright and a Chromium.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

_DOCS = Path(__file__).parent
sys.path.insert(0, str(_DOCS.parent / "tests"))

from viewer import conversations  # noqa: E402 - it lies in that folder
from viewer.browsing import serving  # noqa: E402

from orq_otel.viewer.store import open_store  # noqa: E402

#: The pictures: the page of each, and how high it is, in pixels.
_PICTURES = {
    "threads-overview": ("/", 900),
    "thread": ("/threads/support-4217", 900),
    "numbers": ("/numbers?by=tag", 680),
}
_WIDTH = 1280


def main() -> None:
    """Take them all."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(path for name in names if (path := shutil.which(name)))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        store = stack.enter_context(contextlib.closing(open_store(Path(folder) / "threads.db")))
        for spans in (conversations.many(130), conversations.support(), conversations.travel()):
            store.write(spans)
        url = stack.enter_context(serving(store))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for theme in ("light", "dark"):
            context = browser.new_context(color_scheme=theme, timezone_id="UTC", locale="en-GB")
            page = context.new_page()
            for name, (path, height) in _PICTURES.items():
                page.set_viewport_size({"width": _WIDTH, "height": height})
                page.goto(url + path, wait_until="load")
                suffix = "" if theme == "light" else "-dark"
                page.screenshot(path=_DOCS / "images" / f"{name}{suffix}.png")
        browser.close()


if __name__ == "__main__":
    main()
