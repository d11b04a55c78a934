"""Splits texts into words for the index of messages, and finds them in texts again.

Scripts that write without spaces between words are indexed letter by letter, so that any part of a
sentence is found. Plain functions, without a store. What `spaced` returns is in files: it may not
change.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final

#: Chinese, Japanese, Korean, Thai, Lao, Burmese and Khmer.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U00020000-\U0003ffff"
)
#: A phrase in quotation marks, or a word.
_PART: Final = re.compile(r'"([^"]*)"|(\S+)')
_WORD: Final = re.compile(r"[^\W_]+")
#: A word with as many characters is also found where it is the beginning of one.
_BEGINNING: Final = 3
#: How many parts of a query are searched for.
_PARTS: Final = 20
#: How much of a text an excerpt shows: in all, and before what was found.
_EXCERPT: Final = 180
_BEFORE: Final = 50


def spaced(text: str) -> str:
    """Puts spaces around each letter of a script without spaces."""
    return text if text.isascii() else _letter().sub(r" \1 ", text)


@functools.cache
def _letter() -> re.Pattern[str]:
    """Returns the pattern of a letter of these scripts, which takes its time to compile."""
    return re.compile(f"([{_UNSPACED}])")


def _ends_unspaced(text: str) -> bool:
    return not text.isascii() and _letter().match(text, len(text) - 1) is not None


def match_of(text: str, longer: Callable[[str], Sequence[str] | None]) -> str | None:
    """Returns the query for FTS5: all words and phrases of a text; None if it has no words.

    Args:
        text: The text.
        longer: Returns all words of the index that begin with some ASCII letters, or None if they
            are too many.
    """
    parts = []
    for words, is_open in _parts(text):
        joined = " ".join(words)
        known = None
        if is_open and joined.isalnum() and joined.isascii():
            known = longer(joined.lower())
        if known:
            parts.append("(" + " OR ".join(f'"{word}"' for word in known) + ")")
        else:
            parts.append(f'"{joined}"' + (" *" if is_open and known is None else ""))
    return " AND ".join(parts) or None


def separated(text: str) -> str:
    """Returns the `folded` words of a text, each between two spaces."""
    return f" {' '.join(_WORD.findall(spaced(folded(text))))} "


def sought(text: str) -> list[str]:
    """Returns what all has to be in a `separated` text: the words and phrases of a query."""
    return [
        f" {' '.join(words)}{'' if is_open else ' '}" for words, is_open in _parts(folded(text))
    ]


def _parts(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yields the words of each phrase, and whether the last may be the beginning of a longer one.

    What is joined by a hyphen or an underscore is a phrase.
    """
    for number, (phrase, word) in enumerate(_PART.findall(text)):
        words = _WORD.findall(spaced(phrase or word))
        if words and number < _PARTS:
            last = words[-1]
            yield words, not phrase and len(last) >= _BEGINNING and not _ends_unspaced(last)


def pattern_of(text: str) -> re.Pattern[str] | None:
    """Returns what finds the words of a query in `folded` texts, or None if it has none."""
    found = []
    for words, is_open in _parts(folded(text)):
        joined = r"[\W_]*".join(map(re.escape, words))
        begin = "" if _ends_unspaced(words[0]) else r"(?<![^\W_])"
        end = "" if is_open or _ends_unspaced(words[-1]) else r"(?![^\W_])"
        found.append(begin + joined + end)
    whole = folded(text.strip())
    if whole:
        found.insert(0, re.escape(whole))
    return re.compile("|".join(found)) if found else None


def folded(text: str) -> str:
    """Returns a text of the same length in lower case and without accents."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@functools.lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character)[:1].lower()
    return plain if len(plain) == 1 else character


def marks_in(text: str, pattern: re.Pattern[str] | None) -> tuple[tuple[int, int], ...]:
    """Returns where a pattern begins and ends in a text."""
    if pattern is None:
        return ()
    return tuple(one.span() for one in pattern.finditer(folded(text)) if one.end() > one.start())


def excerpt(text: str, pattern: re.Pattern[str] | None) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Returns the part of a text around what a pattern finds first, on one line, and the marks."""
    line = " ".join(text.split())
    first = pattern.search(folded(line)) if pattern else None
    at = first.start() if first else 0
    begin = 0
    if at > _BEFORE:
        space = line.find(" ", at - _BEFORE, at)
        begin = space + 1 if space >= 0 else at - _BEFORE
    part = line[begin : begin + _EXCERPT]
    shown = ("…" if begin else "") + part + ("…" if begin + _EXCERPT < len(line) else "")
    return shown, marks_in(shown, pattern)
