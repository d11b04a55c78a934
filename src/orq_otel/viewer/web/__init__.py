"""What a browser and other programs ask for: the pages and the API.

Modules that the page of threads does not need are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orq_otel.viewer.later import later

if TYPE_CHECKING:
    from orq_otel.viewer.web import conversation_html, media, neighbours, numbers_page, thread_page

__all__ = ["conversation_html", "media", "neighbours", "numbers_page", "thread_page"]

__getattr__ = later(__name__, __all__)
