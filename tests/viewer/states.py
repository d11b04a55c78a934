"""Every page in every state: what tests measure, and what pictures of them are taken of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import Store
from orq_otel.viewer.store import open_store
from orq_otel.viewer.web.addresses import thread_url

from . import agents, conversations
from .browsing import Page, expect, serving
from .conversations import NOON, SECOND, Recorder, said

WIDTHS = (390, 768, 1024, 1440)
RIGHT_TO_LEFT = "איפה החבילה שלי? הזמנתי אותה לפני שבוע 📦"
#: Its spans belong to no thread.
_MINUTE = 60 * SECOND


@dataclass(frozen=True)
class State:
    """A page, and what is done on it.

    Attributes:
        path: Its address.
        act: What is done, or None.
        site: "full", "empty" with no thread, or "guarded" by a token.
        is_whole: Whether what lies above the page covers it, so that the rest is not measured.
    """

    path: str
    act: Callable[[Page], None] | None = None
    site: str = "full"
    is_whole: bool = True


def fill(store: Store) -> None:
    """Keep threads of all kinds, with feedback, and spans of no thread."""
    research = agents.research(start=NOON - 40 * _MINUTE)
    for spans in (
        conversations.many(45),
        conversations.support(),
        conversations.travel(start=NOON - 10 * _MINUTE),
        conversations.unknown_model(start=NOON - 20 * _MINUTE),
        conversations.without_content(start=NOON - 30 * _MINUTE),
        conversations.long(start=NOON - 90 * _MINUTE),
        conversations.hostile(start=NOON - 95 * _MINUTE),
        agents.handover(start=NOON - 5 * _MINUTE),
        _right_to_left(),
        _odd_names(),
        _stray(),
        research,
    ):
        store.write(spans)
    calls = [one for one in research if one.facts.operation == "chat"]
    store.write(
        [],
        [
            agents.judged(
                calls[4], "helpfulness", explanation="It has code.", score__value=0.9,
                score__label="good",
            ),
            agents.judged(calls[5], "user feedback", score__label="thumbs_up"),
            agents.judged(calls[6], "user feedback", score__label="thumbs_down"),
        ],
    )  # fmt: skip


@contextlib.contextmanager
def sites(folder: Path) -> Iterator[dict[str, str]]:
    """The addresses of the sites, as long as the block takes. Their stores lie in the folder."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(contextlib.closing(open_store(folder / "full.db")))
        empty = stack.enter_context(contextlib.closing(open_store(folder / "empty.db")))
        fill(full)
        yield {
            "full": stack.enter_context(serving(full)),
            "empty": stack.enter_context(serving(empty)),
            "guarded": stack.enter_context(serving(empty, token="secret")),
        }


def show(page: Page, urls: Mapping[str, str], state: State) -> None:
    """Open a page in a state."""
    page.goto(urls[state.site] + state.path)
    if state.act:
        state.act(page)


def _right_to_left() -> list[KeptSpan]:
    recorder = Recorder("חבילה-17", ("תמיכה",), NOON - 50 * _MINUTE)
    answer = "היא בדרך.\n\n1. עזבה את המחסן\n2. תגיע מחר\n\n`NP55091274DE` הוא מספר המעקב."
    messages = [said("user", RIGHT_TO_LEFT)]
    recorder.chat("gpt-5-mini", messages, [said("assistant", answer)], 1, (90, 60))
    return recorder.spans


def _odd_names() -> list[KeptSpan]:
    """Names without a place to break, of models, tags, agents, tools, and of the thread."""
    name = "a" * 40 + "_" + "b" * 120
    recorder = Recorder(f"session:{name}", (name, "x" * 60), NOON - 60 * _MINUTE)
    messages = [said("user", name + " " + "https://example.com/" + "c" * 200)]
    answer = f"```\n{name * 3}\n```\n\n{name}\n\n| {name} | b |\n|--|--|\n| 1 | 2 |"
    recorder.chat(
        f"model-{name}",
        messages,
        [said("assistant", answer)],
        0.4,
        (12_345_678, 9_876_543),
        more={"gen_ai.agent.name": name},
    )
    return recorder.spans


