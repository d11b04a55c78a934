"""The documents of a thread: Markdown, and an HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from orq_otel.cli.main import main

from . import agents, conversations
from .browsing import Browse, Browser, Page, Site, browse, browser, site

__all__ = ["browse", "browser", "site"]


@pytest.fixture
def open_file(browser: Browser, tmp_path: Path) -> Iterator[Callable[[str], Page]]:
    """Opens a file in a browser that knows no server."""
    context = browser.new_context(offline=True)

    def opened(html: str) -> Page:
        file = tmp_path / "thread.html"
        file.write_text(html, encoding="utf-8")
        page = context.new_page()
        page.goto(file.as_uri())
        return page

    yield opened
    context.close()


def test_a_file_needs_nothing_else(
    site: Site, browse: Browse, open_file: Callable[[str], Page]
) -> None:
    site.store.write(agents.research())
    page = browse("/threads/research-7")
    answer = page.request.get(site.url + "/api/threads/research-7/export?format=html")
    assert answer.headers["content-disposition"] == 'attachment; filename="thread.html"'
    html = answer.text()
    assert re.findall(r'(?:src|href)="(?!data:|https://opentelemetry\.io/)[^"]*"', html) == []
    page = open_file(html)
    image = page.locator(".message.user img")
    image.evaluate("one => one.decode()")
    assert image.evaluate("one => one.naturalWidth") == 1
    assert page.locator(".agent").count() == 2
    assert page.locator(".to-span, button:visible").count() == 0


def test_markdown_has_the_steps(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse("/threads/support-4217")
    page.context.add_cookies([{"name": "orq_otel_zone", "value": "Europe/Berlin", "url": site.url}])
    path = site.url + "/api/threads/support-4217/export?format=markdown"
    answer = page.request.get(path)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="thread.md"'
    text = answer.text()
    assert (
        "- Started: 21 Nov, 23:00:00 (Asia/Tokyo)"
        in page.request.get(f"{path}&tz=Asia/Tokyo").text()
    )
    assert text.startswith(
        "# Hi! My order MO-88213 should have been here on Tuesday. Where is it?\n\n"
        "- Thread: `support-4217`\n"
        "- Tags: `support`, `priority-high`, `eu-west`\n"
        "- Started: 21 Nov, 15:00:00 (Europe/Berlin)\n"
    )
    assert "\n## Saturday, 21 November 2026\n" in text
    assert "\n### Assistant (gpt-5-mini, 15:00:04)\n\nYour tent (order MO-88213) is on" in text
    assert '\n- Tool `get_order`\n\n  ```\n  {"order_id": "MO-88213"}\n  ```\n' in text
    assert "\n- Tool `track_parcel` failed\n" in text
    assert (
        "\n  **CarrierTimeoutError** NordPost did not answer within 1.5 s (tracking API v2)\n"
        in text
    )


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_the_terminal_writes_the_same_documents(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    site.store.write(agents.research())
    served = httpx.get(
        f"{site.url}/api/threads/research-7/export?format={form}", trust_env=False
    ).text
    for source in (["--db", str(tmp_path / "threads.db")], ["--url", site.url]):
        assert main(["export", "research-7", f"--{form}", *source]) == 0
        assert capsys.readouterr().out == served + "\n"


def test_the_terminal_tells_prompts_from_questions(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.store.write(agents.research())
    assert main(["thread", "research-7", "--db", str(tmp_path / "threads.db")]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert [line[11:] for line in lines if line.startswith("user ")] == [
        "How do I **group** spans?", agents.HEBREW, "Return it as JSON.",
    ]  # fmt: skip
    assert [line[11:] for line in lines if line.startswith("prompt ")] == [
        "Find out how spans are grouped.", "Write it down in brief.",
    ]  # fmt: skip
