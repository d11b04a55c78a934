"""A thread from outside the process, made safe: from a header, a cookie, baggage or a message.

Whoever sends a request writes these, so nothing in them may raise, or leave the host with an
endless label. What is refused is logged once for each reason, and never shown: a sender must not be
able to fill the log.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final
from uuid import UUID

from orq_otel.foundations.codes import BAD_INBOUND_ID, BAD_INBOUND_TAGS
from orq_otel.foundations.guard import report, warn_once
from orq_otel.threads.frames import Thread, as_id, make_thread

#: Of an id and of a tag in characters, and of the tags in number.
MAX_ID: Final = 1_000
MAX_TAG: Final = 200
MAX_TAGS: Final = 64

#: Control characters and line ends, which break lines of logs and of protocols, and what Python
#: makes of bytes that are no UTF-8, which would make one thread of many ids.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")


def accept(id: object, tags: object = ()) -> Thread | None:  # noqa: A002 - Orq's name for it
    """The thread that an id and tags from outside make, or None. It never raises.

    Args:
        id: The id as text, as bytes in UTF-8, or as an int or a UUID; a `Thread`; or a mapping of
            the form {"id": ..., "tags": [...]}. Spaces around an id are not part of it. None is no
            thread. An id is refused if it is empty, has control characters, or is longer than
            `MAX_ID` characters.
        tags: Any iterable of texts, or of bytes in UTF-8. They come after those of `id`. Those that
            cannot be used are left out, of more than `MAX_TAGS` the last ones.
    """
    if id is None:
        return None
    try:
        if isinstance(id, Thread):
            return _accepted(id.id, id.tags, tags)
        if isinstance(id, Mapping):
            return _accepted(id.get("id"), id.get("tags") or (), tags)
        return _accepted(id, tags)
    except Exception as error:  # noqa: BLE001 - the objects may be anybody's
        report("reading a thread from outside", error)
        return None


def _accepted(id: object, *given: Any) -> Thread | None:  # noqa: A002
    text = _text(as_id(id) if isinstance(id, (int, UUID)) else id, MAX_ID)
    if text is None:
        warn_once(
            BAD_INBOUND_ID,
            f"A thread id from or for outside is no text in UTF-8, empty, longer than {MAX_ID} "
            "characters, or has control characters. Such ids are not used. Logged once.",
        )
        return None
    tags = dict.fromkeys(tag for some in given for tag in _usable(some))
    return make_thread(text, tuple(tags)[:MAX_TAGS], None)


def _usable(tags: Any) -> list[str]:
    if isinstance(tags, (str, bytes, Mapping)) or not isinstance(tags, Iterable):
        warn_once(
            BAD_INBOUND_TAGS,
            "Tags from outside are no list of texts. Such tags are not used. Logged once.",
        )
        return []
    texts = [_text(tag, MAX_TAG) for tag in islice(tags, MAX_TAGS + 1)]
    usable = [text for text in texts[:MAX_TAGS] if text is not None]
    if len(usable) < len(texts):
        warn_once(
            BAD_INBOUND_TAGS,
            f"A thread from or for outside has more than {MAX_TAGS} tags, or tags that are no text "
            f"in UTF-8, empty, longer than {MAX_TAG} characters, or have control characters. They "
            "are left out. Logged once.",
        )
    return usable


def _text(given: object, longest: int) -> str | None:
    """Text that may become an attribute, or None."""
    if isinstance(given, bytes):
        if len(given) > 4 * longest:  # no character has more bytes in UTF-8
            return None
        given = given.decode("utf-8", "surrogateescape")
    if not isinstance(given, str):
        return None
    text = str.__str__(given).strip()
    return text if 0 < len(text) <= longest and not _UNSAFE.search(text) else None
