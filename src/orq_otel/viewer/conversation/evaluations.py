"""Reads evaluations and feedback from log records, as the GenAI conventions have them.

https://github.com/open-telemetry/semantic-conventions-genai, event `gen_ai.evaluation.result`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orq_otel.viewer.formats import as_text
from orq_otel.viewer.model.telemetry import EVALUATION, LogRecord

#: Attributes with the id of the response that an evaluation is about, where it names no span.
RESPONSE_IDS: Final = ("gen_ai.response.id", "orq_otel.response.id")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What somebody, or a program, says of an answer.

    Attributes:
        name: What was evaluated, such as "relevance".
        score: The score, with its label if it has both, or "".
        explanation: Why, or "".
        error: The type of an error, if evaluating failed, or "".
        record: The log record.
    """

    name: str
    score: str
    explanation: str
    error: str
    record: LogRecord


def evaluation(record: LogRecord) -> Evaluation:
    """Returns the evaluation in a log record."""
    attributes = record.attributes

    def text(name: str) -> str:
        value = attributes.get(name)
        return "" if value is None else as_text(value)

    value, label = (text(f"gen_ai.evaluation.score.{kind}") for kind in ("value", "label"))
    return Evaluation(
        name=text("gen_ai.evaluation.name") or "evaluation",
        score=f"{label} ({value})" if label and value else label or value,
        explanation=text("gen_ai.evaluation.explanation"),
        error=text("error.type"),
        record=record,
    )


#: Labels that say good or bad, whatever the score. Spaces, hyphens and case do not matter.
_VERDICTS: Final = {
    **dict.fromkeys(
        ("thumbs_up", "up", "positive", "good", "pass", "passed", "correct", "like", "true", "yes"),
        1,
    ),
    **dict.fromkeys(
        ("thumbs_down", "down", "negative", "bad", "fail", "failed", "incorrect", "dislike"), -1
    ),
    **dict.fromkeys(("false", "no", "wrong"), -1),
}


def verdict(record: LogRecord) -> int | None:
    """Returns 1 for a good evaluation, -1 for a bad one, 0 for neither; None for other records.

    The label decides. Without one that is known, a score of 0 or below is bad, and up to 1 it is
    good from a half on. Of higher scores nobody knows the scale.
    """
    if record.name != EVALUATION:
        return None
    label = record.attributes.get("gen_ai.evaluation.score.label")
    if isinstance(label, str):
        known = _VERDICTS.get(label.strip().lower().replace(" ", "_").replace("-", "_"))
        if known is not None:
            return known
    score = record.attributes.get("gen_ai.evaluation.score.value")
    if isinstance(score, (int, float)) and score <= 1:
        return 1 if score >= 0.5 else -1  # noqa: PLR2004 - a half
    return 0
