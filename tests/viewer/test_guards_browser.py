"""The guards as a real browser meets them: the way in, and pages of other sites."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from support.viewer_process import Viewer
from support.viewer_spans import served

from .browsing import Browser, browser, expect

__all__ = ["browser"]

TOKEN = "correct-horse-battery-staple"
SPAN = {
    "traceId": "1" * 32,
    "spanId": "1" * 16,
    "startTimeUnixNano": "1785585600000000000",
    "endTimeUnixNano": "1785585601000000000",
    "attributes": [{"key": "thread.id", "value": {"stringValue": "planted"}}],
}


def test_signing_in(browser: Browser, tmp_path: Path) -> None:
    with (
        Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKEN=TOKEN) as viewer,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(f"{viewer.pages}/?q=ticket")
        field = page.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the viewer's token.")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{viewer.pages}/?q=ticket")
        assert page.evaluate("document.cookie") == ""
        # Scripts of the page ask for what is new with the cookie.
        assert page.evaluate("fetch('/api/threads').then(answer => answer.status)") == 200
        viewer.stop()


def test_the_token_in_an_address(browser: Browser, tmp_path: Path) -> None:
    with (
        Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKEN=TOKEN) as viewer,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(f"{viewer.pages}/?token={TOKEN}")
        assert page.url == f"{viewer.pages}/"
        expect(page.get_by_label("Token")).to_have_count(0)
        page.go_back()
        assert TOKEN not in page.url
        viewer.stop()


@pytest.mark.parametrize("media", ["text/plain", "application/json", "application/x-protobuf"])
@pytest.mark.parametrize("mode", ["cors", pytest.param("no-cors", marks=pytest.mark.slow)])
def test_pages_of_other_sites_plant_and_read_nothing(
    browser: Browser, tmp_path: Path, media: str, mode: str
) -> None:
    async def other_site(_request: Request) -> HTMLResponse:
        return HTMLResponse("<h1>Another site</h1>")

    with (
        Viewer(tmp_path / "threads.db") as viewer,
        served(Starlette(routes=[Route("/", other_site)])) as other,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(str(other.base_url))
        read = page.evaluate(
            """async ({urls, media, mode, body}) => {
                const read = [];
                for (const [url, method] of urls) {
                    const given = method === "POST" ? {body, headers: {"content-type": media}} : {};
                    try {
                        const answer = await fetch(url, {method, mode, ...given});
                        read.push(await answer.text());
                    } catch (error) {
                        read.push("");
                    }
                }
                return read;
            }""",
            {
                "urls": [
                    [viewer.traces, "POST"],
                    [f"{viewer.pages}/api/import", "POST"],
                    [f"{viewer.pages}/api/threads", "GET"],
                ],
                "media": media,
                "mode": mode,
                "body": _document(),
            },
        )
        assert read == ["", "", ""]
        assert httpx.get(f"{viewer.pages}/api/threads").json()["threads"] == []
        # The same from elsewhere than a page is taken.
        assert httpx.post(viewer.traces, content=_document(), headers=_JSON).status_code == 200
        assert len(httpx.get(f"{viewer.pages}/api/threads").json()["threads"]) == 1
        viewer.stop()


_JSON = {"content-type": "application/json"}


def _document() -> str:
    """A request with one span of a thread."""
    return httpx.Request(
        "POST", "http://x", json={"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}
    ).content.decode()
