"""What makes a site of files that can be read in the repository as well.

Pages link to each other by their places in the repository, and some of them lie outside `docs`.
MkDocs knows only what is in that folder: here those files become pages of the site, and links to
them lead there.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

#: Pages that lie elsewhere: their places in the repository, and on the site.
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "license.txt",
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
#: The same for examples, which readers look at and take along.
ELSEWHERE |= {
    place: place
    for path in (ROOT / "examples").rglob("*")
    if path.is_file() and not {"stand_ins", "__pycache__", "README.md"}.intersection(path.parts)
    for place in [path.relative_to(ROOT).as_posix()]
}
#: And back. The site has a front page of its own, which is read in the place of the README.
_HERE = {site: place for place, site in ELSEWHERE.items() if place != "README.md"}
#: A link to a file, not to another site and not within the page.
_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


@event_priority(100)  # before the plugin that checks links, which has to know them
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere."""
    for site, place in _HERE.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / place)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Turn links between places in the repository into links between places on the site."""
    place = page.file.src_uri
    here = dirname(_HERE.get(place, f"docs/{place}"))

    def on_site(link: re.Match[str]) -> str:
        target = normpath(join(here, link[1]))
        site = ELSEWHERE.get(target, target.removeprefix("docs/"))
        return relpath(site, dirname(place))

    return _LINK.sub(on_site, markdown)
