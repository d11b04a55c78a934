"""Finds the images and sounds that spans have kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orq_otel.viewer.conversation.histories import items_of
from orq_otel.viewer.conversation.parts import RESULTS, Media, Part, kind_of, result
from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.kept_spans import KeptSpan


def found(spans: Iterable[KeptSpan], digest: str) -> Media | None:
    """Returns the image or sound with a digest, or None if no span has it."""
    return next((one for one in _kept(spans) if one.digest == digest), None)


def _kept(spans: Iterable[KeptSpan]) -> Iterator[Media]:
    for one in spans:
        for item in items_of([*table.asked(one.span), *table.answered(one.span)]):
            parts: tuple[Part, ...] = (item.part,)
            if kind_of(item.raw) in RESULTS:
                parts = result(item.raw)
            yield from (part for part in parts if isinstance(part, Media))
