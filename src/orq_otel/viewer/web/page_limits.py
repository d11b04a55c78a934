"""Limits on the text of a page, so that it stays readable and fits into memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.conversation.order import HOST
from orq_otel.viewer.formats import shortened
from orq_otel.viewer.model.kept_spans import KeptSpan

#: How many characters of an attribute a thread's page keeps. JSON is kept completely, since there
#: may be messages in it.
_ATTRIBUTE_TEXT: Final = 20_000
_JSON: Final = ("[", "{")
#: How many characters of spans one page shows.
_PAGE_TEXT: Final = 2_000_000
#: The approximate size of the HTML around each text, in characters.
_OVERHEAD: Final = 100


class TextBudget:
    """How much more text a page may show. The templates use it up.

    Args:
        most: How many characters it may show at all.

    Attributes:
        left: The number of characters that are left.
    """

    def __init__(self, most: int = _PAGE_TEXT) -> None:
        self.left = most

    def cut(self, text: str, most: int) -> str:
        """Returns the beginning of a text: at most `most` characters, and no more than are left."""
        shown = shortened(text, max(min(most, self.left), 1))
        self.left -= len(shown) + _OVERHEAD
        return shown


def trimmed(kept: KeptSpan, thread_id: str) -> tuple[KeptSpan, int]:
    """Returns a span without the parts that a thread's page never shows, and its size in bytes."""
    span, facts = kept.span, kept.facts
    attributes, size = _cut(span.attributes)
    events = []
    for event in span.events:
        event_attributes, event_size = _cut(event.get("attributes") or {})
        events.append({**event, "attributes": event_attributes})
        size += event_size + _size(event.get("body"))
    message = shortened(span.status_message, _ATTRIBUTE_TEXT)
    # All spans of the thread share one string, and long ids of other threads are cut.
    own = facts.thread_id
    if own is not None:
        own = thread_id if own == thread_id else shortened(own, _ATTRIBUTE_TEXT)
    return (
        KeptSpan(
            replace(
                span,
                attributes=attributes,
                events=events,
                status_message=message,
                # The order of spans depends on which host they are from.
                resource={name: span.resource[name] for name in HOST if name in span.resource},
            ),
            replace(facts, thread_id=own, tags=()),
            kept.arrival,
        ),
        size + sys.getsizeof(message) + _OVERHEAD * 10,
    )


def _cut(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    shown = {
        name: shortened(value, _ATTRIBUTE_TEXT)
        if isinstance(value, str) and len(value) > _ATTRIBUTE_TEXT and not value.startswith(_JSON)
        else value
        for name, value in attributes.items()
    }
    return shown, _size(shown)


def _size(value: Any) -> int:
    """Returns the size of a JSON value in bytes of memory."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(_size(name) + _size(one) for name, one in value.items())
    return size + sum(map(_size, value)) if isinstance(value, list) else size
