"""Reading a thread: Markdown, steps, files, days, keys, and the way to other threads."""

from __future__ import annotations

import base64
import json
import struct
import time
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from orq_otel.viewer.conversation.empty_answers import empty_answers
from orq_otel.viewer.formats import plain
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.web import json_view, markdown

from . import agents, conversations
from .browsing import (
    Browse,
    Browser,
    Locator,
    Page,
    Site,
    browse,
    browser,
    expect,
    of_own_file,
    serving,
)
from .browsing import any_site as site
from .conversations import NOON, SECOND, Recorder, call, result, said
from .sample_spans import span

__all__ = ["browse", "browser", "site"]

DAY = 86_400 * SECOND


def copy(page: Page, button: Locator) -> str:
    """Press a button that copies, and return what the clipboard has then."""
    page.evaluate("navigator.clipboard.writeText('')")
    button.click()
    page.wait_for_function("async () => await navigator.clipboard.readText() !== ''")
    expect(page.get_by_role("status")).to_have_text("Copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


def opened(browse: Browse, site: Site, path: str, **more: str) -> Page:
    page = browse(path, **more)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    return page


def test_markdown_is_rendered_and_code_is_copied(site: Site, browse: Browse) -> None:
    site.store.write(agents.research())
    page = opened(browse, site, "/threads/research-7")
    asked = page.locator(".message.user .prose").first
    assert asked.locator("strong").inner_text() == "group"
    expect(page.get_by_role("heading", level=1)).to_have_text("How do I group spans?")
    answer = page.locator(".message.assistant").first
    assert answer.locator(".heading").inner_text() == "Grouping"
    assert answer.locator(".prose th").all_inner_texts() == ["model", "calls"]
    assert answer.locator(".prose td").all_inner_texts() == ["gpt-5", "12"]
    link = answer.locator(".prose a")
    assert link.get_attribute("href") == "https://opentelemetry.io/docs/specs/semconv/gen-ai/"
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    assert copy(page, answer.get_by_role("button", name="Copy code")) == (
        'with thread("support-42"):\n'
        '    client.chat.completions.create(model="gpt-5-mini", messages=messages)'
    )
    answer.hover()
    message = copy(page, answer.get_by_role("button", name="Copy message"))
    assert message.startswith("Grouping\n\nPut calls into a scope, and every span gets")
    assert copy(page, page.get_by_role("button", name="Copy the thread's id")) == "research-7"


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("# Where is `it`?", "Where is it?"),
        ("**Now** and **at once**", "Now and at once"),
        ("2 ** 3 ** 4 * `", "2 ** 3 ** 4 * `"),
    ],
)
def test_a_title_is_without_the_signs_of_markdown(said: str, title: str) -> None:
    assert plain(said) == title


def test_an_answer_of_empty_lines_takes_no_time() -> None:
    lines = "\n" * markdown.MOST  # what a model writes that finds no end
    silence = span(output__value="\\" * 40_000 + "[]")
    began = time.thread_time()
    assert markdown.rendered(lines, 2_000) == ("", "")
    assert empty_answers(silence) == []
    assert time.thread_time() - began < 1  # each took several


def test_json_is_folded_unfolded_and_copied(site: Site, browse: Browse) -> None:
    site.store.write(agents.research())
    page = opened(browse, site, "/threads/research-7")
    answer = page.locator(".message.assistant").last
    expect(answer.locator(".prose")).to_contain_text('"thread": {')
    answer.locator(".json .json > summary").first.click()
    expect(answer.locator(".prose")).to_contain_text('"thread": {2 fields }')
    page.locator("#steps-1 > summary").click()
    page.locator(".agent > summary", has_text="researcher").click()
    tool = page.locator(".agent .tool", has_text="search")
    tool.locator("> summary").click()
    found = tool.get_by_label("Result", exact=True)
    folded = found.bounding_box()
    tool.get_by_label("Show all of it").check()
    whole = found.bounding_box()
    assert folded is not None
    assert whole is not None
    assert folded["height"] < 160 < whole["height"]
    result = copy(page, tool.get_by_role("button", name="Copy result"))
    assert json.loads(result) == [{"page": one, "found": True} for one in range(20)]


