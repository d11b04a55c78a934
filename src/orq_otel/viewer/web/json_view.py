"""JSON as HTML, indented, where each object and list can be folded."""

from __future__ import annotations

import json
from typing import Any, Final

from markupsafe import Markup

from orq_otel.viewer import formats

#: Longer JSON is shown as indented text.
MOST: Final = 20_000
#: How many values are shown, and how deep, before the rest is shown as text on one line.
_VALUES: Final = 400
_DEEPEST: Final = 8
#: Objects and lists with more values than this are folded at first, and so are deeper ones.
_OPEN: Final = 12
_OPEN_LEVELS: Final = 2


def parsed(text: str) -> Any:
    """Returns the object or list in a text, or None if there is none, or it is too long."""
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) or len(stripped) > MOST:
        return None
    try:
        found = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return found or None


def tree(value: Any) -> Markup:
    """Returns a value as HTML."""
    return _Tree().drawn(value, 0)


class _Tree:
    def __init__(self) -> None:
        self._left = _VALUES

    def drawn(
        self, value: Any, level: int, begin: Markup | str = "", end: Markup | str = ""
    ) -> Markup:
        """Returns a value as HTML, between what stands before and behind it on its lines."""
        self._left -= 1
        if not isinstance(value, (dict, list)) or not value:
            return Markup("{}{}{}").format(begin, _leaf(value), end)
        if level >= _DEEPEST or self._left <= 0:
            return Markup("{}<span>{}</span>{}").format(begin, _dumped(value), end)
        items = list(value.items()) if isinstance(value, dict) else [(None, one) for one in value]
        first, last = ("{", "}") if isinstance(value, dict) else ("[", "]")
        what = formats.plural(len(items), "field" if isinstance(value, dict) else "item")
        rows = Markup("").join(
            Markup("<li>{}</li>").format(
                self.drawn(
                    one,
                    level + 1,
                    ""
                    if name is None
                    else Markup('<span class="key-name">{}</span>: ').format(_dumped(name)),
                    "," if number < len(items) else "",
                )
            )
            for number, (name, one) in enumerate(items, 1)
        )
        is_open = level == 0 or (level < _OPEN_LEVELS and len(items) <= _OPEN)
        return Markup(
            '<details class="json"{}><summary>{}{}<span class="folded">{} {}{}</span></summary>'
            "<ul>{}</ul>{}{}</details>"
        ).format(Markup(" open") if is_open else "", begin, first, what, last, end, rows, last, end)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _leaf(value: Any) -> Markup:
    kind = (
        "text"
        if isinstance(value, str)
        else "number"
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else "word"
    )
    return Markup('<span class="{}" dir="auto">{}</span>').format(f"json-{kind}", _dumped(value))
