"""A real browser on a real server with a real store. Skipped where there is no Chromium."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright")

import uvicorn
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    expect,
    sync_playwright,
)
from starlette.applications import Starlette

from orq_otel.viewer.model.store import Store
from orq_otel.viewer.ports.guards import Guard
from orq_otel.viewer.store import open_store
from orq_otel.viewer.web.api import create_api
from orq_otel.viewer.web.leaving import Leaving
from orq_otel.viewer.web.pages import create_pages
from orq_otel.viewer.web.web_guard import WebGuard

__all__ = [
    "Browse",
    "Browser",
    "Locator",
    "Page",
    "Site",
    "any_site",
    "browse",
    "browser",
    "expect",
    "of_own_file",
    "site",
]

Browse = Callable[..., Page]

#: How long a browser may take for a step, in milliseconds: other programs may be using the machine.
PATIENCE = 20_000
expect.set_options(timeout=PATIENCE)

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Site:
    """The pages on loopback, and the store behind them."""

    url: str
    store: Store


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each module: while it is there, Playwright's event loop runs in this thread."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("this machine has no Chromium: apt-get install chromium")
    with sync_playwright() as started:
        # Chromium's sandbox does not start for root, as which containers run.
        one = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(tmp_path / "threads.db")
    with contextlib.closing(store), serving(store) as url:
        yield Site(url, store)


@pytest.fixture(params=["sqlite", pytest.param("clickhouse", marks=pytest.mark.slow)])
def any_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Pages over each store: the viewer's own file, and the sums of ClickHouse."""
    if request.param == "sqlite":
        store = open_store(tmp_path / "threads.db")
    else:
        store = request.getfixturevalue("database").filled()
    with contextlib.closing(store), serving(store) as url:
        yield Site(url, store)


#: For tests of what only the viewer's own file can do.
of_own_file = pytest.mark.parametrize("site", ["sqlite"], indirect=True)


@contextlib.contextmanager
def serving(store: Store, token: str | None = None, **more: str) -> Iterator[str]:
    """The pages of a store, with the headers that the viewer puts on them."""
    app = Leaving(Starlette(routes=[*create_api(store), *create_pages(store, **more)]))
    guarded = WebGuard(app, Guard("127.0.0.1", token))
    config = uvicorn.Config(guarded, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join()


@pytest.fixture
def browse(browser: Browser, site: Site) -> Iterator[Browse]:
    """Open a page. Whatever it complains about, or asks of another host, fails the test."""
    complaints: list[str] = []
    contexts: list[BrowserContext] = []
    host = urlsplit(site.url).netloc

    def watch(page: Page) -> None:
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "request",
            lambda request: (
                None
                if urlsplit(request.url).netloc == host
                else complaints.append(f"asked {request.url}")
            ),
        )
        page.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " (event) => console.error('CSP: ' + event.violatedDirective))"
        )

    def opened(path: str = "/", *, phone: bool = False, script: bool = True, **more: str) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            timezone_id="UTC",
            locale="en-GB",
            java_script_enabled=script,
            **more,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        watch(page)
        page.goto(site.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def held(page: Page, pattern: str) -> list[Route]:
    """Hold back a page's requests for such addresses, and return those of them that came so far."""
    found: list[Route] = []

    def hold(route: Route) -> None:
        found.append(route)

    page.route(pattern, hold)
    return found
