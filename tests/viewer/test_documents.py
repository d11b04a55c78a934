"""The documents of a thread: Markdown, and an HTML file that needs nothing else."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from orq_otel.cli.main import main

from . import agents, conversations
from .browsing import Browse, Browser, Page, Site, browse, browser, site
from .conversations import said

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


def exported(site: Site, *messages: str | tuple[str, ...], thread_id: str = "md") -> str:
    """A thread in Markdown, with a question and an answer for each message."""
    recorder = conversations.Recorder(thread_id)
    asked: list[dict[str, Any]] = []
    for number, one in enumerate(messages):
        asked.append(said("user", f"Question {number}"))
        parts = [one] if isinstance(one, str) else one
        recorder.chat("m", asked, [said("assistant", *parts)], 1, (1, 1))
        recorder.trace()
    site.store.write(recorder.spans)
    path = f"{site.url}/api/threads/{thread_id}/export?format=markdown"
    return httpx.get(path, trust_env=False).raise_for_status().text


def read_markdown(document: str) -> tuple[list[str], list[str], list[str]]:
    """The headings of messages, tags and images, and links, as programs find that allow HTML."""
    headings: list[str] = []
    tags: list[str] = []
    links: list[str] = []
    for tables in ([], ["table", "strikethrough"]):
        parser = MarkdownIt("commonmark").enable(tables)
        parser.validateLink = lambda _: True  # type: ignore[method-assign]
        tokens = parser.parse(document)
        inner = [one for token in tokens for one in token.children or ()]
        tags += [one.content for one in (*tokens, *inner) if one.type.startswith(("html", "image"))]
        links += [str(one.attrs["href"]) for one in inner if "href" in one.attrs]
        headings += [
            one.content.partition(" (")[0]
            for one in tokens
            if re.match(r"(?:User|Assistant) \(", one.content) and one.level == 1
        ]
    return headings, tags, links


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("- ```html\n  <b>x</b>\n  ```\n\nThen <b>", "- ```html\n  <b>x</b>\n  ```\n\nThen \\<b>"),
        ("> 1. ~~~\n>    <b>\n>    ~~~\n\n<b>", "> 1. ~~~\n>    <b>\n>    ~~~\n\n\\<b>"),
        ("```\n<b>\n```\t\n<b>", "```\n<b>\n```\t\n\\<b>"),
        ("```a`b\n<b>\n```", "```a`b\n\\<b>\n```\n```"),
        ("~~~a`b\n<b>", "~~~a`b\n<b>\n~~~"),
        ("````\n```\n<b>", "````\n```\n<b>\n````"),
        ("5`\n\n<b>\n\nor 6`\n\n`<b>`", "5`\n\n\\<b>\n\nor 6`\n\n`<b>`"),
        ("\\` <b> `", "\\` \\<b> `"),
        ("``a ` <b>`` <i> `", "``a ` <b>`` \\<i> `"),
        ("`a\n<div>` <b>", "`a\n\\<div>` \\<b>"),  # a tag begins a block wherever it is
        ("|`|a|\n|---|---|\n|<b> ` |1|", "|`|a|\n|---|---|\n|\\<b> ` |1|"),
        ("|a|b|\n|---|---|\n|`x|<b>`|", "|a|b|\n|---|---|\n|`x|\\<b>`|"),
        ("\\<b> \\\\<b>", "\\<b> \\\\\\<b>"),
        ("1 < 2, <3", "1 < 2, <3"),
        ("\t<b>\n\n- \t\t<b>", "\t<b>\n\n- \t\t<b>"),
        ("[a](https://x.example) `<b>`", "[a](https://x.example) `<b>`"),
        ("![a](https://x.example/?q=key) `![a](b)`", "\\![a](https://x.example/?q=key) `![a](b)`"),
        ("\\![a](b) \\\\![a](b)", "\\![a](b) \\\\\\![a](b)"),
        ("[a](\n java\\script:x)", "[a](\n java\\script:x)"),  # as it runs nothing
        ("[a](javascript\\:x)", "[a\\](javascript\\:x)"),
        ("[a](&#106;avascript:x)", "[a\\](&#106;avascript:x)"),
        ("[a](x<b`>) `<b>`)", "[a](x\\<b`>) `<b>`)"),
        ("[a](x<b`>) <b>`", "[a](x\\<b`>) \\<b>`"),
        ("[a](file:`) `<b>`)", "[a\\](file:`) `\\<b>`)"),
        ("```x|\n|---|\n<b>", "\n````\n```x|\n|---|\n<b>\n````"),  # a table, or code: nobody knows
        ("[a]\n\n[a]: https://x.example", "[a]\n\n[a\\]: https://x.example"),
    ],
)  # fmt: skip
def test_html_is_text_outside_of_code(site: Site, message: str, expected: str) -> None:
    document = exported(site, message, "[a]")
    _, _, rest = document.partition("### Assistant (m, 14:00:01)\n\n")
    assert rest.partition("\n\n### User")[0] == expected
    headings, tags, _ = read_markdown(document)
    assert (headings, tags) == (["User", "Assistant"] * 4, [])


def test_a_long_message_is_code(site: Site) -> None:
    message = "<b>`" + "word " * 10_000 + "```"
    assert f"\n\n````\n{message}\n````\n\n### User" in exported(site, message, "Yes")


SIGNS = st.lists(
    st.sampled_from(
        [
            *("`", "``", "```", "```html\n", "~~~", "    ", "\t", "\n", "\n\n", " ", "a", "\\"),
            *("- ", "1. ", "10) ", "> ", "# ", "---", "|", "|---|\n", "*", "&lt;", '"'),
            *("<b>", "<div>\n", "</p>", "<!--", "<", "<http://a`b>", "<a@b.example>"),
            *("[", "]", "(", ")", "[a](", "![", "[a]: ", "file:", "javascript:", "java\\script:"),
        ]
    ),
    max_size=14,
).map("".join)
NUMBERS = itertools.count()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(SIGNS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4))
@pytest.mark.slow
def test_no_message_changes_the_next(site: Site, messages: list[tuple[str, ...]]) -> None:
    document = exported(site, *messages, "[a]", thread_id=f"t{next(NUMBERS)}")
    headings, tags, links = read_markdown(document)
    assert headings == ["User", "Assistant"] * 2 * (len(messages) + 1)
    assert tags == []
    assert [one for one in links if one.lower().startswith(("javascript", "file"))] == []


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(SIGNS, SIGNS, SIGNS)
def test_no_step_changes_the_next(site: Site, prompt: str, thought: str, answer: str) -> None:
    thread_id = f"t{next(NUMBERS)}"
    recorder = conversations.Recorder(thread_id)
    parent = recorder.span("run", 9, {"gen_ai.operation.name": "invoke_agent"}, advance=False)
    recorder.chat("m", [said("user", "Q")], [said("assistant", "A")], 4, (1, 1), parent=parent)
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "inner"}
    inside = recorder.span("inner", 2, agent, parent=parent, advance=False)
    for number in range(2):
        told = said("assistant", {"type": "reasoning", "content": thought}, answer, "then")
        asked = [said("user", f"{number}{prompt}", prompt)]
        recorder.chat("m", asked, [told], 1, (1, 1), parent=inside)
    recorder.chat("m", [said("user", "Q2")], [said("assistant", "B")], 2, (1, 1), parent=parent)
    site.store.write(recorder.spans)
    path = f"{site.url}/api/threads/{thread_id}/export?format=markdown"
    document = httpx.get(path, trust_env=False).raise_for_status().text
    _, tags, links = read_markdown(document)
    assert document.count("- Agent `inner`") == 1
    assert tags == []
    assert [one for one in links if one.lower().startswith(("javascript", "file"))] == []
