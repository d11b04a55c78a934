"""What the spans of a thread say together: a conversation, and what it cost.

Modules that whoever stores spans does not need are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orq_otel.viewer.later import later

if TYPE_CHECKING:
    from orq_otel.viewer.conversation import exchanges, facts, media, reading, texts

__all__ = ["exchanges", "facts", "media", "reading", "texts"]

__getattr__ = later(__name__, __all__)
