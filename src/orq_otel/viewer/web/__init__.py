"""What a browser and other programs ask for: the pages and the API.

Modules that the page of threads does not need are imported when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orq_otel.viewer.web import conversation_html, media, neighbours, numbers_page, thread_page

__all__ = ["conversation_html", "media", "neighbours", "numbers_page", "thread_page"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