def test_what_is_copied_is_all_that_was_said(site: Site, browse: Browse) -> None:
    long = "\n\n".join(f"Paragraph {number} of many, with some *words*." for number in range(200))
    big = '{"id": 9007199254740993, "sum": 1.0, "none": {}, "deep": [1, {"a, b": "[\\"c\\"]"}]}'
    recorder = Recorder("copied")
    messages = [said("user", long)]
    tools = [call("c-1", "look", id=1234567890123456789, part=2.0)]
    recorder.chat("gpt-5", messages, [said("assistant", *tools)], 1, (9, 9))
    messages.append(result("c-1", '{"mean": NaN, "rows": []}'))
    recorder.chat("gpt-5", messages, [said("assistant", big)], 1, (9, 9))
    messages.append(said("user", "How?"))
    code = "So:\n\n```bash\nls -l\n```\n\nDone."
    recorder.chat("gpt-5", messages, [said("assistant", code)], 1, (9, 9))
    site.store.write(recorder.spans)
    page = opened(browse, site, "/threads/copied")

    def copied(message: Locator) -> str:
        message.hover()
        return copy(page, message.get_by_role("button", name="Copy message"))

    asked = copied(page.locator(".message.user").first)
    assert asked == long.replace("*", "")
    assert page.locator(".message.user .rest").first.get_attribute("open") is None
    answers = page.locator(".message.assistant")
    told = copied(answers.first)
    assert json.loads(told) == json.loads(big)
    assert told.splitlines()[1:3] == ['  "id": 9007199254740993,', '  "sum": 1.0,']
    assert copied(answers.last).split() == ["So:", "ls", "-l", "Done."]
    page.locator("#steps-1 > summary").click()
    tool = page.locator(".tool")
    tool.locator("> summary").click()
    arguments = copy(page, tool.get_by_role("button", name="Copy arguments"))
    assert '"id": 1234567890123456789,' in arguments
    assert '"part": 2.0' in arguments
    told = copy(page, tool.get_by_role("button", name="Copy result"))
    assert told.split() == ["{", '"mean":', "NaN,", '"rows":', "[]", "}"]


@pytest.mark.parametrize("script", [True, False])
def test_times_have_years_where_they_span_several(
    site: Site, browse: Browse, *, script: bool
) -> None:
    recorder = Recorder("long ago", start=NOON - 366 * DAY)
    messages = [said("user", "And now?")]
    recorder.chat("gpt-5", messages, [said("assistant", "Later.")], 1, (9, 9))
    recorder.wait(366 * 86_400)
    recorder.chat("gpt-5", [*messages, said("user", "Now?")], [], 1, (9, 9))
    site.store.write(recorder.spans)
    page = browse("/", script=script)
    times = page.locator(".threads td.active time")
    expect(times.first).to_have_text("21 Nov 2026, 14:00:02")
    expect(page.locator(".range time")).to_have_text(["20 Nov 2025, 14:00", "21 Nov 2026, 14:00"])
    page.locator(".threads .title").click()
    expect(page.locator(".stats time")).to_have_text(
        ["20 Nov 2025, 14:00:00", "21 Nov 2026, 14:00:02"]
    )
    for form in ("markdown", "html"):
        told = page.request.get(f"{site.url}/api/threads/long%20ago/export?format={form}").text()
        assert "20 Nov 2025, 14:00:00" in told


def test_what_is_printed_is_light(site: Site, browse: Browse) -> None:
    page = browse("/")
    page.get_by_role("button", name="Dark theme").click()
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate(scheme) == "dark"
    page.emulate_media(media="print")
    assert page.evaluate(scheme) == "light"


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("[1.10, 2.50]", ["1.10", "2.50"]),
        (
            '{"a": 0.10000000000000000555, "b": 1E5, "c": -0.0, "d": 12345678901234567890123}',
            ["0.10000000000000000555", "1E5", "-0.0", "12345678901234567890123"],
        ),
        ('[NaN, 1e999, {"n": []}]', ["NaN", "1e999"]),
    ],
)
def test_numbers_are_shown_as_they_were_written(
    site: Site, browse: Browse, answer: str, shown: list[str]
) -> None:
    recorder = Recorder("numbers")
    recorder.chat("m", [said("user", "How many?")], [said("assistant", answer)], 1, (1, 1))
    site.store.write(recorder.spans)
    page = browse("/threads/numbers")
    assert page.locator(".message.assistant .json-number").all_inner_texts() == shown


