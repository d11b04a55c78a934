"""Fiddler: what was asked and answered as texts, under names of its own beside the conventions'.

https://pypi.org/project/fiddler-otel
"""

from __future__ import annotations

from typing import Final

from orq_otel.viewer.dialects.dialect import Dialect, Messages, answered_in, asked_in, first
from orq_otel.viewer.dialects.others import KINDS
from orq_otel.viewer.dialects.shapes import parts_of
from orq_otel.viewer.model.telemetry import Span

_KIND: Final = "fiddler.span.type"
_USER: Final = asked_in("gen_ai.llm.input.user")


def _asked(span: Span) -> Messages:
    parts = parts_of(first(span.attributes, ("gen_ai.llm.input.system",)))
    found = _USER(span)
    is_whole = not parts or (bool(found) and found[0]["role"] == "system")
    return found if is_whole else [{"role": "system", "parts": parts}, *found]


FIDDLER: Final = Dialect(
    name="Fiddler",
    marks=(_KIND,),
    kinds={_KIND: KINDS},
    asked=_asked,
    answered=answered_in("gen_ai.llm.output"),
)
