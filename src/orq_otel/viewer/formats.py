"""Formats values for the pages: times, amounts, and untrusted text."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from orq_otel.viewer.times import SECOND, rfc_3339

UNKNOWN: Final = "\u2013"
"""Shown for an unknown number."""

_MILLISECOND = SECOND // 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SHORT_JSON = 72  # stays on one line

#: Invisible characters that change how other text is shown: control characters, changes of text
#: direction, characters without width, tags, and half surrogate pairs. The joiners of emoji and of
#: Indic and Arabic letters are not among them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
#: What Markdown puts around text, or before it.
_MARKS = re.compile(r"\*\*(?P<strong>[^*\s](?:[^*]*[^*\s])?)\*\*|`(?P<code>[^`]+)`|^#{1,6} ")
#: Combining marks on one letter. More than any language uses would cover neighbouring lines.
_STACKED = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def visible(value: Any) -> str:
    """Replaces invisible characters of a text by their code points, such as `[U+202E]`.

    Escaping it for HTML is left to the templates.
    """
    text = str(value).replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    named = _INVISIBLE.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
    return _STACKED.sub(r"\1", named)


def shortened(value: Any, most: int) -> str:
    """Cuts text to a number of characters, with an ellipsis at the end."""
    text = str(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def one_line(value: Any, most: int = 200) -> str:
    """Returns the beginning of a text on one line."""
    return visible(shortened(" ".join(str(value)[: 4 * most].split()), most))


def plain(text: str) -> str:
    """Returns a message as a title: without the signs of Markdown for what is strong or code."""
    return _MARKS.sub(lambda match: match["strong"] or match["code"] or "", text)


def as_text(value: Any) -> str:
    """Formats a JSON value: a string unchanged, long values on several lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, tuple)):
        try:
            line = json.dumps(value, ensure_ascii=False, default=str)
            if len(line) <= _SHORT_JSON:
                return line
            return json.dumps(value, indent=2, ensure_ascii=False, default=str)
        except (ValueError, RecursionError):
            return "[nested too deep]"
    return json.dumps(value, default=str)


def unfolded(value: Any) -> str:
    """Formats the value of an attribute. JSON in a string is indented, too.

    Its numbers stay as they are written, and so does an object that has a name twice.
    """
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return _KEPT.sub(r"\1", as_text(_AS_WRITTEN.decode(value)))
        except (ValueError, RecursionError):
            return value
    return as_text(value)


def _number(text: str) -> float | str:
    """Returns a number, or its text between two marks where Python would write it otherwise."""
    value = float(text)
    return value if repr(value) == text else f"\ue000{text}\ue001"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


_KEPT: Final = re.compile('"\ue000([-+.0-9Ee]+)\ue001"')
_AS_WRITTEN: Final = json.JSONDecoder(parse_float=_number, object_pairs_hook=_object)


def excerpt(value: Any, most: int) -> str:
    """Returns the beginning of an attribute's value, without decoding long values."""
    is_long = isinstance(value, str) and len(value) > 4 * most
    return shortened(value if is_long else unfolded(value), most)


def timestamp(nanoseconds: int) -> str:
    """Formats a time in UTC for the attribute `datetime` of `<time>`."""
    return rfc_3339(max(nanoseconds, 0))


def moment(nanoseconds: int) -> str:
    """Formats a time in UTC. The pages' script shows it in local time instead."""
    text = timestamp(nanoseconds)
    return f"{text[:10]} {text[11:19]}"


def duration(nanoseconds: int) -> str:
    """Formats a duration: `840 µs`, `12.4 ms`, `1.24 s`, `3 m 20 s`, `5 h 12 m`, `3 d 4 h`."""
    nanoseconds = max(nanoseconds, 0)
    if nanoseconds < _MILLISECOND:
        return f"{nanoseconds / 1000:.0f} µs"
    if nanoseconds < SECOND:
        return f"{_digits(nanoseconds / _MILLISECOND)} ms"
    if nanoseconds < _MINUTE * SECOND:
        return f"{_digits(nanoseconds / SECOND)} s"
    seconds = nanoseconds // SECOND
    for unit, smaller, name, smaller_name in (
        (_DAY, _HOUR, "d", "h"),
        (_HOUR, _MINUTE, "h", "m"),
        (_MINUTE, 1, "m", "s"),
    ):
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    raise AssertionError  # durations below a minute have returned above


def _digits(number: float) -> str:
    """Formats a number with up to three significant digits."""
    for size, digits in ((99.95, 0), (9.995, 1)):
        if number >= size:
            return f"{number:.{digits}f}"
    return f"{number:.2f}"


def count(number: int) -> str:
    """Formats a number with thousands separators: `12,400`."""
    return f"{number:,}"


def short(number: float) -> str:
    """Formats a number briefly: `840`, `12.4k`, `3.1M`."""
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:
            return f"{number / size:.{0 if number >= 99.95 * size else 1}f}{name}"
    return f"{number:.0f}"


def cost(dollars: float | None) -> str:
    """Formats an amount in US dollars. Small amounts have two significant digits."""
    if dollars is None:
        return UNKNOWN
    if dollars == 0:
        return "$0"
    if dollars < 0.0001:  # noqa: PLR2004
        return "<$0.0001"
    if dollars < 1:
        return f"${dollars:.4f}"
    return f"${dollars:,.2f}"


def cost_of_calls(dollars: float | None, unpriced: int) -> str:
    """Formats the cost of calls, and says how many of them it leaves out."""
    text = cost(dollars)
    if dollars is None or not unpriced:
        return text
    return f"{text}, without {plural(unpriced, 'call')} of unknown price"


def rate(dollars: float) -> str:
    """Formats a price in US dollars, with all of its digits: `$0.15`, `$0.0125`."""
    text = f"{dollars:.6f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"${whole}.{fraction.ljust(2, '0')}"


def size(number: int) -> str:
    """Formats a number of bytes: `840 B`, `12.4 kB`, `3.1 MB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Formats a number with its noun: `1 span`, `2 spans`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