@pytest.mark.parametrize(
    "answer", ['{"a":1,"a":2}', '[{"b": {"a":1,"a":1}}]', "[" * 900 + '"[{"' + "]" * 900]
)
def test_json_of_which_a_tree_would_lose_something_is_text(
    site: Site, browse: Browse, answer: str
) -> None:
    recorder = Recorder("twice")
    recorder.chat("m", [said("user", "Well?")], [said("assistant", answer)], 1, (1, 1))
    site.store.write(recorder.spans)
    prose = browse("/threads/twice").locator(".message.assistant .prose")
    assert prose.inner_text() == answer


def test_json_without_an_end_is_looked_at_once() -> None:
    began = time.thread_time()
    assert json_view.parsed('["' + '\\"' * 9_990) is None
    assert time.thread_time() - began < 0.5  # it took two seconds


def test_what_led_to_an_answer_is_folded_before_it(site: Site, browse: Browse) -> None:
    site.store.write(agents.research())
    page = browse("/threads/research-7")
    turn = page.locator(".turn").first
    steps = turn.locator(".steps")
    assert " ".join(steps.locator("> summary").inner_text().split()) == (
        "4 steps researcher writer retrieval ask_researcher ask_writer search"
    )
    places = [turn.locator(one).first.bounding_box() for one in (".user", ".steps", ".assistant")]
    heights = [one["y"] for one in places if one is not None]
    assert heights == sorted(heights)
    assert len(heights) == 3
    expect(steps.locator(".steps-body")).to_be_hidden()
    steps.locator("> summary").click()
    retrieval = steps.locator(".step-line")
    retrieval.locator("> summary").click()
    expect(retrieval.locator(".query")).to_have_text("Query group spans")
    assert retrieval.locator(".document-title").all_inner_texts() == ["threads.md", "faq.md"]
    assert retrieval.locator(".score").all_inner_texts() == ["0.912", "0.4"]
    for name, prompt in (
        ("researcher", "Find out how spans are grouped."),
        ("writer", "Write it down in brief."),
    ):
        agent = steps.locator(".agent", has_text=name)
        agent.locator("> summary").click()
        expect(agent.locator(".prompt .prose")).to_have_text(prompt)
        expect(agent.locator(".prompt h4")).to_have_text("Prompt")
    assert page.locator(".message.user").count() == 3  # the user's own
    # A warning for what was cut off, and none for a normal end.
    assert page.locator(".badge.warn").all_inner_texts() == ["ended: max_tokens"]


def test_an_image_that_was_kept_is_shown(site: Site, browse: Browse) -> None:
    site.store.write(agents.research())
    page = browse("/threads/research-7")
    image = page.locator(".message.user img")
    expect(image).to_be_visible()
    image.evaluate("one => one.decode()")
    assert image.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [1, 1]
    source = str(image.get_attribute("src"))
    answer = page.request.get(site.url + source)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    # Whoever names the file has to name a thread that has it.
    assert page.request.get(site.url + source[:-1] + "x").status == 404
    site.store.write(conversations.support())
    elsewhere = source.replace("research-7", "support-4217")
    assert page.request.get(site.url + elsewhere).status == 404


