"""Messages inside a document in Markdown: HTML in them is text, and none changes what follows.

Images are links, as on the page: a program that shows the document would fetch them from their
hosts, and a model that was misled may have put a secret into their addresses.

Only a parser knows what is code, where signs stay as they are. It reads each message with marks in
the place of the signs that HTML, images and links begin with. Those that it finds in code are put
back, and the others are escaped.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from orq_otel.viewer import formats
from orq_otel.viewer.web.markdown import MOST

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

#: What would become a tag, an image, a definition for links of other messages, or a link, and what
#: is escaped already.
_SIGN: Final = re.compile(
    r"\\.|<(?=[A-Za-z/!?])|!(?=\[)|\](?=:)|\](?=\([\s<>]*(\S{,200}))", re.DOTALL
)
#: Links that run something, or that some programs take for text, and what comes after for code.
_UNSAFE: Final = re.compile(r"(?:javascript|vbscript|data|file):", re.IGNORECASE)
_IGNORED: Final = re.compile(r"\\(?=[!-/:-@\[-`{-~])|[\x00-\x20]")
#: What stands in the place of a sign, with its number. No text has these characters, whose names
#: `visible` writes, and they mean nothing in Markdown.
_MARK: Final = re.compile("\ufff0(\\d+)\ufff1")
#: A sign that begins a line, where it would begin HTML also inside of code.
_FIRST: Final = re.compile("^(?:[ \t>*+-]|\\d+[.)])*\ufff0(\\d+)\ufff1", re.MULTILINE)
_FENCE: Final = re.compile("```|~~~")


def quoted(text: str, *, is_nested: bool = False) -> list[str]:
    """Returns the lines of a message.

    Args:
        text: Markdown.
        is_nested: Whether they will stand in a list or a quote, where tabs have other widths.
    """
    shown = formats.visible(text)
    if is_nested:
        shown = shown.expandtabs(4)
    signs: list[str] = []

    def marked(found: re.Match[str]) -> str:
        sign = found[0]
        if sign[0] == "\\" or (found[1] is not None and not _is_unsafe(found[1])):
            return sign
        signs.append(sign)
        return f"\ufff0{len(signs) - 1}\ufff1"

    masked = _SIGN.sub(marked, shown)
    if not (signs or _FENCE.search(shown)):
        return shown.split("\n")
    if len(shown) > MOST:  # parsing it takes too long
        return list(fenced(shown))
    parses = [one.parse(masked + "\n") for one in _parsers()[: 1 + ("|" in masked)]]
    open_at_end = {_left_open(one) for one in parses}
    if len(open_at_end) > 1:  # it cannot be ended for both
        return list(fenced(shown))
    blocks, spans = zip(*map(_in_code, parses), strict=True)
    kept = set.intersection(*blocks) | set.intersection(*spans) - set(_FIRST.findall(masked))
    lines = _MARK.sub(
        lambda found: ("" if found[1] in kept else "\\") + signs[int(found[1])], masked
    ).split("\n")
    return [*lines, *filter(None, open_at_end)]


def fenced(text: str) -> Iterator[str]:
    """Yields the lines of a text as code."""
    shown = formats.visible(text)
    fence = "`" * max(3, max((len(one) for one in re.findall("`+", shown)), default=0) + 1)
    yield from ("", fence, *shown.split("\n"), fence)


def _is_unsafe(destination: str) -> bool:
    return _UNSAFE.match(_IGNORED.sub("", html.unescape(destination))) is not None


@functools.cache
def _parsers() -> tuple[MarkdownIt, ...]:
    """Returns parsers of what is escaped, by CommonMark and with GitHub's tables."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only documents need it

    found = []
    for more in ([], ["table"]):
        parser = MarkdownIt("commonmark").enable(more)
        parser.disable(["html_block", "html_inline", "autolink", "reference", "emphasis"])
        parser.validateLink = _is_link  # type: ignore[method-assign]
        found.append(parser)
    return tuple(found)


def _is_link(url: str) -> bool:  # noqa: ARG001 - programs that show it may allow them all
    return True


def _in_code(tokens: Iterable[Token]) -> tuple[set[str], set[str]]:
    """Returns the numbers of signs in blocks of code, and in code within a line."""
    blocks: set[str] = set()
    spans: set[str] = set()
    for one in tokens:
        if one.type in {"fence", "code_block"}:
            blocks.update(_MARK.findall(one.content))
        for inner in one.children or ():
            # The words of a picture may have code in them, too.
            if inner.type == "code_inline":
                spans.update(_MARK.findall(inner.content))
    return blocks, spans


def _left_open(tokens: list[Token]) -> str | None:
    """Returns the fence of code at the end of a message that has no end, or None."""
    last = tokens[-1] if tokens else None
    if last is None or last.type != "fence" or last.level or last.map is None:
        return None
    begin, end = last.map
    return last.markup if last.content.count("\n") == end - begin - 1 else None
