"""Labels: the attributes that stand for a thread on spans and log records.

docs/labels.md lists them, with who reads which.

All ids of a thread have the same value, since backends prefer different names. What a thread does
not have is left out. `use_labels()` adds the attributes of further backends.

Other libraries write ids of their own into some of these: `grouping` says which id stays.

If a limit leaves too little room, labels are dropped in their order: metadata first, then tags,
`thread.id` last. The SDK uses that order, too: it drops the oldest attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from orq_otel.foundations.caching import Uncached, keep
from orq_otel.foundations.codes import BAD_LABELS, MUCH_METADATA
from orq_otel.foundations.guard import UnusableError, report, warn_once
from orq_otel.foundations.process import process
from orq_otel.foundations.reaches import pinned, put, read, restore, value_limit
from orq_otel.foundations.settings import LABELS, Settings
from orq_otel.labels.grouping import ORIGINAL, is_marked, marked_only
from orq_otel.labels.presets import ENCODERS, Choice, Chosen, Encoder, Value, choose
from orq_otel.threads.details import (
    NO_METADATA,
    Metadata,
    MetadataValue,
    as_metadata,
    usable_metadata,
)
from orq_otel.threads.frames import Thread, plain_thread

#: A string here. OpenTelemetry's registry has an integer of this name, the id of the OS thread:
#: inside a scope, this label replaces it.
THREAD_ID: Final = "thread.id"
THREAD_TAGS: Final = "thread.tags"
ORQ_THREAD_ID: Final = "orq.thread_id"
ORQ_TAGS: Final = "orq.tags"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
#: Source: https://opentelemetry.io/docs/specs/semconv/registry/attributes/user/.
USER_ID: Final = "user.id"
#: What precedes the key of each metadata.
METADATA: Final = "thread.metadata."
#: Source: https://platform.openai.com/docs/api-reference/chat/create.
_MAX_TEXTS: Final = 16
#: On spans outside of threads: the attribute from which their labels have the id. See `adoption`.
ADOPTED_FROM: Final = "orq_otel.adopted_from"
#: Labels that nobody else may define: their values are read back.
_OWN: Final = frozenset({THREAD_ID, THREAD_TAGS, ORQ_THREAD_ID, ORQ_TAGS})


class LabelsInForce:
    """Which labels are used in this process.

    Attributes:
        chosen: The attributes that are added to those that every thread has.
        is_set_in_code: Whether the program has chosen the labels. Then environment variables do not
            change them.
        ids: The attributes in which every span of a thread ends with the thread's id, whatever
            others have written there. None if foreign ids are kept.
        ids_if_marked: The same, for spans of models and agents that have them.
        compared: The labels whose value is nearly always the thread's id when a span ends. Where
            one has another value, `complete` decides.
        adopts: Whether our spans adopt ids outside of threads.
        prefixes: What the names of labels of metadata begin with.
        have_details: Whether a thread with a user or metadata was labelled. Until then, nobody
            looks for these on spans.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Use the labels that every thread has, and no others."""
        self.chosen: Chosen = choose(())
        self.with_thread_id = True
        self.is_set_in_code = False
        self.thread_wins(wins=True)
        self.adopts = True
        self.have_details = False
        _labels.cache_clear()

    def thread_wins(self, *, wins: bool) -> None:
        """Set whether the thread's id replaces ids that others have written into its labels."""
        of_thread = ENCODERS["id"]
        chosen = [name for name, encoder in self.chosen.attributes.items() if encoder is of_thread]
        self.ids = tuple(dict.fromkeys((CONVERSATION_ID, *chosen))) if wins else ()
        self.ids_if_marked = marked_only(self.ids) if wins else frozenset()
        patterns = [name.removesuffix("*") for name in self.chosen.attributes if name[-1] == "*"]
        self.prefixes = (METADATA, *patterns)
        self.compared = (*self.ids, THREAD_ID) if self.with_thread_id else self.ids

    def set(self, chosen: Chosen, *, with_thread_id: bool, in_code: bool) -> None:
        """Set the labels. Without `in_code`, do nothing if the program has chosen them."""
        if self.is_set_in_code and not in_code:
            return
        self.is_set_in_code = in_code
        if (chosen, with_thread_id) != (self.chosen, self.with_thread_id):
            self.chosen, self.with_thread_id = chosen, with_thread_id
            self.thread_wins(wins=bool(self.ids))
            _labels.cache_clear()


