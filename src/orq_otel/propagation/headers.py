"""A thread in headers, as W3C baggage: https://www.w3.org/TR/baggage/.

    baggage: orq.thread_id=support-42,gen_ai.conversation.id=support-42,orq.tags=%5B%22vip%22%5D

The keys are the names of attributes that backends group by, so that the baggage processors which
OpenTelemetry has for other languages label spans as we do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.codes import LONG_BAGGAGE_HEADER, LONG_BAGGAGE_ID, LONG_BAGGAGE_TAGS
from orq_otel.foundations.guard import report, warn_once
from orq_otel.labels.attributes import (
    CONVERSATION_ID,
    ORQ_TAGS,
    ORQ_THREAD_ID,
    THREAD_ID,
    THREAD_TAGS,
    labels,
)
from orq_otel.threads.frames import Thread, current_thread
from orq_otel.threads.inbound import accept
from orq_otel.threads.scope import Scope
from orq_otel.threads.scope import thread as scope

NAME: Final = "baggage"

#: W3C's limits, in bytes.
MAX_HEADER: Final = 8192
MAX_MEMBER: Final = 4096
MAX_MEMBERS: Final = 180

#: Keys that name a thread, the first one that there is wins; and all that tell of one.
_IDS: Final = (ORQ_THREAD_ID, THREAD_ID, CONVERSATION_ID)
KEYS: Final = (*_IDS, ORQ_TAGS, THREAD_TAGS)

#: Between the members that `thread_headers` writes. Propagators write none of the space, so that
#: one can tell what the caller wrote on purpose from what was left by an earlier request.
BY_HAND: Final = ", "


def thread_headers(thread: Thread | None = None) -> dict[str, str]:
    """Headers that take a thread along, for queues and for protocols without instrumentation.

        queue.send(message, headers=thread_headers())

    They go wherever you send them, whatever `propagate_threads` says.

    Args:
        thread: By default the current one.

    Returns:
        {"baggage": ...}, printable ASCII of 8192 bytes at most, or {} where there is no thread, or
        one whose id cannot travel: see `inbound.accept`.
    """
    given = current_thread() if thread is None else accept(thread)
    ids, tags = ((), ()) if given is None else members(given)
    return {NAME: BY_HAND.join((*ids, *tags))} if ids else {}


def thread_from_headers(headers: Any) -> Scope | nullcontext[None]:
    """A scope of the thread that headers have brought, to be entered with `with` or `async with`.

        with thread_from_headers(message.headers) as t:
            work(message)

    It yields the `Thread`, or None where the headers bring none that can be used; then nothing
    changes. It never raises.

    Args:
        headers: A mapping or pairs, with names and values as text or bytes, names in any case, and
            values by themselves or in lists. None for no headers.
    """
    try:
        found = named_thread(_read(header(headers)))
    except Exception as error:  # noqa: BLE001 - the headers may be anybody's
        report("reading a thread from headers", error)
        found = None
    return nullcontext() if found is None else scope(found)


def members(thread: Thread) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The members of a baggage header for the ids and for the tags of `thread`.

    There are none where the id cannot travel, and only those tags that fit in.
    """
    try:
        return _members(thread, THREAD_ID in labels(thread))
    except Uncached as uncached:
        return uncached.value  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def _members(given: Thread, with_thread_id: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: FBT001 - for the cache
    nothing: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    thread = accept(given)
    if thread is None:
        return keep(nothing, given.id, *given.tags)
    id = quote(thread.id, safe="")  # noqa: A001
    keys = [key for key in _IDS if with_thread_id or key != THREAD_ID]
    ids = tuple(f"{key}={id}" for key in keys)
    left = MAX_HEADER - len(BY_HAND.join(ids))
    if left < 0 or len(max(ids, key=len)) > MAX_MEMBER:
        warn_once(
            LONG_BAGGAGE_ID, "A thread id is too long for baggage. It does not travel. Logged once."
        )
        return keep(nothing, given.id, *given.tags)
    tags = _tags(thread.tags, min(MAX_MEMBER, left - len(BY_HAND)))
    return keep((ids, tags), given.id, *given.tags)


def _tags(tags: tuple[str, ...], longest: int) -> tuple[str, ...]:
    """The member for as many tags as fit in."""
    for count in range(len(tags), 0, -1):
        text = json.dumps(tags[:count], ensure_ascii=False)
        member = f"{ORQ_TAGS}={quote(text, safe='')}"
        if len(member) <= longest:
            return (member,)
        warn_once(
            LONG_BAGGAGE_TAGS,
            "The tags of a thread are too long for baggage. Some do not travel. Logged once.",
        )
    return ()


def named_thread(entries: Mapping[str, object]) -> Thread | None:
    """The thread that entries of baggage name, ours or another tool's, or None."""
    id = next((entries[key] for key in _IDS if entries.get(key)), None)  # noqa: A001
    if id is None:
        return None
    tags = entries.get(ORQ_TAGS)
    if isinstance(id, str) and (tags is None or isinstance(tags, str)):
        try:
            return _accepted(id, tags)
        except Uncached as uncached:
            return uncached.value  # type: ignore[no-any-return]
    return accept(id, tags or ())


@lru_cache(maxsize=512)
def _accepted(id: str, tags: str | None) -> Thread | None:  # noqa: A002
    try:
        given = json.loads(tags) if tags else ()
    except (ValueError, RecursionError):
        given = tags  # which is no list
    return keep(accept(id, given), id, tags or "")


def header(headers: Any) -> str:
    """The text of the baggage header, or of all of them as one."""
    if headers is None:
        return ""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return ",".join(
        text for name, value in pairs if _text(name).lower() == NAME for text in _texts(value)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        yield _text(value)
    else:
        yield from map(_text, value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _read(text: str) -> dict[str, str]:
    if len(text) > MAX_HEADER:
        warn_once(
            LONG_BAGGAGE_HEADER,
            f"A baggage header is longer than {MAX_HEADER} bytes. It is not read. Logged once.",
        )
        return {}
    entries = {}
    for member in text.split(",", MAX_MEMBERS)[:MAX_MEMBERS]:
        key, _, value = member.partition(";")[0].partition("=")
        if key.strip() in KEYS:
            entries[key.strip()] = unquote_plus(value.strip())
    return entries
