"""What users and evaluators think of an answer: feedback on a trace, annotations of a span."""

from __future__ import annotations

from .answers import Answer, Asked, Refused


def create(asked: Asked) -> Answer:
    """Take feedback on a trace, and repeat it."""
    asked.need("property", str)
    asked.need("value")
    asked.need("trace_id", str)
    return Answer({"id": asked.ids.ulid(), **asked.body})


def annotate(asked: Asked) -> Answer:
    """Take annotations of a span, each with a key."""
    for name in ("trace_id", "span_id"):
        asked.known(name)
    for annotation in asked.need("annotations", list):
        if not isinstance(annotation.get("key"), str) or annotation.get("value") is None:
            raise Refused(422, "An annotation has a key and a value.")
    return Answer({})
