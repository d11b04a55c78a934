"""What an output consists of, and what that says of the call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orq_otel.payloads import chat, responses


def read(*kinds: str) -> dict[str, Any]:
    """What is told of a response with items of these types."""
    output = [{"type": kind} for kind in kinds]
    return responses.response_attributes({"status": "completed", "output": output})


@pytest.mark.parametrize(
    "kind",
    [
        "function_call",
        "custom_tool_call",
        "computer_call",
        "local_shell_call",
        "apply_patch_call",
    ],
)
def test_a_call_that_the_caller_has_to_act_on(kind: str) -> None:
    assert read("reasoning", kind) == {"gen_ai.response.finish_reasons": ("tool_calls",)}


@pytest.mark.parametrize("kind", ["web_search_call", "file_search_call", "mcp_call", "message"])
def test_a_call_that_the_server_has_acted_on(kind: str) -> None:
    assert read(kind, "message") == {"gen_ai.response.finish_reasons": ("stop",)}


def test_a_history_that_was_compacted_on_the_way() -> None:
    assert read("compaction", "message") == {
        "gen_ai.conversation.compacted": True,
        "gen_ai.response.finish_reasons": ("stop",),
    }


def test_a_response_that_is_fetched_compacts_nothing() -> None:
    output = [{"type": "compaction"}]
    fetched = responses.fetched_response_attributes({"status": "completed", "output": output})

    assert "gen_ai.conversation.compacted" not in fetched


@pytest.mark.parametrize(
    ("modalities", "kind"),
    [
        (["text", "audio"], "speech"),
        (["image", "text"], "image"),
        (["text"], None),
        ([], None),
        (None, None),
    ],
)
def test_the_modalities_of_a_chat(modalities: Any, kind: str | None) -> None:
    assert chat.request_attributes({"modalities": modalities}).get("gen_ai.output.type") == kind


@pytest.mark.parametrize("stop", [None, [], 7, {"END": True}])
def test_what_is_nothing_to_stop_at(stop: Any) -> None:
    assert chat.request_attributes({"stop": stop}) == {}


@pytest.mark.parametrize("index", [None, "0", -1, 10**12, True])
def test_a_choice_that_there_cannot_be(index: Any) -> None:
    chunks = chat.StreamReader()
    for place in (0, index):
        choice = SimpleNamespace(index=place, finish_reason="stop")
        chunks.feed(SimpleNamespace(choices=[choice]))

    assert chunks.attributes() == {"gen_ai.response.finish_reasons": ("stop",)}