def use_labels(choices: str | Iterable[Choice] = (), *, thread_id: bool = True) -> None:
    """Choose the labels for this process, from the next span on.

        use_labels(["langfuse", {"app.conversation": "id", "app.tags": "tags_joined"}])

    This replaces earlier choices, and those of `ORQ_OTEL_LABELS` and `ORQ_OTEL_THREAD_ID`.

    Args:
        choices: The attributes to add: names of backends, and mappings from the names of attributes
            to encoders. `presets.choose` describes them.
        thread_id: Whether `thread.id` is a label. Pass False if a backend refuses the spans because
            it has mapped that attribute as a number, the id of the OS thread.

    Raises:
        ValueError, TypeError: As `presets.choose`.
    """
    in_force.set(_choose(choices), with_thread_id=thread_id, in_code=True)


def follow(settings: Settings) -> None:
    """Use the labels that environment variables choose, unless the program has chosen them.

    An entry that is neither a backend nor an attribute with its encoder is left out and logged.
    """
    choices: list[Choice] = []
    wrong: list[str] = []
    for item in settings.labels:
        name, equals_sign, encoder = item.partition("=")
        choice: Choice = {name: encoder} if equals_sign else name
        try:
            _choose(choice)
        except ValueError as error:
            wrong.append(str(error))
        else:
            choices.append(choice)
    if wrong:
        warn_once(BAD_LABELS, f"{LABELS}: {' '.join(wrong)}")
    in_force.set(_choose(choices), with_thread_id=settings.thread_id, in_code=False)
    in_force.thread_wins(wins=settings.foreign_ids == "thread")
    in_force.adopts = settings.adopt_ids


def _choose(choices: str | Iterable[Choice]) -> Chosen:
    chosen = choose(choices)
    names = chosen.attributes.keys()
    taken = sorted((_OWN & names) | {name for name in names if name.startswith(METADATA)})
    if taken:
        raise ValueError(
            f"Every span of a thread has the label {taken[0]} already, which nobody can change."
        )
    return chosen


def labels(thread: Thread) -> Mapping[str, Value]:
    """The labels for spans and log records of `thread`, the most important one last.

    Do not change the mapping: it is shared.
    """
    try:
        if thread.is_plain:
            return _labels(thread.id, thread.tags)
        in_force.have_details = True
        return _labels(thread.id, thread.tags, thread.user, as_metadata(thread.metadata).key)
    except Uncached as uncached:
        return uncached.value  # type: ignore[no-any-return]


def as_argument(thread: Thread) -> dict[str, Any]:
    """The `thread` argument of requests to Orq: `{"id": "...", "tags": ["..."]}`.

    There is no "tags" if the thread has none. The id and tags have the same text as the labels: so
    they match Orq's own spans, and can always be encoded in a request body.
    """
    thread_labels: Mapping[str, Any] = labels(thread)
    argument: dict[str, Any] = {"id": thread_labels[ORQ_THREAD_ID]}
    if thread.tags:
        argument["tags"] = list(thread_labels[THREAD_TAGS])
    return argument


def as_details(thread: Thread) -> tuple[str | None, Mapping[str, MetadataValue]]:
    """The user and the metadata of a thread for requests to Orq, with the text of the labels."""
    if thread.is_plain:
        return None, NO_METADATA
    thread_labels: Mapping[str, Any] = labels(thread)
    metadata = {key: thread_labels[METADATA + _writable(key)] for key in thread.metadata}
    return thread_labels.get(USER_ID), {_writable(key): one for key, one in metadata.items()}


def as_texts(metadata: Mapping[str, MetadataValue]) -> dict[str, str]:
    """Metadata as OpenAI's API and Orq's AI Router take it: as texts, and at most 16 of them."""
    if len(metadata) > _MAX_TEXTS:
        warn_once(
            MUCH_METADATA,
            f"A thread has more than {_MAX_TEXTS} keys of metadata. Orq's AI Router takes no more, "
            "so it gets the first of them. Spans have them all.",
        )
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in islice(metadata.items(), _MAX_TEXTS)
    }


