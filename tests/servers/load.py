"""Fifty conversations at the same time, and what has to be true of the spans that they leave."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from stand_ins.otlp_receiver import Span

CONVERSATIONS = 50
TURNS = 10
#: The longest that anything here may wait for something else, in seconds.
PATIENCE = 60


class Turn(NamedTuple):
    """One turn: of "c-7", the third, answered word by word or at once."""

    conversation: str
    number: int
    is_streamed: bool


def all_turns() -> list[Turn]:
    """All turns of all conversations, in an order that mixes them, half of them streamed."""
    chance = random.Random(5)
    order = [f"c-{number}" for number in range(CONVERSATIONS)] * TURNS
    chance.shuffle(order)
    taken: Counter[str] = Counter()
    turns = []
    for conversation in order:
        number = taken[conversation]
        taken[conversation] += 1
        turns.append(Turn(conversation, number, (number + int(conversation[2:])) % 2 == 0))
    return turns


async def take(have: Callable[[Turn], Awaitable[None]]) -> None:
    """Have all turns, as many at the same time as there are conversations."""
    waiting = iter(all_turns())

    async def have_some() -> None:
        for turn in waiting:
            await asyncio.wait_for(have(turn), PATIENCE)

    await asyncio.gather(*(have_some() for _ in range(CONVERSATIONS)))


def are_there(spans: Sequence[Span], entries: int = CONVERSATIONS * TURNS) -> bool:
    """Whether all requests, all calls of the model and all work of the application have arrived."""
    counted = Counter("call" if is_call(span) else span.kind for span in spans)
    return counted["call"] >= CONVERSATIONS * TURNS and (
        sum(counted[kind] for kind in ("SERVER", "CONSUMER")) >= entries
    )


def is_call(span: Span) -> bool:
    """Whether it is a call of the model."""
    return "gen_ai.request.seed" in span.attributes


def check(spans: Sequence[Span]) -> Counter[str]:
    """Every span is in the thread of its conversation, and every turn has called the model once.

    Returns:
        How many spans there are of each name, without numbers.
    """
    traces: dict[str, set[str]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, set()).update(_told(span))
    names: Counter[str] = Counter()
    for span in spans:
        told = _told(span) or traces[span.trace_id]
        assert len(told) == 1, (span, traces[span.trace_id])
        (conversation,) = told
        if conversation == "report":
            assert "thread.id" not in span.attributes, span
            continue
        names[re.sub(r"\bc-\d+|\d+", "N", span.name)] += 1
        labels = {name: span.attributes.get(name) for name in ("thread.id", "thread.tags")}
        assert labels == {"thread.id": conversation, "thread.tags": ["load"]}, span
    seeds = sorted(span.attributes["gen_ai.request.seed"] for span in spans if is_call(span))
    assert seeds == [100 * c + turn for c in range(CONVERSATIONS) for turn in range(TURNS)]
    return names


def _told(span: Span) -> set[str]:
    """Whose turn a span says that it belongs to, apart from its thread."""
    attributes = span.attributes
    if is_call(span):
        return {f"c-{attributes['gen_ai.request.seed'] // 100}"}
    if "app.conversation" in attributes:
        return {attributes["app.conversation"]}
    texts = [span.name, *map(str, (attributes.get("url.path"), attributes.get("http.target")))]
    return set(re.findall(r"\bc-\d+|\breport\b", " ".join(texts)))


def check_reports(reports: Sequence[dict[str, Any]]) -> None:
    """Nothing is left open in any process."""
    assert reports
    for report in reports:
        assert report["thread"] == "None", report
        assert report["open"] == 0, report
