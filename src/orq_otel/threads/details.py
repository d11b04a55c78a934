"""What a thread may carry beside its id and tags: a user, and metadata."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, final
from uuid import UUID

from orq_otel.threads.misuse import wrong_type, wrong_value

#: What metadata may hold. Integers have at most 64 bits and numbers are finite: others could not
#: be exported.
MetadataValue: TypeAlias = str | int | float | bool

#: The number of keys, and the length of a key and of a text, in characters. Orq's own metadata has
#: such lengths: https://docs.orq.ai/docs/ai-gateway/request-metadata.
MAX_KEYS: Final = 32
MAX_KEY: Final = 64
MAX_VALUE: Final = 512


@final
class Metadata(Mapping[str, MetadataValue]):
    """Keys and values that do not change. Make one with `as_metadata`, which checks them."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, MetadataValue]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> MetadataValue:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if self is other:  # nearly always: most threads have none
            return True
        return dict(other) == self._values if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return _metadata, (self._values,)

    @property
    def key(self) -> tuple[tuple[str, type, MetadataValue], ...]:
        """Its items for the key of a cache, with their types: 1, 1.0 and True are equal."""
        return tuple([(name, type(value), value) for name, value in self._values.items()])


#: The metadata of most threads. There is no other that is empty, so it is found by identity.
NO_METADATA: Final = Metadata({})


def _metadata(values: Mapping[str, MetadataValue]) -> Metadata:
    return Metadata(values) if values else NO_METADATA


def plain(text: str) -> str:
    """The text of a string, of any class, or of what stands for one, as Flask's proxies do."""
    return str.__str__(text) if issubclass(type(text), str) else str(text)


def as_text(value: object) -> str | None:
    """A string, an int or a UUID as a string. None for anything else."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return repr(int(value))
    return None


def as_user(user: object) -> str | None:
    """A user's id as a string, from a string, an int or a UUID. None stands for no user.

    Raises:
        TypeError: It has another type.
        ValueError: It is empty.
    """
    text = as_text(user)
    if text is None and user is not None:
        raise wrong_type(
            f"thread() takes a user that is a string, an int or a UUID, got {type(user).__name__}."
        )
    if text is not None and not text.strip():
        raise wrong_value("thread() takes a user that is not empty. Leave it out if there is none.")
    return text


def as_metadata(metadata: object) -> Metadata:
    """Metadata from any mapping, or from None.

    Raises:
        TypeError: It is not a mapping of strings to texts, numbers and truth values.
        ValueError: There are too many keys, or a key or value is too large.
    """
    found, wrong = usable_metadata(metadata)
    if wrong is not None:
        raise wrong
    return found


def usable_metadata(metadata: object) -> tuple[Metadata, Exception | None]:
    """The part of some metadata that can be used.

    Returns:
        The keys that have a usable value, `MAX_KEYS` of them at most; and the first error, if
        something was left out. Its message may be logged.
    """
    if metadata is None or metadata is NO_METADATA:
        return NO_METADATA, None
    if isinstance(metadata, Metadata):
        return metadata, None
    if not isinstance(metadata, Mapping):
        return NO_METADATA, wrong_type(
            "thread() takes metadata as a mapping of keys to values, got "
            f"{type(metadata).__name__}."
        )
    found: dict[str, MetadataValue] = {}
    wrong: Exception | None = None
    for key, value in metadata.items():
        try:
            name, plain = _key(key), _value(value)
        except (TypeError, ValueError) as error:
            wrong = wrong or error
            continue
        if len(found) >= MAX_KEYS and name not in found:
            wrong = wrong or wrong_value(f"thread() takes at most {MAX_KEYS} keys of metadata.")
            break
        found[name] = plain
    return _metadata(found), wrong


def merged(outer: Metadata, inner: Metadata) -> Metadata:
    """The metadata of a scope in another of the same thread: the inner value wins by key.

    If there are more than `MAX_KEYS` keys, the earliest keys of `outer` are left out.
    """
    if inner is NO_METADATA or outer is inner:
        return outer
    if outer is NO_METADATA:
        return inner
    kept = {key: value for key, value in outer.items() if key not in inner}
    surplus = max(0, len(kept) + len(inner) - MAX_KEYS)
    return Metadata({**dict([*kept.items()][surplus:]), **inner})


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise wrong_type(
            f"thread() takes keys of metadata that are strings, got {type(key).__name__}."
        )
    if not plain(key).strip() or len(key) > MAX_KEY:
        raise wrong_value(f"thread() takes keys of metadata that have 1 to {MAX_KEY} characters.")
    return plain(key)


def _value(value: object) -> MetadataValue:
    if isinstance(value, str):
        if len(value) > MAX_VALUE:
            raise wrong_value(f"thread() takes metadata of at most {MAX_VALUE} characters a value.")
        return plain(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        number = int(value)
        if not -(2**63) <= number < 2**63:
            raise wrong_value("thread() takes integers in metadata of at most 64 bits.")
        return number
    if isinstance(value, float):
        if not math.isfinite(value):
            raise wrong_value("thread() takes numbers in metadata that are finite.")
        return float(value)
    raise wrong_type(
        "thread() takes metadata with texts, numbers and truth values, got "
        f"{type(value).__name__}. Leave out keys that have no value."
    )
