"""Images and sounds that spans have kept: an address for each on this server, or a data URL."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from starlette.responses import Response

from orq_otel.viewer.conversation.parts import Media

#: What browsers show without running anything. SVG is not among them.
_IMAGES: Final = frozenset(
    {"image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp"}
)
_SOUNDS: Final = frozenset(
    {
        "audio/aac",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
    }
)
#: Vendors name formats without their group, or by older names.
_NAMES: Final = {
    "audio/mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp3": "audio/mpeg",
    "png": "image/png",
    "wav": "audio/wav",
    "webp": "image/webp",
}
_HEADERS: Final = {
    # Also for those who open it by itself.
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "private, max-age=3600",
}


def shown_as(media: Media) -> str | None:
    """Returns "image" or "audio" if a page can show it, or else None."""
    kind = _type(media)
    if media.content is None or kind is None:
        return None
    return "image" if kind in _IMAGES else "audio"


def data_url(media: Media) -> str | None:
    """Returns a file that stands in its own address, for pages that have no server."""
    content = _content(media)
    if content is None:
        return None
    return f"data:{_type(media)};base64,{base64.b64encode(content).decode()}"


def response(media: Media) -> Response | None:
    """Returns a file as an answer, or None if it cannot be shown."""
    content = _content(media)
    return None if content is None else Response(content, 200, _HEADERS, _type(media))


def _content(media: Media) -> bytes | None:
    if shown_as(media) is None or media.content is None:
        return None
    try:
        return base64.b64decode(media.content, validate=True)
    except (binascii.Error, ValueError):
        return None


def _type(media: Media) -> str | None:
    name = (media.mime_type or "").partition(";")[0].strip().lower()
    name = _NAMES.get(name, name)
    return name if name in _IMAGES or name in _SOUNDS else None
