"""Write a thread into headers and read it back, as W3C baggage: https://www.w3.org/TR/baggage/.

    baggage: orq.thread_id=support-42,gen_ai.conversation.id=support-42,orq.tags=%5B%22vip%22%5D

The keys are the names of attributes that backends group by. So OpenTelemetry's baggage processors,
which exist for other languages, label spans with the same attributes as this package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus

from orq_otel.foundations import codes
from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.guard import report, warn_once
from orq_otel.labels.attributes import (
    CONVERSATION_ID,
    ORQ_TAGS,
    ORQ_THREAD_ID,
    THREAD_ID,
    THREAD_TAGS,
    labels,
)
from orq_otel.propagation.details import (
    DETAIL_KEYS,
    NOTHING,
    Carried,
    detail_members,
    with_named_details,
)
from orq_otel.threads.frames import Thread, current_thread
from orq_otel.threads.inbound import accept
from orq_otel.threads.misuse import code_location
from orq_otel.threads.scope import Scope
from orq_otel.threads.scope import thread as scope

NAME: Final = "baggage"

#: W3C's limits, in bytes.
MAX_HEADER: Final = 8192
MAX_MEMBER: Final = 4096
MAX_MEMBERS: Final = 180

#: The keys of a thread's id, of which the first that is present wins; and all keys of a thread.
_IDS: Final = (ORQ_THREAD_ID, THREAD_ID, CONVERSATION_ID)
KEYS: Final = (*_IDS, ORQ_TAGS, THREAD_TAGS, *DETAIL_KEYS)

#: The separator of the members that `thread_headers` writes. Propagators write no space. That shows
#: whether the caller wrote a header on purpose, or an earlier request left it.
BY_HAND: Final = ", "

_BYTES: Final = (bytes, bytearray, memoryview)

#: A value in which "+" may stand for a space, as OpenTelemetry for Python writes it, which leaves
#: no other character unencoded. By the standard it stands for itself.
_WITH_SPACES: Final = re.compile(r"[\w.~%-]+(\+[\w.~%-]+)*", re.ASCII)


def thread_headers(
    thread: Thread | None = None, *, user: bool = False, metadata: str | Iterable[str] = ()
) -> dict[str, str]:
    """Headers that carry a thread, for queues and for protocols without instrumentation.

        queue.send(message, headers=thread_headers())

    You decide where to send them: the hosts of `propagate_threads` do not matter here.

    Args:
        thread: The thread to send, by default the current one.
        user: Whether its user is sent.
        metadata: The keys of its metadata that are sent.

    Returns:
        {"baggage": ...}, with a value of at most 8192 bytes of printable ASCII. {} if there is no
        thread, or if its id cannot be sent: `inbound.accept` describes such ids.
    """
    sent = current_thread() if thread is None else accept(thread)
    ids, tags = ((), ()) if sent is None else members(sent)
    if sent is None or not ids:
        return {}
    details = detail_members(sent, Carried.of(user, metadata))
    while details and len(BY_HAND.join((*ids, *tags, *details))) > MAX_HEADER:
        details = details[:-1]
        warn_once(
            codes.LONG_BAGGAGE_DETAILS,
            "The metadata of a thread does not fit into baggage. It is not sent. Logged once.",
        )
    return {NAME: BY_HAND.join((*ids, *tags, *details))}


def thread_from_headers(
    headers: Any, *, user: bool = False, metadata: str | Iterable[str] = ()
) -> Scope | nullcontext[None]:
    """A scope of the thread that came in headers. Enter it with `with` or `async with`.

        with thread_from_headers(message.headers) as t:
            work(message)

    It yields the `Thread`. If the headers have no usable one, it yields None and the code stays in
    the thread that it was in. It never raises.

    Args:
        headers: A mapping or an iterable of pairs, or None. Names and values are strings or bytes.
            Names may be in any case, and a value may be a list of values, or a mapping as SQS and
            SNS have it: `{"StringValue": ..., "DataType": "String"}`.
        user: Whether the user that came along is used.
        metadata: The keys of metadata that are used.
    """
    try:
        found = named_thread(_read(header(headers)), Carried.of(user, metadata))
    except Exception as error:  # noqa: BLE001 - they may be of any class
        if isinstance(headers, (str, *_BYTES)) or not isinstance(headers, Iterable):
            warn_once(
                codes.BAD_INBOUND_ID,
                f"thread_from_headers() takes a mapping or pairs, not {type(headers).__name__}. "
                "The code runs in the surrounding thread if there is one.",
                code_location(),
            )
        else:
            report("reading a thread from headers", error)
        found = None
    return nullcontext() if found is None else scope(found)


def members(thread: Thread) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The members of a baggage header: those for the id of `thread`, and those for its tags.

    Both are empty if the id cannot be sent. Tags that do not fit in are left out.
    """
    try:
        return _members(thread, THREAD_ID in labels(thread))
    except Uncached as uncached:
        return uncached.value  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def _members(original: Thread, with_thread_id: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: FBT001 - for the cache
    nothing: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    thread = accept(original)
    if thread is None:
        return keep(nothing, original.id, *original.tags)
    id = quote(thread.id, safe="")  # noqa: A001
    keys = [key for key in _IDS if with_thread_id or key != THREAD_ID]
    ids = tuple(f"{key}={id}" for key in keys)
    left = MAX_HEADER - len(BY_HAND.join(ids))
    if left < 0 or len(max(ids, key=len)) > MAX_MEMBER:
        warn_once(
            codes.LONG_BAGGAGE_ID,
            "A thread id is too long for baggage. It is not sent. Logged once.",
        )
        return keep(nothing, original.id, *original.tags)
    tags = _tags(thread.tags, min(MAX_MEMBER, left - len(BY_HAND)))
    return keep((ids, tags), original.id, *original.tags)


def _tags(tags: tuple[str, ...], max_length: int) -> tuple[str, ...]:
    """The member for as many tags as fit in, or nothing if none does."""
    for count in range(len(tags), 0, -1):
        text = json.dumps(tags[:count], ensure_ascii=False)
        member = f"{ORQ_TAGS}={quote(text, safe='')}"
        if len(member) <= max_length:
            return (member,)
        warn_once(
            codes.LONG_BAGGAGE_TAGS,
            "The tags of a thread are too long for baggage. Some are not sent. Logged once.",
        )
    return ()


def named_thread(entries: Mapping[str, object], carried: Carried = NOTHING) -> Thread | None:
    """The thread that baggage entries of this package or of other tools name, or None.

    Of its user and its metadata it has what is `carried`.
    """
    thread = _named_thread(entries)
    return None if thread is None else with_named_details(thread, entries, carried)


def _named_thread(entries: Mapping[str, object]) -> Thread | None:
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
        decoded = json.loads(tags) if tags else ()
    except (ValueError, RecursionError):
        decoded = tags  # a string, which `accept` refuses
    return keep(accept(id, decoded), id, tags or "")


def header(headers: Any) -> str:
    """The text of the baggage header. Several such headers are joined by commas."""
    if headers is None:
        return ""
    # The mapping of `websockets` raises an error for a header that is there twice, and what
    # `http.server` has is no mapping. Both have this.
    raw_items = getattr(headers, "raw_items", None)
    if raw_items is not None:
        pairs = raw_items()
    else:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
    return ",".join(
        text for name, value in pairs if _text(name).lower() == NAME for text in _texts(value)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, (str, *_BYTES)) or not isinstance(value, Iterable):
        yield _text(value)
    else:
        yield from map(_text, value.values() if isinstance(value, Mapping) else value)


def _text(value: Any) -> str:
    if isinstance(value, _BYTES):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _read(text: str) -> dict[str, str]:
    if is_too_long(text):
        return {}
    entries = {}
    for member in text.split(",", MAX_MEMBERS)[:MAX_MEMBERS]:
        key, _, value = member.partition(";")[0].partition("=")
        if key.strip() in KEYS:
            value = value.strip()
            decode = unquote_plus if _WITH_SPACES.fullmatch(value) else unquote
            entries[key.strip()] = decode(value)
    return entries


def is_too_long(text: str) -> bool:
    """Whether a baggage header is too long to be read. Logs it then."""
    if len(text) <= MAX_HEADER:
        return False
    warn_once(
        codes.LONG_BAGGAGE_HEADER,
        f"A baggage header is longer than {MAX_HEADER} bytes. It is not read. Logged once.",
    )
    return True


def members_in(text: str, *, of_threads: bool) -> str:
    """Those members of a baggage header that are of a thread, or all others."""
    return ",".join(
        member
        for member in text.split(",")
        if (member.partition("=")[0].strip() in KEYS) is of_threads
    )


def readable(text: str) -> str:
    """A baggage header in which OpenTelemetry for Python reads the members of a thread rightly.

    It takes every "+" for a space, and properties for part of the value. All other members are left
    to it as they are.
    """
    if "+" not in text and ";" not in text:
        return text
    members = []
    for member in text.split(","):
        key, _, value = member.partition("=")
        if key.strip() in KEYS:
            value = value.partition(";")[0].strip()
            if not _WITH_SPACES.fullmatch(value):
                value = value.replace("+", "%2B")
            member = f"{key}={value}"  # noqa: PLW2901 - what becomes of it
        members.append(member)
    return ",".join(members)