def test_a_sound_that_was_kept_is_played(site: Site, browse: Browse) -> None:
    samples = b"\x80" * 800
    riff = struct.pack("<4sI4s", b"RIFF", 836, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    file = riff + form + struct.pack("<4sI", b"data", 800) + samples
    sound = {
        "type": "blob",
        "modality": "audio",
        "mime_type": "audio/x-wav",
        "content": base64.b64encode(file).decode(),
    }
    recorder = Recorder("heard")
    recorder.chat("m", [said("user", sound)], [said("assistant", "I hear it.")], 1, (1, 1))
    site.store.write(recorder.spans)
    page = browse("/threads/heard")
    player = page.locator(".message.user audio")
    length = player.evaluate(
        """async (one) => {
            one.preload = "metadata";
            const known = new Promise((resolve) => one.addEventListener("loadedmetadata", resolve));
            one.load();
            await known;
            return one.duration;
        }"""
    )
    assert length == 0.1


SCRIPT = "<script>document.title='owned'</script>"
PAYLOADS = [
    SCRIPT,
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) [b](data:text/html,x) [c](vbscript:x) ![d](https://evil.example/x.png)",
    '<javascript:alert(1)> <https://evil.example/?"onmouseover=alert(1)>',
    '[x]: javascript:alert(1)\n\n[x] [y](https://e.example/" onclick="alert(1))',
    f"```html\n{SCRIPT}\n```\n\n`{SCRIPT}`\n\n| {SCRIPT} |\n|--|\n| <svg onload=alert(1)> |",
    f'```"><script>alert(1)</script>\n{SCRIPT}\n```',
    f"# {SCRIPT}\n\n> {SCRIPT}\n\n- <iframe src=//evil.example>",
    json.dumps({SCRIPT: [SCRIPT, {"</code></pre>": "<style>*{display:none}</style>"}]}),
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<!-- x --> <![CDATA[x]]> &lt;b&gt;",
]


def stored() -> list[KeptSpan]:
    recorder = Recorder("stored", (SCRIPT, '"><img src=x onerror=alert(1)>'))
    svg = "PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+"
    files = [
        {"type": "blob", "modality": "image", "mime_type": "image/svg+xml", "content": svg},
        {"type": "blob", "modality": "image", "mime_type": "text/html", "content": svg},
        {"type": "uri", "modality": "image", "uri": f"data:image/svg+xml;base64,{svg}"},
        {"type": "uri", "modality": "document", "uri": f"https://evil.example/{SCRIPT}.pdf"},
        {"type": "file", "modality": "document", "file_id": SCRIPT},
    ]
    messages = [said("user", *PAYLOADS, *files)]
    for number, payload in enumerate(PAYLOADS):
        name = f"call_{number}"
        recorder.chat(
            "m", messages, [said("assistant", call(name, payload, **{payload: payload}))], 1, (1, 1)
        )
        recorder.tool(name, payload, 0.1)
        messages.append(result(name, payload))
    recorder.chat("m", messages, [said("assistant", *PAYLOADS)], 1, (1, 1))
    recorder.span(
        SCRIPT,
        1,
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.query.text": SCRIPT,
            "gen_ai.retrieval.documents": json.dumps([{"id": SCRIPT, "content": PAYLOADS[5]}]),
        },
    )
    return recorder.spans


FORBIDDEN = "script, img, iframe, svg [onload], [onerror], [onclick], [onmouseover], style, animate"


def test_stored_scripts_stay_text(site: Site, browse: Browse) -> None:
    """The fixture sees to it that nothing is run, asked for or refused by the browser."""
    site.store.write(stored())
    page = browse("/threads/stored")
    for details in page.locator("main details").all():
        details.evaluate("one => { one.open = true }")
    expect(page.locator(".row .facts").first).to_be_visible()
    assert page.locator("main").locator(FORBIDDEN).count() == 0
    for link in page.locator("main a").all():
        href = str(link.get_attribute("href"))
        assert href.startswith(("#", "/?", "/threads/", "/api/threads/", "https://")), href
    for words in ("<img src=x onerror=alert(1)>", "javascript:alert(1)", "&lt;b&gt;"):
        expect(page.locator(".message.user").first).to_contain_text(words)
    assert page.title() != "owned"


