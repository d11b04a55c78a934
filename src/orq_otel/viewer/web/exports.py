"""A thread's conversation as a document: Markdown, or one HTML file that needs nothing else."""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.conversation.evaluations import evaluation
from orq_otel.viewer.conversation.exchanges import exchanges
from orq_otel.viewer.conversation.reading import conversation
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.store import Store, pieces
from orq_otel.viewer.model.telemetry import EVALUATION
from orq_otel.viewer.model.threads import Thread
from orq_otel.viewer.web import conversation_html, conversation_markdown
from orq_otel.viewer.web.page_limits import TextBudget
from orq_otel.viewer.web.rendering import HERE, rendered
from orq_otel.viewer.web.thread_page import MOST_EVALUATIONS
from orq_otel.viewer.web.zones import Zone

DOCUMENTS: Final = {
    "markdown": ("text/markdown; charset=utf-8", "md"),
    "html": ("text/html; charset=utf-8", "html"),
}
"""The formats, each with its content type and how the name of its file ends."""

MOST_SPANS: Final = 20_000
"""How many spans of a thread are read for a document."""
_CHARACTERS: Final = 50_000_000


def document(store: Store, thread: Thread, form: str, zone: Zone) -> str:
    """Returns the conversation of a thread as a document.

    Args:
        store: Has its spans.
        thread: The thread.
        form: One of `DOCUMENTS`.
        zone: The time zone of its times.
    """
    spans: list[KeptSpan] = []
    is_cut = False
    for some in pieces(store, thread.id):
        spans += some
        if len(spans) >= MOST_SPANS:
            is_cut = some.has_more
            break
    zone = zone.over(thread.started, thread.last_active)
    whole = conversation(thread.id, spans)
    all_exchanges = exchanges(whole, spans)
    evaluations = conversation_html.placed(
        [evaluation(one) for one in store.logs(thread.id, MOST_EVALUATIONS, EVALUATION)],
        [all_exchanges],
    )
    if form == "markdown":
        return conversation_markdown.document(
            thread, all_exchanges, evaluations, zone, is_cut=is_cut
        )
    return rendered(
        "export.html",
        zone=zone,
        thread=thread,
        conversation=whole,
        exchanges=all_exchanges,
        evaluations_of=evaluations[0],
        evaluations=evaluations[1],
        is_cut=is_cut,
        text_budget=TextBudget(_CHARACTERS),
        style=(HERE / "static" / "viewer.css").read_text(encoding="utf-8"),
    )
