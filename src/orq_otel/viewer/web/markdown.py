"""Markdown as HTML, safely: what a message says never becomes a tag, a script or a request.

The text is CommonMark with tables and crossed out text, as models write it. HTML in it is text, and
so are images, which a browser would fetch. Links lead to web pages and mailboxes, and nowhere else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML, RendererProtocol
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

#: Longer texts are shown as they are: parsing them takes too long.
MOST: Final = 40_000
#: What a text has that means anything in Markdown, besides paragraphs. A run of empty lines is read
#: once, and not again from each of them.
_MARKS: Final = re.compile(
    r"[*_`#>|\[\]\\~&<]|^[^\S\n]*(?:(?:[-+]|\d+[.)])\s|[-=]{3,})|^(?: {4}|\t)", re.MULTILINE
)
_SAFE: Final = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
#: Deeper lists and quotes are text.
_NESTED: Final = 12


def rendered(text: str, most: int) -> tuple[Markup, Markup]:
    """Returns a text as HTML: its first blocks, and what comes after them.

    Args:
        text: Markdown.
        most: The first blocks end after about so many characters.
    """
    if len(text) > MOST or not _MARKS.search(text):
        return _plain(text, most)
    parser = _parser()
    env: dict[str, Any] = {}
    tokens = list(_adapted(parser.parse(text, env)))
    cut = _cut(text, tokens, most)
    first, rest = (
        parser.renderer.render(some, parser.options, env) for some in (tokens[:cut], tokens[cut:])
    )
    return Markup(first), Markup(rest)  # noqa: S704 - the renderer escapes all text


def _plain(text: str, most: int) -> tuple[Markup, Markup]:
    """Returns paragraphs of a text in which nothing is marked."""
    if len(text) > MOST:
        at = text.rfind("\n", 0, most) + 1 or most
        return Markup('<p class="plain">{}</p>').format(text[:at]), Markup(
            '<p class="plain">{}</p>'
        ).format(text[at:])
    paragraphs = [one for one in re.split(r"\n\s*\n", text) if one.strip()]
    size = 0
    first: list[Markup] = []
    rest: list[Markup] = []
    for one in paragraphs:
        (first if size < most or not first else rest).append(
            Markup("<p>{}</p>").format(Markup("<br>\n").join(one.strip("\n").split("\n")))
        )
        size += len(one)
    return Markup("\n").join(first), Markup("\n").join(rest)


def _cut(text: str, tokens: Sequence[Token], most: int) -> int:
    """Returns the number of tokens that make up the first blocks."""
    if len(text) <= most + most // 4:
        return len(tokens)
    ends = [0]
    for line in text.split("\n"):
        ends.append(ends[-1] + len(line) + 1)
    for place, one in enumerate(tokens):
        is_block = one.level == 0 and one.nesting >= 0 and one.map is not None
        if place and is_block and one.map and ends[min(one.map[0], len(ends) - 1)] >= most:
            return place
    return len(tokens)


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - the list of threads does without

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": _NESTED})
    parser.enable(["table", "strikethrough"]).disable("entity")  # `&lt;` is what was said
    parser.validateLink = _is_safe  # type: ignore[method-assign]
    for name, rule in (("fence", _fence), ("code_block", _fence), ("image", _image)):
        parser.add_render_rule(name, rule)
    return parser


def _is_safe(url: str) -> bool:
    return _SAFE.match(url) is not None


def _adapted(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yields tokens without styles, which the policy refuses, and headings as paragraphs."""
    for one in tokens:
        if one.type in {"heading_open", "heading_close"}:
            one.attrSet("class", f"heading {one.tag}")
            one.tag = "p"
        elif one.type == "th_open":
            one.attrs = {"scope": "col"}
        elif one.type == "td_open":
            one.attrs = {}
        elif one.type == "table_open":
            one.attrs = {"tabindex": "0", "aria-label": "Table"}
        for inner in one.children or ():
            if inner.type == "link_open":
                url = inner.attrGet("href") or ""
                inner.attrs = {
                    "href": url,
                    "title": url,  # where it leads, whatever it says
                    "class": "leads-out",
                    "rel": "noopener noreferrer nofollow",
                    "target": "_blank",
                }
        yield one


def _fence(
    _: RendererProtocol, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: EnvType
) -> str:
    language = tokens[idx].info.split(maxsplit=1)
    return _code(tokens[idx].content, language[0] if language else "")


def _image(
    renderer: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    """Write where an image is. Showing it would tell its host who reads this."""
    one = tokens[idx]
    words = renderer.renderInlineAsText(one.children or (), options, env)
    return str(
        Markup(
            '<span class="media"><span class="media-what">Image</span> {} '
            '<bdi class="mono reference">{}</bdi></span>'
        ).format(words, one.attrGet("src") or "")
    )


def _code(text: str, language: str) -> str:
    return str(
        Markup(
            '<div class="code">{}<button type="button" class="copy" aria-label="Copy code">Copy'
            '</button><pre tabindex="0" aria-label="{}"><code>{}</code></pre></div>\n'
        ).format(
            Markup('<span class="language">{}</span>').format(language[:40]) if language else "",
            f"Code in {language[:40]}" if language else "Code",
            text.rstrip("\n"),
        )
    )
