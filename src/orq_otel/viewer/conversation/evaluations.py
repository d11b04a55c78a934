"""Reads evaluations and feedback from log records, as the GenAI conventions have them.

https://github.com/open-telemetry/semantic-conventions-genai, event `gen_ai.evaluation.result`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orq_otel.viewer.formats import as_text
from orq_otel.viewer.model import LogRecord

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
