"""Checks whether a model made a file: their content. Pure functions.

The request is a file, which is not in its body and is not content.
"""

from __future__ import annotations

from typing import Any

from orq_otel.genai.fields import get
from orq_otel.genai.messages import Content
from orq_otel.payloads.parts import answered, items, unknown_part


def response_content(response: Any) -> Content:
    """The results, one for each kind of mark: one message, with a part for each."""
    return answered([unknown_part(one) for one in items(get(response, "results"))])