def _stray() -> list[KeptSpan]:
    recorder = Recorder("none")
    recorder.span(
        "chat gpt-5-mini",
        1,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-5-mini",
            "gen_ai.input.messages": '[{"role":"user","content":"Where is my invoice?"}]',
            "gen_ai.output.messages": '[{"role":"assistant","content":"In your inbox."}]',
        },
        labelled=False,
    )
    return recorder.spans


def clicks(selector: str, shows: str) -> Callable[[Page], None]:
    """Returns what clicks on the first of these, and waits until something else is shown."""

    def act(page: Page) -> None:
        page.locator(selector).first.click()
        expect(page.locator(shows).first).to_be_visible()

    return act


def _unfold(page: Page) -> None:
    page.locator(".said details, .thread-head details.errors").evaluate_all(
        "all => all.forEach((one) => { one.open = !one.classList.contains('menu') })"
    )


def _open_rows(page: Page) -> None:
    for row in page.locator(".row > summary").all()[:3]:
        row.click()
    expect(page.locator(".row[open] .facts")).to_have_count(min(page.locator(".row").count(), 3))


def _to_a_span(page: Page) -> None:
    page.locator(".row > summary").nth(2).click()
    page.get_by_role("link", name="Everything about this span").click()
    expect(page.get_by_role("heading", name="Resource")).to_be_visible()


def _search(page: Page) -> None:
    page.locator("#palette-open").click()
    page.keyboard.type("order")
    expect(page.locator("#palette-list [aria-selected=true] .id")).to_be_visible()


SUPPORT = "/threads/support-4217"
STATES = {
    "empty": State("/", site="empty"),
    "overview": State("/"),
    "filtered": State("/?tag=support&errors=true&min_cost=0.0001"),
    "found": State("/?q=mountains"),
    "no hit": State("/?q=nothing+like+that"),
    "exact times": State("/", clicks("#exact > summary", "#exact .pop")),
    "more filters": State("/", clicks("#more-filters > summary", "#more-filters .pop")),
    "more tags": State("/", clicks("#more-tags > summary", "#more-tags .pop")),
    "last page": State("/?sort=cost&order=asc", clicks("#next-page", "#first-page")),
    "tags": State("/tags"),
    "no tags": State("/tags?q=nothing"),
    "numbers": State("/numbers?by=tag"),
    "two tags": State("/numbers?by=tag&a=support&b=beta"),
    "no numbers": State("/numbers", site="empty"),
    "thread": State(SUPPORT),
    "unfolded": State(SUPPORT, _unfold),
    "rows": State(SUPPORT, _open_rows),
    "export": State(SUPPORT, clicks("#export > summary", "#export .pop")),
    "questions": State(SUPPORT, clicks("#contents > summary", "#contents .pop")),
    "delete": State(SUPPORT, clicks("#delete", "#confirm"), is_whole=False),
    "palette": State(SUPPORT, clicks("#palette-open", "#palette-list li"), is_whole=False),
    "search": State(SUPPORT, _search, is_whole=False),
    "keys": State(SUPPORT, lambda page: page.keyboard.press("?"), is_whole=False),
    "agents": State("/threads/research-7", _unfold),
    "handover": State("/threads/refund-3", _unfold),
    "media": State(thread_url("trip/lisbon \u2192 porto"), _unfold),
    "not captured": State("/threads/billing-902", _unfold),
    "long": State("/threads/long?page=2"),
    "long questions": State(
        "/threads/long?page=2", clicks("#contents > summary", "#contents .pop")
    ),
    "right to left": State(thread_url("חבילה-17"), _unfold),
    "odd names": State("/?q=session:aaaa"),
    "odd thread": State("/?q=session:aaaa", clicks(".threads .title", "#said")),
    "span": State(SUPPORT, _to_a_span),
    "strays": State("/without-thread"),
    "no strays": State("/without-thread", site="empty"),
    "not there": State("/threads/nobody"),
    "wrong": State("/?sort=beauty"),
    "login": State("/", site="guarded"),
}
