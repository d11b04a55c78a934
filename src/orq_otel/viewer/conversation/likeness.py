"""Finds which text another one was made of: cut, or with something before or behind it.

Senders cut the texts of a history at either end or in the middle, with a note or without one, and
put a name or the time before them. Clients leave out reasoning and Markdown, and join texts. What
somebody has written anew is none of this: a text that lacks words and has others is another text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

#: What a note in the place of something says.
_SAYS: Final = (
    r"\b(?:cut|trunc\w*|omitted|omission|removed|cleared|clipped|shortened|trimmed|elided|dropped"
    r"|skipped|compacted|redacted|hidden|snip|snipped|left out|not shown|more"
    r"|\d+ (?:char|character|token|word|line|byte)s?)\b"
)
_IN_BRACKETS: Final = rf"[\[(<{{][^\[\](){{}}<>]{{0,80}}?{_SAYS}[^\[\](){{}}<>]{{0,60}}[\])>}}]"
_DOTS: Final = r"(?:\u2026|\.\.\.)"
_CUT: Final = re.compile(
    rf"{_IN_BRACKETS}|{_DOTS}(?:[^\n\u2026]{{0,40}}?{_SAYS}[^\n\u2026.]{{0,30}}(?:{_DOTS}|\n|$))?",
    re.IGNORECASE,
)
#: A text that is nothing but a note, or that names an image in its place.
_PLACEHOLDER: Final = re.compile(
    rf"{_IN_BRACKETS}|[\[(<{{](?:image|picture|photo|audio|video|file|document|attachment|media)\b"
    r"[^\[\](){}<>]{0,100}[\])>}]",
    re.IGNORECASE,
)
_LETTERS: Final = re.compile(r"\w+")
#: By how many letters at the beginning or the end texts are found, and the least that must agree.
_SIZES: Final = (64, 16)
_LEAST: Final = _SIZES[-1]
#: How many letters may be added to a text.
_ADDED: Final = 60
#: Of so many texts that begin or end alike, the latest are compared.
_MOST: Final = 200

_T = TypeVar("_T")
_Key = tuple[str, int, bool, str]


def placeholder(text: str) -> int:
    """Returns how many messages or parts a text stands in the place of: 0 if it says something."""
    if text[:1] not in {"[", "(", "<"} or not _PLACEHOLDER.fullmatch(text):
        return 0
    number = re.search(r"\d+", text)
    return int(number[0][:6]) if number and "item" in text else 1


def is_cut(text: str) -> bool:
    """Whether a text says somewhere that it was cut."""
    return _CUT.search(text) is not None


class Likenesses(Generic[_T]):
    """Texts of some kinds, each with what it is of.

    They are looked at only when the first one is looked for: usually, none is.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str, _T]] = []
        self._texts: dict[_Key, list[tuple[str, list[str], _T]]] = {}

    def add(self, kind: str, text: str, of: _T) -> None:
        """Add a text of a kind."""
        self._waiting.append((kind, text, of))

    def find(self, kind: str, text: str, *, is_exact: bool = False) -> _T | None:
        """Returns what a text of a kind was made of, or None.

        Args:
            kind: The kind.
            text: The text.
            is_exact: Whether texts may differ only where one says that it was cut.
        """
        for one_kind, one, of in self._waiting:
            pieces = _pieces(one)
            letters = "".join(pieces)
            for key in _keys(one_kind, letters):
                self._texts.setdefault(key, []).append((letters, pieces, of))
        self._waiting.clear()
        return self._find(kind, _pieces(text), is_exact=is_exact)

    def _find(self, kind: str, pieces: list[str], *, is_exact: bool) -> _T | None:
        letters = "".join(pieces)
        for key in _keys(kind, letters):
            for known, others, of in reversed(self._texts.get(key, ())[-_MOST:]):
                if _is_cut_from(pieces, known) or _is_cut_from(others, letters):
                    return of
                if is_exact:
                    continue
                if known.startswith(letters) or known.endswith(letters):
                    return of
                is_before = letters.startswith(known)
                if is_before or letters.endswith(known):
                    rest = letters[len(known) :] if is_before else letters[: -len(known)]
                    if len(rest) <= _ADDED or self._find(kind, [rest], is_exact=False) is not None:
                        return of
        return None


def _pieces(text: str) -> list[str]:
    """Returns what is left of a text that was cut: the letters, without the notes between them.

    Space, punctuation and accents are what Markdown, HTML and senders change.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
    return ["".join(_LETTERS.findall(html.unescape(one))) for one in _CUT.split(text)]


def _keys(kind: str, letters: str) -> Iterator[_Key]:
    for size in _SIZES:
        if len(letters) >= size:
            yield kind, size, True, letters[:size]
            yield kind, size, False, letters[-size:]


def _is_cut_from(pieces: list[str], whole: str) -> bool:
    """Whether a text that was cut has pieces of another one, in their order and from both ends."""
    if len(pieces) == 1 or not _LEAST <= sum(map(len, pieces)) <= len(whole):
        return False
    if not (whole.startswith(pieces[0]) and whole.endswith(pieces[-1])):
        return False
    at = len(pieces[0])
    for one in pieces[1:-1]:
        at = whole.find(one, at) + len(one)
        if at < len(one):
            return False
    return at + len(pieces[-1]) <= len(whole)
