"""Output for a terminal: tables that fit its width, and text that cannot play tricks with it."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from orq_otel.viewer.formats import visible

_GAP = "  "
_CUT = "…"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: What is above it.
        is_number: Whether it is aligned to the right.
        least: It may be cut to this width where space is short; None: it is never cut.
        unimportance: Where space is still short, the column with the highest goes; 0 stays.
        most: It is never wider than this; None: as wide as it needs.
    """

    title: str
    is_number: bool = False
    least: int | None = None
    unimportance: int = 0
    most: int | None = None


def terminal_width() -> int | None:
    """How wide lines may be; None where nobody looks, so that programs get all of it."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def plain(text: str) -> str:
    """Text on one line, without a character that the terminal would obey."""
    shown = visible(text)
    return "".join(_named(char) if char in "\n\t" else char for char in shown)


def cell_count(text: str) -> int:
    """How many cells a text takes: some characters are wide, others go onto the one before."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, cells: int) -> str:
    """The text, or its beginning, in so many cells."""
    if cell_count(text) <= cells:
        return text
    return _head(text, cells - 1) + _CUT


def wrapped(text: str, cells: int | None) -> list[str]:
    """The lines of a text, broken between words where they are wider than so many cells."""
    if cells is None:
        return text.split("\n")
    lines = []
    for paragraph in text.split("\n"):
        words = paragraph.lstrip(" ").split(" ")
        line = " " * min(len(paragraph) - len(paragraph.lstrip(" ")), cells // 2)
        for number, word in enumerate(words):
            joined = f"{line} {word}" if number else line + word
            if cell_count(joined) <= cells:
                line = joined
                continue
            lines += [line] if line.strip() else []
            line = word
            while cell_count(line) > cells:
                head = _head(line, cells)
                lines.append(head)
                line = line[len(head) :]
        lines.append(line)
    return lines


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Lines of a table, whose cells are plain text.

    Args:
        columns: Its columns.
        rows: A cell for each column.
        width: How wide it may be; None: as wide as it needs.
    """
    cells = [[column.title for column in columns], *rows]
    widths = {
        index: min(max(cell_count(row[index]) for row in cells), column.most or sys.maxsize)
        for index, column in enumerate(columns)
    }
    if width is not None:
        _fit(columns, widths, width)
    return [_line(columns, row, widths) for row in cells]


def _head(text: str, cells: int) -> str:
    """As much of the beginning as goes into so many cells; one character at least."""
    kept = 0
    for char in text:
        cells -= _cells(char)
        if cells < 0 and kept:
            break
        kept += 1
    return text[:kept]


def _named(char: str) -> str:
    return f"[U+{ord(char):04X}]"


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def _fit(columns: Sequence[Column], widths: dict[int, int], width: int) -> None:
    """Cut columns, the widest first, then leave some out, until the others fit."""
    while True:
        over = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width
        spare = {index: _spare(columns[index], have) for index, have in widths.items()}
        if over <= sum(spare.values()):
            break
        least = max(widths, key=lambda index: columns[index].unimportance)
        if columns[least].unimportance == 0:
            break
        del widths[least]
    while over > 0 and any(spare.values()):
        widest = max((index for index in spare if spare[index]), key=lambda index: widths[index])
        widths[widest] -= 1
        spare[widest] -= 1
        over -= 1


def _spare(column: Column, have: int) -> int:
    return 0 if column.least is None else max(have - max(column.least, cell_count(column.title)), 0)


def _line(columns: Sequence[Column], row: Sequence[str], widths: dict[int, int]) -> str:
    cells = []
    for index, have in widths.items():
        text = cut(row[index], have)
        fill = " " * (have - cell_count(text))
        cells.append(fill + text if columns[index].is_number else text + fill)
    return _GAP.join(cells).rstrip()
