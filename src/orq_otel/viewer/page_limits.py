"""What the pages leave out of what is large: a page is read by people, and held in memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.conversation import INPUT, INSTRUCTIONS, OUTPUT
from orq_otel.viewer.formats import shortened
from orq_otel.viewer.model import KeptSpan

#: Characters of an attribute that the page of a thread looks at. More of messages alone: they are
#: decoded.
_ATTRIBUTE_TEXT: Final = 20_000
_MESSAGES: Final = frozenset({*INPUT, *OUTPUT, *INSTRUCTIONS})
#: Characters of spans that one page shows.
_PAGE_TEXT: Final = 2_000_000
#: What stands around each text, in characters.
_OVERHEAD: Final = 100


class TextBudget:
    """How much text a page may still show. Templates take of it.

    Attributes:
        left: So many characters.
    """

    def __init__(self) -> None:
        self.left = _PAGE_TEXT

    def cut(self, text: str, most: int) -> str:
        """As much of a text as is allowed, and as there is ink for."""
        shown = shortened(text, max(min(most, self.left), 1))
        self.left -= len(shown) + _OVERHEAD
        return shown


def trimmed(kept: KeptSpan, thread_id: str) -> tuple[KeptSpan, int]:
    """A span without what no page of its thread shows, and how many bytes of memory it takes."""
    span, facts = kept.span, kept.facts
    attributes, size = _cut(span.attributes)
    events = []
    for event in span.events:
        told, taken = _cut(event.get("attributes") or {})
        events.append({**event, "attributes": told})
        size += taken
    message = shortened(span.status_message, _ATTRIBUTE_TEXT)
    # One string for all spans of the thread, and no long one for others.
    own = facts.thread_id
    if own is not None:
        own = thread_id if own == thread_id else shortened(own, _ATTRIBUTE_TEXT)
    return (
        KeptSpan(
            replace(
                span, attributes=attributes, events=events, status_message=message, resource={}
            ),
            replace(facts, thread_id=own, tags=()),
        ),
        size + sys.getsizeof(message) + _OVERHEAD * 10,
    )


def _cut(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    told = {
        name: shortened(value, _ATTRIBUTE_TEXT)
        if isinstance(value, str) and len(value) > _ATTRIBUTE_TEXT and name not in _MESSAGES
        else value
        for name, value in attributes.items()
    }
    return told, _weight(told)


def _weight(value: Any) -> int:
    """Bytes of memory that a JSON value takes."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(_weight(name) + _weight(one) for name, one in value.items())
    return size + sum(map(_weight, value)) if isinstance(value, list) else size
