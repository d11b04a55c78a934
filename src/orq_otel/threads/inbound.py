"""Check a thread that came from outside the process: in a header, a cookie, baggage or a message.

The sender of a request controls these values. So no value may raise an error or become a label of
unlimited length. A refused value is logged once for each reason, without the value itself: a sender
must not be able to fill the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from orq_otel.foundations.codes import BAD_INBOUND_DETAILS, BAD_INBOUND_ID, BAD_INBOUND_TAGS
from orq_otel.foundations.guard import report, warn_once
from orq_otel.threads.details import (
    MAX_KEY,
    MAX_KEYS,
    MAX_VALUE,
    NO_METADATA,
    Metadata,
    as_text,
    plain,
    usable_metadata,
)
from orq_otel.threads.frames import Thread, make_thread

#: The length of an id and of a tag, in characters, and the number of tags.
MAX_ID: Final = 1_000
MAX_TAG: Final = 200
MAX_TAGS: Final = 64

#: Control characters and line ends, which break the lines of logs and protocols; and the characters
#: that Python puts in the place of bytes that are not UTF-8, which would merge different ids.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]")


def accept(id: object, tags: object = ()) -> Thread | None:  # noqa: A002 - Orq's name for it
    """Make a thread from an id and tags that came from outside. Never raises.

    Args:
        id: The id as a string, as UTF-8 bytes, or as an int or a UUID; a `Thread`; or a mapping as
            `Thread.to_dict` returns it, whose user and metadata are accepted too. Spaces around the
            id are removed. None stands for no thread. An id is refused if it is empty, contains
            control characters, or is longer than `MAX_ID` characters.
        tags: Any iterable of strings or UTF-8 bytes. They come after the tags of `id`. Tags that
            cannot be used are left out, and so are those after the first `MAX_TAGS`.

    Returns:
        The thread, or None if there is no usable id.
    """
    if id is None:
        return None
    try:
        if isinstance(id, Thread):
            id = id.to_dict()  # noqa: A001
        if isinstance(id, Mapping):
            details = id.get("user"), id.get("metadata")
            return _accepted(id.get("id"), (id.get("tags") or (), tags), *details)
        return _accepted(id, (tags,))
    except Exception as error:  # noqa: BLE001 - they may be of any class
        report("reading a thread from outside", error)
        return None


def _accepted(
    id: object,  # noqa: A002
    tag_lists: tuple[Any, ...],
    user: object = None,
    metadata: object = None,
) -> Thread | None:
    text = _id(id)
    if text is None:
        warn_once(
            BAD_INBOUND_ID,
            f"A thread id that came in or is to be sent is empty, longer than {MAX_ID} characters, "
            "not valid UTF-8, or contains control characters. Such ids are not used. Logged once.",
        )
        return None
    tags = dict.fromkeys(tag for tag_list in tag_lists for tag in _usable_tags(tag_list))
    user = None if user is None else _usable_user(user)
    details = NO_METADATA if metadata is None else accept_metadata(metadata)
    return make_thread(text, tuple(tags)[:MAX_TAGS], None, user, details)


def _usable_user(user: object) -> str | None:
    text = _id(user)
    if text is None:
        _warn_of_details()
    return text


def accept_metadata(metadata: object) -> Metadata:
    """The part of metadata from outside that can be used.

    Keys are texts of at most `MAX_KEY` characters, and values texts of at most `MAX_VALUE`, both
    without control characters. Numbers and truth values are as anywhere.
    """
    safe: object = metadata
    if isinstance(metadata, Mapping):
        pairs = [(_text(key, MAX_KEY), value) for key, value in islice(metadata.items(), MAX_KEYS)]
        safe = {
            key: _text(value, MAX_VALUE) if isinstance(value, (str, bytes)) else value
            for key, value in pairs
            if key is not None
        }
    found, wrong = usable_metadata(safe)
    if wrong is not None or not isinstance(metadata, Mapping) or len(found) < len(metadata):
        _warn_of_details()
    return found


def _warn_of_details() -> None:
    warn_once(
        BAD_INBOUND_DETAILS,
        "A thread that came in or is to be sent has a user or metadata that are too long, of a "
        "wrong type, not valid UTF-8, or contain control characters. They are left out. Logged "
        "once.",
    )


def _usable_tags(tags: Any) -> list[str]:
    if isinstance(tags, (str, bytes, Mapping)) or not isinstance(tags, Iterable):
        warn_once(
            BAD_INBOUND_TAGS,
            "Tags that came in are not a list of strings. They are not used. Logged once.",
        )
        return []
    texts = [_text(tag, MAX_TAG) for tag in islice(tags, MAX_TAGS + 1)]
    usable = [text for text in texts[:MAX_TAGS] if text is not None]
    if len(usable) < len(texts):
        warn_once(
            BAD_INBOUND_TAGS,
            f"A thread that came in or is to be sent has more than {MAX_TAGS} tags, or tags that "
            f"are empty, longer than {MAX_TAG} characters, not valid UTF-8, or contain control "
            "characters. They are left out. Logged once.",
        )
    return usable


def _id(value: object) -> str | None:
    return _text(value if isinstance(value, bytes) else as_text(value), MAX_ID)


def _text(value: object, max_length: int) -> str | None:
    """The value as text that may become an attribute, or None if it cannot."""
    if isinstance(value, bytes):
        if len(value) > 4 * max_length:  # a character has at most four bytes in UTF-8
            return None
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return None
    text = plain(value).strip()
    return text if 0 < len(text) <= max_length and not _UNSAFE.search(text) else None
