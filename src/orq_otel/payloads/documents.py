"""Documents that a search found, as parts of text with an id and a score. Pure functions.

A part of type "text", so that whatever looks at parts of text before they leave the program sees
documents too.
"""

from __future__ import annotations

import math
from typing import Any

from orq_otel.genai.fields import is_whole
from orq_otel.genai.messages import Content, Part, clean, text, without_binary
from orq_otel.genai.semconv import RETRIEVAL_DOCUMENTS


def document_part(
    content: Any,
    id: Any = None,  # noqa: A002 - what the conventions call it
    score: Any = None,
    **more: Any,
) -> Part:
    """A document as a part of text. Values that are missing or of a wrong type are left out."""
    part: Part = text(content if isinstance(content, str) else "")
    if isinstance(id, str):
        part["id"] = clean(id)
    if (type(score) is float and math.isfinite(score)) or is_whole(score):
        part["score"] = score
    for name, value in more.items():
        cleaned = without_binary(value)
        if cleaned:
            part[name] = cleaned
    return part


def documents_content(documents: list[Part]) -> Content:
    """Documents, if there are any."""
    return {RETRIEVAL_DOCUMENTS: documents} if documents else {}