def test_stored_scripts_stay_text_in_files(
    site: Site, browse: Browse, browser: Browser, tmp_path: Path
) -> None:
    """Where no server forbids anything."""
    site.store.write(stored())
    export = browse("/threads/stored").request
    file = tmp_path / "thread.html"
    file.write_bytes(export.get(site.url + "/api/threads/stored/export?format=html").body())
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    for details in page.locator("details").all():
        details.evaluate("one => { one.open = true }")
    assert asked == [file.as_uri()]
    assert page.locator("main").locator(FORBIDDEN).count() == 0
    assert page.locator("link, script, form").count() == 0
    assert page.title() != "owned"
    expect(page.locator(".message.user").first).to_contain_text(SCRIPT)
    context.close()
    # A program that allows HTML in Markdown finds none there, and no link that runs anything.
    markdown = export.get(site.url + "/api/threads/stored/export?format=markdown").text()
    parser = MarkdownIt("commonmark").enable("table")
    parser.validateLink = lambda _: True  # type: ignore[method-assign]
    tokens = parser.parse(markdown)
    inner = [one for token in tokens for one in token.children or ()]
    assert [one.content for one in (*tokens, *inner) if one.type.startswith("html")] == []
    links = [str(one.attrs.get("href", one.attrs.get("src", ""))) for one in inner]
    assert {one.partition(":")[0] for one in links if one} == {"https"}
    assert SCRIPT in "".join(one.content for one in (*tokens, *inner))


def test_text_from_right_to_left(site: Site, browse: Browse) -> None:
    recorder = Recorder("rtl")
    recorder.chat(
        "m", [said("user", "שלום עולם")], [said("assistant", "שלום.\n\nHello.")], 1, (1, 1)
    )
    site.store.write(recorder.spans)
    page = browse("/threads/rtl")
    heading = page.get_by_role("heading", level=1)
    assert heading.evaluate("one => getComputedStyle(one).direction") == "rtl"
    # Each paragraph begins at its own side.
    sides = page.locator(".message.assistant .prose p").evaluate_all(
        """all => all.map((one) => {
            const range = document.createRange();
            range.selectNodeContents(one);
            const text = range.getBoundingClientRect(), box = one.getBoundingClientRect();
            return text.left - box.left > box.right - text.right ? "right" : "left";
        })"""
    )
    assert sides == ["right", "left"]


def late(hours: float) -> list[KeptSpan]:
    """Two questions: at 14:00 UTC, and so many hours later."""
    recorder = Recorder("late")
    messages = [said("user", "One?")]
    recorder.chat("m", messages, [said("assistant", "1")], 1, (1, 1))
    recorder.wait(hours * 3600)
    recorder.trace()
    messages.append(said("user", "Two?"))
    recorder.chat("m", messages, [said("assistant", "2")], 1, (1, 1))
    return recorder.spans


def test_days_and_times_are_those_of_the_browser_or_of_utc(browser: Browser, site: Site) -> None:
    site.store.write(late(2))  # 14:00 and 16:00 in UTC are 23:00 and 01:00 in Tokyo
    context = browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    page.goto(site.url + "/threads/late")
    expect(page.locator("#zone")).to_have_text("Time zone: Asia/Tokyo")
    expect(page.locator(".day")).to_have_text(
        ["Saturday, 21 November 2026", "Sunday, 22 November 2026"]
    )
    assert page.locator(".message.user time").all_inner_texts() == ["23:00:00", "01:00:01"]
    page.locator("#zone").click()
    expect(page.locator("#zone")).to_have_text("Time zone: UTC")
    expect(page.locator(".message.user time")).to_have_text(["14:00:00", "16:00:01"])
    assert page.locator(".day").count() == 0  # it is one day
    page.goto(site.url + "/")
    expect(page.locator("#zone")).to_have_text("Time zone: UTC")
    page.goto(site.url + "/threads/late?tz=America/New_York")
    expect(page.locator("#zone")).to_have_text("Time zone: America/New York")
    expect(page.locator(".message.user time")).to_have_text(["09:00:00", "11:00:01"])
    for name, zone in (("Markdown", "(America/New_York)"), ("HTML file", "in America/New_York.")):
        path = page.locator("#export a", has_text=name).get_attribute("href")
        assert zone in page.request.get(f"{site.url}{path}").text()
    page.locator(".row").first.locator("summary").click()
    page.get_by_role("link", name="Everything about this span").click()
    expect(page.locator(".stats time").first).to_have_text("21 Nov, 09:00:00")
    page.get_by_role("link", name="the timeline").click()
    expect(page.locator(".message.user time")).to_have_text(["09:00:00", "11:00:01"])
    site.store.write(conversations.support())
    page.locator("#next-thread").click()
    expect(page.locator("#thread-id")).to_have_text("support-4217")
    expect(page.locator("#zone")).to_have_text("Time zone: America/New York")
    for name in ("../../etc/passwd", "right/Asia/Tokyo", "localtime"):
        page.goto(f"{site.url}/threads/late?tz={name}")
        expect(page.locator("#zone")).to_be_visible()
        expect(page.locator("#zone")).to_have_text("Time zone: UTC")
    context.close()


