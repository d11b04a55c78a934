"""A thread becomes attributes, and attributes become a thread.

| attribute                | form         | who groups by it                                       |
|--------------------------|--------------|--------------------------------------------------------|
| `thread.id`              | string       | this project's own name                                |
| `thread.tags`            | string array | the same                                               |
| `orq.thread_id`          | string       | Orq's ingest of OTLP spans                             |
| `orq.tags`               | JSON string  | the same                                               |
| `gen_ai.conversation.id` | string       | OpenTelemetry's GenAI conventions, most backends       |

All ids have the same value, since backends differ in which one they prefer. Without tags, the tag
attributes are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from orq_otel.scopes import Thread

#: A string here, although OpenTelemetry's registry has an integer of this name (the operating
#: system's thread): inside a scope ours replaces it.
THREAD_ID: Final = "thread.id"
THREAD_TAGS: Final = "thread.tags"
ORQ_THREAD_ID: Final = "orq.thread_id"
ORQ_TAGS: Final = "orq.tags"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
LABELS: Final = (THREAD_ID, THREAD_TAGS, ORQ_THREAD_ID, ORQ_TAGS, CONVERSATION_ID)


def labels(thread: Thread) -> Mapping[str, str | tuple[str, ...]]:
    """The attributes of a span or log record of `thread`. Not to be changed: they are shared."""
    return _labels(thread.id, thread.tags)


@lru_cache(maxsize=1024)
def _labels(id: str, tags: tuple[str, ...]) -> Mapping[str, str | tuple[str, ...]]:  # noqa: A002
    id, tags = _writable(id), tuple([_writable(tag) for tag in tags])  # noqa: A001
    attributes: dict[str, str | tuple[str, ...]] = {THREAD_ID: id, ORQ_THREAD_ID: id}
    if tags:
        attributes[THREAD_TAGS] = tags
        attributes[ORQ_TAGS] = json.dumps(tags, ensure_ascii=False)
    attributes[CONVERSATION_ID] = id
    return MappingProxyType(attributes)


def _writable(text: str) -> str:
    """Text that exporters can write: half of a surrogate pair has no UTF-8, and fails a batch."""
    return text.encode("utf-8", "replace").decode()


def missing_labels(thread: Thread, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of `thread`, without a conversation id if `attributes` have one already."""
    wanted = labels(thread)
    if CONVERSATION_ID not in attributes:
        return wanted
    return {key: value for key, value in wanted.items() if key != CONVERSATION_ID}


def stamp(span: Any, thread: Thread) -> None:
    """Set the labels of `thread` on a recording span, unless it has a thread of its own."""
    attributes = span.attributes
    if not attributes:
        span.set_attributes(labels(thread))
    elif not isinstance(attributes.get(THREAD_ID), str):
        span.set_attributes(missing_labels(thread, attributes))


def read_thread(attributes: Mapping[str, Any]) -> Thread | None:
    """The thread that a span's attributes name, or None. An integer `thread.id` is not ours."""
    id = attributes.get(THREAD_ID)  # noqa: A001
    if not isinstance(id, str):
        return None
    return Thread(id, tuple(attributes.get(THREAD_TAGS) or ()))
