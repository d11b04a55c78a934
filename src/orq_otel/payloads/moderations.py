"""Read moderations and decisions: what a model makes of an input. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orq_otel.genai.call import Attributes
from orq_otel.genai.fields import fields, pick
from orq_otel.genai.semconv import RESPONSE_ID, RESPONSE_MODEL
from orq_otel.payloads.usage import read_response_usage

_HEAD = (("id", RESPONSE_ID), ("model", RESPONSE_MODEL))


def read_request(_: Mapping[str, Any]) -> Attributes:
    """Attributes of the body of `POST /moderations` and `/decisions`: all else is content."""
    return {}


def read_response(response: Any) -> Attributes:
    """Attributes of a moderation, which is not counted, or of a decision, which has no id."""
    given = fields(response)
    attributes = pick(given, _HEAD)
    usage = given.get("usage")
    if usage is not None:
        read_response_usage(usage, attributes)
    return attributes
