"""Finds the answers in which nothing was said, whoever reports them.

Readers of messages leave empty ones out. So the span is read once more, as if its empty texts said
something: an answer that is found only then is an empty one, and not one that was not captured.
Senders that send no content have a part without its text, or no message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from orq_otel.viewer.dialects import table
from orq_otel.viewer.model.telemetry import Span

#: What no sender says: a character for private use.
_SILENCE: Final = "\uf8fe"
#: Without any of these, nothing in a text is empty: looking for that takes a hundred times as long.
_EMPTY: Final = ('""', '"\\', "''", "[]")
#: An empty text in JSON, in JSON inside of it, and in what Python has printed.
_TEXT: Final = re.compile(r"""([=:\[,]\s*\\*)(["'])(\\*)\2(?=\s*[,\]})])""")
#: A list without parts there.
_LIST: Final = re.compile(r"""((?<!\\)(\\*["'])(?:parts|content)\2\s*:\s*\[)(?=\])""")


def empty_answers(span: Span) -> list[str | None]:
    """Returns why each answer of a call ended if all of them are empty, or [] if there is none."""
    attributes, events = _filled(span.attributes), _filled(span.events)
    if attributes == span.attributes and events == list(span.events):
        return []
    said = table.answered(replace(span, attributes=attributes, events=events))
    if not all(_is_silent(part) for one in said for part in one["parts"]):
        return []
    return [(one.get("finish_reason") or "").strip(_SILENCE) or None for one in said]


def _is_silent(part: Mapping[str, Any]) -> bool:
    text = part.get("content")
    return part.get("type") == "text" and isinstance(text, str) and not text.strip(_SILENCE)


def _filled(value: Any, name: str = "") -> Any:
    """Returns a value with something in each empty text of it."""
    if isinstance(value, str):
        if not any(one in value for one in _EMPTY):
            return value or _SILENCE
        value = _TEXT.sub(rf"\1\2{_SILENCE}\3\2", value)
        return _LIST.sub(rf"\1\2{_SILENCE}\2", value)
    if isinstance(value, Mapping):
        return {key: _filled(one, key) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        if not value and name in {"parts", "content"}:
            return [_SILENCE]
        return [_filled(one) for one in value]
    return value
