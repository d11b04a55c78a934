"""What an answer or an event tells of an error. Pure functions."""

from __future__ import annotations

from typing import Any

from orq_otel.genai.errors import UNNAMED
from orq_otel.genai.fields import get, identifier


def error_type(error: Any) -> str:
    """The value of `error.type` for an error that an answer or an event tells of: its code.

    Where that is not one, its type.
    """
    return identifier(get(error, "code"), get(error, "type")) or UNNAMED
