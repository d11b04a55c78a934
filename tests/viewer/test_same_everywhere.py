"""One conversation on the page, in the API, the terminal, Markdown, an HTML file and over MCP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from markdown_it import MarkdownIt

from orq_otel.cli.main import main
from orq_otel.viewer.conversation.parts import ended_early
from orq_otel.viewer.formats import UNKNOWN, cost, count
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.terminal.mcp_server import Tools
from orq_otel.viewer.terminal.sources import StoreSource
from orq_otel.viewer.web.addresses import api_url, thread_url

from . import agents, conversations
from .browsing import Browse, Browser, Page, Site, browse, browser, site
from .conversations import Recorder, said

__all__ = ["browse", "browser", "site"]

Said = tuple[str, str]
"""Who, and what, without what Markdown and JSON add."""


@dataclass
class Told:
    """What one of the six says of a conversation.

    Attributes:
        dialogue: Questions and answers, in their order.
        inside: What agents were told and said on the way, in any order.
        tools: The name, arguments and result of each call of a tool, and whether it failed.
        figures: Tokens in and out, and the cost, with "+" if some calls have no known price.
        ends: Which answers are empty or were not captured, and why some ended early.
    """

    dialogue: list[Said]
    inside: list[Said]
    tools: list[tuple[str, str, str, bool]]
    figures: tuple[str, str, str]
    ends: list[str] = field(default_factory=list)


def words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text))


def plain(markdown: str) -> str:
    """The words of a text in Markdown, or of JSON."""
    try:
        return words(json.dumps(json.loads(markdown), ensure_ascii=False))
    except ValueError:
        html = MarkdownIt("commonmark").enable("table").render(markdown)
        return words(re.sub(r"<[^>]+>", " ", html).replace("&quot;", " ").replace("&gt;", " "))


# ---- The API, and MCP, which has the same JSON ---------------------------------------------------


def of_json(thread: dict[str, Any], entries: Iterable[dict[str, Any]]) -> Told:
    told = Told([], [], [], ("", "", ""))
    for entry in entries:
        for message in entry.get("input", ()):
            role = "prompt" if message["role"] == "user" and not entry["asks"] else message["role"]
            _json_parts(role, message, told.dialogue if entry["asks"] else told.inside, told)
        if "tool_call" in entry:
            told.tools.append(_json_tool(entry["tool_call"]))
        for message in entry.get("output", ()):
            into = told.dialogue if entry["answers"] else told.inside
            _json_parts("assistant", message, into, told)
            if not message["parts"]:
                told.ends.append("empty" if entry["has_output"] else "not captured")
            if ended_early(message.get("finish_reason")):
                told.ends.append(message["finish_reason"])
    told.ends.sort()
    told.figures = (
        count(thread["input_tokens"]),
        count(thread["output_tokens"]),
        cost(thread["cost_usd"]) + "+" * bool(thread["cost_usd"] and thread["unpriced_calls"]),
    )  # fmt: skip
    return told


def _json_parts(role: str, message: dict[str, Any], into: list[Said], told: Told) -> None:
    for part in message["parts"]:
        if part["type"] == "tool_call":
            told.tools.append(_json_tool(part))
        elif part["type"] in {"text", "reasoning"}:
            who = "reasoning" if part["type"] == "reasoning" else role
            into.append((who, plain(part["content"])))


def _json_tool(call: dict[str, Any]) -> tuple[str, str, str, bool]:
    run = call["executed_by"]
    return (
        call["name"],
        words(json.dumps(call["arguments"], ensure_ascii=False)),
        words(" ".join(part["content"] for part in call["result"] or ())),
        run is not None and run["error"] is not None,
    )


# ---- The page, and the file ---------------------------------------------------------------------

ENDS = {"Empty answer": "empty", "Answer not captured": "not captured"}
READ = """() => {
    for (const one of document.querySelectorAll("details")) one.open = true;
    for (const one of document.querySelectorAll(".prose .copy, .prose .language")) one.remove();
    const text = (one) => one ? one.innerText : "";
    const said = (message) => [
        text(message.querySelector("h3, h4")),
        [...message.querySelectorAll(":scope > .prose")].map(text),
        [...message.querySelectorAll(":scope > .reasoning > .prose")].map(text),
    ];
    const within = (one) => !!one.closest(".steps-body");
    const messages = [...document.querySelectorAll(".entries .message")];
    const answers = [...document.querySelectorAll(".steps-body .call")].map((one) => [
        "Assistant",
        [...one.querySelectorAll(":scope > .prose")].map(text),
        [...one.querySelectorAll(":scope > .reasoning > .prose")].map(text),
    ]);
    return {
        dialogue: messages.filter((one) => !within(one)).map(said),
        inside: [...messages.filter(within).map(said), ...answers],
        tools: [...document.querySelectorAll(".tool")].map((one) => [
            text(one.querySelector(":scope > summary code")),
            text(one.querySelector(".tool-body [aria-label=Arguments]")),
            [...one.querySelectorAll(".tool-body [aria-label=Result]")].map(text).join(" "),
            one.classList.contains("bad"),
        ]),
        ends: [...document.querySelectorAll(".entries :is(.not-captured, .finish)")].map(text),
        stats: Object.fromEntries([...document.querySelectorAll(".stats > div")].map((one) =>
            [text(one.querySelector("dt")), text(one.querySelector("dd"))])),
    };
}"""


def of_page(page: Page) -> Told:
    read = page.evaluate(READ)

    def said(messages: list[Any]) -> list[Said]:
        return [
            one
            for role, texts, thoughts in messages
            for one in (
                *(("reasoning", words(text)) for text in thoughts),
                *((role.lower(), words(text)) for text in texts),
            )
        ]

    stats = read["stats"]
    sent, got = stats.get("Tokens", " → ").split(" → ")
    return Told(
        said(read["dialogue"]),
        said(read["inside"]),
        [(name, words(given), words(result), bad) for name, given, result, bad in read["tools"]],
        (
            stats.get("Tokens in", sent),
            stats.get("Tokens out", got),
            re.sub(r"^([^+\n]+)(\+)?(?s:.*)", r"\1\2", stats["Cost"]),
        ),
        sorted(ENDS[one] if one in ENDS else one.removeprefix("ended: ") for one in read["ends"]),
    )


# ---- Markdown -----------------------------------------------------------------------------------


def of_markdown(text: str) -> Told:
    told = Told([], [], [], ("", "", ""))
    tokens = re.search(r"^- Tokens: (\S+) in, (\S+) out$", text, re.MULTILINE)
    price = re.search(r"^- Cost: (.*)$", text, re.MULTILINE)
    assert tokens is not None
    assert price is not None
    told.figures = (tokens[1], tokens[2], with_plus(price[1]))
    end = re.compile(
        r"^ *(?:- answer: )?\*(?:(Empty|Not captured)\.|Ended:)\*(?: `(.*)`)?\n", re.MULTILINE
    )
    told.ends = sorted(one[0].lower() or one[1] for one in end.findall(text))
    text = end.sub("", text)
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        body = re.sub(r"^## \w+day, .*$", "", body, flags=re.MULTILINE)
        if heading == "Steps":
            _markdown_steps(body, told)
            continue
        role = heading.partition(" (")[0].lower()
        body = re.sub(r"^\*\*\w+Error\*\*.*$", "", body, flags=re.MULTILINE)
        body = re.sub(r"^\*(?:image|document)[^*]*\*\n(`.*`)?", "", body, flags=re.MULTILINE)
        if plain(body):
            told.dialogue.append((role, plain(body)))
    return told


def with_plus(price: str) -> str:
    return re.sub(r", without \d+ calls? of unknown price", "+", price)


def _markdown_steps(text: str, told: Told) -> None:
    for item in re.split(
        r"^ *- (?=Tool |Agent |prompt$|answer$|system$|retrieval )", text, flags=re.MULTILINE
    ):
        kind, _, body = item.partition("\n")
        if kind.startswith("Tool "):
            blocks = [one.strip() for one in re.findall(r"```\n(.*?)```", body, re.DOTALL)]
            name = kind.split("`")[1]
            told.tools.append(
                (name, words(blocks[0]), words(" ".join(blocks[1:])), kind.endswith(" failed"))
            )
        elif kind in {"prompt", "answer", "system"}:
            role = "assistant" if kind == "answer" else kind
            role = "reasoning" if "*Reasoning*" in body else role
            told.inside.append(
                (role, plain(re.sub(r"^ *> ?(?:\*Reasoning\*)?", "", body, flags=re.MULTILINE)))
            )


# ---- The terminal -------------------------------------------------------------------------------

LABEL = 11  # cells
NO_MESSAGES = {"ERROR", "guardrail", "handoff", "retrieval"}


def of_terminal(output: str) -> tuple[list[Said], Told]:
    """All texts in their order, and the rest."""
    told = Told([], [], [], ("", "", ""))
    summary, _, rest = output.partition("\n\n")
    conversation = re.split(r"\n\n *AFTER", rest)[0]
    figures = re.search(r"^  tokens  (\S+) in, (\S+) out\n  cost    (.*)$", summary, re.MULTILINE)
    assert figures is not None
    told.figures = (figures[1], figures[2], with_plus(figures[3]))
    if told.figures[2] == "unknown":
        told.figures = (*told.figures[:2], UNKNOWN)
    end = re.compile(
        r"^.{11}\((?:(empty) answer|answer (not captured)|ended: (.*))\)\n", re.MULTILINE
    )
    told.ends = sorted("".join(one) for one in end.findall(conversation))
    conversation = end.sub("", conversation)
    said: list[Said] = []
    speaker = ""
    blocks: list[tuple[str, str]] = []
    for line in conversation.split("\n"):
        label, rest = line[:LABEL].strip(), line[LABEL:]
        if label or re.match(r"\[\d\d:\d\d|\[\w+[,\]]|\w+Error |\(thinking\) |\w+\(\{", rest):
            blocks.append((label, rest))
        else:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] + "\n" + rest)
    for label, text in blocks:
        speaker = label if label and not label.startswith(("->", "hand")) else speaker
        if label in {"-> result", "-> FAILED"}:
            name, given, result, bad = told.tools[-1]
            told.tools[-1] = (name, given, words(f"{result} {text}"), bad or label == "-> FAILED")
        elif (call := re.fullmatch(r"(\w+)\((\{.*\})\)", text, re.DOTALL)) is not None:
            told.tools.append((call[1], words(call[2]), "", False))
        elif text.startswith("(thinking) "):
            said.append(("reasoning", plain(text.removeprefix("(thinking) "))))
        elif label.startswith("--") or re.match(r"\[|\w+Error ", text) or label in NO_MESSAGES:
            continue
        elif speaker in {"user", "assistant", "system", "prompt"}:
            said.append((speaker, plain(text)))
    return said, told


def cut_off() -> list[KeptSpan]:
    """Answers that are empty, cut, filtered or not captured, and one of unknown price."""
    recorder = Recorder("cut-off")
    told = [said("user", "Think hard.")]
    length = {"finish_reason": "length"}
    recorder.chat("gpt-5-mini", told, [said("assistant", "", **length)], 1, (1000, 1000))
    recorder.trace()
    told.append(said("user", "Tell me all."))
    filtered = said("assistant", "It begins", finish_reason="content_filter")
    recorder.chat("nobody-knows-1", told, [filtered], 1, (10, 5), provider="acme")
    recorder.trace()
    told.append(said("user", "Go on."))
    run = recorder.span("run", 9, {"gen_ai.operation.name": "invoke_agent"}, advance=False)
    inner = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "inner"}
    inside = recorder.span("inner", 2, inner, parent=run, advance=False)
    prompt = [said("user", "Look it up.")]
    recorder.chat("m", prompt, [said("assistant", **length)], 1, (1, 1), parent=inside)
    recorder.chat(
        "m",
        [said("user", "Again.")],
        [said("assistant", "Half", **length)],
        1,
        (1, 1),
        parent=inside,
    )
    recorder.chat("m", told, [said("assistant", "")], 1, (1, 1), parent=run)
    recorder.trace()
    told.append(said("user", "And?"))
    reasons = {"gen_ai.response.finish_reasons": ["max_tokens"]}
    recorder.chat("m", told, None, 1, None, more=reasons)
    return recorder.spans


@pytest.mark.parametrize(
    ("thread_id", "spans"),
    [
        ("cut-off", cut_off()),
        ("support-4217", conversations.support()),
        ("research-7", agents.research()),
        ("trip/lisbon → porto", conversations.travel()),
        ("refund-3", agents.handover()),
        ("eval-llama-017", conversations.unknown_model()),
    ],
)
def test_six_tell_the_same(
    site: Site,
    browse: Browse,
    browser: Browser,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    thread_id: str,
    spans: list[KeptSpan],
) -> None:
    site.store.write(spans)
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        path = api_url(thread_id)
        entries = client.get(f"{path}/conversation").json()["entries"]
        api = of_json(client.get(str(path)).json(), entries)
        markdown = client.get(f"{path}/export?format=markdown").text
        html = client.get(f"{path}/export?format=html").text
    assert len(api.dialogue) >= 2
    if thread_id == "cut-off":
        assert api.ends == [
            *("content_filter", "empty", "empty", "empty"),
            *("length", "length", "length", "max_tokens", "not captured"),
        ]
        assert api.figures[2].endswith("+")
    assert api.figures[0] != "0"

    answer = Tools(StoreSource(site.store)).read_thread(thread_id, last=50)
    assert of_json(answer["thread"], answer["entries"]) == api

    told = of_markdown(markdown)
    assert (told.dialogue, told.tools, told.figures) == (api.dialogue, api.tools, api.figures)
    assert told.ends == api.ends
    assert sorted(told.inside) == sorted(api.inside)

    file = tmp_path / "thread.html"
    file.write_text(html, encoding="utf-8")
    context = browser.new_context(offline=True)
    alone = context.new_page()
    alone.goto(file.as_uri())
    for told in (of_page(browse(thread_url(thread_id))), of_page(alone)):
        assert (told.dialogue, told.tools, told.figures) == (api.dialogue, api.tools, api.figures)
        assert told.ends == api.ends
        assert sorted(told.inside) == sorted(api.inside)
    context.close()

    monkeypatch.setenv("TZ", "UTC")
    assert main(["thread", thread_id, "--url", site.url]) == 0
    said, told = of_terminal(capsys.readouterr().out)
    assert sorted(said) == sorted((*api.dialogue, *api.inside))
    assert [one for one in said if one in api.dialogue] == api.dialogue
    assert (told.tools, told.figures, told.ends) == (api.tools, api.figures, api.ends)
