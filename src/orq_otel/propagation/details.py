"""The user and the metadata of a thread in baggage, where a program names them for it.

    baggage: ...,orq.user_id=ada,orq.metadata=%7B%22plan%22%3A%22pro%22%7D

Metadata is JSON, which keeps numbers and truth values apart from texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from orq_otel.foundations.codes import LONG_BAGGAGE_DETAILS
from orq_otel.foundations.guard import warn_once
from orq_otel.threads.frames import Thread, plain_thread
from orq_otel.threads.inbound import accept, accept_metadata

USER_KEY: Final = "orq.user_id"
METADATA_KEY: Final = "orq.metadata"
DETAIL_KEYS: Final = (USER_KEY, METADATA_KEY)

#: W3C's limit for a member, in bytes.
_MAX_MEMBER: Final = 4096


class Carried(NamedTuple):
    """What is sent and accepted besides a thread's id and tags: the user, and keys of metadata."""

    user: bool = False
    metadata: frozenset[str] = frozenset()

    @classmethod
    def of(cls, user: bool, metadata: str | Iterable[str]) -> Carried:  # noqa: FBT001 - both named
        """Make it of what a program names: whether the user, and which keys.

        Raises:
            TypeError: A key is not a string.
        """
        keys = frozenset([metadata] if isinstance(metadata, str) else metadata)
        if not all(isinstance(key, str) for key in keys):
            raise TypeError("metadata= takes the keys of metadata that travel, which are strings.")
        return cls(bool(user), keys)


NOTHING: Final = Carried()


def detail_members(thread: Thread, carried: Carried) -> tuple[str, ...]:
    """The members of a baggage header for those details of a thread that are carried.

    Metadata that does not fit into one member is left out, the last keys first.
    """
    if thread.is_plain or carried == NOTHING:
        return ()
    sent = accept(thread)
    if sent is None:
        return ()
    members = []
    if carried.user and sent.user is not None:
        members.append(f"{USER_KEY}={quote(sent.user, safe='')}")
    chosen = [item for item in sent.metadata.items() if item[0] in carried.metadata]
    while chosen:
        text = json.dumps(dict(chosen), ensure_ascii=False, separators=(",", ":"))
        members.append(f"{METADATA_KEY}={quote(text, safe='')}")
        if len(members[-1]) <= _MAX_MEMBER:
            break
        members.pop()
        chosen.pop()
        _warn()
    if any(len(member) > _MAX_MEMBER for member in members):
        _warn()
    return tuple([member for member in members if len(member) <= _MAX_MEMBER])


def _warn() -> None:
    warn_once(
        LONG_BAGGAGE_DETAILS,
        "The user or the metadata of a thread is too long for baggage. Some is not sent. "
        "Logged once.",
    )


def with_named_details(thread: Thread, entries: Mapping[str, object], carried: Carried) -> Thread:
    """A thread that came in, with those details in its baggage that are carried."""
    if carried == NOTHING:
        return thread
    user = entries.get(USER_KEY) if carried.user else None
    found = _read_metadata(entries.get(METADATA_KEY), carried.metadata)
    if not user and not found:
        return thread
    accepted = accept({"id": thread.id, "tags": thread.tags, "user": user or None})
    user = None if accepted is None else accepted.user
    return plain_thread(thread.id, thread.tags, user, accept_metadata(found))


def may_pass(key: str, value: object, carried: Carried) -> bool:
    """Whether an entry of a thread that came in is passed on with it, to a listed host."""
    if key == METADATA_KEY:
        return _decoded(value).keys() <= carried.metadata
    return key != USER_KEY or carried.user


def _read_metadata(text: object, keys: frozenset[str]) -> dict[str, Any]:
    found = _decoded(text) if keys else {}
    return {key: value for key, value in found.items() if key in keys}


def _decoded(text: object) -> dict[str, Any]:
    try:
        decoded = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
