"""Moderations, decisions, and checks of what made a file."""

from __future__ import annotations

from typing import Any

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id, snapshot, words

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def moderate(asked: Asked) -> Answer:
    """Find nothing wrong with each input."""
    given = asked.required("input")
    count = 1 if isinstance(given, str) else len(given)
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    model = asked.body.get("model") or "omni-moderation-latest"
    model = "omni-moderation-2024-09-26" if model == "omni-moderation-latest" else model
    return Answer({"id": new_id("modr-"), "model": model, "results": [result] * count})


def decide(asked: Asked) -> Answer:
    """Answer each question with what comes first."""
    read = words(asked.required("input"))
    questions: list[Json] = asked.required("questions")
    read += sum(words(question["instructions"]) for question in questions)
    return Answer(
        {
            "answers": [_answer(question) for question in questions],
            "model": snapshot(asked.required("model")),
            "usage": {
                "input_tokens": read,
                "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
                "output_tokens": len(questions),
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": read + len(questions),
            },
        }
    )


def check(asked: Asked) -> Answer:
    """Find one of two marks in a file."""
    asked.required("file")
    marks = [
        {"type": "c2pa", "outcome": "not_detected", "validation_state": "not_present"},
        {"type": "synthid", "outcome": "detected", "model": "gpt-image-2"},
    ]
    return Answer({"object": "content_provenance_check", "created_at": NOW, "results": marks})


def _answer(question: Json) -> Json:
    told: dict[str, Any] = {"name": question.get("name"), "type": question["type"]}
    if question["type"] == "predicate":
        return {**told, "probability": 0.75}
    chosen = question["choices"][0]["value"]
    chances = [{"value": chosen, "probability": 1.0}]
    return {**told, "choice": chosen, "confidence": 1.0, "probabilities": chances}
