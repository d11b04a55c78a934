"""What the templates of a conversation need: its parts, where evaluations stand, and its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from markupsafe import Markup

from orq_otel.viewer.conversation import documents
from orq_otel.viewer.conversation.entries import Step, Turn
from orq_otel.viewer.conversation.evaluations import Evaluation
from orq_otel.viewer.conversation.exchanges import Exchange
from orq_otel.viewer.conversation.facts import explained
from orq_otel.viewer.conversation.parts import ended_early
from orq_otel.viewer.conversation.reading import failure
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.web import json_view, markdown, media
from orq_otel.viewer.web.addresses import span_key


def parts(
    exchanges: Sequence[Exchange], entries: int, characters: int
) -> tuple[tuple[Exchange, ...], ...]:
    """Returns exchanges in parts: one page shows one of them. There is always one.

    Args:
        exchanges: The exchanges of a thread.
        entries: A part ends with the exchange that reaches this number of calls and steps.
        characters: Or with the one that reaches this number of characters.
    """
    found: list[tuple[Exchange, ...]] = []
    part: list[Exchange] = []
    size = length = 0
    for one in exchanges:
        part.append(one)
        size += len(one.entries)
        length += one.length
        if size >= entries or length >= characters:
            found.append(tuple(part))
            part, size, length = [], 0, 0
    if part or not found:
        found.append(tuple(part))
    return tuple(found)


def placed(
    evaluations: Iterable[Evaluation], in_parts: Iterable[Sequence[Exchange]]
) -> tuple[dict[int, list[Evaluation]], list[Evaluation]]:
    """Returns the evaluations of each exchange, by its number, and those that belong to none.

    One that names a span belongs to the exchange with that span, or else to the latest of its
    trace that had begun.
    """
    by_span: dict[tuple[str, str], int] = {}
    by_trace: dict[str, list[Exchange]] = {}
    for part in in_parts:
        for one in part:
            for entry in one.entries:
                by_span[entry.kept.span.trace_id, entry.kept.span.span_id] = one.number
                begun = by_trace.setdefault(entry.kept.span.trace_id, [])
                if not begun or begun[-1] is not one:
                    begun.append(one)
    found: dict[int, list[Evaluation]] = {}
    rest: list[Evaluation] = []
    for each in evaluations:
        record = each.record
        number = by_span.get((record.trace_id or "", record.span_id or ""))
        some = by_trace.get(record.trace_id or "", ())
        if number is None and some:
            number = next(
                (one.number for one in reversed(some) if one.begin <= record.time), some[0].number
            )
        rest.append(each) if number is None else found.setdefault(number, []).append(each)
    return found, rest


def prose(text: str, most: int) -> tuple[Markup, Markup]:
    """Returns a text as HTML: JSON as a tree, and anything else as Markdown, cut in two."""
    value = json_view.parsed(text)
    if value is not None:
        return json_view.tree(value), Markup("")
    return markdown.rendered(text, most)


def json_tree(text: str) -> Markup | None:
    """Returns an object or a list in a text as a tree, or None if there is none."""
    value = json_view.parsed(text)
    return None if value is None else json_view.tree(value)


def spans_shown(exchanges: Sequence[Exchange]) -> set[str]:
    """Returns the keys of spans that a part of a conversation shows, so that rows lead there."""
    return {
        span_key(kept)
        for exchange in exchanges
        for kept in (
            *(entry.kept for entry in exchange.entries),
            *(call.execution for call in exchange.calls),
        )
        if kept is not None
    }


def first_chunk(kept: KeptSpan) -> int | None:
    """Returns the time to the first chunk of a streamed answer in nanoseconds, or None."""
    seconds = kept.span.attributes.get("gen_ai.response.time_to_first_chunk")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:  # noqa: PLR2004
        return None
    return int(seconds * 1e9)


#: For the templates, which know them from `rendering`.
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "as_prose": prose,
    "as_tree": json_tree,
    "documents_of": lambda kept: documents.documents(kept.span),
    "ended_early": ended_early,
    "explained": explained,
    "failure": failure,
    "first_chunk": first_chunk,
    "is_step": lambda one: isinstance(one, Step),
    "is_turn": lambda one: isinstance(one, Turn),
    "media_data": media.data_url,
    "media_kind": media.shown_as,
    "query_of": lambda kept: documents.query(kept.span),
    "spans_shown": spans_shown,
}