def test_all_tabs_have_the_zone_that_was_chosen_in_one(browser: Browser, site: Site) -> None:
    """Otherwise days and filters would be those of the server, and times those of the tab."""
    site.store.write(late(2))
    with browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB") as context:
        first, second = context.new_page(), context.new_page()
        for page in (first, second):
            page.goto(site.url + "/threads/late")
            expect(page.locator(".day")).to_have_count(2)
        second.locator("#zone").click()
        expect(first.locator("#zone")).to_have_text("Time zone: UTC")
        expect(first.locator(".message.user time")).to_have_text(["14:00:00", "16:00:01"])
        expect(first.locator(".day")).to_have_count(0)


def test_without_a_script_times_are_in_utc(site: Site, browse: Browse) -> None:
    site.store.write(late(24))
    page = browse("/threads/late", script=False)
    assert page.locator(".day").all_inner_texts() == [
        "Saturday, 21 November 2026",
        "Sunday, 22 November 2026",
    ]
    assert page.locator(".message.user time").first.inner_text() == "14:00:00"
    assert page.locator(".copy").first.is_hidden()
    page.locator(".row summary").first.click()
    page.get_by_role("link", name="Everything about this span").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chat m")


@pytest.fixture
def three(site: Site) -> Site:
    """Threads of which the last two have a tag, the latest one first in the list."""
    for name, tags, hours in (("old", (), 1), ("middle", ("vip",), 2), ("new", ("vip",), 3)):
        recorder = Recorder(name, tags, NOON + hours * 3600 * SECOND)
        recorder.chat("m", [said("user", f"{name}?")], [said("assistant", "!")], 1, (1, 1))
        site.store.write(recorder.spans)
    return site


def test_previous_and_next_follow_the_list(three: Site, browse: Browse) -> None:
    page = browse("/?tag=vip")
    page.locator(".title", has_text="new?").click()
    heading = page.get_by_role("heading", level=1)
    page.get_by_role("link", name="Next").click()
    expect(heading).to_have_text("middle?")
    page.get_by_role("link", name="Previous").click()
    expect(heading).to_have_text("new?")
    page.get_by_role("link", name="Next").click()
    expect(heading).to_have_text("middle?")
    page.get_by_role("link", name="Next").click()  # the end of the list
    page.wait_for_url("**/?tag=vip")
    page.goto(three.url + "/threads/middle")
    page.keyboard.press("n")
    expect(heading).to_have_text("old?")
    page.wait_for_load_state()  # only then are keys listened to
    page.keyboard.press("p")
    expect(heading).to_have_text("middle?")


