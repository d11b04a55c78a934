"""The same conversation on the page, in the API, as Markdown and as an HTML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from markdown_it import MarkdownIt

from orq_otel.cli.main import main
from orq_otel.viewer.model import KeptSpan

from . import agents, conversations
from .browsing import Browse, Browser, Page, Site, browse, browser, site

__all__ = ["browse", "browser", "site"]

ROLES = {"User": "user", "Assistant": "assistant", "System": "system"}
Told = list[tuple[str, str]]


def words(text: str) -> str:
    """A text without what Markdown adds, and without differences of space."""
    return " ".join(re.findall(r"[^\W_]+", text))


def of_page(page: Page) -> Told:
    """Who says what, in questions and answers."""
    told: Told = []
    for message in page.locator(".turn > .message").all():
        role = message.locator("h3").first.inner_text()
        parts = message.locator("> .prose")
        if message.get_attribute("open") is None and role == "System":
            message.locator("summary").click()
        message.locator(".json").evaluate_all("all => all.forEach((one) => { one.open = true })")
        # Buttons, and the names of languages, are the page's.
        parts.locator(".copy, .language").evaluate_all("all => all.forEach((one) => one.remove())")
        told += [(ROLES[role], words(one)) for one in parts.all_inner_texts()]
    return told


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


def of_api(answer: dict[str, Any]) -> Told:
    told: Told = []
    for entry in answer["entries"]:
        said = [*(entry["input"] if entry.get("asks") else ())]
        said += entry["output"] if entry.get("answers") else ()
        told += [
            (message["role"], part["content"])
            for message in said
            for part in message["parts"]
            if part["type"] == "text"
        ]
    return told


def of_markdown(text: str) -> list[tuple[str, str]]:
    """Headings with what stands below them, as a program that shows Markdown sees it."""
    told: list[tuple[str, str]] = []
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = section.partition("\n")
        role = ROLES.get(heading.partition(" (")[0])
        if role:
            body = re.split(
                r"^(?:## \w+day|- Evaluation|\*\*\w+Error\*\*)", rest, flags=re.MULTILINE
            )[0]
            told.append((role, body))
    return told


def rendered(text: str) -> str:
    html = MarkdownIt("commonmark").enable("table").render(text)
    return words(re.sub(r"<[^>]+>", " ", html).replace("&quot;", " ").replace("&gt;", " "))


@pytest.mark.parametrize(
    ("thread_id", "spans"),
    [("support-4217", conversations.support()), ("research-7", agents.research())],
)
def test_page_api_markdown_and_file_tell_the_same(
    site: Site,
    browse: Browse,
    open_file: Callable[[str], Page],
    thread_id: str,
    spans: list[KeptSpan],
) -> None:
    site.store.write(spans)
    with httpx.Client(base_url=f"{site.url}/api/threads/{thread_id}", trust_env=False) as client:
        api = of_api(client.get("/conversation").json())
        markdown = client.get("/export?format=markdown")
        html = client.get("/export?format=html")
    assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
    assert markdown.headers["content-disposition"] == 'attachment; filename="thread.md"'
    assert html.headers["content-disposition"] == 'attachment; filename="thread.html"'
    told = [(role, rendered(text)) for role, text in api]
    assert len(told) >= 6
    page = browse(f"/threads/{thread_id}")
    assert of_page(page) == told
    sections = of_markdown(markdown.text)
    assert [role for role, _ in sections] == [role for role, _ in told]
    for (_, text), (_, expected) in zip(sections, told, strict=True):
        assert rendered(text).startswith(expected)
    assert of_page(open_file(html.text)) == told


def test_a_file_needs_nothing_else(
    site: Site, browse: Browse, open_file: Callable[[str], Page]
) -> None:
    site.store.write(agents.research())
    page = browse("/threads/research-7")
    html = page.request.get(site.url + "/api/threads/research-7/export?format=html").text()
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
    text = page.request.get(path).text()
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


def test_the_terminal_tells_the_same(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.store.write(conversations.support())
    answer = httpx.get(f"{site.url}/api/threads/support-4217/conversation", trust_env=False)
    assert main(["thread", "support-4217", "--db", str(tmp_path / "threads.db")]) == 0
    shown = words(capsys.readouterr().out)
    at = 0
    for _, text in of_api(answer.json()):
        at = shown.index(words(text), at)  # each, and in the same order
