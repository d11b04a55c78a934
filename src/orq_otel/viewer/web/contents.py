"""The contents of a long conversation: its questions, and the parts that another page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orq_otel.viewer.conversation.exchanges import Exchange
from orq_otel.viewer.conversation.parts import Text
from orq_otel.viewer.formats import one_line, plain, plural
from orq_otel.viewer.web.addresses import thread_url

_LENGTH = 90  # characters of a question


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the contents.

    Attributes:
        number: The number of the question, or "51-100" for those of another part.
        text: What was asked.
        href: Where it is.
        at: When it was asked, in nanoseconds since the epoch.
        took: How long it took until the last answer in nanoseconds, or None for another part.
        cost: What its calls of models cost in US dollars, or None if that is unknown.
        is_bad: Whether something failed on the way to the answer, if it is one question.
    """

    number: str
    text: str
    href: str
    at: int
    took: int | None = None
    cost: float | None = None
    is_bad: bool = False


def contents(
    thread_id: str, parts: Sequence[Sequence[Exchange]], page: int, **kept: str | None
) -> list[Line]:
    """Returns the lines: a question each of the part that is shown, and one for each other part.

    Args:
        thread_id: The thread's id.
        parts: The parts of its conversation.
        page: The number of the part that is shown, from 1.
        **kept: Parameters of the page's address that its links keep.
    """
    lines: list[Line] = []
    for number, part in enumerate(parts, 1):
        if number == page:
            lines += map(_line, part)
        elif part:
            first, last = part[0], part[-1]
            href = f"{thread_url(thread_id, page=number, **kept)}#x-{first.number}"
            numbers = f"{first.number}\N{EN DASH}{last.number}"
            lines.append(Line(numbers, _text(first), href, first.begin))
    return lines


def _line(one: Exchange) -> Line:
    costs = [each.kept.facts.cost for each in one.entries if each.kept.facts.cost is not None]
    return Line(
        str(one.number),
        _text(one),
        f"#x-{one.number}",
        one.begin,
        max(max(each.kept.span.end for each in one.entries) - one.begin, 0),
        sum(costs) if costs else None,
        bool(one.failures or any(each.kept.facts.is_error for each in one.answers)),
    )


def _text(exchange: Exchange) -> str:
    """Returns the question, or what else the exchange has."""
    asked = exchange.question.asked if exchange.question else ()
    for message in asked:
        if message.role == "user":
            said = [one.content for one in message.parts if isinstance(one, Text)]
            text = one_line(plain(" ".join(said)), _LENGTH)
            if text:
                return text
    if any(message.role == "user" for message in asked):
        return "A question without text"
    return plural(len(exchange.entries), "call or step", "calls and steps")
