"""What the Responses API does besides making responses."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import NOW, Asked, new_id, words


def compact(asked: Asked) -> Answer:
    """Compact a history: the user's messages, and one item for the rest."""
    asked.required("model")
    given = asked.body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    read = sum(words(item.get("content")) for item in items)
    messages = [
        {
            "id": new_id("msg_"),
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": item["content"]}],
        }
        for item in items
        if item.get("role") == "user"
    ]
    compaction = {"id": new_id("cmp_"), "type": "compaction", "encrypted_content": "c2VhbGVk"}
    return Answer(
        {
            "id": new_id("resp_"),
            "object": "response.compaction",
            "created_at": NOW,
            "output": [*messages, compaction],
            "usage": {
                "input_tokens": read,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 2},
                "total_tokens": read + 9,
            },
        }
    )
