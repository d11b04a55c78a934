"""JSON as HTML, indented, where each object and list can be folded."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Final

from markupsafe import Markup

from orq_otel.viewer import formats

#: Longer JSON is shown as indented text.
MOST: Final = 20_000
#: How many values are shown, and how deep, before the rest is shown as text on one line.
_VALUES: Final = 400
_DEEPEST: Final = 8
#: Deeper JSON is shown as it is.
_NESTED: Final = 100
#: Texts and brackets. A text without an end is one: it would be tried from each quote in it.
_NESTING: Final = re.compile(r'"(?:\\.|[^"\\])*"?|[\[\]{}]')
#: Objects and lists with more values than this are folded at first, and so are deeper ones.
_OPEN: Final = 12
_OPEN_LEVELS: Final = 2


class _Number(str):
    """A number as it was written: as a `float`, 1.10 would be another text."""

    __slots__ = ()


def parsed(text: str) -> Any:
    """Returns the object or list in a text, or None.

    There is none if it is too long or too deep, or if an object has a name twice, of which one
    would be lost.
    """
    stripped = text.strip()
    if not stripped.startswith(("{", "[")) or len(stripped) > MOST:
        return None
    steps = ({"[": 1, "{": 1, '"': 0}.get(one[0], -1) for one in _NESTING.findall(stripped))
    if max(itertools.accumulate(steps)) > _NESTED:
        return None
    try:
        found = json.loads(
            stripped,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        return None
    return found or None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


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
    """Returns a value as JSON on one line."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_dumped(name)}: {_dumped(one)}' for name, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_dumped, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _leaf(value: Any) -> Markup:
    kind = "number" if isinstance(value, _Number) else "text" if isinstance(value, str) else "word"
    return Markup('<span class="{}" dir="auto">{}</span>').format(f"json-{kind}", _dumped(value))
