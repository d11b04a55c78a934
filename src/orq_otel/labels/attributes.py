"""A thread becomes attributes, and attributes become a thread.

| attribute                | form         | who groups by it                                       |
|--------------------------|--------------|--------------------------------------------------------|
| `thread.id`              | string       | this project's own name                                |
| `thread.tags`            | string array | the same                                               |
| `orq.thread_id`          | string       | Orq's ingest of OTLP spans                             |
| `orq.tags`               | JSON string  | the same                                               |
| `gen_ai.conversation.id` | string       | OpenTelemetry's GenAI conventions, most backends       |

All ids have the same value, since backends differ in which one they prefer. Without tags, the tag
attributes are left out. `use_labels()` adds those of further backends.

The order of labels is that in which they may go where a limit leaves too little room: tags first,
`thread.id` last. It is the SDK's order, too, which drops the oldest attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.codes import BAD_LABELS
from orq_otel.foundations.guard import report, warn_once
from orq_otel.foundations.process import process
from orq_otel.foundations.reaches import pinned, put, read, restore
from orq_otel.foundations.settings import LABELS, Settings
from orq_otel.labels.presets import Choice, Chosen, Encoder, Value, choose
from orq_otel.threads.frames import Thread, plain_thread

#: A string here, although OpenTelemetry's registry has an integer of this name (the operating
#: system's thread): inside a scope ours replaces it.
THREAD_ID: Final = "thread.id"
THREAD_TAGS: Final = "thread.tags"
ORQ_THREAD_ID: Final = "orq.thread_id"
ORQ_TAGS: Final = "orq.tags"
CONVERSATION_ID: Final = "gen_ai.conversation.id"


class LabelsInForce:
    """What labels consist of, for the whole process.

    Attributes:
        chosen: What is added to the labels above.
        with_thread_id: Whether `thread.id` is among them.
        is_set_in_code: Whether the program has set them, which the environment cannot change.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set the labels above, and no others."""
        self.chosen: Chosen = choose(())
        self.with_thread_id = True
        self.is_set_in_code = False
        _labels.cache_clear()

    def set(self, chosen: Chosen, *, with_thread_id: bool, in_code: bool) -> None:
        """Set them, unless the program has set others and this is not the program."""
        if self.is_set_in_code and not in_code:
            return
        self.is_set_in_code = in_code
        if (chosen, with_thread_id) != (self.chosen, self.with_thread_id):
            self.chosen, self.with_thread_id = chosen, with_thread_id
            _labels.cache_clear()


def use_labels(choices: str | Iterable[Choice] = (), *, thread_id: bool = True) -> None:
    """Set what labels consist of, for the whole process, from the next span on.

        use_labels(["langfuse", {"app.conversation": "id", "app.tags": "tags_joined"}])

    It replaces what was set before, and what `ORQ_OTEL_LABELS` and `ORQ_OTEL_THREAD_ID` say.

    Args:
        choices: What is added: names of backends and mappings, as `presets.choose` takes them.
        thread_id: Whether `thread.id` is among them. Without it a backend that has mapped that
            attribute as a number, for the operating system's threads, takes the spans.

    Raises:
        ValueError, TypeError: As `presets.choose`.
    """
    _in_force.set(choose(choices), with_thread_id=thread_id, in_code=True)


def follow(settings: Settings) -> None:
    """Set what labels consist of as the environment says, unless the program has set it.

    What is no backend and no attribute with its encoder is left out, and logged once.
    """
    choices: list[Choice] = []
    for item in settings.labels:
        name, is_own, encoder = item.partition("=")
        choice: Choice = {name: encoder} if is_own else name
        try:
            choose(choice)
        except ValueError as error:
            warn_once(BAD_LABELS, f"{LABELS}: {error}")
        else:
            choices.append(choice)
    _in_force.set(choose(choices), with_thread_id=settings.thread_id, in_code=False)


def labels(thread: Thread) -> Mapping[str, Value]:
    """The attributes of a span or log record of `thread`, the most important one last.

    Not to be changed: they are shared.
    """
    try:
        return _labels(thread.id, thread.tags)
    except Uncached as past:
        return past.value  # type: ignore[no-any-return]


def as_argument(thread: Thread) -> dict[str, Any]:
    """A thread as requests to Orq have it: `{"id": "...", "tags": ["..."]}`, tags if there are any.

    In the same text as the labels, so that Orq's spans and ours meet, and requests can be written.
    """
    told: Mapping[str, Any] = labels(thread)
    argument: dict[str, Any] = {"id": told[ORQ_THREAD_ID]}
    if thread.tags:
        argument["tags"] = list(told[THREAD_TAGS])
    return argument


def label_names() -> tuple[str, ...]:
    """The names of all labels that there may be."""
    own = (THREAD_ID, THREAD_TAGS, ORQ_THREAD_ID, ORQ_TAGS, CONVERSATION_ID)
    return (*own, *_in_force.chosen.attributes)


@lru_cache(maxsize=1024)
def _labels(id: str, tags: tuple[str, ...]) -> Mapping[str, Value]:  # noqa: A002
    id, tags = _writable(id), tuple([_writable(tag) for tag in tags])  # noqa: A001
    thread = plain_thread(id, tags)
    encoded = {
        name: _encoded(name, encoder, thread)
        for name, encoder in _in_force.chosen.attributes.items()
    }
    chosen = {name: value for name, value in encoded.items() if value is not None}
    attributes: dict[str, Value] = {}
    if tags:
        attributes[ORQ_TAGS] = json.dumps(tags, ensure_ascii=False)
        attributes[THREAD_TAGS] = tags
    attributes.update(sorted(chosen.items(), key=lambda item: item[1] == id))
    attributes.update({CONVERSATION_ID: id, ORQ_THREAD_ID: id})
    if _in_force.with_thread_id:
        attributes[THREAD_ID] = id
    return keep({**attributes, **chosen}, id, *tags)


_in_force: Final = process.keep(LabelsInForce())


def _encoded(name: str, encoder: Encoder, thread: Thread) -> Value | None:
    try:
        return _checked(encoder(thread))
    except Exception as error:  # noqa: BLE001 - an encoder may be the user's
        report(f"encoding the attribute {name} of a thread", error)
        return None


def _checked(value: Any) -> Value | None:
    """A value that needs no check any more."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _writable(value)
    return tuple([_writable(one) for one in value])