def labels_in(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a span's attributes that are labels, whatever their values are."""
    names, prefixes = label_names(), in_force.prefixes
    return {
        name: value
        for name, value in attributes.items()
        if name in names or name.startswith(prefixes)
    }


def label_names() -> frozenset[str]:
    """The names of all labels that a span may have, but for those of metadata."""
    own = (*_OWN, CONVERSATION_ID, USER_ID)
    return frozenset([*own, *in_force.chosen.attributes, *in_force.chosen.on_roots])


@lru_cache(maxsize=1024)
def _labels(
    id: str,  # noqa: A002
    tags: tuple[str, ...],
    user: str | None = None,
    items: tuple[tuple[str, type, MetadataValue], ...] = (),
) -> Mapping[str, Value]:
    id, tags = _writable(id), tuple([_writable(tag) for tag in tags])  # noqa: A001
    user = None if user is None else _writable(user)
    metadata = {
        _writable(key): _writable(value) if isinstance(value, str) else value
        for key, _, value in items
    }
    thread = plain_thread(id, tags, user, Metadata(metadata) if metadata else NO_METADATA)
    chosen = _chosen_labels(thread)
    attributes: dict[str, Value] = {METADATA + key: value for key, value in metadata.items()}
    if tags:
        attributes[ORQ_TAGS] = json.dumps(tags, ensure_ascii=False)
        attributes[THREAD_TAGS] = tags
    attributes.update(sorted(chosen.items(), key=lambda item: item[1] == id))
    if user is not None:
        attributes[USER_ID] = user
    attributes.update({CONVERSATION_ID: id, ORQ_THREAD_ID: id})
    if in_force.with_thread_id:
        attributes[THREAD_ID] = id
    texts = [text for item in metadata.items() for text in item if isinstance(text, str)]
    return keep({**attributes, **chosen}, id, *tags, user or "", *texts)


def _chosen_labels(thread: Thread) -> dict[str, Value]:
    """The labels of a thread that a user has chosen.

    A key of metadata can take the place of none of the others.
    """
    by_key: dict[str, Value] = {}
    chosen: dict[str, Value] = {}
    for name, encoder in in_force.chosen.attributes.items():
        value = _encoded(name, encoder, thread)
        if isinstance(value, Mapping):
            by_key.update({name.replace("*", key): one for key, one in value.items()})
        elif value is not None:
            chosen[name] = value
    others = {*_OWN, CONVERSATION_ID, USER_ID}
    return {name: one for name, one in by_key.items() if name not in others} | chosen


in_force: Final = process.keep(LabelsInForce())


def _encoded(name: str, encoder: Encoder, thread: Thread) -> Value | Mapping[str, Value] | None:
    try:
        value = encoder(thread)
        return value if name.endswith("*") else _checked(value, encoder)
    except Exception as error:  # noqa: BLE001 - the encoder may be the user's
        report(f"encoding the attribute {name} of a thread", error)
        return None


def _checked(value: Any, encoder: Encoder) -> Value | None:
    """The value that an encoder returned, as one that exporters can write.

    Raises:
        UnusableError: It is none.
    """
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:  # or a truth value
        return value
    if isinstance(value, str):
        return _writable(value)
    texts = None if isinstance(value, bytes) or not isinstance(value, Iterable) else tuple(value)
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise UnusableError(
            encoder, "a text, a number of 64 bits, a truth value, several texts, or None"
        )
    return tuple([_writable(text) for text in texts])


def _writable(text: str) -> str:
    """Replace unpaired surrogates, which have no UTF-8: exporting a batch with one would fail."""
    return text.encode("utf-8", "replace").decode()


def missing_labels(thread: Thread, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of `thread`, except those that the application or another tool has set already.

    Only names that others use, too, are left out: `gen_ai.conversation.id`, `user.id`, those of
    metadata and those of backends.
    """
    wanted = labels(thread)
    others: Iterable[str] = (CONVERSATION_ID, *in_force.chosen.attributes)
    if not thread.is_plain:
        others = wanted.keys() - _OWN
    present = {name for name in others if name in attributes}
    if not present:
        return wanted
    return {name: value for name, value in wanted.items() if name not in present}


def stamp(span: Any, thread: Thread) -> None:
    """Set the labels of `thread` on a recording span, unless it has a thread already.

    The labels are pinned: they are on the ended span even if the SDK has dropped them since.
    """
    attributes = read(span)
    new_labels: Mapping[str, Any] = {}
    if not attributes:
        new_labels = labels(thread)
    elif pinned(span) is not None:
        return
    elif not has_thread(attributes):
        new_labels = missing_labels(thread, attributes)
    on_roots = in_force.chosen.on_roots
    if on_roots and (span.parent is None or span.parent.is_remote):
        new_labels = {**on_roots, **new_labels}
    if new_labels:
        put(span, new_labels, pinned=True)


def complete(span: Any) -> None:
    """Restore the pinned labels of a span that has ended.

    If a label was set to another value since, it keeps that, except an integer `thread.id`, and
    ids of others in grouping attributes, which are kept under names of their own.
    """
    pinned_attributes = pinned(span)
    if not pinned_attributes:
        return
    attributes = read(span)
    wanted = {
        name: attributes.get(name, value) for name, value in labels_in(pinned_attributes).items()
    }
    if not isinstance(wanted.get(THREAD_ID), str) and THREAD_ID in pinned_attributes:
        wanted[THREAD_ID] = pinned_attributes[THREAD_ID]
    originals = {}
    if in_force.ids and ORQ_THREAD_ID in wanted:
        id = wanted[ORQ_THREAD_ID][: value_limit(span)]  # noqa: A001
        ids = [*in_force.ids]
        if is_marked(attributes):
            ids += in_force.ids_if_marked & attributes.keys()
        originals = {
            ORIGINAL + name: attributes[name]
            for name in ids
            if name in attributes and attributes[name] != id
        }
        # The most important labels stay the last.
        wanted = {name: id for name in ids if name not in wanted} | wanted | dict.fromkeys(ids, id)
    if originals or not wanted.items() <= attributes.items():
        restore(span, wanted, originals)


def set_aside(attributes: dict[str, Any], thread_labels: Mapping[str, Any]) -> None:
    """Keep the id of a conversation that a call of ours brought beside its thread's.

    The attributes, which are the call's own, are changed, unless there is no thread. The labels may
    be among other attributes.
    """
    id = thread_labels.get(ORQ_THREAD_ID)  # noqa: A001
    if id is not None and in_force.ids and CONVERSATION_ID in attributes:
        original = attributes.pop(CONVERSATION_ID)
        if original != id:
            attributes[ORIGINAL + CONVERSATION_ID] = original


def has_thread(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes name a thread. An integer `thread.id` is that of an OS thread."""
    return ORQ_THREAD_ID in attributes or isinstance(attributes.get(THREAD_ID), str)


def thread_of(span: Any) -> Thread | None:
    """The thread that a span was labelled with, or None."""
    attributes = read(span)
    labelled = pinned(span)
    if labelled is not None and not labelled.keys() <= attributes.keys():
        # The SDK's limit has dropped some.
        attributes = {name: attributes.get(name, value) for name, value in labelled.items()}
    thread = read_thread(attributes)
    if thread is None or labelled is None or not in_force.have_details:
        return thread
    return _with_details(thread, labelled)


def _with_details(thread: Thread, labelled: Mapping[str, Any]) -> Thread:
    """A thread with the user and the metadata among the attributes that were pinned.

    Among all attributes of a span, `user.id` may be somebody else's.
    """
    user = labelled.get(USER_ID)
    found = {
        name.removeprefix(METADATA): value
        for name, value in labelled.items()
        if name.startswith(METADATA)
    }
    metadata, _ = usable_metadata(found)
    return plain_thread(thread.id, thread.tags, user, metadata)


def read_thread(attributes: Mapping[str, Any]) -> Thread | None:
    """The thread that a span's attributes name, or None."""
    id = attributes.get(ORQ_THREAD_ID) or attributes.get(THREAD_ID)  # noqa: A001
    if not isinstance(id, str) or ADOPTED_FROM in attributes:
        return None
    tags = attributes.get(THREAD_TAGS)
    return plain_thread(id, tuple(tags) if isinstance(tags, (list, tuple)) else ())
