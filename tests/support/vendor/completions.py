"""Completions of the API before chat."""

from __future__ import annotations

import itertools
from typing import Any

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id, pieces, stream_or_whole, words


def complete(asked: Asked) -> Answer:
    """Go on with each prompt, `n` times."""
    prompt = asked.required("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    text = asked.wanted.text or "and so it went on."
    limit = asked.body.get("max_tokens") or 16
    said = "".join(pieces(text)[:limit])
    reason = asked.wanted.finish_reason or ("stop" if said == text else "length")
    count = len(prompts) * (asked.body.get("n") or 1)
    read, written = sum(map(words, prompts)), count * words(said)
    base: Json = {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": NOW,
        "model": asked.required("model"),
        "system_fingerprint": "fp_1",
    }
    usage = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    choices = [
        {"index": index, "text": said, "logprobs": None, "finish_reason": reason}
        for index in range(count)
    ]
    whole = {**base, "choices": choices, "usage": usage}
    return stream_or_whole(asked, whole, _events(asked, base, said, reason, count, usage))


def _events(asked: Asked, base: Json, said: str, reason: str, count: int, usage: Json) -> list[Any]:
    with_usage = bool((asked.body.get("stream_options") or {}).get("include_usage"))
    same = {**base, "usage": None} if with_usage else base
    events: list[Any] = [
        {
            **same,
            "choices": [{"index": index, "text": piece, "logprobs": None, "finish_reason": ended}],
        }
        for (piece, ended), index in itertools.product(
            [*((piece, None) for piece in pieces(said)), ("", reason)], range(count)
        )
    ]
    if with_usage:
        events.append({**base, "choices": [], "usage": usage})
    return [*events, "[DONE]"]