def _writable(text: str) -> str:
    """Text that exporters can write: half of a surrogate pair has no UTF-8, and fails a batch."""
    return text.encode("utf-8", "replace").decode()


def missing_labels(thread: Thread, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of `thread`, without those that others set for reasons of their own."""
    wanted = labels(thread)
    present = {
        name for name in (CONVERSATION_ID, *_in_force.chosen.attributes) if name in attributes
    }
    if not present:
        return wanted
    return {name: value for name, value in wanted.items() if name not in present}


def stamp(span: Any, thread: Thread) -> None:
    """Set the labels of `thread` on a recording span, unless it has a thread of its own.

    They are pinned: whatever is written afterwards, they are there when the span has ended.
    """
    attributes = read(span)
    told: Mapping[str, Any] = {}
    if not attributes:
        told = labels(thread)
    elif pinned(span) is not None:
        return
    elif not has_thread(attributes):
        told = missing_labels(thread, attributes)
    on_roots = _in_force.chosen.on_roots
    if on_roots and (span.parent is None or span.parent.is_remote):
        told = {**on_roots, **told}
    if told:
        put(span, told, pinned=True)


def complete(span: Any) -> None:
    """Have the labels that were pinned on a span that has ended, whatever was written since.

    Another value that one of them was given stays, but for an integer `thread.id`.
    """
    told = pinned(span)
    if not told:
        return
    now = read(span)
    names = {*label_names(), *_in_force.chosen.on_roots}
    wanted = {name: now.get(name, value) for name, value in told.items() if name in names}
    if not isinstance(wanted.get(THREAD_ID), str) and THREAD_ID in told:
        wanted[THREAD_ID] = told[THREAD_ID]
    restore(span, wanted)


def has_thread(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes name a thread already. An integer `thread.id` is not ours."""
    return ORQ_THREAD_ID in attributes or isinstance(attributes.get(THREAD_ID), str)


def thread_of(span: Any) -> Thread | None:
    """The thread that a span was labelled with, or None."""
    attributes = read(span)
    told = pinned(span)
    if told is not None and not told.keys() <= attributes.keys():  # a limit has dropped some
        attributes = {name: attributes.get(name, value) for name, value in told.items()}
    return read_thread(attributes)


def read_thread(attributes: Mapping[str, Any]) -> Thread | None:
    """The thread that a span's attributes name, or None."""
    id = attributes.get(ORQ_THREAD_ID) or attributes.get(THREAD_ID)  # noqa: A001
    if not isinstance(id, str):
        return None
    return plain_thread(id, tuple(attributes.get(THREAD_TAGS) or ()))
