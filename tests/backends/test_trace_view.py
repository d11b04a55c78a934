"""trace-view (`tv`), which groups each span on its own, by `gen_ai.conversation.id`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.expected import TAGS

from .held import OUTSIDE, SPANS, hold_conversations
from .servers import ask, backend, only_alone, only_with, program, until

only_with("traceview")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    only_alone("tv")
    where = {"TV_PORT": "{port}", "TV_DB_PATH": "traces.db"}
    with backend(
        lambda _: [program("tv"), "serve"], tmp_path_factory.mktemp("tv"), where
    ) as running:
        hold_conversations({"OTEL_EXPORTER_OTLP_ENDPOINT": running})
        yield running


def spans(url: str) -> dict[str, list[dict[str, object]]]:
    """The spans of each session."""
    sessions = [session["id"] for session in ask(f"{url}/api/sessions")]
    return {session: ask(f"{url}/api/sessions/{session}/spans") for session in sessions}


def test_each_session_has_its_spans_and_their_tags(url: str) -> None:
    found = until(
        lambda: spans(url),
        lambda seen: sum(map(len, seen.values())) >= sum(SPANS.values()) + OUTSIDE,
    )
    # What says nothing of a conversation goes into a session that is the process.
    outside = [found.pop(session) for session in found.keys() - SPANS.keys()]

    assert {session: len(inside) for session, inside in found.items()} == SPANS
    for session, inside in found.items():
        told = [span["metadata"].get("thread.tags", []) for span in inside]  # type: ignore[attr-defined]
        assert told == [TAGS[session]] * len(inside)
    assert [len(inside) for inside in outside] == [OUTSIDE]
