"""What the conversations of `apps/conversations.py` must look like from outside."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .telemetry import Span

#: Name, kind, and the name of the parent, which must be in the same trace.
Shape: TypeAlias = tuple[str, str, "str | None"]

CHAT = "chat gpt-4o-mini"
CALLS: list[Shape] = [(CHAT, "CLIENT", None)] * 2

#: The spans of each thread.
SHAPES: dict[str | None, list[Shape]] = {
    "order-1001": CALLS,
    "story-7": CALLS,
    "ticket-42": CALLS,
    "refund-5": [
        ("decide refund", "INTERNAL", None),
        (CHAT, "CLIENT", "decide refund"),
        (CHAT, "CLIENT", "decide refund"),
    ],
    "web-77": [
        ("POST /chat", "SERVER", None),
        (CHAT, "CLIENT", "POST /chat"),
        (CHAT, "CLIENT", "POST /chat"),
    ],
    "import-1": CALLS,
    "import-2": CALLS,
    "room-a": CALLS,
    "room-b": CALLS,
    None: [(CHAT, "CLIENT", None), ("count stock", "INTERNAL", None)],
}

TAGS: dict[str, list[str]] = {
    "order-1001": ["orders", "größe"],
    "story-7": ["streamed"],
    "ticket-42": ["support", "high"],
    "refund-5": ["refunds"],
    "web-77": [],
    "import-1": ["batch"],
    "import-2": ["batch"],
    "room-a": ["rooms"],
    "room-b": ["rooms"],
}

MESSAGES = 38
MODEL_CALLS = 19

#: Input and output tokens of a first and a second turn, as `model_server.py` counts them.
FIRST_TURN = (3 + 4, 4)
SECOND_TURN = (3 + 4 + 3 + 4 + 3 + 4, 4)


def labels_of(thread_id: str) -> dict[str, Any]:
    """All the labels of a thread."""
    ids = dict.fromkeys(("thread.id", "orq.thread_id", "gen_ai.conversation.id"), thread_id)
    tags = TAGS[thread_id]
    if not tags:
        return ids
    return {**ids, "thread.tags": tags, "orq.tags": json.dumps(tags, ensure_ascii=False)}


def shapes(spans: list[Span]) -> dict[str | None, Counter[Shape]]:
    """The spans by the thread that they say they belong to, and how often each is there."""
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    found: dict[str | None, Counter[Shape]] = {}
    for span in spans:
        parent = by_id[span.trace_id, span.parent_id].name if span.parent_id else None
        found.setdefault(span.thread_id, Counter())[span.name, span.kind, parent] += 1
    return found


def expected_shapes() -> dict[str | None, Counter[Shape]]:
    """The same for what must be found."""
    return {thread_id: Counter(spans) for thread_id, spans in SHAPES.items()}
