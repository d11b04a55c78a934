"""Read the English of pages and docstrings, and name what a reader would stumble over.

    python docs/prose.py

proselint knows phrases that say little; typography and dates are left alone, and
clichés, which in a viewer may be meant as they stand. The words below are of this project: longer
ones for what has a short one, and praise. Code is not read.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from proselint.checks import __register__
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

_ROOT = Path(__file__).parents[1]

#: What not to write, and what to write instead.
_WORDS = {
    r"utili[sz]e[sd]?": "use",
    r"leverag(e|es|ed|ing)": "use",
    r"in order to": "to",
    r"prior to": "before",
    r"subsequent(ly)?": "then",
    r"(is|are) able to": "can",
    r"due to the fact that": "because",
    r"(simply|obviously|easily|just works)": "nothing: it is not so for who reads this",
    r"(seamless(ly)?|powerful|robust(ly)?|blazing(ly)?|cutting-edge)": "what it does",
    r"please": "nothing",
    r"(conversation|dialogue) thread": "thread, as in the glossary",
    r"(operating-system|system|worker) thread": "OS thread, as in the glossary",
}
_OWN = re.compile(
    "|".join(rf"(?P<w{n}>\b{word}\b)" for n, word in enumerate(_WORDS)), re.IGNORECASE
)
_CHECKS = {**DEFAULT["checks"], "cliches": False, "dates_times": False, "typography": False}
_CONFIG: Config = {**DEFAULT, "checks": _CHECKS}


def main() -> int:
    """Print what was found. Returns 1 if that is anything."""
    CheckRegistry().register_many(__register__)
    found = 0
    for place, line, text in _texts():
        for at, message in sorted(_findings(_prose(text))):
            print(f"{place}:{line + at}: {message}")
            found += 1
    return 1 if found else 0


def _texts() -> Iterator[tuple[str, int, str]]:
    """Each page and docstring: its file, the line before it, and what it says."""
    pages = [*_ROOT.glob("*.md"), *_ROOT.glob("*/README.md"), *(_ROOT / "docs").rglob("*.md")]
    for path in sorted(pages):
        yield path.relative_to(_ROOT).as_posix(), 0, path.read_text(encoding="utf-8")
    sources = [*(_ROOT / "src").rglob("*.py"), *(_ROOT / "examples").rglob("*.py")]
    for path in sorted(sources):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    line = node.body[0].lineno - 1
                    yield path.relative_to(_ROOT).as_posix(), line, text


def _prose(text: str) -> str:
    """The text without code and links, in as many lines. A made-up word stands for each."""
    names = map("".join, product("bcdfghjklm", repeat=4))
    text = re.sub(
        r"^ *```.*?^ *```$|^ *[|#].*?$|(?<=\n\n) {4,}.*?(?=\n\S|\Z)",
        lambda block: "\n" * block[0].count("\n"),
        text,
        flags=re.DOTALL | re.MULTILINE,
    )
    return re.sub(
        r"`[^`]*`|\]\([^)]*\)|https?:\S+",
        lambda code: next(names) + "\n" * code[0].count("\n"),
        text,
    )


def _findings(prose: str) -> Iterator[tuple[int, str]]:
    """The line of each finding, and what it is."""
    for match in _OWN.finditer(prose):
        better = list(_WORDS.values())[int((match.lastgroup or "w0")[1:])]
        yield prose[: match.start()].count("\n") + 1, f"write {better}: {match[0]!r}"
    if prose.strip():
        for one in LintFile("page", prose).lint(_CONFIG):
            yield one.pos[0], one.check_result.message


if __name__ == "__main__":
    sys.exit(main())
