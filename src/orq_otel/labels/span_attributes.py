"""What the SDK keeps of a span, read and written past its methods.

Here are all private parts of the SDK's spans that this package reaches for, because its methods
take longer than all else that an attribute costs, or have no way to do it:

- Attributes are set without the SDK's checks. They find nothing here: readers and labels make text
  that has UTF-8, numbers that fit, and tuples of text.
- Beyond a limit (128, unless it is set) the SDK drops the oldest attributes. Those that are pinned
  come back when the span has ended, before anybody exports it. They are pinned to the object that
  keeps the attributes, since a span shares it with what processors are given at its end.

Where the SDK does not keep attributes as it does today, it sets them itself, and what it drops
stays dropped. `tests/test_attribute_limits.py` fails then.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes

#: Where the SDK's own method is. Whoever overrides or replaces it wants to see every attribute.
_SDK: Final = "opentelemetry.sdk.trace"


def put(span: Any, attributes: Mapping[str, Any], *, pinned: bool = False) -> None:
    """Set attributes on a span that is open.

    Args:
        span: A recording span.
        attributes: Text, numbers, truth values, and tuples of them, valid as they are. Of more
            than the limit allows, the last ones stay.
        pinned: Whether to pin them as well. They must not be changed then.
    """
    kept = getattr(span, "_attributes", None)
    if type(kept) is not BoundedAttributes:
        span.set_attributes(attributes)
        return
    if pinned:
        kept._orq_otel_pinned = attributes  # type: ignore[attr-defined]  # noqa: SLF001
    if kept.max_value_len is not None or type(span).set_attributes.__module__ != _SDK:
        span.set_attributes(attributes)
        return
    try:
        values, most = kept._dict, kept.maxlen  # noqa: SLF001 - see above
        fits = type(values) is dict and (most is None or len(values) + len(attributes) <= most)
        if fits:
            with kept._lock:  # noqa: SLF001
                values.update(attributes)
            return
    except AttributeError:  # it keeps them in another way
        pass
    span.set_attributes(attributes)


def read(span: Any) -> Mapping[str, Any]:
    """The attributes of a span, open or ended, without a copy. None of one that has none."""
    values = getattr(getattr(span, "_attributes", None), "_dict", None)
    if values is None:
        values = getattr(span, "attributes", None)
    return values or {}


def pin(span: Any, attributes: Mapping[str, Any]) -> None:
    """Remember attributes with which a span was started, so that they can be restored at its end.

    They must not be changed afterwards.
    """
    kept = getattr(span, "_attributes", None)
    if type(kept) is not BoundedAttributes:
        return
    before = getattr(kept, "_orq_otel_pinned", None)
    if before is not None:
        attributes = {**before, **attributes}
    kept._orq_otel_pinned = attributes  # type: ignore[attr-defined]  # noqa: SLF001


def pinned(span: Any) -> Mapping[str, Any] | None:
    """What was pinned on a span, or None."""
    return getattr(getattr(span, "_attributes", None), "_orq_otel_pinned", None)


def has_changed(span: Any, name: str) -> bool:
    """Whether the SDK dropped attributes of `span`, or the attribute `name` is there, and no text.

    The end of every span asks this.
    """
    kept = span._attributes  # noqa: SLF001
    if type(kept) is not BoundedAttributes:
        return False
    value = kept._dict.get(name)  # noqa: SLF001
    return (type(value) is not str and value is not None) or kept.dropped > 0


def restore(span: Any, attributes: Mapping[str, Any]) -> None:
    """Set attributes on a span that has ended, in the place of others where it is full.

    How many were dropped stays right: for each that comes back, the oldest of the others goes.
    Readers in other threads see the attributes of before or those of after: there is no lock.

    Args:
        span: A span that has ended. One that could have room for an attribute never lost it.
        attributes: As for `put`. Of more than the limit allows, the last ones come back.
    """
    kept = span._attributes  # noqa: SLF001
    values, most = kept._dict, kept.maxlen  # noqa: SLF001
    if kept.max_value_len is not None:
        attributes = BoundedAttributes(None, attributes, True, kept.max_value_len)  # noqa: FBT003
    if most is None or len(values) < most:
        there = {name: value for name, value in attributes.items() if name in values}
        kept._dict = {**values, **there}  # noqa: SLF001
        return
    first = dict([*attributes.items()][max(0, len(attributes) - most) :])
    others = [(name, value) for name, value in values.items() if name not in first]
    room = most - len(first)
    kept._dict = {**first, **dict(others[len(others) - room :])}  # noqa: SLF001


#: All processors of a span of the SDK, in one. A function of C, since every span's start asks.
processors_of: Final = attrgetter("_span_processor")


def is_processed_by(span: Any, processors: Any) -> bool:
    """Whether a span goes to `processors`, all those of a provider. It does if it does not tell."""
    together = getattr(span, "_span_processor", processors)
    if type(together) is _Ending:
        together = together.all
    return together is processors


def before_end(span: Any, processor: Any, telling: type | None) -> Any:
    """See that a processor's `_on_ending` is called before any processor is told of the end.

    Args:
        span: A span of the SDK, open.
        processor: One of the span's processors, or part of one that does not pass this call on.
        telling: The SDK's own kind of processor that calls it, if the SDK has one.

    Returns:
        `processors_of(span)`, if it does that for all spans that it has.
    """
    together: Any = processors_of(span)
    kind: Any = type(together)
    if kind is telling and processor in together._span_processors:  # noqa: SLF001
        return together
    if kind is not _Ending:
        span._span_processor = _Ending(together, processor)  # noqa: SLF001
    return None


class _Ending:
    """All processors of a span, and one that acts before they are told of its end."""

    __slots__ = ("_first", "all")

    def __init__(self, together: Any, first: Any) -> None:
        self.all = together
        self._first = first

    def on_end(self, span: Any) -> None:
        self._first._on_ending(span)  # noqa: SLF001
        self.all.on_end(span)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.all, name)