def test_keys_move_through_lists_and_conversations(three: Site, browse: Browse) -> None:
    page = browse()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".title", has_text="middle?")).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(".title", has_text="new?")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("j?")  # typed, and nothing else
    expect(page.get_by_role("searchbox")).to_have_value("j?")
    page.goto(three.url + "/threads/old")
    page.keyboard.press("j")
    expect(page.locator(".message.user")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(".message.assistant")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.get_by_label("Single keys do this").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("u")
    expect(page).to_have_url(three.url + "/threads/old")


def test_the_palette_finds_threads_and_commands(three: Site, browse: Browse) -> None:
    page = browse("/threads/old")
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search threads")
    expect(field).to_be_focused()
    page.keyboard.type("midd")
    option = page.locator("#palette-list [aria-selected=true]")
    expect(option).to_have_text("middle?middle")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("middle?")
    expect(page.get_by_role("button", name="Search and commands")).to_be_visible()  # by a script
    page.keyboard.press("Control+k")
    expect(field).to_be_focused()
    page.keyboard.type("theme")
    expect(option).to_have_text("Switch the theme")
    before = page.evaluate("document.documentElement.dataset.theme ?? ''")
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_be_hidden()
    assert page.evaluate("document.documentElement.dataset.theme") != before
    page.keyboard.press("Control+k")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_the_palette_shows_the_whole_id_beside_a_long_title(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("order")
    beside = page.locator("#palette-list [aria-selected=true] .id")
    expect(beside).to_have_text("support-4217")
    assert beside.evaluate("(one) => one.scrollWidth <= one.clientWidth")


def test_code_does_not_say_in_which_direction_a_paragraph_runs(site: Site, browse: Browse) -> None:
    recorder = conversations.Recorder("hebrew")
    asked = conversations.said("user", "`NP5591` הוא מספר המעקב")
    recorder.chat("gpt-5-mini", [asked], [], 1, (1, 1))
    site.store.write(recorder.spans)
    code = browse("/threads/hebrew").locator(".prose code")
    right = "(one) => one.getBoundingClientRect().right"
    assert code.evaluate(right) == code.locator("..").evaluate(right)


def test_enter_waits_for_what_was_typed(three: Site, browse: Browse) -> None:
    page = browse("/threads/old")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list")).to_contain_text("Next thread")
    page.keyboard.type("midd")
    page.keyboard.press("Enter")  # while the list has commands
    expect(page.get_by_role("heading", level=1)).to_have_text("middle?")


def test_the_first_thread_is_two_tabs_away(three: Site, browse: Browse) -> None:
    page = browse()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the first thread")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".title").first).to_be_focused()


def test_a_turn_and_its_span_lead_to_each_other(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = opened(browse, site, "/threads/support-4217")
    page.locator(".message.assistant .to-span").first.click()
    row = page.locator(".row[open]")
    expect(row.locator(".facts")).to_be_visible()
    rows = row.locator(".attributes tbody tr")
    told = dict(one.split("\t") for one in rows.all_inner_texts())
    row.locator(".as-json summary").click()
    as_json = json.loads(copy(page, row.get_by_role("button", name="as json")))
    assert sorted(as_json) == sorted(told)
    assert as_json["gen_ai.usage.output_tokens"] == 71
    row.get_by_role("link", name="In the conversation").click()
    expect(page.locator(".message.assistant").first).to_be_focused()
    # To a step that is folded.
    page.locator("#all-errors a").first.click()
    failed = page.locator(".row[open]", has=page.locator(".name", has_text="track_parcel"))
    failed.get_by_role("link", name="In the conversation").click()
    expect(page.locator(".steps .tool.bad").first).to_be_visible()


def test_tokens_and_cost_stand_in_the_timeline(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse("/threads/support-4217")
    row = page.locator(".row", has_text="chat gpt-5-mini").first
    assert row.locator(".tokens").inner_text().split() == ["Tokens", "312→28"]
    assert row.locator(".price").inner_text() == "$0.0001"
    before = page.locator("section.time").bounding_box()
    page.get_by_role("button", name="Wider").click()
    after = page.locator("section.time").bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] > before["width"] * 1.2


def test_the_questions_of_a_thread_are_its_contents(site: Site, browse: Browse) -> None:
    site.store.write(conversations.long(turns=120))
    page = browse("/threads/long?page=1")
    page.keyboard.press("t")
    lines = page.locator("#contents a")
    expect(lines.first).to_be_focused()
    assert page.locator("section.said").inner_text().count("Question 7\n") == 1  # not there, too
    assert lines.locator(".asked").all_inner_texts()[48:] == [
        "Question 49", "Question 50", "Question 51", "Question 101",
    ]  # fmt: skip
    assert lines.locator(".number").all_inner_texts()[-2:] == [
        "51\N{EN DASH}100",
        "101\N{EN DASH}120",
    ]
    assert lines.nth(1).locator(".figure").all_inner_texts() == ["<$0.0001", "500 ms"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#x-3")).to_be_focused()
    expect(page.locator("#contents .pop")).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("question 44")
    expect(page.locator("#palette-list [aria-selected=true]")).to_have_text(
        "Question 44question 44"
    )
    page.keyboard.press("Enter")
    expect(page.locator("#x-44")).to_be_focused()
    expect(page.locator("#x-44 .message.user")).to_be_in_viewport()
    page.locator("#contents > summary").click()
    lines.last.click()
    expect(page.locator(".pager").first).to_contain_text("Part 3 of 3")
    expect(page.locator("#x-101")).to_be_focused()


def test_the_latest_is_one_step_away(site: Site, browse: Browse) -> None:
    site.store.write(conversations.long(turns=120))
    page = browse("/threads/long?page=1")
    page.get_by_role("link", name="Jump to the latest").click()
    expect(page.locator(".message.user .prose").last).to_have_text("Question 120")
    expect(page.locator(".message.assistant").last).to_be_in_viewport()


def test_what_was_found_is_shown_wherever_it_is(site: Site, browse: Browse) -> None:
    site.store.write(conversations.long(turns=120))
    page = browse("/?q=%22Question%2030%22")
    page.locator(".hit-text").click()
    expect(page.locator(".pager").first).to_contain_text("Part 1 of 3")
    expect(page.locator(".message:focus .prose")).to_have_text("Question 30")
    page.locator("#x-30 .to-span").click()
    page.locator(".row[open] a.all").click()
    page.get_by_role("link", name="the timeline").click()
    expect(page.locator(".pager").first).to_contain_text("Part 1 of 3")
    expect(page.locator(".row[open]")).to_have_count(1)


def test_evaluations_stand_at_their_answers(site: Site, browse: Browse) -> None:
    spans = agents.research()
    calls = [one for one in spans if one.facts.operation == "chat"]
    more = {"score__value": 0.9, "score__label": "good"}
    logs = [
        agents.judged(calls[4], "helpfulness", explanation="It has code.", **more),
        agents.judged(calls[5], "user feedback", score__label="thumbs_up"),
    ]
    site.store.write(spans, logs)
    page = browse("/threads/research-7")
    first, second = page.locator(".turn").nth(0), page.locator(".turn").nth(1)
    expect(first.locator(".evaluation")).to_contain_text("helpfulness good (0.9) It has code.")
    expect(second.locator(".evaluation")).to_contain_text("user feedback thumbs_up")
    assert page.locator(".evaluation").count() == 2


def test_a_trace_leads_to_the_backend(browse: Browse, site: Site) -> None:
    spans = conversations.support()
    site.store.write(spans)
    page = browse("/threads/support-4217")
    assert page.get_by_text("Backend").count() == 0
    with serving(site.store, trace_url="https://traces.example/{trace_id}?t={thread_id}") as url:
        answer = page.request.get(url + "/threads/support-4217").text()
    assert f'href="https://traces.example/{spans[0].span.trace_id}?t=support-4217"' in answer


def test_a_menu_stays_in_view_and_closes(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    for phone in (False, True):
        page = browse("/threads/support-4217", phone=phone)
        page.locator("#export summary").click()
        box = page.locator("#export .pop").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.evaluate("innerWidth")
        page.keyboard.press("Escape")
        expect(page.locator("#export .pop")).to_be_hidden()


def test_a_printed_page_names_the_zone_of_its_times(site: Site, browse: Browse) -> None:
    site.store.write(late(2))
    for more, name in (("", "UTC"), ("?tz=Asia/Tokyo", "Asia/Tokyo")):
        for script in (True, False):
            page = browse(f"/threads/late{more}", script=script)
            page.emulate_media(media="print")
            assert page.get_by_role("main").aria_snapshot().endswith(f"Times are in {name}.")


def test_a_printed_page_has_what_was_folded(site: Site, browse: Browse) -> None:
    site.store.write(conversations.support())
    page = browse("/threads/support-4217")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".steps .tool").first.get_by_label("Result", exact=True)).to_be_visible()
    expect(page.locator(".actions")).to_be_hidden()
    expect(page.locator("section.time")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".steps-body").first).to_be_hidden()


@of_own_file
def test_a_thread_is_deleted(three: Site, browse: Browse) -> None:
    page = browse("/threads/middle")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#confirm")).to_be_hidden()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url(three.url + "/")
    expect(page.locator("table.threads .title")).to_have_text(["new?", "old?"])
